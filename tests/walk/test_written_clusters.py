"""Mail in, result out, through PBS, LSF and HTCondor: through their fakes, for they are not here.

What is the same for all clusters is proved with a real one (``tests/run``); here it is proved that each
adapter carries it, and that a scheduler that lies loses nothing and starts nothing twice.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mailgate import live
from mailgate.config import load
from mailgate.daemon import engine_of
from mailgate.errors import Transient
from mailgate.hands import Hands
from mailgate.model import Token
from tests.contract.adapters import made
from tests.daemon import Gateway, eventually, request, running, shell, text_of
from tests.fakes.cluster import COMMANDS, Cluster, fake
from tests.run.yard import under

_RUN = '[run]\nengine = "{engine}"\ngrace = "1s"\n'
_TABLE = """
[run.{engine}]
poll_min = "1s"
poll_max = "1s"
timeout = "2s"
kill_after = "1s"
path = "/usr/bin:/bin"
"""

# Says that it runs, waits for leave, and gives its input back.
BODY = 'echo "$MAILGATE_TOKEN" >>{log}; while [ ! -e {go} ]; do sleep 0.05; done; cat; echo done; exit 3'


class Room:
    """A gateway whose jobs go to a fake scheduler."""

    def __init__(self, gateway: Gateway, cluster: Cluster) -> None:
        self.gateway = gateway
        self.cluster = cluster
        self.go = gateway.folder / "go"
        self.log = gateway.folder / "began"
        self.adapter = made(cluster.engine)
        self.submits, self.polls = COMMANDS[cluster.engine][:2]
        gateway.environment["PATH"] = f"{cluster.bin}:/usr/bin:/bin"
        # Not English: what is asked of a scheduler is always.
        gateway.environment["LANG"] = "de_DE.UTF-8"
        body = BODY.replace("{log}", str(self.log)).replace("{go}", str(self.go))
        gateway.service("waits", shell(body))
        gateway.service("leaves", shell(f"setsid sleep 600 & {body}"))
        gateway.service("again", shell(body, '[retry]\ntimes = 1\non = ["lost", "node-failure"]'))

    def send(self, service: str = "waits") -> None:
        self.gateway.send(request(service))

    def command(self, name: str, *words: str) -> None:
        """As the operator would: ``cancel``, ``hold``, ``release``."""
        done = self.gateway.run(name, str(self.gateway.jobs()[0]["id"]), *words)
        assert done.returncode == 0, done.stderr

    @property
    def began(self) -> list[str]:
        """The tokens of the bodies that began, each as often as it did."""
        return self.log.read_text().split() if self.log.exists() else []

    def phase(self) -> str:
        """The newest job's."""
        return str(self.gateway.jobs()[0]["phase"])

    def there(self) -> dict:
        """The one job that the scheduler has."""
        (job,) = eventually(self.cluster.jobs, 20, self.gateway.logged)
        return job

    def waiting(self) -> list[dict]:
        return [job for job in self.cluster.jobs() if job["state"] == "waiting"]

    def runs(self, count: int = 1) -> dict:
        """Wait until so many bodies have begun and the gateway knows it; the newest job there."""
        eventually(lambda: len(self.began) == count, 20, self.gateway.logged)
        eventually(lambda: self.phase() == "EXECUTING", 20, self.gateway.logged)
        return self.cluster.jobs()[-1]

    def limit(self) -> int | None:
        """The newest job's, as the scheduler has it (seconds)."""
        return self.cluster.jobs()[-1]["limit"]  # type: ignore[no-any-return]

    def result(self):
        (letter,) = self.gateway.await_results(1)
        return letter

    def once(self) -> None:
        """Nothing began twice, and nobody got two results."""
        assert len(self.began) == len(set(self.began))
        assert len(self.gateway.results()) == 1


@pytest.fixture(params=sorted(COMMANDS))
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    with opened(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Room]:
    with opened("pbs", tmp_path) as found:
        yield found


def fakes_words(engine: str) -> str:
    """What a fake says where it refuses for good."""
    words = {
        "pbs": "Job violates queue and/or server resource limits",
        "lsf": "User cannot use the queue.",
        "htcondor": "User is disabled",
    }
    return words[engine]


@contextmanager
def opened(engine: str, folder: Path) -> Iterator[Room]:
    with fake(engine, folder / "cluster") as cluster, running(folder / "gate") as gateway:
        gateway.configure(more=_TABLE.format(engine=engine))
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace("[run]\n", _RUN.format(engine=engine)))
        yield Room(gateway, cluster)


