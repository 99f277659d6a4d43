"""Mails taken durably, against a Postfix that puts them into its queue."""

import sqlite3
import sys
import time
from collections.abc import Iterator

from tests.bench import load
from tests.bench.place import MIB, ROUNDS, place, started
from tests.bench.table import Row
from tests.daemon import Gateway


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
            print(
                f"  postfix {name}: {theirs:.0f}/s, ours paused x{ours[True][-1]:.2f},"
                f" running x{ours[False][-1]:.2f}",
                file=sys.stderr,
            )
        yield Row(
            what=f"{name} mails taken durably, 20 sessions, paused",
            values=ours[True],
            goal=paused_goal,
            unit="x",
            reference="Postfix into its queue",
        )
        yield Row(
            what=f"{name} mails, reading and running on",
            values=ours[False],
            goal=0.8,
            unit="x",
            reference="Postfix into its queue",
        )
        yield Row(
            what=f"{name}: longest wait of a job for a free slot",
            values=waits,
            goal=5,
            unit="s",
            reference="-",
            least=False,
        )


def longest_idle_wait(gateway: Gateway, seconds: float, slots: int = 2) -> float:
    """The longest time in which a job was queued while a slot was free."""
    time.sleep(min(seconds, 3))
    gateway.stop()
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        rows = database.execute(
            "SELECT job.created, attempt.intended, COALESCE(attempt.ended, 1e12) FROM job"
            " LEFT JOIN attempt ON attempt.job = job.id ORDER BY job.created"
        ).fetchall()
    assert any(intended for _, intended, _ in rows), "no job was ever started"
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
