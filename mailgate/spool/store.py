"""The spool as the rooms hold it: one writer, readers of their own, bells that are only hints."""

import asyncio
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mailgate import log
from mailgate.errors import Permanent, Transient
from mailgate.spool.clock import Clock
from mailgate.spool.database import BUSY, Connection, Site, Tx, View
from mailgate.spool.files import durable, sync_folder
from mailgate.spool.writer import Writer

T = TypeVar("T")

ROOMS = ("read", "run", "reply", "deliver")
"""The rooms whose loops wait for something new in the spool."""

_BELLS = (*ROOMS, "clean")
# A room is woken again at the earliest after so many seconds.
_PACE = 0.005
# Bytes.
_SECRET = 32


class Folder:
    """The spool's places on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "spool.db"
        self.mail = root / "mail"
        self.staged = root / "staged"
        self.letters = root / "letters"
        self.secret = root / "secret"
        self.lock = root / "daemon.lock"
        self.reserve = root / "reserve"

    def make(self) -> None:
        """Make what is missing, for the gateway's eyes only; shut what others could enter.

        Raises
        ------
        Permanent
            The place cannot be written, or its secret is damaged.
        Transient
            The disk is full or broken.
        """
        try:
            self.make_places()
            # Whoever makes the database has made the secret before.
            is_new = not self.database.exists()
            if _make_secret(self.secret) and not is_new:
                log.event(
                    "renewed",
                    path=str(self.secret),
                    reason="it was gone: no reply address of old letters is known any more",
                )
        except OSError as error:
            message = f"the spool {self.root} cannot be used: {error.strerror}"
            raise Permanent(message) from error

    def make_places(self) -> None:
        """Make the folders alone, and shut them; raises OSError."""
        for place in (self.root, self.mail, self.staged, self.letters):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in (self.root, self.database, *self._logs()):
            _shut(place)

    def check(self) -> None:
        """See that there is a spool, and make none.

        Raises
        ------
        Permanent
            There is none, or it is not ours to use.
        """
        try:
            self.database.stat()
        except FileNotFoundError:
            why = f"there is no {self.database.name} in it; 'mailgate serve' makes a spool"
        except OSError as error:
            why = f"{error.strerror}; be the gateway's user"
        else:
            # Not opened: closing it would take away this process's own locks on it.
            if os.access(self.database, os.R_OK | os.W_OK, effective_ids=True):
                return
            why = f"{self.database.name} is not yours to read and write; be the gateway's user"
        message = f"the spool {self.root} cannot be used: {why}"
        raise Permanent(message)

    def _logs(self) -> list[Path]:
        return [self.database.with_name(self.database.name + end) for end in ("-wal", "-shm")]


def _shut(path: Path) -> None:
    """Take everybody else's rights away: a folder may have been made by other hands than ours."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if mode & 0o077:
        path.chmod(stat.S_IMODE(mode) & 0o700)
        log.event("shut", path=str(path), was=f"{stat.S_IMODE(mode):04o}")


def _make_secret(path: Path) -> bool:
    """32 random bytes behind the reply addresses' KEY; True where they are made here."""
    made = False
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with durable(draft) as file:
            file.write(os.urandom(_SECRET))
        try:
            os.link(draft, path)
            made = True
            sync_folder(path.parent)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_size != _SECRET:
        message = (
            f"{path} has {path.stat().st_size} bytes, not {_SECRET}: restore it from a backup, or"
            " delete it and a new one is made, which knows no reply address of old letters"
        )
        raise Permanent(message)
    return made


