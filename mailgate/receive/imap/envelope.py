"""Sender and recipient of a mail that lies in a mailbox: its header is all that tells."""

from collections.abc import Callable, Iterator
from itertools import islice

from mailgate.model import Envelope
from mailgate.parse.address import mailboxes
from mailgate.parse.header import Header
from mailgate.receive.pipe import bare

# Addresses that are looked at, of all and of those in our domain: a mail may name any number.
_MOST, _MOST_NEAR = 2000, 100
# Characters of To and Cc that are read for them, in the event loop: some 0.2 s of the worst.
_MOST_CHARACTERS = 64 << 10


def envelope(
    header: Header, *, own: str, trusted: bool, is_ours: Callable[[Envelope, str], bool]
) -> Envelope:
    """Return the envelope: the sender from Return-Path or else From, the first address of ours.

    That is looked for in Delivered-To and X-Original-To, then in To and Cc: an alias may leave only
    the mailbox's own name in the first. So the gateway's ``own`` address counts there only where no
    other is named. Where ``is_ours`` takes none, the recipient is the first in our domain, if there
    is one, for the words of the refusal.
    """
    found = Envelope(sender=_sender(header), recipients=(), door="imap", trusted=trusted, hop=True)
    domain = own.rpartition("@")[2]
    named = dict.fromkeys(islice(_named(header, own), _MOST))
    near = [a for a in named if a.lower().endswith(f"@{domain}")][:_MOST_NEAR]
    first = next((address for address in near if is_ours(found, address)), None)
    return Envelope(
        sender=found.sender,
        recipients=(first,) if first is not None else tuple(near[:1]),
        door=found.door,
        trusted=trusted,
        hop=True,
    )


def _sender(header: Header) -> str:
    returned = header.first("return-path")
    if returned is not None:
        return bare(returned)
    return next(iter(header.from_addresses()), "")


def _named(header: Header, own: str) -> Iterator[str]:
    delivered = [bare(v) for n in ("delivered-to", "x-original-to") for v in header.all(n)]
    yield from (address for address in delivered if address.lower() != own)
    left = _MOST_CHARACTERS
    for value in (*header.all("to"), *header.all("cc")):
        yield from (box.address for box in mailboxes(value[:left]))
        left = max(left - len(value), 0)
    yield from (address for address in delivered if address.lower() == own)
