"""What clusters say of themselves, kept where people are told of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from mailgate.config import load
from mailgate.model import NativeId, Wait
from mailgate.model.outlook import Silence
from mailgate.run.engine import Engine, Engines
from mailgate.run.place import Place
from mailgate.run.sight import Waiting
from mailgate.run.there import There
from mailgate.run.underway import UnderWay
from mailgate.spool import attempts, silences
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.conftest import SITE
from tests.spool.made import a_job

TWO, THREE = datetime(2026, 11, 22, 14, 2, tzinfo=UTC), datetime(2026, 11, 22, 15, tzinfo=UTC)


@dataclass
class Scheduler:
    """As much of an engine as is asked here."""

    silent: datetime | None = None
    answers: bool = False


def under_way(folder: Path, spool: Spool) -> UnderWay:
    config = folder / "mailgate.toml"
    config.write_text(
        '[gateway]\naddress = "jobs@gate.example.org"\n[deliver.maildir]\npath = "out"\n'
    )
    place = Place(folder / "jobs", spool, min_free=0)
    return UnderWay(load(config), spool, Engines({}, default="", named={}), place)


async def test_a_cluster_is_silent_until_it_answers_whatever_becomes_of_the_daemon(
    tmp_path: Path,
) -> None:
    spool = Spool(Folder(tmp_path / "spool"), SITE)
    spool.open()
    slurm, gone = Scheduler(), Scheduler(silent=THREE)

    async def heeded(there: There, **engines: Scheduler) -> list[Silence]:
        made = {name: cast("Engine", one) for name, one in engines.items()}
        await there.heed(Engines(made, default="slurm", named={}))
        return silences.noted(spool.view)

    def begun() -> There:
        there = There(spool, under_way(tmp_path, spool))
        there.load()
        return there

    there = begun()
    assert await heeded(there, slurm=slurm) == []
    slurm.silent = TWO
    silent = Silence(engine="slurm", since=TWO)
    assert await heeded(there, slurm=slurm) == [silent]
    # Another daemon: it was not asked yet, and then answers no better.
    there, slurm = begun(), Scheduler()
    assert await heeded(there, slurm=slurm) == [silent]
    slurm.silent = THREE
    lost = Silence(engine="gone", since=THREE)
    assert await heeded(there, slurm=slurm, gone=gone) == [lost, silent]
    slurm.silent, slurm.answers = None, True
    assert await heeded(there, slurm=slurm) == [], "nor is one that nobody asks any more"
    spool.close()


async def test_why_a_job_waits_is_noted_later_where_it_cannot_be_now(tmp_path: Path) -> None:
    """All else that the round has seen, an end on a full disk, say, is still heeded."""
    folder = Folder(tmp_path / "spool")
    with direct(folder, SITE) as other:
        job = a_job(other)
        with other.transaction() as tx:
            attempt = attempts.intend(tx, job, engine="slurm")
        assert attempt is not None
        spool = Spool(folder, SITE, busy=0.1)
        spool.open()
        known = under_way(tmp_path, spool)
        await known.load()
        there = There(spool, known)
        why = Wait(why="Priority")
        seen = {attempt.token: Waiting(native=NativeId("7"), queued=why, held=False)}
        with other.transaction():
            await there.note(seen, besides=())
        assert known.open[attempt.token] == attempt, "it is news still"
        await there.note(seen, besides=())
        told = known.open[attempt.token]
        assert (told.native, told.queued) == ("7", why)
        spool.close()
