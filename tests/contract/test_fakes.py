"""The fake schedulers' own contract: what the tests of the gateway rely on when they use one.

They are fakes. That a real scheduler behaves so, its documentation says, and nothing here proves.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.model import NativeId, Reason, Token
from mailgate.run.scheduler import (
    Ask,
    Command,
    Given,
    Said,
    Scheduler,
    Seen,
    State,
    UnreadableError,
    Verdict,
)
from tests.contract.adapters import made
from tests.daemon import eventually
from tests.fakes.cluster import COMMANDS, Cluster, fake

TOKEN = Token("mabcdefgh2345")
OTHER = Token("mzzzzzzzz7777")


class Site:
    """An adapter and the fake that it talks to."""

    def __init__(self, engine: str, cluster: Cluster, folder: Path) -> None:
        self.adapter: Scheduler = made(engine)
        self.cluster = cluster
        self.folder = folder / "a folder's"
        self.folder.mkdir()
        self.submits, self.polls = COMMANDS[engine][:2]

    def run(self, command: Command, *, within: float = 20) -> Said:
        path = f"{self.cluster.bin}:/usr/bin:/bin"
        done = subprocess.run(
            command.argv,
            input=command.stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
            timeout=within,
            check=False,
        )
        return Said(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def ask(self, script: str = "echo ran >>ran", token: Token = TOKEN, **more: object) -> Ask:
        path = self.folder / f"script {token}"
        # A scheduler may start it anywhere.
        path.write_text(f"cd {shlex.quote(str(self.folder))}\n{script}\n")
        return Ask(
            token=token,
            script=str(path),
            folder=str(self.folder),
            messages=str(self.folder / "messages"),
            **more,  # type: ignore[arg-type]
        )

    def submit(self, *words: object, **more: object) -> Given:
        ask = self.ask(*words, **more)  # type: ignore[arg-type]
        said = self.run(self.adapter.submit(ask))
        assert said.status == 0, said
        return Given(token=ask.token, native=self.adapter.parse_submit(said.stdout))

    def poll(self) -> dict[Token, Seen]:
        said = self.run(self.adapter.poll())
        assert said.status == 0, said
        return {seen.token: seen for seen in self.adapter.parse_poll(said.stdout)}

    def why(self, job: Given) -> Seen | None:
        command = self.adapter.why(job)
        assert command is not None
        return self.adapter.parse_why(self.run(command), job)

    def end(self, job: Given) -> Seen:
        """Wait until the scheduler says that it has ended, in the poll or when asked."""

        def over() -> Seen | None:
            seen = self.poll().get(job.token) or self.why(job)
            return seen if seen and seen.state is State.ENDED else None

        return eventually(over)  # type: ignore[return-value]

    def number(self, job: Given) -> str:
        return job.native.partition(".")[0]


@pytest.fixture(params=sorted(COMMANDS))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with fake(request.param, tmp_path / "cluster") as cluster:
        yield Site(request.param, cluster, tmp_path)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Site]:
    """For what all fakes have in common, which is one program."""
    with fake("pbs", tmp_path / "cluster") as cluster:
        yield Site("pbs", cluster, tmp_path)


def test_a_job_runs_in_its_folder_and_is_known_by_its_token(site: Site) -> None:
    job = site.submit("echo ran >>ran; echo out; echo err >&2")
    seen = site.end(job)
    assert (seen.token, seen.native, seen.end) == (TOKEN, job.native, None)
    assert (site.folder / "ran").read_text() == "ran\n"
    assert (site.folder / "messages").read_text() == "out\nerr\n"


def test_a_job_waits_while_nothing_is_started_and_says_why(site: Site) -> None:
    site.cluster.set(started=False, why="Not enough | of; \"it\", 'yet'")
    site.submit()
    seen = site.poll()[TOKEN]
    assert seen.state is State.WAITING
    assert seen.why == "Not enough | of; \"it\", 'yet'"
    site.cluster.set(started=True)
    site.poll()
    eventually((site.folder / "ran").exists)


def test_no_more_run_at_once_than_there_are_slots(one: Site) -> None:
    one.cluster.set(slots=1)
    first = one.submit("while [ ! -e go ]; do sleep 0.02; done")
    one.submit(token=OTHER)
    seen = one.poll()
    assert (seen[TOKEN].state, seen[OTHER].state) == (State.RUNNING, State.WAITING)
    (one.folder / "go").touch()
    one.end(first)
    eventually((one.folder / "ran").exists)


def test_a_job_that_waits_is_cancelled_and_never_runs(site: Site) -> None:
    site.cluster.set(started=False)
    job = site.submit()
    assert site.run(site.adapter.cancel(job)).status == 0
    site.cluster.set(started=True)
    seen = site.end(job)
    assert seen.end is not None
    assert seen.end.reason is Reason.CANCELLED
    assert not (site.folder / "ran").exists()


def test_a_job_that_runs_is_told_to_end(site: Site) -> None:
    job = site.submit("trap 'echo told >>ran; exit 3' TERM; : >>here; while :; do sleep 0.02; done")
    eventually((site.folder / "here").exists)
    assert site.run(site.adapter.cancel(job)).status == 0
    seen = site.end(job)
    assert seen.end is not None
    assert seen.end.reason is Reason.CANCELLED
    assert (site.folder / "ran").read_text() == "told\n"


def test_a_job_that_hears_no_signal_is_killed(one: Site) -> None:
    one.cluster.set(patience=0.1)
    job = one.submit("trap '' TERM; : >>here; while :; do sleep 0.02; done")
    eventually((one.folder / "here").exists)
    one.run(one.adapter.cancel(job))
    assert one.end(job).state is State.ENDED


def test_a_job_that_is_over_its_limit_is_ended_for_that(site: Site) -> None:
    job = site.submit("exec sleep 60", limit=timedelta(seconds=30))
    eventually(lambda: site.cluster.jobs()[0].get("pid"))
    with_limit = site.cluster.jobs()[0]["limit"]
    assert 30 <= with_limit <= 60
    command = site.adapter.limit(job, timedelta(hours=2))
    assert command is not None
    assert site.run(command).status == 0
    assert site.cluster.jobs()[0]["limit"] == 7200
    site.cluster.overrun(site.number(job))
    seen = site.end(job)
    assert seen.end is not None
    assert seen.end.reason is Reason.WORK_LIMIT


def test_a_signal_is_told_by_the_poll_and_by_the_history(site: Site) -> None:
    job = site.submit("kill -9 $$")
    for seen in (site.end(job), site.why(job)):
        assert seen is not None
        assert (seen.state, seen.token) == (State.ENDED, TOKEN)
        assert seen.end is not None
        assert (seen.end.reason, seen.end.signal) == (Reason.SIGNAL, 9)


def test_a_held_job_waits_until_it_is_released(site: Site) -> None:
    site.cluster.set(started=False)
    job = site.submit()
    site.cluster.put(site.number(job), state="held")
    site.cluster.set(started=True)
    assert site.poll()[TOKEN].state is State.HELD
    command = site.adapter.release(job)
    assert command is not None
    assert site.run(command).status == 0
    eventually((site.folder / "ran").exists)


def test_a_job_that_is_requeued_starts_again_under_its_number(one: Site) -> None:
    job = one.submit("echo ran >>ran; while [ ! -e go ]; do sleep 0.02; done")
    eventually((one.folder / "ran").exists)
    one.cluster.requeue(one.number(job))
    eventually(lambda: (one.folder / "ran").read_text() == "ran\nran\n")
    (one.folder / "go").touch()
    assert one.end(job).native == job.native


def test_a_scheduler_that_is_set_back_forgets_the_newest_and_gives_their_numbers_again(
    site: Site,
) -> None:
    site.cluster.set(started=False)
    site.submit()
    lost = site.submit(token=OTHER)
    site.cluster.lose_newest(1)
    assert list(site.poll()) == [TOKEN]
    again = site.submit(token=Token("mqqqqqqqq2222"))
    assert again.native == lost.native
    # Its number is another's now: of the lost one that says nothing.
    assert site.why(lost) is None


def test_a_job_that_nobody_knows_is_told_as_unknown(site: Site) -> None:
    assert site.poll() == {}
    assert site.why(Given(token=TOKEN, native=NativeId("7"))) is None


# --- lies -------------------------------------------------------------------------------------------


def test_a_poll_that_is_cut_off_or_fails_is_no_answer(site: Site) -> None:
    site.cluster.set(started=False)
    site.submit()
    for how in ("empty", "truncate", "garbage"):
        site.cluster.lie(site.polls, how)
        said = site.run(site.adapter.poll())
        with pytest.raises(UnreadableError):
            site.adapter.parse_poll(said.stdout)
    site.cluster.lie(site.polls, "fail")
    assert site.run(site.adapter.poll()).status != 0
    assert TOKEN in site.poll()


def test_a_word_that_nobody_knows_has_no_state(site: Site) -> None:
    site.cluster.set(started=False)
    site.submit()
    site.cluster.lie(site.polls, "unknown")
    seen = site.poll()[TOKEN]
    assert seen.state is None
    assert seen.word not in site.adapter.STATES
    assert site.poll()[TOKEN].state is State.WAITING


def test_a_command_hangs_for_as_long_as_it_was_told(one: Site) -> None:
    one.cluster.lie(one.polls, "hang", seconds=60)
    with pytest.raises(subprocess.TimeoutExpired):
        one.run(one.adapter.poll(), within=0.5)


def test_a_submission_is_refused_in_the_schedulers_words(site: Site) -> None:
    verdicts = {"later": Verdict.LATER, "never": Verdict.NEVER, "fail": Verdict.LATER}
    for how, verdict in verdicts.items():
        site.cluster.lie(site.submits, how)
        said = site.run(site.adapter.submit(site.ask()))
        assert said.status != 0
        assert site.adapter.verdict(said) is verdict
    assert site.cluster.jobs() == []


def test_a_submission_may_be_taken_without_a_word(site: Site) -> None:
    site.cluster.lie(site.submits, "empty")
    said = site.run(site.adapter.submit(site.ask()))
    with pytest.raises(UnreadableError):
        site.adapter.parse_submit(said.stdout)
    assert [job["name"] for job in site.cluster.jobs()] == [TOKEN]


def test_every_call_is_noted_with_its_locale(one: Site) -> None:
    one.poll()
    (call,) = one.cluster.calls(one.polls)
    assert call["locale"] == "C"
    assert json.loads(json.dumps(call["argv"])) == call["argv"]
