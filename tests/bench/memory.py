"""Memory over idle: every process's own peak, as the kernel counts it."""

import base64
import os
import smtplib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import load
from tests.bench.place import MIB, ROUNDS, place
from tests.bench.table import Row
from tests.daemon import ADA, Gateway, eventually, request

BIG = 75 * MIB
ECHO = """
summary = "Give it back"
command = ["cat"]
stdin = "data"
[input.data]
from = "attachment"
[access]
allow = ["*"]
"""


def arrival() -> Iterator[Row]:
    """Memory over idle while a 100 MiB mail arrives."""
    values = []
    for _ in range(ROUNDS):
        with place("memory") as folder:
            values.append(_arrived(folder) / MIB)
    yield Row(
        what="peak memory over idle while a 100 MiB mail arrives",
        values=values,
        goal=64,
        unit="MiB",
        reference="-",
        least=False,
    )


def _arrived(folder: Path) -> float:
    gateway = _for_big_mail(folder, paused=True)
    mail = big_mail(BIG)
    try:
        return peak_over_idle(gateway, lambda: raw(gateway, mail))
    finally:
        gateway.kill()


def there_and_back() -> Iterator[Row]:
    """Memory over idle while a 75 MiB attachment is read, comes back and is delivered."""
    values = []
    for _ in range(ROUNDS):
        with place("road") as folder:
            values.append(_came_back(folder) / MIB)
    yield Row(
        what="peak memory over idle, a 75 MiB attachment there and back",
        values=values,
        goal=160,
        unit="MiB",
        reference="-",
        least=False,
    )


def _came_back(folder: Path) -> float:
    gateway = _for_big_mail(folder, max_size="200 MiB")
    # What is imported or made at the first mail is no cost of the big one.
    gateway.send(request("echo", attachments={"a": b"x"}), to="echo@gate.mg.test")
    gateway.await_results(1)
    mail = big_mail(BIG, to="echo")

    def road() -> None:
        raw(gateway, mail, to="echo")
        eventually(lambda: len(gateway.saved()) >= 2, 120, gateway.logged)

    try:
        return peak_over_idle(gateway, road)
    finally:
        gateway.kill()


def _for_big_mail(folder: Path, **settings: object) -> Gateway:
    gateway = load.gateway(folder, **settings)
    text = gateway.config.read_text().replace("port = 0", 'port = 0\nmax_size = "200 MiB"')
    gateway.config.write_text(text)
    gateway.service("echo", ECHO)
    gateway.start()
    return gateway


def big_mail(size: int, *, to: str = "true") -> bytes:
    lines = base64.encodebytes(os.urandom(size)).replace(b"\n", b"\r\n")
    return (
        (
            f"From: {ADA}\r\nTo: {to}@gate.mg.test\r\nMessage-ID: <{os.urandom(6).hex()}@x>\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n\r\n--b\r\n'
            'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="d"\r\n'
            "Content-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        + lines
        + b"--b--\r\n"
    )


def raw(gateway: Gateway, mail: bytes, *, to: str = "true") -> None:
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=120) as session:
        session.ehlo()
        session.mail(ADA)
        session.rcpt(f"{to}@gate.mg.test")
        session.docmd("DATA")
        session.send(mail + b".\r\n")
        code, words = session.getreply()
        assert code == 250, words


def peak_over_idle(gateway: Gateway, work: Callable[[], None]) -> float:
    """Bytes: every process's own peak, as the kernel counts it, over what it had before."""
    time.sleep(1)
    idle = {pid: load.resident(pid, "VmRSS") for pid in load.processes(gateway.pid)}
    for pid in idle:
        load.forget_peak(pid)
    work()
    peaks = {pid: load.resident(pid, "VmHWM") for pid in load.processes(gateway.pid)}
    return sum(peak - idle.get(pid, 0) for pid, peak in peaks.items())
