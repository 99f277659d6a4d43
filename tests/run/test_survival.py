"""Jobs outlive the process that started them, and are found again with their true ends."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from mailgate.hands import Hands
from mailgate.model import Exit, Plan, Reason, Token
from mailgate.run.sandbox import Confinement, Unconfined
from mailgate.run.sight import Ended, Gone, NotStarted, Running
from mailgate.run.steps import launched
from tests.run.yard import Handle, Here, Yard, handle, job_id, under, until

T = TypeVar("T")

CHECKOUT = Path(__file__).resolve().parents[2]

# Another gateway: starts one job and is killed like a machine's process, not like a Python program.
STARTER = """
import asyncio, json, os, signal, sys
from pathlib import Path
from mailgate.model import Attempt, AttemptState, Plan
from mailgate.run import jobdir
from mailgate.run.jobdir import Folder, Start
from mailgate.run.sandbox import probe
from tests.run.yard import PATH, Yard
from datetime import timedelta

async def main():
    told = json.loads(sys.argv[1])
    box = probe("bwrap" if told["boxed"] else "none", path=PATH)
    yard = Yard(Path(told["jobs"]), box, kill_after=0.3)
    folder = Folder(yard.jobs, told["job"])
    plan = Plan(argv=tuple(told["argv"]))
    jobdir.prepare(folder, plan, ())
    limit = None if told["limit"] is None else timedelta(seconds=told["limit"])
    start = Start(job=folder.job, token=told["token"], number=1, plan=plan, limit=limit)
    await yard.engine.submit(folder, start)
    print("started", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def orphaned(tmp_path: Path, box: Confinement) -> Callable[..., Handle]:
    """Return what has a job started by a process that is then killed by SIGKILL."""

    def start(*argv: str, limit: float | None = None) -> Handle:
        job = handle(tmp_path / "jobs", Plan(argv=argv))
        told = {
            "jobs": str(tmp_path / "jobs"),
            "job": job.folder.job,
            "token": job.attempt.token,
            "argv": argv,
            "limit": limit,
            "boxed": not isinstance(box, Unconfined),
        }
        with subprocess.Popen(
            [sys.executable, "-c", STARTER, json.dumps(told)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        ) as starter:
            assert starter.stdout is not None
            assert starter.stdout.readline() == b"started\n"
            starter.kill()
        return job

    return start


async def test_a_job_ends_with_its_true_code_after_its_starter_was_killed(
    orphaned: Callable[..., Handle], yard: Yard, tmp_path: Path
) -> None:
    job = orphaned("sh", "-c", "echo on; until [ -e go ]; do sleep 0.02; done; exit 42")
    until(lambda: job.stdout, "the command never began")
    await yard.running(job)
    (job.folder.work / "go").touch()
    assert await yard.end(job) == Exit(reason=Reason.EXIT, code=42)


async def test_a_job_that_ended_while_nobody_looked_is_found_with_its_code(
    orphaned: Callable[..., Handle], yard: Yard
) -> None:
    job = orphaned("sh", "-c", "exit 42")
    assert await yard.end(job) == Exit(reason=Reason.EXIT, code=42)


async def test_the_end_of_a_job_that_another_started_is_noticed_at_once(
    orphaned: Callable[..., Handle], yard: Yard
) -> None:
    job = orphaned("sh", "-c", "until [ -e go ]; do sleep 0.02; done")
    await yard.running(job)
    yard.engine.changed.clear()
    (job.folder.work / "go").touch()
    await yard.engine.changed.wait()
    assert isinstance(await yard.over(job), Ended)


async def test_a_work_limit_holds_while_nobody_looks(
    orphaned: Callable[..., Handle], yard: Yard
) -> None:
    job = orphaned("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", limit=0.5)
    until(lambda: under(job.attempt.token) == [], "the limit does not hold")
    assert await yard.end(job) == Exit(reason=Reason.WORK_LIMIT)


async def test_a_job_that_another_started_is_cancelled(
    orphaned: Callable[..., Handle], yard: Yard
) -> None:
    job = orphaned("sleep", "600")
    await yard.engine.cancel(job.folder, job.attempt)
    seen = await yard.sight(job)
    if not isinstance(seen, NotStarted):  # cancelled before its script had claimed it
        assert (await yard.end(job)).reason is Reason.CANCELLED
    assert under(job.attempt.token) == []


async def test_a_job_that_another_started_is_gone_when_its_script_is_killed(
    orphaned: Callable[..., Handle], yard: Yard
) -> None:
    job = orphaned("sh", "-c", "echo on; sleep 600")
    until(lambda: job.stdout, "the command never began")
    await yard.running(job)
    os.kill(int((job.run / "claim").read_text().split()[1]), signal.SIGKILL)
    assert isinstance(await yard.over(job), Gone)
    assert under(job.attempt.token) == []


async def test_a_cancel_never_reaches_a_process_that_only_has_the_number(bare: Yard) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        job = await bare.start("sleep", "600")
        await bare.running(job)
        other = Yard(bare.jobs, bare.box)
        claim = job.run / "claim"
        said = claim.read_text()
        claim.write_text(f"pid {stranger.pid}\nend\n")
        try:
            with pytest.raises(Exception, match="cannot be stopped yet"):
                await other.engine.cancel(job.folder, job.attempt)
            assert stranger.poll() is None
        finally:
            claim.write_text(said)
            await other.close()
            stranger.kill()
            await bare.engine.cancel(job.folder, job.attempt)
            await bare.end(job)


async def test_what_a_killed_gateway_left_of_ended_attempts_is_ended_and_nothing_else(
    bare: Yard,
) -> None:
    over, other = (Token(f"m{job_id()}") for _ in range(2))
    with (
        subprocess.Popen(["sleep", "600"], env={"MAILGATE_TOKEN": over}) as left,
        subprocess.Popen(["sleep", "600"], env={"MAILGATE_TOKEN": other}) as alive,
    ):
        until(lambda: under(over) and under(other), "they never began")
        await bare.engine.sweep(lambda tokens: {over} & set(tokens))
        assert left.wait(60) == -signal.SIGKILL
        assert alive.poll() is None
        alive.kill()


class Late(Here):
    """Tells of each start a number that has become a stranger's meanwhile."""

    def __init__(self, stranger: int) -> None:
        self._stranger = stranger

    async def do(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call it."""
        came = await super().do(work, *args, **kwargs)
        return (self._stranger, True) if work is launched else came  # type: ignore[return-value]


async def test_a_process_that_got_the_scripts_number_hears_no_signal(
    open_yard: Callable[..., Yard],
) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            yard = open_yard(crew=Late(stranger.pid))
            job = await yard.start("sleep", "600")
            await yard.engine.cancel(job.folder, job.attempt)
            assert (await yard.end(job)).reason is Reason.CANCELLED
            assert stranger.poll() is None
        finally:
            stranger.kill()


# --- without pidfds -------------------------------------------------------------------------------


def no_pidfd(_: int) -> int:
    """Answer as a kernel before 5.3 does, or one that has no file left."""
    raise OSError(errno.ENOSYS, "Function not implemented")


async def test_ends_are_noticed_without_pidfds(open_yard: Callable[..., Yard]) -> None:
    yard = open_yard(pin=no_pidfd)
    _, end = await yard.ran("sh", "-c", "exit 3")
    assert end.code == 3
    slow = await yard.start("sleep", "600")
    await yard.running(slow)
    yard.engine.changed.clear()
    # Nobody tells it: it has itself looked at again.
    await yard.engine.changed.wait()
    await yard.engine.cancel(slow.folder, slow.attempt)
    assert (await yard.end(slow)).reason is Reason.CANCELLED


async def test_the_hand_that_starts_scripts_leaves_none_of_them_unfetched(
    open_yard: Callable[..., Yard],
) -> None:
    hands = Hands(1)
    try:
        yard = open_yard(crew=hands)
        jobs = [await yard.start("true") for _ in range(5)]
        for job in jobs:
            await yard.end(job)
        hand = await hands.do(os.getpid)
        until(lambda: _children(hand) == [], "zombies are left")
    finally:
        await hands.close()


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


async def test_a_thousand_running_jobs_are_seen_in_a_moment(bare: Yard) -> None:
    # One real job a hundred times over would need a hundred folders; what is counted is the table.
    jobs = [await bare.start("sleep", "600", limit=600) for _ in range(5)]
    for job in jobs:
        await bare.running(job)
    asked = [(job.folder, job.attempt) for job in jobs] * 200
    seen = await bare.engine.sights(asked)
    assert {type(sight) for sight in seen.values()} == {Running}
    for job in jobs:
        await bare.engine.cancel(job.folder, job.attempt)
    for job in jobs:
        await bare.end(job)


async def test_a_limit_is_not_started_anew_by_a_second_submission(bare: Yard) -> None:
    job = await bare.start("sleep", "600", limit=3)
    await bare.running(job)
    other = Yard(bare.jobs, bare.box)
    native = await other.engine.submit(job.folder, job.start)
    assert native == (job.run / "claim").read_text().split()[1]
    seen = await bare.over(job)
    assert isinstance(seen, Ended)
    assert seen.exit.reason is Reason.WORK_LIMIT
    assert seen.ended - seen.started < timedelta(seconds=15)
    await other.close()
