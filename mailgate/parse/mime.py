"""Where the parts of a mail lie: a map of byte offsets, made in one pass over a seekable file.

The standard library's parser wants the whole mail in memory several times over, recurses, and
raises on mails that people send. This one keeps one block, has no recursion, and answers rubbish
with leaves and defects; only what is over a cap is refused.
"""

import os
from dataclasses import dataclass
from typing import BinaryIO

from mailgate.errors import Refusal
from mailgate.model import Slice
from mailgate.parse.header import MAX_HEADERS, Header
from mailgate.parse.transfer import BLOCK, holds_uuencode
from mailgate.parse.words import Valued, parameters

MAX_HEADER_BYTES = 256 * 1024
MAX_PARTS = 1000
MAX_DEPTH = 50
_MAX_BOUNDARY = 1000
_MAX_DASHED_LINES = 2_000_000  # about a second of looking at lines that only resemble a boundary
_FIRST_LOOK = 8 * 1024  # nearly every header block is shorter


class Unreadable(Refusal):
    """The mail is over a cap of the reader: nothing of it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A part that holds content rather than parts.

    ``name`` is what the sender called it, None if nothing; ``attached``: its disposition says so.
    ``within`` numbers the multipart it is a direct child of (None at the root), ``alternative`` the
    nearest multipart/alternative around it. ``type`` holds Content-Type's parameters. ``cut_off``:
    the mail ended before any boundary that ends the part.
    """

    media_type: str
    type: Valued
    name: str | None
    attached: bool
    slice: Slice
    within: int | None
    alternative: int | None
    cut_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """The root's header, every leaf in the order in which it stands, and what was wrong."""

    header: Header
    leaves: tuple[Leaf, ...]
    defects: tuple[str, ...]


def read_map(source: BinaryIO) -> Map:
    """Find every leaf of the mail in ``source``.

    Raises
    ------
    Unreadable
        More than 256 KiB of header in one part, 1000 headers, 1000 parts or 50 levels.
    """
    return _Reader(source).read()


