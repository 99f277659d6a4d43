"""What the operator does to letters that are not out, or came back: tries one again, drops one."""

from mailgate.spool import letters
from mailgate.spool.database import Tx


def drop(tx: Tx, letter: int) -> bool:
    """Forget a letter that is HELD or has BOUNCED, for good; False if there is none."""
    cause = letters.cause_of(tx, letter)
    row = tx.one(
        "SELECT kind, recipient FROM letter WHERE id = ? AND state IN ('HELD', 'BOUNCED')", letter
    )
    if row is None:
        return False
    tx.execute("DELETE FROM letter WHERE id = ?", letter)
    tx.execute("DELETE FROM letter_body WHERE letter = ?", letter)
    tx.note("dropped", **cause, detail=f"letter={letter} {row['kind']} to {row['recipient']}")
    return True


def retry_now(tx: Tx, letter: int) -> bool:
    """Let a letter that waits, is HELD or has BOUNCED be tried at once; False if it is neither.

    A HELD one has all its patience again; so has a BOUNCED one, whose bytes are composed again, as
    long as its job's outputs are there.
    """
    bounced = tx.execute(
        "UPDATE letter SET state = 'PLANNED', size = NULL, next_try = NULL, refusals = 0,"
        " waited = 0, bounces = 0 WHERE id = ? AND state = 'BOUNCED' AND NOT EXISTS"
        " (SELECT 1 FROM job WHERE job.id = letter.job AND phase = 'ARCHIVED')",
        letter,
    )
    if bounced:
        tx.note("requeued", **letters.cause_of(tx, letter), detail=f"letter={letter}")
        tx.ring("reply")
        return True
    hit = tx.execute(
        "UPDATE letter SET next_try = ?,"
        " refusals = CASE state WHEN 'HELD' THEN 0 ELSE refusals END,"
        " waited = CASE state WHEN 'HELD' THEN 0 ELSE waited END, state = 'WAITING' WHERE id = ?"
        " AND state IN ('WAITING', 'HELD') AND size IS NOT NULL",
        tx.at,
        letter,
    )
    if hit:
        tx.note("requeued", **letters.cause_of(tx, letter), detail=f"letter={letter}")
    tx.ring("deliver")
    return bool(hit)
