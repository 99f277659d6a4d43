"""Keep the job and its outputs so long from its end, or until a date.

A time counts from the job's end, and never ends it. A date does: what still waits or runs then is
ended. "2027-01-31" is that day's last minute, UTC.
"""

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.spool.database import Tx

usage = ("keep until 2027-01-31", "keep 30d")
meant_by = ("retain", "preserve", "store")


def execute(tx: Tx, call: Call) -> Answer:
    """Change how long the job is kept."""
    words = call.words
    dated = bool(words) and words[0].lower() == "until"
    until = lifetime.day(words[1]) if dated and len(words) == 2 else None
    keep = None if dated else lifetime.span(words)
    if dated and until is None:
        return unfit(call, 'a date as in "keep until 2027-01-31"')
    if not dated and keep is None:
        return unfit(call, 'a time as in "keep 30d", or a date as in "keep until 2027-01-31"')
    gone = lifetime.gone(call, tx.now)
    if gone is not None:
        return gone
    if until is not None:
        return lifetime.keep_until(tx, call, until)
    assert keep is not None  # noqa: S101 - seen above
    return lifetime.keep_for(tx, call, keep)


samples = lifetime.samples
