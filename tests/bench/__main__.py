"""`make bench`: every figure against its reference in the same run, the median of interleaved runs."""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import smtplib
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import load
from tests.bench.rows import fill
from tests.bench.table import Row
from tests.daemon import ADA, ROOT, Gateway, eventually, request

ROUNDS = int(os.environ.get("MAILGATE_BENCH_ROUNDS", "3"))
MIB = 1 << 20
ENDED = 1_000_000


@contextmanager
def place(name: str) -> Iterator[Path]:
    """A folder on the same disk for both sides, that other users can enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"mailgate-bench-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(folder: Path, **settings: object) -> Iterator[Gateway]:
    gateway = load.gateway(folder, **settings)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


def intake() -> Iterator[Row]:
    """Mails taken durably, against Postfix into its queue: paused, then with all rooms at work."""
    for size, mails, name, paused_goal in ((4096, 1500, "4 KiB", 1.3), (MIB, 120, "1 MiB", 1.2)):
        ours: dict[bool, list[float]] = {True: [], False: []}
        waits: list[float] = []
        for _ in range(ROUNDS):
            with place("postfix") as folder, load.queueing_postfix(folder) as port:
                theirs = load.rate(port, size=size, mails=mails)
            for paused in (True, False):
                with place("intake") as folder, started(folder, paused=paused) as gateway:
                    ours[paused].append(load.rate(gateway.port, size=size, mails=mails) / theirs)
                    if not paused:
                        waits.append(longest_idle_wait(gateway, 20))
            print(f"  postfix {name}: {theirs:.0f}/s, ours paused x{ours[True][-1]:.2f},"
                  f" running x{ours[False][-1]:.2f}", file=sys.stderr)  # fmt: skip
        yield Row(what=f"{name} mails taken durably, 20 sessions, paused", values=ours[True],
                  goal=paused_goal, unit="x", reference="Postfix into its queue")  # fmt: skip
        yield Row(what=f"{name} mails, reading and running on", values=ours[False], goal=0.8,
                  unit="x", reference="Postfix into its queue")  # fmt: skip
        yield Row(what=f"{name}: longest wait of a job for a free slot", values=waits, goal=5,
                  unit="s", reference="-", least=False)  # fmt: skip


def longest_idle_wait(gateway: Gateway, seconds: float, slots: int = 2) -> float:
    """The longest time in which a job was queued while a slot was free."""
    time.sleep(min(seconds, 3))
    gateway.stop()
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        rows = database.execute(
            "SELECT job.created, attempt.intended, COALESCE(attempt.ended, 1e12) FROM job"
            " LEFT JOIN attempt ON attempt.job = job.id ORDER BY job.created"
        ).fetchall()
    return idle_wait(rows, slots)


def idle_wait(rows: list[tuple[float, float | None, float]], slots: int) -> float:
    """From (queued, submitted, ended): the longest stretch with a job queued and a slot free."""
    points: list[tuple[float, int, int]] = []
    end = max((row[1] or row[0] for row in rows), default=0.0)
    for queued, intended, ended in rows:
        points.append((queued, 1, 0))
        points.append((intended or end, -1, 1 if intended else 0))
        if intended and ended < 1e12:
            points.append((ended, 0, -1))
    waiting = running = 0
    longest, since = 0.0, None
    for at, queue, slot in sorted(points):
        waiting += queue
        running += slot
        if waiting > 0 and running < slots:
            since = at if since is None else since
            longest = max(longest, at - since)
        else:
            since = None
    return longest


def peak_arrival() -> Iterator[Row]:
    """Memory over idle while a 100 MiB mail arrives."""
    values = []
    for _ in range(ROUNDS):
        with place("memory") as folder:
            gateway = load.gateway(folder, paused=True)
            text = gateway.config.read_text().replace("port = 0", 'port = 0\nmax_size = "200 MiB"')
            gateway.config.write_text(text)
            gateway.start()
            try:
                mail = big_mail(75 * MIB)
                values.append(peak_over_idle(gateway, lambda: raw(gateway, mail)) / MIB)
            finally:
                gateway.kill()
    yield Row(what="peak memory over idle while a 100 MiB mail arrives", values=values, goal=64,
              unit="MiB", reference="-", least=False)  # fmt: skip


def peak_road() -> Iterator[Row]:
    """Memory over idle while a 75 MiB attachment is read, comes back and is delivered."""
    values = []
    for _ in range(ROUNDS):
        with place("road") as folder:
            gateway = load.gateway(folder, max_size="200 MiB")
            text = gateway.config.read_text().replace("port = 0", 'port = 0\nmax_size = "200 MiB"')
            gateway.config.write_text(text)
            gateway.service("echo", 'summary = "echo"\ncommand = ["cat"]\nstdin = "data"\n'
                            '[input.data]\nfrom = "attachment"\n[access]\nallow = ["*"]\n')  # fmt: skip
            gateway.start()
            gateway.send(request("echo", attachments={"a": b"x"}), to="echo@gate.mg.test")
            gateway.await_results(1)
            try:
                mail = big_mail(75 * MIB, to="echo")

                def road(sent: bytes = mail) -> None:
                    raw(gateway, sent, to="echo")
                    eventually(lambda: len(gateway.saved()) >= 2, 120, gateway.logged)

                values.append(peak_over_idle(gateway, road) / MIB)
            finally:
                gateway.kill()
    yield Row(what="peak memory over idle, a 75 MiB attachment there and back", values=values,
              goal=160, unit="MiB", reference="-", least=False)  # fmt: skip


def big_mail(size: int, *, to: str = "true") -> bytes:
    lines = base64.encodebytes(os.urandom(size)).replace(b"\n", b"\r\n")
    return (
        f"From: {ADA}\r\nTo: {to}@gate.mg.test\r\nMessage-ID: <{os.urandom(6).hex()}@x>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\n\r\n--b\r\n'
        'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="d"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + lines + b"--b--\r\n"  # fmt: skip


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


def road(folder: Path) -> tuple[float, float]:
    """Jobs a second from mail in to reply in the Maildir, and the median delay 250 -> start (ms)."""
    with started(folder, slots=8) as gateway:
        fast = throughput(gateway, 200)
        return fast, start_delay(gateway)


def throughput(gateway: Gateway, jobs: int) -> float:
    before = len(gateway.saved())
    began = time.monotonic()
    load.rate(gateway.port, size=200, mails=jobs, sessions=8)
    eventually(lambda: len(gateway.saved()) >= before + jobs, 120, gateway.logged)
    return jobs / (time.monotonic() - began)


def start_delay(gateway: Gateway, count: int = 15) -> float:
    """Median milliseconds from 250 to the start that the job's script wrote, gateway idle."""
    delays = []
    for _ in range(count):
        before = len(gateway.saved())
        gateway.send(request("true"), to="true@gate.mg.test")
        eventually(lambda n=before: len(gateway.saved()) > n, 30, gateway.logged)
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        rows = database.execute(
            "SELECT message.taken, attempt.started FROM job JOIN message ON message.id = job.message"
            " JOIN attempt ON attempt.job = job.id ORDER BY job.created DESC LIMIT ?", (count,)
        ).fetchall()
    delays = sorted(started - taken for taken, started in rows)
    return delays[len(delays) // 2] * 1000


async def _processes(count: int) -> None:
    gate = asyncio.Semaphore(8)

    async def one() -> None:
        async with gate:
            process = await asyncio.create_subprocess_exec("true")
            await process.wait()

    await asyncio.gather(*(one() for _ in range(count)))


def processes(count: int = 200) -> float:
    began = time.monotonic()
    asyncio.run(_processes(count))
    return count / (time.monotonic() - began)


def jobs_and_history() -> Iterator[Row]:
    """The road's speed against bare processes; then the same with a million ended jobs."""
    ratios, delays, aged, aged_delays, aged_intake = [], [], [], [], []
    with place("million") as million:
        gateway = load.gateway(million, slots=8)
        gateway.start()
        gateway.stop()
        print(f"  filling a spool with {ENDED} ended jobs", file=sys.stderr)
        fill(gateway.spool / "spool.db", ended=ENDED)
        for _ in range(ROUNDS):
            bare = processes()
            with place("empty") as folder:
                fresh, delay = road(folder)
            old, old_delay = road(million)
            with place("empty") as folder, started(folder, paused=True) as gateway:
                fresh_intake = load.rate(gateway.port, size=4096, mails=1000)
            with started(million, paused=True) as gateway:
                old_intake = load.rate(gateway.port, size=4096, mails=1000)
            ratios.append(fresh / bare)
            delays.append(delay)
            aged.append(old / fresh)
            aged_delays.append(delay / old_delay)
            aged_intake.append(old_intake / fresh_intake)
            print(f"  {fresh:.0f} jobs/s of {bare:.0f}, aged {old:.0f}; start {delay:.0f} ms,"
                  f" aged {old_delay:.0f}", file=sys.stderr)  # fmt: skip
    yield Row(what="mail in -> reply in the Maildir, 200 jobs, 8 slots", values=ratios, goal=0.1,
              unit="x", reference='create_subprocess_exec("true"), 8 at once')  # fmt: skip
    yield Row(what="250 -> the job's start, idle gateway", values=delays, goal=50, unit="ms",
              reference="-", least=False)  # fmt: skip
    yield Row(what="the road with 1,000,000 ended jobs", values=aged, goal=0.9, unit="x",
              reference="the same, empty spool")  # fmt: skip
    yield Row(what="250 -> start with 1,000,000 ended jobs", values=aged_delays, goal=0.9, unit="x",
              reference="the same, empty spool")  # fmt: skip
    yield Row(what="4 KiB mails taken with 1,000,000 ended jobs", values=aged_intake, goal=0.9,
              unit="x", reference="the same, empty spool")  # fmt: skip


def start_up() -> Iterator[Row]:
    """The daemon's start with a million ended jobs and a thousand that really run."""
    seconds, sizes = [], []
    with place("start") as folder:
        gateway = load.gateway(folder, slots=1000)
        gateway.service("true", load.SERVICE.replace('["true"]', '["sleep", "3600"]'))
        gateway.start()
        print("  starting 1000 jobs", file=sys.stderr)
        load.rate(gateway.port, size=200, mails=1000)
        eventually(lambda: gateway.logged().count("to=EXECUTING") >= 1000, 300)
        gateway.kill()
        try:
            fill(gateway.spool / "spool.db", ended=ENDED)
            for _ in range(ROUNDS):
                began = time.monotonic()
                gateway.start()
                seconds.append(time.monotonic() - began)
                eventually(lambda: "resumed attempts=1000" in gateway.logged(), 20)
                time.sleep(1)
                sizes.append(memory_of(gateway) / MIB)
                gateway.kill()
        finally:
            gateway.kill()
            end_jobs(gateway)
    yield Row(what="start with 1,000,000 ended and 1,000 running jobs", values=seconds, goal=2,
              unit="s", reference="-", least=False)  # fmt: skip
    yield Row(what="memory after that start", values=sizes, goal=150, unit="MiB", reference="-",
              least=False)  # fmt: skip


def memory_of(gateway: Gateway) -> int:
    return sum(load.resident(pid, "VmRSS") for pid in load.processes(gateway.pid))


def end_jobs(gateway: Gateway) -> None:
    """End the jobs that this gateway started: each script leads a session of its own."""
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        rows = database.execute("SELECT native FROM attempt WHERE state = 'STARTED'").fetchall()
    for (native,) in rows:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(native), signal.SIGTERM)


