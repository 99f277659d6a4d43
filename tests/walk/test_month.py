"""A month of a gateway, its relay and a scheduler, in a minute: jobs outlive all that happens to them.

What is simulated: the scheduler is a fake (``tests/fakes``), and the days pass while the daemon is down: its
wall clock (libfaketime) stands later at each start, its monotonic one is true, and so is that of the nodes, which
stays where it was. The file in which the job's script notes its end has its time set, and is shown late, and
its output later still. All else is real: the daemon, the spool, the mails,
the relay's sockets, the job's processes.
"""

import json
import os
import re
import shutil
import smtplib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import Gateway, attached, eventually, read, request, running, shell, text_of
from tests.deliver.relay import Script, relay_beside
from tests.disks import Disk, small_disk
from tests.fakes.cluster import Cluster, fake
from tests.servers import free_port, require
from tests.slurm import slurm
from tests.walk.slurms import on

SOAK = bool(os.environ.get("MAILGATE_SOAK"))
# The days on which the daemon is started anew; in a soak each of them. What is to happen on a day happens
# on the next of these.
DAYS = range(1, 31) if SOAK else (10, 12, 30)
RESTORED, UPGRADED, RELAY_BACK, CLOCK_SET, FULL = 8, 10, 12, 15, 18


_MORE = """
[deliver.smtp]
host = "127.0.0.1"
port = {port}
timeout = "5s"
[run.pbs]
poll_min = "1s"
poll_max = "1s"
timeout = "5s"
path = "/usr/bin:/bin"
"""
_BODY = 'echo "$MAILGATE_TOKEN" >>{began}; echo 10 >"$MAILGATE_PROGRESS"'
_WAIT = "while [ ! -e {go} ]; do sleep 0.1; done; echo 'a month later'"
# What the format before the one of clusters did not have.
_NEW_COLUMNS = {"attempt": ("why", "starts", "held"), "job": ("given",)}
_BEFORE = 5
_INDEXES = (
    "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
)


class Month:
    """The gateway and all around it, and what day it is."""

    def __init__(self, gateway: Gateway, cluster: Cluster, disk: Disk, port: int) -> None:
        self.gateway = gateway
        self.cluster = cluster
        self.disk = disk
        self.day, self.ahead = 0.0, 0
        self.port = port
        self.relay: Script | None = None
        self.mails: list[bytes] = []
        self._relays = ExitStack()
        self.began = gateway.folder / "began"
        self.go = gateway.folder / "go"
        self._clock = gateway.folder / "clock"
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.set(0)
        gateway.environment |= {
            "PATH": f"{cluster.bin}:/usr/bin:/bin", "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        body = _BODY.replace("{began}", str(self.began))
        long = '[limits]\nwork = "40d"\n'
        gateway.service("month", shell(f"{body}; {_WAIT.replace('{go}', str(self.go))}", long))
        gateway.service("quick", shell(f"{body}; echo quick"))

    def set(self, days: float, hours: float = 0) -> None:
        """Move the wall clock to some days after the beginning."""
        self.day, self.ahead = days, round(days * 86400 + hours * 3600)
        draft = self._clock.with_suffix(".new")
        draft.write_text(f"+{self.ahead}\n")
        draft.replace(self._clock)

    def pass_to(self, day: int) -> None:
        """Let the time pass while the daemon is down; it goes down politely every other time."""
        self.goes_down(politely=day % 2 == 0)
        self.set(day)
        if day >= RELAY_BACK and self.relay is None:
            self.relay_comes()
        self.gateway.start()
        self.polled()

    def goes_down(self, *, politely: bool) -> None:
        if politely:
            assert self.gateway.stop() == 0
        else:
            self.gateway.kill()

    def polled(self, times: int = 1) -> None:
        """Wait until the scheduler has been asked some more."""
        calls = self.cluster.count("qstat")
        eventually(lambda: self.cluster.count("qstat") >= calls + times, 30, self._logged)

    def _logged(self) -> str:
        return self.gateway.logged()

    # --- mail -------------------------------------------------------------------------------------

    def send(self, service: str, body: str = "") -> str:
        mail = request(service, body)
        self.gateway.send(mail)
        return str(mail["Message-ID"])

    def ask(self) -> str:
        """Ask how the jobs stand."""
        mail = request("jobs", "list\n")
        self.gateway.send(mail)
        return str(mail["Message-ID"])

    def relay_comes(self) -> None:
        self.relay = self._relays.enter_context(relay_beside(port=self.port))

    def relay_goes(self) -> None:
        self._relays.close()
        if self.relay is not None:
            self.mails += self.relay.mails
            self.relay = None

    def letters(self) -> list[EmailMessage]:
        """Every letter that the relay got. One may come twice, with its own Message-ID: a kill does that."""
        relayed = (*self.mails, *(self.relay.mails if self.relay else ()))
        return list({letter["Message-ID"]: letter for letter in map(read, relayed)}.values())

    def answers(self, message: str) -> list[EmailMessage]:
        """What answers one mail of commands."""
        return [letter for letter in self.letters() if message == letter["In-Reply-To"]]

    def results(self, message: str = "") -> list[EmailMessage]:
        """The results of one request, or of all."""
        found = [letter for letter in self.letters() if letter["Mailgate-Exit"] is not None]
        return [letter for letter in found if message in ("", letter["In-Reply-To"])]

    def news(self) -> list[EmailMessage]:
        return [letter for letter in self.letters() if ".news-" in letter["Message-ID"]]

    def await_(self, what: Callable[[], Sized], count: int) -> None:
        eventually(lambda: len(what()) >= count, 40, self._logged)


@pytest.fixture
def month(tmp_path: Path) -> Iterator[Month]:
    require("faketime")
    port = free_port()
    with fake("pbs", tmp_path / "cluster") as cluster, running(tmp_path / "gate") as gateway:
        courier = 'courier = "smtp"\nretry = ["1s"]'
        gateway.configure(courier=courier, more=_MORE.format(port=port))
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace("[run]\n", '[run]\nengine = "pbs"\ngrace = "3s"\n'))
        with small_disk(gateway.spool, "64m") as disk:
            found = Month(gateway, cluster, disk, port)
            try:
                yield found
            finally:
                found.relay_goes()
                gateway.kill()
                cluster.close()


