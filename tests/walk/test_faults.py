"""A real gateway when the disk is full, the database locked, a reading process dead, the clock wrong.

Each time: nothing is lost, nothing is done twice, the log says what, and it goes on by itself.
"""

import gzip
import json
import os
import re
import resource
import select
import shlex
import signal
import smtplib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.daemon import (
    ADA,
    ECHO,
    Gateway,
    attached,
    eventually,
    read,
    request,
    running,
    shell,
    text_of,
)
from tests.deliver.relay import relay_beside
from tests.disks import Disk, small_disk
from tests.servers import free_port, require

BOB = "bob@example.org"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("echo", ECHO)
        made.service("once", once(made, "cat", WITH_DATA))
        yield made


@pytest.fixture
def disk(gateway: Gateway) -> Iterator[Disk]:
    """The spool's disk, jobs and all: 12 MiB, of which none has to stay free."""
    gateway.configure(min_free="0")
    with small_disk(gateway.spool, "12m") as made:
        yield made
        gateway.kill()


WITH_DATA = 'stdin = "data"\n[input.data]\nfrom = "attachment"'


def once(gateway: Gateway, script: str, more: str = "") -> str:
    """A service each start of which leaves a line, whatever becomes of it."""
    return shell(
        f"echo $MAILGATE_JOB >> {shlex.quote(str(gateway.folder / 'ran'))}; {script}", more
    )


def by(gateway: Gateway, relay: int, **settings: object) -> None:
    """Have the gateway's letters go to a relay on that port."""
    gateway.configure(
        courier='courier = "smtp"\nretry = ["1s"]',
        more=f'[deliver.smtp]\nhost = "127.0.0.1"\nport = {relay}\ntimeout = "60s"\n',
        **settings,
    )


def waiting(gateway: Gateway, script: str = "") -> str:
    """A service that runs until the test has made the file ``go``, and not for ever."""
    go = shlex.quote(str(gateway.folder / "go"))
    wait = f"n=0; while [ ! -e {go} ] && [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done"
    return once(gateway, f"{wait}; {script}")


def ran(gateway: Gateway) -> list[str]:
    file = gateway.folder / "ran"
    return file.read_text().split() if file.exists() else []


def prove_once(gateway: Gateway, mails: int, address: str = ADA) -> None:
    """Each of that many mails was run once and has its one result."""
    results = gateway.await_results(mails, address)
    eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    assert len({x["In-Reply-To"] for x in results}) == len(gateway.results(address)) == mails
    assert len(ran(gateway)) == len(set(ran(gateway))) == mails


def pipe(gateway: Gateway, mail: bytes) -> int:
    words = ("receive", "--sender", ADA, "--recipient", "once@gate.example.org")
    return gateway.run(*words, stdin=mail).returncode


def answer(session: smtplib.SMTP, mail: bytes) -> int:
    """Send a mail in a session that is to stay open, and return the last reply's code."""
    session.rset()
    assert session.mail(ADA)[0] == 250
    assert session.rcpt("once@gate.example.org")[0] == 250
    return session.data(mail)[0]


def posted(service: str = "once", content: bytes = b"hello\n") -> bytes:
    return request(service, attachments={"data": content}).as_bytes()


