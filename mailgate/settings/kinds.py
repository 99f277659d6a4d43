"""The kinds of values that keys take: what each is called, how it is read, what it refuses."""

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Generic, TypeVar, cast

from mailgate.settings import units
from mailgate.settings.toml import Place

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class UnfitError(ValueError):
    """A value that its key does not take; the words say what stands there: ``is 70000``.

    ``faults`` lists what is wrong: its place within the value (an array's item), the words, and
    what was expected there, None for what the key expects as a whole.
    """

    def __init__(self, words: str, faults: Sequence[tuple[Place, str, str | None]] = ()) -> None:
        super().__init__(words)
        self.faults = faults or [((), words, None)]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a key takes: ``unit`` for the docs, ``expected`` for the mistake, ``read`` to convert.

    ``read`` gets the TOML value and the folder that relative paths start from; it raises
    `UnfitError`.
    """

    unit: str
    expected: str
    read: Callable[[object, Path], T]


def text(expected: str = "text", check: Callable[[str], bool] = bool) -> Kind[str]:
    """Return the kind of text that ``check`` takes (by default: that is not empty)."""

    def read(value: object, _: Path) -> str:
        if not isinstance(value, str) or "\0" in value or not check(value):
            raise UnfitError(f"is {said(value)}")
        return value

    return Kind("text", expected, read)


def lower(kind: Kind[str]) -> Kind[str]:
    """Turn what ``kind`` takes to lower case."""
    return Kind(kind.unit, kind.expected, lambda value, base: kind.read(value, base).lower())


def boolean() -> Kind[bool]:
    """Return the kind of ``true`` and ``false``."""

    def read(value: object, _: Path) -> bool:
        if not isinstance(value, bool):
            raise UnfitError(f"is {said(value)}")
        return value

    return Kind("true or false", "true or false", read)


def integer(lowest: int, highest: int) -> Kind[int]:
    """Return the kind of whole numbers from ``lowest`` to ``highest``, both taken."""

    def read(value: object, _: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise UnfitError(f"is {said(value)}")
        return value

    return Kind(f"{lowest} to {highest}", f"a whole number from {lowest} to {highest}", read)


def number() -> Kind[float | int]:
    """Return the kind of finite numbers, whole or not."""

    def read(value: object, _: Path) -> float | int:
        # A whole number that no float holds is as good as infinite.
        finite = isinstance(value, int | float) and abs(value) <= sys.float_info.max
        if isinstance(value, bool) or not finite:
            raise UnfitError(f"is {said(value)}")
        return cast("float | int", value)

    return Kind("number", "a number", read)


def size(lowest: str = "1") -> Kind[int]:
    """Return the kind of sizes in bytes, written as ``"20 MiB"``, at least ``lowest``."""
    least = units.size(lowest)

    def read(value: object, _: Path) -> int:
        try:
            count = units.size(str(value)) if _is_word_or_count(value) else -1
        except ValueError:
            count = -1
        # SQLite and the file system count bytes in 63 bits.
        if not least <= count < 2**63:
            raise UnfitError(f"is {said(value)}")
        return count

    return Kind("size", f'a size such as "20 MiB", at least {units.said_size(least)}', read)


def _is_word_or_count(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def duration(lowest: str = "1s", highest: str = "3650d") -> Kind[timedelta]:
    """Return the kind of time spans, written as ``"15m"``, between ``lowest`` and ``highest``."""
    least, most = units.duration(lowest), units.duration(highest)

    def read(value: object, _: Path) -> timedelta:
        try:
            span = units.duration(value) if isinstance(value, str) else None
        except ValueError:
            span = None
        if span is None or not least <= span <= most:
            raise UnfitError(f"is {said(value)}")
        return span

    limits = f"from {units.said_duration(least)} to {units.said_duration(most)}"
    return Kind("duration", f'a duration such as "15m", {limits}', read)


def path() -> Kind[Path]:
    """Return the kind of files and folders; relative ones start from the naming file's folder."""

    def read(value: object, base: Path) -> Path:
        # "~" is the shell's; a folder of that name is never meant.
        if not isinstance(value, str) or not value or "\0" in value or value[0] == "~":
            raise UnfitError(f"is {said(value)}")
        full = base / value
        return Path(os.path.realpath(full)) if ".." in full.parts else full

    return Kind("path", "a path, relative to this file's folder or absolute", read)


