"""What the room takes up of attempts when it begins."""

import asyncio
from pathlib import Path
from signal import Signals

import pytest

from mailgate.config import load
from mailgate.errors import Transient
from mailgate.model import Attempt, Wish
from mailgate.phases import Phase
from mailgate.run.engine import Engines
from mailgate.run.place import Place
from mailgate.run.underway import UnderWay
from mailgate.spool import attempts, jobs, wishes
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.conftest import SITE
from tests.spool.made import a_job, begun_attempt


def opened(folder: Path, engines: Engines) -> tuple[Spool, UnderWay, Place]:
    config = folder / "mailgate.toml"
    config.write_text(
        '[gateway]\naddress = "jobs@gate.example.org"\n[deliver.maildir]\npath = "out"'
    )
    spool = Spool(Folder(folder / "spool"), SITE)
    spool.open()
    site = load(config)
    place = Place(site.run.folder, spool, min_free=0)
    return spool, UnderWay(site, spool, engines, place), place


async def test_what_was_just_being_written_when_the_room_fell_over_is_taken_up(
    tmp_path: Path,
) -> None:
    with direct(Folder(tmp_path / "spool"), SITE) as connection:
        job = a_job(connection)
    spool, under_way, _ = opened(tmp_path, Engines({}, default="local", named={}))
    given = asyncio.create_task(spool.write(lambda tx: attempts.intend(tx, job, engine="local")))
    await asyncio.sleep(0)
    # Who asked for it is gone; it is done all the same.
    given.cancel()
    await under_way.load()
    assert [attempt.job for attempt in under_way.open.values()] == [job]
    spool.close()


class Forgetful:
    """An engine that ends nothing: it was set back to a state before it was told."""

    def __init__(self) -> None:
        self.told = 0

    def dropped(self, attempt: Attempt) -> None:
        """Forget that, too."""

    async def cancel(self, *_: object) -> None:
        self.told += 1
        if self.told > 1:
            raise Transient("It is being ended.")


async def test_what_does_not_end_is_told_again_and_may_say_that_it_is_ending(
    tmp_path: Path,
) -> None:
    with direct(Folder(tmp_path / "spool"), SITE) as connection:
        begun_attempt(connection)
    engine = Forgetful()
    engines = Engines({"local": engine}, default="local", named={})  # type: ignore[dict-item]
    spool, under_way, _ = opened(tmp_path, engines)
    await under_way.load()
    (attempt,) = under_way.open.values()
    now = asyncio.get_running_loop().time()
    assert not under_way.is_told(attempt.job, now=1.0), "on a machine that has just been started"
    await under_way.tell(attempt, Signals.SIGTERM)
    assert under_way.is_told(attempt.job, now=now + 60)
    assert not under_way.is_told(attempt.job, now=now + 700)
    await under_way.tell(attempt, Signals.SIGTERM)
    assert engine.told == 2
    spool.close()


async def test_nothing_is_claimed_where_the_folder_of_jobs_is_mounted_else(tmp_path: Path) -> None:
    """A claim there would be none, and what has begun would be held, and begin once more."""
    with direct(Folder(tmp_path / "spool"), SITE) as connection:
        job = a_job(connection)
        with connection.transaction() as tx:
            attempts.intend(tx, job, engine="local")
            wishes.hold(tx, jobs.fetch(tx, job), by="ada@example.org")
    engines = Engines({"local": Forgetful()}, default="local", named={})  # type: ignore[dict-item]
    spool, under_way, place = opened(tmp_path, engines)
    await under_way.load()
    await place.take()
    folder = under_way.folder(job).jobs
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    with pytest.raises(Transient, match="not there"):
        await under_way.grant(job, Wish.HOLD)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.with_name("away").rename(folder)
    await under_way.grant(job, Wish.HOLD)
    assert jobs.phase_of(spool.view, job) is Phase.HELD
    spool.close()
