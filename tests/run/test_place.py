"""The folder of jobs: whose it is, what is concluded while it is away, and when there is no room."""

import os
import resource
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailgate.errors import Permanent, Transient
from mailgate.janitor import Janitor, committing
from mailgate.model import JobId, Stream, StreamRole
from mailgate.model.outlook import Cause
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.run.place import Place
from mailgate.spool import attempts, standstills
from mailgate.spool.backup import backup
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.conftest import SITE
from tests.spool.made import DONE, WEEK, begun_attempt
from tests.spool.test_janitor import STRAY, config_of, made


def begun(folder: Folder) -> JobId:
    """A job of which an attempt runs, as far as the spool knows."""
    with direct(folder, SITE) as connection:
        return begun_attempt(connection).job


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "spool")


@pytest.fixture
async def spool(folder: Folder) -> AsyncIterator[Spool]:
    opened = Spool(folder, SITE)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "jobs"


def place_of(spool: Spool, jobs: Path, *, min_free: int = 0) -> Place:
    return Place(jobs, spool, min_free=min_free)


async def test_a_folder_that_is_away_while_jobs_run_is_waited_for(
    spool: Spool, folder: Folder, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = place_of(spool, jobs)
    await place.take()
    JobFolder(jobs, begun(folder)).root.mkdir(parents=True)
    jobs.rename(jobs.with_name("away"))
    jobs.mkdir()
    again = place_of(spool, jobs)
    await again.take()
    assert not await again.settle(anew=True)
    assert str(again.away).startswith(f"{jobs} is not the folder that holds the jobs that run")
    with pytest.raises(Transient):
        again.mark.check()
    assert list(jobs.iterdir()) == []
    jobs.rmdir()
    jobs.with_name("away").rename(jobs)
    assert await again.settle(anew=True)
    assert capsys.readouterr().err.count("unseen") == 1


async def test_the_line_that_gives_lost_jobs_up_works(
    spool: Spool, folder: Folder, jobs: Path
) -> None:
    await place_of(spool, jobs).take()
    begun(folder)
    shutil.rmtree(jobs)
    jobs.mkdir()
    place = place_of(spool, jobs)
    assert not await place.settle()
    mark = str(place.away).partition("echo '")[2].partition("'")[0]
    (jobs / "gateway").write_text(f"{mark}\n")
    assert await place.settle(anew=True)


async def test_a_mark_that_alone_is_gone_is_written_again(
    spool: Spool, folder: Folder, jobs: Path
) -> None:
    place = place_of(spool, jobs)
    await place.take()
    JobFolder(jobs, begun(folder)).root.mkdir(parents=True)
    mark = (jobs / "gateway").read_text()
    (jobs / "gateway").unlink()
    assert await place.settle(anew=True)
    assert (jobs / "gateway").read_text() == mark


async def test_a_folder_that_is_away_while_outputs_are_kept_in_it_is_not_made_anew(
    spool: Spool, folder: Folder, jobs: Path
) -> None:
    place = place_of(spool, jobs)
    await place.take()
    with direct(folder, SITE) as connection:
        attempt = begun_attempt(connection)
        stream = Stream(
            role=StreamRole.STDOUT, name="stdout.txt", path="out/stdout", size=3, sha256="1" * 64
        )
        with connection.transaction() as tx:
            attempts.ended(
                tx, attempt, DONE, at=tx.now, streams=(stream,), left_out=(), keep_mail=WEEK
            )
    JobFolder(jobs, attempt.job).root.mkdir(parents=True)
    mark = (jobs / "gateway").read_text()
    jobs.rename(jobs.with_name("away"))
    again = place_of(spool, jobs)
    await again.take()
    assert not await again.settle(anew=True)
    assert "the outputs that are kept: mount or configure that one" in str(again.away)
    assert not jobs.exists()
    jobs.with_name("away").rename(jobs)
    (jobs / "gateway").unlink()
    assert await again.settle(anew=True)
    assert (jobs / "gateway").read_text() == mark
    # Once nothing is kept any more, none of it is missed.
    with direct(folder, SITE) as connection, connection.transaction() as tx:
        tx.execute("UPDATE job SET phase = 'ARCHIVED'")
    shutil.rmtree(jobs)
    assert await again.settle(anew=True)
    assert (jobs / "gateway").read_text() != mark


async def test_another_folder_may_be_chosen_and_the_old_one_again_while_nothing_runs(
    spool: Spool, jobs: Path
) -> None:
    for chosen in (jobs, jobs.with_name("other"), jobs):
        await place_of(spool, chosen).take()


async def test_two_gateways_have_no_folder_of_jobs_in_common(
    spool: Spool, jobs: Path, tmp_path: Path
) -> None:
    other = Spool(Folder(tmp_path / "other"), SITE)
    other.open()
    try:
        await place_of(other, jobs).take()
        with pytest.raises(Permanent, match="holds the jobs of another gateway"):
            await place_of(spool, jobs).take()
        (jobs / "gateway").unlink()
        await place_of(spool, jobs).take()
        late = place_of(other, jobs)
        assert not await late.settle()
    finally:
        other.close()


async def test_strays_are_swept_after_the_spool_was_moved_and_never_by_another(
    spool: Spool, folder: Folder, jobs: Path, tmp_path: Path
) -> None:
    await place_of(spool, jobs).take()
    spool.close()
    moved = Folder(folder.root.rename(tmp_path / "moved"))
    stray = made(jobs / STRAY[:2] / STRAY)
    config = config_of(tmp_path, "shared/jobs")

    def strays(of: Folder) -> int:
        with direct(of, SITE) as connection:
            janitor = Janitor(config, of, young=0)
            return janitor.sweep(connection.view, committing(connection), strays=True).strays

    assert strays(Folder(tmp_path / "other")) == 0
    assert stray.is_dir()
    assert strays(moved) == 1


async def test_a_copy_knows_its_jobs(spool: Spool, folder: Folder, jobs: Path) -> None:
    await place_of(spool, jobs).take()
    begun(folder)
    with direct(folder, SITE) as connection:
        backup(connection, folder, jobs, jobs.with_name("copy"))
    copy = Spool(Folder(jobs.with_name("copy")), SITE)
    copy.open()
    try:
        assert await place_of(copy, copy.folder.root / "jobs").settle()
    finally:
        copy.close()


@pytest.mark.parametrize("where", ["/proc/jobs", "a file/jobs"])
async def test_a_folder_that_cannot_be_used_is_named(
    spool: Spool, tmp_path: Path, where: str
) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(Permanent, match=f"the folder .*{where} cannot be used: .* make"):
        await place_of(spool, tmp_path / where).take()


async def test_a_daemon_with_too_many_files_open_blames_no_folder(spool: Spool, jobs: Path) -> None:
    await place_of(spool, jobs).take()
    place = place_of(spool, jobs)
    # The thread that looks and its spool are there already.
    await place.settle()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))
    try:
        assert not await place.settle(anew=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert str(place.away).endswith("Too many open files; raise the limit of open files")
    assert await place.settle(anew=True)


async def test_no_room_is_told_once_and_keeps_no_job_from_being_seen(
    spool: Spool, jobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = place_of(spool, jobs, min_free=1 << 60)
    await place.take()
    for _ in range(2):
        assert await place.settle(anew=True)
        assert "no job is started until there is more" in str(place.tight)
    assert capsys.readouterr().err.count("delayed what=run") == 1


async def test_what_keeps_jobs_from_starting_is_noted_until_it_is_over_whoever_looks(
    spool: Spool, folder: Folder, jobs: Path
) -> None:
    def noted() -> tuple[Cause, str] | None:
        found = standstills.noted(spool.view)
        return found and (found.cause, found.why)

    place = place_of(spool, jobs)
    await place.take()
    assert noted() is None
    crowded = place_of(spool, jobs, min_free=1 << 60)
    await crowded.settle()
    assert noted() == (Cause.TIGHT, crowded.tight)
    since = standstills.noted(spool.view)
    await place_of(spool, jobs, min_free=1 << 60).settle()
    assert standstills.noted(spool.view) == since
    JobFolder(jobs, begun(folder)).root.mkdir(parents=True)
    jobs.rename(jobs.with_name("away"))
    await crowded.settle(anew=True)
    assert noted() == (Cause.AWAY, crowded.away)
    jobs.with_name("away").rename(jobs)
    await place.settle(anew=True)
    assert noted() is None
