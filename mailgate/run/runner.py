"""The loop that owns the engines: starts what is queued, watches what runs, ends what has ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from signal import Signals

from mailgate import crash, log
from mailgate.config import Config
from mailgate.errors import NoSpace, Permanent, Transient
from mailgate.hands import Crew
from mailgate.model import Attempt, AttemptState, Exit, JobId, NativeId, Plan, Reason
from mailgate.phases import ACTIVE, Phase
from mailgate.run import jobdir
from mailgate.run.attention import Attention, pause
from mailgate.run.collect import Collected
from mailgate.run.engine import (
    Denied,
    Ended,
    Engine,
    Engines,
    Gone,
    NotStarted,
    Running,
    Sight,
    Waiting,
)
from mailgate.run.excess import clear, is_over
from mailgate.run.handing import Handing
from mailgate.run.news import News, tell_end, tell_start, tell_submission
from mailgate.run.place import Place
from mailgate.run.steps import collected, seen_anew
from mailgate.run.there import There
from mailgate.run.underway import UnderWay
from mailgate.run.weights import Weights
from mailgate.saying import Saying, Words, words_of
from mailgate.spool import attempts, jobs, wishes
from mailgate.spool.database import Tx
from mailgate.spool.store import Spool
from mailgate.spool.turns import Turns

# So many jobs are started or ended at the same time.
_AT_ONCE = 8
# An attempt that never begins is replaced at once; what happens so often (a full process table, a
# folder that is taken away) is given time, and given up in the end.
_STRANGE, _HOPELESS = 3, 100
_LONGEST_REST = 60.0
# A step that failed is tried again after this.
_AGAIN = 5.0

Step = Callable[[], Awaitable[None]]


class Runner:
    """All jobs, by way of their attempts.

    ``_working`` holds the jobs on which a step is being taken right now: one step at a time for
    each. ``_rests``: until when (loop time) jobs do not start whose attempts never began or failed.
    """

    def __init__(
        self, config: Config, spool: Spool, engines: Engines, place: Place, crew: Crew, turns: Turns
    ) -> None:
        self._turns = turns
        self._config = config
        self._place = place
        self._crew = crew
        self._spool = spool
        self._engines = engines
        self._under_way = UnderWay(config, spool, engines, place)
        self._working: set[JobId] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._news = News(spool, turns)
        self._weights = Weights(spool)
        self._attention = Attention()
        self._rest_until = 0.0
        self._there = There(spool, self._under_way)
        self._handing = Handing(spool, engines, place, self._under_way)
        # The engines to which jobs are just being given.
        self._starting: dict[JobId, str] = {}
        self._rests: dict[JobId, float] = {}

    async def run(self) -> None:
        """Run until cancelled. Jobs live on."""
        await self._under_way.load()
        # What was under way when the loop fell over is nobody's any more.
        self._working.clear()
        self._there.load()
        for name in self._engines:
            await self._engines[name].sweep(lambda tokens: attempts.over(self._spool.view, tokens))
        # The jobs that ended while nobody looked: of these the result is told, and nothing else.
        behind: set[JobId] | None = None
        async with asyncio.TaskGroup() as group:
            for name in self._engines:
                group.create_task(self._listen(name, self._engines[name]))
            while True:
                if await self._place.settle():
                    self._grant_wishes(group)
                    await self._watch(group)
                    behind = set(self._working) if behind is None else behind & self._working
                    self._start(group)
                await self._there.heed(self._engines)
                await self._news.tell_due(besides=behind or ())
                await self._spool.wait("run", longest=pause(len(self._under_way.open)))

    async def _listen(self, name: str, engine: Engine) -> None:
        """Pass an engine's hints on: something may have ended."""
        while True:
            await engine.changed.wait()
            engine.changed.clear()
            self._attention.hear(name)
            self._spool.ring("run")

    # --- steps ------------------------------------------------------------------------------------

    def _take(
        self, group: asyncio.TaskGroup, job: JobId, step: Step, engine: Engine | None = None
    ) -> None:
        """Take a step for a job; nothing else is done for it meanwhile.

        ``engine``: it is given the job, and may let fewer or more pass at a time.
        """
        self._working.add(job)
        gate = engine.gate if engine is not None else None
        group.create_task(self._taken(job, step, gate or self._gate))

    async def _taken(self, job: JobId, step: Step, gate: asyncio.Semaphore) -> None:
        """Take a step, at the top of the room's loop: what goes wrong stays with that job."""
        try:
            async with gate:
                await step()
        except Transient as error:
            log.delayed("run", job=job, reason=str(error), detail=error.detail)
            if isinstance(error, NoSpace):
                # The disk is everybody's; other trouble is that job's own.
                self._rest_until = asyncio.get_running_loop().time() + _AGAIN
            await self._rest(job)
        except Exception as error:  # noqa: BLE001 - any bug or broken file, with this job alone
            log.event("failed", what="run", job=job, reason=repr(error))
            await self._rest(job)
        self._working.discard(job)
        self._attention.done(job)
        self._spool.ring("run")

    async def _rest(self, job: JobId) -> None:
        """Leave a job alone whose step failed; then others are first, however long it waits."""
        self._rests[job] = asyncio.get_running_loop().time() + 2 * _AGAIN
        await asyncio.sleep(_AGAIN)

    # --- starting ---------------------------------------------------------------------------------

    def _start(self, group: asyncio.TaskGroup) -> None:
        """Start in every free slot what waits longest and may run."""
        now = asyncio.get_running_loop().time()
        if self._config.run.paused or self._place.tight or now < self._rest_until:
            return
        self._rests = {job: until for job, until in self._rests.items() if until > now}
        starting = {j: name for j, name in self._starting.items() if j in self._working}
        starting = {j: name for j, name in starting.items() if j not in self._rests}
        busy, opened = self._working | self._rests.keys(), self._under_way.open
        for name in self._engines:
            engine = self._engines[name]
            new = [j for j, where in starting.items() if where == name and not opened.has(j)]
            free = engine.room(opened.count(name) + len(new))
            if free <= 0:
                continue
            among = self._engines.jobs_of(name)
            for job in self._turns.next(
                self._spool.view, limit=free, besides=busy, starting=starting, among=among
            ):
                starting[job] = name
                busy.add(job)
                self._take(group, job, self._step(self._submit, job, name), engine)
        self._starting = starting

    @staticmethod
    def _step(method: Callable[..., Awaitable[None]], *values: object) -> Step:
        return lambda: method(*values)

    async def _submit(self, job: JobId, engine: str) -> None:
        """Intent first: the attempt is committed before anything starts under its token."""
        attempt = await self._spool.write(lambda tx: attempts.intend(tx, job, engine=engine))
        if attempt is None:
            return
        # From here on the attempt may have begun: only its folder tells, as after a crash.
        self._under_way.open[attempt.token] = attempt
        crash.point("run:intended")
        try:
            native, borrowed = await self._handing.over(attempt)
        except Permanent as error:
            end = Exit(reason=Reason.COULD_NOT_START, words=words_of(error.public))
            await self._end(attempt, end, datetime.now(UTC), started=None)
            return
        except Transient as error:
            self._under_way.refused[attempt.token] = error.detail or str(error)
            raise
        crash.point("run:submitted")
        await self._spool.write(
            lambda tx: attempts.submitted(tx, attempt, native, borrowed=borrowed)
        )
        known = replace(attempt, state=AttemptState.SUBMITTED, native=native)
        self._under_way.open[attempt.token] = known
        tell_submission(known)

    # --- watching ---------------------------------------------------------------------------------

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Compare what the engine still knows with what the spool says."""
        now, under_way = asyncio.get_running_loop().time(), self._under_way
        asked = self._attention.asked(under_way.open, besides=self._working, now=now)
        if not asked:
            return
        sights = await self._engines.sights(under_way.placed(asked))
        missed = any(isinstance(sight, Gone | NotStarted) for sight in sights.values())
        # What is not there says nothing where the folder itself is away.
        if missed and not await self._place.settle(anew=True):
            return
        over = self._weights.over - under_way.told.keys()
        if over or self._weights.is_due:
            alive = under_way.alive(sights, asked=asked, besides=self._working)
            self._weights.weigh(group, under_way.placed(alive))
            # First: on a disk that it has filled nothing else can be noted of it.
            for attempt in (one for one in alive if one.token in over):
                self._take(group, attempt.job, self._step(under_way.tell, attempt, Signals.SIGXFSZ))
        await self._there.note(sights, besides=self._working)
        for token, sight in sights.items():
            known = under_way.open.get(token)
            if known is None or known.job in self._working:
                continue
            step = self._answer(known, sight)
            if step is not None:
                self._take(group, known.job, step)
        if self._news.is_due:
            await self._news.read_progress(under_way.placed(under_way.open.started()))

    def _answer(self, attempt: Attempt, sight: Sight) -> Step | None:
        """Return what is to be done about what was seen of an attempt."""
        match sight:
            case Waiting():
                return None
            case Running(suspended=suspended) if attempt.state is AttemptState.STARTED:
                news = self._there.is_news(attempt, suspended=suspended)
                return self._step(self._there.suspend, attempt, suspended) if news else None
            case Running(started=started, native=native):
                return self._step(self._begun, attempt, started, native)
            case Denied(exit=end):
                return self._step(self._denied, attempt, end)
            case Ended(exit=end, ended=ended, started=started):
                return self._step(self._ended, attempt, end, ended, started)
            case Gone(started=started):
                return self._step(self._lost, attempt, started)
            case NotStarted():
                return self._step(self._missed, attempt)

    async def _begun(self, attempt: Attempt, started: datetime, native: NativeId | None) -> None:
        begun = replace(attempt, native=attempt.native or native)
        if await self._spool.write(lambda tx: attempts.begun(tx, begun, started)):
            tell_start(begun)
        self._under_way.open[attempt.token] = replace(
            begun, state=AttemptState.STARTED, started=started
        )

    async def _denied(self, attempt: Attempt, end: Exit) -> None:
        """End what a cluster has ended before it began: first its claim, then nothing can begin."""
        folder = self._under_way.folder(attempt.job)
        if await self._place.claim(folder, attempt.number):
            await self._ended(attempt, end, datetime.now(UTC), None)

    async def _ended(
        self, attempt: Attempt, end: Exit, ended: datetime, started: datetime | None
    ) -> None:
        wished = wishes.is_to_end(self._spool.view, attempt.job)
        if end.reason is Reason.CANCELLED and not wished:
            # Not at our word: a machine that shuts down, or somebody's kill.
            end = replace(end, reason=Reason.LOST)
        elif end.reason is Reason.OUTSIDE and wished:
            end = Exit(reason=Reason.CANCELLED)
        await self._end(attempt, end, ended, started=started)

    async def _end(
        self, attempt: Attempt, end: Exit, at: datetime, *, started: datetime | None
    ) -> None:
        """Collect what there is and end the attempt: job, letters and all in one transaction.

        That it ``started`` is noted with it: a quick job is never seen to run.
        """
        folder = self._under_way.folder(attempt.job)
        plan, phase = jobs.plan_of(self._spool.view, attempt.job)
        found = Collected(streams=(), left_out=())
        if phase in ACTIVE and started is not None:
            found, end = await self._collect(attempt, plan, end, started)
        crash.point("run:collected")

        def over(tx: Tx) -> tuple[bool, Phase]:
            begun = started is not None and attempts.begun(tx, attempt, started)
            return begun, attempts.ended(
                tx,
                attempt,
                end,
                at=at,
                began=started,
                streams=found.streams,
                left_out=found.left_out,
                keep_mail=self._config.keep.mail,
            )

        try:
            begun, phase = await self._spool.write(over)
        except NoSpace:
            # All else would wait for somebody who clears up.
            spool = self._spool.folder.database
            if is_over(end, plan) and await asyncio.to_thread(clear, folder, full=spool):
                log.event("cleared", job=attempt.job, reason=str(end.words))
            raise
        crash.point("run:ended")
        if begun:
            tell_start(attempt)
        self._under_way.over(attempt)
        tell_end(attempt, end, phase)

    async def _collect(
        self, attempt: Attempt, plan: Plan, end: Exit, started: datetime
    ) -> tuple[Collected, Exit]:
        full = self._place.full_since(started)
        folder, number = self._under_way.folder(attempt.job), attempt.number
        work = partial(collected, self._place.mark, folder, plan, number, end, full=full)
        try:
            return await self._crew.briefly(work)
        except TimeoutError:
            # Much to read: in a thread it keeps nobody waiting.
            return await asyncio.to_thread(work)

    async def _lost(self, attempt: Attempt, started: datetime, words: Words = "") -> None:
        """End what is gone without a word: only the service's [retry] allows another."""
        wished = wishes.is_to_end(self._spool.view, attempt.job)
        end = Exit(reason=Reason.CANCELLED if wished else Reason.LOST, words=words)
        await self._end(attempt, end, datetime.now(UTC), started=started)

    async def _missed(self, attempt: Attempt) -> None:
        """Replace what never began; end what began and then removed the record of that."""
        folder = self._under_way.folder(attempt.job)
        match await asyncio.to_thread(seen_anew, self._place.mark, folder, attempt):
            case NotStarted():
                await self._again(attempt, folder)
            case Gone(started=started):
                # What still runs of it holds no lock any more.
                await self._under_way.tell(attempt, Signals.SIGTERM)
                await self._lost(attempt, started, Saying("ends/record-removed"))
            case _:
                # Seen while the folder was away; the next look tells more.
                return

    async def _again(self, attempt: Attempt, folder: jobdir.Folder) -> None:
        """Replace what never began. Who replaces, first claims: a late start does nothing."""
        if not await self._place.claim(folder, attempt.number):
            return
        await self._under_way.drop(attempt)
        drops = attempts.drops(self._spool.view, attempt.job)
        if drops >= _HOPELESS:
            await self._give_up(attempt, drops)
        elif drops >= _STRANGE:
            pause = min(2.0 ** (drops - _STRANGE), _LONGEST_REST)
            self._rests[attempt.job] = asyncio.get_running_loop().time() + pause

    async def _give_up(self, attempt: Attempt, drops: int) -> None:
        """End a job whose attempts vanish before they begin, which a machine at rest never does."""
        words = Saying("ends/never-began", times=drops)
        end = Exit(reason=Reason.COULD_NOT_START, words=words)
        job, keep = attempt.job, self._config.keep.mail
        if await self._spool.write(lambda tx: attempts.given_up(tx, job, end, keep_mail=keep)):
            log.event("advanced", job=job, to="ERROR", exit=end.header, words=str(words))

    # --- what commands say ------------------------------------------------------------------------

    def _grant_wishes(self, group: asyncio.TaskGroup) -> None:
        under_way, view = self._under_way, self._spool.view
        now = asyncio.get_running_loop().time()
        for job, wish in wishes.left(view):
            if job not in self._working and not (wish.ends and under_way.is_told(job, now=now)):
                self._take(group, job, self._step(under_way.grant, job, wish))
        for held in self._there.to_release():
            if held.job not in self._working:
                self._take(group, held.job, self._step(self._there.release, held))
        for told in wishes.limits(view):
            attempt = under_way.open.get(told.token)
            # Before that its script may not listen yet.
            listens = attempt and attempt.state is AttemptState.STARTED
            if attempt and listens and attempt.job not in self._working:
                self._take(group, attempt.job, self._step(under_way.limit, attempt, told))
