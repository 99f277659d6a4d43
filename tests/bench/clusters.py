"""Clusters: how fast jobs are handed over, seen and answered, against the schedulers' own commands."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from mailgate.config import load as config_of
from mailgate.run import programs
from mailgate.run.cluster import load as adapter
from tests.bench import floor, load
from tests.bench.jobs import delivered
from tests.bench.place import ROUNDS, place
from tests.bench.table import Row
from tests.daemon import Gateway, eventually, request
from tests.gridengine import GridEngine, gridengine
from tests.slurm import Slurm, slurm

HANDED, GRID, ENDS = 400, 100, 20
"""Jobs of one measurement: handed to Slurm, to Grid Engine, and run to their end."""

WAITING = 5_000
WATCHED = 60.0
"""So many jobs wait at Slurm, while the daemon is watched for so long (seconds)."""

POLLS = 5
_HELD, _LATER, _GRID_HELD = "--hold", "--begin=now+1day", "-h"
"""What has jobs wait at Slurm, held or until tomorrow, and at Grid Engine."""


@contextmanager
def gateway(name: str, environment: Mapping[str, str], *, extra: str = "") -> Iterator[Gateway]:
    """A gateway before its start, whose jobs the engine ``name`` has, with an option of its own."""
    with place(name) as folder:
        extra = f'extra = ["{extra}"]\n' if extra else ""
        made = load.gateway(folder, more=f"[run.{name}]\n{extra}")
        text = made.config.read_text()
        made.config.write_text(text.replace("[run]\n", f'[run]\nengine = "{name}"\n'))
        made.environment.update(environment)
        try:
            yield made
        finally:
            made.kill()


def ask(made: Gateway, question: str) -> list[tuple[float, ...]]:
    with sqlite3.connect(f"file:{made.spool / 'spool.db'}?mode=ro", uri=True) as database:
        return database.execute(question).fetchall()


# --- handing over ---------------------------------------------------------------------------------


def handed_over(made: Gateway, mails: int) -> float:
    """Jobs a second that an engine is given, when a gateway starts that has so many mails."""
    paused = made.config.read_text()
    made.config.write_text(paused.replace("paused = false", "paused = true"))
    made.start()
    load.rate(made.port, size=200, mails=mails)
    made.stop()
    made.config.write_text(paused)
    made.start()
    return mails / given(made, mails)


def given(made: Gateway, jobs: int) -> float:
    """How many seconds it takes from now until an engine has so many."""
    began = time.time()
    question = "SELECT COUNT(*), MAX(submitted) FROM attempt WHERE submitted IS NOT NULL"
    eventually(lambda: ask(made, question)[0][0] >= jobs, 600, lambda: made.logged()[-2000:])
    return ask(made, question)[0][1] - began


def bare(argv: Sequence[str], environment: Mapping[str, str], *, jobs: int, at_once: int) -> float:
    """Jobs a second that the scheduler's own command hands over."""
    whole = {**os.environ, **environment}

    def one(_: int) -> None:
        subprocess.run(argv, env=whole, check=True, capture_output=True, timeout=60)

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(one, range(jobs)))
    return jobs / (time.monotonic() - began)


def to_slurm() -> Iterator[Row]:
    """Jobs handed to Slurm, where they wait, against sbatch itself."""
    argv = ("sbatch", _LATER, "--output=/dev/null", "--wrap=true")
    clear = ("scancel", "--me")
    with slurm() as cluster:
        ratios = _handed(cluster, "slurm", argv, HANDED, at_once=8, clear=clear, extra=_LATER)
        bounds = []
        for _ in range(ROUNDS):
            reference = bare(argv, cluster.environment, jobs=HANDED, at_once=8)
            rate = floor.handed_over((_LATER,), cluster.environment, jobs=HANDED)
            cluster.run(*clear)
            bounds.append(rate / reference)
    yield Row(
        what=f"jobs handed to Slurm, {HANDED} mails waiting",
        values=ratios,
        goal=0.7,
        unit="x",
        reference="bare sbatch, 8 at once",
    )
    yield Row(
        what="the same steps with no gateway around them",
        values=bounds,
        unit="x",
        reference="bare sbatch, 8 at once",
    )


def to_gridengine() -> Iterator[Row]:
    """Jobs handed to Grid Engine, where they are held, against qsub itself."""
    argv = ("qsub", _GRID_HELD, "-b", "y", "-o", "/dev/null", "-e", "/dev/null", "true")
    clear = ("qdel", "-u", "*")
    with gridengine() as cluster:
        ratios = _handed(
            cluster, "gridengine", argv, GRID, at_once=1, clear=clear, extra=_GRID_HELD
        )
    yield Row(
        what=f"jobs handed to Grid Engine, {GRID} mails waiting",
        values=ratios,
        goal=0.9,
        unit="x",
        reference="bare qsub in a loop",
    )


