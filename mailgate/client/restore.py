"""The right bytes of a stream, out of a part that mail programs may have rewritten.

base64 keeps bytes, so a big stream in it is decoded, checked and written in one pass. Every other
part, and what does not have the size it should, is read before anything is written: line ends may
have changed, an empty line at the end come or gone, ``From`` been quoted (mboxo, mboxrd), a footer
been added. The variant whose SHA-256 is the manifest's is the stream.
"""

import hashlib
import re
from collections.abc import Callable, Iterator

from mailgate.client.decode import base64_size, whole_lines
from mailgate.client.errors import Damaged
from mailgate.client.letter import Part
from mailgate.client.manifest import Stream
from mailgate.client.words import shown, size

Write = Callable[[bytes], None]

_SMALL = 1024 * 1024
"""Encoded bytes up to which a stream is checked before any of it is written: it costs nothing."""

_MOST_LINES_LOST = 8
"""Empty lines that a mail program may have cut from a text's end."""

_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_QUOTED_ONCE = re.compile(rb"^>(From )", re.MULTILINE)


def pour(part: Part, stream: Stream, write: Write) -> None:
    """Hand the stream's bytes to ``write``, block by block.

    Raises
    ------
    Damaged
        They are not the bytes that were sent. Of a big stream some may have been written.
    """
    if _can_be_poured_at_once(part, stream):
        blocks = part.decoded()
    else:
        variant = _right_variant(part, stream)
        blocks = variant.of(part, stream.size)
    # No thread for summing and writing: on two cores it won 6 %, and nothing on a busy machine.
    check = _passed(_up_to(stream.size, blocks), write)
    if not check.fits(stream):
        raise Damaged(f"{shown(stream.name)} is damaged: its SHA-256 is not the one in job.json")


def intact(part: Part, stream: Stream) -> bool:
    """Whether the part's content is the stream's, read to its end."""
    try:
        pour(part, stream, _nowhere)
    except Damaged:
        return False
    return True


class _Variant:
    """One guess at what a rewritten text was: its line ends and its quoted From lines."""

    __slots__ = ("_line_end", "_quoted")

    def __init__(self, line_end: bytes, quoted: re.Pattern[bytes] | None) -> None:
        self._line_end = line_end
        self._quoted = quoted

    def of(self, part: Part, wanted: int) -> Iterator[bytes]:
        """Yield the part's content under this guess, cut or filled to ``wanted`` bytes."""
        left = wanted
        for lines in _up_to(wanted, map(self._guessed, whole_lines(part.decoded()))):
            left -= len(lines)
            yield lines
        end = self._line_end or b"\n"
        if 0 < left <= _MOST_LINES_LOST * len(end):
            yield end * (left // len(end))

    def _guessed(self, lines: bytes) -> bytes:
        if self._quoted and b">From " in lines:
            lines = self._quoted.sub(rb"\1", lines)
        if self._line_end:
            lines = lines.replace(b"\r\n", b"\n")
        return lines.replace(b"\n", b"\r\n") if self._line_end == b"\r\n" else lines


_AS_IT_IS = _Variant(b"", None)
_OTHER_LINE_ENDS = tuple(_Variant(end, None) for end in (b"\n", b"\r\n"))
_UNQUOTED = tuple(
    _Variant(end, how) for how in (_QUOTED, _QUOTED_ONCE) for end in (b"", b"\n", b"\r\n")
)


class _Check:
    """Counts and sums what passes through it on its way out."""

    __slots__ = ("_sum", "_write", "count")

    def __init__(self, write: Write) -> None:
        self.count = 0
        self._sum = hashlib.sha256()
        self._write = write

    def take(self, block: bytes) -> None:
        self.count += len(block)
        self._sum.update(block)
        self._write(block)

    def fits(self, stream: Stream) -> bool:
        return self.count == stream.size and self._sum.hexdigest() == stream.sha256


def _can_be_poured_at_once(part: Part, stream: Stream) -> bool:
    return (
        part.encoding == "base64"
        and part.end - part.start > _SMALL
        and base64_size(part.source, part.start, part.end) == stream.size
    )


def _right_variant(part: Part, stream: Stream) -> _Variant:
    """Return the guess that gives the stream.

    Raises
    ------
    Damaged
        None does.
    """
    check = _Check(_nowhere)
    lines, quoted = 0, False
    for block in _AS_IT_IS.of(part, stream.size):
        check.take(block)
        lines += block.count(b"\n")
        quoted = quoted or b">From " in block
    if check.fits(stream):
        return _AS_IT_IS
    if check.count + lines + 2 * _MOST_LINES_LOST < stream.size:
        amounts = f"{size(check.count)} of {size(stream.size)} are there"
        raise Damaged(f"{shown(stream.name)} is damaged: {amounts}")
    for variant in (*_OTHER_LINE_ENDS, *(_UNQUOTED if quoted else ())):
        if _passed(variant.of(part, stream.size), _nowhere).fits(stream):
            return variant
    raise Damaged(f"{shown(stream.name)} is damaged: its SHA-256 is not the one in job.json")


def _passed(blocks: Iterator[bytes], write: Write) -> _Check:
    check = _Check(write)
    for block in blocks:
        check.take(block)
    return check


def _nowhere(_: bytes) -> None:
    """Write nothing: the bytes are only checked."""


def _up_to(wanted: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut off what follows: a footer that a list appended."""
    for block in blocks:
        yield block[:wanted]
        wanted -= len(block)
        if wanted <= 0:
            return