def readers(gateway: Gateway) -> list[int]:
    """The process ids of the gateway's reading processes that have been told what they need.

    One that is stopped before that is waited for as long as a start may take, half a minute.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            words = (folder / "cmdline").read_bytes()
            memory, _ = resource.prlimit(int(folder.name), resource.RLIMIT_AS)
        except OSError:
            continue
        told = memory != resource.RLIM_INFINITY
        if parent == str(gateway.pid) and b"mailgate.read.worker" in words and told:
            found.append(int(folder.name))
    return found


@contextmanager
def stopped_reader(gateway: Gateway) -> Iterator[None]:
    """Have no mail read for as long as the block lasts."""
    (process,) = eventually(lambda: readers(gateway))
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


# --- files and threads ------------------------------------------------------------------------------


def test_a_daemon_that_may_open_too_few_files_says_which_limit_to_raise(gateway: Gateway) -> None:
    gateway.under = ("prlimit", "--nofile=40")
    gateway.start(wait=False)
    assert gateway.died() == 70
    assert gateway.logged() == (
        "mailgate: the gateway may open 40 files at most, and needs 64: raise the hard limit of"
        " open files (LimitNOFILE= of its systemd unit, else ulimit -Hn)\n"
    )


def test_a_daemon_that_can_start_no_thread_from_the_beginning_says_so(gateway: Gateway) -> None:
    # No machine has room for such a thread.
    script = "import threading; threading.stack_size(1 << 46); from mailgate.cli.main import main"
    words = [sys.executable, "-c", f"{script}; main()", "serve", "-c", str(gateway.config)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (
        75,
        "mailgate: no thread can be started: raise the limit of processes (TasksMax= of the"
        " gateway's systemd unit, else ulimit -u), or end what has taken them\n",
    )


def test_a_daemon_that_can_start_no_thread_ends_as_it_is_told(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(posted(), to="once@gate.example.org")
    prove_once(gateway, 1)
    # A full process table does the same, but never to root.
    used = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(gateway.pid, resource.RLIMIT_AS, (used + 4_000_000, used + 4_000_000))
    assert gateway.stop() == 0
    assert gateway.logged().endswith("\nstopped\n")
    assert "Traceback" not in gateway.logged()


# --- the disk ---------------------------------------------------------------------------------------


def test_a_disk_that_fills_in_the_middle_of_a_mail_costs_no_mail_and_no_session(
    gateway: Gateway, disk: Disk
) -> None:
    gateway.start()
    big = posted(content=os.urandom(1_000_000))
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as session:
        session.ehlo()
        session.mail(ADA)
        session.rcpt("once@gate.example.org")
        assert session.docmd("DATA")[0] == 354
        content = smtplib._fix_eols(big.decode()).encode()
        session.send(content[:600_000])
        eventually(lambda: sum(path.stat().st_size for path in disk.place.glob("mail/*")))
        disk.fill()
        session.send(content[600_000:] + b"\r\n.\r\n")
        # Whichever is seen first: that there is less than min_free, or nothing at all.
        full = re.compile(
            rb"4\.3\.1 the (spool's disk is|gateway's disk is nearly) full; try again"
        )
        code, words = session.getreply()
        assert code == 452
        assert full.match(words)
        # A part of a mail gives its space back at once; a small one needs the database alone.
        disk.fill()
        assert answer(session, posted()) == 452
        assert answer(session, big) == 452
        assert pipe(gateway, posted()) == 75
        assert pipe(gateway, big) == 75
        assert list(disk.place.glob("mail/*")) == []
        assert session.noop()[0] == 250
        disk.clear()
        assert answer(session, posted()) == 250
        assert answer(session, big) == 250
    assert pipe(gateway, posted()) == 0
    prove_once(gateway, 3)
    assert "the spool's disk is full" in gateway.logged("delayed")


def test_on_a_full_disk_the_operator_can_still_have_a_job_destroyed(
    gateway: Gateway, disk: Disk
) -> None:
    gateway.start()
    assert pipe(gateway, posted(content=os.urandom(1_000_000))) == 0
    prove_once(gateway, 1)
    eventually((gateway.spool / "reserve").exists)
    (job,) = gateway.jobs()
    gateway.stop()
    # Not even the log of the database can be opened.
    disk.fill()
    assert gateway.run("extend", str(job["id"]), "1d").returncode == 75
    done = gateway.run("destroy", str(job["id"]))
    assert done.returncode == 0, done.stderr
    assert b"spent file=reserve" in done.stderr
    # At once, before somebody else takes what was given up.
    assert gateway.jobs()[0]["phase"] == "ARCHIVED"
    assert disk.free > 2_000_000


def test_under_min_free_mail_is_put_off_at_both_doors_until_there_is_room(
    gateway: Gateway, disk: Disk
) -> None:
    gateway.configure(min_free="4 MiB")
    gateway.start()
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as session:
        session.ehlo()
        assert answer(session, posted()) == 250
        prove_once(gateway, 1)
        disk.fill(leave=3 << 20)
        assert answer(session, posted()) == 452
        assert pipe(gateway, posted()) == 75
        # The size that a mail would take counts too.
        disk.clear()
        disk.fill(leave=5 << 20)
        eventually(lambda: answer(session, posted(content=os.urandom(1_000_000))) == 452)
        disk.clear()
        eventually(lambda: answer(session, posted()) == 250)
    assert pipe(gateway, posted()) == 0
    prove_once(gateway, 3)
    assert "nearly full" in gateway.logged("delayed")


def test_a_disk_that_is_full_while_a_mail_is_read_delays_it(gateway: Gateway, disk: Disk) -> None:
    gateway.start()
    with stopped_reader(gateway):
        gateway.send(posted(content=os.urandom(700_000)), to="once@gate.example.org")
        gateway.send(posted(), to="once@gate.example.org")
        disk.fill()
    eventually(lambda: "what=read" in gateway.logged("delayed"), 30, gateway.logged)
    assert gateway.logged("held") == ""
    assert list(disk.place.glob("staged/*")) == []
    disk.clear()
    prove_once(gateway, 2)


def test_a_disk_that_is_full_when_a_job_starts_delays_it(gateway: Gateway) -> None:
    # The jobs' disk alone: what is to happen can be committed, but not done.
    with small_disk(gateway.folder / "jobs", "2m") as disk:
        gateway.configure(min_free="0")
        gateway.config.write_text(
            gateway.config.read_text().replace("[run]", '[run]\nfolder = "jobs"')
        )
        gateway.start()
        disk.fill()
        gateway.send(posted(content=os.urandom(300_000)), to="once@gate.example.org")
        eventually(lambda: "what=run" in gateway.logged("delayed"), 30, gateway.logged)
        assert ran(gateway) == []
        disk.clear()
        prove_once(gateway, 1)
        gateway.kill()
    assert "The disk of the job folders is full." in gateway.logged("delayed")


def test_no_job_is_started_under_min_free_on_the_jobs_own_disk(gateway: Gateway) -> None:
    with small_disk(gateway.folder / "jobs", "2m") as disk:
        gateway.config.write_text(
            gateway.config.read_text().replace("[run]", '[run]\nfolder = "jobs"')
        )
        gateway.start()
        disk.fill(leave=500_000)
        eventually(lambda: "no job is started" in gateway.logged("delayed"), 30, gateway.logged)
        gateway.send(posted(), to="once@gate.example.org")
        eventually(lambda: [job["phase"] for job in gateway.jobs()] == ["QUEUED"])
        assert gateway.logged("delayed").count("what=run") == 1
        (waits,) = (job["id"] for job in gateway.jobs())
        for told in (gateway.run("jobs").stderr, gateway.run("job", waits).stdout):
            assert re.search(r"since 2.*: only .* no job is started until there is", told.decode())
        disk.clear()
        prove_once(gateway, 1)
        gateway.kill()


def test_a_job_that_fills_the_disk_fails_by_itself_and_is_answered_when_there_is_room(
    gateway: Gateway, disk: Disk
) -> None:
    gateway.service(
        "greedy", once(gateway, 'head -c 100000000 /dev/zero > "$MAILGATE_OUTPUTS/all"')
    )
    gateway.start()
    gateway.send(request("greedy"))
    eventually(lambda: "what=run" in gateway.logged("delayed"), 30, gateway.logged)
    assert gateway.results() == []
    disk.grow("64m")
    prove_once(gateway, 1)
    (result,) = gateway.results()
    assert (result["Mailgate-Exit"], result["Mailgate-Phase"]) == ("1", "ERROR")
    assert len(attached(result)["all"]) > 5_000_000


def test_a_disk_that_fills_while_a_letter_is_composed_delays_it(
    gateway: Gateway, disk: Disk
) -> None:
    gateway.service("big", once(gateway, "head -c 3000000 /dev/zero"))
    gateway.start()
    # Room for the output, but not for a letter with it.
    disk.fill(leave=5 << 20)
    gateway.send(request("big"))
    eventually(lambda: "what=reply" in gateway.logged("delayed"), 30, gateway.logged)
    assert list(disk.place.glob("letters/*")) == []
    disk.clear()
    prove_once(gateway, 1)
    (result,) = gateway.results()
    assert attached(result)["stdout.txt"] == bytes(3_000_000)


# --- the database -----------------------------------------------------------------------------------


@contextmanager
def locked(gateway: Gateway) -> Iterator[Callable[[], None]]:
    """Have another program hold the database until the block ends, or what it gives is called."""
    with closing(sqlite3.connect(gateway.spool / "spool.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("ROLLBACK")
        if other.in_transaction:
            other.execute("ROLLBACK")


class Doors(threading.Thread):
    """A mail through each door at the same time; ``said`` are their answers."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway = gateway
        self.mails = posted(), posted()
        self.said: list[int] = []

    def run(self) -> None:
        piping = threading.Thread(
            target=lambda: self.said.append(pipe(self.gateway, self.mails[1]))
        )
        piping.start()
        with smtplib.SMTP("127.0.0.1", self.gateway.port, timeout=60) as session:
            session.ehlo()
            self.said.append(answer(session, self.mails[0]))
            assert session.noop()[0] == 250
        piping.join()


