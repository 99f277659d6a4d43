"""What a letter says of what a job is given, and how a reply can ask for more of it."""

from datetime import timedelta

from mailgate import said
from mailgate.model import Job, Plan, Reason
from mailgate.reply.draft import Given
from mailgate.reply.layout import fact
from mailgate.settings.units import sendable_size

# What did not do is not asked for a little bit more, but so much more.
_TIME, _MEMORY = 2, 4


def given_facts(plan: Plan) -> dict[str, object]:
    """Return what an engine gives to a job, or would."""
    return {
        "cores": plan.cores,
        "memory": fact(said.size(plan.memory)) if plan.memory else "",
        "gpus": plan.gpus,
        "queue": fact(plan.queue),
    }


def more_facts(job: Job, given: Given) -> dict[str, object]:
    """Return how much more may be asked for of what a job ran out of, as a request can say it.

    "" where it is not that, or the service allows no more.
    """
    reason = job.exit.reason if job.exit else None
    time, memory = given.optional("work_limit_max", timedelta), given.optional("memory_max", int)
    return {
        "more_time": _more_time(job, time) if reason is Reason.WORK_LIMIT else "",
        "more_memory": _more_memory(job.plan, memory) if reason is Reason.MEMORY else "",
    }


def _more_time(job: Job, most: timedelta | None) -> str:
    if most is None or job.work_limit is None or most <= job.work_limit:
        return ""
    return said.sendable(min(_TIME * job.work_limit, most))


def _more_memory(plan: Plan, most: int | None) -> str:
    if most is None or most <= (plan.memory or 0):
        return ""
    return sendable_size(min(_MEMORY * plan.memory, most) if plan.memory else most)
