"""Who sent it, and what vouches for that. Every doubt is settled against the mail."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from mailgate.errors import NotAllowed, Refusal
from mailgate.model import Envelope, How, Identity, User
from mailgate.parse.header import MAX_FROM, Header

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


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
        raise Refusal("The mail has no From header: send it again with one.")
    if len(fields) > 1:
        raise Refusal(f"The mail has {len(fields)} From headers: send it again with one.")
    if len(fields[0]) > MAX_FROM:
        raise Refusal(f"The From header is longer than {MAX_FROM} characters.")
    boxes = list(header.from_mailboxes())
    if not boxes:
        raise Refusal("The From header holds no address: send the mail again with one.")
    if len(boxes) > 1:
        raise Refusal("The From header names more than one address: send the mail again with one.")
    if not fields[0].replace("\t", " ").isprintable():
        raise Refusal("The From header holds characters that cannot be printed.")
    if boxes[0].flaw:
        raise Refusal(f"The From address cannot be believed: {boxes[0].flaw}.")
    local, _, domain = boxes[0].address.rpartition("@")
    return f"{local}@{domain.lower().removesuffix('.')}"


def vouch(header: Header, envelope: Envelope, networks: Sequence[Network]) -> Identity:
    """Return the sender as an identity that something vouches for.

    Who has logged in is known by that, and may write as nobody else. A trusted door vouches for any
    From. Else the client must be inside ``networks``, and so must every client that the Received
    headers name: the mail started inside.

    Raises
    ------
    NotAllowed
        Nothing vouches for the sender.
    Refusal
        There is not one plain From address (see ``sender``).
    """
    address = sender(header)
    if envelope.user is not None:
        return _submitted(address, envelope.user)
    if not envelope.trusted:
        _require_inside(address, header, envelope, networks)
    return Identity(address=address, how=How.NETWORK)


def _submitted(address: str, user: User) -> Identity:
    if not user.owns(address):
        raise NotAllowed(
            f"{user.name} may not write as {address}, but as {' or '.join(user.addresses[:3])}:"
            " send the mail again from there."
        )
    return Identity(address=address, how=How.SMTP_AUTH)


def _require_inside(
    address: str, header: Header, envelope: Envelope, networks: Sequence[Network]
) -> None:
    nobody = f"Nothing vouches for {address}"
    if envelope.door == "pipe":
        raise NotAllowed(
            f"{nobody}: it came through a pipe, and this gateway believes no From there; its"
            ' operator can change that with "[listen.pipe] trust".'
        )
    if not networks:
        raise NotAllowed(f"{nobody}: this gateway trusts no network.")
    peer = _address(envelope.peer or "")
    if peer is None or not _is_inside(peer, networks):
        raise NotAllowed(f"{nobody}: the client {envelope.peer or ''} is outside its networks.")
    trace = header.received()
    for number, received in enumerate(trace):
        below = trace[number + 1] if number + 1 < len(trace) else ""
        outside = _outside(received, below, networks)
        if outside:
            raise NotAllowed(f"{nobody}: {outside}.")


# --- one hop --------------------------------------------------------------------------------------

_MAX_RECEIVED = 4096

# What is submitted on a server itself: the whole field, and no client's address anywhere in it.
# What a client says of itself stands in none of these places.
_HOST = r"[\w.:\[\]-]{1,255}"
_LOCAL = re.compile(
    rf"""
    by\ {_HOST}\ \(Postfix(?:(?:\ \([\w.+-]+\))?,\ from\ userid\ [0-9]+)?\)\ id\ .*
    |by\ {_HOST}\ \(sSMTP\ sendmail\ emulation\)\ ?.*
    |\(from\ [\w.+$-]+@localhost\)\ by\ {_HOST}\ \([\w.+/-]+\)\ id\ .*
    |from\ [\w.+$-]+\ by\ {_HOST}\ with\ local(?:-[\w-]+)?\ \(Exim\ .*
    |\((?:qmail|nullmailer)(?:\ pid)?\ [0-9]*\ ?invoked[ ]
        (?:by\ uid\ [0-9]+|by\ alias|for\ bounce|from\ command\ line)\)\ ?
    |from\ {_HOST}\ \({_HOST}\ \[local\]\)\ by\ {_HOST}\ \(OpenSMTPD\)\ .*
    |from\ [\w.+$-]+\ \(uid\ [0-9]+\)\ \(envelope-from\ [^()\s]+\)\ id\ [\w.]+\ by\ {_HOST}[ ]
        \(DragonFly\ .*
    """,
    re.VERBOSE | re.ASCII,
)
_QMAIL_FROM_NETWORK = re.compile(r"\(qmail [0-9]+ invoked from network\) ?", re.ASCII)
_NUMBERS = re.compile(
    r"(?<![\w.:-])(?:IPv6:)?(?P<ip>(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,45})"
    r"(?![\w-]|\.\w|:\w*[G-Zg-z])",
    re.ASCII,
)
_BRACKETED = re.compile(r"\[([^\]]*)\]?")


def _outside(received: str, below: str, networks: Sequence[Network]) -> str:
    """Name the client outside that a Received header tells of, or why it tells of none; or ""."""
    if len(received) > _MAX_RECEIVED:
        return "a Received header is too long to be read"
    words = " ".join(received.split())
    trace = words.rpartition(";")[0] or words
    if _is_local(trace):
        return ""
    if _QMAIL_FROM_NETWORK.fullmatch(trace):
        # qmail-smtpd names the client in a header of its own, right below.
        named = _from_clause(below.rpartition(";")[0] or below)
        return "" if list(_addresses(named)) else _unreadable(words)
    clause = _from_clause(trace)
    if any(_address(text) is None for text in _BRACKETED.findall(clause)):
        return _unreadable(words)
    clients = list(_addresses(clause))
    if not clients:
        return _unreadable(words)
    strangers = [str(client) for client in clients if not _is_inside(client, networks)]
    return f"the mail came from {strangers[0]}, outside its networks" if strangers else ""


def _unreadable(words: str) -> str:
    return f'no client\'s address can be read in "Received: {words[:60]}"'


def _is_local(trace: str) -> bool:
    return (
        _LOCAL.fullmatch(trace) is not None
        and trace.count(" by ") < 2
        and not list(_addresses(trace))
    )


def _from_clause(trace: str) -> str:
    """Everything before the last ``by``, wherever that stands.

    What a client says of itself (HELO) can hold a ``by`` of its own, or a bracket that hides the
    real one; cutting at the last can only add addresses to those that must be inside.
    """
    before, by, _ = f" {trace}".rpartition(" by ")
    return before if by else trace


def _addresses(text: str) -> Iterator[Address]:
    for found in _NUMBERS.finditer(text):
        address = _address(found["ip"])
        if address is not None:
            yield address


def _address(text: str) -> Address | None:
    """Read ``1.2.3.4``, ``IPv6:::1``, ``fe80::1%eth0``, ``[::ffff:1.2.3.4]``; else None."""
    bare = text.strip().strip("[]").partition("%")[0]
    if bare[:5].lower() == "ipv6:":
        bare = bare[5:]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_inside(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