def word(words: type[E], *, besides: Sequence[E] = ()) -> Kind[E]:
    """Return the kind of a closed set's words, ``besides`` left out."""
    known = [str(member) for member in words if member not in besides]

    def read(value: object, _: Path) -> E:
        if not isinstance(value, str) or value not in known:
            near = did_you_mean(value, known) if isinstance(value, str) else ""
            raise UnfitError(f"is {said(value)}{near}")
        return words(value)

    return Kind(one_of(known), one_of(known), read)


def network() -> Kind[IPv4Network | IPv6Network]:
    """Return the kind of networks, IPv4 or IPv6, no bits set right of the prefix."""

    def read(value: object, _: Path) -> IPv4Network | IPv6Network:
        try:
            return ip_network(value if isinstance(value, str) else "")
        except ValueError as error:
            wide = " (it has host bits set)" if "host bits" in str(error) else ""
            raise UnfitError(f"is {said(value)}{wide}") from error

    return Kind("network", 'a network such as "192.0.2.0/24" or "2001:db8::/32"', read)


def listed(kind: Kind[T], *, least: int = 0) -> Kind[tuple[T, ...]]:
    """Return the kind of arrays of at least ``least`` items, each of ``kind``."""

    def read(value: object, base: Path) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise UnfitError(f"is {said(value)}")
        items, faults = list[T](), list[tuple[Place, str, str | None]]()
        for number, item in enumerate(value):
            try:
                items.append(kind.read(item, base))
            except UnfitError as unfit:
                faults += [
                    ((str(number), *inside), words, expected or kind.expected)
                    for inside, words, expected in unfit.faults
                ]
        if faults:
            raise UnfitError(f"is {said(value)}", faults)
        return tuple(items)

    count = f"an array of at least {least}, each " if least else "an array, each item "
    return Kind(f"array of: {kind.unit}", count + kind.expected, read)


# --- words ---

# A shorter word is one slip away from too many others.
_SLIPPED = 4


def said(value: object) -> str:
    """Write a TOML value as it stands in a file, at most 60 characters of it."""
    match value:
        case bool():
            words = "true" if value else "false"
        case str():
            words = f'"{value}"'
        case list():
            words = "[" + ", ".join(said(item) for item in value) + "]"
        case dict():
            words = "a table"
        # Python refuses to write out thousands of digits.
        case int() if abs(value) >= 10**60:
            words = "a very large number"
        case _:
            words = str(value)
    return words if len(words) <= 60 else f"{words[:57]}..."


def one_of(words: Iterable[str]) -> str:
    """Say a choice: ``"a", "b" or "c"``."""
    quoted = [f'"{word}"' for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """Say ``(did you mean "..."?)`` after a blank where a known word is near, else nothing."""
    near = nearest(given, known)
    return f' (did you mean "{near}"?)' if near else ""


def nearest(given: str, known: Sequence[str]) -> str | None:
    """Return the known word that ``given`` most likely meant, whatever its case."""
    folded = {word.lower(): word for word in known}
    # A stranger's word may be very long, and difflib's time grows with its square.
    near = difflib.get_close_matches(given.lower()[:64], list(folded), n=1)
    return folded[near[0]] if near else None


def mistyped(given: str, known: Iterable[str]) -> str | None:
    """Return the known word, in lower case, that ``given`` is but for one slip of the finger.

    A letter too many, too few or wrong, or two exchanged: "relase" is "release", "please" is not.
    """
    return next((word for word in known if _is_one_slip(given.lower(), word)), None)


def _is_one_slip(given: str, word: str) -> bool:
    if abs(len(given) - len(word)) > 1 or len(word) < _SLIPPED:
        return False
    same = next((n for n, (a, b) in enumerate(zip(given, word, strict=False)) if a != b), len(word))
    end, other = given[same:], word[same:]
    exchanged = end[:2] == other[1::-1] and end[2:] == other[2:]
    return exchanged or end[1:] in (other, other[1:]) or end == other[1:]