def test_a_mail_becomes_a_job_there_and_its_result_comes_back(room: Room) -> None:
    room.gateway.start()
    room.send("leaves")
    job = room.runs()
    assert room.began == [job["name"]]
    room.cluster.suspend(job["id"])
    eventually(lambda: room.phase() == "SUSPENDED", 20, room.gateway.logged)
    if room.cluster.engine == "pbs":
        # It reaches what is in the script's session: the command too.
        eventually(lambda: states(job) == {"T"}, 20)
    room.cluster.suspend(job["id"], resume=True)
    eventually(lambda: room.phase() == "EXECUTING", 20, room.gateway.logged)
    room.go.touch()
    letter = room.result()
    assert under(Token(job["name"])) == []
    assert letter["Mailgate-Exit"] == "3"
    assert "done" in text_of(letter)
    room.once()
    # Another, which the scheduler ends by its own limit.
    room.go.unlink()
    room.send()
    job = room.runs(2)
    assert job["limit"] is None
    room.command("limit", "2h")
    # Two minutes and kill_after more, and whole minutes at LSF.
    eventually(lambda: room.limit() in {7321, 7380}, 20, room.gateway.logged)
    room.cluster.overrun(job["id"])
    letter = room.gateway.await_results(2)[-1]
    assert letter["Mailgate-Exit"] == "work-limit"
    assert room.adapter.title in text_of(letter)
    assert {call["locale"] for call in room.cluster.calls()} == {"C"}
    polls = [
        call["at"] for call in room.cluster.calls(room.polls) if not {"-x", "-J"} & {*call["argv"]}
    ]
    assert all(after - before > 0.5 for before, after in pairwise(polls))


def states(job: dict) -> set[str]:
    """Of a command's processes in the session of its job's script."""
    found = [stat(process) for process in under(Token(job["name"]))]
    return {state for state, session in found if session == str(job["pid"])}


def stat(process: int) -> tuple[str, str]:
    """A process's state and its session; none of one that has just ended."""
    with suppress(OSError):
        told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return told[0], told[3]
    return "", ""


def test_what_is_asked_of_a_job_is_done_there_and_what_is_lost_is_submitted_again(
    room: Room,
) -> None:
    room.cluster.set(started=False)
    room.gateway.start()
    room.send()
    first = room.there()
    room.command("hold")
    eventually(lambda: room.phase() == "HELD", 20, room.gateway.logged)
    eventually(lambda: not room.waiting(), 20, room.gateway.logged)
    room.command("release")
    (second,) = eventually(room.waiting, 20, room.gateway.logged)
    room.cluster.forget(second["id"])
    (third,) = eventually(room.waiting, 20, room.gateway.logged)
    assert len({first["name"], second["name"], third["name"]}) == 3
    # Held by somebody there.
    room.cluster.put(third["id"], state="held")
    eventually(lambda: room.phase() == "HELD", 20, room.gateway.logged)
    if room.cluster.engine == "pbs":
        # An operator's hold, which the gateway's user may not take away.
        command = room.cluster.bin / "qrls"
        able = command.read_text()
        command.write_text("#!/bin/sh\nexit 1\n")
        room.command("release")
        assert room.phase() == "QUEUED"
        eventually(lambda: room.phase() == "HELD", 20, room.gateway.logged)
        command.write_text(able)
    room.command("release")
    assert eventually(room.waiting, 20, room.gateway.logged)[0]["name"] == third["name"]
    eventually(lambda: room.phase() == "QUEUED", 20, room.gateway.logged)
    room.cluster.set(started=True)
    room.cluster.step()
    assert room.runs()["name"] == third["name"]
    room.command("cancel")
    letter = room.result()
    assert letter["Mailgate-Exit"] == "cancelled"
    eventually(lambda: room.cluster.jobs()[-1]["state"] == "ended")
    assert room.began == [third["name"]]
    room.once()


def test_a_refusal_for_good_is_told_in_the_schedulers_words(room: Room) -> None:
    room.cluster.lie(room.submits, "never")
    room.gateway.start()
    room.send()
    letter = room.result()
    assert letter["Mailgate-Exit"] == "could-not-start"
    words = " ".join(text_of(letter).split())
    assert f"{room.adapter.title} refused it:" in words
    assert all(word in words for word in fakes_words(room.cluster.engine).split())
    assert room.began == []


