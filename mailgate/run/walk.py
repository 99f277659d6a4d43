"""A walk through a folder that a command may still be changing: by descriptors, never by a link."""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import count
from pathlib import Path

from mailgate.saying import Saying

MOST_SEEN = 100_000
"""So many names are looked at in one walk; a command can make more files than anybody can list."""

DEEPEST = 64
"""So many folders are entered below each other; each holds a descriptor."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A folder that may be named, not read: it takes no right to the folder itself.
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Parts = tuple[str, ...]
# A glob's parts; None is "**". A state is (which glob, how many of its parts are behind us).
_Glob = tuple[re.Pattern[str] | None, ...]
_States = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that matches, by its path's parts; or, with ``fault``, what cannot be taken."""

    parts: Parts
    fault: Saying | None = None


def find(opened: int, patterns: Sequence[str], *, dots: bool = False) -> list[Found]:
    """Find the regular files below the folder ``opened`` that match a glob; closes the descriptor.

    As in a shell ``*``, ``?`` and ``[...]`` stay within a name and, without ``dots``, match no dot
    in front; ``**`` passes any number of folders. Only folders in which something could match are
    entered. What matches and is no regular file, and links where a folder should be, are faults.
    """
    globs = [_glob(pattern, dots=dots) for pattern in patterns]
    states: dict[Parts, _States] = {(): frozenset((number, 0) for number in range(len(globs)))}
    files: list[Found] = []
    for parts, entry in _names(opened, _Way(enter=lambda parts: bool(states[parts]))):
        if isinstance(entry, Saying):
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

    Closes the descriptor. In a folder too big to be walked too few are counted, and so they are
    where a folder may not be read, or not entered.
    """
    names: Counter[tuple[int, int]] = Counter()
    for _, entry in _names(opened, _Way()):
        if not isinstance(entry, Saying) and entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError, PermissionError):
                found = entry.stat(follow_symlinks=False)
                names[found.st_dev, found.st_ino] += found.st_nlink > 1
    return names


def disk_use(place: Path) -> int:
    """Return the bytes that the files below the folder ``place`` take; 0 where there is none.

    A folder that its owner, if that is us, may not read or enter is given these rights back. Of a
    folder too big or too deep to be walked too few are counted; a file with two names, twice.
    """
    use = 0
    # What was counted until then counts.
    with suppress(OSError):
        for _, entry in _names(_regained(place), _Way(open=_regained)):
            if not isinstance(entry, Saying):
                with suppress(FileNotFoundError, PermissionError):
                    use += entry.stat(follow_symlinks=False).st_blocks * 512
    return use


# --- walking --------------------------------------------------------------------------------------


def _as_it_is(name: str | Path, above: int | None = None) -> int:
    return os.open(name, _FOLDER, dir_fd=above)


def _regained(name: str | Path, above: int | None = None) -> int:
    """Open a folder, with the rights to read and enter it given back to ourselves."""
    handle = os.open(name, _HANDLE, dir_fd=above)
    try:
        found = os.fstat(handle)
        if found.st_uid == os.geteuid() and found.st_mode & 0o500 != 0o500:
            # Under its name another may lie by now, and such a descriptor takes no fchmod.
            Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(found.st_mode) | 0o500)
        return os.open(".", _FOLDER, dir_fd=handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How to walk. ``enter`` is asked of each folder right after it was told."""

    enter: Callable[[Parts], bool] = lambda _: True
    open: Callable[[str, int], int] = _as_it_is
    budget: Iterator[int] = field(default_factory=lambda: count(MOST_SEEN, -1))


def _names(
    opened: int, way: _Way, above: Parts = ()
) -> Iterator[tuple[Parts, os.DirEntry[str] | Saying]]:
    """All names below a folder, with their entries or, for what cannot be walked, why."""
    try:
        with os.scandir(opened) as entries:
            for entry in entries:
                if next(way.budget) <= 0:
                    if above == ():
                        yield (entry.name,), Saying("outputs/many-files", most=MOST_SEEN)
                    return
                parts = (*above, entry.name)
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                except PermissionError as error:
                    # A file system that does not tell with the name what bears it.
                    yield parts, Saying("outputs/not-seen", error=error.strerror)
                    continue
                yield parts, entry
                if is_folder and way.enter(parts):
                    yield from _entered(opened, way, parts)
    finally:
        os.close(opened)


def _entered(
    opened: int, way: _Way, parts: Parts
) -> Iterator[tuple[Parts, os.DirEntry[str] | Saying]]:
    if len(parts) > DEEPEST:
        yield parts, Saying("outputs/too-deep", most=DEEPEST)
        return
    try:
        inner = way.open(parts[-1], opened)
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        # Swapped for a link, or removed, since it was listed.
        yield parts, Saying("outputs/not-entered", error=error.strerror)
        return
    yield from _names(inner, way, parts)


def _fault(entry: os.DirEntry[str]) -> Saying | None:
    if entry.is_symlink():
        return Saying("outputs/link")
    return None if entry.is_file(follow_symlinks=False) else Saying("outputs/no-file")


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
