"""What is found out at the counter is said in the gateway's own language, by the letter's time."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from mailgate.config import examine
from mailgate.model import LetterKind
from mailgate.reply.compose import Writer
from mailgate.reply.composer import Composer
from mailgate.saying import Saying
from mailgate.settings.quotas import Quota
from mailgate.spool import letters, notices
from mailgate.spool.database import Connection, Site
from mailgate.spool.store import Folder, Spool, direct
from mailgate.spool.turns import Turns
from tests.spool.made import a_job, begun_attempt

CONFIG = """
[gateway]
address = "jobs@gate.example.org"
[deliver.maildir]
path = "outgoing"
"""
QUOTAS = (
    "{% macro running(who, service, count, most) %}{{ count }} Arbeiten von {{ who }}{% endmacro %}"
)
ACCESS = (
    "{% macro network() %}das Netz{% endmacro %}{% macro smtp_auth() %}das Passwort{% endmacro %}"
    "{% macro too_weak(who, how, required, service) %}"
    "{{ service }}: {{ required }} statt {{ how }}{% endmacro %}"
)


@pytest.fixture
def language(tmp_path: Path) -> Path:
    words = tmp_path / "deutsch" / "words"
    words.mkdir(parents=True)
    (words / "quotas.j2").write_text(QUOTAS)
    (words / "access.j2").write_text(ACCESS)
    return tmp_path / "deutsch"


async def letter(tmp_path: Path, language: Path, plan: Callable[[Connection], None]) -> str:
    """Return the text of the letter that was planned, out of the spool."""
    file = tmp_path / "mailgate.toml"
    file.write_text(CONFIG)
    folder, site = Folder(tmp_path / "spool"), Site("jobs", "gate.example.org")
    with direct(folder, site) as connection:
        plan(connection)
    with closing(Spool(folder, site)) as spool:
        spool.open()
        composer = Composer(
            examine(file).config,
            {},
            spool,
            Writer(language),
            opened=lambda *_: pytest.fail("there are no outputs"),
            recollect=lambda *_: pytest.fail("nothing has changed"),
            printed=lambda *_: pytest.fail("nothing runs"),
        )
        running = asyncio.create_task(composer.run())
        async with asyncio.timeout(30):
            while (row := spool.view.one("SELECT bytes FROM letter_body")) is None:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    body = message_from_bytes(row["bytes"], policy=default).get_body(("plain",))
    assert body is not None
    return body.get_content()


async def test_why_a_job_waits_is_said_in_the_letters_language(
    tmp_path: Path, language: Path
) -> None:
    def plan(spool: Connection) -> None:
        begun_attempt(spool)
        waiting = a_job(spool)
        with spool.transaction() as tx:
            tx.execute("UPDATE job SET receipt_due = NULL")
            tx.execute("UPDATE job SET news_due = 1, news_every = 604800 WHERE id = ?", waiting)
            notices.plan_due(tx, limit=10, turns=Turns(quota=Quota(running=1)))

    assert "waits: 1 Arbeiten von ada@example.org." in await letter(tmp_path, language, plan)


async def test_a_refusal_is_said_in_the_letters_language(tmp_path: Path, language: Path) -> None:
    how, required = Saying("access/network"), Saying("access/smtp-auth")
    why = Saying("access/too-weak", who="a@b.c", how=how, required=required, service="align")

    def plan(spool: Connection) -> None:
        answer = {"kind": LetterKind.REFUSED, "facts": {"service": "align", "sentence": why}}
        with spool.transaction() as tx:
            letters.answer(
                tx,
                message=1,
                recipient="a@b.c",
                kind=LetterKind.REFUSED,
                facts={"answers": [answer]},
            )

    said = await letter(tmp_path, language, plan)
    assert "The reason: align: das Passwort statt das Netz." in said
    assert str(why).startswith("a@b.c is known by the network")
