"""A scheduler's commands as processes: what they get, what they say, and when they are over."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.errors import Transient
from mailgate.run import programs
from mailgate.run.scheduler import Command
from tests.daemon import ROOT, eventually

LONG = timedelta(seconds=30)


def sh(script: str, **more: object) -> Command:
    return Command(argv=("sh", "-c", script), **more)  # type: ignore[arg-type]


async def test_outputs_and_status_are_told_apart_and_standard_input_is_given() -> None:
    said = await programs.run(sh("cat; echo oh >&2; exit 3", stdin="hello"), limit=LONG)
    assert (said.status, said.stdout, said.stderr) == (3, "hello", "oh\n")


async def test_a_daemon_with_too_many_files_open_runs_it_later() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))
    try:
        with pytest.raises(Transient, match="No file can be opened now"):
            await programs.run(sh("true"), limit=LONG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


ROUNDS = """
import asyncio, os, sys
from datetime import timedelta
from mailgate.run import programs
from mailgate.run.scheduler import Command

async def rounds():
    lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    # In each another number is the lowest that is free.
    for one in reversed([os.open("/dev/null", os.O_RDONLY) for _ in range(12)]):
        os.close(one)
        script = "cat; echo held >&9; exit "
        commands = [Command(argv=("sh", "-c", f"{script}{n}"), stdin=f"hi {n}") for n in range(3)]
        said = await programs.together(commands, limit=timedelta(seconds=30), lock=lock)
        assert [(s.status, s.stdout) for s in said] == [(n, f"hi {n}") for n in range(3)], said

asyncio.run(rounds())
"""


def test_a_lock_leaves_the_outputs_alone_whatever_numbers_are_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    subprocess.run([sys.executable, "-c", ROUNDS, lock], check=True, cwd=ROOT)
    assert lock.read_text() == "held\n" * 36


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    yield opened
    os.close(opened)


async def test_of_several_commands_each_has_its_own_words_and_end(lock: int) -> None:
    words = ["a 'b' \"c\" $(touch d) `e` \\ * ~ # ; & | < > \n\t é", "-n", ""]
    each = 'for word; do printf "<%s>" "$word"; done'
    said = await programs.together(
        [
            Command(argv=("sh", "-c", f"{each}; echo oh >&2", "sh", *words)),
            Command(argv=("no-such-scheduler", "x")),
            sh("kill -9 $$"),
            sh("echo 7; exit 3"),
        ],
        limit=LONG,
        lock=lock,
    )
    assert [one.status for one in said] == [0, 127, 128 + 9, 3]
    assert (said[0].stdout, said[0].stderr) == ("".join(f"<{word}>" for word in words), "oh\n")
    assert "no-such-scheduler" in said[1].stderr
    assert said[3].stdout == "7\n"


async def test_several_commands_run_at_the_same_time(lock: int, tmp_path: Path) -> None:
    there = f"echo x >>{tmp_path}/all; until [ $(wc -l <{tmp_path}/all) = 3 ]; do sleep 0.02; done"
    said = await programs.together([sh(there)] * 3, limit=LONG, lock=lock)
    assert [one.status for one in said] == [0, 0, 0]


async def test_of_several_commands_one_that_hangs_is_ended_and_the_others_ends_are_known(
    lock: int, tmp_path: Path
) -> None:
    began = time.monotonic()
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    hangs = [sh("sleep 100"), sh("echo 1")]
    one, other = await programs.together(hangs, limit=timedelta(seconds=0.5), lock=lock)
    assert one.status == 128 + signal.SIGTERM
    assert (other.status, other.stdout) == (0, "1\n")
    assert time.monotonic() - began < 60
    # One that does not hear is killed, and nobody is left who holds the lock.
    said = await programs.together(
        [sh("echo 1"), sh(deaf), sh("echo 2")], limit=timedelta(seconds=0.5), lock=lock
    )
    assert [one.status for one in said] == [0, -9, -9]
    with (tmp_path / "lock").open("r+") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


HELD = """
import asyncio, fcntl, os, sys
from datetime import timedelta
from mailgate.run import programs
from mailgate.run.scheduler import Command

lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_SH)
# It closes what it has inherited, and outlives whoever asked for it.
tool = "exec 9>&-; echo begun >$0; until test -e $1; do sleep 0.05; done"
words = ("sh", "-c", tool, sys.argv[2], sys.argv[3])
limit = timedelta(seconds=float(sys.argv[4]))
asyncio.run(programs.together([Command(argv=words)], limit=limit, lock=lock))
"""


@pytest.mark.parametrize("limit", [30.0, 0.5])
def test_whoever_waits_holds_the_lock_until_the_command_ends_or_its_time_is_over(
    tmp_path: Path, limit: float
) -> None:
    lock, begun, go = (tmp_path / name for name in ("lock", "begun", "go"))
    words = [str(word) for word in (lock, begun, go, limit)]
    daemon = subprocess.Popen([sys.executable, "-c", HELD, *words], cwd=ROOT)
    eventually(begun.exists)
    daemon.kill()
    daemon.wait()
    with lock.open("r+") as held:
        if limit > 1:
            with pytest.raises(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            go.touch()
        fcntl.flock(held, fcntl.LOCK_EX)


async def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as end:
        hangs = sh(f"exec 9>{pipe}; sleep 600 & sleep 600")
        with pytest.raises(programs.HangsError):
            await programs.run(hangs, limit=timedelta(seconds=0.5))
        # Whoever were alive would hold the pipe open: then there is no end of it, but nothing.
        eventually(lambda: end.read(1) == b"")


async def test_a_command_that_is_missing_is_named() -> None:
    with pytest.raises(Transient, match="no-such-scheduler"):
        await programs.run(Command(argv=("no-such-scheduler",)), limit=LONG)


def test_a_command_gets_no_locale_and_only_what_it_may_hand_on() -> None:
    given = {
        "PATH": "/bin",
        "LANG": "de_DE.UTF-8",
        "LC_TIME": "tr_TR",
        "SECRET": "s",
        "SLURM_X": "1",
    }
    assert programs.environment(sh("true"), given) == {
        "PATH": "/bin", "SECRET": "s", "SLURM_X": "1", "LC_ALL": "C",
    }  # fmt: skip
    few = sh("true", only=("PATH", "SLURM_*"))
    assert programs.environment(few, given) == {"PATH": "/bin", "SLURM_X": "1", "LC_ALL": "C"}
