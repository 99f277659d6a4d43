"""What the janitor sweeps, and what it leaves alone, in real folders."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailgate.config import Config, load
from mailgate.errors import Transient
from mailgate.janitor import Janitor, Swept, committing
from mailgate.model import MARK
from mailgate.phases import Phase
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.spool import appointments, house, jobs, keep, reserve, wishes
from mailgate.spool.clock import Clock
from mailgate.spool.database import Connection
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.conftest import SITE
from tests.spool.made import a_job, ended
from tests.spool.test_clock import Wall
from tests.spool.test_notices import a_result, goes_in

_CONFIG = """
[gateway]
address = "jobs@gate.example.org"
spool = "spool"
services = "services"
[listen.smtp]
port = 0
[run]
folder = "{jobs}"
[deliver]
courier = "maildir"
[deliver.maildir]
path = "outgoing"
"""

STRAY = "abcdefghijkl"


def config_of(place: Path, jobs: str) -> Config:
    (place / "services").mkdir(exist_ok=True)
    (place / "mailgate.toml").write_text(_CONFIG.replace("{jobs}", jobs))
    return load(place / "mailgate.toml")


def swept(spool: Connection, folder: Folder, jobs: str, *, marked: bool = True) -> Swept:
    config = config_of(folder.root.parent, jobs)
    if marked:
        with spool.transaction() as tx:
            mark = house.new_mark(house.named(tx))
            house.marked(tx, mark)
        (config.run.folder / MARK).write_text(mark)
    return Janitor(config, folder, young=0).sweep(spool.view, committing(spool), strays=True)


def made(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text("")
    return path


def test_only_what_is_named_as_a_job_is_swept(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    stray = made(tmp_path / "scratch" / STRAY[:2] / STRAY)
    others = [
        made(tmp_path / "scratch" / name)
        for name in ("alice/thesis", f"xx/{STRAY}", "ab/thesis", "ab/ABCDEFGHIJKL")
    ]
    assert swept(spool, folder, "scratch").strays == 1
    assert not stray.exists()
    assert all(other.is_dir() for other in others)


def test_what_a_crashed_live_check_left_is_swept(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    stray = made(tmp_path / "scratch" / "live.k2_9xq0b")
    others = [made(tmp_path / "scratch" / name) for name in ("live.show", "alive.k2_9xq0b")]
    assert swept(spool, folder, "scratch").strays == 1
    assert not stray.exists()
    assert all(other.is_dir() for other in others)


async def test_the_janitor_sweeps_while_another_room_waits_for_a_disk_that_hangs(
    folder: Folder, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    over = threading.Event()
    hangs = asyncio.create_task(asyncio.to_thread(over.wait))
    spool = Spool(folder, SITE)
    spool.open()
    janitor = Janitor(config_of(tmp_path, "spool/elsewhere"), folder, young=0)
    (folder.mail / "stray").write_text("")
    sweeping = asyncio.create_task(janitor.run(spool, Clock()))
    try:
        async with asyncio.timeout(60):
            while (folder.mail / "stray").exists():
                await asyncio.sleep(0.01)
    finally:
        sweeping.cancel()
        over.set()
        await asyncio.gather(hangs, sweeping, return_exceptions=True)
        spool.close()


def test_jobs_are_not_swept_in_a_folder_that_is_not_marked_as_ours(
    spool: Connection, folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = made(tmp_path / "scratch" / STRAY[:2] / STRAY)
    assert swept(spool, folder, "scratch", marked=False).strays == 0
    assert stray.is_dir()
    assert "delayed what=clean file=scratch" in capsys.readouterr().err


def test_what_cannot_be_removed_stops_no_sweep(
    spool: Connection, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (folder.mail, folder.staged):
        made(place / "a folder")
    (folder.letters / "7.eml").mkdir()
    stray = made(folder.root / "jobs" / STRAY[:2] / STRAY)
    assert swept(spool, folder, "spool/jobs").strays == 1
    assert not stray.exists()
    assert capsys.readouterr().err.count("delayed what=clean") == 3


def test_nothing_expires_right_after_the_clock_was_set(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    janitor = Janitor(config_of(tmp_path, "spool/jobs"), folder)
    wall = Wall()
    clock = Clock(wall)
    assert janitor.calm(clock)
    wall.set_by = 86400.0
    assert not janitor.calm(clock)
    assert not janitor.calm(clock)
    assert capsys.readouterr().err.count("the clock was set") == 1, "an hour from then, no more"


async def test_nothing_expires_by_a_clock_that_was_far_ahead_at_a_start_before_it_is_believed(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(tmp_path, "spool/jobs")
    with direct(folder, SITE) as connection:
        expired, later = a_job(connection), a_job(connection)
        for job in (expired, later):
            ended(connection, job)
        with connection.transaction() as tx:
            tx.execute("UPDATE job SET destruction = 1 WHERE id = ?", expired)
            tx.execute("DELETE FROM letter")

        def last_seen(days: float) -> None:
            with connection.transaction() as tx:
                for column in ("event.at", "message.taken"):
                    table, _, name = column.partition(".")
                    tx.execute(f"UPDATE {table} SET {name} = {name} - ?", days * 86400)

        async def started() -> Phase:
            """Start a daemon's janitor; what it has left of the job after a round."""
            janitor, spool = Janitor(config, folder), Spool(folder, SITE)
            spool.open()
            janitor.doubt(spool.view)
            with connection.transaction() as tx:
                # Something comes in at once.
                tx.note("refused", key="<1@example.org>")
            await janitor._round(spool, calm=True)
            spool.close()
            return jobs.fetch(connection.view, expired).phase

        last_seen(10)
        for _ in range(2):
            assert await started() is Phase.COMPLETED
            assert "over a day ahead of all that is known here" in capsys.readouterr().err
        # The operator's word counts at once, or a day without one.
        with connection.transaction() as tx:
            appointments.believe(tx)
        assert await started() is Phase.ARCHIVED
        with connection.transaction() as tx:
            tx.execute("UPDATE job SET destruction = 1 WHERE id = ?", later)
        last_seen(3)
        assert await started() is Phase.ARCHIVED
        assert jobs.fetch(connection.view, later).phase is Phase.COMPLETED
        last_seen(0.99)
        await started()
        assert jobs.fetch(connection.view, later).phase is Phase.COMPLETED
        last_seen(0.02)
        await started()
        assert jobs.fetch(connection.view, later).phase is Phase.ARCHIVED


