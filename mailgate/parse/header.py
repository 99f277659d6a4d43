"""A header block as it stands: fields in order, found by name, unfolded on demand.

Used in the SMTP session on hostile input, so everything is linear in the block, and nothing raises.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice

from mailgate.parse.address import Mailbox, mailboxes

MAX_HEADERS = 1000
"""Fields beyond these are not kept; ``overfull`` tells."""

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
_SKIPPED = re.compile(rb">?From [^\n]*+\n?|:[^\n]*+\n?")
_LEADING = re.compile(rb"(?:[ \t]++[^\s][^\n]*+\n)*+")
_BLANK = re.compile(rb"\r?\n|\r?\Z")
MAX_FROM = 4096
"""Characters of a From field that are read for addresses."""

_MAX_FROM_FIELDS = 10
_MAX_FROM_ADDRESSES = 100
_MAX_ID = 998
_BRACKETED = re.compile(r"<\s*+([^<>\s]++)\s*+>")


class Header:
    """One header block. ``names`` compare without case; values come unfolded and stripped.

    ``end`` is the offset just behind the blank line (or of the first line that is no header field,
    where the body then begins), ``blank`` whether that line was there, ``defects`` what was wrong.
    """

    __slots__ = ("_fields", "_found", "blank", "defects", "end", "overfull")

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields
        self._found: dict[str, list[str]] = {}
        self.end = 0
        self.blank = False
        self.overfull = False
        self.defects: tuple[str, ...] = ()

    @classmethod
    def scan(cls, block: bytes) -> "Header":
        """Read a raw block, CRLF or LF, up to its blank line, its end, or a line that is no field.

        A leading mbox ``From `` line and fields without a name are passed over.
        """
        fields: list[tuple[bytes, bytes]] = []
        defects: list[str] = []
        position = _LEADING.match(block).end()  # type: ignore[union-attr]  # it matches anything
        if position:
            defects.append("the header begins with a folded line")
        for _ in range(MAX_HEADERS + 1):
            if field := _FIELD.match(block, position):
                fields.append((field[1].lower(), field[2]))
                position = field.end()
            elif skipped := _SKIPPED.match(block, position):
                if position:
                    defects.append("a header field has no name")
                position = skipped.end()
            else:
                break
        header = cls(fields[:MAX_HEADERS])
        header.overfull = len(fields) > MAX_HEADERS
        header._end_at(block, position)
        header.defects = (*dict.fromkeys(defects), *header.defects)
        return header

    def _end_at(self, block: bytes, position: int) -> None:
        self.end = position
        if blank := _BLANK.match(block, position):
            self.end = blank.end()
            self.blank = blank[0].endswith(b"\n")
        elif not self.overfull:
            self.defects = ("a line in the header is no header field; the body begins there",)

    def __len__(self) -> int:
        return len(self._fields)

    def first(self, name: str) -> str | None:
        """Return the first field of that name, or None."""
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Return every field of that name, top first, unfolded.

        Raw 8-bit bytes are read as UTF-8, else as Windows-1252 with U+FFFD for what that lacks.
        """
        if name not in self._found:
            wanted = name.lower().encode("ascii", "replace")
            self._found[name] = [_text(raw) for key, raw in self._fields if key == wanted]
        return self._found[name]

    def each(self, *names: str) -> Iterator[tuple[str, str]]:
        """Yield the fields of those lower-case names in the order of the mail, with their names."""
        values = {name.encode(): iter(self.all(name)) for name in names}
        for key, _ in self._fields:
            if key in values:
                yield key.decode(), next(values[key])

    def names(self) -> tuple[str, ...]:
        """Return the lower-case names that occur, each once, in the order of the mail."""
        return tuple(key.decode("ascii") for key in dict.fromkeys(key for key, _ in self._fields))

    def received(self) -> list[str]:
        """Return the trace, newest first."""
        return self.all("received")

    def from_mailboxes(self) -> Iterator[Mailbox]:
        """Yield the mailboxes of the first ten From fields, of 4 KiB each, a hundred in all."""
        fields = (mailboxes(value[:MAX_FROM]) for value in self.all("from")[:_MAX_FROM_FIELDS])
        return islice(chain.from_iterable(fields), _MAX_FROM_ADDRESSES)

    def from_addresses(self) -> tuple[str, ...]:
        """Return every From address, bare, as written, in order, as ``from_mailboxes`` does."""
        return tuple(box.address for box in self.from_mailboxes())

    def message_id(self) -> str | None:
        """Return the Message-ID in angle brackets; None without one, or past 998 characters."""
        value = self.first("message-id") or ""
        bracketed = _BRACKETED.search(value)
        bare = bracketed[1] if bracketed else "".join(value.split()).strip("<>")
        if not bare or len(bare) > _MAX_ID or not bare.isprintable():
            return None
        return f"<{bare}>"


def _text(raw: bytes) -> str:
    unfolded = raw.replace(b"\r\n", b"").replace(b"\n", b"").strip()
    if unfolded.isascii():
        return unfolded.decode("ascii")
    try:
        return unfolded.decode("utf-8")
    except UnicodeDecodeError:
        return unfolded.decode("cp1252", "replace")
