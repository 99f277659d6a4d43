"""How an attempt ended, where job folder and scheduler each know a part of it. Pure."""

from dataclasses import replace
from signal import SIGKILL, SIGTERM, SIGXCPU

from mailgate.log import escaped
from mailgate.model import Exit, Reason
from mailgate.run.scheduler import Seen
from mailgate.saying import Saying

_SHOWN = 200
# By these a scheduler ends what it ends, and a kernel what is over its memory.
_SENT = frozenset({SIGKILL, SIGTERM, SIGXCPU})
# What the scheduler's word may stand for in a record that only says "ended from outside".
_BETTER = frozenset(
    {Reason.MEMORY, Reason.WORK_LIMIT, Reason.NODE_FAILURE, Reason.PREEMPTED, Reason.CANCELLED}
)


def is_doubtful(end: Exit) -> bool:
    """Whether a scheduler may know better why it ended: it was ended from outside."""
    return end.reason is Reason.CANCELLED or (end.reason is Reason.SIGNAL and end.signal in _SENT)


def merged(end: Exit, seen: Seen | None, title: str) -> Exit:
    """Return the job folder's doubtful ``end`` with what the scheduler says of it."""
    if seen is None:
        return end
    if (said := seen.end) is None:
        # What ended it came by way of the scheduler, which has no more to say of it.
        outside = end.reason is Reason.CANCELLED
        return replace(end, reason=Reason.OUTSIDE) if outside else end
    return _told(said, seen, title) if said.reason in _BETTER else end


def without_record(seen: Seen | None, title: str) -> Exit | None:
    """Return how an attempt ended that began and left no record; None where nobody knows.

    The scheduler's word for its own script's end counts, but not an exit code: nothing is known of
    the command's.
    """
    said = None if seen is None else seen.end
    if seen is None or said is None or said.reason in {Reason.EXIT, Reason.COULD_NOT_START}:
        return None
    return _told(said, seen, title)


def before_start(seen: Seen | None, title: str) -> Exit | None:
    """Return why an attempt never began and need not be submitted again; None where it may be."""
    said = None if seen is None else seen.end
    if seen is None or said is None:
        return None
    match said.reason:
        case Reason.CANCELLED if not seen.node:
            return _told(said, seen, title)
        case Reason.COULD_NOT_START | Reason.SIGNAL | Reason.EXIT:
            return Exit(reason=Reason.COULD_NOT_START, words=called(seen, title))
        case _:
            # Nodes come back, and places are free again. What was cancelled on a node before its
            # script began could not be launched there: Slurm cancels what it has given the number
            # of a job that still runs.
            return None


def _told(said: Exit, seen: Seen, title: str) -> Exit:
    """Return the scheduler's end in its own words. It cannot know at whose word it cancelled."""
    reason = Reason.OUTSIDE if said.reason is Reason.CANCELLED else said.reason
    return replace(said, reason=reason, words=called(seen, title))


def called(seen: Seen, title: str) -> Saying:
    """Say it in the scheduler's own words: "Slurm called it NODE_FAIL on node n17 (job 48211)"."""
    return Saying(
        "ends/called",
        title=title,
        word=escaped(seen.word)[:_SHOWN],
        why=escaped(seen.why)[:_SHOWN] if seen.why != seen.word else "",
        node=escaped(seen.node)[:_SHOWN],
        native=escaped(seen.native)[:_SHOWN],
    )
