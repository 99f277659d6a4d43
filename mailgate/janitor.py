"""The loop that sweeps: what has expired, and what a crash left behind. Also `mailgate purge`."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from mailgate import crash, log
from mailgate.config import Config
from mailgate.errors import MailgateError
from mailgate.model import JobId, Wish
from mailgate.run.files import remove_tree
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.run.place import is_marked
from mailgate.spool import (
    appointments,
    confirmations,
    house,
    keep,
    letters,
    notices,
    quotas,
    reserve,
    shipments,
    wishes,
)
from mailgate.spool.clock import Clock
from mailgate.spool.database import Connection, Tx, View
from mailgate.spool.store import Folder, Spool

T = TypeVar("T")

# Expired things may wait so long (seconds); strays are looked for only so often.
_EVERY = 60.0
_STRAYS_EVERY = 6 * 3600.0
# A file is a stray only when nobody can still be writing it or about to commit its row.
_YOUNG = 3600.0
# Nothing expires for so long after the clock was set: whoever set it wrong may set it back.
_CALM = 3600.0
_JOB = re.compile(r"[a-z][a-z2-7]{11}")
# Outputs of a job, packed for its letters, or a draft of such a file.
_PACKED = re.compile(r"[a-z][a-z2-7]{11}\.")
# What `mailgate check --live` makes among the folders of jobs, and a crash of it leaves.
_LIVE = re.compile(r"live\.[a-z0-9_]{8}")


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
        self._terms = confirmations.Terms.of(config)
        self._young = young
        self._strays_at = 0.0
        self._calm_at = 0.0
        self._ahead = timedelta()
        self._doubting = False
        # Of its own: a walk through a file system that hangs keeps no other room waiting.
        self._thread = ThreadPoolExecutor(1, "clean")

    def sweep(self, view: View, write: _Writes, *, strays: bool) -> Swept:
        """Remove all that may go now; ``strays`` too, which walks every folder.

        Raises
        ------
        Transient
            The spool cannot be written now; what was removed is consistent.
        """
        done = Swept()
        # First, and by its files: on a full disk all else may need the room.
        self._destroyed(view, write, done)
        while given := write(keep.give_up_held):
            done.held += len(given)
            for mail in given:
                log.event("expired", key=mail.key, reason=mail.reason)
        self._unconfirmed(write, done)
        for job in write(wishes.doom) if wishes.dooms(view, now=_now()) else ():
            log.event("wished", job=job, what=Wish.CANCEL, reason="the date has come")
        self.notices(write)
        self._jobs(view, write, done, lambda tx: keep.expired_jobs(tx, now=tx.at))
        self._mails(view, write, done, now=_now())
        while (count := write(keep.bury)) > 0:
            done.tombstones += count
        while write(keep.forget_refusals) > 0:
            pass
        write(quotas.forget_uses)
        if strays:
            done.strays = self._strays(view)
        return done

    def notices(self, write: _Writes, *, past: bool = True) -> None:
        """Plan the letters that say that outputs go; ``past`` as `notices.plan_notices` has it."""
        while write(partial(notices.plan_notices, limit=keep.BATCH, past=past)) == keep.BATCH:
            pass
        crash.point("notice:planned")

    def destroy(self, view: View, write: _Writes) -> Swept:
        """Remove what somebody has had destroyed, and nothing else; raises as `sweep` does."""
        done = Swept()
        self._destroyed(view, write, done)
        return done

    def _destroyed(self, view: View, write: _Writes, done: Swept) -> None:
        self._jobs(view, write, done, keep.destroyed_jobs)
        self._mails(view, write, done, now=0.0)

    def _unconfirmed(self, write: _Writes, done: Swept) -> None:
        """Give up what nobody has confirmed, and ask whom a letter may go to by now."""
        while (gone := write(lambda tx: confirmations.expire(tx, self._terms))).mails:
            crash.point("clean:unconfirmed")
            for name in gone.staged:
                _unlink(self._folder.staged / name)
            for mail in gone.mails:
                log.event("expired", key=mail.key, reason=mail.reason)
            done.held += len(gone.mails)
        write(lambda tx: confirmations.ask_due(tx, self._terms))
        crash.point("clean:asked")

    def _jobs(
        self, view: View, write: _Writes, done: Swept, which: Callable[[Tx], list[JobId]]
    ) -> None:
        # Asked as a writer: whoever keeps one longer at this moment has done so before, or is told
        # that it is too late.
        while expired := write(which):
            for job in expired:
                _remove(JobFolder(self._config.run.folder, job).root)
                for name in (*shipments.files(view, job), *letters.withdrawn(view, job)):
                    _unlink(self._folder.letters / name)
            crash.point("purge:files-gone")
            done.jobs += write(lambda tx, some=expired: keep.archive(tx, some))  # type: ignore[misc]
            for job in expired:
                log.event("purged", job=job)

    def _mails(self, view: View, write: _Writes, done: Swept, *, now: float) -> None:
        while raws := keep.raw_mail(view, now=now):
            for raw in raws:
                if raw.file is not None:
                    _unlink(self._folder.mail / raw.file)
            crash.point("purge:mail-gone")
            write(lambda tx, some=raws: keep.forget(tx, some))  # type: ignore[misc]
            done.mails += len(raws)

    def _strays(self, view: View) -> int:
        """Remove what a crash between a file and its row left behind."""
        mails = keep.unknown_mail(view, [p.name for p in self._old(self._folder.mail)])
        staged = keep.unknown_staged(view, [p.name for p in self._old(self._folder.staged)])
        numbers = [int(p.stem) for p in self._old(self._folder.letters) if p.stem.isdecimal()]
        bodies = keep.unknown_letters(view, numbers)
        packed = [p.name for p in self._old(self._folder.letters) if _PACKED.match(p.name)]
        strays = [self._folder.mail / name for name in mails]
        strays += [self._folder.letters / name for name in shipments.unknown(view, packed)]
        strays += [self._folder.staged / name for name in staged]
        strays += [self._folder.letters / f"{number}.eml" for number in bodies]
        swept = sum(map(_swept, strays))
        return swept + (self._stray_jobs(view) if self._is_ours(view) else 0)

    def _is_ours(self, view: View) -> bool:
        """Whether the folder of jobs is this gateway's: then what it does not know is a stray."""
        jobs = self._config.run.folder
        try:
            if not jobs.exists() or is_marked(jobs, house.known(view)):
                return True
        except OSError as error:
            _put_off(jobs, error)
            return False
        log.event("delayed", what="clean", file=jobs.name, reason="not marked as this gateway's")
        return False

    def _stray_jobs(self, view: View) -> int:
        jobs = self._config.run.folder
        places = [place for place in self._old(jobs) if len(place.name) == 2]
        folders = [f for place in places for f in self._old(place) if _is_job(f)]
        unknown = set(keep.unknown_jobs(view, [f.name for f in folders]))
        strays = [folder for folder in folders if folder.name in unknown]
        strays += [place for place in self._old(jobs) if _LIVE.fullmatch(place.name)]
        removed = 0
        for folder in strays:
            if _remove(folder):
                log.event("swept", file=folder.name)
                removed += 1
        return removed

    def _old(self, folder: Path) -> Iterator[Path]:
        border = time.time() - self._young
        try:
            found = list(folder.iterdir()) if folder.is_dir() else []
        except OSError as error:
            _put_off(folder, error)
            return
        for path in found:
            try:
                if path.lstat().st_mtime <= border:
                    yield path
            except FileNotFoundError:
                continue
            except OSError as error:
                _put_off(path, error)

    def doubt(self, view: View) -> None:
        """Look at the wall clock, before anything is written down after a start."""
        self._ahead = appointments.ahead(view, now=_now())

    async def run(self, spool: Spool, clock: Clock) -> None:
        """Sweep until cancelled, with a connection of its own, as far as ``clock`` is believed."""
        while True:
            await self._round(spool, calm=self.calm(clock))
            await spool.wait("clean", longest=_EVERY)

    def calm(self, clock: Clock) -> bool:
        """Whether the clock can be believed: it was not set, as far as ``clock`` knows, of late."""
        if step := clock.step:
            self._calm_at = time.monotonic() + _CALM
            log.event("delayed", what="clean", reason="the clock was set")
        clock.settle(step)
        return time.monotonic() >= self._calm_at

    async def _round(self, spool: Spool, *, calm: bool) -> None:
        due = calm and time.monotonic() >= self._strays_at
        if due:
            # Before the sweep: one that fails must not come again at once, for ever.
            self._strays_at = time.monotonic() + _STRAYS_EVERY
        try:
            loop = asyncio.get_running_loop()
            # What somebody wants gone at once waits for no clock.
            sweep = partial(self._by_itself, spool, calm=calm, strays=due)
            swept = await loop.run_in_executor(self._thread, sweep)
        except MailgateError as error:
            log.event("delayed", what="clean", reason=str(error), detail=error.detail or None)
            return
        if swept != Swept():
            log.event("cleaned", what=str(swept))

    def _by_itself(self, spool: Spool, *, calm: bool, strays: bool) -> Swept:
        reserve.keep(self._folder, beyond=self._config.gateway.min_free)
        with spool.beside() as connection:
            doubted = self._is_doubted(connection)
            if doubted:
                # After a quiet weekend it is right: what goes after the doubt is told in time.
                self.notices(committing(connection), past=False)
            if doubted or not calm:
                return self.destroy(connection.view, committing(connection))
            return self.sweep(connection.view, committing(connection), strays=strays)

    def _is_doubted(self, connection: Connection) -> bool:
        """Whether the clock was far ahead at this start or an earlier one, and is not believed."""
        if self._ahead > appointments.DOUBTED:
            committing(connection)(lambda tx: appointments.doubt(tx, self._ahead))
        self._ahead = timedelta()
        doubted = appointments.is_doubted(connection.view, now=_now())
        if doubted and not self._doubting:
            log.event(
                "delayed",
                what="clean",
                reason="at a start the clock was over a day ahead of all that is known here:"
                ' nothing expires for a day; if it is right, "mailgate purge" says so',
            )
        self._doubting = doubted
        return doubted


def committing(connection: Connection) -> _Writes:
    """Return a way to write through ``connection``, one transaction a call."""

    def write(operation: Callable[[Tx], T]) -> T:
        with connection.transaction() as tx:
            return operation(tx)

    return write


def _is_job(folder: Path) -> bool:
    """Whether the path is one that a job's folder has: XX/ID."""
    name = folder.name
    return _JOB.fullmatch(name) is not None and folder.parent.name == name[:2]


def _remove(folder: Path) -> bool:
    """Remove a job's folder; what cannot be removed now is a stray that another sweep finds."""
    try:
        remove_tree(folder)
    except OSError as error:
        _put_off(folder, error)
        return False
    return True


def _unlink(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _put_off(path, error)
        return False
    return True


def _swept(stray: Path) -> bool:
    removed = _unlink(stray)
    if removed:
        log.event("swept", file=stray.name)
    return removed


def _put_off(path: Path, error: OSError) -> None:
    log.event("delayed", what="clean", file=path.name, reason=str(error))


def _now() -> float:
    return datetime.now(UTC).timestamp()
