"""What is to be told while jobs run: how far they say they are; receipts and news that fall due."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from mailgate import log
from mailgate.errors import MailgateError
from mailgate.model import Attempt, Exit, JobId, Progress
from mailgate.phases import Phase
from mailgate.run import jobdir
from mailgate.run.jobdir import Folder
from mailgate.spool import jobs, notices
from mailgate.spool.store import Spool
from mailgate.spool.turns import Turns

# What jobs say of their progress is read so often (seconds), and of more than so many less often: a
# cluster runs thousands, whose folders lie on another machine's disk.
_PROGRESS, _MANY = 5.0, 1000
# The log has a line at each quarter (per cent), and else one in a quarter of an hour (seconds): a
# thousand jobs that say something each second must not hide all else.
_QUARTER, _SELDOM = 25, 900.0
# So many receipts and news are planned in one operation, of five statements each: it is short.
_RECEIPTS = 10


class News:
    """What is told of running jobs. What cannot be written now is read or planned again later."""

    def __init__(self, spool: Spool, turns: Turns, *, every: float = _PROGRESS) -> None:
        self._spool = spool
        self._turns = turns
        self._every = every
        self._progress_at = 0.0
        # Of each job that runs: how many quarters of it the log has, and since when.
        self._told: dict[JobId, tuple[int, float]] = {}

    @property
    def is_due(self) -> bool:
        """Whether it is time to read again what jobs say of their progress."""
        return asyncio.get_running_loop().time() >= self._progress_at

    async def read_progress(self, running: Sequence[tuple[Folder, Attempt]]) -> None:
        """Note what jobs say of their progress, unless that was just done."""
        now = asyncio.get_running_loop().time()
        if not running or not self.is_due:
            return
        self._progress_at = now + pause(len(running), self._every)
        # Reads a small file of each.
        said = await asyncio.to_thread(jobdir.all_progress, running)
        view = self._spool.view
        news = {job: one for job, one in said.items() if jobs.fetch(view, job).progress != one}
        if not news:
            return
        try:
            # One transaction, however many jobs say something.
            await self._spool.write(lambda tx: jobs.progressed_all(tx, news))
        except MailgateError as error:
            # Read again next time.
            log.delayed("progress", reason=str(error), detail=error.detail)
            return
        self._tell(news, now, {attempt.job for _, attempt in running})

    def _tell(self, news: Mapping[JobId, Progress], now: float, running: Collection[JobId]) -> None:
        """Log what is worth a line: a further quarter, or what somebody sees after a while."""
        self._told = {job: told for job, told in self._told.items() if job in running}
        for job, one in news.items():
            quarter = int(one.percent // _QUARTER)
            last, at = self._told.get(job, (0, now))
            if quarter > last or now >= at + _SELDOM:
                log.event("progressed", job=job, percent=one.percent, words=one.words or None)
                at = now
            self._told[job] = max(quarter, last), at

    async def tell_due(self, *, besides: Collection[JobId] = ()) -> None:
        """Plan the receipts and the news that are due, but of the jobs ``besides``."""
        due = notices.next_due(self._spool.view, besides=besides)
        if self._spool.clock.step:
            # Somebody has just set the clock: appointments move first.
            return
        if due is not None and due <= datetime.now(UTC).timestamp():
            plan = partial(notices.plan_due, limit=_RECEIPTS, turns=self._turns, besides=besides)
            try:
                while await self._spool.write(plan) == _RECEIPTS:
                    # Between two operations others have their turn.
                    pass
            except MailgateError as error:
                # Still due at the next look.
                log.delayed("news", reason=str(error), detail=error.detail)


def pause(jobs: int, every: float = _PROGRESS) -> float:
    """Return after how many seconds the progress of so many jobs is read again."""
    return every * max(1.0, jobs / _MANY)


def tell_start(attempt: Attempt) -> None:
    """Say in the log that an attempt is known to have begun."""
    log.event(
        "advanced",
        job=attempt.job,
        to="EXECUTING",
        engine=attempt.engine,
        native=attempt.native,
        attempt=attempt.number,
    )


def tell_submission(attempt: Attempt) -> None:
    """Log that the engine has an attempt."""
    log.event(
        "submitted",
        job=attempt.job,
        token=attempt.token,
        engine=attempt.engine,
        native=attempt.native,
        attempt=attempt.number,
    )


def tell_end(attempt: Attempt, end: Exit, phase: Phase) -> None:
    """Log how an attempt ended, and where its job is now."""
    log.event(
        "advanced",
        job=attempt.job,
        to=phase,
        exit=end.header,
        words=str(end.words) or None,
        attempt=attempt.number,
    )
