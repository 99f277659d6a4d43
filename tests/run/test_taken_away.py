"""Jobs that remove or lock away what their own end is recorded in: none is without an end."""

import os
from pathlib import Path

import pytest

from mailgate.run import jobdir
from mailgate.run.process import is_locked, is_script
from mailgate.run.sight import Ended, NotStarted
from tests.run.conftest import BARE, as_someone
from tests.run.yard import Yard, alive, under, until


@pytest.mark.parametrize(
    "taken", ["../..", "..", "run", "run/1", "run/1/claim", "run/1/exit", "run/1/lock"]
)
async def test_a_job_that_took_our_rights_away_has_its_end(anybodys: Path, taken: str) -> None:
    yard = Yard(anybodys / "jobs", BARE)
    job = yard.prepared("true")
    job.run.mkdir(parents=True)
    (job.run / "lock").touch()
    (job.run / "claim").touch()
    (job.run / "exit").write_text("status 0\nend\n")
    place = job.folder.root / taken
    try:
        with as_someone(anybodys):
            place.chmod(0)
            assert isinstance(await yard.sight(job), Ended)
    finally:
        place.chmod(0o700)
        await yard.close()


@pytest.mark.parametrize("what", ["a pipe", "a link", "a folder", "nothing", "a file above"])
def test_what_stands_in_place_of_the_lock_holds_nothing(bare: Yard, what: str) -> None:
    job = bare.prepared("true")
    lock = job.run / "lock"
    if what == "a file above":
        job.run.parent.write_text("")
    else:
        job.run.mkdir(parents=True)
    match what:
        case "a pipe":
            os.mkfifo(lock)
        case "a link":
            lock.symlink_to("lock")
        case "a folder":
            lock.mkdir()
    assert not is_locked(job.folder, 1)


async def test_only_what_has_begun_is_seen_to_have_begun_without_its_claim(bare: Yard) -> None:
    job = await bare.start("sh", "-c", "rm -f ../run/1/claim; echo >gone; exec sleep 600")
    until((job.folder.work / "gone").exists, "no claim was removed")
    assert jobdir.has_begun(job.folder, 1)
    waiting = bare.prepared("true")
    waiting.run.mkdir(parents=True)
    (waiting.run / "script").touch()
    assert not jobdir.has_begun(waiting.folder, 1)
    assert jobdir.look(waiting.folder, 1, alive=False) == NotStarted()
    (script,) = [one for one in under(job.attempt.token) if is_script(one, job.folder, 1)]
    await bare.engine.cancel(job.folder, job.attempt)
    until(lambda: not alive(script), "the script does not end")
