"""Files made in a folder under names that a stranger chose."""
# ruff: noqa: PTH103, PTH122 - pathlib costs 5 ms of start-up

import os
from collections.abc import Callable, Iterator

from mailgate.client.errors import CannotKeep, CannotWrite
from mailgate.client.restore import Write
from mailgate.client.words import shown

_LONGEST_NAME = 255
"""Bytes of one name, on nearly every file system (NAME_MAX)."""

_MOST_TRIES = 1000


class Folder:
    """A folder in which files are made and never followed, replaced or left half written."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        """Open the folder, made if it is not there; it may itself be a link.

        Raises
        ------
        CannotKeep
            It is no folder, or may not be made.
        """
        self.path = path
        try:
            os.makedirs(path, exist_ok=True)
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._refused(path, error) from error

    def create(self, name: str) -> "File":
        """Make a new file under ``name``, made safe, or under that with a number if it is taken.

        Raises
        ------
        CannotKeep
            The folder takes no new file.
        """
        for each in _names(name):
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                return File(self._fd, each, os.open(each, flags, 0o666, dir_fd=self._fd))
            except FileExistsError:
                continue
            except OSError as error:
                raise self._refused(f"{self.path}/{each}", error) from error
        raise CannotKeep(f"{shown(self.path)} holds too many files like {shown(name)}")

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._fd)

    @staticmethod
    def _refused(path: str, error: OSError) -> CannotKeep:
        return CannotKeep(f"{shown(path)} cannot be made: {error.strerror}")


class File:
    """A new file, open for writing; it is removed again if that raises."""

    __slots__ = ("_fd", "_folder", "name")

    def __init__(self, folder: int, name: str, fd: int) -> None:
        """Take a descriptor open for writing, and the folder's."""
        self.name = name
        self._folder = folder
        self._fd = fd

    def __enter__(self) -> Write:
        """Return what writes a block to it."""
        return writer(self._fd, self.name)

    def __exit__(self, kind: object, *_: object) -> None:
        """Close it; take it away again if it did not become whole."""
        os.close(self._fd)
        if kind:
            os.unlink(self.name, dir_fd=self._folder)


class Kept:
    """What is written to stays as it is, whatever comes of it: standard output."""

    __slots__ = ("_write",)

    def __init__(self, write: Write) -> None:
        """Take what writes a block."""
        self._write = write

    def __enter__(self) -> Write:
        """Return what writes a block."""
        return self._write

    def __exit__(self, kind: object, *_: object) -> None:
        """Do nothing."""


class Making:
    """Makes a file in a folder once it is called; ``told`` hears of it when it is whole."""

    __slots__ = ("_count", "_file", "_folder", "_name", "_told")

    def __init__(
        self, folder: Folder, name: str, count: int, told: Callable[[Folder, File, str, int], None]
    ) -> None:
        """Take the name that a stranger chose, and the number of bytes to come."""
        self._folder = folder
        self._name = name
        self._count = count
        self._told = told
        self._file: File | None = None

    def __call__(self) -> "Making":
        """Make the file; raises CannotKeep."""
        self._file = self._folder.create(self._name)
        return self

    def __enter__(self) -> Write:
        """Return what writes a block to it."""
        if self._file is None:
            self()
        assert self._file  # noqa: S101 - made just above
        return self._file.__enter__()

    def __exit__(self, kind: object, *_: object) -> None:
        """Close it; take it away again if it did not become whole."""
        assert self._file  # noqa: S101 - entered before
        self._file.__exit__(kind)
        if not kind:
            self._told(self._folder, self._file, self._name, self._count)


def writer(fd: int, name: str) -> Write:
    """Return a function that writes whole blocks to ``fd``.

    It raises CannotWrite, but lets a closed pipe's BrokenPipeError through.
    """

    def write(block: bytes) -> None:
        view = memoryview(block)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CannotWrite(f"{shown(name)} cannot be written: {error.strerror}") from error

    return write


def safe_name(name: str) -> str:
    """Return a file name that is no path, no option, not hidden and not empty."""
    safe = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name)
    if safe[:1] in ("", ".", "-"):
        safe = "_" + safe
    return safe


def _names(name: str) -> Iterator[str]:
    """Yield ``a.txt``, ``a-2.txt``, ``a-3.txt`` ..., each short enough."""
    stem, extension = os.path.splitext(safe_name(name))
    extension = _cut(extension, _LONGEST_NAME // 4)
    for number in range(1, _MOST_TRIES):
        tail = (f"-{number}" if number > 1 else "") + extension
        yield _cut(stem, _LONGEST_NAME - len(tail.encode())) + tail


def _cut(text: str, longest: int) -> str:
    return text.encode()[:longest].decode(errors="ignore")
