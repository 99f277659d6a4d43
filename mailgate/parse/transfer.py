"""Undo a content transfer encoding (RFC 2045 section 6) in a stream, whatever the bytes.

Each decoder takes blocks of any size and gives back what is sure so far; ``damage`` then says what
was wrong, in words, or None. Memory stays at the size of a block.
"""

import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from mailgate.model import Slice
from mailgate.saying import Saying

BLOCK = 256 * 1024
"""Bytes read and handed on at a time."""


class Decoder(Protocol):
    """One direction of one encoding."""

    damage: Saying | None

    def feed(self, block: bytes) -> bytes:
        """Take the next encoded bytes, return the decoded ones that are complete."""
        ...

    def finish(self) -> bytes:
        """Return what is left at the end of the part."""
        ...


def decoder(encoding: str) -> Decoder:
    """Return a new decoder for a ``Slice.encoding``."""
    match encoding:
        case "base64":
            return Base64()
        case "quoted-printable":
            return QuotedPrintable()
        case "x-uuencode":
            return Uuencode()
        case _:
            return Binary()


def decoded(source: BinaryIO, part: Slice) -> Iterator[bytes]:
    """Yield a part's content after transfer decoding, in blocks of at most 256 KiB."""
    return decoding(source, part, decoder(part.encoding))


def decoding(source: BinaryIO, part: Slice, by: Decoder) -> Iterator[bytes]:
    """Like ``decoded``, with a decoder whose ``damage`` the caller reads afterwards."""
    for block in raw(source, part.start, part.end):
        content = by.feed(block)
        for start in range(0, len(content), BLOCK):
            yield content[start : start + BLOCK]
    if content := by.finish():
        yield content