def _handed(
    cluster: Slurm | GridEngine,
    engine: str,
    argv: Sequence[str],
    jobs: int,
    *,
    at_once: int,
    clear: Sequence[str],
    extra: str,
) -> list[float]:
    """Hand over so many jobs in each round, once by the command itself and once by a gateway."""
    ratios = []
    for _ in range(ROUNDS):
        reference = bare(argv, cluster.environment, jobs=jobs, at_once=at_once)
        with gateway(engine, cluster.environment, extra=extra) as made:
            rate = handed_over(made, jobs)
        cluster.run(*clear)
        ratios.append(rate / reference)
        print(f"  {rate:.1f} jobs/s of {reference:.1f}", file=sys.stderr)
    return ratios


# --- thousands that wait --------------------------------------------------------------------------


def waiting() -> Iterator[Row]:
    """What 5,000 jobs cost that wait at Slurm: a poll, and the daemon's time."""
    ratios, shares, commands = [], [], []
    with slurm() as cluster, gateway("slurm", cluster.environment, extra=_HELD) as made:
        counter = counted(made, "squeue")
        made.start()
        load.rate(made.port, size=200, mails=WAITING)
        seconds = given(made, WAITING)
        print(f"  {WAITING} jobs are at Slurm, the last after {seconds:.0f} s", file=sys.stderr)
        for _ in range(ROUNDS):
            before, polls = spent(made), counter.stat().st_size
            time.sleep(WATCHED)
            shares.append((spent(made) - before) / WATCHED * 100)
            commands.append(counter.stat().st_size - polls)
            ratios.append(polled(made, cluster.environment))
            print(f"  {shares[-1]:.1f} %, {commands[-1]} polls; {ratios[-1]:.2f}", file=sys.stderr)
    yield Row(
        what=f"a poll with {WAITING:,} held jobs at Slurm, one command",
        values=ratios,
        goal=1.5,
        unit="x",
        reference="bare squeue",
        least=False,
    )
    yield Row(
        what=f"the daemon's processor time, {WAITING:,} jobs waiting at Slurm",
        values=shares,
        goal=2,
        unit="%",
        reference=f"one core; {median(commands):.0f} polls in {WATCHED:.0f} s",
        least=False,
    )


def counted(made: Gateway, name: str) -> Path:
    """Have a byte written to a file, which is returned, whenever the gateway runs a program."""
    count, folder = made.folder / f"{name}.count", made.folder / "bin"
    count.touch()
    folder.mkdir()
    path = made.environment["PATH"]
    program = folder / name
    program.write_text(f'#!/bin/sh\nprintf x >>{count}\nPATH="{path}" exec {name} "$@"\n')
    program.chmod(0o755)
    made.environment["PATH"] = f"{folder}:{path}"
    return count


def spent(made: Gateway) -> float:
    """Seconds of processor time that the gateway's processes took, and the commands that it ran."""
    ticks = 0
    for process in load.processes(made.pid):
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        # utime, stime and those of children that have ended: fields 14 to 17 of proc(5).
        ticks += sum(map(int, words[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def polled(made: Gateway, environment: Mapping[str, str]) -> float:
    """How much longer a poll takes, read and all, than the same command by itself."""
    site = config_of(made.config).run.engines["slurm"]
    scheduler = adapter("slurm")(site)
    os.environ.update(environment)

    async def ours() -> float:
        began = time.monotonic()
        said = await programs.run(scheduler.poll(), limit=site.timeout)
        seen = await asyncio.to_thread(scheduler.parse_poll, said.stdout)
        assert len(seen) >= WAITING, said
        return time.monotonic() - began

    def theirs() -> float:
        began = time.monotonic()
        subprocess.run(scheduler.poll().argv, check=True, capture_output=True, timeout=60)
        return time.monotonic() - began

    async def several() -> list[float]:
        return [await ours() for _ in range(POLLS)]

    return median(asyncio.run(several())) / median(theirs() for _ in range(POLLS))


# --- the end of a job -----------------------------------------------------------------------------


def to_the_courier() -> Iterator[Row]:
    """How long it takes from a job's end on Slurm until its reply is handed to the courier."""
    seconds: list[float] = []
    with slurm() as cluster, gateway("slurm", cluster.environment) as made:
        made.start()
        for _ in range(ENDS):
            before = delivered(made)
            made.send(request("true"), to="true@gate.mg.test")
            eventually(lambda n=before: delivered(made) > n, 120, made.logged)
        question = (
            "SELECT letter.sent - job.ended FROM letter JOIN job ON job.id = letter.job"
            " WHERE letter.kind = 'result' AND job.phase = 'COMPLETED'"
        )
        sent = "SELECT COUNT(*) FROM letter WHERE sent IS NOT NULL"
        eventually(lambda: ask(made, sent)[0][0] == ENDS, 30, made.logged)
        seconds += [took for (took,) in ask(made, question)]
        assert len(seconds) == ENDS, made.logged()
    yield Row(
        what="end of a job on Slurm -> its reply at the courier",
        values=seconds,
        goal=2,
        unit="s",
        reference="-",
        least=False,
    )
