"""What may go: expired jobs, raw mail past its time, old tombstones. Database only, no files."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mailgate.model import JobId
from mailgate.phases import Event
from mailgate.spool import jobs, letters
from mailgate.spool.database import Tx, View
from mailgate.spool.tables import ErrandState

TOMBSTONE = timedelta(days=365)
"""So long a purged job, and that a message acted, are remembered."""

HOLD = timedelta(days=14)
"""So long a held mail waits for the operator, and a refusal is remembered."""

REFUSALS = 10_000
"""So many refusals are remembered at most: any stranger can cause one."""

# Row by row in small transactions: the daemon goes on working beside it.
BATCH = 200

# What came of commands, and that a job was destroyed, can be told without its files.
_UNSENT = (
    "SELECT 1 FROM letter WHERE letter.job = job.id"
    " AND letter.kind NOT IN ('commands', 'destroyed', 'notice')"
    " AND letter.state NOT IN ('SENT', 'BOUNCED', 'WITHDRAWN')"
)
_STAGED = "SELECT 1 FROM job CROSS JOIN input ON job = id WHERE message = ? AND path = ?"
_EXPIRED = "SELECT 1 FROM job WHERE id = ? AND phase IN ('COMPLETED', 'ERROR', 'ABORTED')"
_OF_LETTERS = "letter IN (SELECT id FROM letter WHERE"
_NEEDED = (
    "SELECT 1 FROM input JOIN job AS other ON other.id = input.job WHERE input.source = job.id"
    " AND other.phase IN ('PENDING', 'HELD', 'QUEUED', 'EXECUTING', 'SUSPENDED', 'UNKNOWN')"
)
_MAY_GO = (
    "phase IN ('COMPLETED', 'ERROR', 'ABORTED')"
    f" AND NOT EXISTS ({_UNSENT}) AND NOT EXISTS ({_NEEDED})"
)
NOT_ENDED = "phase IN ('PENDING', 'HELD', 'QUEUED', 'EXECUTING', 'SUSPENDED', 'UNKNOWN')"
"""A condition on a job: it waits or runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The raw bytes of a message that may go; ``file`` names them in mail/ where they are big."""

    message: int
    file: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A held mail that was given up."""

    key: str
    reason: str


def expired_jobs(view: View, *, now: float) -> list[JobId]:
    """Return ended jobs whose lifetime is over and of which no letter is unsent or held.

    Nor does another wait to start with their inputs.
    """
    rows = view.all(
        f"SELECT id FROM job WHERE {_MAY_GO} AND destruction <= ? ORDER BY destruction LIMIT ?",
        now,
        BATCH,
    )
    return [JobId(row["id"]) for row in rows]


def destroyed_jobs(view: View) -> list[JobId]:
    """Return those of them that somebody has had destroyed, whatever the clock says."""
    few = "SELECT id FROM job INDEXED BY job_wish"
    rows = view.all(f"{few} WHERE {_MAY_GO} AND wish = 'destroy' LIMIT ?", BATCH)
    return [JobId(row["id"]) for row in rows]


def archive(tx: Tx, expired: Sequence[JobId]) -> int:
    """Leave tombstones of jobs whose files are gone, but where another sweep has. Returns how many.

    An expired job has ended, so that nothing but another sweep moves it.
    """
    left = [job for job in expired if tx.one(_EXPIRED, job)]
    for job in left:
        jobs.advance(tx, job, Event.ARCHIVE)
        # A letter may have kept it beyond its date: a tombstone's year begins when it is one.
        tx.execute("UPDATE job SET destruction = ?, wish = NULL WHERE id = ?", tx.at, job)
        letters.outlived(tx, job)
        tx.execute("DELETE FROM input WHERE job = ?", job)
        tx.execute("DELETE FROM shipment WHERE job = ?", job)
    return len(left)


