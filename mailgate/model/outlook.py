"""What may be expected of a job: how long it waits still, and how long such jobs take."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What the newest jobs of a service took that ended well: the middle half, and its middle."""

    least: timedelta
    median: timedelta
    most: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A job that stands in an engine's own queue since then; None: it is being handed over.

    ``why`` it does not run yet is in the scheduler's own words, "" where it gives none; ``starts``
    is the scheduler's estimate of its start.
    """

    engine: str
    since: datetime | None = None
    why: str = ""
    starts: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """An engine that has answered no question since then: what is known of its jobs was so then."""

    engine: str
    since: datetime

    @property
    def facts(self) -> dict[str, object]:
        """What a template may say of it."""
        return {"engine": self.engine, "since": self.since}


class Cause(StrEnum):
    """What keeps every job from starting."""

    AWAY = "away"
    TIGHT = "tight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """No job has been started since then: the folder of jobs is away, or there is no room.

    While it is away nothing is seen of jobs that run, either. ``why`` is said to the operator.
    """

    cause: Cause
    since: datetime
    why: str

    @property
    def facts(self) -> dict[str, object]:
        """What a template may say of it."""
        return {"cause": self.cause, "since": self.since}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """All of it, as far as anything tells."""

    usual: Usual | None = None
    queued: Queued | None = None
    silence: Silence | None = None
    standstill: Standstill | None = None

    def facts(self, now: datetime) -> dict[str, object]:
        """Return what a template may say of each: None, or a mapping."""
        return {
            "usual": self._usual(),
            "queued": self._queued(now),
            "silence": self.silence.facts if self.silence is not None else None,
            "standstill": self.standstill.facts if self.standstill is not None else None,
        }

    def _usual(self) -> dict[str, object] | None:
        if (found := self.usual) is None:
            return None
        return {"least": found.least, "median": found.median, "most": found.most}

    def _queued(self, now: datetime) -> dict[str, object] | None:
        if (found := self.queued) is None:
            return None
        return {
            "engine": found.engine,
            "had": None if found.since is None else max(now - found.since, timedelta()),
            "why": found.why,
            # An estimate that has passed says nothing any more.
            "starts": found.starts if found.starts and found.starts > now else None,
        }
