"""Connections to the spool's database; a statement is run on a View to read, a Tx to write."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peewee import SqliteDatabase

from mailgate.errors import Damaged, MailgateError, NoSpace, Permanent, Transient
from mailgate.spool import schema, tables

Value = str | int | float | bytes | None
Row = sqlite3.Row

MISPLACED = (
    "is not the file that the gateway has open: put that file back, or restart the gateway to go on"
    " with what is there"
)
"""What is wrong with a database that was moved, replaced or removed, and the mend."""

# How long another program may hold the database before whoever waits hears "try again".
BUSY = 10.0
# SQLite's own wait cannot be cut short: who may have to hurry asks again after so long.
_PAUSE = 0.01

_PRAGMAS = {
    "journal_mode": "wal",
    # FULL: a commit is on the disk before anybody hears of it.
    "synchronous": "full",
    "foreign_keys": 0,
    "cache_size": -8000,
    # A month's log file never grows past this after a checkpoint.
    "journal_size_limit": 64 << 20,
    "mmap_size": 0,
    # What a savepoint would take back lies in memory, not in a file written page by page.
    "temp_store": "memory",
    # Deleted mail is overwritten where that writes no page more.
    "secure_delete": "fast",
}


def moment(seconds: float) -> datetime:
    """Return a time of the tables as an aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


class View:
    """What can be asked of the database; a question raises Transient where it cannot be read."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def all(self, statement: str, *values: Value) -> list[Row]:
        """Every row of the answer."""
        try:
            return self._raw.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise meaning(error) from error

    def one(self, statement: str, *values: Value) -> Row | None:
        """Return the first row, or None."""
        try:
            row: Row | None = self._raw.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise meaning(error) from error
        return row

    def each(self, statement: str, *values: Value) -> Generator[Row, None, None]:
        """Rows as they come; for answers too long to hold."""
        try:
            yield from self._raw.execute(statement, values)
        except sqlite3.Error as error:
            raise meaning(error) from error

    def count(self, statement: str, *values: Value) -> int:
        """Return the single number that the statement asks for."""
        row = self.one(statement, *values)
        return int(row[0]) if row is not None and row[0] is not None else 0


@dataclass(frozen=True, slots=True)
class Site:
    """The gateway's own address, in two halves: for Message-IDs and bounce addresses."""

    local: str
    domain: str

    @classmethod
    def of(cls, address: str) -> "Site":
        """Split a bare address."""
        local, _, domain = address.rpartition("@")
        return cls(local, domain)


class Tx(View):
    """An open transaction. ``now`` is one instant for everything in it."""

    def __init__(self, raw: sqlite3.Connection, site: Site) -> None:
        super().__init__(raw)
        self.site = site
        self.now = datetime.now(UTC)
        self._rung: set[str] = set()

    @property
    def at(self) -> float:
        """``now`` as the tables keep it."""
        return self.now.timestamp()

    @property
    def open(self) -> bool:
        """SQLite has not given the transaction up."""
        return self._raw.in_transaction

    @property
    def rung(self) -> frozenset[str]:
        """The rooms that have something new once this is committed."""
        return frozenset(self._rung)

    def ring(self, room: str) -> None:
        """Wake ``room`` after the commit: a hint, the room looks by itself too."""
        self._rung.add(room)

    def execute(self, statement: str, *values: Value) -> int:
        """Run a statement; return how many rows it changed."""
        try:
            return self._raw.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise meaning(error) from error

    def insert(self, table: str, **columns: Value) -> int:
        """Insert one row; return its number. Table and columns are ours, never a stranger's."""
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        try:
            return self._raw.execute(statement, tuple(columns.values())).lastrowid or 0
        except sqlite3.Error as error:
            raise meaning(error) from error

    def note(
        self, verb: str, *, key: str | None = None, job: str | None = None, detail: str = ""
    ) -> None:
        """Write an event row: what `explain` and a job's history show."""
        self.insert("event", at=self.at, key=key, job=job, verb=verb, detail=detail[:500])


