"""How much running jobs have written, against ``[limits] disk``."""

import asyncio
import time
from collections.abc import Sequence

from mailgate import log
from mailgate.model import Attempt, Token
from mailgate.run.jobdir import Folder
from mailgate.run.walk import disk_use
from mailgate.spool import jobs
from mailgate.spool.store import Spool

# Folders are walked so often (seconds), and at most for one part in so many of the time.
_EVERY = 5.0
_SHARE = 20


class Weights:
    """Weighs running jobs that have a limit. Remembers nothing that a restart may lose.

    ``over`` are the attempts that had written more than they may when they were last weighed.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._next = 0.0
        self._limits: dict[Token, int | None] = {}
        self._weighing: asyncio.Task[None] | None = None
        self.over: frozenset[Token] = frozenset()

    @property
    def is_due(self) -> bool:
        """Whether it is time to weigh again."""
        busy = self._weighing is not None and not self._weighing.done()
        return not busy and time.monotonic() >= self._next

    def weigh(self, group: asyncio.TaskGroup, running: Sequence[tuple[Folder, Attempt]]) -> None:
        """Have these weighed, unless it is too soon: nobody waits while folders are walked.

        The runner is rung for when one is found to be over.
        """
        if running and self.is_due:
            self._weighing = group.create_task(self._weigh(running))

    async def _weigh(self, running: Sequence[tuple[Folder, Attempt]]) -> None:
        begun = time.monotonic()
        try:
            self._limits = {a.token: self._limit(a) for _, a in running}
            self.over &= self._limits.keys()
            for folder, attempt in running:
                limit = self._limits[attempt.token]
                if limit is not None:
                    # Each by itself: whoever stops the gateway waits for one folder at most.
                    weight = await asyncio.to_thread(_weight, folder)
                    self._note(attempt.token, over=weight > limit)
        except Exception as error:  # noqa: BLE001 - any bug, or a database that cannot be read
            log.event("failed", what="weigh", reason=repr(error))
        now = time.monotonic()
        self._next = now + max(_EVERY, _SHARE * (now - begun))

    def _limit(self, attempt: Attempt) -> int | None:
        if attempt.token in self._limits:
            return self._limits[attempt.token]
        return jobs.plan_of(self._spool.view, attempt.job)[0].disk

    def _note(self, token: Token, *, over: bool) -> None:
        if over:
            self.over |= {token}
            self._spool.ring("run")
        else:
            self.over -= {token}


def _weight(folder: Folder) -> int:
    return disk_use(folder.work) + disk_use(folder.out)
