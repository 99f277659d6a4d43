"""Jobs by mail through a real Grid Engine: in, out, and whatever happens to them there."""

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailgate.model import Token
from tests.crash.proof import Sent, deliver, prepare, prove
from tests.daemon import ECHO, Gateway, attached, eventually, request, running, shell, text_of
from tests.gridengine import GridEngine, gridengine
from tests.run.yard import under
from tests.walk import programs

ENGINE = """
[run.gridengine]
pe = "smp"
queue = "main.q"
poll_min = "1s"
kill_after = "1s"
"""
SLOW = ("broken", "greedy", "over")
GREAT = """
summary = "Write much"
command = ["head", "-c", "{size}", "/dev/zero"]
[parameter.size]
type = "integer"
min = 1
max = 2000000000
[access]
allow = ["*@example.org"]
"""
# Says that it begins, and waits for leave to end.
UNTIL = """
echo "$MAILGATE_JOB" >>{folder}/ledger
while ! test -e "{folder}/go.$MAILGATE_JOB"; do sleep 0.1; done
exit 4"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[GridEngine]:
    with gridengine() as started:
        yield started


def on(cluster: GridEngine, gateway: Gateway) -> Gateway:
    """Have the gateway's jobs run there."""
    text = gateway.config.read_text()
    there = '[run]\nengine = "gridengine"\ngrace = "2s"\n'
    gateway.config.write_text(text.replace("[run]\n", there, 1) + ENGINE)
    gateway.environment |= cluster.environment
    return gateway


