"""TOML files with the line of every key, which ``tomllib`` alone does not tell."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailgate.errors import BadConfig
from mailgate.log import escaped

Place = tuple[str, ...]
"""A key's full path; an array's items are numbered from ``"0"``."""

# An operator writes these files by hand; what is larger is the wrong file.
LARGEST = 4 * 1024 * 1024

_AT = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*("(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}|" + r""""(?:\\.|[^"\\])*"|'[^']*'""",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A TOML file as read: ``lines`` holds the line (from 1) of every key, table and array item."""

    path: Path
    data: Mapping[str, object]
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of ``place``, else that of the nearest table around it, else 1."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(path: Path) -> Document:
    """Read one file.

    Raises
    ------
    BadConfig
        It cannot be read, is not UTF-8 or not TOML; one line, ``FILE:LINE: what; expected ...``.
    """
    text = _decoded(path, _content(path))
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one; so is a number of too many digits
        raise _not_toml(path, str(error), text) from error
    except RecursionError as error:
        raise _wrong(path, 1, "is nested too deeply", "a TOML file") from error
    return Document(path=path, data=data, lines=lines_of(text))


def lines_of(text: str) -> dict[Place, int]:
    """Map every key, table header and array item of valid TOML to the line where it stands."""
    scan = _Scan(text)
    first = dict(reversed(list(scan.document())))
    return first | scan.headers


# --- reading the bytes ----------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        words = f"cannot be read ({error.strerror})"
        raise BadConfig(f"{escaped(str(path))}: {words}; expected a TOML file") from error
    if len(content) > LARGEST:
        raise _wrong(path, 1, "is larger than 4 MiB", "a TOML file written by hand")
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        # Editors elsewhere begin a file with a byte order mark; it says nothing.
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _wrong(path, line, f"byte 0x{content[error.start]:02x}", "UTF-8 text") from error


def _not_toml(path: Path, words: str, text: str) -> BadConfig:
    at, lines = _AT.search(words), text.splitlines() or [""]
    line = min(int(at[1]), len(lines)) if at and at[1] else len(lines)
    what = f"{_AT.sub('', words)} ({lines[line - 1].strip()[:60]})"
    return _wrong(path, line, what, "TOML (https://toml.io)")


def _wrong(path: Path, line: int, what: str, expected: str) -> BadConfig:
    return BadConfig(f"{escaped(f'{path}:{line}: {what}; expected {expected}')}")


# --- finding the lines ----------------------------------------------------------------------------


class _Scan:
    """A walk over text that ``tomllib`` has accepted; only what moves the place or line counts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self.headers: dict[Place, int] = {}
        self._tables: dict[Place, int] = {}

    def document(self) -> Iterator[tuple[Place, int]]:
        """Yield every place with its line, in the file's order."""
        table: Place = ()
        while self._skip_blank():
            if self._text[self._at] == "[":
                line = self._line
                table = self._header()
                self.headers.setdefault(table, line)
                yield from self._prefixes((), table)
            else:
                yield from self._pair(table)

    def _header(self) -> Place:
        array = self._text.startswith("[[", self._at)
        self._move(2 if array else 1)
        place = self._key()
        self._move(2 if array else 1)
        place = self._into_arrays(place)
        if not array:
            return place
        number = self._tables.get(place, -1) + 1
        self._tables[place] = number
        return (*place, str(number))

    def _into_arrays(self, place: Place) -> Place:
        """Add the number of the last item wherever a part before the last is an array of tables."""
        full: Place = ()
        for part in place[:-1]:
            full = (*full, part)
            if full in self._tables:
                full = (*full, str(self._tables[full]))
        return (*full, *place[-1:])

    def _pair(self, table: Place) -> Iterator[tuple[Place, int]]:
        line = self._line
        key = self._key()
        for place, _ in self._prefixes(table, key):
            yield place, line
        self._move(1)  # the "="
        yield from self._value((*table, *key))

    def _prefixes(self, table: Place, key: Place) -> Iterator[tuple[Place, int]]:
        for length in range(1, len(key) + 1):
            yield (*table, *key[:length]), self._line

    def _value(self, place: Place) -> Iterator[tuple[Place, int]]:
        self._skip_blank()
        first = self._text[self._at]
        if first == "[":
            yield from self._array(place)
        elif first == "{":
            yield from self._inline_table(place)
        else:
            self._take(_STRING if first in "\"'" else _BARE)

    def _array(self, place: Place) -> Iterator[tuple[Place, int]]:
        self._move(1)
        number = 0
        while self._skip_blank() and self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._move(1)
                continue
            item = (*place, str(number))
            yield item, self._line
            yield from self._value(item)
            number += 1
        self._move(1)

    def _inline_table(self, place: Place) -> Iterator[tuple[Place, int]]:
        self._move(1)
        while self._skip_blank() and self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._move(1)
                continue
            yield from self._pair(place)
        self._move(1)

    def _key(self) -> Place:
        parts = [self._key_part()]
        while self._text.startswith(".", self._at):
            self._move(1)
            parts.append(self._key_part())
        return tuple(parts)

    def _key_part(self) -> str:
        word = self._take(_KEY).strip()
        if word[0] not in "\"'":
            return word
        return next(iter(tomllib.loads(f"{word} = 0")))

    def _skip_blank(self) -> bool:
        self._take(_BLANK)
        return self._at < len(self._text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        taken = found[0] if found else ""
        self._move(len(taken))
        return taken

    def _move(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count
