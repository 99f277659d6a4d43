"""Keep the job and its outputs so much longer than they would be."""

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.saying import Saying
from mailgate.spool.database import Tx

usage = "extend 7d"
meant_by = ("prolong", "longer")


def execute(tx: Tx, call: Call) -> Answer:
    """Add to the date of its destruction, or to the time that it is kept from its end."""
    more = lifetime.span(call.words)
    if more is None:
        near = lifetime.meant(call, lifetime.span, "more", "another", "longer")
        return unfit(call, Saying("commands/time", line=usage), near=near)
    gone = lifetime.gone(call, tx.now)
    if gone is not None:
        return gone
    job = call.job
    # What is longer is over every bound.
    more = min(more, 2 * lifetime.LONGEST)
    if job.destruction is None:
        return lifetime.keep_for(tx, call, job.keep + more)
    return lifetime.keep_until(tx, call, job.destruction + more)


samples = lifetime.samples
