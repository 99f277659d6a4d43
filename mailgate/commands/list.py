"""List your jobs, the newest first.

Words narrow it down: a phase such as `queued` or `completed`, `active` for all that wait or run,
`service align`, `label globins` (a part of it), `after 2026-11-30`, and `last 50` for so many
instead of twenty.
"""

from datetime import UTC, datetime

from mailgate.commands.call import Call, meant, unfit
from mailgate.model import Answer, Job
from mailgate.model.outlook import Cause
from mailgate.phases import Phase
from mailgate.saying import Saying, Words
from mailgate.settings.units import typed
from mailgate.spool import owned, standstills
from mailgate.spool.database import Tx
from mailgate.spool.outlook import at
from mailgate.spool.silences import of_jobs as silent_of

_AFTER, _LAST = "list after 2026-11-30", "list last 50"
usage = (
    "list",
    "list executing",
    "list service NAME",
    "list label WORD",
    _AFTER,
    _LAST,
)
about_a_job = False
by_mail_alone = True
meant_by = ("jobs", "ls", "show")

_ROWS, _MOST = 20, 100
_EXPECTED = {
    "after": Saying("commands/date", line=_AFTER),
    "last": Saying("commands/number", most=_MOST, line=_LAST),
}


def execute(tx: Tx, call: Call) -> Answer:
    """List the jobs of whoever asks; the operator's are everybody's."""
    wanted = _wanted(call.words)
    if not isinstance(wanted, owned.Wanted):
        near = meant(call, lambda words: isinstance(_wanted(words), owned.Wanted))
        return unfit(call, wanted, near=near)
    if call.who is not None:
        who = call.who.address
        wanted.besides = [name for name, s in call.services.items() if s.access.denies(who)]
    found = owned.listed(tx, call.who, wanted)
    shown = found[: wanted.limit]
    ids = [job.id for job in shown]
    silences = [at(one, call.config.run) for one in silent_of(tx, ids)]
    standstill = standstills.of_jobs(tx, ids)
    return Answer(
        kind="list",
        facts={
            "jobs": [_row(job) for job in shown],
            "more": len(found) > wanted.limit,
            "narrowed": bool(call.words),
            "silences": [one.facts for one in silences if one is not None],
            "standstill": standstill.facts if standstill is not None else None,
        },
    )


def _wanted(words: tuple[str, ...]) -> owned.Wanted | Words:
    """Return what is wanted, or what is expected instead; "" where that is the whole usage."""
    wanted, left = owned.Wanted(limit=_ROWS), list(words)
    while left:
        word = left.pop(0).lower().rstrip(",;:")
        if word == "active":
            wanted.active = True
        elif word.upper() in set(Phase):
            wanted.phases.add(Phase(word.upper()))
        elif not left or not _set(wanted, word, left.pop(0).rstrip(",;")):
            return _EXPECTED.get("after" if word == "since" else word, "")
    return wanted


def _set(wanted: owned.Wanted, word: str, value: str) -> bool:
    """Narrow it down by a word and its value; False if they mean nothing."""
    match word:
        case "phase" if value.upper() in set(Phase):
            wanted.phases.add(Phase(value.upper()))
        case "service":
            wanted.service = value.lower()
        case "label":
            wanted.label = value
        case "last" if value.isascii() and value.isdigit() and 0 < int(value[:9]) <= _MOST:
            wanted.limit = int(value[:9])
        case "after" | "since":
            try:
                day = datetime.fromisoformat(typed(value))
            except ValueError:
                return False
            wanted.after = day if day.tzinfo else day.replace(tzinfo=UTC)
        case _:
            return False
    return True


def _row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "phase": job.phase,
        "service": job.service,
        "label": job.label,
        "created": job.created,
    }


_SAMPLE = {
    "id": "k7q2m5xzab3c",
    "phase": "EXECUTING",
    "service": "align",
    "label": "globins",
    "created": datetime(2026, 11, 21, 13, 50, tzinfo=UTC),
}
_NONE: dict[str, object] = {
    "jobs": [],
    "more": False,
    "narrowed": False,
    "silences": [],
    "standstill": None,
}
samples = (
    Answer(kind="list", facts=_NONE),
    Answer(kind="list", facts={**_NONE, "narrowed": True}),
    Answer(
        kind="list",
        facts={
            "jobs": [_SAMPLE, {**_SAMPLE, "label": None}],
            "more": True,
            "narrowed": True,
            "silences": [{"engine": "slurm", "since": _SAMPLE["created"]}],
            "standstill": None,
        },
    ),
    *(
        Answer(
            kind="list",
            facts={
                **_NONE,
                "jobs": [_SAMPLE],
                "standstill": {"cause": cause, "since": _SAMPLE["created"]},
            },
        )
        for cause in Cause
    ),
)
