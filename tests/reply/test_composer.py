"""The loop that composes, on spools that are not as usual."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from mailgate.config import examine
from mailgate.model import LetterKind, Request
from mailgate.reply.compose import Writer
from mailgate.reply.composer import Composer
from mailgate.spool import letters
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.made import a_job, ended

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
[deliver.maildir]
path = "outgoing"
"""


def made(file: Path, spool: Spool) -> Composer:
    return Composer(
        examine(file).config,
        {},
        spool,
        Writer(None),
        opened=lambda *_: pytest.fail("the job has no outputs"),
        recollect=lambda *_: pytest.fail("nothing has changed"),
        printed=lambda *_: pytest.fail("nothing runs"),
    )


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
        composer = made(file, spool)
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


async def test_a_dry_run_that_an_earlier_version_answered_is_still_told(tmp_path: Path) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(CONFIG)
    folder, site = Folder(tmp_path / "spool"), Site("jobs", "gate.example.org")
    request = Request(service="align", parameters={}, inputs=())
    with direct(folder, site) as connection, connection.transaction() as tx:
        dry = {"request": request, "argv": ("align", "in/a.fa")}
        facts = {"answers": [{"kind": LetterKind.DRY_RUN, "facts": dry}]}
        letters.answer(tx, message=1, recipient="a@b.c", kind=LetterKind.DRY_RUN, facts=facts)
    with closing(Spool(folder, site)) as spool:
        spool.open()
        running = asyncio.create_task(made(file, spool).run())
        body = "SELECT bytes FROM letter_body"
        async with asyncio.timeout(30):
            while (row := spool.view.one(body)) is None:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert b"align in/a.fa" in row["bytes"]
