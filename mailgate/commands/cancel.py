"""End the job: what it wrote so far is kept, and comes with its result.

A job that waits never starts; one that runs is stopped. One that has ended stays as it is.
"""

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer, Wish
from mailgate.phases import ACTIVE
from mailgate.spool import wishes
from mailgate.spool.database import Tx

usage = "cancel"
meant_by = ("abort", "kill", "stop", "terminate", "end")


def execute(tx: Tx, call: Call) -> Answer:
    """Leave the wish; the room that owns the engine acts on it."""
    if call.words:
        return unfit(call)
    destroyed = call.job.wish is Wish.DESTROY
    facts = {"id": call.job.id, "phase": call.job.phase, "destroyed": destroyed}
    if call.job.phase not in ACTIVE:
        return Answer(kind="cancel", facts={**facts, "ended": call.job.ended}, wrong=True)
    wishes.leave(tx, call.job.id, Wish.CANCEL, by=call.by)
    return Answer(kind="cancel", facts={**facts, "ended": None})


_SHOWN = {"id": "k7q2m5xzab3c", "phase": "EXECUTING", "destroyed": False, "ended": None}
samples = (
    Answer(kind="cancel", facts=_SHOWN),
    Answer(kind="cancel", facts={**_SHOWN, "phase": "QUEUED"}),
    Answer(kind="cancel", facts={**_SHOWN, "destroyed": True}),
)
