"""The work's limit is changed while the work runs, and the script alone keeps to it."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from mailgate.model import Exit, Reason
from mailgate.run.jobdir import write_limit
from mailgate.run.sandbox import Confinement
from mailgate.run.script import default_signals, write_attempt
from tests.run.test_script import SHELLS
from tests.run.yard import PATH, Handle, Yard, under, until

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
OVER = Exit(reason=Reason.WORK_LIMIT)


async def begun(yard: Yard, *argv: str, limit: float | None = None) -> Handle:
    """Start a job, and wait until its command runs."""
    job = await yard.start("sh", "-c", f"echo on; {' '.join(argv)}", limit=limit)
    await yard.running(job)
    until(lambda: job.stdout, "the command never began")
    return job


@pytest.mark.parametrize("limit", [600, None])
async def test_a_limit_that_is_lowered_holds_after_the_engine_has_gone(
    open_yard: Callable[..., Yard], box: Confinement, limit: int | None
) -> None:
    yard = open_yard(box, kill_after=1)
    job = await begun(yard, "sleep 600", limit=limit)
    assert await yard.engine.limit(job.folder, job.attempt, SECOND)
    await yard.engine.close()
    until(lambda: under(job.attempt.token) == [], "the limit does not hold")
    assert await open_yard(box).end(job) == OVER


async def test_a_limit_that_is_raised_lets_the_work_go_on_and_is_lowered_again(bare: Yard) -> None:
    job = await begun(bare, "sleep 2.1; echo still; sleep 600", limit=1.5)
    assert await bare.engine.limit(job.folder, job.attempt, HOUR)
    until(lambda: job.stdout == "on\nstill\n", "the old limit has ended it")
    assert await bare.engine.limit(job.folder, job.attempt, HOUR / 2)
    # The watch that still turns to the one before may read this one at once, and be gone.
    await bare.engine.limit(job.folder, job.attempt, SECOND)
    assert await bare.end(job) == OVER
    assert under(job.attempt.token) == []


def test_a_warning_to_all_the_group_is_no_end_of_the_limit(bare: Yard) -> None:
    # As Grid Engine warns of a stop; under a shell each, with whatever the watch is doing then.
    started = [_under(bare, shell, 600, "sleep 1.2; echo still") for shell in SHELLS for _ in "12"]
    for job, process in started:
        until(lambda job=job: job.stdout, "the command never began")
        for _ in range(3):
            os.killpg(process.pid, signal.SIGUSR1)
            time.sleep(0.01)
    for job, process in started:
        assert process.wait(20) == 0
        assert (job.run / "exit").read_text().startswith("status 0\n"), job.run
        assert job.stdout == "on\nstill\n"
    job, process = _under(bare, SHELLS[0], 2)
    until(lambda: job.stdout, "the command never began")
    os.killpg(process.pid, signal.SIGUSR1)
    assert process.wait(20) == 0
    assert "why limit" in (job.run / "exit").read_text()


@pytest.mark.parametrize("limit", [600, None])
def test_where_nobody_can_wake_it_a_script_looks_for_its_limit_by_itself(
    bare: Yard, limit: int | None
) -> None:
    # As on a cluster, where it looks each minute.
    job, process = _under(bare, SHELLS[0], limit, bell="bell", look=1)
    until(lambda: job.stdout, "the command never began")
    time.sleep(1.1)
    assert process.poll() is None
    write_limit(job.folder, 1, SECOND)
    assert process.wait(20) == 0
    assert "why limit" in (job.run / "exit").read_text()
    until(lambda: under(job.attempt.token) == [], "it runs on")


async def test_a_limit_that_was_changed_hides_no_exit_code(bare: Yard) -> None:
    async def one(limit: int | None, code: int) -> tuple[int | None, int]:
        job = await begun(bare, f"until [ -e go ]; do sleep 0.02; done; exit {code}", limit=limit)
        for _ in range(3):
            assert await bare.engine.limit(job.folder, job.attempt, HOUR)
        (job.folder.work / "go").touch()
        await bare.engine.limit(job.folder, job.attempt, HOUR)
        end = await bare.end(job)
        assert end.reason is Reason.EXIT, end
        until(lambda: under(job.attempt.token) == [], "its watch sleeps on")
        return end.code, code

    ends = await asyncio.gather(*(one(x, code) for code in (0, 7, 127) for x in (600, None)))
    assert all(code == wanted for code, wanted in ends), ends


async def test_a_limit_is_too_late_for_what_has_ended(bare: Yard) -> None:
    job, end = await bare.ran("true")
    assert not await bare.engine.limit(job.folder, job.attempt, SECOND)
    assert await bare.end(job) == end


def test_the_limit_is_changed_under_any_shell(bare: Yard) -> None:
    started = [(s, limit, _under(bare, s, limit)) for s in SHELLS for limit in (600, None)]
    for shell, limit, (job, _) in started:
        until(lambda job=job: job.stdout, f"{shell} {limit}: never began")
        assert asyncio.run(bare.engine.limit(job.folder, job.attempt, SECOND)), (shell, limit)
    for shell, limit, (job, process) in started:
        assert process.wait(20) == 0, (shell, limit)
        assert "why limit" in (job.run / "exit").read_text(), (shell, limit)
        until(lambda job=job: under(job.attempt.token) == [], f"{shell} {limit}: runs on")


def _under(
    yard: Yard,
    shell: str,
    limit: int | None,
    then: str = "exec sleep 600",
    *,
    bell: str = "",
    look: int = 60,
) -> tuple[Handle, subprocess.Popen[bytes]]:
    """Start a script as the engine does, with its lock, under a shell of ours."""
    job = yard.prepared("sh", "-c", f"echo on; {then}", limit=limit)
    grace = timedelta(seconds=1)
    write_attempt(
        job.folder,
        job.start,
        path=PATH,
        sandbox=(),
        kill_after=grace,
        default_signals=default_signals(),
        bell=bell and str(job.run / bell),
    )
    script = job.run / "script"
    script.write_bytes(script.read_bytes().replace(b"\nlook='60'\n", b"\nlook='%d'\n" % look))
    words = [shell, "sh"] if shell == "busybox" else [shell]
    lock = 'cd "$1" && exec 9<>lock 2>>lock && flock 9 && shift && exec "$@"'
    return job, subprocess.Popen(
        ["sh", "-c", lock, "sh", str(job.run), *words, str(job.run / "script")],
        start_new_session=True,
        env={**os.environ, "MAILGATE_TOKEN": job.attempt.token},
    )
