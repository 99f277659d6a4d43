"""How many letters may leave within an hour: to one recipient, and in all. What is over waits."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from datetime import datetime

from mailgate.spool.due import HOUR

_HOUR = HOUR.total_seconds()
_BOUNDLESS = 1 << 62


class Caps:
    """The letters that have left within the hour, those just leaving with them.

    Times are the event loop's, in seconds: nobody sets that clock. ``each`` and ``in_all`` are None
    for no cap. A recipient is a lower-case address.
    """

    def __init__(self, *, each: int | None, in_all: int | None) -> None:
        self._each = each or _BOUNDLESS
        self._in_all = in_all or _BOUNDLESS
        self._left: deque[tuple[float, str]] = deque()
        self._to: defaultdict[str, deque[float]] = defaultdict(deque)
        self._full: set[str] = set()
        self.on = bool(each or in_all)
        """Whether there is a cap at all: else nothing is counted."""

    def load(self, left: Iterable[tuple[datetime, str]], *, wall: datetime, now: float) -> None:
        """Begin anew with what has left, oldest first, as the wall's clock told it."""
        self._left.clear()
        self._to.clear()
        self._full.clear()
        for at, recipient in left:
            # A clock that was set back meanwhile makes no letter leave in the future.
            self._add(min(now, now - (wall - at).total_seconds()), recipient)

    def room(self, now: float) -> int:
        """Return how many more may leave now, to whomever."""
        self._forget(now)
        return max(self._in_all - len(self._left), 0)

    def full(self) -> Collection[str]:
        """Return the recipients to whom no more may leave, as of the last look at the room."""
        return self._full

    def take(self, recipient: str, now: float) -> bool:
        """Count a letter that is about to leave; False if it must wait."""
        if not self.on:
            return True
        if recipient in self._full or len(self._left) >= self._in_all:
            return False
        self._add(now, recipient)
        return True

    def back(self, recipient: str) -> None:
        """Count the last letter to that recipient no more: it did not leave."""
        for place in range(len(self._left) - 1, -1, -1):
            if self._left[place][1] == recipient:
                del self._left[place]
                self._to[recipient].pop()
                self._fewer(recipient)
                return

    def frees(self) -> float | None:
        """Return when the next letter may leave that may not now; None if none is kept waiting."""
        if len(self._left) >= self._in_all:
            return self._left[len(self._left) - self._in_all][0] + _HOUR
        those = (self._to[recipient] for recipient in self._full)
        return min((times[len(times) - self._each] + _HOUR for times in those), default=None)

    def _add(self, at: float, recipient: str) -> None:
        self._left.append((at, recipient))
        self._to[recipient].append(at)
        if len(self._to[recipient]) >= self._each:
            self._full.add(recipient)

    def _forget(self, now: float) -> None:
        while self._left and self._left[0][0] <= now - _HOUR:
            _, recipient = self._left.popleft()
            self._to[recipient].popleft()
            self._fewer(recipient)

    def _fewer(self, recipient: str) -> None:
        if len(self._to[recipient]) < self._each:
            self._full.discard(recipient)
        if not self._to[recipient]:
            del self._to[recipient]
