"""How much running jobs have written, against ``[limits] disk``."""

import asyncio
import time
from collections.abc import Sequence

from mailgate.model import Attempt, Token
from mailgate.run.jobdir import Folder
from mailgate.run.walk import disk_use
from mailgate.spool import jobs
from mailgate.spool.store import Spool

# Folders are walked so often (seconds), and at most for one part in so many of the time.
_EVERY = 5.0
_SHARE = 20


class Weights:
    """Weighs running jobs that have a limit. Remembers nothing that a restart may lose."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._next = 0.0
        self._limits: dict[Token, int | None] = {}

    async def over(self, running: Sequence[tuple[Folder, Attempt]]) -> list[Attempt]:
        """Return those that have written more than they may; nobody, if that was just asked."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._limits = {a.token: self._limit(a) for _, a in running}
        limited = [(f, a, n) for f, a in running if (n := self._limits[a.token]) is not None]
        # Walks folders.
        found = await asyncio.to_thread(_over, limited) if limited else []
        self._next = time.monotonic() + max(_EVERY, _SHARE * (time.monotonic() - now))
        return found

    def _limit(self, attempt: Attempt) -> int | None:
        if attempt.token in self._limits:
            return self._limits[attempt.token]
        return jobs.plan_of(self._spool.view, attempt.job)[0].disk


def _over(limited: Sequence[tuple[Folder, Attempt, int]]) -> list[Attempt]:
    return [attempt for folder, attempt, limit in limited if _weight(folder) > limit]


def _weight(folder: Folder) -> int:
    return disk_use(folder.work) + disk_use(folder.out)
