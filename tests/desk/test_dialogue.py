"""Any mail of commands is answered, each of its lines with words, on a real spool."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailgate.commands import registry
from mailgate.commands.call import Origin
from mailgate.config import load
from mailgate.desk import Desk, grammar
from mailgate.desk.dialogue import Dialogue, Thread, find, least_how
from mailgate.model import Answer, How, JobId, Plan
from mailgate.parse.commands import read_commands
from mailgate.parse.message import read_message
from mailgate.reply.templates import Templates
from mailgate.reply.told import say_of
from mailgate.services import load_all
from mailgate.spool import mail
from mailgate.spool.codec import untagged
from mailgate.spool.database import Connection, Site
from mailgate.spool.store import Folder, direct
from tests.daemon import TRUE
from tests.desk.made import CONFIG
from tests.spool.made import ADA, a_job, accepted, ended

_WORDS = st.one_of(
    st.sampled_from(
        [
            *("7d", "1h", "9999999999d", "-1d", "0s", "until", "2027-01-31", "0001-01-01", "every"),
            *("9999-12-31T23:59:59+00:00", "none", "start", "last", "50", "after", "service"),
            *("label", "completed", "active", "part", "3", "head", "as", "attachments", "a@b.c"),
            *("JOB", "ENDED", "zzzzzzzzzzzz", "0001-01-01T00:00:00+14:00", "infd", "align"),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12),
)
_LINE = st.builds(
    lambda name, words: " ".join([name, *words]),
    st.sampled_from([*registry.names(), "memory: 1 GiB", "tree: upgma", "keep: 30d"]),
    st.lists(_WORDS, max_size=3),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_LINE, max_size=6), st.sampled_from(["JOB", "ENDED", ""]))
def test_any_commands_are_answered_in_words(tmp_path: Path, lines: list[str], about: str) -> None:
    (tmp_path / "services").mkdir(exist_ok=True)
    (tmp_path / "services" / "align.toml").write_text(TRUE)
    (tmp_path / "mailgate.toml").write_text(CONFIG)
    config = load(tmp_path / "mailgate.toml")
    folder, templates = Folder(config.gateway.spool), Templates(None)
    with direct(folder, Site.of(config.gateway.address)) as spool:
        desk = Desk(config, load_all(config.gateway.services), folder, lambda: spool.view)
        running, over = a_job(spool), a_job(spool)
        ended(spool, over)
        body = "\n".join(lines).replace("JOB", running).replace("ENDED", over)
        tag = {"JOB": f"[job {running}]", "ENDED": f"[job {over}]", "": ""}[about]
        raw = f"From: a@b.c\nSubject: {tag}\nContent-Type: text/plain; charset=utf-8\n\n{body}"
        message = read_message(io.BytesIO(raw.encode()))
        script = read_commands(message, grammar())
        with spool.transaction() as tx:
            thread = Thread(in_reply_to=None, references=None)
            dialogue = Dialogue(
                desk=desk,
                who=ADA,
                recipient="jobs",
                script=script,
                found=find(tx, ADA, "jobs", script, thread),
                origin=Origin(message=1, message_id="<1@b.c>", references=None, subject=tag),
            )
            answer = dialogue.perform(tx)
        entries = answer.facts["entries"]
        assert isinstance(entries, list)
        assert len(entries) == len(script.lines)
        for entry in entries:
            said = Answer(kind=entry["say"], facts=untagged(entry["facts"]))  # type: ignore[arg-type]
            assert templates.said(say_of(said)).strip()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Desk, Connection]]:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "align.toml").write_text(TRUE)
    (tmp_path / "mailgate.toml").write_text(CONFIG)
    config = load(tmp_path / "mailgate.toml")
    folder = Folder(config.gateway.spool)
    with direct(folder, Site.of(config.gateway.address)) as spool:
        with spool.transaction() as tx:
            mail.accept(tx, accepted())
        yield Desk(config, load_all(config.gateway.services), folder, lambda: spool.view), spool


def said(house: tuple[Desk, Connection], line: str, about: JobId | None = None) -> tuple[str, str]:
    """Mail one line to the gateway, answering nothing; what came of it, and its words."""
    desk, spool = house
    subject = f"Re: [job {about}] align" if about else "A question"
    mime = "Content-Type: text/plain; charset=utf-8"
    raw = f"From: {ADA.address}\nSubject: {subject}\n{mime}\n\n{line}\n"
    script = read_commands(read_message(io.BytesIO(raw.encode())), grammar())
    with spool.transaction() as tx:
        dialogue = Dialogue(
            desk=desk,
            who=ADA,
            recipient="jobs",
            script=script,
            found=find(tx, ADA, "jobs", script, Thread(in_reply_to=None, references=None)),
            origin=Origin(message=1, message_id="<1@b.c>", references=None, subject=subject),
        )
        answer = dialogue.perform(tx)
    entries = answer.facts["entries"]
    assert isinstance(entries, list)
    (entry,) = entries
    told = Answer(kind=entry["say"], facts=untagged(entry["facts"]))  # type: ignore[arg-type]
    words = " ".join(Templates(None).said(say_of(told)).split())
    return str(entry["say"] if entry["state"] == "done" else f"not {entry['say']}"), words


ABOUT_A_JOB = [name for name in registry.names() if registry.command(name).about_a_job]
# What takes a value says so; the others do, or say what hinders them in this job.
WANTS_A_VALUE = {"extend", "keep", "limit", "notify"}


@pytest.mark.parametrize("name", ABOUT_A_JOB)
@pytest.mark.parametrize("over", [False, True])
def test_a_command_and_an_id_are_enough_wherever_they_come_from(
    house: tuple[Desk, Connection], name: str, over: bool
) -> None:
    job, other = a_job(house[1]), a_job(house[1])
    if over:
        ended(house[1], job)
        ended(house[1], other)
    became, words = said(house, f"{name} {job}")
    assert became == said(house, name, about=other)[0]
    assert became.removeprefix("not ") not in {"which-job", "no-job", "unknown", "several"}
    assert (became == "not unfit") == (name in WANTS_A_VALUE), words
    assert said(house, f"{name} {job[:6]}")[0].removeprefix("not ") != "which-job"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("cancel this job", "cancel"),
        ("please cancel", "cancel"),
        ("cancel job", "cancel"),
        ("status of this job", "status"),
        ("hold it", "hold"),
        ("rerun it please", "rerun"),
        ("extend by 7 days", "extend 7 days"),
        ("extend for another 7 days", "extend 7 days"),
        ("extend it until 2099\u201101\u201131", "keep until 2099-01-31"),
        ("keep it for 9 days", "keep 9 days"),
        ("limit it to 2 h", "limit 2 h"),
        ("notify me every week please", "notify every week"),
        ("notify me at the end", "notify end"),
        ("watch Bob <bob@example.org>", "watch bob@example.org"),
        ("wait for it", "wait"),
        ("destroy the job.", "destroy"),
        ("list my jobs", "list"),
        ("list last 50 jobs", "list last 50"),
        ("send me the status again", "status"),
    ],
)
def test_what_is_nearly_a_command_does_nothing_and_what_it_may_mean_can_be_sent_back(
    house: tuple[Desk, Connection], line: str, meant: str
) -> None:
    job = a_job(house[1])
    before = house[1].view.all("SELECT * FROM job")
    became, words = said(house, line, about=job)
    assert became in {"not unfit", "not unknown"}
    assert f'Did you mean "{meant}"?' in words
    assert house[1].view.all("SELECT * FROM job") == before
    # What is too long is told with what is not.
    assert said(house, meant, about=job)[0] in {meant.split(maxsplit=1)[0], "keep", "not keep-over"}


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("extend 2 d", "extend ID 2 d"),
        ("keep until 2099-01-31", "keep ID until 2099-01-31"),
        ("watch bob@example.org", "watch ID bob@example.org"),
        ("results part 3", "results ID part 3"),
        ("notify every week", "notify ID every week"),
        ("limit 1h", "limit ID 1h"),
        ("cancel this job", "cancel ID"),
        ("status", "status ID"),
    ],
)
def test_who_names_no_job_is_asked_for_it_with_a_line_that_works(
    house: tuple[Desk, Connection], line: str, asked: str
) -> None:
    became, words = said(house, line)
    assert (became, words.endswith(f"write its id: {asked}")) == ("not which-job", True), words
    answered = said(house, asked.replace("ID", a_job(house[1])))[0]
    assert answered.removeprefix("not ") in {
        line.split(maxsplit=1)[0],
        "keep",
        "keep-over",
        "results-not",
    }


@pytest.mark.parametrize("line", ["{job} cancel", "please stop {job}", "abort job {job} now"])
def test_what_is_nearly_a_command_with_an_id_is_asked_about_with_that(
    house: tuple[Desk, Connection], line: str
) -> None:
    job, other = a_job(house[1]), "zzzzzzzzzzzz"
    assert f'Did you mean "cancel {job}"?' in said(house, line.format(job=job))[1]
    assert 'Did you mean "cancel"?' in said(house, line.format(job=other))[1]
    assert said(house, f"cancel {job}")[0] == "cancel"


@pytest.mark.parametrize(
    "line",
    [
        "keep until 2026\u201112\u201101",
        "keep until 2026\u201312\u201301",
        "keep until 2026\u221212\u221201",
        "extend 1\u00a0d",
        "extend\u202f1\u202fday",
    ],
)
def test_the_dashes_and_blanks_of_typography_are_read(
    house: tuple[Desk, Connection], line: str
) -> None:
    assert said(house, line, about=a_job(house[1]))[0] in {"keep", "not keep-over"}


def test_whoever_names_a_watcher_after_the_end_hears_what_comes_of_it(
    house: tuple[Desk, Connection],
) -> None:
    job = a_job(house[1])
    assert "is told of the job from now on" in said(house, f"watch bob@example.org {job}")[1]
    ended(house[1], job)
    assert (
        "the result went there, or is on its way" in said(house, f"watch bob@example.org {job}")[1]
    )
    assert "gets the result of the job now" in said(house, f"watch cy@example.org {job}")[1]
    assert "and gets the result on agreeing" in said(house, f"watch eve@elsewhere.test {job}")[1]


def test_a_date_that_is_over_is_told_as_that(house: tuple[Desk, Connection]) -> None:
    job = a_job(house[1])
    assert "that date is over" in said(house, "keep until 2020-01-31", about=job)[1]
    assert "are kept at most" in said(house, "keep until 2999-01-31", about=job)[1]
    ended(house[1], job)
    assert "it would have to be after now" in said(house, "keep until 2020-01-31", about=job)[1]


def test_who_has_no_job_is_told_so_and_who_looks_for_some_that_there_are_none_such(
    house: tuple[Desk, Connection],
) -> None:
    assert said(house, "list") == ("list", "There is no job of yours here.")
    assert said(house, "list queued") == ("list", "There is no such job of yours.")


def test_a_job_whose_service_is_gone_wants_its_people_known_as_when_it_was_made(
    tmp_path: Path,
) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "mailgate.toml").write_text(CONFIG)
    config = load(tmp_path / "mailgate.toml")
    with direct(Folder(config.gateway.spool), Site.of(config.gateway.address)) as spool:
        desk = Desk(config, {}, Folder(config.gateway.spool), lambda: spool.view)
        for plan, least in (
            (Plan(argv=("true",), require=How.REPLY), How.REPLY),
            # Made before that was written down.
            (Plan(argv=("true",)), How.SMTP_AUTH),
        ):
            assert least_how(spool.view, desk, a_job(spool, plan=plan)) is least


@pytest.mark.parametrize("name", ABOUT_A_JOB)
def test_who_is_known_too_weakly_for_a_jobs_service_asks_nothing_of_the_job(
    house: tuple[Desk, Connection], name: str
) -> None:
    job = a_job(house[1], service="gone", plan=Plan(argv=("true",), require=How.REPLY))
    before = house[1].view.all("SELECT * FROM job")
    became, words = said(house, f"{name} {job}")
    assert became == "not too-weak"
    assert 'the service "gone" wants' in words
    assert house[1].view.all("SELECT * FROM job") == before
