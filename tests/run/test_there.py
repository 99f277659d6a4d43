"""What clusters say of themselves, kept where people are told of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from mailgate.config import load
from mailgate.model.outlook import Silence
from mailgate.run.engine import Engine, Engines
from mailgate.run.there import There
from mailgate.run.underway import UnderWay
from mailgate.spool import silences
from mailgate.spool.store import Folder, Spool
from tests.spool.conftest import SITE

TWO, THREE = datetime(2026, 11, 22, 14, 2, tzinfo=UTC), datetime(2026, 11, 22, 15, tzinfo=UTC)


@dataclass
class Scheduler:
    """As much of an engine as is asked here."""

    silent: datetime | None = None
    answers: bool = False


async def test_a_cluster_is_silent_until_it_answers_whatever_becomes_of_the_daemon(
    tmp_path: Path,
) -> None:
    config = tmp_path / "mailgate.toml"
    config.write_text(
        '[gateway]\naddress = "jobs@gate.example.org"\n[deliver.maildir]\npath = "out"\n'
    )
    spool = Spool(Folder(tmp_path / "spool"), SITE)
    spool.open()
    slurm, gone = Scheduler(), Scheduler(silent=THREE)

    async def heeded(there: There, **engines: Scheduler) -> list[Silence]:
        made = {name: cast("Engine", one) for name, one in engines.items()}
        await there.heed(Engines(made, default="slurm", named={}))
        return silences.noted(spool.view)

    def begun() -> There:
        there = There(spool, UnderWay(load(config), spool, Engines({}, default="", named={})))
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
