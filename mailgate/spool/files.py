"""Writing files so that a crash leaves either the whole file or a stray that the janitor sweeps."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mailgate.errors import NoSpace, Transient

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def failed(error: OSError) -> Transient:
    """Return what a failed write means to whoever waits: no space, or try again."""
    if error.errno in _FULL:
        return NoSpace("the spool's disk is full; try again later", detail=str(error))
    return Transient("the spool cannot be written now; try again later", detail=str(error))


def free(path: Path) -> int:
    """Bytes that an ordinary user may still write on the file system of ``path``."""
    figures = os.statvfs(path)
    return figures.f_bavail * figures.f_frsize


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def durable(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing; on leaving it is durable under that name, or gone.

    The name is new and unguessable, or its content a function of its name, so that a crash leaves at
    worst a stray.

    Raises
    ------
    Transient
        The disk is full or broken; nothing is left behind.
    """
    try:
        with open(path, "wb", opener=_private) as file:  # noqa: PTH123 - Path.open has no opener
            yield file
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise failed(error) from error
        raise


def create(path: Path) -> BinaryIO:
    """Open a new file for writing, for the gateway's eyes only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