class Connection:
    """One connection, used by one thread at a time.

    A transaction waits ``busy`` seconds for another program's lock, and no longer than it must once
    ``hurry`` is set; with ``hurry``, ``begun`` waits for nobody.
    """

    def __init__(
        self, path: Path, *, site: Site, busy: float = BUSY, hurry: threading.Event | None = None
    ) -> None:
        self._site = site
        self._busy = busy
        self._hurry = hurry
        self._database = SqliteDatabase(
            str(path),
            pragmas={**_PRAGMAS, "busy_timeout": int(busy * 1000)},
            timeout=busy,
            check_same_thread=False,
            thread_safe=False,
            isolation_level=None,
        )
        try:
            self._database.connect()
        except Exception as error:
            raise opened(error) from error
        self._raw: sqlite3.Connection = self._database.connection()
        self._raw.row_factory = sqlite3.Row
        self._path = path
        self._file = _file(path)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def in_place(self) -> bool:
        """Whether the file that is open is the one that the path names."""
        try:
            return _file(self._path) == self._file
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # It cannot be seen, which is not gone.
            return True

    @property
    def site(self) -> Site:
        """Whose spool it is."""
        return self._site

    @property
    def view(self) -> View:
        """Ask outside a transaction: each statement sees what is committed by then."""
        return View(self._raw)

    def prepare(self) -> None:
        """Make the tables where there are none, and those that an older version had not.

        Raises
        ------
        Permanent
            The spool was written by a newer version of the software.
        """
        # Asked first without a transaction: who only reads waits for no writer.
        if self.view.count("PRAGMA user_version") != tables.VERSION:
            self._make()
        if self._hurry is not None:
            # From now on it waits here, where it can be told to hurry, and not in SQLite.
            self.view.one("PRAGMA busy_timeout = 0")

    def _make(self) -> None:
        with self.transaction() as tx:
            found = tx.count("PRAGMA user_version")
            if found > tables.VERSION:
                message = (
                    f"the spool has format {found}, this version of mailgate knows"
                    f" {tables.VERSION}: use the newer version"
                )
                raise Permanent(message)
            if found == 0:
                schema.create(self._database)
            elif found < tables.VERSION:
                schema.upgrade(self._database)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tx]:
        """One transaction: committed on leaving, rolled back when anything raises.

        Raises
        ------
        Transient
            The database stayed locked, or could not be written; nothing was.
        """
        try:
            self.wait_begun()
            yield self.tx()
            self.commit()
        except sqlite3.Error as error:
            self.abandon()
            raise meaning(error) from error
        except BaseException:
            self.abandon()
            raise

    # --- a transaction in steps, for the one writer -----------------------------------------------

    def begun(self) -> bool:
        """Begin a transaction, unless another program has the lock: then False.

        Raises
        ------
        Transient
            The database cannot be used now.
        """
        try:
            self._raw.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if _is_busy(error):
                return False
            raise meaning(error) from error
        return True

    def wait_begun(self) -> None:
        """Begin a transaction, once no other program has the lock.

        Raises
        ------
        Transient
            The database stayed locked, or cannot be used now.
        """
        deadline = time.monotonic() + self._busy
        while not self.begun():
            in_a_hurry = self._hurry is None or self._hurry.wait(_PAUSE)
            if in_a_hurry or time.monotonic() >= deadline:
                raise Transient("the spool is locked by another program; try again later")

    def tx(self) -> Tx:
        """Return the transaction that was begun."""
        return Tx(self._raw, self._site)

    def commit(self) -> None:
        """Commit what was begun; when this returns it is on the disk, where the next start looks.

        Raises
        ------
        Transient
            It could not be written; the transaction is to be abandoned.
        Damaged
            The file was moved or removed, and who opens the path would not find it.
        """
        self.check_place()
        try:
            self._raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise meaning(error) from error

    def check_place(self) -> None:
        """See that the open file is in its place; raises Damaged."""
        if not self.in_place():
            message = "the gateway's spool is not in its place; try again later"
            raise Damaged(message, detail=f"{self._path} {MISPLACED}")

    def abandon(self) -> None:
        """Roll back what was begun, if SQLite has not done so by itself."""
        # A disk that failed once may fail here again: what went wrong first is told.
        with contextlib.suppress(sqlite3.Error):
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")

    def snapshot(self, target: Path) -> None:
        """Copy the live database, consistent, to ``target``.

        Raises
        ------
        Transient
            One of the two cannot be read or written now.
        """
        try:
            with contextlib.closing(sqlite3.connect(target)) as copy:
                # All of it in one step: between two, a writer's commit would have it begin again.
                self._raw.backup(copy)
        except sqlite3.Error as error:
            raise meaning(error) from error


def _file(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def opened(error: Exception) -> MailgateError:
    """Return what it means that the database cannot be opened."""
    cause = error if isinstance(error, sqlite3.Error) else error.__context__
    found = meaning(cause) if isinstance(cause, sqlite3.Error) else None
    if isinstance(found, Damaged):
        return found
    return Transient("the spool cannot be opened now; try again later", detail=repr(error))


def meaning(error: sqlite3.Error) -> Exception:
    """Return what a failed statement means to whoever waits; a bug of ours is itself."""
    name: str = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return NoSpace("the spool's disk is full; try again later", detail=str(error))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        message = "the spool's database is damaged: stop the gateway and restore the last backup"
        return Damaged(message, detail=f"{name} {error}")
    if isinstance(error, sqlite3.OperationalError):
        return Transient("the spool cannot be used now; try again later", detail=f"{name} {error}")
    return error
