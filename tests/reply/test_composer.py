"""The loop that composes, on spools that are not as usual."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from mailgate.commands import registry
from mailgate.config import examine
from mailgate.hands import Hands
from mailgate.model import LetterKind, Request
from mailgate.reply.compose import Writer
from mailgate.reply.composer import Composer
from mailgate.reply.live import Printed, Read
from mailgate.spool import letters
from mailgate.spool.database import Site, Tx
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.made import a_job, ended

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
[deliver.maildir]
path = "outgoing"
"""


async def nothing_runs(*_: object) -> Printed:
    pytest.fail("nothing runs")


def made(file: Path, spool: Spool, printed: Read = nothing_runs) -> Composer:
    return Composer(
        examine(file).config,
        {},
        spool,
        Writer(None),
        opened=lambda *_: pytest.fail("the job has no outputs"),
        recollect=lambda *_: pytest.fail("nothing has changed"),
        printed=printed,
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


def answered(tx: Tx, mail: int, said: str, facts: Mapping[str, object]) -> None:
    """Plan an answer to a mail of one command."""
    entry = {"quoted": [said], "state": "done", "say": said, "facts": facts}
    told = {"job": "", "entries": [entry], "stop": "", "at": "", "unread": 0}
    told |= dict.fromkeys(("against", "attached", "help"), ())
    answers = {"answers": [{"kind": LetterKind.COMMANDS, "facts": told}]}
    letters.answer(tx, message=mail, recipient="a@b.c", kind=LetterKind.COMMANDS, facts=answers)


async def composed(spool: Spool, composer: Composer, count: int) -> list[bytes]:
    """Return the letters once there are so many."""
    running = asyncio.create_task(composer.run())
    async with asyncio.timeout(30):
        while len(rows := spool.view.all("SELECT bytes FROM letter_body")) < count:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return [row["bytes"] for row in rows]


async def test_an_answer_that_an_earlier_version_gave_is_still_told(tmp_path: Path) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(CONFIG)
    folder, site = Folder(tmp_path / "spool"), Site("jobs", "gate.example.org")
    facts = {"command": "extend", "words": "soon", "usage": ["extend 7d"], "expected": ""}
    with direct(folder, site) as connection, connection.transaction() as tx:
        answered(tx, 1, "unfit", facts)
    with closing(Spool(folder, site)) as spool:
        spool.open()
        (letter,) = await composed(spool, made(file, spool), 1)
    assert b'not done: "extend" does not take "soon".\r\n    It is written' in letter


async def test_jobs_whose_disk_hangs_keep_no_other_letter_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(CONFIG)
    folder, site = Folder(tmp_path / "spool"), Site("jobs", "gate.example.org")
    with direct(folder, site) as connection, connection.transaction() as tx:
        for mail in range(4):
            answered(tx, mail, "status", registry.command("status").samples[0].facts)
        answered(tx, 4, "quit", {})
    hands = Hands(1)
    with closing(Spool(folder, site)) as spool:
        spool.open()
        composer = made(file, spool, lambda *_: hands.do(time.sleep, 60))  # type: ignore[arg-type]
        began = time.monotonic()
        told = await composed(spool, composer, 5)
    await hands.close()
    assert time.monotonic() - began < 60
    assert sum(b"EXECUTING for" in letter for letter in told) == 4
    assert not any(b"standard output so far" in letter for letter in told)
    assert "what running jobs have printed cannot be read in time" in capsys.readouterr().err


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
        (letter,) = await composed(spool, made(file, spool), 1)
    assert b"align in/a.fa" in letter
