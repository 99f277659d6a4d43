"""What a job leaves as its result: regular files of its own, never reached through a link."""

import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from mailgate.errors import Permanent, Transient
from mailgate.log import escaped
from mailgate.model import Plan, Stream, StreamRole
from mailgate.run.jobdir import Folder, output_sizes
from mailgate.run.walk import Found, census, find
from mailgate.saying import Saying

MOST_OUTPUTS = 1000
"""A mail with more attachments serves nobody."""

MOST_BYTES = 16 << 30
"""Of all outputs of a job together; a sparse file may claim any size."""

# So long (seconds) a shared file system may show what it showed before: NFS does a minute (nfs(5),
# acregmax, acdirmax).
_LAG = 90.0

_MOST_TOLD = 100
_BRIEF = 100
_CHUNK = 1 << 20
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = _FILE | os.O_DIRECTORY

# Not the file's fault: it may go better later.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_WHY = {
    errno.ELOOP: Saying("outputs/behind-a-link"),
    errno.ENOTDIR: Saying("outputs/behind-a-link"),
    errno.ENOENT: Saying("outputs/not-there"),
    errno.EACCES: Saying("outputs/forbidden"),
    errno.EPERM: Saying("outputs/forbidden"),
    errno.EINVAL: Saying("outputs/no-file"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The streams in the reply's order, and a sentence for each that is left out: what, and why."""

    streams: tuple[Stream, ...]
    left_out: tuple[Saying, ...]


def collect(folder: Folder, plan: Plan, number: int) -> Collected:
    """Collect the outputs of attempt ``number``, and make them durable.

    In this order: standard output, standard error, files below ``work/`` that match ``plan.files``,
    and everything below ``out/named/``; the latter two by name. Links, pipes, devices, unreadable
    files, second names of files outside the job and what is over a limit are left out, each with a
    sentence. Blocks; reads every byte once.

    Raises
    ------
    Transient
        The disk or the machine failed: nothing is known yet. Or the job has just ended, and less of
        its standard output or error is seen than its exit record says.
    """
    try:
        root = _open_root(folder)
    except OSError as error:
        if error.errno in _WHY:
            return Collected(streams=(), left_out=(Saying("outputs/all-gone"),))
        raise Transient("The outputs cannot be read now.", detail=str(error)) from error
    try:
        collection = _Collection(root, plan)
        found = collection.run(output_sizes(folder, number))
        is_early = collection.lags and _has_just_ended(folder, number)
    except OSError as error:
        raise Transient("The outputs cannot be read now.", detail=str(error)) from error
    finally:
        os.close(root)
    if is_early:
        raise Transient("Not all that the job wrote is to be seen yet.")
    return found


def _has_just_ended(folder: Folder, number: int) -> bool:
    # Whose clock it is by does not matter: one that is far off costs a wait, or that there is none.
    ended = (folder.attempt(number) / "exit").stat().st_mtime
    return abs(time.time() - ended) < _LAG


def open_stream(folder: Folder, stream: Stream) -> BinaryIO:
    """Open a collected stream; no part of its path may have become a link since.

    Raises
    ------
    Permanent
        It is gone, or no longer what was collected.
    """
    try:
        opened = open_file(folder, _parts(stream.path))
    except FileNotFoundError as error:
        # An empty file is not made durable; nothing is lost with it.
        if stream.size == 0:
            return io.BytesIO()
        raise Permanent(Saying("outputs/gone", name=stream.name), detail=str(error)) from error
    except OSError as error:
        raise Permanent(Saying("outputs/closed", name=stream.name), detail=str(error)) from error
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode) or found.st_size != stream.size:
        os.close(opened)
        raise Permanent(Saying("outputs/changed", name=stream.name))
    return os.fdopen(opened, "rb")


def open_file(folder: Folder, parts: tuple[str, ...]) -> int:
    """Open a regular file of a job to be read; OSError where any part of its path is a link."""
    with _closing(_open_root(folder)) as root:
        return _open_file(root, parts)


