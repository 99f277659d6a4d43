"""mailgate receive: take one mail from standard input, durably, as a delivery agent does."""

import os
import sys
from collections.abc import Iterator

from mailgate import log
from mailgate.cli.options import complain, loaded, parser
from mailgate.errors import MailgateError, Refusal, Transient
from mailgate.model import Envelope
from mailgate.receive import pipe

_BLOCK = 256 << 10


def run(words: list[str]) -> int:
    """Take a mail; exit 0, 65 (refused), 77 (not allowed), and 75 (try again) for all else.

    A mail server bounces a mail for any other status: a slip in the configuration, a broken disk or
    a bug of ours must not cost a mail.
    """
    try:
        _take(words)
    except SystemExit as end:
        # A slip in the mail server's own line for us: argparse has told it.
        if not end.code:
            raise
        return Transient.exit_status
    except Refusal:
        raise
    except MailgateError as error:
        complain(str(error))
        log.event("delayed", what="mail", door="pipe", detail=error.detail or None)
        return Transient.exit_status
    except Exception as error:  # noqa: BLE001 - the top of a door
        log.event("failed", what="mail", door="pipe", reason=repr(error))
        return Transient.exit_status
    return 0


def _take(words: list[str]) -> None:
    made = parser("receive", __doc__)
    made.add_argument(
        "--sender", metavar="A", help="the envelope sender; '' or '<>' is the null one"
    )
    made.add_argument(
        "--recipient",
        metavar="B",
        action="append",
        nargs="+",
        default=[],
        help="an envelope recipient; may be given several times",
    )
    given = made.parse_args(words)
    config, services = loaded(given.config)
    blocks = _blocks()
    head = next(blocks, b"")
    sender, recipients = pipe.addresses(
        head,
        os.environ,
        sender=given.sender,
        recipients=[r for some in given.recipient for r in some],
        domain=config.gateway.address.rpartition("@")[2],
    )
    envelope = Envelope(
        sender=sender, recipients=recipients, door="pipe", trusted=config.pipe.trust
    )
    pipe.take(config, services, envelope, _all(head, blocks))


def _blocks() -> Iterator[bytes]:
    """Yield standard input in blocks, the first one as long as the header can be."""
    try:
        while block := sys.stdin.buffer.read(_BLOCK):
            yield block
    except OSError as error:
        message = f"standard input, which the mail comes by, cannot be read: {error.strerror}"
        raise Transient(message) from error


def _all(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield _without_mbox_line(head)
    yield from rest


def _without_mbox_line(head: bytes) -> bytes:
    """Procmail and some delivery agents put a "From " line before the header."""
    if head.startswith(b"From "):
        return head[head.find(b"\n") + 1 :]
    return head