def unpacking() -> Iterator[Row]:
    """accat of a 100 MiB attachment against base64 -d of the same bytes."""
    values = []
    with place("accat") as folder:
        gateway = load.gateway(folder, max_size="200 MiB")
        gateway.service("big", 'summary = "b"\ncommand = ["head", "-c", "104857600", "/dev/urandom"]\n'
                        '[access]\nallow = ["*"]\n')  # fmt: skip
        gateway.start()
        try:
            gateway.send(request("big"), to="big@gate.mg.test")
            eventually(lambda: gateway.saved(), 120, gateway.logged)
            reply = gateway.saved()[0]
        finally:
            gateway.kill()
        encoded = folder / "encoded"
        encoded.write_bytes(longest_base64(reply))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for _ in range(ROUNDS + 2):
            theirs = clocked(["base64", "-d", str(encoded)], environment)
            ours = clocked([sys.executable, "-m", "mailgate.client.accat", str(reply)], environment)
            values.append(theirs / ours)
    yield Row(what="accat of a 100 MiB attachment", values=values[1:], goal=0.5, unit="x",
              reference="base64 -d of the same bytes")  # fmt: skip


def longest_base64(reply: Path) -> bytes:
    """The encoded bytes of a reply's biggest part."""
    boundary = next(x for x in reply.read_bytes().split(b'boundary="')[1:]).split(b'"')[0]
    parts = reply.read_bytes().split(b"--" + boundary)
    part = max(parts, key=len)
    return part.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


def clocked(command: list[str], environment: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.monotonic() - began


SECTIONS = {
    "intake": intake, "arrival": peak_arrival, "memory": peak_road, "jobs": jobs_and_history,
    "start": start_up, "accat": unpacking,
}  # fmt: skip


def main() -> int:
    """Run every section, or those named."""
    rows: list[Row] = []
    with place("disk") as folder:
        before = load.fsyncs(folder)
        for name in sys.argv[1:] or SECTIONS:
            print(f"{name} ...", file=sys.stderr)
            for row in SECTIONS[name]():
                rows.append(row)
                print(row, flush=True)
        after = load.fsyncs(folder)
    print(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores; fsync of 4 KiB:"
          f" {before:.0f}/s before, {after:.0f}/s after; {ROUNDS} rounds; median (least to most)")  # fmt: skip
    for row in rows:
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