def raw(source: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes [start, end) of a seekable file as they stand, in blocks."""
    while start < end:
        # Others may read the same file between two of our blocks.
        source.seek(start)
        block = source.read(min(BLOCK, end - start))
        if not block:
            return
        start += len(block)
        yield block


class Binary:
    """7bit, 8bit, binary, and every encoding that nobody knows."""

    damage: Saying | None = None

    def feed(self, block: bytes) -> bytes:
        """See ``Decoder``."""
        return block

    def finish(self) -> bytes:
        """See ``Decoder``."""
        return b""


_SPACE = b" \t\r\n\v\f"
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_JUNK = bytes(set(range(256)) - set(_DIGITS) - {ord("=")})


class Base64:
    """RFC 2045 section 6.8: foreign characters are passed over, padding ends the data."""

    def __init__(self) -> None:
        self.damage: Saying | None = None
        self._carry = b""
        self._ended = False

    def feed(self, block: bytes) -> bytes:
        """See ``Decoder``."""
        text = self._carry + block.translate(None, _SPACE)
        if self._ended:
            return self._after_end(text)
        whole = len(text) - len(text) % 4
        try:
            content = binascii.a2b_base64(text[:whole], strict_mode=True)
        except binascii.Error:
            return self._leniently(text)
        self._carry = text[whole:]
        self._ended = text[whole - 1 : whole] == b"="
        return content

    def finish(self) -> bytes:
        """See ``Decoder``."""
        digits = self._carry.translate(None, _JUNK + b"=")
        if self._carry.translate(None, _DIGITS + b"="):
            self.damage = Saying("damage/base64-foreign")
        if not digits or self._ended:
            return b""
        self.damage = Saying("damage/base64-breaks-off")
        if len(digits) % 4 == 1:
            digits = digits[:-1]
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))

    def _after_end(self, text: bytes) -> bytes:
        if text:
            self.damage = Saying("damage/base64-more")
        return b""

    def _leniently(self, text: bytes) -> bytes:
        """Pass over what is no digit, and over padding where none can be, as most readers do."""
        kept = text.translate(None, _JUNK)
        if len(kept) != len(text):
            self.damage = Saying("damage/base64-foreign")
        pieces = kept.split(b"=")
        length = 0
        for number, piece in enumerate(pieces[:-1]):
            length += len(piece)
            if length % 4 == 3 or (length % 4 == 2 and self._pads_twice(pieces, number)):
                return self._end_at(pieces, number, length)
        digits = b"".join(pieces)
        whole = len(digits) - len(digits) % 4
        self._carry = digits[whole:] + (b"=" if len(digits) % 4 == 2 and not pieces[-1] else b"")
        return binascii.a2b_base64(digits[:whole])

    @staticmethod
    def _pads_twice(pieces: list[bytes], number: int) -> bool:
        return not pieces[number + 1] and number + 2 < len(pieces)

    def _end_at(self, pieces: list[bytes], number: int, length: int) -> bytes:
        self._ended = True
        self._carry = b""
        self._after_end(b"".join(pieces[number + 1 :]))
        digits = b"".join(pieces[: number + 1])
        return binascii.a2b_base64(digits + b"=" * (-length % 4))


_ODD_BREAK = re.compile(rb"=[ \t]++\r?\n|=\r(?!\n)")
_SOFT_BREAK = re.compile(rb"=[ \t]*+(?:\r\n|\n|\r)")
_UNQUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
_LONGEST_TAIL = 1024


class QuotedPrintable:
    """RFC 2045 section 6.7; an equals sign that quotes nothing stays."""

    def __init__(self) -> None:
        self.damage: Saying | None = None
        self._carry = b""

    def feed(self, block: bytes) -> bytes:
        """See ``Decoder``."""
        text = self._carry + block
        cut = text.rfind(b"\n") + 1 or self._inside_a_line(text)
        self._carry = text[cut:]
        if len(self._carry) > BLOCK:
            cut += self._inside_a_line(self._carry)
            self._carry = text[cut:]
        return self._decode(text[:cut])

    def finish(self) -> bytes:
        """See ``Decoder``."""
        # A soft break that ends the part has lost its line end to the boundary.
        text = self._carry.rstrip(b" \t\r\n")
        return self._decode(text[:-1] if text.endswith(b"=") else self._carry)

    @staticmethod
    def _inside_a_line(text: bytes) -> int:
        """Where a line may be cut without cutting through what an equals sign quotes."""
        quote = text.rfind(b"=", max(0, len(text) - _LONGEST_TAIL))
        if quote < 0:
            return len(text)
        # Two equals signs are one: a run of them is cut between pairs.
        start = len(text[:quote].rstrip(b"="))
        return quote - (quote - start) % 2

    def _decode(self, text: bytes) -> bytes:
        if b"=" not in text:
            return text
        if _ODD_BREAK.search(text):
            text = _SOFT_BREAK.sub(b"", text)
        if not self.damage and _UNQUOTED.search(text):
            self.damage = Saying("damage/quoted-printable")
        return binascii.a2b_qp(text)


_BEGIN = re.compile(rb"begin [0-7]{3,4} [^\r\n]*")


class Uuencode:
    """uuencode(1): the lines between ``begin`` and ``end``."""

    def __init__(self) -> None:
        self.damage: Saying | None = None
        self._carry = b""
        self._inside = False
        self._ended = False

    def feed(self, block: bytes) -> bytes:
        """See ``Decoder``."""
        lines = (self._carry + block).split(b"\n")
        self._carry = lines.pop()
        if len(self._carry) > BLOCK:
            lines.append(self._carry)
            self._carry = b""
        return b"".join(map(self._line, lines))

    def finish(self) -> bytes:
        """See ``Decoder``."""
        last = self._line(self._carry)
        if not self._ended:
            self.damage = Saying("damage/uu-breaks-off")
        return last

    def _line(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        if self._ended or not line:
            return b""
        if not self._inside:
            self._inside = _BEGIN.fullmatch(line) is not None
            return b""
        if line.rstrip() == b"end":
            self._ended = True
            return b""
        return self._content(line)

    def _content(self, line: bytes) -> bytes:
        wanted = (((line[0] - 32) & 63) * 4 + 5) // 3
        for text in (line, line[:wanted]):
            try:
                return binascii.a2b_uu(text)
            except binascii.Error:
                continue
        self.damage = Saying("damage/uu-line")
        return b""


def holds_uuencode(source: BinaryIO, start: int, end: int) -> bool:
    """Whether a ``begin`` line stands in the first 64 KiB, so that there is something to decode."""
    head = b"".join(raw(source, start, min(end, start + 64 * 1024)))
    return any(_BEGIN.fullmatch(line.rstrip(b"\r")) for line in head.split(b"\n"))
