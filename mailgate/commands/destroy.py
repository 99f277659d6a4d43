"""End the job if it has not ended, and remove its inputs and outputs for good.

Only the job's owner can. Letters about it that have not left by then do not leave any more. That
there was such a job is remembered for a year.
"""

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.phases import ENDED, Phase
from mailgate.spool import wishes
from mailgate.spool.database import Tx

usage = "destroy"
# It cannot be taken back: who is only told of a job cannot do it.
by_owner_alone = True
meant_by = ("delete", "remove", "purge", "erase")


def execute(tx: Tx, call: Call) -> Answer:
    """Let it go: what runs is ended by the room that owns the engine, the files go with a sweep."""
    if call.words:
        return unfit(call)
    job = call.job
    if job.phase is Phase.ARCHIVED:
        return Answer(kind="keep-gone", facts={"ended": job.ended, "archived": True}, wrong=True)
    needed = wishes.needed_by(tx, job.id)
    wishes.destroy(tx, job, by=call.by)
    return Answer(kind="destroy", facts={"over": job.phase in ENDED, "needed": list(needed)})


samples = (
    Answer(kind="destroy", facts={"over": True, "needed": []}),
    Answer(kind="destroy", facts={"over": False, "needed": ["k7q2m5xzab3d"]}),
)