@pytest.fixture(scope="module")
def _gateway(cluster: GridEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as made:
        on(cluster, made)
        made.service("echo", ECHO)
        made.service("fails", shell("echo no such database >&2; exit 3"))
        made.service("slow", shell("sleep 60", '[limits]\nwork = "1s"'))
        made.service("waits", shell("setsid sleep 100 & echo begun; sleep 100"))
        made.service("asks", shell("sleep 100", "[limits]\ngpus = 99"))
        made.service("cores", shell("true", "[limits]\ncores = 3"))
        made.service("elsewhere", 'queue = "nosuch.q"\n' + shell("true"))
        made.service("broken", 'queue = "broken.q"\n' + shell("true"))
        # A queue that gives each job two seconds.
        cluster.run("qconf", "-mattr", "queue", "h_rt", "0:0:2", "small.q")
        made.service("over", 'queue = "small.q"\n' + shell("sleep 60"))
        made.service("until", shell(UNTIL.replace("{folder}", str(made.folder))))
        made.service("great", GREAT)
        made.service("parent", shell("sleep 1000 & setsid sleep 1001 & echo left"))
        # Each of them alone may take so much.
        hungry = "for i in 1 2 3 4; do perl -e '$x = \"a\" x 3e7; sleep 60' & done; wait"
        made.service("greedy", shell(hungry, '[limits]\nmemory = "80 MiB"'))
        programs.offer(made)
        made.start()
        # Their ends are slow to come: the accounts are asked after the grace time.
        for service in SLOW:
            sent(made, service, f"{service}@example.org")
        yield made


@pytest.fixture
def gateway(_gateway: Gateway) -> Gateway:
    """The shared gateway; each test has a sender of its own."""
    return _gateway


def sent(gateway: Gateway, service: str, who: str, **more: object) -> str:
    """Send a request, and return its job's id once it has one."""
    mail = request(service, sender=who, **more)  # type: ignore[arg-type]
    gateway.send(mail, sender=who)
    line = f"key={mail['Message-ID']} outcome={service}:"
    found = eventually(lambda: re.search(f"{re.escape(line)}(\\w+)", gateway.logged("read")))
    return found[1]


def phase(gateway: Gateway, job: str) -> str:
    return next(str(one["phase"]) for one in gateway.jobs() if one["id"] == job)


def awaits(gateway: Gateway, job: str, wanted: str) -> None:
    eventually(lambda: phase(gateway, job) == wanted, 30, gateway.logged)


def at(cluster: GridEngine, gateway: Gateway, job: str, state: str) -> str:
    """Wait until Grid Engine has the job in a state, and return its number there."""
    found = eventually(lambda: re.search(f"job={job} .*native=(\\d+)", gateway.logged("submitted")))
    number = str(found[1])
    listed = f"^ *{number} .* {state} "
    eventually(
        lambda: re.search(listed, cluster.listed(), re.MULTILINE),
        30,
        cluster.listed,
    )
    return number


def why(gateway: Gateway, job: str) -> str:
    """Why a job waits there, as far as it was noted."""
    with closing(gateway._database()) as spool:
        rows = spool.execute("SELECT why FROM attempt WHERE job = ?", (job,)).fetchall()
    return str(rows[-1][0])


def left_of(gateway: Gateway, job: str) -> list[int]:
    """The processes that are left of a job's attempts."""
    with closing(gateway._database()) as spool:
        rows = spool.execute("SELECT token FROM attempt WHERE job = ?", (job,)).fetchall()
    return [process for (token,) in rows for process in under(Token(token))]


def flat(letter: EmailMessage) -> str:
    """The words of a letter, whatever its lines."""
    return " ".join(text_of(letter).split())


def words(gateway: Gateway, who: str, count: int = 1) -> list[str]:
    return [flat(letter) for letter in gateway.await_results(count, who)]


# --- the road -------------------------------------------------------------------------------------


def test_a_mail_goes_in_and_its_result_comes_out(gateway: Gateway) -> None:
    who = "road@example.org"
    for service in ("echo", "fails", "slow", "cores", "elsewhere"):
        sent(gateway, service, who, attachments={"data": b"hello\n"} if service == "echo" else {})
    results = {str(x["Mailgate-Exit"]): x for x in gateway.await_results(5, who)}
    assert set(results) == {"0", "3", "work-limit", "could-not-start"}
    assert "no such database" in text_of(results["3"])
    assert "longer than the 1 second it was given" in " ".join(
        text_of(results["work-limit"]).split()
    )
    refused = flat(results["could-not-start"])
    assert (
        "Grid Engine refused it: Unable to run job: Job was rejected because job requests"
        in refused
    )
    outputs = [attached(x).get("stdout.txt") for x in gateway.results(who)]
    assert b"hello\n" in outputs


def test_a_job_that_grid_engine_cannot_start_is_told_in_its_words_and_leaves_nothing(
    cluster: GridEngine, gateway: Gateway
) -> None:
    (told,) = words(gateway, "broken@example.org")
    assert told.startswith("Your job did not run")
    assert "Grid Engine called it Eqw (" in told
    eventually(lambda: "Eqw" not in cluster.listed(), 30, cluster.listed)


def test_a_job_that_takes_too_much_memory_is_told_so(gateway: Gateway) -> None:
    (told,) = words(gateway, "greedy@example.org")
    assert "needed more memory" in told, told
    assert "Grid Engine called it failed 37" in told


def test_a_job_that_a_queue_gives_no_more_time_is_told_so(gateway: Gateway) -> None:
    (told,) = words(gateway, "over@example.org")
    assert "was stopped: it ran longer than it may" in told, told
    assert "Grid Engine called it failed 37" in told


# --- what is asked of it, and what happens to it there ----------------------------------------------


def test_jobs_are_cancelled_held_and_released_there(cluster: GridEngine, gateway: Gateway) -> None:
    runs = sent(gateway, "waits", "cancel@example.org")
    waits = sent(gateway, "asks", "hold@example.org")
    awaits(gateway, runs, "EXECUTING")
    first = at(cluster, gateway, waits, "qw")
    eventually(lambda: "resource" in why(gateway, waits))
    assert b"It is still queued because" in gateway.run("status", waits).stdout
    gateway.run("cancel", runs)
    gateway.run("hold", waits)
    awaits(gateway, waits, "HELD")
    eventually(lambda: not re.search(f"^ *{first} ", cluster.listed(), re.MULTILINE))
    gateway.run("release", waits)
    eventually(lambda: gateway.logged("submitted").count(f"job={waits} ") == 2)
    gateway.run("cancel", waits)
    (told,) = words(gateway, "cancel@example.org")
    assert told.startswith("Your job was cancelled after")
    assert [x["Mailgate-Exit"] for x in gateway.results("cancel@example.org")] == ["cancelled"]
    assert attached(gateway.results("cancel@example.org")[0])["stdout.txt"] == b"begun\n"
    # Grid Engine itself spares what is root's.
    assert left_of(gateway, runs) == []
    assert words(gateway, "hold@example.org")[0].startswith("Your job was cancelled before")


def test_a_job_that_is_deleted_behind_our_back_ends_and_is_not_run_again(
    cluster: GridEngine, gateway: Gateway
) -> None:
    runs = sent(gateway, "waits", "deleted@example.org")
    waits = sent(gateway, "asks", "deleted@example.org")
    awaits(gateway, runs, "EXECUTING")
    numbers = at(cluster, gateway, runs, "r"), at(cluster, gateway, waits, "qw")
    cluster.run("qdel", *numbers)
    told = words(gateway, "deleted@example.org", 2)
    assert all(one.startswith("Your job was cancelled at the cluster") for one in told)
    assert any("before it started" in one and "called it deleted" in one for one in told)
    assert len(re.findall(f"job=({runs}|{waits}) ", gateway.logged("submitted"))) == 2
    assert left_of(gateway, runs) == []


def test_a_job_that_is_suspended_or_held_there_is_so_here(
    cluster: GridEngine, gateway: Gateway
) -> None:
    waits = sent(gateway, "asks", "suspended@example.org")
    job = sent(gateway, "waits", "suspended@example.org")
    awaits(gateway, job, "EXECUTING")
    number = at(cluster, gateway, job, "r")
    cluster.run("qmod", "-sj", number)
    cluster.run("qhold", at(cluster, gateway, waits, "qw"))
    awaits(gateway, job, "SUSPENDED")
    awaits(gateway, waits, "HELD")
    cluster.run("qmod", "-usj", number)
    gateway.run("release", waits)
    awaits(gateway, job, "EXECUTING")
    awaits(gateway, waits, "QUEUED")
    at(cluster, gateway, waits, "qw")
    assert gateway.logged("submitted").count(f"job={waits} ") == 1
    for one in (job, waits):
        gateway.run("cancel", one)
    told = words(gateway, "suspended@example.org", 2)
    assert all(one.startswith("Your job was cancelled") for one in told)


def test_a_second_start_of_a_job_does_nothing_and_is_no_end_of_it(
    cluster: GridEngine, gateway: Gateway
) -> None:
    who = "second@example.org"
    job, pushed = sent(gateway, "until", who), sent(gateway, "until", who)
    for one in (job, pushed):
        awaits(gateway, one, "EXECUTING")
    (script,) = gateway.spool.glob(f"jobs/*/{job}/run/1/script")
    options = ("-terse", "-b", "n", "-C", "", "-S", "/bin/sh", "-o", "/dev/null", "-j", "y")
    second = cluster.run("qsub", *options, "-N", token(gateway, job), script).strip()

    # One that Grid Engine ends, and starts again under its number.
    number = at(cluster, gateway, pushed, "r")
    cluster.run("qalter", "-r", "y", number)
    cluster.run("qmod", "-rj", number)
    (letter,) = gateway.await_results(1, who)
    assert letter["Mailgate-Exit"] == "cancelled-outside", flat(letter)
    listed = re.compile(f"^ *({number}|{second}) ", re.MULTILINE)
    eventually(lambda: not listed.search(cluster.listed()), 30, cluster.listed)

    assert phase(gateway, job) == "EXECUTING"
    go(gateway, job)
    eventually(lambda: len(gateway.results(who)) == 2, 30, gateway.logged)
    assert result(gateway, job, who)["Mailgate-Exit"] == "4"
    assert begun(gateway, job, pushed) == [job, pushed]


def test_nothing_is_concluded_while_the_queue_master_is_away_or_the_node_does_not_answer(
    cluster: GridEngine, gateway: Gateway
) -> None:
    calm(gateway)
    who = "away@example.org"
    first, second = sent(gateway, "until", who), sent(gateway, "until", who)
    for one in (first, second):
        awaits(gateway, one, "EXECUTING")
    cluster.kill_node()
    cluster.kill_master()
    eventually(lambda: "unseen engine=gridengine" in gateway.logged(), 30, gateway.logged)
    later = sent(gateway, "echo", who, attachments={"data": b"hello\n"})
    # What the folder says counts all the same.
    go(gateway, first)
    (letter,) = gateway.await_results(1, who)
    assert letter["Mailgate-Exit"] == "4"
    assert phase(gateway, second) == "EXECUTING"
    assert phase(gateway, later) == "QUEUED"
    cluster.start_master()
    eventually(lambda: "resumed engine=gridengine" in gateway.logged(), 60, gateway.logged)
    # The master is there, its node is not.
    assert phase(gateway, second) == "EXECUTING"
    go(gateway, second)
    gateway.await_results(2, who)
    cluster.start_node()
    gateway.await_results(3, who)
    assert result(gateway, later, who)["Mailgate-Exit"] == "0"
    assert begun(gateway, first, second) == [first, second]


def test_a_node_that_breaks_down_is_told(cluster: GridEngine, gateway: Gateway) -> None:
    calm(gateway)
    who = "node@example.org"
    job = sent(gateway, "until", who)
    awaits(gateway, job, "EXECUTING")
    at(cluster, gateway, job, "r")
    # All that runs there ends at once.
    cluster.kill_node()
    cluster.kill_jobs()
    cluster.start_node()
    (told,) = words(gateway, who)
    assert "its machine broke down" in told, told
    assert begun(gateway, job) == [job]


def calm(gateway: Gateway) -> None:
    """Wait until nothing runs but what the test that asks has sent."""
    for service in SLOW:
        gateway.await_results(1, f"{service}@example.org")


def go(gateway: Gateway, job: str) -> None:
    (gateway.folder / f"go.{job}").touch()


def begun(gateway: Gateway, *jobs: str) -> list[str]:
    """These jobs, in their order, each as often as it has begun."""
    ledger = (gateway.folder / "ledger").read_text().split()
    return [one for job in jobs for one in ledger if one == job]


def token(gateway: Gateway, job: str) -> str:
    """The name of a job's newest attempt at Grid Engine."""
    return re.findall(f"job={job} token=(\\w+)", gateway.logged("submitted"))[-1]


def result(gateway: Gateway, job: str, who: str) -> EmailMessage:
    return next(x for x in gateway.results(who) if x["Mailgate-Job"] == job)


# --- killed in the middle ---------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_gateway_that_is_killed_again_and_again_runs_each_job_once(
    cluster: GridEngine, tmp_path: Path, seed: int, soak: bool
) -> None:
    jobs, kills, masters, lost = (60, 20, {6, 12, 18}, 3) if soak else (6, 2, set(), 1)
    chance = random.Random(seed)
    with running(tmp_path) as made:
        prepare(on(cluster, made))
        made.start()
        mails = deliver(made, range(1, jobs + 1 - lost))
        for kill in range(1, kills + 1):
            time.sleep(chance.uniform(0.02, 1.2))
            made.kill()
            if kill in masters:
                cluster.kill_master()
                made.start()
                time.sleep(chance.uniform(0.5, 3))
                cluster.start_master()
            else:
                made.start()
        eventually(lambda: len(made.results()) >= jobs - lost, 300, made.logged)
        mails += lose(cluster, made, range(jobs + 1 - lost, jobs + 1))
        prove(made, mails, within=300)


