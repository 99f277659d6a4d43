"""Letters whose next try has come, and what has left within the last hour."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from mailgate.model import Letter
from mailgate.spool.database import Row, View, moment
from mailgate.spool.indexes import URGENCY

HOUR = timedelta(hours=1)


def due(view: View, *, now: datetime, limit: int, besides: Collection[int]) -> list[Letter]:
    """Return the letters whose next try has come, without those that the caller works on."""
    rows = view.all(
        "SELECT letter.*, letter_body.bytes FROM letter LEFT JOIN letter_body ON letter = letter.id"
        " WHERE state = 'WAITING' AND next_try <= ? ORDER BY next_try LIMIT ?",
        now.timestamp(),
        limit + len(besides),
    )
    return [_letter(row) for row in rows if row["id"] not in besides][:limit]


def urgent(
    view: View, *, now: datetime, limit: int, besides: Collection[int], without: Collection[str]
) -> list[Letter]:
    """Return the same, results first, and none to the recipients ``without`` (lower-case)."""
    rows = view.all(
        "SELECT letter.*, letter_body.bytes FROM letter INDEXED BY letter_urgent"
        " LEFT JOIN letter_body ON letter = letter.id"
        f" WHERE state = 'WAITING' AND next_try <= ? AND {_not(without)}"
        f" ORDER BY {URGENCY}, next_try LIMIT ?",
        now.timestamp(),
        *without,
        limit + len(besides),
    )
    return [_letter(row) for row in rows if row["id"] not in besides][:limit]


def next_due(
    view: View, *, besides: Collection[int], without: Collection[str] = ()
) -> datetime | None:
    """Return when the next try is due, besides the caller's; None when no letter waits."""
    rows = view.all(
        f"SELECT id, next_try FROM letter WHERE state = 'WAITING' AND {_not(without)}"
        " ORDER BY next_try LIMIT ?",
        *without,
        len(besides) + 1,
    )
    return next((moment(row["next_try"]) for row in rows if row["id"] not in besides), None)


def _not(recipients: Collection[str]) -> str:
    if not recipients:
        return "TRUE"
    return f"lower(recipient) NOT IN ({', '.join('?' * len(recipients))})"


def left(view: View, *, now: datetime) -> Iterator[tuple[datetime, str]]:
    """Yield when each letter of the last hour left, and to whom (lower-case), oldest first."""
    for row in view.all(
        "SELECT sent, lower(recipient) AS who FROM letter WHERE sent > ? ORDER BY sent",
        (now - HOUR).timestamp(),
    ):
        yield moment(row["sent"]), row["who"]


def _letter(row: Row) -> Letter:
    return Letter(
        id=row["id"],
        recipient=row["recipient"],
        sender=row["sender"],
        message_id=row["message_id"],
        planned=moment(row["planned"]),
        size=row["size"],
        refusals=row["refusals"],
        waited=timedelta(seconds=row["waited"]),
        tries=row["tries"],
        body=row["bytes"],
        file=row["file"],
    )
