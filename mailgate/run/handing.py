"""A job's folder laid out, and its attempt given to an engine."""

import asyncio
from dataclasses import replace
from functools import partial

from mailgate.model import Attempt, NativeId, Staged
from mailgate.run import jobdir
from mailgate.run.engine import Engines
from mailgate.run.jobdir import Start
from mailgate.run.place import Place
from mailgate.run.steps import laid_out
from mailgate.run.underway import UnderWay
from mailgate.spool import jobs
from mailgate.spool.store import Spool


class Handing:
    """Gives intended attempts to their engines."""

    def __init__(self, spool: Spool, engines: Engines, place: Place, under_way: UnderWay) -> None:
        self._spool = spool
        self._engines = engines
        self._place = place
        self._under_way = under_way

    async def over(self, attempt: Attempt) -> tuple[NativeId, bool]:
        """Lay the job's folder out and give the attempt to the engine.

        Returns the engine's name for it, and whether an input was copied from another job.

        Raises
        ------
        Transient, Permanent
            As the engine's `submit`.
        """
        folder = self._under_way.folder(attempt.job)
        plan, _ = jobs.plan_of(self._spool.view, attempt.job)
        staged = [self._located(item) for item in jobs.inputs(self._spool.view, attempt.job)]
        start = Start(
            job=attempt.job,
            token=attempt.token,
            number=attempt.number,
            plan=jobdir.located(plan, folder),
            limit=attempt.limit,
        )
        engine = self._engines[attempt.engine]
        lay_out = partial(laid_out, self._place.mark, folder, start, staged)
        borrowed = any(one.source is not None for one in staged)
        if attempt.number > 1 or borrowed or any(one.path is not None for one in staged):
            # Much to remove, or perhaps to copy: in a thread it keeps nobody else waiting.
            await asyncio.to_thread(lay_out)
            return await engine.submit(folder, start), borrowed
        return await engine.submit(folder, start, lay_out), borrowed

    def _located(self, item: Staged) -> Staged:
        if item.path is None:
            return item
        return replace(item, path=str(self._spool.folder.staged / item.path))
