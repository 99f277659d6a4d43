"""How long a job is kept: what `keep` and `extend` have in common."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from mailgate.commands.call import Call
from mailgate.commands.call import meant as meant_by_rest
from mailgate.model import Answer, Job, Wish
from mailgate.phases import ENDED, Phase
from mailgate.settings.units import duration, typed
from mailgate.spool import wishes
from mailgate.spool.database import Tx

LONGEST = timedelta(days=3650)
"""No computer lives as long; what the operator asks for is bounded by it too."""

_SOME = datetime(2027, 1, 31, 23, 59, tzinfo=UTC)


def span(words: tuple[str, ...]) -> timedelta | None:
    """Read a duration of a second or more; None where it is none."""
    try:
        found = duration(" ".join(words))
    except ValueError:
        return None
    return found if found >= timedelta(seconds=1) else None


def day(word: str) -> datetime | None:
    """Read ``2027-01-31`` as the last minute of that day, UTC; None where it is no such date."""
    word = typed(word)
    try:
        found = date.fromisoformat(word)
    except ValueError:
        return None
    # Only as it is shown: 20270131 and 2027-W04 are dates too.
    return datetime.combine(found, time(23, 59), UTC) if found.isoformat() == word else None


def meant(call: Call, fits: Callable[[tuple[str, ...]], object], *idle: str) -> str:
    """Return the line that may have been meant; "" if none comes to mind.

    A date has one command, whichever was written.
    """
    dates = [word for word in call.words if day(word.strip(",;."))]
    if len(dates) == 1 and not fits(call.words):
        return f"keep until {typed(dates[0]).strip(',;.')}"
    return meant_by_rest(call, fits, *idle)


def is_over(job: Job, now: datetime) -> bool:
    """Whether the sweep removes the job's files, has done so, or does it just now."""
    passed = job.destruction is not None and job.destruction <= now
    return job.phase is Phase.ARCHIVED or (
        job.phase in ENDED and (passed or job.wish is Wish.DESTROY)
    )


def is_doomed(job: Job, now: datetime) -> bool:
    """Whether its files go, now or once it has ended: nothing more can be wanted of them."""
    return job.wish is Wish.DESTROY or is_over(job, now)


def gone(call: Call, now: datetime) -> Answer | None:
    """Answer that there is nothing left to be kept; None where there is."""
    job = call.job
    if is_doomed(job, now):
        facts = {"ended": job.ended, "archived": job.phase is Phase.ARCHIVED}
        return Answer(kind="keep-gone", facts=facts, wrong=True)
    return None


def keep_for(tx: Tx, call: Call, keep: timedelta) -> Answer:
    """Keep the job so long from its end, as far as its service allows."""
    job, most = call.job, _most(call)
    if keep > most or (job.ended is not None and job.ended + keep <= tx.now):
        return _over(call, tx.now, most)
    until = wishes.keep_for(tx, job, keep, by=call.by)
    facts = {"until": until, "keep": keep, "named": False}
    return Answer(kind="keep", facts=facts)


def keep_until(tx: Tx, call: Call, until: datetime) -> Answer:
    """Keep the job until then, which ends it where it has not ended by then."""
    job, most = call.job, _most(call)
    if not tx.now < until <= (job.ended or tx.now) + most:
        return _over(call, tx.now, most, past=until <= tx.now)
    wishes.keep_until(tx, job, until, by=call.by)
    facts = {"until": until, "keep": job.keep, "named": job.ended is None}
    return Answer(kind="keep", facts=facts)


def _most(call: Call) -> timedelta:
    """How long from its end the job may be kept: no longer than now where its service is gone."""
    service = call.services.get(call.job.service)
    if call.who is None:
        return LONGEST
    return call.job.keep if service is None else max(service.limits.keep_max, call.job.keep)


def _over(call: Call, now: datetime, most: timedelta, *, past: bool = False) -> Answer:
    last = (call.job.ended or now) + most
    # The last whole day: what is shown can be sent back as it stands.
    example = (last - timedelta(days=1)).date()
    facts = {
        "most": most,
        "last": last,
        "ended": call.job.ended,
        "past": past,
        "example": example.isoformat() if example > now.date() else "",
    }
    return Answer(kind="keep-over", facts=facts, wrong=True)


samples = (
    Answer(kind="keep", facts={"until": _SOME, "keep": timedelta(days=9), "named": False}),
    Answer(kind="keep", facts={"until": _SOME, "keep": timedelta(days=9), "named": True}),
    Answer(kind="keep", facts={"until": None, "keep": timedelta(days=9), "named": False}),
    *(
        Answer(
            kind="keep-over",
            facts={
                "most": timedelta(days=90),
                "last": _SOME,
                "ended": ended,
                "past": past,
                "example": example,
            },
            wrong=True,
        )
        for ended, past in ((None, False), (_SOME, False), (None, True))
        for example in ("2027-01-30", "")
    ),
    Answer(kind="keep-gone", facts={"ended": _SOME, "archived": True}, wrong=True),
    Answer(kind="keep-gone", facts={"ended": None, "archived": False}, wrong=True),
)
"""Answers to check their templates with."""
