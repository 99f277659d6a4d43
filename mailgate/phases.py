"""THE state machine of a job: phases (UWS 1.1 words), events, one table, one function."""

from enum import StrEnum


class Phase(StrEnum):
    """Where a job is (UWS 1.1 section 2.1.3)."""

    PENDING = "PENDING"
    HELD = "HELD"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    ARCHIVED = "ARCHIVED"
    UNKNOWN = "UNKNOWN"


class Event(StrEnum):
    """What can happen to a job."""

    CONFIRM = "confirm"
    HOLD = "hold"
    RELEASE = "release"
    START = "start"
    SUSPEND = "suspend"
    RESUME = "resume"
    RETRY = "retry"
    LOSE_SIGHT = "lose-sight"
    COMPLETE = "complete"
    FAIL = "fail"
    ABORT = "abort"
    ARCHIVE = "archive"


ENDED = frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED})
"""The work is over and the results are kept."""

ACTIVE = frozenset(Phase) - ENDED - {Phase.ARCHIVED}
"""Something is still to happen before there is a result."""

_ENDS = {Event.COMPLETE: Phase.COMPLETED, Event.FAIL: Phase.ERROR, Event.ABORT: Phase.ABORTED}

TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.PENDING: {
        # Not HOLD: whoever releases it could let it pass unconfirmed.
        Event.CONFIRM: Phase.QUEUED,
        Event.ABORT: Phase.ABORTED,
    },
    Phase.HELD: {Event.RELEASE: Phase.QUEUED, Event.ABORT: Phase.ABORTED},
    Phase.QUEUED: {Event.HOLD: Phase.HELD, Event.START: Phase.EXECUTING, **_ENDS},
    Phase.EXECUTING: {
        Event.SUSPEND: Phase.SUSPENDED,
        Event.RETRY: Phase.QUEUED,
        Event.LOSE_SIGHT: Phase.UNKNOWN,
        **_ENDS,
    },
    Phase.SUSPENDED: {
        Event.RESUME: Phase.EXECUTING,
        Event.RETRY: Phase.QUEUED,
        Event.LOSE_SIGHT: Phase.UNKNOWN,
        **_ENDS,
    },
    Phase.UNKNOWN: {Event.START: Phase.EXECUTING, Event.RETRY: Phase.QUEUED, **_ENDS},
    Phase.COMPLETED: {Event.ARCHIVE: Phase.ARCHIVED},
    Phase.ERROR: {Event.ARCHIVE: Phase.ARCHIVED},
    Phase.ABORTED: {Event.ARCHIVE: Phase.ARCHIVED},
    Phase.ARCHIVED: {},
}


class IllegalStepError(Exception):
    """An event that its phase does not know: a bug in the caller, never in the mail."""


def step(phase: Phase, event: Event) -> Phase:
    """Return the phase that ``event`` leads to from ``phase``.

    Raises
    ------
    IllegalStepError
        The table has no such step.
    """
    try:
        return TRANSITIONS[phase][event]
    except KeyError:
        raise IllegalStepError(f"{event} does not apply in {phase}") from None
