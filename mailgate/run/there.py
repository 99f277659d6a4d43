"""What clusters say of the attempts that they have, kept where people can be told of it."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from mailgate import log
from mailgate.errors import MailgateError
from mailgate.model import Attempt, AttemptState, JobId, Token
from mailgate.phases import Phase
from mailgate.run.engine import Engines
from mailgate.run.sight import Sight, Waiting
from mailgate.run.underway import UnderWay
from mailgate.spool import attempts, silences
from mailgate.spool.database import Tx
from mailgate.spool.store import Spool

# Of so many it is noted in one transaction: others have their turn between two.
_AT_A_TIME = 200


class There:
    """``_stopped``: the attempts that a cluster has stopped for a while, as far as it is noted.

    ``_silent``: who answers no question, as far as that is.
    """

    def __init__(self, spool: Spool, under_way: UnderWay) -> None:
        self._spool = spool
        self._under_way = under_way
        self._stopped: set[Token] = set()
        self._silent: set[str] = set()

    def load(self) -> None:
        """Take up what the spool knows of."""
        self._stopped = attempts.stopped(self._spool.view)
        self._silent = {one.engine for one in silences.noted(self._spool.view)}

    async def heed(self, engines: Engines) -> None:
        """Note which clusters answer no question, and which do again.

        One that was silent when a daemon before looked is so until it answers.
        """
        silent = {name: since for name in engines if (since := engines[name].silent)}
        heard = self._silent - {name for name in engines if not engines[name].answers}
        new = {name: since for name, since in silent.items() if name not in self._silent}
        if not new and not heard:
            return

        def noted(tx: Tx) -> None:
            for name in heard:
                silences.over(tx, name)
            for name, since in new.items():
                silences.began(tx, name, since)

        try:
            await self._spool.write(noted)
        except MailgateError as error:
            # Still so in the next round.
            log.delayed("run", reason=str(error), detail=error.detail)
            return
        self._silent = self._silent - heard | new.keys()

    async def note(self, sights: Mapping[Token, Sight], *, besides: Collection[JobId]) -> None:
        """Note why attempts wait at a cluster; what is too much at once is news again."""
        news = []
        for token, sight in sights.items():
            attempt = self._under_way.open.get(token)
            if isinstance(sight, Waiting) and attempt and attempt.job not in besides:
                told = replace(attempt, native=sight.native, queued=sight.queued, held=sight.held)
                news.append(told)
        now, more = news[:_AT_A_TIME], news[_AT_A_TIME:]
        if not now:
            return
        try:
            moved = await self._spool.write(lambda tx: attempts.waits(tx, now))
        except MailgateError as error:
            # It is news still: what ends on a full disk comes first.
            log.delayed("run", reason=str(error), detail=error.detail)
            return
        for attempt in now:
            known = replace(attempt, state=AttemptState.SUBMITTED)
            self._under_way.open[attempt.token] = known
            if attempt.job in moved:
                log.event("advanced", job=attempt.job, to="HELD" if attempt.held else "QUEUED")
        if more:
            self._spool.ring("run")

    def to_release(self) -> list[Attempt]:
        """Return the attempts that are held at a cluster, and whose jobs were released here."""
        tokens = attempts.to_release(self._spool.view)
        return [self._under_way.open[token] for token in tokens if token in self._under_way.open]

    async def release(self, attempt: Attempt) -> None:
        """Have its cluster let an attempt go on; whether it does, the next polls tell."""
        await self._under_way.engine(attempt).release(attempt)
        await self._spool.write(lambda tx: attempts.released(tx, attempt))
        self._under_way.open[attempt.token] = replace(attempt, held=False)
        log.event("released", job=attempt.job, engine=attempt.engine)

    def is_news(self, attempt: Attempt, *, suspended: bool) -> bool:
        """Whether it is not noted yet that a running attempt is suspended, or goes on."""
        return suspended != (attempt.token in self._stopped)

    async def suspend(self, attempt: Attempt, suspended: bool) -> None:  # noqa: FBT001 - a step's
        """Note that a cluster has stopped an attempt for a while, or lets it go on."""
        if await self._spool.write(lambda tx: attempts.suspended(tx, attempt, suspended)):
            to = Phase.SUSPENDED if suspended else Phase.EXECUTING
            log.event("advanced", job=attempt.job, to=to)
        (self._stopped.add if suspended else self._stopped.discard)(attempt.token)
