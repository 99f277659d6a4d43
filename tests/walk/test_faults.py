"""A real gateway when the disk is full, the database locked, a reading process dead, the clock wrong.

Each time: nothing is lost, nothing is done twice, the log says what, and it goes on by itself.
"""

import json
import os
import shlex
import signal
import smtplib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.daemon import (
    ADA, ECHO, TRUE, Gateway, attached, eventually, read, request, running, shell, text_of,
)  # fmt: skip
from tests.deliver.relay import relay_beside
from tests.disks import Disk, small_disk
from tests.servers import require

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
    return shell(f"echo $MAILGATE_JOB >> {shlex.quote(str(gateway.folder / 'ran'))}; {script}", more)


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
    eventually(lambda: not gateway.run("queue").stdout, 30, gateway.logged)
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
    """The process ids of the gateway's reading processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == str(gateway.pid) and b"mailgate.read.worker" in words:
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
        assert session.getreply() == (452, b"4.3.1 the spool's disk is full; try again later")
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
    eventually(lambda: gateway.logged("delayed").count("what=read") >= 2, 30, gateway.logged)
    assert gateway.logged("held") == ""
    assert list(disk.place.glob("staged/*")) == []
    disk.clear()
    prove_once(gateway, 2)


def test_a_disk_that_is_full_when_a_job_starts_delays_it(gateway: Gateway) -> None:
    # The jobs' disk alone: what is to happen can be committed, but not done.
    with small_disk(gateway.folder / "jobs", "2m") as disk:
        gateway.configure()
        gateway.config.write_text(gateway.config.read_text().replace("[run]", '[run]\nfolder = "jobs"'))
        gateway.start()
        disk.fill()
        gateway.send(posted(content=os.urandom(300_000)), to="once@gate.example.org")
        eventually(lambda: "what=run" in gateway.logged("delayed"), 30, gateway.logged)
        assert ran(gateway) == []
        disk.clear()
        prove_once(gateway, 1)
        gateway.kill()
    assert "The disk of the job folders is full." in gateway.logged("delayed")


def test_a_job_that_fills_the_disk_fails_by_itself_and_is_answered_when_there_is_room(
    gateway: Gateway, disk: Disk
) -> None:
    gateway.service("greedy", once(gateway, 'head -c 100000000 /dev/zero > "$MAILGATE_OUTPUTS/all"'))
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
        doors = Doors(gateway)
        doors.start()
        # Readers wait for nobody.
        for words in (["jobs"], ["queue"], ["hold", "list"], ["explain", "<no@such>"]):
            assert gateway.run(*words).returncode in {0, 1}
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
            eventually(lambda: all(x in gateway.logged("delayed") for x in told), 60, gateway.logged)
        doors = Doors(gateway)
        doors.start()
        doors.join(60)
        assert sorted(doors.said) == [0, 250]
        eventually(lambda: not gateway.run("queue").stdout, 60, gateway.logged)
        eventually(lambda: len(relay.mails) >= 4, 30, gateway.logged)
        ids = [read(mail)["Message-ID"] for mail in relay.mails]
        assert len(ids) == len(set(ids)) == 4
        ends = sorted(str(read(mail)["Mailgate-Exit"]) for mail in relay.mails)
        assert ends == ["0", "0", "0", "7"]
        assert len(ran(gateway)) == len(set(ran(gateway))) == 4

