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

    The name is new and unguessable, or its content a function of its name, so that a crash leaves
    at worst a stray.

    Raises
    ------
    Transient
        The disk is full or broken; nothing is left behind.
    """
    try:
        with open(path, "wb", opener=_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise failed(error) from error
        raise


class Growing:
    """Bytes that stay in memory up to ``small`` and lie in the file ``path`` past it. Blocking."""

    def __init__(self, path: Path, *, small: int) -> None:
        self.path = path
        self.size = 0
        self._small = small
        self._memory = bytearray()
        self._file: BinaryIO | None = None

    @property
    def big(self) -> bool:
        """The bytes lie in the file."""
        return self._file is not None

    def write(self, block: bytes | bytearray | memoryview) -> int:
        """Take the next bytes; raises OSError."""
        self.size += len(block)
        if self._file is None and self.size > self._small:
            self._file = open(self.path, "wb", opener=_private)  # noqa: SIM115 - until seal or discard
            self._file.write(self._memory)
            self._memory.clear()
        if self._file is None:
            self._memory += block
        else:
            self._file.write(block)
        return len(block)

    def seal(self) -> bytes | None:
        """Return the bytes if small; else make the file durable and return None. Raises OSError."""
        if self._file is None:
            return bytes(self._memory)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        sync_folder(self.path.parent)
        return None

    def discard(self) -> None:
        """Forget the bytes."""
        if self._file is None:
            return
        # Closing writes what is still buffered, which a full disk refuses again.
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
