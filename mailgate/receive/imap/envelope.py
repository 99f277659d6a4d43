"""Sender and recipient of a mail that lies in a mailbox: its header is all that tells."""

from collections.abc import Callable, Iterator
from itertools import islice

from mailgate.model import Envelope
from mailgate.parse.address import mailboxes
from mailgate.parse.header import Header
from mailgate.receive.pipe import bare

# Addresses that are looked at: a mail may name any number of people beside us.
_MOST = 2000


def envelope(
    header: Header, *, domain: str, trusted: bool, is_ours: Callable[[Envelope, str], bool]
) -> Envelope:
    """Return the envelope: the sender from Return-Path or else From, the first address of ours.

    That is looked for in Delivered-To and X-Original-To, then in To and Cc: an alias may leave only
    the mailbox's own name in the first. Where ``is_ours`` takes none, the recipients are those in
    our ``domain`` as far as there are any, for the words of the refusal.
    """
    found = Envelope(sender=_sender(header), recipients=(), door="imap", trusted=trusted, hop=True)
    named = islice(dict.fromkeys(_named(header)), _MOST)
    near = [address for address in named if address.lower().endswith(f"@{domain}")]
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


def _named(header: Header) -> Iterator[str]:
    for name in ("delivered-to", "x-original-to"):
        for value in header.all(name):
            yield bare(value)
    for name in ("to", "cc"):
        for value in header.all(name):
            for box in mailboxes(value):
                yield box.address
