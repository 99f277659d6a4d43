"""What can be seen of an attempt. The job folder alone says so; a scheduler's word is no end."""

from dataclasses import dataclass
from datetime import datetime

from mailgate.model import Exit, NativeId, Reason, Wait


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Nobody but the gateway has claimed it: the command has never begun, and may be waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A cluster has it, and it has not begun. ``queued`` says why; ``held``: by somebody there."""

    native: NativeId
    queued: Wait
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """It has begun (aware UTC) and is alive; ``suspended``: a cluster has stopped it for a while.

    ``native`` is a cluster's name for it, where it is known by now.
    """

    started: datetime
    suspended: bool = False
    native: NativeId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Its exit record is complete. Times are aware UTC, never ``ended`` before ``started``."""

    exit: Exit
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """It began, is not alive and left no complete exit record; one may still come late."""

    started: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A cluster has ended it for good, and it has not begun, as far as can be seen."""

    exit: Exit


Sight = NotStarted | Waiting | Running | Ended | Gone | Denied


def is_wiped(sight: Sight) -> bool:
    """Tell whether what the attempt left running is killed before its end is told.

    After all but a plain success another attempt may follow at once, and must be alone.
    """
    match sight:
        case Gone():
            return True
        case Ended(exit=end):
            return end.reason is not Reason.EXIT or end.code != 0
        case _:
            return False
