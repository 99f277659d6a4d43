"""What is found out in other rooms is said in the gateway's own language, by the letter's time."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from mailgate.commands import registry
from mailgate.config import examine
from mailgate.model import Answer, Exit, LetterKind, Plan, Reason
from mailgate.reply.compose import Writer
from mailgate.reply.composer import Composer
from mailgate.reply.templates import Templates
from mailgate.reply.told import say_of
from mailgate.saying import Saying
from mailgate.settings.quotas import Quota
from mailgate.spool import attempts, letters, notices
from mailgate.spool.database import Connection, Site
from mailgate.spool.store import Folder, Spool, direct
from mailgate.spool.turns import Turns
from mailgate.wording import speaking
from tests.spool.made import WEEK, a_job, begun_attempt

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
COMMANDS = '{% macro time(line) %}eine Dauer wie in "{{ line }}"{% endmacro %}'
HELP = """
{% set summaries = {"hold": "Hält die Arbeit an"} %}
{% set texts = {"hold": ["Hält die Arbeit an.", "Was schon läuft, läuft weiter."]} %}
"""
ENDS = (
    "{% macro signal(number, words) %}Signal {{ number }}{% endmacro %}"
    "{% macro not_found(program) %}{{ program }} fehlt{% endmacro %}"
)
OUTPUTS = (
    "{% macro left_out(name, why) %}{{ why }}: {{ name }}{% endmacro %}"
    "{% macro link() %}ein Verweis{% endmacro %}"
)


@pytest.fixture
def language(tmp_path: Path) -> Path:
    words = tmp_path / "deutsch" / "words"
    words.mkdir(parents=True)
    (words / "quotas.j2").write_text(QUOTAS)
    (words / "access.j2").write_text(ACCESS)
    (words / "ends.j2").write_text(ENDS)
    (words / "outputs.j2").write_text(OUTPUTS)
    (words / "commands.j2").write_text(COMMANDS)
    (words / "help.j2").write_text(HELP)
    return tmp_path / "deutsch"


def said(language: Path | None, answer: Answer) -> str:
    """Return what an answer to a command says."""
    templates = Templates(language)
    with speaking(templates.wording):
        return templates.say(say_of(answer), 0)


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

    assert "The reason: align: das Passwort statt das Netz." in await letter(
        tmp_path, language, plan
    )
    assert str(why).startswith("a@b.c is known by the network")


def test_what_a_command_takes_is_said_in_the_letters_language(language: Path) -> None:
    facts = {"command": "extend", "words": "soon", "near": "", "usage": ["extend 7d"]}
    expected = Saying("commands/time", line="extend 7d")
    unfit = Answer(kind="unfit", facts={**facts, "expected": expected})
    assert 'It takes eine Dauer wie in "extend 7d".' in said(language, unfit)
    assert 'It takes a time as in "extend 7d".' in said(None, unfit)


def test_a_language_says_what_commands_do_and_what_it_lacks_is_said_in_english(
    language: Path,
) -> None:
    named = [
        {"name": name, "usage": [name], "summary": registry.command(name).summary}
        for name in ("hold", "wait")
    ]
    every = said(language, Answer(kind="help", facts={"commands": named}))
    assert "hold   Hält die Arbeit an" in every
    assert "wait   Mail me when the job ends" in every
    facts = {"name": "hold", "usage": ["hold"], "text": ["Hold the job."]}
    one = said(language, Answer(kind="help-command", facts=facts))
    assert "Hält die Arbeit an.\nWas schon läuft, läuft weiter.\n" in one
    assert "Hold" not in one
    assert "Hold the job." in said(None, Answer(kind="help-command", facts=facts))


@pytest.mark.parametrize("memory", [3 << 29, "1.5 GiB"])
def test_memory_of_a_dry_run_is_said_of_earlier_versions_too(memory: object) -> None:
    given = {"command": "x", "cores": 1, "memory": memory, "gpus": 0, "queue": ""}
    assert "would get 1 core and 1.5 GiB of memory." in said(
        None, Answer(kind="rerun-dry", facts=given)
    )


async def test_how_a_job_ended_is_said_in_the_letters_language(
    tmp_path: Path, language: Path
) -> None:
    link = Saying("outputs/left-out", name="tree.nwk", why=Saying("outputs/link"))
    ends = [
        Exit(reason=Reason.SIGNAL, signal=9, words=Saying("ends/exit-status", status=137)),
        Exit(reason=Reason.COULD_NOT_START, words=Saying("ends/not-found", program="clustalo")),
    ]

    def plan(spool: Connection) -> None:
        again = frozenset({Reason.SIGNAL})
        job = a_job(spool, plan=Plan(argv=("true",), retry_times=1, retry_on=again))
        with spool.transaction() as tx:
            for end in ends:
                attempt = attempts.intend(tx, job, engine="local")
                assert attempt is not None
                attempts.ended(
                    tx, attempt, end, at=tx.now, streams=(), left_out=(link,), keep_mail=WEEK
                )

    said = await letter(tmp_path, language, plan)
    assert "The system's words: clustalo fehlt" in said
    assert "ein Verweis: tree.nwk" in said
    assert "crashed: Signal 9" in said


def test_help_that_cannot_be_read_is_given_in_english(language: Path) -> None:
    (language / "words" / "help.j2").write_text("{% set summaries = {'hold' %}")
    facts = {"name": "hold", "usage": ["hold"], "text": ["Hold the job."]}
    assert "Hold the job." in said(language, Answer(kind="help-command", facts=facts))
