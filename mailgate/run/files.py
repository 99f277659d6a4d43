"""Files in a folder that strangers' commands have been in: written whole, read without trust."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

from mailgate.errors import NoSpace, Transient

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Never through a link, never waiting for the other end of a pipe.
_UNTRUSTING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 18


@contextmanager
def writing() -> Iterator[None]:
    """Turn what the operating system says inside into the house's errors.

    Raises
    ------
    Transient
        It cannot be written now; NoSpace where the disk or the quota is full.
    """
    try:
        yield
    except OSError as error:
        kind = NoSpace if error.errno in _FULL else Transient
        said = (
            "The disk of the job folders is full."
            if kind is NoSpace
            else "A job folder cannot be used now."
        )
        raise kind(said, detail=str(error)) from error


def make_folder(path: Path) -> None:
    """Make ``path`` and what is missing above it, for our user alone; again does no harm."""
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        make_folder(path.parent)
        make_folder(path)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise


def reopen(path: Path) -> None:
    """Give ourselves back the rights to a folder or file that a command took away.

    A command that swaps it for a link meanwhile has us open what is ours anyway.
    """
    mode = path.lstat().st_mode
    wanted = 0o700 if stat.S_ISDIR(mode) else 0o600 if stat.S_ISREG(mode) else 0
    if mode & wanted != wanted:
        path.chmod(stat.S_IMODE(mode) | wanted)


def make_once(path: Path, content: bytes) -> None:
    """Write ``content`` unless there is such a file already; that one is left as it is."""
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        _write_all(made, content)
    finally:
        os.close(made)


def write(path: Path, content: bytes) -> None:
    """Write ``path``, for our user alone; a crash may leave a part."""
    made = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        _write_all(made, content)
    finally:
        os.close(made)


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write ``path`` so that a reader sees the old file or the new one, never a part."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        _write_all(made, content)
    finally:
        os.close(made)
    part.replace(path)


def move_whole(source: Path, path: Path, *, mode: int) -> None:
    """Move ``source`` to ``path``; copied, and durable before the source goes, to another disk."""
    source.chmod(mode)
    try:
        source.rename(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with source.open("rb") as reading:
            _put(_copied(reading, path, mode=mode), path)
        source.unlink()


def copy_whole(source: Path, path: Path, *, sha256: str, mode: int) -> bool:
    """Copy ``source`` to ``path``, durably, if it is the regular file of that digest; else False.

    Nothing is left of another, nor of one that is a link or a pipe.
    """
    try:
        opened = os.open(source, _UNTRUSTING)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return False
        raise
    with open(opened, "rb") as reading:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return False
        part = _copied(reading, path, mode=mode)
    with part.open("rb") as copy:
        right = hashlib.file_digest(copy, "sha256").hexdigest() == sha256
    if right:
        _put(part, path)
    else:
        part.unlink()
    return right


def read_little(path: Path, limit: int, *, tail: bool = False) -> tuple[bytes, float] | None:
    """Return the first (``tail``: last) ``limit`` bytes of a regular file, and its time of change.

    None if there is no such file, or it is a link, a pipe or anything but a regular file. The time
    is in seconds since the epoch. Other errors (EIO, EACCES) are raised as OSError.
    """
    try:
        opened = os.open(path, _UNTRUSTING)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            return None
        start = max(found.st_size - limit, 0) if tail else 0
        return os.pread(opened, limit, start), found.st_mtime
    finally:
        os.close(opened)


def remove_tree(path: Path) -> None:
    """Remove ``path`` and all below it, whatever a command left there; nothing there is no error.

    Follows no link. Depth does not matter: a folder inside a folder is first moved up to the top,
    so that no path grows long. Folders without permissions are given them.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # Unguessable, so that nothing there has such a name.
    names = (path / f"{secrets.token_hex(8)}.{number}" for number in count())
    pending = _emptied(path)
    while pending:
        folder = pending.pop()
        for inner in _emptied(folder):
            pending.append(inner.rename(next(names)))
        folder.rmdir()
    path.rmdir()


def _emptied(folder: Path) -> list[Path]:
    """Remove what is no folder in ``folder``, and return the folders in it, made movable."""
    folder.chmod(0o700)
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(Path(entry.path))
            else:
                Path(entry.path).unlink()
    for one in inner:
        one.chmod(0o700)
    return inner


def _write_all(opened: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(opened, left) :]


def _copied(reading: BinaryIO, path: Path, *, mode: int) -> Path:
    """Copy beside ``path``, durably."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(opened, "wb") as copy:
        shutil.copyfileobj(reading, copy, _CHUNK)
        copy.flush()
        os.fsync(copy.fileno())
    return part


def _put(part: Path, path: Path) -> None:
    part.replace(path)
    with _folder_opened(path.parent) as folder:
        os.fsync(folder)


@contextmanager
def _folder_opened(path: Path) -> Iterator[int]:
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)
