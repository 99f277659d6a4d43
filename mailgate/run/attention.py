"""Which attempts an engine is asked after: thousands may wait at a cluster, and few have news."""

from collections import Counter
from collections.abc import Collection, Mapping

from mailgate.model import Attempt, JobId, Token

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
        self._known: set[Token] = set()
        self._next: dict[str, float] = {}

    def hear(self, engine: str) -> None:
        """Know that an engine may have news."""
        self._heard.add(engine)

    def done(self, job: JobId) -> None:
        """Know that a step was taken for a job: what is seen of it may mean something else now."""
        self._done.add(job)

    def asked(
        self, attempts: Mapping[Token, Attempt], *, besides: Collection[JobId], now: float
    ) -> list[Attempt]:
        """Return whom to ask after now, without the jobs ``besides``.

        All of an engine that has news, or whose time has come; of others those that were not asked
        after before, or for whose job a step was taken.
        """
        counts = Counter(attempt.engine for attempt in attempts.values())
        due = {name for name in counts if name in self._heard or now >= self._next.get(name, 0.0)}
        for name in due:
            self._next[name] = now + pause(counts[name])
        free = [attempt for attempt in attempts.values() if attempt.job not in besides]
        asked = [
            one
            for one in free
            if one.engine in due or one.token not in self._known or one.job in self._done
        ]
        self._heard.clear()
        self._done.clear()
        # What is passed over now is asked after the next time.
        self._known = {attempt.token for attempt in free}
        return asked
