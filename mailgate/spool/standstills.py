"""What keeps every job from starting, and since when, so that whoever asks about jobs is told.

A row is there as long as it is so. It is a note for people: nothing is concluded from it.
"""

from collections.abc import Collection

from mailgate.model import JobId
from mailgate.model.outlook import Cause, Standstill
from mailgate.spool.database import Tx, View, moment

# Whom it concerns: what runs goes on where there is merely no room.
_CONCERNED = {
    Cause.TIGHT: "phase = 'QUEUED' AND given = 0",
    Cause.AWAY: "phase IN ('QUEUED', 'EXECUTING', 'SUSPENDED')",
}


def noted(view: View) -> Standstill | None:
    """Return what keeps jobs from starting; None: nothing that is the same for all."""
    row = view.one("SELECT cause, since, why FROM standstill")
    if row is None:
        return None
    return Standstill(cause=Cause(row["cause"]), since=moment(row["since"]), why=row["why"])


def of_jobs(view: View, jobs: Collection[JobId]) -> Standstill | None:
    """Return it where one of these jobs is concerned."""
    found = noted(view)
    if found is None:
        return None
    marks = ", ".join("?" * len(jobs))
    concerned = view.one(
        f"SELECT 1 FROM job WHERE id IN ({marks}) AND {_CONCERNED[found.cause]}", *jobs
    )
    return found if concerned else None


def note(tx: Tx, cause: Cause | None, why: str) -> None:
    """Note what keeps jobs from starting from now on, in the operator's words; None: nothing."""
    tx.execute("DELETE FROM standstill")
    if cause is not None:
        tx.execute("INSERT INTO standstill (cause, since, why) VALUES (?, ?, ?)", cause, tx.at, why)
