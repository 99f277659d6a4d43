"""Appointments in the spool: moved when somebody sets the clock, so that intervals stay.

A clock that was set while nobody looked is not told from days in which nothing went on. So one that
stands far ahead of all that the spool knows is doubted, and nothing expires by it for a while.
"""

import math
from datetime import timedelta

from mailgate.settings.units import said_duration
from mailgate.spool.database import Tx, View


def shift(tx: Tx, seconds: float, *, since: float) -> None:
    """Move every appointment by a step of the wall clock, so that intervals stay what they were.

    The step came at ``since`` or later, as the new clock has it. What was appointed after a step
    forward stays where it is: nothing is ever put off by more than it was.
    """
    border = since if seconds > 0 else math.inf
    tx.execute(
        "UPDATE letter SET next_try = next_try + ? WHERE state = 'WAITING' AND next_try < ?",
        seconds,
        border,
    )
    for due in ("receipt_due", "news_due"):
        tx.execute(f"UPDATE job SET {due} = {due} + ? WHERE {due} < ?", seconds, border)
    tx.note(_STEPPED, key=_CLOCK, detail=f"by {seconds:.0f} seconds")


def back(view: View, *, now: float) -> float:
    """Return by how many seconds, at least, the clock was set back, and that not moved for yet."""
    row = view.one(
        "SELECT MAX(at) AS at FROM event WHERE id >"
        " COALESCE((SELECT MAX(id) FROM event WHERE key = ? AND verb = ?), 0)",
        _CLOCK,
        _STEPPED,
    )
    return max(row["at"] - now, 0.0) if row and row["at"] is not None else 0.0


DOUBTED = timedelta(days=1)
"""A start so long after the last thing that is known has the clock doubted, for as long again."""

# The key of the clock's events, and the verb of those that appointments were moved for.
_CLOCK, _STEPPED = "clock", "stepped"


def ahead(view: View, *, now: float) -> timedelta:
    """Return by how much ``now`` is later than all that the spool knows; nothing in a new one."""
    newest = latest(view)
    return timedelta(seconds=max(now - newest, 0.0) if newest else 0.0)


def doubt(tx: Tx, by: timedelta) -> None:
    """Write down that the clock is doubted from now on: the next start knows later things."""
    tx.note("doubted", key=_CLOCK, detail=f"{said_duration(by)} after the last thing that is known")


def believe(tx: Tx) -> None:
    """Write down that the operator believes the clock."""
    if is_doubted(tx, now=tx.at):
        tx.note("believed", key=_CLOCK)


def is_doubted(view: View, *, now: float) -> bool:
    """Tell whether the clock is doubted, and nobody has believed it since."""
    row = view.one(
        "SELECT verb, at FROM event WHERE key = ? AND verb IN ('doubted', 'believed')"
        " ORDER BY id DESC LIMIT 1",
        _CLOCK,
    )
    if row is None or row["verb"] != "doubted":
        return False
    return 0.0 <= now - float(row["at"]) < DOUBTED.total_seconds()


def latest(view: View) -> float:
    """Return the newest time that the spool knows of, in seconds since 1970; 0 if it is new."""
    row = view.one(
        "SELECT MAX(COALESCE((SELECT MAX(at) FROM event), 0),"
        " COALESCE((SELECT taken FROM message ORDER BY id DESC LIMIT 1), 0),"
        " COALESCE((SELECT composed FROM letter ORDER BY id DESC LIMIT 1), 0)) AS at"
    )
    return float(row["at"]) if row else 0.0
