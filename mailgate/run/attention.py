"""Which attempts an engine is asked after: thousands may wait at a cluster, and few have news."""

from collections.abc import Collection

from mailgate.model import Attempt, JobId
from mailgate.run.opened import Opened

# The runner looks by itself so often (seconds) while something is under way; with more attempts
# than so many less often, but so often still; and so often while there is nothing.
_EVERY, _MANY, _SELDOM, _IDLE = 1.0, 500, 10.0, 2.0


def pause(attempts: int) -> float:
    """Return after how many seconds so many attempts are looked at, if nothing is heard of them."""
    return min(_EVERY * max(1.0, attempts / _MANY), _SELDOM) if attempts else _IDLE


class Attention:
    """What has happened since the engines were asked; times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._heard: set[str] = set()
        self._done: set[JobId] = set()
        self._next: dict[str, float] = {}

    def hear(self, engine: str) -> None:
        """Know that an engine may have news."""
        self._heard.add(engine)

    def done(self, job: JobId) -> None:
        """Know that a step was taken for a job: what is seen of it may mean something else now."""
        self._done.add(job)

    def asked(self, attempts: Opened, *, besides: Collection[JobId], now: float) -> list[Attempt]:
        """Return whom to ask after now, without the jobs ``besides``.

        All of an engine that has news, or whose time has come; of others those for whose job a
        step was taken, as one is when an attempt is made.
        """
        due = [
            name
            for name in attempts.engines
            if name in self._heard or now >= self._next.get(name, 0.0)
        ]
        asked = [one for job in self._done for one in attempts.of(job) if one.engine not in due]
        for name in due:
            self._next[name] = now + pause(attempts.count(name))
            asked += attempts.at(name)
        self._heard.clear()
        # What is passed over now is asked after the next time.
        self._done = {one.job for one in asked if one.job in besides}
        return [one for one in asked if one.job not in besides]
