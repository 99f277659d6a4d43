"""Jobs by mail through a real Grid Engine: in, out, and whatever happens to them there."""

import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailgate import share
from mailgate.model import Token
from tests.crash.proof import deliver, prepare, prove
from tests.daemon import ECHO, Gateway, attached, eventually, request, running, shell, text_of
from tests.gridengine import GridEngine, gridengine
from tests.run.yard import under
from tests.servers import require

ENGINE = """
[run.gridengine]
pe = "smp"
queue = "main.q"
poll_min = "1s"
kill_after = "1s"
"""
SLOW = ("broken", "greedy")
JOBS, KILLS = 60, 20
REDUCED = 10
# At every so many kills of the gateway the queue master is killed, too.
MASTERS = 6

GLOBINS = Path("/usr/share/doc/hmmer/examples/tutorial/globins45.fa")


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
        # Each of them alone may take so much.
        hungry = "for i in 1 2 3 4; do perl -e '$x = \"a\" x 3e7; sleep 60' & done; wait"
        made.service("greedy", shell(hungry, '[limits]\nmemory = "80 MiB"'))
        _examples(made)
        made.start()
        # Their ends are slow to come: the accounts are asked after the grace time.
        for service in SLOW:
            sent(made, service, f"{service}@example.org")
        yield made


def _examples(gateway: Gateway) -> None:
    """Offer the shipped examples, with a database here."""
    for name in ("tree", "blastp"):
        text = share.path("etc", "examples", f"{name}.toml").read_text(encoding="utf-8")
        gateway.service(name, text.replace("/srv/blast", str(gateway.folder)))


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


# --- killed in the middle ---------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_gateway_that_is_killed_again_and_again_runs_each_job_once(
    cluster: GridEngine, tmp_path: Path, seed: int, soak: bool
) -> None:
    chance, part = random.Random(seed), 1 if soak else REDUCED
    with running(tmp_path) as made:
        prepare(on(cluster, made))
        made.start()
        mails = deliver(made, range(1, JOBS // part + 1))
        for kill in range(1, KILLS // part + 1):
            time.sleep(chance.uniform(0.02, 1.2))
            made.kill()
            if kill % MASTERS == 0:
                cluster.kill_master()
                made.start()
                time.sleep(chance.uniform(0.5, 3))
                cluster.start_master()
            else:
                made.start()
        prove(made, mails, within=300)


# --- real programs on real data ---------------------------------------------------------------------


@pytest.fixture
def globins(gateway: Gateway) -> Path:
    """The 45 globins of HMMER's tutorial, as a database of BLAST's too."""
    for program in ("clustalo", "FastTree", "blastp", "makeblastdb"):
        require(program)
    if not GLOBINS.is_file():
        pytest.skip("not found: hmmer-examples")
    subprocess.run(
        ["makeblastdb", "-in", GLOBINS, "-dbtype", "prot", "-out", gateway.folder / "swissprot"],
        check=True,
        capture_output=True,
    )
    return GLOBINS


def test_real_programs_work_on_real_data(gateway: Gateway, globins: Path) -> None:
    who = "biologist@example.org"
    proteins = globins.read_bytes()
    whale = b">" + proteins.split(b">")[1]
    tree = sent(gateway, "tree", who, attachments={"globins45.fa": proteins})
    hits = sent(gateway, "blastp", who, attachments={"query.fa": whale}, body="evalue: 1e-30\n")
    empty = sent(gateway, "blastp", who, attachments={"empty.fa": b"\n"})
    missing = sent(gateway, "blastp", who, attachments={"q.fa": whale}, body="database: pdb\n")
    alone = sent(gateway, "tree", who, attachments={"one.fa": whale})
    gateway.await_results(5, who)

    newick = attached(result(gateway, tree))["tree.nwk"].decode()
    leaves = re.findall(r"[(,]([^(),:]+):", newick)
    assert len(leaves) == len(set(leaves)) == 45
    assert newick.rstrip().endswith(";")

    rows = [
        row.split("\t") for row in attached(result(gateway, hits))["hits.tsv"].decode().split("\n")
    ]
    assert rows[0][:3] == ["MYG_ESCGI", "MYG_ESCGI", "100.000"]
    assert all(float(row[10]) <= 1e-30 for row in rows if len(row) > 10)

    assert result(gateway, empty)["Mailgate-Exit"] == "0"
    assert b"Query is Empty" in attached(result(gateway, empty))["stderr.txt"]
    assert result(gateway, missing)["Mailgate-Exit"] == "2"
    assert "No alias or index file found for protein database" in flat(result(gateway, missing))
    # The first of the two programs failed, and with it the job.
    assert result(gateway, alone)["Mailgate-Exit"] == "1"
    assert "contains 1 sequence, nothing to align" in flat(result(gateway, alone))


def result(gateway: Gateway, job: str, who: str = "biologist@example.org") -> EmailMessage:
    return next(x for x in gateway.results(who) if str(x["Message-ID"]).startswith(f"<{job}."))
