"""Mail that comes back for letters of ours: whose it is, whether its text is kept, that it came."""

from datetime import timedelta

from mailgate.spool.database import Tx, View

# A mail server says that a letter is late and, hours later, that it failed.
_SELDOM = timedelta(hours=1)
# So many texts tell what is wrong with an address.
_MOST = 10


def tagged(view: View, tag: str) -> int | None:
    """Return the letter that left with this bounce tag."""
    row = view.one("SELECT id FROM letter WHERE tag = ?", tag)
    return row["id"] if row else None


def is_wanted(view: View, letter: int, *, now: float) -> bool:
    """Whether the text of mail that comes back for a letter is worth keeping.

    Whoever has had a letter knows where mail for it is taken: of what comes all the time only the
    first in an hour is, and ten in all.
    """
    row = view.one("SELECT job, noted FROM letter WHERE id = ?", letter)
    if row is None or (row["noted"] or 0) > now - _SELDOM.total_seconds():
        return False
    came = view.count(
        "SELECT COUNT(*) FROM (SELECT 1 FROM event WHERE job IS ? AND verb = 'returned'"
        " AND detail GLOB ? LIMIT ?)",
        row["job"],
        f"letter={letter} *",
        _MOST,
    )
    return came < _MOST


def noted(tx: Tx, letter: int, message: int) -> bool:
    """Note on a letter that mail came back for it; whether its text is worth keeping."""
    wanted = is_wanted(tx, letter, now=tx.at)
    row = tx.one("SELECT job FROM letter WHERE id = ?", letter)
    tx.execute("UPDATE letter SET noted = ? WHERE id = ?", tx.at, letter)
    tx.note(
        "returned", job=row["job"] if row else None, detail=f"letter={letter} message={message}"
    )
    return wanted