class _Collection:
    """One job's outputs on their way into a Collected; ``root`` is its folder, opened.

    ``lags``: of standard output or error fewer bytes are seen than were written.
    """

    def __init__(self, root: int, plan: Plan) -> None:
        self._root = root
        self._plan = plan
        self.lags = False
        self._streams: list[Stream] = []
        self._left_out: list[Saying] = []
        self._over = 0
        self._untold = 0
        self._bytes = 0
        self._names: set[str] = set()
        self._folders: set[tuple[str, ...]] = set()
        self._inside: dict[tuple[int, int], int] | None = None

    def run(self, sizes: tuple[int | None, int | None]) -> Collected:
        """Take everything, in order."""
        plan = self._plan
        self._take(StreamRole.STDOUT, plan.stdout, ("out", "stdout"), sizes[0])
        self._take(StreamRole.STDERR, plan.stderr, ("out", "stderr"), sizes[1])
        self._take_found(("work",), plan.files)
        self._take_found(("out", "named"), ("**",))
        self._keep_names()
        if self._over:
            self._left_out.append(Saying("outputs/over-limit", count=self._over, most=MOST_OUTPUTS))
        if self._untold:
            self._left_out.append(Saying("outputs/untold", count=self._untold))
        return Collected(streams=tuple(self._streams), left_out=tuple(self._left_out))

    def _take_found(self, place: tuple[str, ...], patterns: tuple[str, ...]) -> None:
        if not patterns:
            return
        try:
            opened = _open_path(self._root, place, _FOLDER)
        except OSError as error:
            self._leave_for(error, "/".join(place))
            return
        # What the command names itself is all taken, dot files too.
        found = find(opened, patterns, dots=place != ("work",))
        for one in sorted(found, key=lambda one: os.fsencode("/".join(one.parts))):
            self._take_one(place, one)

    def _take_one(self, place: tuple[str, ...], one: Found) -> None:
        name = _shown("/".join(one.parts))
        if one.fault is not None:
            self._leave(name, one.fault)
        elif len(self._streams) >= MOST_OUTPUTS:
            self._over += 1
        else:
            self._take(StreamRole.FILE, name, (*place, *one.parts), None)

    def _take(
        self, role: StreamRole, name: str, parts: tuple[str, ...], expected: int | None
    ) -> None:
        try:
            opened = _open_file(self._root, parts)
        except OSError as error:
            self.lags = self.lags or (error.errno == errno.ENOENT and bool(expected))
            self._leave_for(error, name)
            return
        with _closing(opened):
            found = os.fstat(opened)
            fault = self._fault(found)
            if fault is not None:
                self._leave(name, fault)
                return
            size, sha256 = self._read(opened, found.st_size, name)
        if sha256 is None:
            return
        if expected is not None and size < expected:
            self.lags = True
            self._leave(name, Saying("outputs/short", size=size, expected=expected))
        self._bytes += size
        self._folders.add(parts[:-1])
        self._streams.append(
            Stream(
                role=role,
                name=self._free(name),
                path=_path(parts),
                size=size,
                sha256=sha256,
            )
        )

    def _fault(self, found: os.stat_result) -> Saying | None:
        if not stat.S_ISREG(found.st_mode):
            return Saying("outputs/no-file")
        if found.st_nlink > 1 and self._names_inside(found) < found.st_nlink:
            return Saying("outputs/outside")
        if self._bytes + found.st_size > MOST_BYTES:
            return Saying("outputs/too-big", most=MOST_BYTES)
        return None

    def _names_inside(self, found: os.stat_result) -> int:
        """How many names a file with several has in the job."""
        if self._inside is None:
            self._inside = census(os.dup(self._root))
        return self._inside.get((found.st_dev, found.st_ino), 0)

    def _read(self, opened: int, size: int, name: str) -> tuple[int, str | None]:
        """Digest ``size`` bytes, or what there is of them, and make them durable."""
        digest = hashlib.sha256()
        left = size
        try:
            while left and (chunk := os.read(opened, min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
        except OSError as error:
            self._leave_for(error, name)
            return 0, None
        if size:
            os.fsync(opened)
        return size - left, digest.hexdigest()

    def _keep_names(self) -> None:
        """Make durable under which names the outputs lie; empty ones can do without."""
        if any(stream.size for stream in self._streams):
            for parts in sorted(self._folders):
                self._keep_names_in(parts)

    def _keep_names_in(self, parts: tuple[str, ...]) -> None:
        try:
            opened = _open_path(self._root, parts, _FOLDER)
        except OSError as error:
            if error.errno not in _WHY:
                raise
            # Moved away since: whoever opens its files is told so.
            return
        with _closing(opened):
            os.fsync(opened)

    def _free(self, name: str) -> str:
        """``name``, or the first of name-2, name-3 ... that no other stream has, in any case."""
        stem, dot, ending = name.rpartition(".")
        stem, ending = (stem, dot + ending) if stem else (name, "")
        free, number = name, 1
        while free.casefold() in self._names:
            number += 1
            free = f"{stem}-{number}{ending}"
        self._names.add(free.casefold())
        return free

    def _leave_for(self, error: OSError, name: str) -> None:
        if error.errno in _OURS:
            raise error
        why = _WHY.get(error.errno or 0, Saying("outputs/unreadable", error=error.strerror))
        self._leave(name, why)

    def _leave(self, name: str, why: Saying) -> None:
        if len(self._left_out) < _MOST_TOLD:
            self._left_out.append(Saying("outputs/left-out", name=_brief(name), why=why))
        else:
            self._untold += 1


# --- paths ----------------------------------------------------------------------------------------


def _open_root(folder: Folder) -> int:
    """Open the job's folder; below the jobs folder nothing may be a link."""
    with _closing(os.open(folder.jobs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as jobs:
        return _open_path(jobs, folder.root.relative_to(folder.jobs).parts, _FOLDER)


def _open_path(start: int, parts: tuple[str, ...], flags: int) -> int:
    """Open ``parts`` below the folder ``start``, one by one, none of them a link."""
    opened = os.dup(start)
    for place, part in enumerate(parts):
        above = opened
        try:
            opened = os.open(part, flags if place == len(parts) - 1 else _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return opened


def _open_file(root: int, parts: tuple[str, ...]) -> int:
    """Open a file that was a regular one just before: opening a device may do things."""
    with _closing(_open_path(root, parts[:-1], _FOLDER)) as above:
        mode = os.stat(parts[-1], dir_fd=above, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "link")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "no regular file")
        return os.open(parts[-1], _FILE, dir_fd=above)


@contextmanager
def _closing(opened: int) -> Iterator[int]:
    try:
        yield opened
    finally:
        os.close(opened)


def _path(parts: tuple[str, ...]) -> str:
    """Return the path as printable text; bytes that are not, and "%", as %XX."""
    path = "/".join(parts)
    return path if path.isprintable() and "%" not in path else quote_from_bytes(os.fsencode(path))


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(os.fsdecode(unquote_to_bytes(path)).split("/"))
    if not {"", ".", ".."}.isdisjoint(parts):
        raise PermissionError(errno.EPERM, "leads out of the job", path)
    return parts


def _brief(name: str) -> str:
    """Return a name that leaves room for the reason: a path may have thousands of bytes."""
    return name if len(name) <= _BRIEF else f"{name[: _BRIEF // 2]}...{name[-_BRIEF // 2 :]}"


def _shown(name: str) -> str:
    return escaped(os.fsencode(name).decode("utf-8", "backslashreplace"))
