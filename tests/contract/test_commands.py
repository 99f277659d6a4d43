"""Every adapter's commands as they are run: in plain English, within their time, or missing."""

import asyncio
import os
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.errors import Permanent, Transient
from mailgate.model import NativeId, Token
from mailgate.run import programs
from mailgate.run.scheduler import Ask, Command, Given, Scheduler, UnreadableError
from tests.contract.adapters import ENGINES, made

JOB = Given(token=Token("mabcdefgh2345"), native=NativeId("7"))
LONG = timedelta(seconds=30)


@pytest.fixture(params=ENGINES)
def adapter(request: pytest.FixtureRequest) -> Scheduler:
    return made(str(request.param))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on PATH; a shell is in it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to(str(shutil.which("sh")))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def commands(adapter: Scheduler) -> list[Command]:
    folder = "/srv/jobs/ab/abcdefghij23/run/1"
    ask = Ask(token=JOB.token, script=f"{folder}/script", folder=folder, messages=f"{folder}/m")
    given = [adapter.poll(), adapter.why(JOB), adapter.cancel(JOB), adapter.release(JOB)]
    given += [adapter.limit(JOB, timedelta(hours=2)), adapter.wake(JOB)]
    with suppress(Permanent):
        given.append(adapter.submit(ask))
    return [command for command in given if command is not None]


def programs_are(adapter: Scheduler, place: Path, body: str) -> None:
    """Have each of the scheduler's programs be this line of shell."""
    for name in adapter.programs:
        (place / name).write_text(f"#!/bin/sh\n{body}\n")
        (place / name).chmod(0o755)


async def test_whatever_the_daemons_language_a_scheduler_is_asked_in_none(
    adapter: Scheduler, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    heard = place.parent / "heard"
    programs_are(
        adapter, place, f'echo "$LC_ALL$LANG$LC_MESSAGES$LANGUAGE 101" >>{heard}; echo 101'
    )
    for command in commands(adapter):
        heard.write_text("")
        await programs.run(command, limit=LONG)
        # What is asked by name may need two of them.
        assert set(heard.read_text().splitlines()) == {"C 101"}, command


async def test_a_command_that_hangs_is_given_up_and_ended(adapter: Scheduler, place: Path) -> None:
    began = place.parent / "began"
    programs_are(adapter, place, f"echo $$ >>{began}\nexec /bin/sleep 600")
    began.write_text("")
    limit = timedelta(seconds=0.5)
    asked = [programs.run(command, limit=limit) for command in commands(adapter)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(end) for end in ended} == {programs.HangsError}
    assert all(is_gone(int(process)) for process in began.read_text().split())


def is_gone(process: int) -> bool:
    """Whether it is, or is just going."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError):
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                os.sched_yield()
                continue
        return True
    return False


async def test_a_command_that_is_missing_says_nothing_of_any_job(
    adapter: Scheduler, place: Path
) -> None:
    assert [path.name for path in place.iterdir()] == ["sh"]
    for command in commands(adapter):
        if command.argv[0] in adapter.programs:
            with pytest.raises(Transient, match=f"no program {command.argv[0]} on"):
                await programs.run(command, limit=LONG)
            continue
        # A shell asks it.
        said = await programs.run(command, limit=LONG)
        assert said.status, command
        if command == adapter.why(JOB):
            with pytest.raises(UnreadableError):
                adapter.parse_why(said, JOB)