class Spool:
    """The daemon's hold on the spool; ``busy``: so many seconds a lock of another is waited for."""

    def __init__(self, folder: Folder, site: Site, *, busy: float = BUSY) -> None:
        self.folder = folder
        self._site = site
        self._busy = busy
        self._hurry = threading.Event()
        self.clock = Clock()
        self._view: Connection | None = None
        self._writer: Writer | None = None
        self._bells = {room: asyncio.Event() for room in _BELLS}
        self._woken = dict.fromkeys(_BELLS, 0.0)
        self._version = 0

    def open(self) -> None:
        """Open the database, making it where there is none; needs a running event loop.

        Raises
        ------
        Transient, Permanent
            It cannot be opened, or was written by newer software.
        """
        self.folder.make()
        writing = Connection(
            self.folder.database, site=self._site, busy=self._busy, hurry=self._hurry
        )
        writing.prepare()
        self._view = self._connection()
        self._writer = Writer(writing)
        self._writer.start(self._heard)

    def hurry(self) -> None:
        """Wait for no other program's lock any more: the end has come."""
        self._hurry.set()

    def close(self) -> None:
        """Commit what waits and close."""
        self.hurry()
        if self._writer is not None:
            self._writer.stop()
        if self._view is not None:
            self._view.close()

    @property
    def view(self) -> View:
        """Ask the database from the event loop's thread: short, indexed questions only."""
        if self._view is None:
            message = "the spool is not open"
            raise RuntimeError(message)
        return self._view.view

    async def write(self, operation: Callable[[Tx], T]) -> T:
        """Run ``operation`` in the one writer; its result comes once it is committed.

        Raises
        ------
        Transient
            The database is locked, full or broken; nothing was written.
        """
        if self._writer is None:
            message = "the spool is not open"
            raise RuntimeError(message)
        return await self._writer.do(operation)

    async def wait(self, room: str, *, longest: float) -> None:
        """Sleep until something may be new for ``room``, at most ``longest`` seconds.

        Under load a room is woken at most once in a few milliseconds: it finds more at a time.
        """
        bell = self._bells[room]
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(longest, bell.set)
        try:
            await bell.wait()
            early = self._woken[room] + _PACE - loop.time()
            if early > 0:
                await asyncio.sleep(early)
        finally:
            alarm.cancel()
        self._woken[room] = loop.time()
        bell.clear()

    def ring(self, *rooms: str) -> None:
        """Wake rooms, from the event loop's thread."""
        for room in rooms or ROOMS:
            self._bells[room].set()

    @contextmanager
    def beside(self) -> Iterator[Connection]:
        """Work in a thread of one's own, beside the one writer.

        Raises
        ------
        Damaged
            The database is not in its place: to open one would make another there.
        """
        if self._view is not None:
            self._view.check_place()
        connection = self._connection()
        try:
            yield connection
        finally:
            connection.close()

    def _connection(self) -> Connection:
        return Connection(self.folder.database, site=self._site, busy=self._busy)

    def misplaced(self) -> bool:
        """Whether the database is not in its place any more; until it is nothing can be written."""
        return self._view is not None and not self._view.in_place()

    def changed_by_others(self) -> bool:
        """Whether another process has written since this was asked last."""
        before, self._version = self._version, self.view.count("PRAGMA data_version")
        return before != self._version

    def _heard(self, rooms: frozenset[str]) -> None:
        if rooms:
            self.ring(*rooms)


@contextmanager
def direct(folder: Folder, site: Site, *, make: bool = True) -> Iterator[Connection]:
    """Work on the spool beside a running daemon, or without one: the operator's commands, the pipe.

    Where ``make`` is false there must be one already.

    Raises
    ------
    Transient, Permanent
        The database cannot be opened or stays locked.
    """
    if make:
        folder.make()
    else:
        folder.check()
    connection = Connection(folder.database, site=site)
    try:
        connection.prepare()
        yield connection
    finally:
        connection.close()


@contextmanager
def sole(folder: Folder) -> Iterator[None]:
    """Hold the spool as its one daemon.

    Raises
    ------
    Transient
        Another daemon has it.
    """
    folder.make()
    try:
        file = folder.lock.open("w")
    except OSError as error:
        message = f"the spool {folder.root} cannot be used: {error.strerror}: {folder.lock.name}"
        raise Permanent(message) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"another daemon works on the spool {folder.root}"
            raise Transient(message) from error
        yield
