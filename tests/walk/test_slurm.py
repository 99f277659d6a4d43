"""Jobs by mail, through a real Slurm of one node."""

import json
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailgate.model import Token
from tests.daemon import ECHO, Gateway, attached, eventually, request, running, shell, text_of
from tests.run.yard import under
from tests.slurm import Slurm, slurm
from tests.walk import programs
from tests.walk.slurms import on

# Tells what it is told, and sleeps until then; Slurm may tell a child of it first.
WAITS = 'trap "echo told; exit 3" TERM; echo begun; while :; do sleep 100 & wait; done'


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as made:
        yield made


@pytest.fixture
def gateway(cluster: Slurm, tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        yield on(cluster, made)
    # What it has submitted is nobody's now.
    cluster.run("scancel", "--me")


def sent(gateway: Gateway, service: str, phase: str = "EXECUTING") -> str:
    """Send a request; wait until its job is that far, and return its id."""
    before = {job["id"] for job in gateway.jobs()}
    gateway.send(request(service))
    (job,) = eventually(
        lambda: [
            job["id"]
            for job in gateway.jobs()
            if job["id"] not in before and job["phase"] == phase and token(gateway, job["id"])
        ],
        30,
        gateway.logged,
    )
    return str(job)


def token(gateway: Gateway, job: object) -> str:
    """The name of a job's newest attempt at Slurm; "" while it has none."""
    found = re.findall(rf"^submitted job={job} token=(\w+)", gateway.logged(), re.MULTILINE)
    return found[-1] if found else ""


def phase(gateway: Gateway, job: str) -> str:
    return next(str(one["phase"]) for one in gateway.jobs() if one["id"] == job)


def until(gateway: Gateway, job: str, expected: str) -> None:
    eventually(lambda: phase(gateway, job) == expected, 30, gateway.logged)


def result(gateway: Gateway, job: str) -> EmailMessage:
    """The result of a job, once it has come."""
    (found,) = eventually(
        lambda: [mail for mail in gateway.results() if mail["Mailgate-Job"] == job],
        60,
        gateway.logged,
    )
    return found


def flat(letter: EmailMessage) -> str:
    """The words of a letter, whatever its lines."""
    return " ".join(text_of(letter).split())


def test_mail_becomes_a_job_at_slurm_and_its_result_a_mail(
    cluster: Slurm, gateway: Gateway
) -> None:
    gateway.service("echo", ECHO)
    gateway.service("seven", shell('echo "$SLURM_JOB_ID$SECRET"; echo oh >&2; exit 7'))
    limits = '[limits]\ncores_max = 4\nmemory_max = "1 GiB"'
    gateway.service("roomy", shell("echo $MAILGATE_CORES; exit 1", limits))
    gateway.service("slow", shell("sleep 60", '[limits]\nwork = "1s"'))
    gateway.start(SECRET="what is the gateway's own")
    gateway.send(request("echo", attachments={"data": b"hello\n"}))
    gateway.send(request("seven"))
    gateway.send(request("roomy", "cores: 3\nmemory: 96 MiB"))
    gateway.send(request("slow"))
    done, roomy, failed, slow = sorted(
        gateway.await_results(4), key=lambda mail: str(mail["Mailgate-Exit"])
    )
    assert slow["Mailgate-Exit"] == "work-limit"
    assert "longer than the 1 second it was given" in flat(slow)
    assert "  3\n" in text_of(roomy)
    asked = ("-t", "all", "-h", "-o", "%C %m", "-n", token(gateway, roomy["Mailgate-Job"]))
    assert cluster.said("squeue", *asked) == "3 96M"
    assert done["Mailgate-Exit"] == "0"
    assert "hello" in text_of(done)
    assert failed["Mailgate-Exit"] == "7"
    assert "oh" in text_of(failed)
    assert "gateway's own" not in text_of(failed)
    assert token(gateway, failed["Mailgate-Job"]) in cluster.states()


def test_what_is_asked_of_a_job_is_done_at_slurm(cluster: Slurm, gateway: Gateway) -> None:
    gateway.service("waits", shell(WAITS))
    gateway.service("limited", shell(WAITS, '[limits]\nwork = "1h"'))
    gateway.service("all", shell("echo at last", "[limits]\ncores = 16"))
    gateway.start()
    limited, cancelled, behind = (sent(gateway, name) for name in ("limited", "waits", "waits"))
    waiting = sent(gateway, "all", "QUEUED")

    # Why it waits is told, it is held there, taken back, and given anew.
    eventually(lambda: b"(Slurm:" in gateway.run("status", waiting).stdout, 30, gateway.logged)
    first = token(gateway, waiting)
    # Somebody at the cluster holds it, and the gateway's operator releases it.
    assert cluster.run("scontrol", "hold", f"jobname={first}").returncode == 0
    until(gateway, waiting, "HELD")
    assert b"by the cluster" in gateway.run("status", waiting).stdout
    gateway.run("release", waiting)
    eventually(lambda: "JobHeld" not in cluster.said("squeue", "-h", "-n", first, "-o", "%r"))
    assert b"is being taken back" in gateway.run("hold", waiting).stdout
    until(gateway, waiting, "HELD")
    eventually(lambda: cluster.states().get(first) == "CANCELLED", 30, gateway.logged)

    # What one that runs has printed is shown.
    eventually(lambda: b"  begun" in gateway.run("status", limited).stdout, 30, gateway.logged)

    # Somebody at the cluster stops one for a while, and ends another.
    number = cluster.said("squeue", "-h", "-n", token(gateway, limited), "-o", "%i")
    assert cluster.run("scontrol", "suspend", number).returncode == 0
    until(gateway, limited, "SUSPENDED")
    assert cluster.run("scontrol", "resume", number).returncode == 0
    until(gateway, limited, "EXECUTING")
    cluster.run("scancel", "--me", "-n", token(gateway, behind))
    gateway.run("cancel", cancelled)
    gateway.run("limit", limited, "1s")
    gateway.run("release", waiting)

    assert result(gateway, behind)["Mailgate-Exit"] == "cancelled-outside"
    assert "Slurm called it CANCELLED" in text_of(result(gateway, behind))
    assert result(gateway, cancelled)["Mailgate-Exit"] == "cancelled"
    assert "told" in text_of(result(gateway, cancelled))
    assert result(gateway, limited)["Mailgate-Exit"] == "work-limit"
    assert "at last" in text_of(result(gateway, waiting))
    assert token(gateway, waiting) != first


def test_check_tries_a_job_at_slurm_and_leaves_nothing(gateway: Gateway) -> None:
    gateway.service("echo", ECHO)
    told = gateway.run("check", "--live").stdout.decode()
    assert 'job "true" by the engine slurm: ended with exit code 0' in told
    assert "its jobs are in no sandbox" in gateway.run("check").stderr.decode()


def test_what_slurm_refuses_for_good_is_told_in_its_words(gateway: Gateway) -> None:
    gateway.service("echo", ECHO.replace("stdin", 'queue = "nowhere"\nstdin'))
    gateway.start()
    gateway.send(request("echo", attachments={"data": b"hello\n"}))
    (letter,) = gateway.await_results(1)
    assert letter["Mailgate-Exit"] == "could-not-start"
    # It never began: nothing of it is missing.
    assert "There is no output." in text_of(letter)
    assert "Left out" not in text_of(letter)
    assert "Invalid partition name specified" in flat(letter)


def test_a_node_that_fails_and_a_place_that_is_needed_are_told_from_each_other(
    cluster: Slurm, gateway: Gateway
) -> None:
    gateway.service("low", 'queue = "low"\n' + shell(WAITS))
    gateway.service("plain", shell(WAITS))
    mark = gateway.folder / "once"
    once = f"test -e {mark} || {{ touch {mark}; sleep 100; }}"
    gateway.service("again", shell(once, '[retry]\ntimes = 1\non = ["node-failure"]'))
    gateway.start()
    low = sent(gateway, "low")
    # All of the node, for a partition that goes first.
    assert not cluster.run(
        "sbatch", "-p", "high", "-c", "16", "-o", "/dev/null", "--wrap=true"
    ).returncode
    preempted = result(gateway, low)
    assert preempted["Mailgate-Exit"] == "preempted"
    assert "its place was needed for other work" in flat(preempted)
    assert "Slurm called it PREEMPTED on node" in flat(preempted)

    plain, again = sent(gateway, "plain"), sent(gateway, "again")
    eventually(mark.exists)
    cluster.run("scontrol", "update", f"nodename={cluster.host}", "state=down", "reason=test")
    try:
        failed = result(gateway, plain)
    finally:
        cluster.await_idle()
    assert failed["Mailgate-Exit"] == "node-failure"
    assert "NODE_FAIL" in text_of(failed)
    assert result(gateway, again)["Mailgate-Exit"] == "0"


def test_a_job_that_takes_too_much_memory_is_told_so(tmp_path: Path) -> None:
    with slurm(bounds_memory=True) as cluster, running(tmp_path / "gate") as gateway:
        on(cluster, gateway)
        takes = "perl -e '$x = \"a\" x 3e8; sleep 60'"
        limits = '[limits]\nmemory = "50 MiB"\nmemory_max = "1 GiB"'
        gateway.service("greedy", shell(takes, limits))
        gateway.start()
        gateway.send(request("greedy"))
        (letter,) = gateway.await_results(1)
        assert letter["Mailgate-Exit"] == "memory"
        assert "it needed more memory than the 50 MiB it was given" in flat(letter)
        assert "Slurm called it OUT_OF_MEMORY" in flat(letter)
        assert re.search(r"reply with\n +rerun\n +memory: ", text_of(letter))


def test_a_second_start_of_a_job_does_nothing_and_is_no_end_of_it(
    cluster: Slurm, gateway: Gateway
) -> None:
    go, ledger = gateway.folder / "go", gateway.folder / "ledger"
    body = f'echo "$MAILGATE_JOB" >>{ledger}; while ! test -e {go}; do sleep 0.1; done; exit 5'
    gateway.service("once", shell(body))
    gateway.start()
    job, requeued = sent(gateway, "once"), sent(gateway, "once")
    name = token(gateway, job)
    (script,) = gateway.spool.glob(f"jobs/*/{job}/run/1/script")
    second = cluster.said(
        "sbatch", "--parsable", "-o", "/dev/null", f"--job-name={name}", str(script)
    )
    state = ("squeue", "-h", "-t", "all", "-o", "%T", "-j")
    eventually(lambda: cluster.said(*state, second) == "COMPLETED")

    # One that Slurm ends, and starts again under its number.
    number = cluster.said("squeue", "-h", "-n", token(gateway, requeued), "-o", "%i")
    cluster.run("scontrol", "update", f"jobid={number}", "requeue=1")
    assert not cluster.run("scontrol", "requeue", number).returncode
    ended = result(gateway, requeued)
    assert ended["Mailgate-Exit"] == "cancelled-outside", flat(ended)

    assert phase(gateway, job) == "EXECUTING"
    go.touch()
    assert result(gateway, job)["Mailgate-Exit"] == "5"
    assert sorted(ledger.read_text().split()) == sorted([job, requeued])


def test_nothing_is_concluded_while_the_controller_is_down_and_what_it_has_lost_runs_anew(
    tmp_path: Path,
) -> None:
    # One of its own: Slurm may drain the node seconds after that.
    with slurm() as cluster, running(tmp_path / "gate") as gateway:
        on(cluster, gateway)
        go = gateway.folder / "go"
        gateway.service("echo", ECHO)
        gateway.service("runs", shell(f"while ! test -e {go}; do sleep 0.1; done"))
        gateway.service("all", shell("echo at last", "[limits]\ncores = 16"))
        gateway.start()
        older = cluster.saved()
        runs = sent(gateway, "runs")
        waits = sent(gateway, "all", "QUEUED")
        first = token(gateway, waits)
        cluster.kill_controller()
        # squeue itself tries for a while.
        eventually(lambda: "engine=slurm" in gateway.logged("unseen"), 120, gateway.logged)
        silent = "Slurm has not answered since "
        eventually(
            lambda: silent in " ".join(gateway.run("status", runs).stdout.decode().split()),
            30,
            gateway.logged,
        )
        gateway.send(request("echo", attachments={"data": b"hello\n"}))
        eventually(lambda: "outcome=echo" in gateway.logged("read"), 60, gateway.logged)
        assert phase(gateway, runs) == "EXECUTING"
        assert "slurm has not answered since 2" in gateway.run("jobs").stderr.decode()
        assert "slurm has not answered since 2" in gateway.run("job", runs).stdout.decode()
        # What the folder says counts all the same.
        go.touch()
        assert result(gateway, runs)["Mailgate-Exit"] == "0"
        assert len(gateway.results()) == 1
        # Its newest jobs are lost, and their numbers are given to others.
        cluster.restore(older)
        cluster.start_controller()
        other = (
            "sbatch",
            "--parsable",
            "--hold",
            "-o",
            "/dev/null",
            "--job-name=other",
            "--wrap=true",
        )
        numbers = [str(eventually(lambda: cluster.said(*other), 60)) for _ in range(2)]

        def come() -> bool:
            cluster.await_idle()
            return len(gateway.results()) == 3

        eventually(come, 120, gateway.logged)
        assert "resumed engine=slurm" in gateway.logged()
        assert b"not answered" not in gateway.run("jobs").stderr
        assert "at last" in text_of(result(gateway, waits))
        assert token(gateway, waits) != first
        given = re.findall(r" native=(\d+)", gateway.logged("submitted")) + numbers
        assert len({*given}) < len(given)
        # What is somebody else's is there still, whatever its number.
        assert cluster.states()["other"] == "PENDING"


def test_real_programs_work_on_real_data(gateway: Gateway) -> None:
    programs.offer(gateway)
    gateway.start()
    programs.prove(gateway)


@pytest.mark.parametrize("point", ["run:intended", "run:prepared", "run:submitted"])
def test_a_daemon_that_is_killed_while_it_submits_has_one_job_at_slurm(
    cluster: Slurm, gateway: Gateway, point: str
) -> None:
    ledger = gateway.folder / "ledger"
    gateway.service("once", shell(f"echo begun >>{ledger}"))
    gateway.start(MAILGATE_CRASH=point)
    gateway.send(request("once"))
    gateway.died()
    gateway.start()
    (letter,) = gateway.await_results(1)
    assert letter["Mailgate-Exit"] == "0"
    assert ledger.read_text() == "begun\n"


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_great_output_comes_whole_and_no_child_of_a_job_is_left(
    cluster: Slurm, gateway: Gateway, soak: bool
) -> None:
    size = (1 << 30) if soak else (1 << 24)
    gateway.service("great", shell(f"head -c {size} /dev/zero"))
    gateway.service("parent", shell("sleep 1000 & setsid sleep 1001 & echo left"))
    gateway.service("short", 'queue = "short"\n' + shell(WAITS))
    gateway.start()
    if soak:
        # Of a partition that gives each job a minute, and ends it when it looks the next time.
        gateway.send(request("short", sender="bob@example.org"), sender="bob@example.org")
    gateway.send(request("great"))
    gateway.send(request("parent"))
    gateway.await_results(2, within=900)
    sizes = {}
    for mail in gateway.results():
        assert mail["Mailgate-Exit"] == "0"
        told = json.loads(attached(mail)["job.json"])
        sizes[told["service"]] = next(s["size"] for s in told["streams"] if s["role"] == "stdout")
        assert under(Token(token(gateway, str(mail["Mailgate-Job"])))) == []
    assert sizes == {"great": size, "parent": len("left\n")}
    if soak:
        (letter,) = gateway.await_results(1, "bob@example.org", within=300)
        assert letter["Mailgate-Exit"] == "work-limit"
        assert "Slurm called it TIMEOUT" in flat(letter)