async def test_what_goes_soon_is_told_though_the_clock_is_in_doubt(
    folder: Folder, tmp_path: Path
) -> None:
    with direct(folder, SITE) as connection:
        soon, passed = a_result(connection), a_result(connection)
        goes_in(connection, soon, 1)
        goes_in(connection, passed, -1)
        with connection.transaction() as tx:
            for table, name in (("event", "at"), ("message", "taken")):
                tx.execute(f"UPDATE {table} SET {name} = {name} - 2 * 86400")
        janitor, spool = Janitor(config_of(tmp_path, "spool/jobs"), folder), Spool(folder, SITE)
        spool.open()
        janitor.doubt(spool.view)
        await janitor._round(spool, calm=True)
        spool.close()
        told = connection.view.all("SELECT job FROM letter WHERE kind = 'notice'")
        assert [row["job"] for row in told] == [soon]
        # By the clock as it was before it is still to be told.
        assert not connection.view.all("SELECT 1 FROM job WHERE id = ? AND noticed", passed)


async def test_what_is_destroyed_goes_at_once_however_the_clock_was_set(
    folder: Folder, tmp_path: Path
) -> None:
    config = config_of(tmp_path, "spool/jobs")
    with direct(folder, SITE) as connection:
        expired, destroyed = a_job(connection), a_job(connection)
        for job in (expired, destroyed):
            ended(connection, job)
            made(JobFolder(config.run.folder, job).root)
        with connection.transaction() as tx:
            wishes.destroy(tx, jobs.fetch(tx, destroyed), by="ada@example.org")
            # By now it is an hour before that.
            tx.execute("UPDATE job SET destruction = destruction + 3600 WHERE wish = 'destroy'")
            tx.execute("UPDATE job SET destruction = 1 WHERE wish IS NULL")
            tx.execute("DELETE FROM letter")
    spool = Spool(folder, SITE)
    spool.open()
    wall = Wall()
    clock = Clock(wall)
    wall.set_by = -3600.0
    sweeping = asyncio.create_task(Janitor(config, folder).run(spool, clock))
    try:
        async with asyncio.timeout(60):
            while jobs.fetch(spool.view, destroyed).phase is not Phase.ARCHIVED:
                await asyncio.sleep(0.01)
        assert not JobFolder(config.run.folder, destroyed).root.exists()
        assert jobs.fetch(spool.view, expired).phase is Phase.COMPLETED
        assert jobs.fetch(spool.view, destroyed).wish is None
        async with asyncio.timeout(60):
            while keep.raw_mail(spool.view, now=0.0):
                await asyncio.sleep(0.01)
        gone = spool.view.all(
            "SELECT job.id FROM message JOIN job ON message = message.id WHERE gone"
        )
        assert [row["id"] for row in gone] == [destroyed]
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        spool.close()


def test_room_is_set_aside_only_where_there_is_more_than_enough(folder: Folder) -> None:
    folder.make()
    reserve.keep(folder, beyond=1 << 62)
    assert not folder.reserve.exists()
    reserve.keep(folder, beyond=0)
    assert folder.reserve.stat().st_size == reserve.SIZE
    # It is spent on a full disk alone.
    with pytest.raises(Transient, match="locked"):
        reserve.spending(folder, locked)
    assert folder.reserve.exists()


def test_room_that_cannot_be_set_aside_stops_no_sweep(folder: Folder) -> None:
    # As on a full quota, which `free` does not see.
    folder.make()
    folder.reserve.symlink_to("missing/file")
    reserve.keep(folder, beyond=0)
    assert not folder.reserve.exists()


def locked() -> int:
    message = "the database is locked"
    raise Transient(message)
