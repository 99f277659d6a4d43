"""What is told of running jobs while another program holds the database."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.model import Attempt, JobId, Progress
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.run.news import News, pause
from mailgate.spool import jobs, notices
from mailgate.spool.store import Folder, Spool, direct
from mailgate.spool.turns import Turns
from tests.spool.conftest import SITE
from tests.spool.made import begun_attempt


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    with closing(sqlite3.connect(folder.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = Spool(Folder(tmp_path / "spool"), SITE, busy=0.05)
    opened.open()
    yield opened
    opened.close()


def begun(folder: Folder) -> Attempt:
    with direct(folder, SITE) as connection:
        attempt = begun_attempt(connection)
        with connection.transaction() as tx:
            tx.execute("UPDATE job SET receipt_due = ?", tx.at - timedelta(hours=1).total_seconds())
    return attempt


def running(spool: Spool, tmp_path: Path) -> tuple[Attempt, JobFolder]:
    """An attempt that has begun, and its job's folder."""
    attempt = begun(spool.folder)
    place = JobFolder(tmp_path / "jobs", JobId(attempt.job))
    place.attempt(1).mkdir(parents=True)
    return attempt, place


async def test_progress_that_cannot_be_written_is_delayed_and_read_again(
    spool: Spool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt, place = running(spool, tmp_path)
    (place.attempt(1) / "progress").write_text("40 of it\n")
    with locked(spool.folder):
        await News(spool, Turns()).read_progress([(place, attempt)])
    assert "delayed what=progress" in capsys.readouterr().err
    assert jobs.fetch(spool.view, attempt.job).progress is None
    await News(spool, Turns()).read_progress([(place, attempt)])
    assert jobs.fetch(spool.view, attempt.job).progress == Progress(percent=40.0, words="of it")


def test_the_progress_of_thousands_is_read_less_often_than_that_of_a_few() -> None:
    assert pause(1) == pause(1000) == 5
    assert pause(5000) == 25


async def test_the_log_has_a_jobs_progress_at_each_quarter_alone(
    spool: Spool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt, place = running(spool, tmp_path)
    news = News(spool, Turns(), every=0)
    for percent in (1, 2, 24, 26, 27, 49.5, 76, 80):
        (place.attempt(1) / "progress").write_text(f"{percent}\n")
        await news.read_progress([(place, attempt)])
    said = capsys.readouterr().err
    assert [x for x in said.split() if x.startswith("percent=")] == ["percent=26", "percent=76"]
    progress = jobs.fetch(spool.view, attempt.job).progress
    assert progress is not None
    assert progress.percent == 80


async def test_a_receipt_that_cannot_be_written_is_delayed_and_still_due(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(spool.folder)
    news = News(spool, Turns())
    with locked(spool.folder):
        await news.tell_due()
    assert "delayed what=news" in capsys.readouterr().err
    assert notices.next_due(spool.view) is not None
    await news.tell_due()
    assert notices.next_due(spool.view) is None


async def test_all_receipts_that_are_due_are_planned_at_one_look_a_few_in_an_operation(
    spool: Spool,
) -> None:
    for _ in range(25):
        begun(spool.folder)
    await News(spool, Turns()).tell_due()
    assert notices.next_due(spool.view) is None
    operations = spool.view.one("SELECT COUNT(DISTINCT planned) AS n FROM letter")
    assert operations is not None
    assert operations["n"] > 1
