"""The log of a daemon: whoever does not read it stops nobody, and learns what is missing."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailgate import log
from mailgate.log import Troubles, Value
from tests.daemon import Gateway, running

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
TALE = """
import os, sys
from mailgate import log
"""


@contextmanager
def telling(script: str, flow: str = "log.flow()") -> Iterator[subprocess.Popen[str]]:
    """A process that logs into a pipe."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", f"{TALE}{flow}\n{script}"]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as made:
        try:
            yield made
        finally:
            made.kill()


def test_a_log_that_nobody_reads_stops_nobody_and_what_is_missing_is_told() -> None:
    script = """
for number in range(20000):
    log.event("told", number=number, words="x" * 100)
print("on", flush=True)
sys.stdin.read()
log.event("after")
log.flush()
"""
    with telling(script) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "on\n"
        lines = []
        while not lines or " unlogged " not in lines[-1]:
            lines.append(process.stderr.readline())
        process.stdin.close()
        assert [STAMP.sub("", line) for line in process.stderr] == ["after\n"]
        assert process.wait(60) == 0
    numbers = [int(re.findall(r"number=(\d+)", line)[0]) for line in lines[:-1]]
    assert numbers == list(range(len(numbers)))
    assert f" unlogged lines={20000 - len(numbers)} " in lines[-1]


def test_a_trouble_is_told_at_once_then_once_a_minute_and_then_that_it_has_ceased() -> None:
    troubles = Troubles(60)
    assert troubles.rest(now=0) is None
    commit: dict[str, Value] = {"what": "commit", "reason": "full"}
    assert [troubles.came(commit, now=second) for second in range(3)] == [True, False, False]
    assert troubles.came({"what": "run", "reason": "full"}, now=30)
    assert (troubles.due(now=59), troubles.rest(now=59)) == ([], 1)
    assert troubles.due(now=60) == ["delayed what=commit reason=full times=2"]
    assert not troubles.came(commit, now=61)
    assert troubles.due(now=90) == ["ceased what=run reason=full"]
    assert troubles.due(now=120) == ["delayed what=commit reason=full times=1"]
    assert troubles.due(now=180) == ["ceased what=commit reason=full"]
    assert troubles.rest(now=180) is None
    assert troubles.came(commit, now=181)


def test_a_trouble_that_goes_on_is_told_again_with_whom_it_met_last() -> None:
    script = """
for number in range(3):
    log.delayed("run", job=number, reason="full", detail=f"no room for {number}")
sys.stdin.read()
"""
    with telling(script, "log.flow(every=0.2)") as process:
        assert process.stderr
        lines = [STAMP.sub("", process.stderr.readline()) for _ in range(3)]
    assert lines == [
        'delayed what=run job=0 reason=full detail="no room for 0"\n',
        'delayed what=run job=2 reason=full detail="no room for 2" times=2\n',
        "ceased what=run reason=full\n",
    ]


def test_a_process_ends_soon_whose_log_nobody_reads() -> None:
    script = """
for number in range(20000):
    log.event("told", words="x" * 100)
log.flush()
"""
    with telling(script) as process:
        assert process.wait(60) == 0


def test_what_was_told_last_is_written_and_a_forked_child_prints_for_itself() -> None:
    script = """
log.event("first")
log.flush()
if not os.fork():
    log.event("child")
    os._exit(0)
os.wait()
log.event("last")
log.flush()
os._exit(0)
"""
    with telling(script) as process:
        assert process.stderr
        lines = [STAMP.sub("", line) for line in process.stderr]
    assert lines == ["first\n", "child\n", "last\n"]


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    script = """
for number in range(1000):
    log.event("told", number=number)
log.flush()
print("on", flush=True)
"""
    with telling(script) as process:
        assert process.stderr
        assert process.stdout
        process.stderr.close()
        assert process.stdout.read() == "on\n"
        assert process.wait(60) == 0


def test_a_log_that_somebody_made_non_blocking_is_whole() -> None:
    script = """
os.set_blocking(2, False)
for number in range(4000):
    log.event("told", number=number, words="x" * 100)
log.event("end")
sys.stdin.read()
log.flush()
"""
    with telling(script) as process:
        assert process.stdin
        assert process.stderr
        lines = []
        while not lines or " end" not in lines[-1]:
            lines.append(process.stderr.readline())
        process.stdin.close()
    assert len(lines) == 4001


@pytest.mark.parametrize(("where", "stamped"), [("file", True), ("journal", False)])
def test_lines_have_their_time_but_where_the_journal_adds_it(
    tmp_path: Path, where: str, stamped: bool
) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        stream = f"{found.st_dev}:{found.st_ino if where == 'journal' else 1}"
        subprocess.run(
            [sys.executable, "-c", TALE + "log.flow()\nlog.event('told')\nlog.flush()"],
            stderr=file,
            env={**os.environ, "JOURNAL_STREAM": stream},
            check=True,
        )
    line = (tmp_path / "log").read_text()
    assert bool(STAMP.match(line)) == stamped
    assert STAMP.sub("", line) == "told\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        yield made


def test_a_gateway_whose_log_is_full_from_the_start_serves_and_ends(gateway: Gateway) -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * size)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        name = gateway.folder / "notify"
        service_manager.bind(str(name))
        service_manager.settimeout(30)
        with subprocess.Popen(
            [sys.executable, "-m", "mailgate.cli.main", "serve", "-c", str(gateway.config)],
            stdin=subprocess.DEVNULL,
            stderr=writing,
            env={**os.environ, "NOTIFY_SOCKET": str(name)},
        ) as daemon:
            try:
                assert service_manager.recv(100) == b"READY=1"
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(60) == 0
            finally:
                daemon.kill()
                os.close(reading)
                os.close(writing)


def test_what_makes_an_address_a_key_is_told_nowhere() -> None:
    words = (
        "HELD for job.k7q2m5xzab3c.ntefynvjbs7uxijp: at jobs+confirm.abcdef234567@gate.example.org"
    )
    assert (
        log.without_keys(words)
        == "HELD for job.k7q2m5xzab3c....: at jobs+confirm....@gate.example.org"
    )
    assert log.without_keys("say confirm. Then wait") == "say confirm. Then wait"
