"""Quotas: how much may be under way at once, and how much may come within a day."""

from dataclasses import dataclass

from mailgate.settings.kinds import integer, size
from mailgate.settings.schema import key

# Nobody waits for more jobs than this.
_MOST = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """[quota]: for each identity; in a service's [quota.all]: for all of them together."""

    waiting: int | None = key(
        integer(1, _MOST), None, doc="jobs that have not begun; one more is refused"
    )
    running: int | None = key(
        integer(1, _MOST), None, doc="jobs that run at once; one more waits, others go first"
    )
    jobs_a_day: int | None = key(
        integer(1, _MOST), None, doc="jobs within 24 hours; one more is refused"
    )
    bytes_a_day: int | None = key(
        size(), None, doc="mail within 24 hours; more is refused at the door"
    )