def test_a_database_that_is_locked_for_a_while_is_waited_for(gateway: Gateway) -> None:
    gateway.start()
    with locked(gateway) as let_go:
        # Readers wait for nobody.
        for words in (["queue"], ["jobs"], ["hold", "list"], ["explain", "<no@such>"]):
            assert gateway.run(*words).returncode in {0, 1}
        doors = Doors(gateway)
        doors.start()
        assert gateway.jobs() == []
        assert doors.said == []
        let_go()
        doors.join(60)
    assert sorted(doors.said) == [0, 250]
    prove_once(gateway, 2)


def test_a_database_that_stays_locked_costs_no_mail_no_job_and_no_letter(
    gateway: Gateway,
) -> None:
    with relay_beside() as relay:
        by(gateway, relay.port)
        gateway.service("waits", waiting(gateway, "exit 7"))
        relay.says = {"DOT": "hang"}
        gateway.start()
        gateway.send(request("waits"))
        gateway.send(posted(), to="once@gate.example.org")
        # One letter has left and is not answered yet, one job runs.
        eventually(lambda: relay.hangs, 30, gateway.logged)
        with locked(gateway):
            relay.says = {}
            relay.go_on("250 2.0.0 ok")
            (gateway.folder / "go").touch()
            doors = Doors(gateway)
            doors.start()
            doors.join(60)
            assert sorted(doors.said) == [75, 451]
            told = ("what=mail", "what=deliver", "what=run")
            eventually(
                lambda: all(x in gateway.logged("delayed") for x in told), 60, gateway.logged
            )
        doors = Doors(gateway)
        doors.start()
        doors.join(60)
        assert sorted(doors.said) == [0, 250]
        eventually(lambda: not gateway.unsent(), 60, gateway.logged)
        eventually(lambda: len(relay.mails) >= 4, 30, gateway.logged)
        ids = [read(mail)["Message-ID"] for mail in relay.mails]
        assert len(ids) == len(set(ids)) == 4
        ends = sorted(str(read(mail)["Mailgate-Exit"]) for mail in relay.mails)
        assert ends == ["0", "0", "0", "7"]
        assert len(ran(gateway)) == len(set(ran(gateway))) == 4


