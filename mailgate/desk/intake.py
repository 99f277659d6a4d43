"""The bytes of one message on their way in, and what makes them durable."""

import hashlib
import secrets
from collections.abc import Mapping

from mailgate import crash
from mailgate.desk.desk import Desk
from mailgate.errors import (
    MailgateError,
    TooBig,
)
from mailgate.model import Envelope
from mailgate.parse.header import Header
from mailgate.spool import files, mail

# Up to here a mail is kept as a BLOB in the group-committed row, past it as a file of its own: an
# insert of 128 KiB costs about what a second fsync does.
SMALL = 128 << 10
# A header block past this is refused: nothing that a person sends comes near it.
HEADER = 256 << 10


class Intake:
    """The bytes of one message on their way in: in memory while small, in a file when big.

    Blocking; a failed write is remembered and told at the end, so that a door can read on.

    Attributes
    ----------
    refused
        Once sealed: recipients that do not get it, for a door that tells each.
    """

    def __init__(self, desk: Desk, envelope: Envelope) -> None:
        self._desk = desk
        self._envelope = envelope
        self._head = bytearray()
        self._hash = hashlib.sha256()
        self._bytes = files.Growing(desk.folder.mail / secrets.token_hex(12), small=SMALL)
        self._size = 0
        self._trouble: MailgateError | None = None
        self.refused: Mapping[str, MailgateError] = {}

    @property
    def big(self) -> bool:
        """The bytes lie in a file: sealing waits for the disk."""
        return self._bytes.big

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Never raises."""
        self._size += len(block)
        self._hash.update(block)
        if len(self._head) <= HEADER:
            self._head += block[: HEADER + 2 - len(self._head)]
        if self._trouble is not None:
            return
        try:
            self._keep(block)
        except OSError as error:
            self._trouble = files.failed(error)
        except MailgateError as error:
            self._trouble = error
        if self._trouble is not None:
            # What cannot be kept gives its space back at once.
            self.discard()

    def _keep(self, block: bytes | bytearray | memoryview) -> None:
        if self._size > SMALL:
            self._desk.room(len(block))
        self._bytes.write(block)

    def seal(self) -> mail.Accepted:
        """Judge the message and make its bytes durable; what is left is to commit its row.

        Raises
        ------
        Refusal, Transient
            It is not taken, or cannot be now. Nothing of it stays.
        """
        try:
            return self._seal()
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise files.failed(error) from error
            raise

    def _seal(self) -> mail.Accepted:
        header = self._header()
        verdict = self._desk.judge(self._envelope, header, self._size)
        self.refused = verdict.refused
        if self._trouble is not None:
            raise self._trouble
        self._desk.room(self._size if verdict.kept else 0)
        if verdict.kept:
            body = self._bytes.seal()
        else:
            body = None
            self._bytes.discard()
        crash.point("accept:durable")
        digest = self._hash.hexdigest()
        return mail.Accepted(
            door=self._envelope.door,
            peer=self._envelope.peer,
            sender=self._envelope.sender,
            identity=verdict.identity,
            key=header.message_id() or f"sha256:{digest}",
            sha256=digest,
            size=self._size,
            body=body,
            file=self._bytes.path.name if verdict.kept and body is None else None,
            errands=verdict.errands,
            letters=verdict.letters,
            held=verdict.held,
            by=verdict.by,
            room=verdict.room,
            counted=verdict.counted,
        )

    def _header(self) -> Header:
        end = header_end(self._head)
        if end > HEADER or (end < 0 and len(self._head) > HEADER):
            message = f"the header block is over {HEADER >> 10} KiB"
            raise TooBig(message)
        return Header.scan(bytes(self._head if end < 0 else self._head[:end]))

    def message_id(self) -> str | None:
        """Return the Message-ID as far as one can be read: for the log."""
        try:
            return self._header().message_id()
        except TooBig:
            return None

    def room(self) -> None:
        """Check that what is decided about the message can still be written down.

        Raises
        ------
        NoSpace
            A stranger whose mail is refused shall not fill the last of the disk with that.
        """
        self._desk.room()

    def discard(self) -> None:
        """Forget the bytes."""
        self._bytes.discard()


def header_end(head: bytes | bytearray) -> int:
    """Return the offset just past the blank line that ends a header block; -1 if there is none."""
    ends = [
        at + len(mark) for mark in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := head.find(mark)) >= 0
    ]
    if head.startswith((b"\r\n", b"\n")):
        return head.index(b"\n") + 1
    return min(ends, default=-1)
