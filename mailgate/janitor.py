"""The loop that sweeps: what has expired, and what a crash left behind. Also `mailgate purge`."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from mailgate import crash, log
from mailgate.config import Config
from mailgate.errors import MailgateError
from mailgate.run.files import remove_tree
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.spool import keep
from mailgate.spool.database import Connection, Tx, View
from mailgate.spool.store import Folder, Spool

T = TypeVar("T")

# Expired things may wait so long (seconds); strays are looked for only so often.
_EVERY = 60.0
_STRAYS_EVERY = 6 * 3600.0
# A file is a stray only when nobody can still be writing it or about to commit its row.
_YOUNG = 3600.0


@dataclass(slots=True)
class Swept:
    """How many of each were removed."""

    jobs: int = 0
    tombstones: int = 0
    mails: int = 0
    held: int = 0
    strays: int = 0

    def __str__(self) -> str:
        """Return it as `mailgate purge` prints it."""
        return (
            f"{self.jobs} expired jobs, {self.mails} raw mails, {self.held} held mails,"
            f" {self.tombstones} tombstones, {self.strays} stray files"
        )


class _Writes(Protocol):
    """One transaction: through the daemon's writer or a connection of one's own."""

    def __call__(self, operation: Callable[[Tx], T]) -> T: ...


class Janitor:
    """Sweeps by way of a view and of ``write``, in whatever thread it is called."""

    def __init__(self, config: Config, folder: Folder, *, young: float = _YOUNG) -> None:
        self._config = config
        self._folder = folder
        self._young = young

    def sweep(self, view: View, write: _Writes, *, strays: bool) -> Swept:
        """Remove all that may go now; ``strays`` too, which walks every folder.

        Raises
        ------
        Transient
            The spool cannot be written now; what was removed is consistent.
        """
        done = Swept()
        done.held = write(keep.give_up_held)
        self._jobs(view, write, done)
        self._mails(view, write, done)
        while (count := write(keep.bury)) > 0:
            done.tombstones += count
        while write(keep.forget_refusals) > 0:
            pass
        if strays:
            done.strays = self._strays(view)
        return done

    def _jobs(self, view: View, write: _Writes, done: Swept) -> None:
        while expired := keep.expired_jobs(view, now=_now()):
            for job in expired:
                _remove(JobFolder(self._config.run.folder, job).root)
            crash.point("purge:files-gone")
            write(lambda tx, some=expired: keep.archive(tx, some))  # type: ignore[misc]
            done.jobs += len(expired)
            for job in expired:
                log.event("purged", job=job)

    def _mails(self, view: View, write: _Writes, done: Swept) -> None:
        while raws := keep.raw_mail(view, now=_now()):
            for raw in raws:
                if raw.file is not None:
                    (self._folder.mail / raw.file).unlink(missing_ok=True)
            write(lambda tx, some=raws: keep.forget(tx, some))  # type: ignore[misc]
            done.mails += len(raws)

    def _strays(self, view: View) -> int:
        """Remove what a crash between a file and its row left behind."""
        mails = keep.unknown_mail(view, [p.name for p in self._old(self._folder.mail)])
        staged = keep.unknown_staged(view, [p.name for p in self._old(self._folder.staged)])
        numbers = [int(p.stem) for p in self._old(self._folder.letters) if p.stem.isdecimal()]
        letters = keep.unknown_letters(view, numbers)
        strays = [self._folder.mail / name for name in mails]
        strays += [self._folder.staged / name for name in staged]
        strays += [self._folder.letters / f"{number}.eml" for number in letters]
        for stray in strays:
            stray.unlink(missing_ok=True)
            log.event("swept", file=stray.name)
        return len(strays) + self._stray_jobs(view)

    def _stray_jobs(self, view: View) -> int:
        folders = [f for place in self._old(self._config.run.folder) for f in self._old(place)]
        unknown = set(keep.unknown_jobs(view, [f.name for f in folders]))
        for folder in folders:
            if folder.name in unknown:
                _remove(folder)
                log.event("swept", file=folder.name)
        return len(unknown)

    def _old(self, folder: Path) -> Iterator[Path]:
        if not folder.is_dir():
            return
        border = time.time() - self._young
        for path in folder.iterdir():
            try:
                if path.lstat().st_mtime <= border:
                    yield path
            except FileNotFoundError:
                continue

    async def run(self, spool: Spool) -> None:
        """Sweep until cancelled, with a connection of its own."""
        strays_at = 0.0
        while True:
            due = time.monotonic() >= strays_at
            try:
                swept = await asyncio.to_thread(self._by_itself, spool, strays=due)
                if due:
                    strays_at = time.monotonic() + _STRAYS_EVERY
                if swept != Swept():
                    log.event("cleaned", what=str(swept))
            except MailgateError as error:
                log.event("delayed", what="clean", reason=str(error), detail=error.detail or None)
            await asyncio.sleep(_EVERY)

    def _by_itself(self, spool: Spool, *, strays: bool) -> Swept:
        with spool.beside() as connection:
            return self.sweep(connection.view, committing(connection), strays=strays)


def committing(connection: Connection) -> _Writes:
    """Return a way to write through ``connection``, one transaction a call."""

    def write(operation: Callable[[Tx], T]) -> T:
        with connection.transaction() as tx:
            return operation(tx)

    return write


def _remove(folder: Path) -> None:
    """Remove a job's folder; what cannot be removed now is a stray that another sweep finds."""
    try:
        remove_tree(folder)
    except OSError as error:
        log.event("delayed", what="clean", file=folder.name, reason=str(error))


def _now() -> float:
    return datetime.now(UTC).timestamp()