def test_a_locked_database_keeps_the_daemon_from_no_end_and_drops_no_session(
    gateway: Gateway,
) -> None:
    gateway.start()
    session = smtplib.SMTP("127.0.0.1", gateway.port, timeout=60)
    # It is told 421 after that, and may not even say QUIT.
    with locked(gateway), closing(session):
        session.ehlo()
        session.mail(ADA)
        session.rcpt("once@gate.example.org")
        session.docmd("DATA")
        session.send(b"From: ada@example.org\r\n\r\n\r\n.\r\n")
        began = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        assert session.getreply()[0] == 451
        assert gateway.died() == 0
        assert time.monotonic() - began < 10


# --- the relay --------------------------------------------------------------------------------------


def test_a_relay_that_comes_late_and_drops_what_it_took_gets_one_message_id(
    gateway: Gateway,
) -> None:
    port = free_port()
    by(gateway, port)
    gateway.start()
    gateway.send(posted(), to="once@gate.example.org")
    eventually(lambda: "Connection refused" in gateway.logged("unreachable"), 30)
    eventually(lambda: "Connection refused" in gateway.run("queue").stdout.decode(), 30)
    says = {"DOT": "drop"}
    with relay_beside(says, port=port) as relay:
        eventually(lambda: relay.mails, 40, gateway.logged)
        says.clear()
        eventually(lambda: not gateway.unsent(), 40, gateway.logged)
    assert len(relay.mails) >= 2
    assert len(set(relay.mails)) == 1
    assert len(ran(gateway)) == 1
    assert gateway.logged("unreachable")
    assert gateway.logged("refused") == gateway.logged("held") == ""


