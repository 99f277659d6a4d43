"""Keep the job and its outputs so long from its end, or until a date.

A time counts from the job's end, and never ends it. A date does: what still waits or runs then is
ended. "2027-01-31" is that day's last minute, UTC.
"""

from datetime import datetime

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.saying import Saying
from mailgate.spool.database import Tx

usage = ("keep until 2027-01-31", "keep 30d")
meant_by = ("retain", "preserve", "store")


def execute(tx: Tx, call: Call) -> Answer:
    """Change how long the job is kept."""
    until, keep = _date(call.words), lifetime.span(call.words)
    if until is None and keep is None:
        near = lifetime.meant(call, lambda words: _date(words) or lifetime.span(words))
        if call.words[:1] and call.words[0].lower() == "until":
            return unfit(call, Saying("commands/date", line=usage[0]), near=near)
        expected = Saying("commands/time-or-date", time=usage[1], date=usage[0])
        return unfit(call, expected, near=near)
    gone = lifetime.gone(call, tx.now)
    if gone is not None:
        return gone
    if until is not None:
        return lifetime.keep_until(tx, call, until)
    assert keep is not None  # noqa: S101 - seen above
    return lifetime.keep_for(tx, call, keep)


def _date(words: tuple[str, ...]) -> datetime | None:
    """Read ``until 2027-01-31``."""
    dated = len(words) == 2 and words[0].lower() == "until"
    return lifetime.day(words[1]) if dated else None


samples = lifetime.samples
