"""Tell where the job is: its phase and since when, how far it is, and how long it is kept.

Of a job that waits it tells why, of one that runs how long it may take and usually takes, and what
it has printed last, of one that has ended what there is of it.
"""

from datetime import datetime, timedelta

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer, Job, Wish
from mailgate.model.outlook import Cause
from mailgate.phases import ACTIVE, Phase
from mailgate.saying import Saying
from mailgate.settings.engines import Local
from mailgate.spool import owned, wishes
from mailgate.spool.database import Tx
from mailgate.spool.outlook import at_cluster, engine_of, outlook
from mailgate.spool.turns import Turns

usage = "status"
meant_by = ("state", "progress", "stat", "news", "where")


def execute(tx: Tx, call: Call) -> Answer:
    """Tell how the job stands; nothing is written."""
    if call.words:
        return unfit(call)
    return Answer(kind="status", facts=_facts(tx, call, call.job))


def _facts(tx: Tx, call: Call, job: Job) -> dict[str, object]:
    since = owned.in_phase_since(tx, job.id) or job.created
    ahead = owned.ahead(tx, job.id) if job.phase is Phase.QUEUED else 0
    run, service = call.config.run, call.services.get(job.service)
    engine = engine_of(run, service)
    table = run.engines.get(engine)
    expected = outlook(tx, job, engine=engine)
    returned = owned.undelivered(tx, job.id, (call.who or job.owner).key)
    return {
        "id": job.id,
        "service": job.service,
        "label": job.label,
        "phase": job.phase,
        "held_by": job.held_by,
        "wish": job.wish,
        "asked": wishes.asked(tx, job.id) if job.wish else None,
        "since": since,
        "lasts": tx.now - since,
        "percent": job.progress.percent if job.progress else None,
        "progress_words": job.progress.words if job.progress else "",
        "work_limit": job.work_limit,
        **at_cluster(expected, job, run, service).facts(tx.now),
        **job.plan.given,
        "ahead": ahead,
        "busy": owned.taken(tx, engine) if job.phase is Phase.QUEUED else 0,
        # At a cluster there are none that anybody knows.
        "slots": table.slots if isinstance(table, Local) else 1,
        "quota": Turns(quota=call.config.quota, services=call.services).why_not(tx, job.id)
        if job.phase is Phase.QUEUED
        else None,
        "paused": call.config.run.paused,
        "ran": job.ended - job.started if job.started and job.ended else None,
        "ended": job.ended,
        "reason": job.exit.reason if job.exit else "",
        "code": job.exit.code if job.exit else None,
        "errors": [{"at": e.at, "reason": e.reason, "words": e.words} for e in job.errors[-5:]],
        "outputs": len(job.streams),
        "size": sum(stream.size for stream in job.streams),
        "kept_until": job.destruction,
        "keep": job.keep,
        "active": job.phase in ACTIVE,
        "over": lifetime.is_over(job, tx.now),
        # A server may have said nothing.
        "returned": None if returned is None else {"words": returned},
        # What it has printed is read where that may take its time, once the answer is written.
        "tail": None,
    }


