"""Appointments in the spool: moved when somebody sets the clock, so that intervals stay."""

import math

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


def latest(view: View) -> float:
    """Return the newest time that the spool knows of, in seconds since 1970; 0 if it is new."""
    row = view.one(
        "SELECT MAX(COALESCE((SELECT MAX(at) FROM event), 0),"
        " COALESCE((SELECT taken FROM message ORDER BY id DESC LIMIT 1), 0),"
        " COALESCE((SELECT composed FROM letter ORDER BY id DESC LIMIT 1), 0)) AS at"
    )
    return float(row["at"]) if row else 0.0
