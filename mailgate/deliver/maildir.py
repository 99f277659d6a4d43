"""The courier that writes letters into Maildir folders (one folder an address)."""

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mailgate.deliver.source import blocks
from mailgate.errors import Unreachable
from mailgate.model import Letter

_FOREIGN = re.compile(rb"[^a-z0-9@._+-]|\A\.")

_LONGEST = 200
"""Bytes of a folder's name; past it stands the address's SHA-256. File systems allow 255."""

_PARTS = ("tmp", "new", "cur")

_STALE = 36 * 3600
"""Seconds after which a file in tmp/ is nobody's any more (the Maildir convention)."""

_OURS = ".mailgate"


def folder_name(address: str) -> str:
    """Return the folder of one address.

    Lower-cased; bytes outside ``[a-z0-9@._+-]`` and a leading dot as %XX; over 200 bytes the
    SHA-256 of the lower-cased address in hexadecimal. Never a path: no slash, no "..".
    """
    plain = address.lower().encode("utf-8", "surrogatepass")
    escaped = _FOREIGN.sub(lambda match: b"%%%02X" % match[0][0], plain)
    if len(escaped) > _LONGEST:
        return hashlib.sha256(plain).hexdigest()
    return escaped.decode("ascii")


def file_name(letter: Letter) -> str:
    """Return the letter's file name in new/: the same at each try, so that no retry doubles it."""
    digest = hashlib.sha256(letter.message_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{int(letter.planned.timestamp())}.{letter.id}_{digest}{_OURS}"


_SILENCE = 60.0
"""Seconds after which a disk that does not answer counts as away."""


class Maildir:
    """Writes each letter to ``<path>/<address>/new/``, durably.

    Line ends become LF, as local delivery on Unix has it (mutt, Dovecot and procmail expect it). A
    letter that is there already, unread in new/ or moved to cur/ with whatever flags, is delivered;
    finding out reads the names in cur/, and is left out at a first try. Nothing in ``path`` is
    reached through a symbolic link.
    """

    at_once = 8
    one_hop = False

    def __init__(self, path: Path, *, longest: float = _SILENCE) -> None:
        self._path = path
        self._longest = longest
        # Of its own: a disk that hangs takes no other room's threads.
        self._threads = ThreadPoolExecutor(self.at_once, "maildir")
        self._under_way: dict[int, asyncio.Future[str]] = {}

    async def deliver(self, letter: Letter, *, again: bool = True) -> str:
        """Write it, and return where.

        Raises
        ------
        Unreachable
            It could not be written, and nothing of it is in new/; or the disk has not answered
            yet: the next try waits for the same write.
        LetterGone
            Its bytes are gone from the spool.
        """
        writing = self._under_way.get(letter.id)
        if writing is None:
            loop = asyncio.get_running_loop()
            work = partial(self._deliver, letter, again=again)
            writing = loop.run_in_executor(self._threads, work)
            self._under_way[letter.id] = writing
        done, _ = await asyncio.wait({writing}, timeout=self._longest)
        if not done:
            message = f"the Maildir of {letter.recipient} does not answer"
            raise Unreachable(message, detail=f"{self._path}: {self._longest:.0f} s")
        del self._under_way[letter.id]
        return writing.result()

    def close(self) -> None:
        """Begin no write any more; one that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, letter: Letter, *, again: bool) -> str:
        name = folder_name(letter.recipient)
        try:
            with _opened(self._path, name) as (tmp, new, cur):
                if again:
                    _clean(tmp, file_name(letter))
                if not (again and _delivered(file_name(letter), new, cur)):
                    _write(letter, tmp, new)
                # Also where it was there: a crash may have come between its rename and this.
                os.fsync(new)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"the Maildir of {letter.recipient} cannot be written: {reason}"
            raise Unreachable(message, detail=f"{self._path / name}: {error}") from error
        return f"{name}/new/{file_name(letter)}"


# --- folders: everything by descriptors, so that no name is looked up twice -----------------------


@contextlib.contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[int, int, int]]:
    """Open tmp/, new/ and cur/ of one address, made where they are missing."""
    with contextlib.ExitStack() as stack:
        top = _kept(stack, _top(path))
        address = _kept(stack, _folder(top, name))
        tmp, new, cur = (_kept(stack, _folder(address, part)) for part in _PARTS)
        yield tmp, new, cur


def _top(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        _make(path)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _make(path: Path) -> None:
    if path.is_dir():
        return
    _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        os.fsync(_kept(stack, os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)))


def _kept(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _folder(parent: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        os.fsync(parent)
    return os.open(name, flags, dir_fd=parent)


# --- the file -------------------------------------------------------------------------------------


def _write(letter: Letter, tmp: int, new: int) -> None:
    name = file_name(letter)
    # A name of this process's own: another's half-written file is never taken for ours.
    working = f"{name}.{os.getpid()}"
    try:
        _fill(letter, working, tmp)
        os.rename(working, name, src_dir_fd=tmp, dst_dir_fd=new)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(working, dir_fd=tmp)
        raise


def _clean(tmp: int, name: str) -> None:
    """Remove what a crash left of this letter, and what is long nobody's of our other ones."""
    for entry in os.listdir(tmp):
        if entry.startswith(name) or (_OURS in entry and _age(tmp, entry) > _STALE):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry, dir_fd=tmp)


def _age(folder: int, name: str) -> float:
    try:
        return time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return 0.0


def _delivered(name: str, new: int, cur: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=new, follow_symlinks=False)
        return True
    return any(entry == name or entry.startswith(f"{name}:") for entry in os.listdir(cur))


def _fill(letter: Letter, working: str, tmp: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(working, flags, 0o600, dir_fd=tmp), "wb") as file:
        file.writelines(with_lf(blocks(letter)))
        file.flush()
        os.fsync(file.fileno())


def with_lf(cut: Iterable[bytes]) -> Iterator[bytes]:
    """Turn CRLF into LF, wherever the text is cut; a CR alone stays."""
    held = b""
    for block in cut:
        text = held + block
        held = b"\r" if text.endswith(b"\r") else b""
        yield text[: len(text) - len(held)].replace(b"\r\n", b"\n")
    yield held
