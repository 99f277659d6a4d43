"""What is seen of a cluster's attempts, whose scheduler a test writes on a sheet of paper."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from mailgate.errors import Permanent, Transient
from mailgate.model import Attempt, AttemptState, NativeId, Plan, Reason, Token
from mailgate.run import jobdir
from mailgate.run.cluster import Cluster
from mailgate.run.jobdir import Folder, Start
from mailgate.run.judge import Case, Judge
from mailgate.run.polls import Known, Polls
from mailgate.run.scheduler import Ask, Command, Given, Said, Seen, State
from mailgate.run.sight import Ended, Gone, Running, Sight
from mailgate.run.slurm import Slurm
from mailgate.settings.schedulers import Slurm as Site
from tests.run.yard import Here, job_id

T = TypeVar("T")

SITE = Site(
    poll_min=timedelta(seconds=0.05), poll_max=timedelta(seconds=1), timeout=timedelta(seconds=20)
)


class Paper(Slurm):
    """The sheet has a line for each job; it refuses all; ``go`` lets it say what became of one.

    It ends none, and hangs where it is to: ``cancels`` has a line for each time.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(SITE)
        self.sheet = folder / "sheet"
        self.asked = folder / "asked"
        self.go = folder / "go"
        self.cancels = folder / "cancels"
        self.polls = 0

    def submit(self, ask: Ask) -> Command:  # noqa: ARG002 - the same for all
        return Command(argv=("sh", "-c", 'echo "Batch job submission failed: no" >&2; exit 1'))

    def poll(self) -> Command:
        return Command(argv=("cat", str(self.sheet)))

    def parse_poll(self, text: str) -> Sequence[Seen]:
        self.polls += 1
        return [
            Seen(token=Token(token), native=NativeId("7"), state=State.RUNNING, word="RUNNING")
            for token in text.split()
        ]

    def cancel(self, job: Given) -> Command:
        return Command(argv=("sh", "-c", f"echo {job.token} >>{self.cancels}; exec sleep 60"))

    def why(self, job: Given) -> Command:  # noqa: ARG002 - the same for all
        script = f"echo >>{self.asked}; while [ ! -e {self.go} ]; do sleep 0.05; done"
        return Command(argv=("sh", "-c", script))

    def parse_why(self, said: Said, job: Given) -> None:
        """Say that nobody knows."""


