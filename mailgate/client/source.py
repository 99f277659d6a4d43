"""Bytes by their offset, whether they come from a file or a pipe, in flat memory."""

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import chain

from mailgate.client.errors import CannotWrite, NoInput
from mailgate.client.words import shown

WINDOW = 256 * 1024
"""What is kept of a file at once: a whole ordinary mail, and fit for the processor's cache."""

_PIPE = 1024 * 1024

IN_MEMORY = 1024 * 1024
"""A piped mail up to this size never touches a disk."""


class Source:
    """One input: a regular file read where it lies, or the whole of a pipe kept aside."""

    __slots__ = ("_at", "_base", "_fd", "_path", "_window", "name", "size")

    def __init__(self, name: str, *, fd: int, size: int, path: str = "", base: int = 0) -> None:
        """Take a descriptor that pread(2) works on; ``base`` is where in it the input begins."""
        self.name = name
        self.size = size
        self._fd = fd
        self._path = path
        self._base = base
        self._window = b""
        self._at = 0

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes [start, end), fewer where the input ends before."""
        end = min(end, self.size)
        if end - start > WINDOW:
            return self._pread(start, end - start)
        self._show(start, end - start)
        return self._window[start - self._at : end - self._at]

    def blocks(self, start: int, end: int, length: int = WINDOW) -> Iterator[bytes]:
        """Yield [start, end) in blocks of ``length``, the last one shorter."""
        while start < end and (block := self._pread(start, min(length, end - start))):
            start += len(block)
            yield block

    def find(self, needle: bytes, start: int, end: int) -> int:
        """Return the offset of ``needle`` (two bytes or more) within [start, end), -1 if absent."""
        end = min(end, self.size)
        while end - start >= len(needle):
            self._show(start, len(needle))
            stop = min(end - self._at, len(self._window))
            if stop - (start - self._at) < len(needle):
                return -1  # the file has become shorter
            # base64 holds no "-", and one byte is found three times as fast as several.
            if self._window.find(needle[1:2], start - self._at, stop) >= 0:
                hit = self._window.find(needle, start - self._at, stop)
                if hit >= 0:
                    return self._at + hit
            start = self._at + stop - len(needle) + 1
        return -1

    def rest(self) -> None:
        """Let go of the descriptor and the window; a file is opened again when it is next read.

        A Maildir may hold more replies than a process may have files open.
        """
        if self._path and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._window = b""

    def close(self) -> None:
        """Let go of everything for good; standard input stays open."""
        if self._fd > 2:
            os.close(self._fd)
        self._fd = -1
        self._window = b""

    def _show(self, start: int, count: int) -> None:
        """Have the window cover [start, start + count)."""
        if start < self._at or start + count > self._at + len(self._window):
            self._window = self._pread(start, WINDOW)
            self._at = start

    def _pread(self, start: int, count: int) -> bytes:
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._fd, min(count, self.size - start), self._base + start)
        except OSError as error:
            raise unreadable(self.name, error) from error


class _Held(Source):
    """A short input, all of it in the window."""

    __slots__ = ()

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name, fd=-1, size=len(data))
        self._window = data

    def _pread(self, start: int, count: int) -> bytes:
        return self._window[start : start + count]


def from_file(path: str) -> Source:
    """Open a saved mail or mbox; a named pipe or device is read to its end.

    Raises
    ------
    NoInput
        It is not there, or may not be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        about = os.fstat(fd)
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISREG(about.st_mode):
        return Source(path, fd=fd, path=path, size=about.st_size)
    try:
        return kept(path, _piped(fd, path))
    finally:
        os.close(fd)


def from_stdin() -> Source:
    """Take standard input: in place, from where it stands, if it is a regular file.

    Raises
    ------
    NoInput
        It is closed or cannot be read.
    CannotWrite
        There is no room to keep a big mail that comes through a pipe.
    """
    name = "standard input"
    try:
        about = os.fstat(0)
        if stat.S_ISREG(about.st_mode):
            base = os.lseek(0, 0, os.SEEK_CUR)
            return Source(name, fd=0, base=base, size=max(0, about.st_size - base))
    except OSError as error:
        raise unreadable(name, error) from error
    return kept(name, _piped(0, name))


def kept(name: str, blocks: Iterable[bytes]) -> Source:
    """Keep what can be read only once: in memory, or over 1 MiB in a nameless temporary file.

    Raises
    ------
    CannotWrite
        The temporary file's disk (``TMPDIR``) is full or may not be written.
    """
    blocks = iter(blocks)
    held: list[bytes] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        if size > IN_MEMORY:
            return _in_file(name, chain(held, blocks))
    return _Held(name, b"".join(held))


def unreadable(name: str, error: OSError) -> NoInput:
    """Say that an input cannot be read, and why."""
    return NoInput(f"{shown(name)} cannot be read: {error.strerror}")


def widen(fd: int) -> None:
    """Give a pipe 1 MiB of room instead of 64 KiB, which halves the time that it costs."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)
    except OSError:
        return  # no pipe, or no more room for this user: pipe(7)


def _in_file(name: str, blocks: Iterable[bytes]) -> Source:
    import tempfile  # noqa: PLC0415 - costs 10 ms, which only a big mail through a pipe pays

    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            size = sum(_whole(file.fileno(), block) for block in blocks)
            return Source(name, fd=os.dup(file.fileno()), size=size)
    except OSError as error:
        reason = f"{error.strerror}; TMPDIR may name a folder with room"
        raise CannotWrite(f"{shown(name)} cannot be kept for reading: {reason}") from error


def _whole(fd: int, block: bytes) -> int:
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view) :]
    return len(block)


def _piped(fd: int, name: str) -> Iterator[bytes]:
    widen(fd)
    try:
        while block := os.read(fd, _PIPE):
            yield block
    except OSError as error:
        raise unreadable(name, error) from error