_SINCE = datetime.fromisoformat("2026-11-21T14:02:00+00:00")
_SAMPLE: dict[str, object] = {
    "id": "k7q2m5xzab3c",
    "service": "align",
    "label": "globins",
    "phase": Phase.EXECUTING,
    "held_by": None,
    "wish": None,
    "asked": None,
    "since": datetime.fromisoformat("2026-11-21T13:50:00+00:00"),
    "lasts": timedelta(hours=3, minutes=10),
    "percent": 62.0,
    "progress_words": "round 31 of 50",
    "work_limit": timedelta(hours=12),
    "usual": {
        "least": timedelta(hours=4),
        "median": timedelta(hours=5),
        "most": timedelta(hours=6),
    },
    "queued": None,
    "silence": None,
    "standstill": None,
    "cores": 8,
    "memory": 16 << 30,
    "gpus": 1,
    "queue": "long",
    "ahead": 3,
    "busy": 2,
    "slots": 2,
    "paused": False,
    "quota": None,
    "ran": None,
    "ended": None,
    "reason": "",
    "code": None,
    "errors": [],
    "outputs": 0,
    "size": 0,
    "kept_until": None,
    "keep": timedelta(days=14),
    "active": True,
    "over": False,
    "returned": None,
    "tail": None,
}
_BARE: dict[str, object] = {
    "label": None,
    "percent": None,
    "progress_words": "",
    "work_limit": None,
    "usual": None,
}
_OVER: dict[str, object] = {
    "active": False,
    "ran": timedelta(minutes=4),
    "ended": datetime.fromisoformat("2026-11-21T17:00:00+00:00"),
    "outputs": 2,
    "size": 186_000,
    "kept_until": datetime.fromisoformat("2026-12-05T17:00:00+00:00"),
    "errors": [
        {
            "at": datetime.fromisoformat("2026-11-21T14:00:00+00:00"),
            "reason": "node-failure",
            "words": "n17 is down",
        }
    ],
}
_AT_SLURM: dict[str, object] = {
    **_SAMPLE,
    "phase": Phase.QUEUED,
    "queued": {
        "engine": "slurm",
        "had": timedelta(hours=2),
        "why": "Priority",
        "starts": datetime.fromisoformat("2026-11-23T04:00:00+00:00"),
    },
}
samples = (
    Answer(kind="status", facts=_SAMPLE),
    Answer(kind="status", facts=_AT_SLURM),
    *(
        Answer(kind="status", facts={**shown, "silence": {"engine": "slurm", "since": _SINCE}})
        for shown in (_SAMPLE, _AT_SLURM)
    ),
    *(
        Answer(
            kind="status",
            facts={**_AT_SLURM, "queued": {**shown, "engine": "oar", "starts": None}},
        )
        for shown in (
            {"had": None, "why": ""},
            {"had": timedelta(hours=2), "why": ""},
            {"had": timedelta(hours=2), "why": "the moon is made of cheese"},
        )
    ),
    Answer(kind="status", facts={**_SAMPLE, **_BARE}),
    *(
        Answer(kind="status", facts={**_SAMPLE, "phase": phase})
        for phase in sorted({*ACTIVE, Phase.ARCHIVED})
    ),
    *(
        Answer(kind="status", facts={**_SAMPLE, **_BARE, "phase": phase})
        for phase in sorted({*ACTIVE, Phase.ARCHIVED})
    ),
    *(
        Answer(
            kind="status",
            facts={**_SAMPLE, **_OVER, "phase": phase, "reason": reason, "code": code},
        )
        for phase, reason, code in (
            (Phase.COMPLETED, "exit", 0),
            (Phase.ERROR, "exit", 3),
            (Phase.ERROR, "memory", None),
            (Phase.ABORTED, "cancelled", None),
            (Phase.ARCHIVED, "exit", 0),
        )
    ),
    Answer(
        kind="status",
        facts={**_SAMPLE, **_OVER, "phase": Phase.COMPLETED, "reason": "exit", "over": True},
    ),
    *(
        Answer(
            kind="status",
            facts={
                **_SAMPLE,
                **_OVER,
                "phase": Phase.COMPLETED,
                "reason": "exit",
                "returned": {"words": words},
            },
        )
        for words in ("550 5.1.1 no such user here", "")
    ),
    *(
        Answer(
            kind="status",
            facts={**shown, "standstill": {"cause": cause, "since": _SINCE}},
        )
        for shown in (_SAMPLE, {**_SAMPLE, "phase": Phase.QUEUED})
        for cause in Cause
    ),
    Answer(kind="status", facts={**_SAMPLE, "phase": Phase.QUEUED, "ahead": 0, "paused": True}),
    Answer(kind="status", facts={**_SAMPLE, "phase": Phase.QUEUED, "ahead": 0, "busy": 0}),
    Answer(
        kind="status",
        facts={
            **_SAMPLE,
            "phase": Phase.QUEUED,
            "quota": Saying("quotas/running", who=None, service="align", count=3, most=3),
        },
    ),
    Answer(kind="status", facts={**_SAMPLE, "wish": Wish.CANCEL, "asked": _SAMPLE["since"]}),
    Answer(kind="status", facts={**_SAMPLE, "phase": Phase.HELD, "held_by": "operator"}),
    Answer(kind="status", facts={**_SAMPLE, "phase": Phase.HELD, "held_by": "cluster"}),
)
