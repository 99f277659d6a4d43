"""The few lines of a job's output that a letter shows: harmless, and only where they are text."""

import codecs
import io
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from mailgate import said
from mailgate.reply.layout import COLUMNS, folded, printable

LINES = 20
_BLOCK = 64 * 1024
# So many characters of a line are shown.
_MOST = 400

# ECMA-48: control sequences (colours, cursor), operating system commands (titles), two-byte ones.
# No part can run over another escape, so that the time stays linear.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -Z\\^-~])"
)
_ORDINARY = frozenset(b"\t\n\r\f\b\x1b")


class Seen(StrEnum):
    """What an output turned out to be."""

    LINES = "lines"
    EMPTY = "empty"
    BINARY = "binary"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Some lines of an output (20, if not asked); ``more``: others.

    Each of ``lines`` is at most 70 columns, if not asked: a longer line of the output is wrapped,
    and after 400 characters it is said how many follow.
    """

    seen: Seen
    lines: tuple[str, ...] = ()
    more: bool = False


ABSENT = Excerpt(seen=Seen.ABSENT)


def head(source: BinaryIO, lines: int = LINES) -> Excerpt:
    """Read the first lines of ``source``, of which at most 64 KiB are looked at."""
    block = source.read(_BLOCK)
    return _excerpt(block, block, whole=not source.read(1), first=lines)


def tail(source: BinaryIO, lines: int = LINES, *, columns: int = COLUMNS - 2) -> Excerpt:
    """Read the last lines of ``source``, which can seek; at most 64 KiB are looked at."""
    size = source.seek(0, io.SEEK_END)
    source.seek(max(0, size - _BLOCK))
    block = source.read(_BLOCK)
    if size <= _BLOCK:
        return _excerpt(block, block, whole=True, last=lines, columns=columns)
    # The block may begin in the middle of a line, which is then no line.
    kept = block.partition(b"\n")[2] or block
    return _excerpt(block, kept, whole=False, last=lines, columns=columns)


def textual(block: bytes) -> bool:
    """Tell whether the beginning of an output is text: UTF-8 without NUL."""
    return _decodes(block) and b"\0" not in block


def _excerpt(
    block: bytes,
    kept: bytes,
    *,
    whole: bool,
    first: int = 0,
    last: int = LINES,
    columns: int = COLUMNS - 2,
) -> Excerpt:
    """Take the ``first`` lines of what is kept of a block; without, the ``last``."""
    if not block:
        return Excerpt(seen=Seen.EMPTY)
    # An error's words are shown in whatever encoding; a result's only where they can be right.
    if not (textual(block) or (not first and not _controls(block))):
        return Excerpt(seen=Seen.BINARY)
    lines = kept.decode("utf-8", "replace").removesuffix("\n").split("\n")
    taken = lines[:first] if first else lines[-last:]
    # The block may also end in the middle of a line: then nobody knows how long that is.
    known = [True] * len(taken)
    known[-1] = whole or not first or len(taken) < len(lines)
    rows = (
        row
        for line, is_whole in zip(taken, known, strict=True)
        for row in _rows(line, columns, whole=is_whole)
    )
    return Excerpt(
        seen=Seen.LINES,
        lines=tuple(rows),
        more=not whole or len(taken) < len(lines),
    )


def _decodes(block: bytes) -> bool:
    try:
        # The block may end within a character.
        codecs.utf_8_decode(block, "strict", False)  # noqa: FBT003 - "final", which has no name
    except UnicodeDecodeError:
        return False
    return True


def _controls(block: bytes) -> bool:
    """Tell whether more than one byte in a hundred acts on a terminal, or any is NUL."""
    acting = sum(block.count(byte) for byte in range(32) if byte not in _ORDINARY)
    return b"\0" in block or acting * 100 > len(block)


def _rows(raw: str, columns: int, *, whole: bool) -> list[str]:
    """Show a line as a terminal would have left it: no colours, overwritten words gone."""
    final = raw.rstrip("\r").rpartition("\r")[2]
    plain = _ESCAPES.sub("", final).expandtabs(8).replace("\f", "").replace("\b", "").rstrip(" ")
    kept = plain[:_MOST]
    # What is shown as an escape takes up to ten characters.
    while len(seen := printable(kept)) > _MOST:
        kept = kept[: len(kept) * 3 // 4]
    left = len(plain) - len(kept)
    if left:
        seen += f"... (+{said.counted(left, 'character')})" if whole else "..."
    return folded(seen, columns)
