"""Letters that fall due by the clock: receipts, news of jobs that wait or run, notices of the end.

Each is planned in one transaction with what keeps it from being planned again. The questions are
answered by partial indexes: jobs of which nothing is due weigh nothing.
"""

from collections.abc import Collection
from datetime import timedelta

from mailgate.model import Job, JobId, LetterKind, Notify
from mailgate.phases import ACTIVE, Phase
from mailgate.spool import codec, letters, owned
from mailgate.spool.database import Row, Tx, View
from mailgate.spool.jobs import fetch
from mailgate.spool.outlook import outlook
from mailgate.spool.turns import Turns

BEFORE = timedelta(hours=24)
"""So long before its outputs are destroyed a job's owner is told."""

SHORT = timedelta(days=3)
"""Who has them kept for less knows that they go."""

# No quota keeps anybody back.
_FREE = Turns()
_FRESH = "state IN ('PLANNED', 'WAITING', 'HELD')"


def next_due(view: View, *, besides: Collection[JobId] = ()) -> float | None:
    """When the next receipt or news is due, as seconds since 1970; None when none is.

    Those of the jobs ``besides`` do not count.
    """
    rows = view.all(
        "SELECT * FROM (SELECT id, receipt_due AS due FROM job WHERE receipt_due IS NOT NULL"
        "  ORDER BY receipt_due LIMIT ?1) UNION ALL SELECT * FROM (SELECT id, news_due FROM job"
        "  WHERE news_due IS NOT NULL ORDER BY news_due LIMIT ?1)",
        len(besides) + 1,
    )
    return min((row["due"] for row in rows if row["id"] not in besides), default=None)


def plan_due(tx: Tx, *, limit: int, turns: Turns = _FREE, besides: Collection[JobId] = ()) -> int:
    """Plan receipts and news that are due, ``limit`` of each at most, without those ``besides``.

    ``turns`` tell what keeps a job back that is queued. Returns how many of the kind that had more.
    """
    return max(_plan_receipts(tx, limit, turns, besides), _plan_news(tx, limit, turns, besides))


def _plan_receipts(tx: Tx, limit: int, turns: Turns, besides: Collection[JobId]) -> int:
    rows = tx.all(
        "SELECT id FROM job WHERE receipt_due <= ? ORDER BY receipt_due LIMIT ?",
        tx.at,
        limit + len(besides),
    )
    rows = [row for row in rows if row["id"] not in besides][:limit]
    for row in rows:
        job = fetch(tx, JobId(row["id"]))
        tx.execute("UPDATE job SET receipt_due = NULL WHERE id = ?", job.id)
        if job.phase in ACTIVE:
            letters.plan(
                tx, job, LetterKind.RECEIPT, cause="receipt", facts=_kept_back(tx, job, turns)
            )
    return len(rows)


def _kept_back(view: View, job: Job, turns: Turns) -> dict[str, object]:
    """Say what keeps a job back that no engine has yet, and what may be expected of it."""
    found = outlook(view, job)
    waits = job.phase is Phase.QUEUED and found.queued is None
    return {
        "quota": turns.why_not(view, job.id) if waits else None,
        "paused": waits and turns.paused,
        "outlook": found,
    }


def tell(tx: Tx, job: JobId, *, notify: Collection[Notify], every: timedelta | None) -> None:
    """Have a job's owner told of these events, and how it stands so often, from now.

    Whoever chooses knows that the job was taken: there is no receipt any more.
    """
    seconds = every.total_seconds() if every else None
    tx.execute(
        "UPDATE job SET notify = ?, news_due = CASE WHEN ? IS news_every THEN news_due ELSE ? END,"
        " news_every = ?, receipt_due = NULL WHERE id = ?",
        codec.dump(frozenset(notify)),
        seconds,
        tx.at + seconds if seconds else None,
        seconds,
        job,
    )


# --- news -----------------------------------------------------------------------------------------


def _plan_news(tx: Tx, limit: int, turns: Turns, besides: Collection[JobId]) -> int:
    rows = tx.all(
        "SELECT id, news_due, news_every FROM job WHERE news_due <= ? ORDER BY news_due LIMIT ?",
        tx.at,
        limit + len(besides),
    )
    rows = [row for row in rows if row["id"] not in besides][:limit]
    for row in rows:
        job = fetch(tx, JobId(row["id"]))
        goes_on = job.phase in ACTIVE and row["news_every"]
        # Periods that nobody was there for are not made up for.
        due = _after(row["news_due"], row["news_every"], tx.at) if goes_on else None
        tx.execute("UPDATE job SET news_due = ? WHERE id = ?", due, job.id)
        if goes_on and not _has_unsent_news(tx, job):
            cause = f"news {row['news_due']:.0f}"
            counts = {"ahead": owned.ahead(tx, job.id), "run": owned.busy(tx)}
            facts = {**counts, **_kept_back(tx, job, turns)}
            letters.plan(tx, job, LetterKind.NEWS, cause=cause, facts=facts)
    return len(rows)


def _after(due: float, every: float, now: float) -> float:
    return due + every * (max(now - due, 0) // every + 1)


def _has_unsent_news(view: View, job: Job) -> bool:
    """Whether the last news has not left: two at once say no more than one."""
    return (
        view.one(f"SELECT 1 FROM letter WHERE job = ? AND kind = 'news' AND {_FRESH}", job.id)
        is not None
    )


# --- notices --------------------------------------------------------------------------------------


def plan_notices(tx: Tx, *, limit: int, past: bool = True) -> int:
    """Plan the letters that say, a day before, that a job's outputs go. Returns how many were seen.

    One for each date: a destruction that is moved is told of again before the new date. Without
    ``past`` a date that has passed is left for later: it may not have, by a clock in doubt.
    """
    rows = tx.all(
        "SELECT id, ended, destruction, wish FROM job INDEXED BY job_notice"
        " WHERE phase IN ('COMPLETED', 'ERROR', 'ABORTED')"
        " AND noticed IS NOT destruction AND destruction BETWEEN ? AND ?"
        " ORDER BY destruction LIMIT ?",
        0.0 if past else tx.at,
        tx.at + BEFORE.total_seconds(),
        limit,
    )
    for row in rows:
        tx.execute("UPDATE job SET noticed = destruction WHERE id = ?", row["id"])
        if _is_worth_telling(tx, row):
            job = fetch(tx, JobId(row["id"]))
            cause = f"notice {row['destruction']:.0f}"
            letters.plan(tx, job, LetterKind.NOTICE, cause=cause)
    return len(rows)


def _is_worth_telling(tx: Tx, row: Row) -> bool:
    # What was destroyed goes whatever the clock says.
    over = row["destruction"] <= tx.at or row["wish"] == "destroy"
    if over or is_short(row["destruction"] - row["ended"]):
        return False
    kept = tx.one("SELECT 1 FROM stream WHERE job = ? AND size > 0 LIMIT 1", row["id"])
    # Who named the date within its last day knows it.
    named = tx.one(
        "SELECT 1 FROM event WHERE job = ? AND verb = 'kept' AND at > ? LIMIT 1",
        row["id"],
        row["destruction"] - BEFORE.total_seconds(),
    )
    return kept is not None and named is None


def is_short(seconds: float) -> bool:
    """Whether outputs that are kept so long go without a word."""
    return seconds < SHORT.total_seconds()