def test_a_refused_letter_waits_for_the_operator_with_the_relays_words(gateway: Gateway) -> None:
    says = {"RCPT": "550 5.7.1 \x1b[31mno mail from you"}
    with relay_beside(says) as relay:
        by(gateway, relay.port)
        gateway.start()
        mail = request(attachments={"data": b"x"})
        gateway.send(mail)
        eventually(lambda: gateway.logged("held"), 30, gateway.logged)
        (line,) = gateway.run("queue").stdout.decode().splitlines()
        assert line.endswith(r"550 5.7.1 \x1b[31mno mail from you")
        assert "1 try" in line
        assert ADA in line
        says.clear()
        assert gateway.run("queue", "--retry", line.split()[0]).returncode == 0
        eventually(lambda: relay.mails, 30, gateway.logged)
        eventually(lambda: not gateway.unsent(), 30, gateway.logged)
        told = gateway.run("explain", str(mail["Message-ID"])).stdout.decode()
    words = ("accepted as message", "created", "held letter=", "requeued", "sent: 250")
    places = [told.find(word) for word in words]
    assert places == sorted(places)
    assert -1 not in places
    assert gateway.run("queue", "--retry", line.split()[0]).returncode == 1


def test_a_relay_that_takes_only_small_mails_gets_a_smaller_one(gateway: Gateway) -> None:
    gateway.service("big", shell("head -c 300000 /dev/zero; echo a few words >&2"))
    with relay_beside({"EHLO": "250-relay\r\n250 SIZE 20000"}) as relay:
        by(gateway, relay.port)
        gateway.start()
        mail = request("big")
        gateway.send(mail)
        eventually(lambda: relay.mails, 30, gateway.logged)
        eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    (sent,) = relay.mails
    assert len(sent) <= 20000
    letter = read(sent)
    assert attached(letter)["stderr.txt"] == b"a few words\n"
    assert gzip.decompress(attached(letter)["stdout.txt.gz"]) == bytes(300000)
    assert "stdout.txt" in text_of(letter)
    told = gateway.run("explain", str(mail["Message-ID"])).stdout.decode()
    assert f"planned as {letter['Message-ID']}" in told
    assert "shortened" in told


def test_a_letter_on_its_way_when_the_daemon_is_told_to_end_goes_once(gateway: Gateway) -> None:
    with relay_beside({"DOT": "hang"}) as relay:
        by(gateway, relay.port)
        gateway.start()
        gateway.send(posted(), to="once@gate.example.org")
        eventually(lambda: relay.hangs, 30, gateway.logged)
        os.kill(gateway.pid, signal.SIGTERM)
        eventually(lambda: "\nstopping\n" in gateway.logged())
        relay.go_on("250 2.0.0 ok")
        assert gateway.died() == 0
        assert gateway.run("queue").stdout == b""
    assert len(relay.mails) == 1


def test_a_disk_that_does_not_answer_keeps_the_daemon_from_no_end(gateway: Gateway) -> None:
    port = free_port()
    by(gateway, port)
    gateway.start()
    gateway.send(posted(content=os.urandom(200_000)), to="once@gate.example.org")
    (letter,) = eventually(lambda: list((gateway.spool / "letters").iterdir()))
    eventually(lambda: gateway.logged("unreachable"), 30, gateway.logged)
    # Whoever opens it waits for ever.
    kept = letter.rename(gateway.folder / "kept")
    os.mkfifo(letter)
    with relay_beside(port=port) as relay:
        eventually(lambda: relay.sessions, 40, gateway.logged)
        eventually(lambda: relay.commands[-1:] == ["DATA"], 40, gateway.logged)
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < 10
        letter.unlink()
        kept.rename(letter)
        gateway.start()
        eventually(lambda: not gateway.unsent(), 40, gateway.logged)
    assert len(relay.mails) == 1


