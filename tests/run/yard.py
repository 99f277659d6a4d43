"""A place where tests run real jobs through the local engine."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from mailgate.hands import Crew
from mailgate.model import Attempt, AttemptState, Exit, JobId, Plan, Reason, Staged, Token
from mailgate.run import jobdir
from mailgate.run.jobdir import Folder, Start
from mailgate.run.local import Local
from mailgate.run.remains import end_remains
from mailgate.run.sandbox import Confinement
from mailgate.run.sight import Ended, Gone, Running, Sight
from mailgate.saying import Saying

PATH = "/usr/local/bin:/usr/bin:/bin"
# A machine shared with other runs is sometimes slow; nothing here waits so long when it works.
PATIENCE = 60.0

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def job_id() -> JobId:
    """Draw an id as the spool does: other tests' processes must not be taken for ours."""
    return JobId("t" + "".join(secrets.choice(_LETTERS) for _ in range(11)))


@dataclass(frozen=True, kw_only=True)
class Handle:
    """A job that was handed to an engine."""

    folder: Folder
    plan: Plan
    attempt: Attempt
    start: Start

    @property
    def stdout(self) -> str:
        return _text(self.folder.out / "stdout")

    @property
    def stderr(self) -> str:
        return _text(self.folder.out / "stderr")

    @property
    def run(self) -> Path:
        """The attempt's own folder."""
        return self.folder.attempt(self.attempt.number)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def handle(jobs: Path, plan: Plan, *, limit: timedelta | None = None, number: int = 1) -> Handle:
    """Name a job and its attempt, without doing anything."""
    job = job_id()
    token = Token("m" + job)
    state = AttemptState.SUBMITTED
    return Handle(
        folder=Folder(jobs, job),
        plan=plan,
        attempt=Attempt(token=token, job=job, number=number, engine="local", state=state),
        start=Start(job=job, token=token, number=number, plan=plan, limit=limit),
    )


def by_signal(number: int) -> Exit:
    """How a death by a signal is told: with the status that a shell has for it."""
    return Exit(
        reason=Reason.SIGNAL, signal=number, words=Saying("ends/exit-status", status=128 + number)
    )


T = TypeVar("T")


class Here:
    """Does in a thread what the daemon has a process do: a yard is made and gone in no time."""

    async def do(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call it."""
        return await asyncio.to_thread(work, *args, **kwargs)

    async def each(self, works: Sequence[Callable[[], T]]) -> Sequence[T | Exception]:
        """Call them all."""
        done = (asyncio.to_thread(work) for work in works)
        return await asyncio.gather(*done, return_exceptions=True)  # type: ignore[return-value]

    async def briefly(self, work: Callable[[], T]) -> T:
        """Call it, however long it takes."""
        return await asyncio.to_thread(work)


class Yard:
    """A jobs folder, an engine, and all that was started in them."""

    def __init__(
        self,
        jobs: Path,
        box: Confinement,
        *,
        kill_after: float = 10.0,
        pin: Callable[[int], int] | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.jobs = jobs
        self.box = box
        more = {} if pin is None else {"pin": pin}
        self.engine = Local(
            slots=8,
            crew=crew or Here(),
            path=PATH,
            kill_after=timedelta(seconds=kill_after),
            confinement=box,
            **more,
        )
        self._tokens: set[Token] = set()

    def prepared(
        self, *argv: str, limit: float | None = None, staged: Sequence[Staged] = (), **plan: object
    ) -> Handle:
        """Lay a job out; it is not started."""
        made = handle(
            self.jobs,
            Plan(argv=argv, **plan),
            limit=None if limit is None else timedelta(seconds=limit),
        )
        self._tokens.add(made.attempt.token)
        jobdir.prepare(made.folder, made.plan, staged)
        return made

    async def start(self, *argv: str, **how: object) -> Handle:
        """Lay a job out and start it."""
        made = self.prepared(*argv, **how)
        await self.engine.submit(made.folder, made.start)
        return made

    async def sight(self, job: Handle) -> Sight | None:
        """Say what the engine sees of a job."""
        return (await self.engine.sights([(job.folder, job.attempt)])).get(job.attempt.token)

    async def end(self, job: Handle) -> Exit:
        """Wait for a job's end as the runner does, and say how it was."""
        seen = await self.over(job)
        assert isinstance(seen, Ended), seen
        return seen.exit

    async def over(self, job: Handle) -> Ended | Gone:
        """Wait until a job has ended or is gone."""
        deadline = time.monotonic() + PATIENCE
        while not isinstance(seen := await self.sight(job), Ended | Gone):
            assert time.monotonic() < deadline, f"still {seen}"
            try:
                await asyncio.wait_for(self.engine.changed.wait(), 0.5)
            except TimeoutError:
                continue
            self.engine.changed.clear()
        return seen

    async def running(self, job: Handle) -> Running:
        """Wait until the engine sees that a job has begun."""
        await until_async(lambda: self.sight(job), Running)
        seen = await self.sight(job)
        assert isinstance(seen, Running)
        return seen

    async def ran(self, *argv: str, **how: object) -> tuple[Handle, Exit]:
        """Start a job and wait for its end."""
        job = await self.start(*argv, **how)
        return job, await self.end(job)

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.engine.close()
        end_remains(self._tokens)


async def until_async(look, sort: type) -> None:
    """Wait until ``look`` answers with a value of that sort."""
    deadline = time.monotonic() + PATIENCE
    while not isinstance(seen := await look(), sort):
        assert time.monotonic() < deadline, f"still {seen}"
        await asyncio.sleep(0.01)


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def alive(process: int) -> bool:
    """Tell whether a process runs: a zombie that nobody has fetched does not."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"


def words_of(process: int) -> list[str]:
    """Return a process's command line; empty where it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return []


def under(token: Token) -> list[int]:
    """List the processes that were started under a token."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"MAILGATE_TOKEN={token}".encode() in (
                (entry / "environ").read_bytes().split(b"\0")
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return [process for process in found if alive(process)]
