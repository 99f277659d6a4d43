"""Limit how long the job may run, counted from its start; also while it runs.

A longer time than before is taken too, as far as the service allows it.
"""

from datetime import UTC, datetime, timedelta

from mailgate.commands import lifetime
from mailgate.commands.call import Call, meant, unfit
from mailgate.model import Answer, Job
from mailgate.phases import ACTIVE
from mailgate.saying import Saying
from mailgate.settings.units import said_duration
from mailgate.spool import wishes
from mailgate.spool.database import Tx

usage = "limit 2h"
meant_by = ("work-limit", "time-limit", "timeout")

_SHOWN = {"limit": timedelta(hours=2), "ends": None, "over": False}


def execute(tx: Tx, call: Call) -> Answer:
    """Set the limit; an attempt that runs is told."""
    span = lifetime.span(call.words)
    if span is None:
        expected = Saying("commands/time", line=usage)
        return unfit(call, expected, near=meant(call, lifetime.span))
    job = call.job
    if job.phase not in ACTIVE:
        return Answer(kind="limit-not", facts={"ended": job.ended}, wrong=True)
    most = _most(call)
    if span > most:
        facts = {"most": most, "example": said_duration(most).replace(" ", "")}
        return Answer(kind="limit-over", facts=facts, wrong=True)
    wishes.limit(tx, job, span, by=call.by)
    ends = job.started + span if job.started is not None else None
    facts = {"limit": span, "ends": ends, "over": ends is not None and ends <= tx.now}
    return Answer(kind="limit", facts=facts)


def _most(call: Call) -> timedelta:
    """How long the job may run; one that may run longer already may go on doing so."""
    if call.who is None:
        return lifetime.LONGEST
    service = call.services.get(call.job.service)
    allowed = service.limits.work if service is not None else _now(call.job)
    return max(allowed or lifetime.LONGEST, call.job.work_limit or timedelta())


def _now(job: Job) -> timedelta:
    return job.work_limit or lifetime.LONGEST


samples = (
    Answer(kind="limit", facts=_SHOWN),
    Answer(kind="limit", facts={**_SHOWN, "ends": datetime(2027, 1, 31, 12, tzinfo=UTC)}),
    Answer(kind="limit", facts={**_SHOWN, "ends": datetime(2026, 1, 31, tzinfo=UTC), "over": True}),
    Answer(kind="limit-over", facts={"most": timedelta(hours=1), "example": "1h"}, wrong=True),
    Answer(kind="limit-not", facts={"ended": datetime(2026, 1, 31, tzinfo=UTC)}, wrong=True),
)
