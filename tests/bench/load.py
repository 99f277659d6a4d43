"""Loads and references: smtp-source, a Postfix that only queues, and what the disk itself can do."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon import Gateway
from tests.servers import PLACES, postfix, require

SERVICE = """
summary = "Nothing, with whatever text"
command = ["true"]
[input.text]
from = "body"
required = false
max_size = "50 MiB"
[access]
allow = ["*"]
"""


def rate(port: int, *, size: int, mails: int, sessions: int = 20, to: str = "true") -> float:
    """Mails a second that a server on loopback takes."""
    began = time.monotonic()
    subprocess.run(
        [require("smtp-source"), "-d", "-s", str(sessions), "-m", str(mails), "-l", str(size)]
        + ["-f", "ada@example.org", "-t", f"{to}@gate.mg.test", f"127.0.0.1:{port}"],
        check=True,
        capture_output=True,
        timeout=600,
        env={**os.environ, "PATH": PLACES},
    )
    return mails / (time.monotonic() - began)


@contextmanager
def queueing_postfix(folder: Path) -> Iterator[int]:
    """Start a Postfix that takes mail into its durable queue and leaves it there; yields its port."""
    del folder
    with postfix(extra="defer_transports = smtp\nqueue_run_delay = 1h") as server:
        yield server.port


def fsyncs(folder: Path, count: int = 200) -> float:
    """How many times a second one thread can append 4 KiB and fsync here."""
    path = folder / "fsync"
    with path.open("wb", buffering=0) as file:
        began = time.monotonic()
        for _ in range(count):
            file.write(bytes(4096))
            os.fsync(file.fileno())
        return count / (time.monotonic() - began)


def gateway(folder: Path, **settings: object) -> Gateway:
    """A gateway for gate.mg.test, whose service ``true`` takes whatever smtp-source writes."""
    made = Gateway(folder, **{"slots": 2, **settings})
    made.config.write_text(made.config.read_text().replace("gate.example.org", "gate.mg.test"))
    made.service("true", SERVICE)
    return made


def processes(pid: int) -> list[int]:
    """The daemon, its readers and its hands; its jobs are not the gateway."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(x) for x in (task / "children").read_text().split()]
    return [pid, *(x for x in found if b"\0-m\0mailgate." in _command(x))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def resident(pid: int, what: str) -> int:
    """Bytes of memory of a process: VmRSS now, VmHWM at its peak."""
    text = Path(f"/proc/{pid}/status").read_text()
    (line,) = [x for x in text.splitlines() if x.startswith(f"{what}:")]
    return int(line.split()[1]) << 10


def forget_peak(pid: int) -> None:
    """Let VmHWM begin again from now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
