"""What the room takes up of attempts when it begins."""

import asyncio
from pathlib import Path

from mailgate.config import load
from mailgate.run.engine import Engines
from mailgate.run.underway import UnderWay
from mailgate.spool import attempts
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.conftest import SITE
from tests.spool.made import a_job


async def test_what_was_just_being_written_when_the_room_fell_over_is_taken_up(
    tmp_path: Path,
) -> None:
    with direct(Folder(tmp_path / "spool"), SITE) as connection:
        job = a_job(connection)
    config = tmp_path / "mailgate.toml"
    config.write_text(
        '[gateway]\naddress = "jobs@gate.example.org"\n[deliver.maildir]\npath = "out"'
    )
    spool = Spool(Folder(tmp_path / "spool"), SITE)
    spool.open()
    given = asyncio.create_task(spool.write(lambda tx: attempts.intend(tx, job, engine="local")))
    await asyncio.sleep(0)
    # Who asked for it is gone; it is done all the same.
    given.cancel()
    under_way = UnderWay(load(config), spool, Engines({}, default="local", named={}))
    await under_way.load()
    assert [attempt.job for attempt in under_way.open.values()] == [job]
    spool.close()
