"""Who claims first, has it: no command ever begins twice, nor after the gateway took its claim."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from mailgate.model import Plan
from mailgate.run import jobdir
from mailgate.run.process import locked, start_script
from mailgate.run.script import write_attempt
from mailgate.run.sight import Ended, Gone, NotStarted, Running
from tests.run.yard import PATH, Handle, Yard, handle

COUNTS = ("sh", "-c", "echo ran >>count")


def written(jobs: Path, *argv: str) -> Handle:
    """Lay out a job and write its first attempt, without an engine."""
    job = handle(jobs, Plan(argv=argv), limit=timedelta(seconds=60))
    jobdir.prepare(job.folder, job.plan, ())
    write_attempt(job.folder, job.start, path=PATH, sandbox=())
    return job


def run_script(job: Handle) -> None:
    """Run the script as a scheduler would, and wait for its end."""
    subprocess.run(["sh", str(job.run / "script")], check=True, capture_output=True, timeout=30)


def count(job: Handle) -> int:
    """Say how often the command has begun."""
    counted = job.folder.work / "count"
    return len(counted.read_text().splitlines()) if counted.exists() else 0


def test_of_many_starts_at_once_one_wins(tmp_path: Path) -> None:
    job = written(tmp_path, *COUNTS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run_script, [job] * 16))
    assert count(job) == 1
    assert isinstance(jobdir.look(job.folder, 1, alive=False), Ended)


async def test_a_second_submission_does_nothing(yard: Yard) -> None:
    job = await yard.start(*COUNTS)
    await yard.end(job)
    await yard.engine.submit(job.folder, job.start)
    assert (await yard.end(job)).code == 0
    assert count(job) == 1


def test_a_start_after_the_gateways_claim_does_nothing(tmp_path: Path) -> None:
    job = written(tmp_path, *COUNTS)
    assert jobdir.claim(job.folder, 1)
    run_script(job)
    assert count(job) == 0
    assert jobdir.look(job.folder, 1, alive=False) == NotStarted()


def test_the_gateway_gets_no_claim_of_what_has_begun(tmp_path: Path) -> None:
    job = written(tmp_path, *COUNTS)
    run_script(job)
    assert not jobdir.claim(job.folder, 1)
    assert count(job) == 1


def test_the_gateway_may_ask_for_its_claim_again(tmp_path: Path) -> None:
    job = handle(tmp_path, Plan(argv=("true",)))
    assert jobdir.claim(job.folder, 1)
    assert jobdir.claim(job.folder, 1)
    assert sorted(p.name for p in job.run.iterdir()) == ["claim"]


def test_of_many_claims_and_starts_exactly_one_wins(tmp_path: Path) -> None:
    for _ in range(6):
        job = written(tmp_path, *COUNTS)
        with ThreadPoolExecutor(4) as pool:
            starts = [pool.submit(run_script, job) for _ in range(2)]
            won = pool.submit(jobdir.claim, job.folder, 1).result()
            for start in starts:
                start.result()
        assert count(job) == (0 if won else 1)


def test_an_attempt_of_which_nothing_is_there_has_not_started(tmp_path: Path) -> None:
    job = handle(tmp_path, Plan(argv=("true",)))
    assert jobdir.look(job.folder, 1, alive=False) == NotStarted()
    jobdir.prepare(job.folder, job.plan, ())
    assert jobdir.look(job.folder, 1, alive=False) == NotStarted()


async def test_an_attempt_on_its_way_is_neither_started_nor_not_started(bare: Yard) -> None:
    job = bare.prepared("true")
    job.run.mkdir(parents=True)
    with locked(job.run) as lock:
        assert lock is not None
        assert await bare.sight(job) is None
    assert await bare.sight(job) == NotStarted()


async def test_the_lock_of_a_script_outlives_whoever_started_it(bare: Yard) -> None:
    job = bare.prepared("sh", "-c", "until [ -e go ]; do sleep 0.02; done")
    job.run.mkdir(parents=True)
    with locked(job.run) as lock:
        assert lock is not None
        write_attempt(job.folder, job.start, path=PATH, sandbox=())
        process = start_script(job.run, lock=lock, token=job.attempt.token, files=1024)
    assert isinstance(await bare.running(job), Running)
    (job.folder.work / "go").touch()
    os.waitpid(process, 0)
    assert isinstance(await bare.over(job), Ended)


def test_a_claim_without_a_script_or_an_end_is_gone(tmp_path: Path) -> None:
    job = written(tmp_path, "true")
    (job.run / "claim").touch()
    assert isinstance(jobdir.look(job.folder, 1, alive=False), Gone)
    assert isinstance(jobdir.look(job.folder, 1, alive=True), Running)
