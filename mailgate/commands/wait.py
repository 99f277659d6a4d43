"""Mail me when the job ends: with its result, however that is."""

from mailgate.commands.call import Call, unfit
from mailgate.model import Answer, Notify
from mailgate.phases import ACTIVE
from mailgate.spool import notices
from mailgate.spool.database import Tx

usage = "wait"
meant_by = ("await", "wake")
by_mail_alone = True


def execute(tx: Tx, call: Call) -> Answer:
    """Have the end told; of one that has ended say so."""
    if call.words:
        return unfit(call)
    job = call.job
    if job.phase not in ACTIVE:
        return Answer(kind="wait", facts={"ended": job.ended}, wrong=True)
    notices.tell(tx, job.id, notify=job.notify | {Notify.END}, every=job.every)
    return Answer(kind="wait", facts={"ended": None})


samples = (Answer(kind="wait", facts={"ended": None}),)