def test_what_stays_there_is_taken_away_once_its_end_is_noted_and_not_before(
    tmp_path: Path,
) -> None:
    # Of these three schedulers HTCondor alone keeps such a job until somebody removes it.
    with opened("htcondor", tmp_path) as room:
        room.cluster.set(started=False)
        room.gateway.start(MAILGATE_CRASH="run:collected@1")
        room.send()
        job = room.there()
        room.cluster.put(job["id"], state="held", code=6, why="Failed to execute '/bin/sh'")
        assert room.gateway.died(30) == -9
        # Had it taken that away before it noted why, it would now seem to be somebody's cancelling.
        room.gateway.start()
        assert room.result()["Mailgate-Exit"] == "could-not-start"
        eventually(lambda: room.there()["state"] == "ended", 20, room.gateway.logged)
        assert room.began == []
        # So is one that had begun.
        room.cluster.set(started=True)
        room.send()
        job = room.runs()
        room.cluster.fail_node(job["id"])
        room.cluster.put(job["id"], state="held", code=34, why="Memory usage exceeds request")
        eventually(lambda: len(room.gateway.results()) == 2, 30, room.gateway.logged)
        assert room.gateway.results()[-1]["Mailgate-Exit"] == "memory"
        eventually(lambda: room.cluster.jobs()[-1]["state"] == "ended", 20, room.gateway.logged)
        # Nobody killed the command itself: it ends by this.
        room.go.touch()


# --- one engine for all: what follows is not the adapter's ------------------------------------------


def test_a_poll_that_lies_ends_nothing(one: Room) -> None:
    one.gateway.start()
    one.send()
    one.runs()
    for how in ("empty", "truncate", "unknown", "fail"):
        # Together they take longer than the grace.
        one.cluster.lie(one.polls, how)
        eventually(lambda lie=how: lied(one) == lie, 20)
    resumed(one)
    one.cluster.lie(one.polls, "hang", seconds=3600)
    eventually(lambda: "did not end within" in one.gateway.logged("unseen"), 30, one.gateway.logged)
    assert one.phase() == "EXECUTING"
    one.go.touch()
    assert one.result()["Mailgate-Exit"] == "3"
    one.once()
    assert one.gateway.logged("unseen").count("is no state") == 1


def test_what_ends_while_the_folder_of_jobs_is_away_has_its_end_when_that_is_back(
    one: Room,
) -> None:
    one.gateway.start()
    one.send()
    one.runs()
    jobs, away = one.gateway.spool / "jobs", one.gateway.spool / "unmounted"
    jobs.rename(away)
    eventually(lambda: "folder=" in one.gateway.logged("unseen"), 20, one.gateway.logged)
    one.go.touch()
    eventually(lambda: not under(Token(one.began[0])), 20)
    # For longer than the grace.
    resumed(one)
    resumed(one)
    away.rename(jobs)
    assert one.result()["Mailgate-Exit"] == "3"
    one.once()


def lied(room: Room) -> str:
    """How the last poll lied."""
    return str(room.cluster.calls(room.polls)[-1]["lie"])


def resumed(room: Room) -> None:
    """Wait for two polls that do not lie."""
    calls = room.cluster.count(room.polls)
    eventually(lambda: room.cluster.count(room.polls) > calls + 1, 20, room.gateway.logged)


def test_what_was_lost_once_it_ran_is_lost_and_tried_again_only_where_that_is_wanted(
    one: Room,
) -> None:
    one.gateway.start()
    one.send()
    # The second start does nothing and ends well there, which is no end of the first.
    one.cluster.requeue(one.runs()["id"])
    assert one.result()["Mailgate-Exit"] == "lost"
    (job,) = one.cluster.jobs()
    assert (job["state"], job["starts"], len(one.began)) == ("ended", 2, 1)
    one.send("again")
    one.cluster.lose(one.runs(2)["id"])
    eventually(lambda: len(one.began) == 3, 30, one.gateway.logged)
    one.go.touch()
    assert one.gateway.await_results(2)[-1]["Mailgate-Exit"] == "3"
    assert len(set(one.began)) == 3
    assert len(one.gateway.results()) == 2


@pytest.mark.parametrize("how", ["empty", "hang"])
def test_a_submission_in_doubt_is_found_by_its_name_and_made_once(one: Room, how: str) -> None:
    one.go.touch()
    one.cluster.lie(one.submits, how, seconds=3600)
    one.gateway.start()
    one.send()
    assert one.result()["Mailgate-Exit"] == "3"
    one.once()
    assert len(one.cluster.jobs()) == 1


