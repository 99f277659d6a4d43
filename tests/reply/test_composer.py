"""The loop that composes, on a spool that cannot be written."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from mailgate.config import examine
from mailgate.reply.compose import Writer
from mailgate.reply.composer import Composer
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.made import a_job, ended

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
[deliver.maildir]
path = "outgoing"
"""


async def test_a_spool_that_cannot_be_written_is_told_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(CONFIG)
    folder, site = Folder(tmp_path / "spool"), Site("jobs", "gate.example.org")
    with direct(folder, site) as connection:
        ended(connection, a_job(connection))
    told = ""
    with closing(Spool(folder, site)) as spool:
        spool.open()
        await spool.write(lambda tx: tx.execute("PRAGMA query_only = 1"))
        composer = Composer(
            examine(file).config,
            {},
            spool,
            Writer(None),
            opened=lambda *_: pytest.fail("the job has no outputs"),
            recollect=lambda *_: pytest.fail("nothing has changed"),
        )
        running = asyncio.create_task(composer.run())
        async with asyncio.timeout(30):
            # Once for the letter, and once for its rest.
            while told.count("what=reply") < 2:
                await asyncio.sleep(0.01)
                told += capsys.readouterr().err
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert 'reason="the spool cannot be used now; try again later"' in told
    assert "Transient(" not in told
