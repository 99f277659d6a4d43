"""What letters say that fall due by the clock: how a job stands, and that its outputs go."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from mailgate import said
from mailgate.model import Job, LetterKind, Stream
from mailgate.model.outlook import Outlook
from mailgate.reply.draft import Draft, Given
from mailgate.reply.layout import clause, fact
from mailgate.reply.told import shown_facts

_LONGER = timedelta(days=7)
# Columns of a clause that names an address and a service.
_CLAUSE = 600
# Whatever is less is not worth a mail.
_LEAST = timedelta(days=1)


def facts_of(draft: Draft, given: Given) -> dict[str, object]:
    """Return what a RECEIPT, STARTED, NEWS or NOTICE letter says beyond any about a job."""
    match draft.kind:
        case LetterKind.RECEIPT:
            return {**_kept_back(given), **_expected(draft, given)}
        case LetterKind.STARTED:
            return _expected(draft, given)
        case LetterKind.NEWS:
            return _news(draft, given)
        case _:
            return _notice(draft, given)


def _news(draft: Draft, given: Given) -> dict[str, object]:
    """Say why a job waits still: how many are before it and run, or what keeps it back."""
    job = draft.job
    assert job  # noqa: S101 - checked() has seen it
    return {
        "ahead": given.optional("ahead", int) or 0,
        "run": given.optional("run", int) or 0,
        "waited": fact(said.duration(draft.now - job.created)),
        "every": fact(said.duration(job.every)) if job.every else "",
        **_kept_back(given),
        **_expected(draft, given),
    }


def _kept_back(given: Given) -> dict[str, object]:
    """Return what keeps this job from starting, besides what keeps all."""
    return {
        "quota": clause(given.optional_words("quota"), _CLAUSE),
        "paused": given.optional("paused", bool) or False,
    }


def _expected(draft: Draft, given: Given) -> dict[str, object]:
    """Return what may be expected of a job: ``queued`` in an engine's queue, and what is usual."""
    found = given.optional("outlook", Outlook) or Outlook()
    shown = shown_facts(found.facts(draft.now))
    assert isinstance(shown, dict)  # noqa: S101 - as it was
    return shown


def _notice(draft: Draft, given: Given) -> dict[str, object]:
    """Say what goes, when, and how long it can be kept instead."""
    job = draft.job
    assert job  # noqa: S101 - checked() has seen it
    kept = [stream for stream in job.streams if stream.size]
    return {
        "kept_until": fact(said.moment(job.destruction)) if job.destruction else "",
        "outputs_count": len(kept),
        "kept_size": fact(said.size(_bytes(kept))),
        **_longer(job, given.optional("keep_max", timedelta)),
    }


def _bytes(streams: Sequence[Stream]) -> int:
    return sum(stream.size for stream in streams)


def _longer(job: Job, most: timedelta | None) -> Mapping[str, object]:
    """Return how much longer a reply can ask for, and until which day; "" where it cannot."""
    if job.destruction is None or job.ended is None:
        return {"extend": "", "until": ""}
    more = _LONGER if most is None else min(_LONGER, job.ended + most - job.destruction)
    if more < _LEAST:
        return {"extend": "", "until": ""}
    more = timedelta(days=more.days)
    return {"extend": said.sendable(more), "until": f"{job.destruction + more:%Y-%m-%d}"}