def older(gateway: Gateway) -> None:
    """Make the spool one of the format before: without what is new since."""
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone()[0] > _BEFORE
        for table, columns in _NEW_COLUMNS.items():
            for (index,) in database.execute(_INDEXES, (table,)).fetchall():
                database.execute(f"DROP INDEX {index}")
            for column in columns:
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute(f"PRAGMA user_version = {_BEFORE}")
        database.commit()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_job_of_a_month_has_one_result_an_honest_history_and_the_news_asked_for(
    month: Month,
) -> None:
    gateway, cluster = month.gateway, month.cluster
    cluster.set(slots=1)
    month.relay_comes()
    gateway.start()
    long = month.send("month", "notify: every 7d\n")
    eventually(month.began.exists, 30, gateway.logged)
    eventually(lambda: gateway.jobs()[0]["phase"] == "EXECUTING", 30, gateway.logged)
    # For more than a week, and for longer than letters are tried that a relay refuses: until day 12.
    month.relay_goes()
    asked = month.ask()
    eventually(lambda: gateway.logged("unreachable"), 30, gateway.logged)
    others: list[str] = []
    due, news, before = 7, 0, 0
    for day in DAYS:
        comes = range(before + 1, day + 1)
        before = day
        if UPGRADED in comes:
            # With a job that runs.
            month.goes_down(politely=True)
            older(gateway)
        month.pass_to(day)
        if day >= due:
            news, due = news + 1, due + 7 * ((day - due) // 7 + 1)
        if RESTORED in comes:
            others = restored_from_an_older_state(month)
        if CLOCK_SET in comes:
            the_clock_is_set(month)
        if FULL in comes:
            full_for_an_hour(month)
        if month.relay is not None:
            month.await_(month.news, news)
            month.await_(month.results, len(others))
            month.await_(lambda: month.answers(asked), 1)
        assert gateway.jobs()[-1]["phase"] == "EXECUTING"
        assert not month.results(long)
    ends_unseen(month)
    month.await_(lambda: month.results(long), 1)
    eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    month.polled()
    (letter,) = month.results(long)
    assert letter["Mailgate-Exit"] == "0"
    assert "a month later" in text_of(letter)
    honest(gateway, letter, ran=timedelta(days=DAYS[-1]))
    assert re.search(r"\b30 days\b|\b29 days 23 hours\b", text_of(letter))
    assert len(month.answers(asked)) == 1
    assert len(month.news()) == news == (4 if SOAK else 2)
    # Each body began once, what the scheduler had lost too.
    began = month.began.read_text().split()
    assert len(began) == len(set(began)) == 1 + len(others)
    (lost,), (second,) = map(month.results, others)
    # The clock of the nodes is that of the beginning.
    events = [honest(gateway, other, ran=timedelta()) for other in (lost, second)]
    assert events[0] == ["created", "dropped", *events[1][1:]]


def restored_from_an_older_state(month: Month) -> list[str]:
    """Have the scheduler lose its newest job, and give its number to the next."""
    first = month.send("quick")
    eventually(lambda: len(month.cluster.jobs()) == 2, 30, month.gateway.logged)
    lost = month.cluster.jobs()[-1]
    month.cluster.lie("qstat", "fail", times=2)
    month.cluster.lose_newest(1)
    second = month.send("quick")
    eventually(lambda: len(month.cluster.jobs()) == 2, 30, month.gateway.logged)
    assert month.cluster.jobs()[-1]["id"] == lost["id"]
    assert month.cluster.jobs()[-1]["name"] != lost["name"]
    month.cluster.set(slots=4)
    eventually(lambda: len(month.began.read_text().split()) == 3, 60, month.gateway.logged)
    return [first, second]


def the_clock_is_set(month: Month) -> None:
    """Set the clock back, forward, and right again, while the daemon runs."""
    day = month.day
    for hours, step in ((-1, "-3600"), (4, "18000"), (0, "-14400")):
        month.set(day, hours)
        said = f"stepped={step}"
        eventually(
            lambda said=said: said in month.gateway.logged("clock"), 30, month.gateway.logged
        )


def full_for_an_hour(month: Month) -> None:
    """Fill the file system of spool and jobs; in that hour the daemon is killed and comes back."""
    month.disk.fill()
    with pytest.raises((smtplib.SMTPException, AssertionError)):
        month.send("quick")
    month.goes_down(politely=False)
    month.set(month.day, 1)
    month.gateway.start()
    with pytest.raises((smtplib.SMTPException, AssertionError)):
        month.send("quick")
    month.polled()
    month.disk.clear()


def ends_unseen(month: Month) -> None:
    """Let the job end while the daemon is down, and its files be seen only later, its output last."""
    gateway, now = month.gateway, time.time() + month.ahead
    month.goes_down(politely=False)
    month.go.touch()
    eventually(lambda: all(job["state"] == "ended" for job in month.cluster.jobs()), 30)
    (exit_,) = (path for path in gateway.spool.glob("jobs/*/*/run/1/exit") if "month" in said(path))
    os.utime(exit_, (now, now))
    stdout = exit_.parents[2] / "out" / "stdout"
    late = [path.rename(path.with_suffix(".late")) for path in (exit_, stdout)]
    exit_.write_bytes(b"\n" * 2048)
    gateway.start()
    month.polled(2)
    assert gateway.jobs()[-1]["phase"] == "EXECUTING"
    late[0].replace(exit_)
    eventually(lambda: "is to be seen yet" in gateway.logged("delayed"), 30, gateway.logged)
    late[1].replace(stdout)


def said(exit_: Path) -> str:
    return (exit_.parents[2] / "out" / "stdout").read_text()


def honest(gateway: Gateway, letter: EmailMessage, *, ran: timedelta) -> list[str]:
    """Check the times that are told of a job, which ran so long; return what happened to it."""
    facts = json.loads(attached(letter)["job.json"])
    times = {name: datetime.fromisoformat(at) for name, at in facts["times"].items() if at}
    assert times["created"] <= times["started"] <= times["ended"]
    assert abs(times["ended"] - times["started"] - ran) < timedelta(hours=2)
    shown = json.loads(gateway.run("job", str(letter["Mailgate-Job"]), "--json").stdout)
    at = [datetime.fromisoformat(event["at"]) for event in shown["history"]]
    assert at == sorted(at)
    steps = [event["verb"] for event in shown["history"]]
    assert shown["attempts"] == 1 + steps.count("dropped")
    # Letters that were overtaken, files that have gone since.
    return [verb for verb in steps if verb in {"created", "dropped", "advanced"}][:4]


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_real_slurm_that_is_set_back_to_an_older_state_runs_what_it_had_lost(
    tmp_path: Path, soak: bool
) -> None:
    if not soak:
        pytest.skip("in make soak alone: it takes a Slurm of its own")
    with slurm(cpus=1) as cluster, running(tmp_path / "gate") as gateway:
        on(cluster, gateway)
        began, go = gateway.folder / "began", gateway.folder / "go"
        say = f'echo "$MAILGATE_TOKEN" >>{began}'
        gateway.service("runs", shell(f"{say}; while ! test -e {go}; do sleep 0.1; done"))
        gateway.service("quick", shell(say))
        gateway.start()
        gateway.send(request("runs"))
        eventually(began.exists, 30, gateway.logged)
        state, older = cluster.folder / "state", cluster.folder / "older"
        cluster.stop_controller()
        shutil.copytree(state, older)
        cluster.start_controller()
        cluster.await_idle()
        for _ in range(3):
            gateway.send(request("quick"))
        eventually(lambda: numbers(gateway) == ["1", "2", "3", "4"], 30, gateway.logged)
        cluster.kill_controller()
        shutil.rmtree(state)
        older.rename(state)
        cluster.start_controller()

        def given_anew() -> bool:
            cluster.await_idle()
            return len(numbers(gateway)) == 7

        eventually(given_anew, 60, gateway.logged)
        assert sorted(numbers(gateway)[4:]) == ["2", "3", "4"]
        go.touch()

        def come() -> bool:
            cluster.await_idle()
            return len(gateway.results()) == 4

        eventually(come, 90, gateway.logged)
        assert {letter["Mailgate-Exit"] for letter in gateway.results()} == {"0"}
        tokens = began.read_text().split()
        assert len(tokens) == len(set(tokens)) == 4


def numbers(gateway: Gateway) -> list[str]:
    """The numbers that Slurm has given so far."""
    return re.findall(r"native=(\d+)", gateway.logged("submitted"))