def lose(cluster: GridEngine, gateway: Gateway, numbers: range) -> list[Sent]:
    """Have the queue master lose these jobs before they begin, for its state is an older one.

    It gives their numbers to others. They are submitted again.
    """
    older = cluster.saved()
    cluster.run("qmod", "-d", "main.q")
    try:
        mails = deliver(gateway, numbers)
        jobs = eventually(lambda: handed(gateway, mails), 60, gateway.logged)
        cluster.kill_master()
        cluster.kill_node()
        cluster.restore(older)
        cluster.start_master()
        other = cluster.run("qsub", "-terse", "-b", "y", "-h", "-N", "other", "true").strip()
    finally:
        # The other tests' jobs go there, too.
        cluster.run("qmod", "-e", "main.q", check=False)
    cluster.start_node()
    for job in jobs:
        eventually(lambda one=job: len(natives(gateway, one)) > 1, 60, gateway.logged)
    given = natives(gateway, r"\w+")
    # Numbers began anew, from the first that was lost or one before it.
    assert int(other) < max(map(int, given))
    # What is somebody else's is there still, whatever its number.
    assert re.search(f"^ *{other} .* other ", cluster.listed(), re.MULTILINE)
    cluster.run("qdel", other)
    return mails


def handed(gateway: Gateway, mails: list[Sent]) -> list[str]:
    """The jobs of these mails, once Grid Engine has all of them; else none."""
    read = dict(re.findall(r" key=(<\S+>) outcome=once:(\w+)", gateway.logged("read")))
    jobs = [read.get(mail.message_id, "none") for mail in mails]
    return jobs if all(natives(gateway, job) for job in jobs) else []


def natives(gateway: Gateway, job: str) -> list[str]:
    """The numbers that a job's attempts had at Grid Engine, the oldest first."""
    return re.findall(f"job={job} .*native=(\\d+)", gateway.logged("submitted"))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_great_output_comes_whole_and_no_child_of_a_job_is_left(
    gateway: Gateway, soak: bool
) -> None:
    who, size = "great@example.org", (1 << 30) if soak else (1 << 24)
    great = sent(gateway, "great", who, body=f"size: {size}\n")
    parent = sent(gateway, "parent", who)
    gateway.await_results(2, who, within=900)
    for job, expected in ((great, size), (parent, len("left\n"))):
        letter = result(gateway, job, who)
        assert letter["Mailgate-Exit"] == "0"
        told = json.loads(attached(letter)["job.json"])
        assert [s["size"] for s in told["streams"] if s["role"] == "stdout"] == [expected]
        assert under(Token(token(gateway, job))) == []


# --- real programs on real data ---------------------------------------------------------------------


def test_real_programs_work_on_real_data(gateway: Gateway) -> None:
    programs.prove(gateway)
