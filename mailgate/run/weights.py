"""How much running jobs have written, against ``[limits] disk``."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from mailgate.model import Attempt, Exit, Plan, Reason, Token
from mailgate.run.files import remove_tree
from mailgate.run.jobdir import Folder
from mailgate.run.walk import disk_use
from mailgate.settings.units import said_size
from mailgate.spool import jobs
from mailgate.spool.store import Spool

# Folders are walked so often (seconds), and at most for one part in so many of the time.
_EVERY = 5.0
_SHARE = 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

CLEARED = "what lay in work/ and $MAILGATE_OUTPUTS: removed, for it had filled the disk"
"""Stands among what is left out of an answer."""


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


def told(end: Exit, plan: Plan) -> Exit:
    """Return the end in words where it came of writing too much: a file, or all files together."""
    if plan.disk is None or not is_over(end, plan):
        return end
    words = f"It wrote more than {said_size(plan.disk)}, the most that it may."
    return replace(end, words=words)


def is_over(end: Exit, plan: Plan) -> bool:
    """Tell whether it ended for what it wrote, against a limit of its service."""
    return plan.disk is not None and end.reason is Reason.SIGNAL and end.signal == signal.SIGXFSZ


def clear(folder: Folder) -> None:
    """Remove what an ended job wrote, but its standard output and error (in a thread).

    Raises
    ------
    OSError
        Something cannot be removed.
    """
    for place in (folder.work, folder.named):
        remove_tree(place)


def was_cleared(folder: Folder) -> bool:
    """Tell whether `clear` was here: no command can begin without these folders."""
    return not folder.work.exists() and not folder.named.exists() and folder.out.exists()


def _over(limited: Sequence[tuple[Folder, Attempt, int]]) -> list[Attempt]:
    return [attempt for folder, attempt, limit in limited if _weight(folder) > limit]


def _weight(folder: Folder) -> int:
    weight = 0
    for place in (folder.work, folder.out):
        # Gone, or not to be looked into.
        with suppress(OSError):
            weight += disk_use(os.open(place, _FOLDER))
    return weight