# --- the Maildir ------------------------------------------------------------------------------------


def test_a_maildir_that_cannot_be_written_delays_its_own_letters_alone(gateway: Gateway) -> None:
    gateway.outgoing.mkdir()
    (gateway.outgoing / ADA).write_text("in the way")
    gateway.start()
    gateway.send(posted(), to="once@gate.example.org")
    eventually(lambda: gateway.logged("unreachable").count(ADA) >= 2, 30, gateway.logged)
    (line,) = gateway.run("queue").stdout.decode().splitlines()
    assert "WAITING" in line
    assert "cannot be written: Not a directory" in line
    gateway.send(request(sender=BOB, attachments={"data": b"x"}), sender=BOB)
    gateway.await_results(1, BOB)
    (gateway.outgoing / ADA).unlink()
    prove_once(gateway, 1)


def test_a_maildir_on_a_disk_that_is_read_only_and_then_full_gets_each_letter_once(
    gateway: Gateway,
) -> None:
    with small_disk(gateway.outgoing, "1m") as disk:
        gateway.start()
        disk.freeze(frozen=True)
        for sender in (ADA, BOB):
            mail = request("once", sender=sender, attachments={"data": bytes(100_000)})
            gateway.send(mail, sender=sender)
        for found in (ADA, BOB):
            eventually(partial(delayed, gateway, found), 30, gateway.logged)
        disk.freeze(frozen=False)
        disk.fill()
        eventually(lambda: "No space left" in gateway.logged("unreachable"), 30, gateway.logged)
        disk.clear()
        for sender in (ADA, BOB):
            gateway.await_results(1, sender)
        eventually(lambda: not gateway.unsent(), 30, gateway.logged)
        assert [len(gateway.results(sender)) for sender in (ADA, BOB)] == [1, 1]
        assert not list(gateway.outgoing.glob("*/tmp/*"))
        gateway.kill()


# --- the clock --------------------------------------------------------------------------------------


def delayed(gateway: Gateway, recipient: str) -> bool:
    return recipient in gateway.logged("unreachable")