def bury(tx: Tx) -> int:
    """Forget tombstones that are a year old, and messages as old. Returns how many."""
    before = tx.at - TOMBSTONE.total_seconds()
    old = tx.all(
        "SELECT id FROM job WHERE phase = 'ARCHIVED' AND destruction <= ? LIMIT ?", before, BATCH
    )
    for row in old:
        tx.execute(f"DELETE FROM letter_body WHERE {_OF_LETTERS} job = ?)", row["id"])
        for table in (
            "attempt",
            "mistake",
            "stream",
            "input",
            "letter",
            "shipment",
            "event",
            "watcher",
        ):
            tx.execute(f"DELETE FROM {table} WHERE job = ?", row["id"])
        tx.execute("DELETE FROM job WHERE id = ?", row["id"])
    messages = tx.all(
        "SELECT id FROM message WHERE gone = 1 AND purge <= ? AND NOT EXISTS"
        " (SELECT 1 FROM job WHERE job.message = message.id) LIMIT ?",
        tx.at,
        BATCH,
    )
    for row in messages:
        tx.execute(
            "DELETE FROM act WHERE errand IN (SELECT id FROM errand WHERE message = ?)", row["id"]
        )
        tx.execute("DELETE FROM errand WHERE message = ?", row["id"])
        tx.execute(
            f"DELETE FROM letter_body WHERE {_OF_LETTERS} message = ? AND job IS NULL)", row["id"]
        )
        tx.execute("DELETE FROM letter WHERE message = ? AND job IS NULL", row["id"])
        tx.execute("DELETE FROM message WHERE id = ?", row["id"])
    return len(old) + len(messages)


def give_up_held(tx: Tx) -> list[Given]:
    """Let held mail go that nobody has released in time, but none that could not be read."""
    old = tx.all(
        "SELECT errand.id, message.id AS message, key, reason FROM errand"
        " JOIN message ON message.id = message"
        " WHERE state = 'HELD' AND unread = 0 AND taken <= ? LIMIT ?",
        tx.at - HOLD.total_seconds(),
        BATCH,
    )
    for row in old:
        tx.execute(
            "UPDATE errand SET state = ?, reason = 'never released: ' || reason, done = ?"
            " WHERE id = ?",
            ErrandState.DONE,
            tx.at,
            row["id"],
        )
        tx.execute("UPDATE message SET purge = ? WHERE id = ?", tx.at, row["message"])
    return [Given(key=row["key"], reason=row["reason"] or "") for row in old]


def raw_mail(view: View, *, now: float) -> list[Raw]:
    """Return messages whose raw bytes may go: past their date, nothing of them waits or runs."""
    rows = view.all(
        "SELECT id, file FROM message WHERE purge <= ? AND gone = 0"
        " AND NOT EXISTS (SELECT 1 FROM errand WHERE errand.message = message.id"
        "                 AND state <> 'DONE')"
        f" AND NOT EXISTS (SELECT 1 FROM job WHERE job.message = message.id AND {NOT_ENDED})"
        " ORDER BY purge LIMIT ?",
        now,
        BATCH,
    )
    return [Raw(message=row["id"], file=row["file"]) for row in rows]


def forget(tx: Tx, raws: Sequence[Raw]) -> None:
    """Note that raw bytes are gone; what is known of the messages stays for a year."""
    for raw in raws:
        tx.execute("DELETE FROM body WHERE message = ?", raw.message)
        tx.execute(
            "UPDATE message SET gone = 1, file = NULL, purge = taken + ? WHERE id = ?",
            TOMBSTONE.total_seconds(),
            raw.message,
        )


def forget_refusals(tx: Tx, *, most: int = REFUSALS) -> int:
    """Forget old decisions about mail that was never taken, and all but the ``most`` newest."""
    many = tx.execute(
        "DELETE FROM event WHERE id IN (SELECT id FROM event INDEXED BY event_loose"
        " WHERE job IS NULL AND verb = 'refused' ORDER BY at DESC LIMIT ? OFFSET ?)",
        BATCH,
        most,
    )
    return many + tx.execute(
        "DELETE FROM event WHERE id IN"
        " (SELECT id FROM event INDEXED BY event_loose WHERE at <= ? AND job IS NULL LIMIT ?)",
        tx.at - HOLD.total_seconds(),
        BATCH,
    )


def unknown_mail(view: View, names: Collection[str]) -> list[str]:
    """Return those file names of mail/ that no message knows."""
    return [n for n in names if not view.one("SELECT 1 FROM message WHERE file = ?", n)]


def unknown_staged(view: View, paths: Collection[str]) -> list[str]:
    """Return those staged files, each ``MESSAGE-SERVICE-N``, that no job waits for."""
    return [path for path in paths if not view.one(_STAGED, path.partition("-")[0], path)]


def unknown_letters(view: View, numbers: Collection[int]) -> list[int]:
    """Return those letters, of the files in letters/, whose bytes nobody will send."""
    return [
        n
        for n in numbers
        if not view.one(
            "SELECT 1 FROM letter WHERE id = ? AND state IN ('PLANNED', 'WAITING', 'HELD')", n
        )
    ]


def unknown_jobs(view: View, names: Collection[str]) -> list[str]:
    """Return those job folders whose job is unknown or has only a tombstone."""
    return [
        name
        for name in names
        if not view.one("SELECT 1 FROM job WHERE id = ? AND phase <> 'ARCHIVED'", name)
    ]