def test_a_daemon_that_is_killed_while_it_submits_submits_once(one: Room) -> None:
    one.go.touch()
    config = one.gateway.config
    config.write_text(config.read_text().replace('timeout = "2s"', 'timeout = "2m"'))
    one.cluster.lie(one.submits, "hang")
    one.gateway.start()
    one.send()
    eventually(lambda: one.cluster.count(one.submits), 20, one.gateway.logged)
    one.gateway.kill()
    one.gateway.start()
    # The scheduler has not heard of it yet.
    words = "a submission of before is still under way"
    eventually(lambda: words in one.gateway.logged("delayed"), 20, one.gateway.logged)
    assert one.cluster.jobs() == []
    one.cluster.honest()
    assert one.result()["Mailgate-Exit"] == "3"
    one.once()
    assert one.cluster.count(one.submits) == len(one.cluster.jobs()) == 1


def test_jobs_end_where_they_are_while_new_ones_go_to_another_engine(one: Room) -> None:
    one.gateway.start()
    one.send()
    one.runs()
    assert one.gateway.stop() == 0
    config = one.gateway.config
    config.write_text(config.read_text().replace('engine = "pbs"', 'engine = "local"', 1))
    one.gateway.start()
    one.go.touch()
    one.send()
    results = one.gateway.await_results(2)
    assert [letter["Mailgate-Exit"] for letter in results] == ["3", "3"]
    assert not one.gateway.logged("unseen")
    assert len(one.cluster.jobs()) == 1


def test_a_limit_that_the_scheduler_does_not_move_is_told_to_the_operator(one: Room) -> None:
    service = one.gateway.folder / "services" / "waits.toml"
    service.write_text('limits = { work = "1h" }\n' + service.read_text())
    one.gateway.start()
    one.send()
    one.runs()
    one.cluster.lie("qalter", "fail")
    one.command("limit", "2h")
    eventually(lambda: one.gateway.logged("unlimited"), 20, one.gateway.logged)
    told = one.gateway.run("job", str(one.gateway.jobs()[0]["id"])).stdout.decode()
    assert re.search(r"^history .* unlimited  work=2h$", told, re.MULTILINE)
    one.go.touch()
    assert one.result()["Mailgate-Exit"] == "3"


def test_a_live_check_leaves_nothing_where_no_gateway_has_run_yet(one: Room) -> None:
    config = one.gateway.config
    config.write_text(config.read_text().replace("[run]", '[run]\nfolder = "jobs"'))
    told = one.gateway.run("check", "--live").stdout.decode()
    assert 'job "true" by the engine pbs: ended with exit code 0' in told
    assert not one.gateway.spool.exists()
    assert not (one.gateway.folder / "jobs").exists()


async def test_a_live_check_says_why_its_job_still_waits(
    one: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", one.gateway.environment["PATH"])
    one.cluster.set(slots=0)
    hands = Hands(1)
    try:
        engine = engine_of(load(one.gateway.config), "pbs", {}, tmp_path, hands)
        with pytest.raises(Transient) as raised:
            await live._ended(engine, tmp_path, "", within=timedelta(seconds=2))
    finally:
        await hands.close()
    assert raised.value.detail == "Not yet"
    assert not one.waiting()


def test_a_command_that_is_missing_is_named_and_costs_no_job(tmp_path: Path) -> None:
    # LSF's commands alone have names that nobody else's have.
    with opened("lsf", tmp_path) as one:
        program = one.cluster.bin / "bsub"
        program.rename(program.with_suffix(".away"))
        told = one.gateway.run("check").stderr.decode()
        assert "[run.lsf]: not in your PATH: bsub; the gateway needs LSF's commands" in told
        assert "[run.local]" not in told
        one.gateway.start()
        one.send()
        eventually(lambda: one.gateway.logged("dropped"), 20, one.gateway.logged)
        assert 'reason="[run.lsf] takes no job now" detail="' in one.gateway.logged("delayed")
        program.with_suffix(".away").rename(program)
        one.go.touch()
        assert one.result()["Mailgate-Exit"] == "3"
        one.once()
        job = json.loads(one.gateway.run("job", "--json", str(one.gateway.jobs()[0]["id"])).stdout)
        (why, *_) = (event["detail"] for event in job["history"] if event["verb"] == "dropped")
        assert why.startswith("attempt=1 engine=lsf ")
        assert "bsub" in why
        (there,) = one.cluster.jobs()
        (handed,) = job["handed"]
        assert (handed["engine"], handed["native"]) == ("lsf", there["id"])
