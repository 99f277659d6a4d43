"""Hold the job: it is not started before it is released.

One that runs already runs on: `cancel` ends it.
"""

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer
from mailgate.phases import Phase
from mailgate.spool import wishes
from mailgate.spool.database import Tx

usage = "hold"
meant_by = ("pause", "suspend")

_SHOWN = {"id": "k7q2m5xzab3c", "phase": Phase.QUEUED, "by": "", "soon": False}


def execute(tx: Tx, call: Call) -> Answer:
    """Hold what waits; what the engine is just being given is held if it has not begun by then."""
    if call.words:
        return unfit(call)
    job = call.job
    facts: dict[str, object] = {**_SHOWN, "id": job.id, "phase": job.phase}
    if job.phase is Phase.HELD:
        return Answer(kind="hold", facts={**facts, "by": job.held_by or wishes.OPERATOR})
    if job.phase is not Phase.QUEUED or (job.wish is not None and job.wish.ends):
        return Answer(kind="hold-not", facts={"phase": job.phase}, wrong=True)
    return Answer(kind="hold", facts={**facts, "soon": not wishes.hold(tx, job, by=call.by)})


samples = (
    Answer(kind="hold", facts=_SHOWN),
    Answer(kind="hold", facts={**_SHOWN, "soon": True}),
    Answer(kind="hold", facts={**_SHOWN, "phase": Phase.HELD, "by": "operator"}),
    Answer(kind="hold", facts={**_SHOWN, "phase": Phase.HELD, "by": "ada@example.org"}),
    *(Answer(kind="hold-not", facts={"phase": phase}, wrong=True) for phase in Phase),
)
