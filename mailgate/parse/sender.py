"""Who sent it, and what vouches for that. Every doubt is settled against the mail."""

from collections.abc import Callable, Iterator

from mailgate.config import Trust
from mailgate.errors import NotAllowed, Refusal
from mailgate.model import Envelope, How, Identity, User, Vouched
from mailgate.parse import results, trace
from mailgate.parse.header import MAX_FROM, Header


def sender(header: Header) -> str:
    """Return the one From address: the local part as written, the domain in its plain form.

    That is lower-cased and without the dot of the root: ``example.org.`` is ``example.org``.

    Raises
    ------
    Refusal
        There is none, more than one, or one that two readers might read differently: inside a
        group, with a route, beside another address, not closed, not plain ASCII.
    """
    fields = header.all("from")
    if not fields:
        raise Refusal("The mail has no From header: one must name its sender.")
    if len(fields) > 1:
        raise Refusal(f"The mail has {len(fields)} From headers: one alone must name its sender.")
    if len(fields[0]) > MAX_FROM:
        raise Refusal(f"The From header is longer than {MAX_FROM} characters.")
    boxes = list(header.from_mailboxes())
    if not boxes:
        raise Refusal("The From header holds no address: it must name the mail's sender.")
    if len(boxes) > 1:
        raise Refusal("The From header names more than one address: it must name one sender alone.")
    if not fields[0].replace("\t", " ").isprintable():
        raise Refusal("The From header holds characters that cannot be printed.")
    if boxes[0].flaw:
        raise Refusal(f"The From address cannot be believed: {boxes[0].flaw}.")
    local, _, domain = boxes[0].address.rpartition("@")
    return f"{local}@{domain.lower().removesuffix('.')}"


def vouch(
    header: Header,
    envelope: Envelope,
    trust: Trust,
    *,
    fits: Callable[[str], tuple[str, str]] = lambda _: ("", ""),
) -> Vouched:
    """Return the sender, known by the strongest way that holds; CLAIMED if none does.

    Who has logged in is known by that, and may write as nobody else.
    ``fits`` tells what vouches for an address that all of the mail's recipients do: the KEY of a
    job's address that was given to it; "" if nothing does, and then why, where that is known.

    Raises
    ------
    NotAllowed
        Who has logged in wrote as somebody else.
    Refusal
        There is not one plain From address (see ``sender``).
    """
    address = sender(header)
    if envelope.user is not None:
        return _submitted(address, envelope.user)
    reasons: list[str] = []
    for how, by, fault in _ways(address, header, envelope, trust, fits):
        if by:
            return Vouched(identity=Identity(address=address, how=how), by=by)
        if fault:
            reasons.append(fault)
    why = f"Nothing vouches for {address}: {', and '.join(reasons)}."
    return Vouched(identity=Identity(address=address, how=How.CLAIMED), by=why)


def _submitted(address: str, user: User) -> Vouched:
    if not user.owns(address):
        raise NotAllowed(
            f"{user.name} may not write as {address}, but as {' or '.join(user.addresses[:3])}:"
            " send the mail again from there."
        )
    identity = Identity(address=address, how=How.SMTP_AUTH)
    return Vouched(identity=identity, by=f"the user {user.name}")


def _ways(
    address: str,
    header: Header,
    envelope: Envelope,
    trust: Trust,
    fits: Callable[[str], tuple[str, str]],
) -> Iterator[tuple[How, str, str]]:
    """Yield the ways to know a sender, strongest first: what vouches, or why it does not."""
    yield (How.REPLY, *fits(address))
    yield (How.AUTHENTICATION_RESULTS, *_by_results(address, header, envelope, trust))
    yield (How.NETWORK, *_by_network(header, envelope, trust))


def _by_results(address: str, header: Header, envelope: Envelope, trust: Trust) -> tuple[str, str]:
    """Return the border's word for the sender, and why there is none.

    The pipe is no such hop: whoever may run a program can write any header.
    """
    if trust.authserv_id is None:
        return "", ""
    if not envelope.hop:
        if envelope.door not in _NETWORKED or not trust.hops:
            return "", ""
        if not trace.is_inside(envelope.peer, trust.hops):
            return "", f"the client {envelope.peer or ''} is none of its hops"
    return results.vouching(header, trust.authserv_id.removesuffix("."), address.rpartition("@")[2])


_NETWORKED = frozenset({"smtp", "lmtp"})


def _by_network(header: Header, envelope: Envelope, trust: Trust) -> tuple[str, str]:
    """Return what vouches for a mail that started inside, and why nothing does.

    A trusted door vouches for any From. Else the client must be inside the networks, and so must
    every client that the Received headers name.
    """
    if envelope.trusted:
        return f"the trusted {envelope.door}", ""
    if envelope.door == "pipe":
        return "", (
            "it came through a pipe, and this gateway believes no From there; its"
            ' operator can change that with "[listen.pipe] trust"'
        )
    if envelope.door not in _NETWORKED:
        if trust.authserv_id is not None:
            return "", ""
        return "", "it lay in a mailbox, and no [trust] authserv_id says whose word counts there"
    if not trust.networks:
        return "", "this gateway trusts no network"
    if not trace.is_inside(envelope.peer, trust.networks):
        return "", f"the client {envelope.peer or ''} is outside its networks"
    stranger = trace.outside(header.received(), trust.networks)
    return ("", stranger) if stranger else (f"the client {envelope.peer}, inside its networks", "")
