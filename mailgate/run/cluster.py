"""A cluster as an engine: what is the same for every scheduler. Its words are in an adapter.

The job folder tells whether an attempt has begun and how it ended; the scheduler is asked, by one
command an interval for all jobs, which of them it still has. The scripts ring a bell in the folder
of jobs, so that nobody looks into thousands of folders. Nothing is remembered that a restart may
lose.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from signal import Signals

from mailgate.errors import Permanent, Transient
from mailgate.hands import Crew
from mailgate.model import Attempt, NativeId, Token
from mailgate.run import jobdir
from mailgate.run.bundles import Bundles
from mailgate.run.handover import AHEAD, Handover
from mailgate.run.jobdir import Folder, Start
from mailgate.run.scheduler import Ask, Scheduler
from mailgate.run.script import default_signals
from mailgate.run.sight import Sight
from mailgate.run.steps import written
from mailgate.run.vigil import Over, Vigil
from mailgate.settings.schedulers import Cluster as Site

# The folder in which scripts ring, beside the folders of jobs.
_BELL = "bell"
# The scheduler's own limit is a backstop: the script's comes first.
_BACKSTOP = timedelta(minutes=2)
# So many may write files at a time, and so many are written in one go.
_WRITERS, _IN_ONE_GO = 2, 8


def load(name: str) -> Callable[[Site], Scheduler]:
    """Return what makes the adapter of an engine: the module of its name in this folder."""
    found: Callable[[Site], Scheduler] = import_module(f"mailgate.run.{name}").ADAPTER
    return found


def made(
    name: str, site: Site, *, grace: timedelta, crew: Crew, jobs: Path, lock: Path
) -> "Cluster":
    """Return the engine of the table [run.``name``]; ``lock`` is a file on a local disk."""
    scheduler = load(site.engine)(site)
    return Cluster(name, scheduler, site, grace=grace, crew=crew, jobs=jobs, lock=lock)


class Cluster:
    """One scheduler; make and use it in one event loop."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        site: Site,
        *,
        grace: timedelta,
        crew: Crew,
        jobs: Path,
        lock: Path,
    ) -> None:
        self._scheduler = scheduler
        self._site = site
        self._bell = jobs / _BELL
        self._writing: Bundles[Callable[[], None], None] = Bundles(
            crew.each, at_once=_WRITERS, most=_IN_ONE_GO
        )
        self._written = partial(
            written, path=site.path, kill_after=site.kill_after, bell=str(self._bell)
        )
        self._handover = Handover(name, scheduler, site, lock)
        self._vigil = Vigil(
            name, scheduler, site, self._handover, grace=grace, crew=crew, bell=self._bell
        )
        self._keeping: asyncio.Task[None] | None = None

    @property
    def gate(self) -> asyncio.Semaphore:
        """Who submits holds it: at most so many at once."""
        return self._handover.gate

    def room(self, taken: int) -> int:
        """Return how many more attempts it can be given now, with ``taken`` already its."""
        most = self._site.at_once * AHEAD
        if self._site.jobs is not None:
            most = min(most, self._site.jobs - taken)
        return self._handover.room(max(most, 0))

    @property
    def changed(self) -> asyncio.Event:
        """Set when something new was seen."""
        return self._vigil.changed

    @property
    def silent(self) -> datetime | None:
        """Since when the scheduler answers no poll; None while it does, or was not asked yet."""
        return self._vigil.silent

    @property
    def answers(self) -> bool:
        """Whether it has answered the last poll."""
        return self._vigil.answers

    async def submit(
        self, folder: Folder, start: Start, lay_out: Callable[[], None] | None = None
    ) -> NativeId:
        """Write the script and hand it over; the number that the scheduler gives it is returned.

        Raises
        ------
        Transient
            Not now; whether it was taken, the polls that follow tell.
        Permanent
            It was refused for good.
        """
        self._vigil.handing(start.token)
        try:
            signals = default_signals()
            await self._writing.do(
                partial(self._written, folder, start, lay_out, default_signals=signals)
            )
            try:
                return await self._handover.hand(self._ask(folder, start))
            except Permanent as error:
                # Whatever it says: what it has all the same never begins.
                if not await asyncio.to_thread(jobdir.claim, folder, start.number):
                    raise Transient("It was refused, and has begun.", detail=str(error)) from error
                raise
        except Permanent:
            self._vigil.forget(start.token)
            raise
        finally:
            self._vigil.handed(start.token)

    def _ask(self, folder: Folder, start: Start) -> Ask:
        plan, attempt = start.plan, folder.attempt(start.number)
        more = self._site.kill_after + _BACKSTOP
        return Ask(
            token=start.token,
            script=str(attempt / "script"),
            folder=str(attempt),
            messages=str(attempt / "messages"),
            cores=plan.cores,
            memory=plan.memory,
            limit=None if start.limit is None else start.limit + more,
            gpus=plan.gpus,
            queue=plan.queue,
        )

    async def sights(self, attempts: Sequence[tuple[Folder, Attempt]]) -> Mapping[Token, Sight]:
        """Return what is new; nobody waits here for a disk or the scheduler."""
        if self._keeping is not None and self._keeping.done():
            # A bug: it is told, and all is begun anew by the room's loop.
            self._keeping.result()
        return self._vigil.sights(attempts)

    async def cancel(
        self, folder: Folder, attempt: Attempt, why: Signals = Signals.SIGTERM
    ) -> None:
        """Have the scheduler end it; ``why`` is left for the script, which is told TERM.

        Raises
        ------
        Transient
            Not now.
        """
        if why is not Signals.SIGTERM:
            # Writes a small file.
            await asyncio.to_thread(jobdir.write_word, folder, attempt.number, why)
        said = await self._vigil.run(self._scheduler.cancel(self._vigil.given(attempt)))
        if said.status and not self._vigil.is_missed(attempt.token):
            raise Transient("The scheduler did not cancel it.", detail=said.stderr[:500])
        self._vigil.cancelled(attempt.token)
        self._vigil.hurry()

    async def limit(self, folder: Folder, attempt: Attempt, limit: timedelta) -> bool:
        """Write the limit beside the script, and move the scheduler's own, which is a backstop.

        False: the scheduler does not let it run so long.

        Raises
        ------
        Transient
            Not now.
        """
        given = self._vigil.given(attempt)
        await asyncio.to_thread(jobdir.write_limit, folder, attempt.number, limit)
        backstop = self._scheduler.limit(given, limit + self._site.kill_after + _BACKSTOP)
        moved = backstop is not None and not (await self._vigil.run(backstop)).status
        wake = self._scheduler.wake(given)
        if wake is not None:
            await self._vigil.run(wake)
        # What has no limit there has none that could be in the way.
        return moved or attempt.limit is None or limit <= attempt.limit

    async def release(self, attempt: Attempt) -> None:
        """Ask the scheduler to let it go on; whoever has the right to may say no.

        Raises
        ------
        Transient
            Not now.
        """
        command = self._scheduler.release(self._vigil.given(attempt))
        if command is not None:
            await self._vigil.run(command)
            self._vigil.released(attempt.token)

    def dropped(self, attempt: Attempt) -> None:
        """Have the scheduler forget it: its claim is ours, and the next poll sees a stranger."""
        self._vigil.forget(attempt.token)

    async def sweep(self, over: Over) -> None:
        """Begin to watch; jobs there of attempts that are over are cancelled whenever seen."""
        await self.close()
        self._vigil.begin(over)
        self._keeping = asyncio.create_task(self._vigil.keep())

    async def close(self) -> None:
        """Let go of everything; jobs live on."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
            self._keeping = None
