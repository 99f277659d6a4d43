"""Every end of a job is told apart from every other, bare and in a sandbox."""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailgate.model import Exit, Reason
from mailgate.run.sandbox import Confinement
from mailgate.run.sight import Ended, Gone
from tests.run.yard import Yard, alive, by_signal, under, until, words_of

SLEEP = ("sleep", "600")
STUBBORN = ("sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.05; done")
TIDY = ("sh", "-c", "trap 'echo tidied; exit 0' TERM; echo on; while :; do sleep 0.02; done")


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 128, 255])
async def test_an_exit_code_is_told_as_it_is(yard: Yard, code: int) -> None:
    _, end = await yard.ran("sh", "-c", f"exit {code}")
    assert end == Exit(reason=Reason.EXIT, code=code)


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT", "QUIT", "HUP", "SEGV", "PIPE", "USR1"])
async def test_a_deadly_signal_is_told_by_its_number(yard: Yard, name: str) -> None:
    _, end = await yard.ran("sh", "-c", f"kill -{name} $$; exec sleep 600")
    assert end == by_signal(signal.Signals[f"SIG{name}"])


async def test_a_job_starts_before_it_ends_and_both_are_now(yard: Yard) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)  # the clock of files is coarser
    seen = await yard.over(await yard.start("true"))
    assert isinstance(seen, Ended)
    assert before < seen.started <= seen.ended <= datetime.now(UTC)


# --- could not start ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", "./none", "cd", "if"])
async def test_a_program_that_is_not_there_could_not_start(yard: Yard, program: str) -> None:
    _, end = await yard.ran(program)
    assert end.reason is Reason.COULD_NOT_START
    assert f'"{program}" was not found' in str(end.words)


