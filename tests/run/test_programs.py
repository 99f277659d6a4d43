"""A scheduler's commands as processes: what they get, what they say, and when they are over."""

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.errors import Transient
from mailgate.run import programs
from mailgate.run.scheduler import Command
from tests.daemon import ROOT

LONG = timedelta(seconds=30)


def sh(script: str, **more: object) -> Command:
    return Command(argv=("sh", "-c", script), **more)  # type: ignore[arg-type]


async def test_outputs_and_status_are_told_apart_and_standard_input_is_given() -> None:
    said = await programs.run(sh("cat; echo oh >&2; exit 3", stdin="hello"), limit=LONG)
    assert (said.status, said.stdout, said.stderr) == (3, "hello", "oh\n")


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
        command = Command(argv=("sh", "-c", "echo hello; echo held >&9"))
        said = await programs.run(command, limit=timedelta(seconds=30), lock=lock)
        assert said.stdout == "hello\\n", said

asyncio.run(rounds())
"""


def test_a_lock_leaves_the_outputs_alone_whatever_numbers_are_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    subprocess.run([sys.executable, "-c", ROUNDS, lock], check=True, cwd=ROOT)
    assert lock.read_text() == "held\n" * 12


async def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    mark = tmp_path / "mark"
    with pytest.raises(programs.HangsError):
        await programs.run(sh(f"(sleep 2; touch {mark}) & sleep 100"), limit=timedelta(seconds=0.2))
    assert time.monotonic() - began < 2
    await asyncio.sleep(0)
    assert not mark.exists()


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