class Slow(Here):
    """Takes a second for each folder, and half a minute at the most; ``meanwhile`` things happen."""

    meanwhile: Callable[[Sequence[tuple[Folder, Attempt]]], None] | None = None

    async def do(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call it."""
        if isinstance(args[0], Sequence) and len(args[0]) > 30:
            raise Transient("a helping process does not answer; another is started")
        if self.meanwhile is not None and isinstance(args[0], Sequence):
            self.meanwhile(args[0])
        return await super().do(work, *args, **kwargs)


class Watched:
    """A cluster, whose attempts begin and end as a test says."""

    def __init__(self, folder: Path, site: Site = SITE) -> None:
        self.paper = Paper(folder)
        self.jobs = folder / "jobs"
        (self.jobs / "bell").mkdir(parents=True)
        self.crew = Slow()
        self.cluster = Cluster(
            "slurm",
            self.paper,
            site,
            grace=timedelta(seconds=0.2),
            crew=self.crew,  # type: ignore[arg-type]
            jobs=self.jobs,
            lock=folder / "lock",
        )

    def begun(self) -> tuple[Folder, Attempt]:
        """An attempt that has begun, as its folder shows."""
        folder = Folder(self.jobs, job_id())
        folder.attempt(1).mkdir(parents=True)
        (folder.attempt(1) / "claim").write_text("pid 1\nend\n")
        token, state = Token(f"m{folder.job}"), AttemptState.SUBMITTED
        attempt = Attempt(token=token, job=folder.job, number=1, engine="slurm", state=state)
        return folder, attempt

    def has(self, *jobs: tuple[Folder, Attempt]) -> None:
        self.paper.sheet.write_text("\n".join(attempt.token for _, attempt in jobs))

    def end(self, job: tuple[Folder, Attempt]) -> None:
        (job[0].attempt(1) / "exit").write_text("status 0\nend\n")
        (self.jobs / "bell" / job[1].token).touch()

    async def sees(self, *jobs: tuple[Folder, Attempt], sort: type[Sight]) -> list[Sight]:
        """Ask for all until the first is seen so; return what was seen of that one."""
        seen: list[Sight] = []

        async def look() -> bool:
            found = await self.cluster.sights(jobs)
            seen.extend(one for token, one in found.items() if token == jobs[0][1].token)
            return bool(seen) and isinstance(seen[-1], sort)

        await until(look, seen)
        return seen


async def until(holds: Callable[[], object], told: object = None) -> None:
    deadline = asyncio.get_running_loop().time() + 6
    while True:
        found = holds()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert asyncio.get_running_loop().time() < deadline, told
        await asyncio.sleep(0.02)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    found = Watched(tmp_path)
    found.has()
    await found.cluster.sweep(lambda _: ())
    yield found
    found.paper.go.touch()
    await found.cluster.close()


async def test_a_bell_that_rings_before_anybody_asks_is_heard_though_no_poll_answers(
    watched: Watched,
) -> None:
    early, other = watched.begun(), watched.begun()
    watched.has(other)
    await watched.sees(other, sort=Running)
    watched.paper.sheet.unlink()
    watched.cluster._vigil.handing(early[1].token)
    watched.cluster._vigil.handed(early[1].token)
    watched.end(early)
    await until(lambda: not list((watched.jobs / "bell").iterdir()))
    await watched.sees(early, sort=Ended)


async def test_the_ends_of_others_are_seen_while_it_is_asked_what_became_of_one(
    watched: Watched,
) -> None:
    lost, other = watched.begun(), watched.begun()
    watched.has(other)
    await watched.sees(other, lost, sort=Running)
    await until(watched.paper.asked.exists)
    watched.end(other)
    await watched.sees(other, lost, sort=Ended)
    assert watched.paper.asked.read_text() == "\n", "once, however often it is looked for meanwhile"


async def test_a_record_that_comes_to_light_while_the_scheduler_is_asked_counts(
    watched: Watched,
) -> None:
    late = watched.begun()
    watched.has(late)
    seen = await watched.sees(late, sort=Running)
    watched.has()
    await until(watched.paper.asked.exists)
    watched.end(late)
    watched.paper.go.touch()
    seen += await watched.sees(late, sort=Ended)
    assert {type(one) for one in seen} == {Running, Ended}


def test_of_a_reason_that_names_a_thousand_nodes_the_beginning_is_told(tmp_path: Path) -> None:
    folder, attempt = Watched(tmp_path).begun()
    nodes = ",".join(f"n{number:04}" for number in range(1000))
    why = f"ReqNodeNotAvail, UnavailableNodes:{nodes}"
    seen = Seen(
        token=attempt.token, native=NativeId("7"), state=State.WAITING, word="PENDING", why=why
    )
    told = Judge.waiting(Case(folder, attempt, 0.0), seen).queued.why
    assert told.startswith("ReqNodeNotAvail, UnavailableNodes:n0000,n0001")
    assert told.endswith(" ...")
    assert len(told) < 500


async def test_who_cannot_say_what_became_of_a_job_is_asked_again_later_and_not_at_once(
    tmp_path: Path,
) -> None:
    folder, attempt = Watched(tmp_path).begun()
    polls = Polls(timedelta(), SITE.poll_min, SITE.poll_max)
    polls.known[attempt.token] = Known(since=0.0)
    polls.came([], began=1.0)
    slurm = Slurm(SITE)

    async def away(_: Command) -> Said:
        return Said(status=1, stdout="", stderr="sacct: error: slurm_persist_conn_open: refused")

    async def back(_: Command) -> Said:
        line = f"7|NODE_FAIL|0:0|n17|{attempt.token}|None\n"
        return Said(status=0, stdout=line, stderr="")

    case, found = Case(folder, attempt, 0.0), Running(started=datetime.now(UTC))
    judge = Judge(slurm, polls, away, grace=60)
    judge.judged(case, found)
    assert case.asks
    await judge.ask(case)
    judge.judged(case, found)
    assert not case.asks
    assert case.again > asyncio.get_running_loop().time() + 30
    # A minute later.
    case.again = 0.0
    judge = Judge(slurm, polls, back, grace=60)
    judge.judged(case, found)
    assert case.asks
    await judge.ask(case)
    end = judge.judged(case, found)
    assert isinstance(end, Ended)
    assert end.exit.reason is Reason.NODE_FAILURE


def start_of(attempt: Attempt) -> Start:
    return Start(job=attempt.job, token=attempt.token, number=1, plan=Plan(argv=("true",)))


async def test_what_was_refused_and_has_begun_all_the_same_is_not_ended(watched: Watched) -> None:
    folder, attempt = watched.begun()
    await until(lambda: watched.cluster.room(0))
    with pytest.raises(Transient):
        await watched.cluster.submit(folder, start_of(attempt))
    watched.has((folder, attempt))
    await watched.sees((folder, attempt), sort=Running)


async def test_many_folders_are_looked_into_however_slow_their_disk_is(
    watched: Watched,
) -> None:
    jobs = [watched.begun() for _ in range(60)]
    watched.has(*jobs)
    await watched.sees(*jobs, sort=Running)


async def test_what_is_dropped_while_others_are_looked_into_is_looked_into_no_more(
    watched: Watched,
) -> None:
    jobs = [watched.begun() for _ in range(60)]
    watched.has(*jobs)
    looked: list[tuple[Folder, Attempt]] = []

    def drop_others(first: Sequence[tuple[Folder, Attempt]]) -> None:
        watched.crew.meanwhile = None
        looked.extend(first)
        for job in jobs:
            if job not in first:
                watched.cluster.dropped(job[1])

    watched.crew.meanwhile = drop_others
    await watched.cluster.sights(jobs)
    await until(lambda: looked)
    await watched.sees(*looked, sort=Running)
    watched.end(looked[0])
    await watched.sees(*looked, sort=Ended)


async def test_a_scheduler_that_nobody_asked_was_not_silent(watched: Watched) -> None:
    await until(lambda: watched.paper.polls)
    asked = datetime.now(UTC)
    await until(lambda: datetime.now(UTC) > asked + timedelta(seconds=1.5))
    watched.paper.sheet.unlink()
    job = watched.begun()
    await watched.cluster.sights([job])
    await until(lambda: watched.cluster.silent)
    assert watched.cluster.silent is not None
    assert watched.cluster.silent > asked + timedelta(seconds=0.4)


async def test_what_was_missed_and_came_back_is_asked_after_anew(watched: Watched) -> None:
    job = watched.begun()
    watched.has(job)
    await watched.sees(job, sort=Running)
    watched.has()
    await until(watched.paper.asked.exists)
    watched.has(job)
    polls = watched.paper.polls
    await until(lambda: watched.paper.polls > polls + 1)
    watched.paper.go.touch()
    # It is looked into after the answer, and is there.
    case = watched.cluster._vigil._cases[job[1].token]
    await until(lambda: not case.asks)
    await watched.sees(job, sort=Running)
    await until(lambda: not case.settled)
    watched.has()
    await watched.sees(job, sort=Gone)
    assert watched.paper.asked.read_text() == "\n\n"


async def test_what_was_refused_is_not_looked_for_in_polls(watched: Watched) -> None:
    runs = watched.begun()
    watched.has(runs)
    await watched.sees(runs, sort=Running)
    folder, refused = watched.begun()
    (folder.attempt(1) / "claim").unlink()
    with pytest.raises(Permanent):
        await watched.cluster.submit(folder, start_of(refused))
    assert jobdir.claim(folder, 1), "it is the gateway's"
    polls = watched.paper.polls
    await until(lambda: watched.paper.polls > polls + 1)
    assert watched.cluster._vigil._polls.waited_for == []


async def test_a_scheduler_that_ends_nothing_is_asked_about_the_others_all_the_same(
    tmp_path: Path,
) -> None:
    watched = Watched(tmp_path, replace(SITE, timeout=timedelta(seconds=0.3)))
    watched.has(*(watched.begun() for _ in range(5)))
    await watched.cluster.sweep(lambda tokens: tokens)
    await until(watched.paper.cancels.exists)
    polls = watched.paper.polls
    await until(lambda: watched.paper.polls > polls)
    assert len(watched.paper.cancels.read_text().split()) <= 2
    await until(lambda: len({*watched.paper.cancels.read_text().split()}) > 2)
    await watched.cluster.close()


async def test_a_lock_that_cannot_be_opened_is_waited_for(
    watched: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()
    await watched.cluster.sweep(lambda _: ())
    said = []

    async def told() -> bool:
        await watched.cluster.sights([])
        said.append(capsys.readouterr().err)
        return "The lock of submissions cannot be opened." in said[-1]

    await until(told, said)
    assert watched.cluster.room(0) == 0
    (tmp_path / "lock").rmdir()
    await until(lambda: watched.cluster.room(0))