class Clock:
    """The wall clock as a gateway sees it, its monotonic one left alone."""

    def __init__(self, gateway: Gateway) -> None:
        require("faketime")
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self._file = gateway.folder / "clock"
        self.set("+0")
        gateway.environment |= {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip

    def set(self, step: str) -> None:
        """Move it against the true one: ``-1h``, ``+1d``."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{step}\n")
        draft.replace(self._file)


def times(letter) -> dict[str, datetime]:
    told = json.loads(attached(letter)["job.json"])["times"]
    return {name: datetime.fromisoformat(value) for name, value in told.items() if value}


@pytest.mark.parametrize("step", ["-1h", "+1d"])
def test_a_clock_that_is_set_delays_no_letter_and_doubles_no_job(
    gateway: Gateway, step: str
) -> None:
    clock = Clock(gateway)
    gateway.service("waits", waiting(gateway))
    says = {"RCPT TO:<bob@example.org>": "451 4.7.1 later"}
    with relay_beside(says) as relay:
        by(gateway, relay.port)
        gateway.start()
        # A job runs, and a letter waits for its next try.
        gateway.send(request("waits"))
        gateway.send(request("once", attachments={"data": b"x"}, sender=BOB), sender=BOB)
        eventually(lambda: "to=EXECUTING" in gateway.logged(), 30, gateway.logged)
        eventually(lambda: gateway.logged("refused"), 30, gateway.logged)
        clock.set(step)
        eventually(lambda: gateway.logged("clock"), 30, gateway.logged)
        assert f"stepped={'-3600' if step == '-1h' else '86400'}" in gateway.logged("clock")
        says.clear()
        eventually(lambda: len(relay.mails) == 1, 30, gateway.logged)
        (gateway.folder / "go").touch()
        gateway.send(posted(), to="once@gate.example.org")
        eventually(lambda: len(relay.mails) == 3, 30, gateway.logged)
        eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    assert len(relay.mails) == 3
    assert len(ran(gateway)) == len(set(ran(gateway))) == 3
    for letter in map(read, relay.mails):
        told = times(letter)
        assert told["created"] <= told["ended"]
        assert told["started"] <= told["ended"]
        assert told["ended"] - told["started"] < timedelta(days=1, minutes=5)
        assert letter["Mailgate-Exit"] == "0"


def test_a_clock_that_was_set_back_while_the_daemon_was_down_delays_no_letter(
    gateway: Gateway,
) -> None:
    clock = Clock(gateway)
    says = {"RCPT": "451 4.7.1 later"}
    with relay_beside(says) as relay:
        by(gateway, relay.port)
        gateway.start()
        gateway.send(posted(), to="once@gate.example.org")
        eventually(lambda: gateway.logged("refused"), 30, gateway.logged)
        gateway.stop()
        clock.set("-1h")
        says.clear()
        gateway.start()
        eventually(lambda: relay.mails, 30, gateway.logged)
        eventually(lambda: not gateway.unsent(), 30, gateway.logged)
        gateway.stop()
        clock.set("+10d")
        gateway.start()
        doubt = "at a start the clock was over a day ahead"
        eventually(lambda: doubt in gateway.logged("delayed"), 30, gateway.logged)
    assert len(relay.mails) == 1


# --- reading processes ------------------------------------------------------------------------------


def gone(link: Path) -> bool:
    return not link.is_symlink()


class Trap:
    """Have the reading of the first mail wait for ever: where its input is staged stands a pipe."""

    def __init__(self, gateway: Gateway) -> None:
        self.place = gateway.spool / "staged" / "1-once-0"
        self.place.parent.mkdir(parents=True)
        os.mkfifo(self.place)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Have a reading process in it; more than a pipe holds it cannot write."""
        opened = os.open(self.place, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert select.select([opened], [], [], 30)[0]
            yield
        finally:
            os.close(opened)


def test_a_mail_that_stalls_its_reading_twice_is_held_and_the_next_one_is_read(
    gateway: Gateway,
) -> None:
    gateway.configure(more='[read]\ntime_limit = "2s"\n')
    trap = Trap(gateway)
    gateway.start()
    (before,) = eventually(lambda: readers(gateway))
    gateway.send(posted(content=bytes(100_000)), to="once@gate.example.org")
    gateway.send(posted(), to="once@gate.example.org")
    eventually(lambda: gateway.logged("held"), 30, gateway.logged)
    prove_once(gateway, 1)
    assert before not in readers(gateway)
    (line,) = gateway.run("hold", "list").stdout.decode().splitlines()
    assert line.endswith("reading it took over 2 s")
    # Nothing of it is lost: what stalled it is gone, and the operator lets it go on.
    trap.place.unlink()
    assert gateway.run("hold", "release", line.split()[0]).returncode == 0
    prove_once(gateway, 2)


def test_a_mail_whose_reading_was_stopped_once_is_read_by_another_process(
    gateway: Gateway,
) -> None:
    # On a busy machine the second process, too, takes a while for its first mail.
    gateway.configure(more='[read]\ntime_limit = "4s"\n')
    gateway.start()
    (before,) = eventually(lambda: readers(gateway))
    os.kill(before, signal.SIGSTOP)
    gateway.send(posted(), to="once@gate.example.org")
    prove_once(gateway, 1)
    assert before not in readers(gateway)
    assert gateway.logged("held") == ""
    assert 'what=read message=1 reason="reading it took over 4 s"' in gateway.logged("delayed")


def test_a_mail_that_kills_its_reading_twice_is_held_and_the_next_one_is_read(
    gateway: Gateway,
) -> None:
    trap = Trap(gateway)
    gateway.start()
    gateway.send(posted(content=bytes(500_000)), to="once@gate.example.org")
    gateway.send(posted(), to="once@gate.example.org")
    for _ in range(2):
        with trap.caught():
            (process,) = readers(gateway)
            os.kill(process, signal.SIGKILL)
            # A dying process lets go of its files after its memory.
            eventually(partial(gone, Path(f"/proc/{process}/fd/1")))
    eventually(lambda: gateway.logged("held"), 30, gateway.logged)
    assert "reading it killed the reading process" in gateway.logged("held")
    prove_once(gateway, 1)


def test_mail_is_read_at_low_priority(gateway: Gateway) -> None:
    gateway.start()
    low = min(os.getpriority(os.PRIO_PROCESS, gateway.pid) + 10, 19)
    reading = eventually(lambda: readers(gateway))
    assert eventually(lambda: {os.getpriority(os.PRIO_PROCESS, r) for r in reading} == {low})


def test_a_reading_process_that_somebody_kills_costs_no_mail(gateway: Gateway) -> None:
    gateway.start()
    for number in range(3):
        for process in eventually(lambda: readers(gateway)):
            os.kill(process, signal.SIGKILL)
        gateway.send(posted(), to="once@gate.example.org")
        prove_once(gateway, number + 1)
    assert gateway.logged("held") == gateway.logged("warned") == ""


def test_a_mail_too_big_for_the_reading_processes_memory_is_held_and_the_next_one_is_read(
    gateway: Gateway,
) -> None:
    gateway.configure(more='[read]\nmemory = "128 MiB"\n')
    gateway.service("text", once(gateway, "cat", 'stdin = "text"\n[input.text]\nfrom = "body"'))
    gateway.start()
    html = "<p>" * 3_000_000
    mail = f"From: {ADA}\r\nContent-Type: text/html\r\n\r\n{html}\r\n".encode()
    gateway.send(mail, to="text@gate.example.org")
    gateway.send(posted(), to="once@gate.example.org")
    eventually(lambda: gateway.logged("held"), 30, gateway.logged)
    assert 'reason="reading it failed' in gateway.logged("held")
    prove_once(gateway, 1)


# --- the log ----------------------------------------------------------------------------------------


def test_the_log_holds_neither_a_mails_words_nor_a_secret(gateway: Gateway) -> None:
    marker, password = "Wombat7Zebra", "pass3Giraffe"
    file = gateway.folder / "password"
    file.write_text(password)
    file.chmod(0o600)
    more = '[parameter.word]\ntype = "text"\nmax_length = 40'
    gateway.service("says", once(gateway, 'echo "$1"; echo "$1" >&2; exit 3', more).replace(
        '"]\n[param', '", "sh", "{word}"]\n[param'))  # fmt: skip
    says = {
        "EHLO": "250-relay\r\n250 AUTH PLAIN LOGIN",
        "RCPT TO:<bob@example.org>": "550 5.1.1 no",
        f"RCPT TO:<{ADA}>": "451 4.7.1 later",
    }
    with relay_beside(says) as relay:
        by(gateway, relay.port)
        gateway.config.write_text(
            gateway.config.read_text() + f'user = "gateway"\npassword_file = "{file}"\n'
        )
        gateway.start()
        gateway.send(request("says", f"word: {marker}\n\n{marker}\n", Comments=marker))
        gateway.send(request("says", f"wrod: {marker}\nlabel: {marker}\n", sender=BOB), sender=BOB)
        gateway.send(posted(content=f"{marker}\n".encode() * 9000), to="once@gate.example.org")
        gateway.send(request(attachments={f"{marker}.x": b"x", "y": b"y"}))
        eventually(lambda: gateway.logged("refused"), 30, gateway.logged)
        eventually(lambda: gateway.logged("held"), 30, gateway.logged)
        eventually(lambda: len(ran(gateway)) == 2, 30, gateway.logged)
        assert any(command.startswith("AUTH") for command in relay.commands)
        says["AUTH"] = "535 5.7.8 no"
        assert gateway.stop() == 0
        gateway.start()
        eventually(lambda: "535 5.7.8" in gateway.logged("unreachable"), 30, gateway.logged)
        assert gateway.stop() == 0
    log = gateway.logged()
    assert marker not in log
    assert password not in log
    assert all(line.split(" ")[0].isidentifier() for line in log.replace("-", "").splitlines())
