"""The whole road's speed, against bare processes and with a long past."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench import load
from tests.bench.place import MIB, ROUNDS, place, started
from tests.bench.rows import fill
from tests.bench.table import Row
from tests.daemon import Gateway, eventually, request

ENDED = 1_000_000
BATCHES = 3
"""Of so many the median counts: one lasts two seconds, in which a machine may be busy otherwise."""


def road(folder: Path) -> tuple[float, float]:
    """Jobs a second from mail in to reply in the Maildir, and the median delay 250 -> start (ms)."""
    with started(folder, slots=8) as gateway:
        return median(throughput(gateway, 200) for _ in range(BATCHES)), start_delay(gateway)


def throughput(gateway: Gateway, jobs: int) -> float:
    before = delivered(gateway)
    began = time.monotonic()
    load.rate(gateway.port, size=200, mails=jobs, sessions=8)
    eventually(lambda: delivered(gateway) >= before + jobs, 120, gateway.logged)
    return jobs / (time.monotonic() - began)


def delivered(gateway: Gateway) -> int:
    """How many replies have come: asked often, so it must cost the gateway's machine little."""
    folder = gateway.maildir()
    return len(os.listdir(folder)) if folder.is_dir() else 0  # noqa: PTH208 - no Path for each


def start_delay(gateway: Gateway, count: int = 50) -> float:
    """Median milliseconds from 250 to the start that the job's script wrote, gateway idle."""
    began = time.time()
    for _ in range(count):
        before = delivered(gateway)
        gateway.send(request("true"), to="true@gate.mg.test")
        eventually(lambda n=before: delivered(gateway) > n, 30, gateway.logged)
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        rows = database.execute(
            "SELECT message.taken, attempt.started FROM job JOIN message ON message.id = job.message"
            " JOIN attempt ON attempt.job = job.id WHERE message.taken >= ?",
            (began,),
        ).fetchall()
    assert len(rows) == count, f"{len(rows)} jobs were started, not {count}"
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
            bare = median(processes() for _ in range(BATCHES))
            with place("empty") as folder:
                fresh, delay = road(folder)
            old, old_delay = road(million)
            ratios.append(fresh / bare)
            delays.append(delay)
            aged.append(old / fresh)
            aged_delays.append(delay / old_delay)
            print(
                f"  {fresh:.0f} jobs/s of {bare:.0f}, aged {old:.0f}; start {delay:.0f} ms,"
                f" aged {old_delay:.0f}",
                file=sys.stderr,
            )
        for _ in range(ROUNDS):  # last: what a paused gateway takes would be run by the next road
            with place("empty") as folder, started(folder, paused=True) as gateway:
                fresh_intake = load.rate(gateway.port, size=4096, mails=1000)
            with started(million, paused=True) as gateway:
                aged_intake.append(load.rate(gateway.port, size=4096, mails=1000) / fresh_intake)
    yield Row(
        what="mail in -> reply in the Maildir, 200 jobs, 8 slots",
        values=ratios,
        goal=0.1,
        unit="x",
        reference='create_subprocess_exec("true"), 8 at once',
    )
    yield Row(
        what="250 -> the job's start, idle gateway",
        values=delays,
        goal=50,
        unit="ms",
        reference="-",
        least=False,
    )
    yield Row(
        what="the road with 1,000,000 ended jobs",
        values=aged,
        goal=0.9,
        unit="x",
        reference="the same, empty spool",
    )
    yield Row(
        what="250 -> start with 1,000,000 ended jobs",
        values=aged_delays,
        goal=0.9,
        unit="x",
        reference="the same, empty spool",
    )
    yield Row(
        what="4 KiB mails taken with 1,000,000 ended jobs",
        values=aged_intake,
        goal=0.9,
        unit="x",
        reference="the same, empty spool",
    )


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
    yield Row(
        what="start with 1,000,000 ended and 1,000 running jobs",
        values=seconds,
        goal=2,
        unit="s",
        reference="-",
        least=False,
    )
    yield Row(
        what="memory after that start",
        values=sizes,
        goal=150,
        unit="MiB",
        reference="-",
        least=False,
    )


def memory_of(gateway: Gateway) -> int:
    return sum(load.resident(pid, "VmRSS") for pid in load.processes(gateway.pid))


def end_jobs(gateway: Gateway) -> None:
    """End the jobs that this gateway started: each script leads a session of its own."""
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        rows = database.execute("SELECT native FROM attempt WHERE state = 'STARTED'").fetchall()
    for (native,) in rows:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(native), signal.SIGTERM)
