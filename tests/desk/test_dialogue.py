"""Any mail of commands is answered, each of its lines with words, on a real spool."""

import io
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailgate.commands import registry
from mailgate.commands.call import Origin
from mailgate.config import load
from mailgate.desk import Desk, grammar
from mailgate.desk.dialogue import Dialogue, Thread, find, least_how
from mailgate.model import Answer, How, Plan
from mailgate.parse.commands import read_commands
from mailgate.parse.message import read_message
from mailgate.reply.templates import Templates
from mailgate.reply.told import say_of
from mailgate.services import load_all
from mailgate.spool.codec import untagged
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, direct
from tests.daemon import TRUE
from tests.desk.made import CONFIG
from tests.spool.made import ADA, a_job, ended

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
