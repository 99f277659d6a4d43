"""Release the job that is held: it is started as soon as it can.

What the gateway's operator holds, the operator alone releases.
"""

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer, Wish
from mailgate.phases import Phase
from mailgate.spool import wishes
from mailgate.spool.database import Tx

usage = "release"
meant_by = ("continue", "resume", "unhold", "go")


def execute(tx: Tx, call: Call) -> Answer:
    """Let it go on, where whoever asks may: no one undoes what the operator or a quota did."""
    if call.words:
        return unfit(call)
    job = call.job
    if job.phase is not Phase.HELD and job.wish is not Wish.HOLD:
        return Answer(kind="release-not", facts={"phase": job.phase, "by": ""}, wrong=True)
    if call.who is not None and "@" not in (job.held_by or wishes.OPERATOR):
        facts = {"phase": job.phase, "by": job.held_by or wishes.OPERATOR}
        return Answer(kind="release-not", facts=facts, wrong=True)
    wishes.release(tx, job, by=call.by)
    return Answer(kind="release")


samples = (
    Answer(kind="release"),
    *(Answer(kind="release-not", facts={"phase": p, "by": ""}, wrong=True) for p in Phase),
    Answer(kind="release-not", facts={"phase": Phase.HELD, "by": "operator"}, wrong=True),
    Answer(kind="release-not", facts={"phase": Phase.HELD, "by": "quota"}, wrong=True),
    Answer(kind="release-not", facts={"phase": Phase.HELD, "by": "cluster"}, wrong=True),
)
