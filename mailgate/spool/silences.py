"""Schedulers that answer no question: since when, so that whoever asks about their jobs is told.

A row is there as long as one is silent. It is a note for people: nothing is concluded from it.
"""

from collections.abc import Collection
from datetime import datetime

from mailgate.model import JobId
from mailgate.model.outlook import Silence
from mailgate.spool.database import Tx, View, moment
from mailgate.spool.indexes import OPEN


def noted(view: View) -> list[Silence]:
    """Return who is silent, by the names of their [run.NAME] tables."""
    rows = view.all("SELECT engine, since FROM silence ORDER BY engine")
    return [Silence(engine=row["engine"], since=moment(row["since"])) for row in rows]


def of_jobs(view: View, jobs: Collection[JobId]) -> list[Silence]:
    """Return who of those is silent that have attempts at these jobs."""
    silent = noted(view)
    if not silent:
        return []
    marks = ", ".join("?" * len(jobs))
    rows = view.all(f"SELECT DISTINCT engine FROM attempt WHERE {OPEN} AND job IN ({marks})", *jobs)
    engines = {row["engine"] for row in rows}
    return [one for one in silent if one.engine in engines]


def began(tx: Tx, engine: str, since: datetime) -> None:
    """Note that one is silent; where that was noted already, by a daemon before, it stays so."""
    tx.execute(
        "INSERT INTO silence (engine, since) VALUES (?, ?) ON CONFLICT DO NOTHING",
        engine,
        since.timestamp(),
    )


def over(tx: Tx, engine: str) -> None:
    """Note that one answers again, or is not asked any more."""
    tx.execute("DELETE FROM silence WHERE engine = ?", engine)
