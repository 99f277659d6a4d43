"""A walk through a folder that a command may still be changing: by descriptors, never by a link."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from itertools import count

MOST_SEEN = 100_000
"""So many names are looked at in one walk; a command can make more files than anybody can list."""

DEEPEST = 64
"""So many folders are entered below each other; each holds a descriptor."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Parts = tuple[str, ...]
# A glob's parts; None is "**". A state is (which glob, how many of its parts are behind us).
_Glob = tuple[re.Pattern[str] | None, ...]
_States = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that matches, by its path's parts; or, with ``fault``, what cannot be taken."""

    parts: Parts
    fault: str | None = None


def find(opened: int, patterns: Sequence[str], *, dots: bool = False) -> list[Found]:
    """Find the regular files below the folder ``opened`` that match a glob; closes the descriptor.

    As in a shell ``*``, ``?`` and ``[...]`` stay within a name and, without ``dots``, match no dot
    in front; ``**`` passes any number of folders. Only folders in which something could match are
    entered. What matches and is no regular file, and links where a folder should be, are faults.
    """
    globs = [_glob(pattern, dots=dots) for pattern in patterns]
    states: dict[Parts, _States] = {(): frozenset((number, 0) for number in range(len(globs)))}
    files: list[Found] = []
    for parts, entry in _names(opened, lambda parts: bool(states[parts])):
        if isinstance(entry, str):
            files.append(Found(parts=parts, fault=entry))
            continue
        hit, further = _step(globs, states[parts[:-1]], parts[-1], dots=dots)
        if entry.is_dir(follow_symlinks=False):
            states[parts] = further
        elif hit or (entry.is_symlink() and _leads_on(globs, further)):
            files.append(Found(parts=parts, fault=_fault(entry)))
    return files


def census(opened: int) -> dict[tuple[int, int], int]:
    """Count the names of each file with several below the folder ``opened``, by device and inode.

    Closes the descriptor. In a folder too big to be walked too few are counted.
    """
    names: Counter[tuple[int, int]] = Counter()
    for _, entry in _names(opened, lambda _: True):
        if not isinstance(entry, str) and entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                names[found.st_dev, found.st_ino] += found.st_nlink > 1
    return names


def disk_use(opened: int) -> int:
    """Return the bytes that the files below the folder ``opened`` take; closes the descriptor.

    Of a folder too big or too deep to be walked too few are counted; a file with two names, twice.
    """
    use = 0
    for _, entry in _names(opened, lambda _: True):
        if not isinstance(entry, str):
            with suppress(FileNotFoundError):
                use += entry.stat(follow_symlinks=False).st_blocks * 512
    return use


# --- walking --------------------------------------------------------------------------------------


def _names(
    opened: int, enter: Callable[[Parts], bool]
) -> Iterator[tuple[Parts, os.DirEntry[str] | str]]:
    """All names below a folder, with their entries or, for what cannot be walked, why.

    ``enter`` is asked of each folder right after it was told.
    """
    budget = count(MOST_SEEN, -1)
    yield from _below(opened, (), enter, budget)


def _below(
    opened: int, above: Parts, enter: Callable[[Parts], bool], budget: Iterator[int]
) -> Iterator[tuple[Parts, os.DirEntry[str] | str]]:
    try:
        with os.scandir(opened) as entries:
            for entry in entries:
                if next(budget) <= 0:
                    if above == ():
                        yield (entry.name,), f"the job made over {MOST_SEEN} files"
                    return
                parts = (*above, entry.name)
                yield parts, entry
                if entry.is_dir(follow_symlinks=False) and enter(parts):
                    yield from _entered(opened, parts, enter, budget)
    finally:
        os.close(opened)


def _entered(
    opened: int, parts: Parts, enter: Callable[[Parts], bool], budget: Iterator[int]
) -> Iterator[tuple[Parts, os.DirEntry[str] | str]]:
    if len(parts) > DEEPEST:
        yield parts, f"it is more than {DEEPEST} folders deep"
        return
    try:
        inner = os.open(parts[-1], _FOLDER, dir_fd=opened)
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        # Swapped for a link, or removed, since it was listed.
        yield parts, f"it cannot be looked into ({error.strerror})"
        return
    yield from _below(inner, parts, enter, budget)


def _fault(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink():
        return "it is a link"
    return None if entry.is_file(follow_symlinks=False) else "it is no regular file"


# --- matching -------------------------------------------------------------------------------------


def _glob(pattern: str, *, dots: bool) -> _Glob:
    return tuple(
        None if part == "**" else _part(part, dots=dots)
        for part in pattern.split("/")
        if part not in {"", "."}
    )


def _part(part: str, *, dots: bool) -> re.Pattern[str]:
    no_dot = "" if dots or part.startswith(".") else r"(?!\.)"
    return re.compile(no_dot + translate(part))


def _step(
    globs: Sequence[_Glob], states: _States, name: str, *, dots: bool
) -> tuple[bool, _States]:
    """Whether a file of that name matches, and the states inside a folder of that name."""
    hit = False
    further: set[tuple[int, int]] = set()
    for number, behind in _closed(globs, states):
        glob = globs[number]
        part = glob[behind]
        last = behind == len(glob) - 1
        if part is None:
            if dots or not name.startswith("."):
                hit = hit or last
                further.add((number, behind))
        elif part.match(name):
            hit = hit or last
            if not last:
                further.add((number, behind + 1))
    return hit, frozenset(further)


def _closed(globs: Sequence[_Glob], states: _States) -> set[tuple[int, int]]:
    """Return the states, and those that "**" reaches by standing for no folder at all."""
    closed = {state for state in states if globs[state[0]]}
    for number, behind in states:
        glob, at = globs[number], behind
        while at < len(glob) - 1 and glob[at] is None:
            at += 1
            closed.add((number, at))
    return closed


def _leads_on(globs: Sequence[_Glob], states: _States) -> bool:
    """Whether a folder's name matched a part of a glob other than "**"."""
    return any(behind and globs[number][behind - 1] is not None for number, behind in states)
