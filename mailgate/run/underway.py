"""The attempts that have not ended, and what is done to them because somebody asked for it."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from signal import Signals

from mailgate import crash, log
from mailgate.config import Config
from mailgate.errors import Transient
from mailgate.model import Attempt, AttemptState, JobId, Reason, Token, Wish
from mailgate.run.engine import Engine, Engines
from mailgate.run.jobdir import Folder
from mailgate.run.opened import Opened
from mailgate.run.place import Place
from mailgate.run.sight import Running, Sight
from mailgate.spool import attempts, wishes
from mailgate.spool.database import Tx
from mailgate.spool.store import Spool
from mailgate.spool.wishes import Limit

# What does not end is told again after this (seconds): a controller that was set back to an older
# state knows nothing of it.
_TELL_AGAIN = 600.0


class UnderWay:
    """``open`` holds the attempts that have not ended.

    ``told`` those that were told to end, and when that was (loop time, in seconds); ``refused``
    why those that may be nowhere were not handed over.
    """

    def __init__(self, config: Config, spool: Spool, engines: Engines, place: Place) -> None:
        self._place = place
        self._config = config
        self._spool = spool
        self._engines = engines
        self.open = Opened()
        self.told: dict[Token, float] = {}
        self.refused: dict[Token, str] = {}

    async def load(self) -> None:
        """Take up what the spool knows of, once all is written that was on its way there."""
        found = await self._spool.write(attempts.open_attempts)
        self.open = Opened(found)

    def folder(self, job: JobId) -> Folder:
        """Return the job's folder."""
        return Folder(self._config.run.folder, job)

    def placed(self, attempts: Iterable[Attempt]) -> list[tuple[Folder, Attempt]]:
        """Return attempts with their jobs' folders."""
        return [(self.folder(attempt.job), attempt) for attempt in attempts]

    def alive(
        self, sights: Mapping[Token, Sight], *, asked: Iterable[Attempt], besides: Collection[JobId]
    ) -> list[Attempt]:
        """Return the attempts that run: as is seen of those asked after, as was known of others."""
        seen = {attempt.token for attempt in asked}
        runs = [
            self.open[token]
            for token, sight in sights.items()
            if isinstance(sight, Running) and token in self.open
        ]
        runs += [one for one in self.open.started() if one.token not in seen]
        return [one for one in runs if one.job not in besides]

    def engine(self, attempt: Attempt) -> Engine:
        """Return whose an attempt is; raises Transient where that is not in use."""
        return self._engines[attempt.engine]

    def is_told(self, job: JobId, *, now: float) -> bool:
        """Whether an attempt at the job was told to end, not too long ago."""
        return any(
            now < self.told.get(one.token, -_TELL_AGAIN) + _TELL_AGAIN for one in self.open.of(job)
        )

    async def tell(self, attempt: Attempt, why: Signals) -> None:
        """Have its engine end an attempt; sights tell when it has."""
        try:
            await self.engine(attempt).cancel(self.folder(attempt.job), attempt, why)
        except Transient:
            # Of one that was told before a scheduler may say that it is being ended already.
            if attempt.token not in self.told:
                raise
        self.told[attempt.token] = asyncio.get_running_loop().time()

    async def drop(self, attempt: Attempt) -> None:
        """Note that an attempt never began and never will: its claim is ours."""
        words = self.refused.get(attempt.token, "")
        await self._spool.write(lambda tx: attempts.dropped(tx, attempt, words))
        self._dropped(attempt)

    def over(self, attempt: Attempt) -> None:
        """Forget an attempt that is over, and noted as that."""
        self.open.pop(attempt.token, None)
        self.told.pop(attempt.token, None)
        self.refused.pop(attempt.token, None)

    def _dropped(self, attempt: Attempt) -> None:
        self.over(attempt)
        self.engine(attempt).dropped(attempt)
        log.event("dropped", job=attempt.job, token=attempt.token, attempt=attempt.number)

    async def _claimed(self, attempt: Attempt) -> bool:
        """Take the claim of what has not begun. What was seen to run may have removed its own."""
        begun = attempt.state is AttemptState.STARTED
        folder = self.folder(attempt.job)
        return not begun and await self._place.claim(folder, attempt.number)

    # --- what somebody asked for ------------------------------------------------------------------

    async def grant(self, job: JobId, wish: Wish) -> None:
        """Do what is wished, as far as that is possible now; the wish stays until it is done."""
        await (self._end(job) if wish.ends else self._hold(job))

    async def _end(self, job: JobId) -> None:
        """Claim what has not begun, have the engine end what has; sights tell when it is over."""
        for attempt in self.open.of(job):
            if await self._claimed(attempt):
                await self.drop(attempt)
            else:
                await self.tell(attempt, Signals.SIGTERM)
                return
        keep = self._config.keep.mail
        if await self._spool.write(lambda tx: attempts.cancelled(tx, job, keep_mail=keep)):
            log.event("advanced", job=job, to="ABORTED", exit=Reason.CANCELLED)

    async def _hold(self, job: JobId) -> None:
        """Hold what has not begun: nobody starts what the gateway has claimed."""
        mine = self.open.of(job)
        claimed = [a for a in mine if await self._claimed(a)]
        crash.point("run:claimed")

        def held(tx: Tx) -> bool:
            for attempt in claimed:
                attempts.dropped(tx, attempt)
            # What has begun and is not seen to run yet is QUEUED still.
            return wishes.held(tx, job, runs=len(claimed) < len(mine))

        is_held = await self._spool.write(held)
        for attempt in claimed:
            self._dropped(attempt)
        if is_held:
            log.event("advanced", job=job, to="HELD")

    async def limit(self, attempt: Attempt, told: Limit) -> None:
        """Tell an attempt that runs how long it may."""
        known = await self.engine(attempt).limit(self.folder(attempt.job), attempt, told.limit)
        crash.point("run:limited")
        await self._spool.write(lambda tx: wishes.limited(tx, told, attempt.job, known=known))
        if attempt.token in self.open:
            self.open[attempt.token] = replace(self.open[attempt.token], limit=told.limit)
        seconds = f"{told.limit.total_seconds():g}s"
        log.event("limited" if known else "unlimited", job=attempt.job, work=seconds)
