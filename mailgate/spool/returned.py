"""Mail that comes back for letters of ours: whose it is, and what it does to its letter."""

from dataclasses import dataclass
from datetime import timedelta

from mailgate.model import JobId, LetterState
from mailgate.phases import ENDED, Phase
from mailgate.spool import codec, letters
from mailgate.spool.database import Tx, View

KEPT = 1 << 20
"""Mail of more bytes, which gives our own letter back whole, is not kept once it is read."""

# A mail server says that a letter is late and, hours later, that it failed.
_SELDOM = timedelta(hours=1)
# So many texts tell what is wrong with an address.
_MOST = 10
# More mails than these for one letter, from whoever, are not even read.
_READ = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A letter that mail came back for; ``bounces`` counts the failures it was sent again after.

    ``size`` is in bytes, 0 where it was never composed.
    """

    id: int
    state: LetterState
    job: JobId | None
    bounces: int
    size: int
    useful: bool


def tagged(view: View, tag: str) -> int | None:
    """Return the letter that left with this bounce tag."""
    row = view.one("SELECT id FROM letter WHERE tag = ?", tag)
    return row["id"] if row else None


def is_wanted(view: View, letter: int, *, now: float) -> bool:
    """Whether the text of mail that comes back for a letter is worth keeping.

    Whoever has had a letter knows where mail for it is taken: of what comes all the time only the
    first in an hour is, and ten in all.
    """
    row = view.one("SELECT noted, came FROM letter WHERE id = ?", letter)
    if row is None or (row["noted"] or 0) > now - _SELDOM.total_seconds():
        return False
    return bool(row["came"] < _MOST)


def is_read(view: View, letter: int) -> bool:
    """Whether mail that comes back for a letter is read: it may be out, and not much has come.

    One that waits may be out, too: the relay's answer is noted after mail that the relay sends at
    once. Whether it was is seen when the mail has been read.
    """
    row = view.one("SELECT state, came FROM letter WHERE id = ?", letter)
    return row is not None and row["state"] in {"SENT", "WAITING"} and row["came"] < _READ


def noted(tx: Tx, letter: int, message: int) -> bool:
    """Note on a letter that mail came back for it; whether its text is worth keeping.

    The job's history tells of as many as are read, and that there are more.
    """
    wanted = is_wanted(tx, letter, now=tx.at)
    row = tx.one("SELECT job, came FROM letter WHERE id = ?", letter)
    tx.execute("UPDATE letter SET noted = ?, came = came + 1 WHERE id = ?", tx.at, letter)
    came = row["came"] if row else 0
    if came <= _READ:
        more = ", and what comes from now on is not told" if came == _READ else ""
        detail = f"letter={letter} message={message}{more}"
        tx.note("returned", job=row["job"] if row else None, detail=detail)
    return wanted


# --- what it does to its letter -------------------------------------------------------------------


def letter_of(view: View, tag: str) -> Returned | None:
    """Return the letter of a bounce tag as it stands; None where it was forgotten.

    It is ``useful`` to send it again: a result of a job whose outputs are still there, or another
    letter about a job that has not ended.
    """
    row = view.one(
        "SELECT letter.id, state, letter.job, bounces, size, kind, job.phase AS now FROM letter"
        " LEFT JOIN job ON job.id = letter.job WHERE tag = ?",
        tag,
    )
    if row is None:
        return None
    phase = Phase(row["now"]) if row["now"] else Phase.ARCHIVED
    early = row["kind"] in {"receipt", "started", "progress", "news"}
    return Returned(
        id=row["id"],
        state=LetterState(row["state"]),
        job=JobId(row["job"]) if row["job"] else None,
        bounces=row["bounces"],
        size=row["size"] or 0,
        useful=phase is not Phase.ARCHIVED and not (early and phase in ENDED),
    )


def again(tx: Tx, letter: Returned, *, pause: timedelta, words: str) -> None:
    """Have a letter that is out sent again after ``pause``; it is then composed again."""
    hit = tx.execute(
        "UPDATE letter SET state = 'WAITING', next_try = ?, bounces = bounces + 1, file = NULL,"
        " last_words = ? WHERE id = ? AND state = 'SENT' AND size IS NOT NULL",
        tx.at + pause.total_seconds(),
        codec.words(words, most=letters.MOST),
        letter.id,
    )
    if hit:
        tx.note("deferred", job=letter.job, detail=f"letter={letter.id} bounced: {words}")
        tx.ring("deliver")


def too_big(tx: Tx, letter: Returned, *, limit: int, words: str) -> bool:
    """Have a letter that is out composed again within ``limit`` bytes, under its Message-ID.

    False where it was composed for as little already.
    """
    hit = tx.execute(
        "UPDATE letter SET state = 'PLANNED', \"limit\" = ?, size = NULL, file = NULL,"
        " next_try = NULL, bounces = bounces + 1, last_words = ? WHERE id = ? AND state = 'SENT'"
        ' AND ("limit" IS NULL OR "limit" > ?)',
        limit,
        codec.words(words, most=letters.MOST),
        letter.id,
        limit,
    )
    if hit:
        detail = f"letter={letter.id} limit={limit} bounced: {words}"
        tx.note("shortened", job=letter.job, detail=detail)
        tx.ring("reply")
    return bool(hit)


def failed(tx: Tx, letter: Returned, *, words: str) -> None:
    """Let a letter that is out be BOUNCED: its job keeps the result, for the operator to send."""
    hit = tx.execute(
        "UPDATE letter SET state = 'BOUNCED', file = NULL, last_words = ? WHERE id = ?"
        " AND state = 'SENT'",
        codec.words(words, most=letters.MOST),
        letter.id,
    )
    if hit:
        tx.note("bounced", job=letter.job, detail=f"letter={letter.id} {words}")
