"""Who else is told of a job: whom its owner has named, and who of them is told by now."""

from mailgate.model import Job, JobId, LetterKind
from mailgate.spool.database import Tx, View

# What came of it, and what `notify` asks for; what only its owner can act on is his.
_WATCHED = frozenset(
    {
        LetterKind.RESULT,
        LetterKind.DESTROYED,
        LetterKind.STARTED,
        LetterKind.PROGRESS,
        LetterKind.NEWS,
    }
)

MOST = 10
"""So many may watch a job."""


def recipients(view: View, job: Job, kind: LetterKind) -> list[str]:
    """Return whom a letter about a job goes to: its owner, and some kinds to its watchers."""
    if kind not in _WATCHED:
        return [job.owner.address]
    rows = view.all("SELECT recipient FROM watcher WHERE job = ? AND told = 1", job.id)
    return [job.owner.address, *(row["recipient"] for row in rows)]


def named(view: View, job: JobId) -> dict[str, bool]:
    """Return everybody who was named, as written, and whether they are told."""
    rows = view.all("SELECT recipient, told FROM watcher WHERE job = ? ORDER BY address", job)
    return {row["recipient"]: bool(row["told"]) for row in rows}


def is_told(view: View, job: JobId, address: str) -> bool:
    """Tell whether somebody is told of a job."""
    row = view.one(
        "SELECT 1 FROM watcher WHERE job = ? AND address = ? AND told = 1", job, address.lower()
    )
    return row is not None


def add(tx: Tx, job: JobId, recipient: str) -> None:
    """Write down that the owner named somebody; that alone tells him nothing."""
    tx.execute(
        "INSERT INTO watcher (job, address, recipient, told) VALUES (?, ?, ?, 0)"
        " ON CONFLICT DO NOTHING",
        job,
        recipient.lower(),
        recipient,
    )


def tell(tx: Tx, job: JobId, address: str) -> bool:
    """From now on somebody who was named is told; False if he is not named any more."""
    hit = tx.execute(
        "UPDATE watcher SET told = 1 WHERE job = ? AND address = ?", job, address.lower()
    )
    tx.note("watched", job=job, detail=f"{address} is told" if hit else f"{address} is not named")
    return bool(hit)


def remove(tx: Tx, job: JobId, address: str) -> bool:
    """Tell somebody no more, nor ask him; False if he was not named."""
    word = address.lower()
    hit = tx.execute("DELETE FROM watcher WHERE job = ? AND address = ?", job, word)
    tx.execute(
        "DELETE FROM confirmation WHERE job = ? AND address = ? AND asked IS NULL", job, word
    )
    if hit:
        tx.note("watched", job=job, detail=f"{address} is told no more")
    return bool(hit)