class _Window:
    """The bytes of a file around a position that only moves forward, a block at a time."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._base = 0
        self._next = 0
        self._buffer = b""
        self._only_cr = False
        self._fill(0)
        # Ends of line that are CR alone (old Macs) are seen as LF; the bytes in the file stay.
        self._only_cr = b"\r" in self._buffer and b"\n" not in self._buffer
        if self._only_cr:
            self._buffer = self._buffer.replace(b"\r", b"\n")

    def at(self, start: int, size: int) -> bytes:
        """At most ``size`` bytes from ``start`` on."""
        if start < self._base or start > self._next:
            self._base = self._next = start
            self._buffer = b""
        while self._next < start + size and self._fill(start):
            pass
        return self._buffer[start - self._base : start - self._base + size]

    def dashed(self, prefix: bytes, start: int) -> tuple[int, bytes] | None:
        """Find the first line from ``start`` on that begins with ``prefix``: its offset and text.

        ``start`` is the beginning of a line; the text is as ``line`` gives it.
        """
        if self.at(start, len(prefix)) == prefix:
            return start, self.line(start)
        mark = b"\n" + prefix
        while True:
            found = self._buffer.find(mark, max(0, start - self._base))
            if found >= 0:
                start = self._base + found + 1
                return start, self.line(start)
            start = max(start, self._next - len(mark) + 1)
            if not self._fill(start):
                return None

    def line(self, start: int) -> bytes:
        """Return the line at ``start``, cut after 2 KiB, without its LF."""
        text = self._buffer[start - self._base : start - self._base + 2 * _MAX_BOUNDARY]
        if b"\n" not in text:
            text = self.at(start, 2 * _MAX_BOUNDARY)
        return text.partition(b"\n")[0]

    def _fill(self, keep: int) -> bool:
        """Read one more block, forgetting what lies before ``keep``."""
        self._source.seek(self._next)
        block = self._source.read(BLOCK)
        if not block:
            return False
        if self._only_cr:
            block = block.replace(b"\r", b"\n")
        kept = self._buffer[max(0, keep - self._base) :]
        self._base = self._next - len(kept)
        self._next += len(block)
        self._buffer = kept + block
        return True


@dataclass(slots=True, kw_only=True)
class _Entity:
    """A part whose end is not known yet."""

    media_type: str
    type: Valued
    name: str | None
    attached: bool
    encoding: str
    start: int
    within: int | None = None
    alternative: int | None = None
    # Of a multipart alone:
    number: int = 0
    boundary: bytes = b""
    parts: int = 0


class _Reader:
    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._window = _Window(source)
        self._open: list[_Entity] = []
        self._leaf: _Entity | None = None
        self._leaves: list[Leaf] = []
        self._defects: dict[str, None] = {}
        self._entities = 0
        self._cut_off = False
        self._lines_left = _MAX_DASHED_LINES
        self._prefix = b""
        self._marks: dict[bytes, tuple[int, bool]] = {}

    def read(self) -> Map:
        header, position = self._header(0)
        self._enter(header, position, "text/plain")
        while self._open and (delimiter := self._next_delimiter(position)):
            position = self._pass(*delimiter)
        self._cut_off = bool(self._open)
        self._finish(self._source.seek(0, os.SEEK_END))
        return Map(header=header, leaves=tuple(self._leaves), defects=tuple(self._defects))

    # --- delimiters ---

    def _next_delimiter(self, position: int) -> tuple[int, int, int, bool] | None:
        """Find the next boundary line: its offset, the next line's, its level, is it the last."""
        while dashed := self._window.dashed(self._prefix, position):
            start, line = dashed
            if mark := self._marks.get(line.rstrip(b" \t\r")):
                return start, start + len(line) + 1, *mark
            position = start + len(line)
            position += self._window.at(position, 1) == b"\n"
            self._count_dashed()
        return None

    def _count_dashed(self) -> None:
        self._lines_left -= 1
        if not self._lines_left:
            raise Unreadable("The mail holds millions of lines that look like its own boundaries.")

    def _watch(self) -> None:
        """Prepare to look for every open boundary; of equal ones the outermost counts."""
        self._marks = {}
        for level, entity in reversed(list(enumerate(self._open))):
            self._marks[b"--" + entity.boundary + b"--"] = (level, True)
        for level, entity in reversed(list(enumerate(self._open))):
            self._marks[b"--" + entity.boundary] = (level, False)
        boundaries = [entity.boundary for entity in self._open]
        # Of strings, not of paths: what every line that ends a part begins with.
        self._prefix = b"--" + (os.path.commonprefix(boundaries) or b"")  # noqa: RUF071

    def _pass(self, start: int, after: int, level: int, last: bool) -> int:  # noqa: FBT001
        """End what ends at a boundary line and begin what begins there; return where to read on."""
        self._finish(start, level + 1)
        multipart = self._open[level]
        if last:
            self._close(multipart, start)
            del self._open[level:]
            self._watch()
            return after
        multipart.parts += 1
        header, body = self._header(self._behind_repeated(after, level))
        digest = multipart.media_type == "multipart/digest"
        self._enter(header, body, "message/rfc822" if digest else "text/plain")
        return body

    def _behind_repeated(self, start: int, level: int) -> int:
        """Pass over boundary lines of that level that follow at once: no part lies between them."""
        while self._window.at(start, len(self._prefix)) == self._prefix:
            line = self._window.line(start)
            mark = self._marks.get(line.rstrip(b" \t\r"))
            if not mark or mark[0] != level:
                break
            start += len(line) + 1
            self._count_dashed()
        return start

    def _before_line_end(self, end: int) -> int:
        """Return ``end``, or where the line end right before it begins."""
        before = self._window.at(max(0, end - 2), min(2, end))
        return end - (2 if before == b"\r\n" else before[-1:] == b"\n")

    # --- parts ---

    def _header(self, start: int) -> tuple[Header, int]:
        """Read the header block at ``start``; also the offset of the body behind it."""
        size = _FIRST_LOOK
        while True:
            block = self._window.at(start, size)
            header = Header.scan(block)
            if header.overfull:
                raise Unreadable(f"A header of the mail has more than {MAX_HEADERS} fields.")
            if header.blank or len(block) < size or b"\n" in block[header.end :]:
                break
            if size > MAX_HEADER_BYTES:
                if header.end > MAX_HEADER_BYTES:
                    raise Unreadable(f"A header of the mail is over {MAX_HEADER_BYTES >> 10} KiB.")
                break
            size = min(size * 8, MAX_HEADER_BYTES + 1)
        self._defects.update(dict.fromkeys(header.defects))
        return self._before_boundary(header, block, start)

    def _before_boundary(self, header: Header, block: bytes, start: int) -> tuple[Header, int]:
        """Cut a part's header at an open boundary (one with a colon looks like a field)."""
        if not self._open or b"--" not in block[: header.end]:
            return header, start + header.end
        position = 0
        for line in block[: header.end].splitlines(keepends=True):
            if line.startswith(b"--") and line.rstrip(b" \t\r\n") in self._marks:
                return Header.scan(block[:position]), start + position
            position += len(line)
        return header, start + header.end

    def _enter(self, header: Header, start: int, default: str) -> None:
        """Begin the part whose body starts at ``start``."""
        self._entities += 1
        if self._entities > MAX_PARTS:
            raise Unreadable(f"The mail has more than {MAX_PARTS} parts.")
        entity = _entity(header, start, default)
        if self._open:
            entity.within = self._open[-1].number
            alternatives = [e.number for e in self._open if e.media_type == "multipart/alternative"]
            entity.alternative = alternatives[-1] if alternatives else None
        entity.number = self._entities
        if not entity.boundary:
            self._leaf = entity
            return
        if len(self._open) == MAX_DEPTH:
            raise Unreadable(f"The mail nests parts more than {MAX_DEPTH} deep.")
        self._open.append(entity)
        self._watch()

    def _finish(self, end: int, level: int = 0) -> None:
        """End the current leaf, and every open multipart from ``level`` on, at ``end``.

        The line end before it is the boundary's; where the last is missing, as if it were there.
        """
        if self._leaf:
            self._add_leaf(self._leaf, self._before_line_end(end) if self._open else end)
            self._leaf = None
        for entity in self._open[level:]:
            self._defects["the last boundary of a multipart is missing"] = None
            self._close(entity, end)
        if level < len(self._open):
            del self._open[level:]
            self._watch()

    def _close(self, multipart: _Entity, end: int) -> None:
        if not multipart.parts:
            self._add_leaf(multipart, end)

    def _add_leaf(self, entity: _Entity, end: int) -> None:
        end = max(end, entity.start)
        if entity.media_type.startswith("multipart/"):
            self._defects["a multipart without parts"] = None
        encoding = entity.encoding
        if encoding == "x-uuencode" and not holds_uuencode(self._source, entity.start, end):
            self._defects["a part that says it is uuencoded and is not"] = None
            encoding = "binary"
        self._leaves.append(
            Leaf(
                media_type=entity.media_type,
                type=entity.type,
                name=entity.name,
                attached=entity.attached,
                slice=Slice(start=entity.start, end=end, encoding=encoding),
                within=entity.within,
                alternative=entity.alternative,
                cut_off=self._cut_off,
            )
        )


