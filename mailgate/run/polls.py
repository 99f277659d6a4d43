"""What a scheduler's good polls have said of the attempts: pure, the time is given.

A poll that fails or hangs says nothing. An attempt is missed only by a good poll that began after
it was handed over, and given up only after a grace time of those.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mailgate.model import Token
from mailgate.run.scheduler import Seen, State

# Of several jobs by one name (a controller that lost its newest state may start one again) the one
# that can still do something counts.
_LIVELY = (State.ENDED, State.WAITING, State.HELD, None, State.SUSPENDED, State.RUNNING)

# A poll takes one part in so many of the time, at the most: of the scheduler's, too.
_SHARE = 20


@dataclass(slots=True)
class Known:
    """What is known of one attempt. Times are the event loop's, in seconds.

    Polls that began at ``since`` or later count; None while it is being handed over. ``gone`` is
    when the first of the good polls began that did not have it any more, or had it as ended.
    """

    since: float | None
    seen: Seen | None = None
    gone: float | None = None
    missed: bool = False

    @property
    def state(self) -> State | None:
        """What the scheduler said of it last; None before it said anything."""
        return self.seen.state if self.seen is not None else None

    @property
    def ended(self) -> bool:
        """Whether the scheduler itself says that it has ended."""
        return self.state is State.ENDED


class Polls:
    """Keeps count of one scheduler's polls. ``last`` is when the last good one began."""

    def __init__(self, grace: timedelta, least: timedelta, most: timedelta) -> None:
        self._grace = grace.total_seconds()
        self._least = least.total_seconds()
        self._most = most.total_seconds()
        self._pause = self._least
        self._took = (0.0, 0.0)
        self._failing = False
        self.known: dict[Token, Known] = {}
        self.last: float | None = None
        self.strangers: dict[Token, Seen] = {}

    def came(self, seen: Iterable[Seen], began: float, took: float = 0.0) -> list[Token]:
        """Take in a good poll; return the attempts of which it says something new.

        ``took``: how long its answer took, in seconds.
        """
        found: dict[Token, Seen] = {}
        for one in seen:
            other = found.get(one.token)
            if other is None or _LIVELY.index(one.state) >= _LIVELY.index(other.state):
                found[one.token] = one
        news, moved = [], False
        for token, known in self.known.items():
            before = known.state
            if _changed(known, found.get(token), began):
                news.append(token)
                # A reason or an estimate that changes is no sign that something is about to happen.
                moved = moved or known.state is not before
        self.last = began
        self._failing = False
        self._took = (self._took[1], took)
        self.strangers = {token: one for token, one in found.items() if token not in self.known}
        calm = not moved and not self.waited_for
        self._pause = min(self._pause * 1.5, self._most) if calm else self._least
        return news

    def failed(self) -> None:
        """Know that a poll failed: the next comes soon, and each that fails again later."""
        self._pause = min(self._pause * 1.5, self._most) if self._failing else self._least
        self._failing = True

    def hurry(self) -> None:
        """Have the next polls come soon: something is about to change."""
        self._pause = self._least

    @property
    def pause(self) -> float:
        """The seconds until the next poll."""
        if self._failing:
            return self._pause
        # One slow answer is no slow scheduler: a machine that was busy for a moment.
        return max(self._pause, min(min(self._took) * _SHARE, self._most))

    @property
    def waited_for(self) -> Sequence[Token]:
        """The attempts of which a poll is still to say that they are gone for good, or back."""
        return [t for t, known in self.known.items() if known.gone is not None]

    @property
    def staying(self) -> dict[Token, Seen]:
        """The attempts that have ended there, and are there until somebody cancels them."""
        there = ((token, known.seen) for token, known in self.known.items() if not known.missed)
        return {token: seen for token, seen in there if seen is not None and seen.stays}

    def is_gone(self, token: Token) -> bool:
        """Whether good polls have missed it, or called it ended, for the grace time."""
        gone = self.known[token].gone
        return gone is not None and self.last is not None and self.last - gone >= self._grace

    def is_missed(self, token: Token) -> bool:
        """Whether a good poll did not have it that would have, had it been taken."""
        return self.known[token].missed


def _changed(known: Known, seen: Seen | None, began: float) -> bool:
    """Note what a poll said of one attempt; tell whether that is new."""
    if known.since is None or began < known.since:
        return False
    before = known.seen
    if seen is None:
        known.missed = True
    else:
        known.missed = False
        if seen.state is None:
            # Whatever the word means, it is there.
            known.gone = None
            return False
        known.seen = seen
    if seen is None or seen.state is State.ENDED:
        known.gone = began if known.gone is None else known.gone
        return True
    known.gone = None
    return before is None or (before.state, before.why, before.native, before.starts) != (
        (seen.state, seen.why, seen.native, seen.starts)
    )
