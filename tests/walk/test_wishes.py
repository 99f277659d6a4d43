"""What is asked of jobs by mail and by the operator: held, kept, limited, run once more, destroyed."""

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import (
    ADA,
    TRUE,
    Gateway,
    attached,
    eventually,
    request,
    running,
    shell,
    text_of,
)
from tests.walk.test_commands import answer, write

BOB = "bob@example.org"
BIG = 200_000
WAIT = shell("until [ -e stop ]; do sleep 0.05; done", '[limits]\nwork = "1h"\nkeep_max = "60d"')
TWICE = """
summary = "Repeat what was sent"
command = ["sh", "-c", "cat; echo \\"$1\\"", "sh", "{word}"]
stdin = "data"
[input.data]
from = "attachment"
[parameter.word]
type = "choice"
choices = ["one", "two"]
default = "one"
[access]
allow = ["*@example.org"]
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, slots=1) as made:
        made.service("wait", WAIT)
        made.service("twice", TWICE)
        made.service("true", TRUE)
        made.start()
        yield made
        for work in made.spool.glob("jobs/*/*/work"):
            (work / "stop").touch()


def told(gateway: Gateway, body: str, address: str = ADA) -> str:
    """What the gateway says to commands."""
    return " ".join(text_of(answer(gateway, write(body, sender=address), address)).split())


def operator(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[bytes]:
    return gateway.run(*words)


def rows(gateway: Gateway) -> dict[str, dict[str, object]]:
    """Every job by its id, oldest first: asked often, so no process for it."""
    with closing(sqlite3.connect(f"file:{gateway.spool / 'spool.db'}?mode=ro", uri=True)) as spool:
        spool.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in spool.execute("SELECT * FROM job ORDER BY created")}


def taken(gateway: Gateway, mail: EmailMessage) -> str:
    """Send a request; the job that it becomes."""
    known = rows(gateway).keys()
    gateway.send(mail)
    (job,) = eventually(lambda: rows(gateway).keys() - known, 20, gateway.logged)
    return job


def phase(gateway: Gateway, job: str) -> object:
    return rows(gateway)[job]["phase"]


def reaches(gateway: Gateway, job: str, wanted: str, within: float = 30) -> None:
    eventually(lambda: phase(gateway, job) == wanted, within, gateway.logged)


def stop(gateway: Gateway, job: str) -> None:
    """Let a job that waits for it end."""
    (gateway.spool / "jobs" / job[:2] / job / "work" / "stop").touch()


def test_a_job_is_held_and_released_by_mail_and_the_operators_hold_stays(gateway: Gateway) -> None:
    first, job = taken(gateway, request("wait")), taken(gateway, request("true"))
    reaches(gateway, first, "EXECUTING")
    assert "not done: the job runs already" in told(gateway, f"hold {first}\n")
    said = told(gateway, f"hold {job}\nhold {job}\n")
    assert "The job is held: it does not start" in said
    assert f"It is held already, by {ADA}." in said
    assert phase(gateway, job) == "HELD"
    assert f"there is no job {job} of yours" in told(gateway, f"release {job}\n", BOB)
    assert "The job is released" in told(gateway, f"release {job}\n")
    held = operator(gateway, "hold", job)
    assert (held.returncode, held.stdout) == (
        0,
        b'The job is held: it does not start before you write "release".\n',
    )
    assert "operator holds the job, and alone releases it" in told(gateway, f"release {job}\n")
    assert phase(gateway, job) == "HELD"
    assert "held_by       operator" in operator(gateway, "job", job).stdout.decode()
    assert operator(gateway, "release", job).returncode == 0
    stop(gateway, first)
    reaches(gateway, job, "COMPLETED")


def test_a_job_is_kept_as_long_as_is_asked_and_allowed(gateway: Gateway) -> None:
    job = taken(gateway, request("wait"))
    reaches(gateway, job, "EXECUTING")
    said = told(gateway, f"keep 30d {job}\nextend 7d {job}\nextend 24d {job}\nkeep 61d {job}\n")
    assert "Kept 30 days from the job's end." in said
    assert "Kept 37 days from the job's end." in said
    assert said.count("not done: jobs of this service are kept at most 60 days") == 2
    lines = ("keep until 9999-12-31", "keep until 2001-01-31", "extend 99999999d")
    said = told(gateway, "".join(f"{line} {job}\n" for line in lines))
    assert said.count("not done: jobs of this service are kept at most 60 days") == 2
    assert said.count("not done: that date is over") == 1
    nonsense = [
        "extend -7d", "keep until", "keep until tomorrow", "keep until 20270131", "keep 0s",
        "extend 999999999999d", "extend 7", "limit 0", "limit -2h", "limit 1e9h",
    ]  # fmt: skip
    said = told(gateway, "".join(f"{line} {job}\n" for line in nonsense))
    for line in nonsense:
        assert f'> {line} {job} not done: "{line.split()[0]}" does not take' in said, line
    stop(gateway, job)
    reaches(gateway, job, "COMPLETED")
    assert _days(rows(gateway)[job]) == pytest.approx(37)
    said = told(gateway, f"extend 3d {job}\nextend 24d {job}\nkeep until 2001-01-31 {job}\n")
    assert "Kept until " in said
    assert said.count("not done: it would have to be after now, and at the latest ") == 2
    assert _days(rows(gateway)[job]) == pytest.approx(40)
    assert operator(gateway, "keep", job, "400d").returncode == 0
    assert _days(rows(gateway)[job]) == pytest.approx(400)


def _days(job: dict[str, object]) -> float:
    return (float(str(job["destruction"])) - float(str(job["ended"]))) / 86400


def test_a_limit_is_changed_before_the_start_and_while_the_job_runs(gateway: Gateway) -> None:
    job = taken(gateway, request("wait"))
    reaches(gateway, job, "EXECUTING")
    waits = taken(gateway, request("wait"))
    assert "not done: jobs of this service may run 1 hour at most" in told(
        gateway, f"limit 2h {job}\n"
    )
    assert "It may run 30 minutes, until " in told(gateway, f"limit 30m {job}\n")
    assert "It may run 1 second, once it has begun." in told(gateway, f"limit 1s {waits}\n")
    gateway.kill()
    eventually(lambda: time.time() - float(str(rows(gateway)[job]["started"])) > 1, 10)
    assert b"it is being ended" in operator(gateway, "limit", job, "1s").stdout
    gateway.start()
    results = gateway.await_results(2)
    assert [r["Mailgate-Exit"] for r in results] == ["work-limit", "work-limit"]
    assert "not done: the job has ended already" in told(gateway, f"limit 1h {job}\n")


def test_a_job_runs_once_more_with_changes_and_with_its_inputs(gateway: Gateway) -> None:
    content = b"x" * BIG
    job = taken(gateway, request("twice", "label: globins\n", attachments={"a.txt": content}))
    reaches(gateway, job, "COMPLETED")
    said = told(gateway, f"rerun {job}\nword: three\nwort: two\n")
    assert "not done: this is not clear." in said
    assert "> word: three" in said
    assert 'did you mean "word"?' in said
    said = told(gateway, f"rerun {job}\nword: two\nlabel: more\n")
    new = said.split("as the job ")[1].split(".")[0]
    reaches(gateway, new, "COMPLETED")
    # A folder of its own: the old one may go.
    again = told(gateway, f"rerun {new}\n").split("as the job ")[1].split(".")[0]
    reaches(gateway, again, "COMPLETED")
    results = {str(r["Mailgate-Job"]): r for r in gateway.await_results(3)}
    assert attached(results[job])["stdout.txt"] == content + b"one\n"
    for name in (new, again):
        assert attached(results[name])["stdout.txt"] == content + b"two\n"
        assert "more" in str(results[name]["Subject"])
    assert f"there is no job {job} of yours" in told(gateway, f"rerun {job}\n", BOB)


def test_a_word_below_rerun_reaches_nothing_but_the_parameter_it_is_for(gateway: Gateway) -> None:
    job = taken(gateway, request("twice", attachments={"a.txt": b"x\n"}))
    reaches(gateway, job, "COMPLETED")
    for line in ("word: one; touch pwned", "word: -rf", "data: /etc/passwd", "owner: bob@example.org",
                 "service: true", "keep: 400d", "work-limit: 0"):  # fmt: skip
        assert "not done" in told(gateway, f"rerun {job}\n{line}\n"), line
    assert len(rows(gateway)) == 1


def test_a_destroyed_job_goes_with_all_that_is_left_of_it(gateway: Gateway) -> None:
    job = taken(gateway, request("twice", attachments={"a.txt": b"x" * BIG}))
    gateway.await_results(1)
    folder = gateway.spool / "jobs" / job[:2] / job
    assert folder.exists()
    runs = taken(gateway, request("wait"))
    reaches(gateway, runs, "EXECUTING")
    assert "its inputs and outputs go within a minute" in told(gateway, f"destroy {job}\n")
    reaches(gateway, job, "ARCHIVED")
    assert not folder.exists()
    assert "not done: the job is not kept any more" in told(gateway, f"extend 7d {job}\n")
    assert "its inputs are gone. To run it again" in told(gateway, f"rerun {job}\n")
    said = operator(gateway, "destroy", runs)
    assert b"The job is being ended." in said.stdout
    eventually(lambda: phase(gateway, runs) in {"ABORTED", "ARCHIVED"}, 30, gateway.logged)
    eventually(lambda: phase(gateway, runs) == "ARCHIVED", 30, gateway.logged)
    # No letter of it is left behind.
    eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    letters = [x for x in gateway.letters() if x["Mailgate-Job"] == runs]
    assert [str(x["Subject"]) for x in letters] == [f"[job {runs}] wait: destroyed"]
    assert [str(x["Mailgate-Job"]) for x in gateway.results()] == [job]


def test_what_the_operator_has_destroyed_is_gone_at_once(gateway: Gateway) -> None:
    job = taken(gateway, request("true"))
    gateway.await_results(1)
    eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    assert operator(gateway, "destroy", job).returncode == 0
    # The next sweep of its own is a minute away.
    eventually(lambda: phase(gateway, job) == "ARCHIVED", 20, gateway.logged)


def test_what_is_asked_and_not_done_yet_is_seen(gateway: Gateway) -> None:
    job = taken(gateway, request("wait"))
    reaches(gateway, job, "EXECUTING")
    gateway.kill()
    assert operator(gateway, "cancel", job).returncode == 0
    shown = operator(gateway, "job", job).stdout.decode()
    assert "\nwish          cancel, asked " in shown
    assert json.loads(operator(gateway, "job", "--json", job).stdout)["wish"] == "cancel"
    assert "and is not yet done." in " ".join(
        operator(gateway, "status", job).stdout.decode().split()
    )