# --- what a part's header says --------------------------------------------------------------------


def _entity(header: Header, start: int, default: str) -> _Entity:
    content = _content_type(header, default)
    disposition = parameters(header.first("content-disposition") or "")
    names = (disposition.parameters.get("filename"), content.parameters.get("name"))
    name = next((one for one in names if one and not one.isspace()), None)
    boundary = ""
    if content.main.startswith("multipart/"):
        boundary = content.parameters.get("boundary", "").rstrip()
    return _Entity(
        media_type=content.main,
        type=content,
        name=name,
        attached=disposition.main == "attachment",
        encoding=_encoding(header.first("content-transfer-encoding")),
        start=start,
        boundary=boundary.encode("utf-8", "replace")[:_MAX_BOUNDARY],
    )


def _content_type(header: Header, default: str) -> Valued:
    value = header.first("content-type")
    if value is None:
        return Valued(main=default)
    content = parameters(value)
    kind, _, subtype = content.main.partition("/")
    if kind and subtype and "/" not in subtype:
        return content
    return Valued(main="text/plain", parameters=content.parameters)


_ENCODINGS = {
    "base64": "base64",
    "quoted-printable": "quoted-printable",
    "uuencode": "x-uuencode",
    "x-uuencode": "x-uuencode",
    "x-uue": "x-uuencode",
    "uue": "x-uuencode",
}


def _encoding(value: str | None) -> str:
    word = (value or "").partition(";")[0].strip(" \t\"'").lower()
    return _ENCODINGS.get(word, "binary")