async def test_a_folder_and_a_plain_file_are_no_programs(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    for program in (tmp_path, tmp_path / "plain"):
        _, end = await yard.ran(str(program))
        assert end.reason is Reason.COULD_NOT_START


async def test_a_program_without_its_interpreter_could_not_start(
    open_yard: Callable[..., Yard], box: Confinement, tmp_path: Path
) -> None:
    yard = open_yard(box)
    job = yard.prepared("./odd", "word")
    odd = job.folder.work / "odd"
    odd.write_text("#!/no/such/interpreter\n")
    odd.chmod(0o700)
    await yard.engine.submit(job.folder, job.start)
    end = await yard.end(job)
    assert end.reason is Reason.COULD_NOT_START
    assert '"./odd" could not be executed' in str(end.words) or "sandbox" in str(end.words)


async def test_a_command_whose_own_child_is_not_found_did_start(yard: Yard) -> None:
    _, end = await yard.ran("env", "no-such-program")
    assert end == Exit(reason=Reason.EXIT, code=127)


async def test_a_command_that_writes_much_before_its_exit_127_ends_at_once(yard: Yard) -> None:
    _, end = await yard.ran("sh", "-c", "head -c 50000000 /dev/zero >&2; exit 127")
    assert end == Exit(reason=Reason.EXIT, code=127)


async def test_a_missing_standard_input_could_not_start(yard: Yard) -> None:
    _, end = await yard.ran("cat", stdin="never-staged.fa")
    assert end.reason is Reason.COULD_NOT_START
    assert "input" in str(end.words)


async def test_a_program_with_an_equals_sign_in_its_path_starts(bare: Yard, tmp_path: Path) -> None:
    program = tmp_path / "a=b"
    program.write_text('#!/bin/sh\necho "$1"\n')
    program.chmod(0o755)
    job, end = await bare.ran(str(program), "x=y")
    assert (end.code, job.stdout) == (0, "x=y\n")


# --- limits and cancelling ------------------------------------------------------------------------


async def test_a_job_over_its_work_limit_is_ended(yard: Yard) -> None:
    job, end = await yard.ran(*SLEEP, limit=0.3)
    assert end == Exit(reason=Reason.WORK_LIMIT)
    assert under(job.attempt.token) == []


async def test_a_job_within_its_work_limit_leaves_no_watch_behind(yard: Yard) -> None:
    job, end = await yard.ran("true", limit=3600)
    assert end.code == 0
    until(lambda: under(job.attempt.token) == [], "the watch sleeps on")


async def test_a_job_that_ignores_term_is_killed_after_the_grace_time(
    open_yard: Callable[..., Yard], box: Confinement
) -> None:
    job, end = await open_yard(box, kill_after=0.3).ran(*STUBBORN, limit=0.3)
    assert end == Exit(reason=Reason.WORK_LIMIT)
    assert under(job.attempt.token) == []


async def test_a_job_over_its_limit_may_tidy_up(yard: Yard) -> None:
    job, end = await yard.ran(*TIDY, limit=1)
    assert end == Exit(reason=Reason.WORK_LIMIT)
    assert job.stdout == "on\ntidied\n"


async def test_a_cancelled_job_may_tidy_up_and_is_told_from_one_that_failed(yard: Yard) -> None:
    job = await yard.start(*TIDY)
    until(lambda: job.stdout, "the command never began")
    await yard.engine.cancel(job.folder, job.attempt)
    until(lambda: job.stdout == "on\ntidied\n", "it was not given the time to tidy up")
    await yard.engine.cancel(job.folder, job.attempt)
    assert (await yard.end(job)).reason is Reason.CANCELLED


async def test_a_cancelled_job_that_ignores_term_is_killed(
    open_yard: Callable[..., Yard], box: Confinement
) -> None:
    yard = open_yard(box, kill_after=0.3)
    job = await yard.start(*STUBBORN)
    until(lambda: job.stdout, "the command never began")
    await yard.engine.cancel(job.folder, job.attempt)
    assert (await yard.end(job)).reason is Reason.CANCELLED
    assert under(job.attempt.token) == []


async def test_a_job_cancelled_at_any_moment_of_its_start_ends(yard: Yard) -> None:
    for _ in range(5):
        job = await yard.start(*SLEEP)
        await yard.engine.cancel(job.folder, job.attempt)
        # Before its script had claimed it, it never began, and the runner takes its claim.
        until(lambda job=job: under(job.attempt.token) == [], "it runs on")
        seen = await yard.sight(job)
        assert not isinstance(seen, Gone)
        assert not isinstance(seen, Ended) or seen.exit.reason is Reason.CANCELLED


async def test_cancelling_what_has_ended_or_never_began_does_nothing(yard: Yard) -> None:
    job, _ = await yard.ran("true")
    await yard.engine.cancel(job.folder, job.attempt)
    assert (await yard.end(job)).code == 0
    never = yard.prepared("true")
    await yard.engine.cancel(never.folder, never.attempt)


async def test_the_whole_group_ends_with_the_command(yard: Yard) -> None:
    job, end = await yard.ran("sh", "-c", "sleep 600 & trap '' HUP; sleep 600 & exit 3")
    assert end.code == 3
    until(lambda: under(job.attempt.token) == [], "children live on")


async def test_a_job_over_its_memory_fails(yard: Yard) -> None:
    greedy = "x = bytearray(400 << 20); print(len(x))"
    python = Path(sys.executable).resolve()
    job, end = await yard.ran(str(python), "-c", greedy, memory=200 << 20)
    assert end == Exit(reason=Reason.EXIT, code=1)
    assert "MemoryError" in job.stderr


# --- what is lost ---------------------------------------------------------------------------------


async def test_a_job_whose_script_is_killed_is_gone_and_so_is_its_command(yard: Yard) -> None:
    job = await yard.start("sh", "-c", "trap '' TERM HUP; echo on; sleep 600 & wait", limit=600)
    until(lambda: job.stdout, "the command never began")
    await yard.running(job)
    script = int((job.run / "claim").read_text().split()[1])
    os.kill(script, signal.SIGKILL)
    assert isinstance(await yard.over(job), Gone)
    assert under(job.attempt.token) == []


async def test_a_command_that_daemonises_ends_when_its_job_is_cancelled(yard: Yard) -> None:
    # In a session of its own, and its own parent's group left: only its token, or the sandbox, tells.
    away = (
        "setsid sh -c 'trap \"\" TERM; sleep 600' >/dev/null 2>&1 </dev/null & echo on; sleep 600"
    )
    job = await yard.start("sh", "-c", away)
    until(lambda: job.stdout, "the command never began")
    await yard.engine.cancel(job.folder, job.attempt)
    assert (await yard.end(job)).reason is Reason.CANCELLED
    assert under(job.attempt.token) == []


async def test_a_daemon_left_by_a_job_that_succeeded_is_ended_before_its_end_is_told(
    yard: Yard,
) -> None:
    job, end = await yard.ran("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 </dev/null &")
    assert end.code == 0
    # The script itself may still be leaving, with the watch over the job's limit.
    assert not [process for process in under(job.attempt.token) if "600" in words_of(process)]


async def test_killing_a_command_by_hand_is_a_signal_and_no_loss(bare: Yard) -> None:
    job = await bare.start("sh", "-c", "echo $$; exec sleep 600")
    until(lambda: job.stdout, "the command never began")
    os.kill(int(job.stdout), signal.SIGKILL)
    assert await bare.end(job) == by_signal(9)
    assert not alive(int(job.stdout))
