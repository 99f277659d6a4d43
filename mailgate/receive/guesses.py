"""Passwords that were wrong: how many more a client may try, and how slowly. Pure, but for memory.

A client that has guessed enough is sent away for a while. A name is never shut: whoever guesses one
from many places only makes logins of that name slow, from where it has not logged in before.
"""

from collections import OrderedDict
from collections.abc import Hashable

from mailgate.receive.clients import Client

# Wrong passwords of one client for one name, and after how many seconds one of them is forgotten.
_FOR_A_NAME, _FOR_A_NAME_EACH = 5, 60.0
# The same for whatever names: many people may share an address, and mistype.
_IN_ALL, _IN_ALL_EACH = 20, 6.0
# Past so many for one name from wherever each login of it takes longer, up to so many seconds.
_FREE, _SLOWER, _SLOWEST = 10, 0.5, 5.0
# So many of a kind are remembered, the latest.
_REMEMBERED = 10_000


class Guesses:
    """What every session of a door has in common; ``now`` is in seconds, of a clock never set."""

    def __init__(self) -> None:
        self._pairs = _Leaking(_FOR_A_NAME_EACH)
        self._clients = _Leaking(_IN_ALL_EACH)
        self._names = _Leaking(_FOR_A_NAME_EACH / 10)
        self._known = OrderedDict[Hashable, None]()

    def shut(self, client: Client, name: str, now: float) -> float:
        """Return for how many seconds this client may not try this name; 0.0 if it may."""
        pair = (client, name.lower())
        wait = self._pairs.until(pair, _FOR_A_NAME, now)
        if pair not in self._known:
            wait = max(wait, self._clients.until(client, _IN_ALL, now))
        return wait

    def slow(self, client: Client, name: str, now: float) -> float:
        """Return how many seconds this login takes longer."""
        if (client, name.lower()) in self._known:
            return 0.0
        return min(max(self._names.level(name.lower(), now) - _FREE, 0) * _SLOWER, _SLOWEST)

    def wrong(self, client: Client, name: str, now: float) -> None:
        """Note that a password was wrong."""
        pair = (client, name.lower())
        self._pairs.add(pair, now)
        if pair not in self._known:
            self._clients.add(client, now)
            self._names.add(name.lower(), now)

    def right(self, client: Client, name: str) -> None:
        """Note that it was right: what others try does not count here from now on."""
        pair = (client, name.lower())
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class _Leaking:
    """Counts by key, of which one is forgotten every ``each`` seconds."""

    def __init__(self, each: float) -> None:
        self._each = each
        self._levels = OrderedDict[Hashable, tuple[float, float]]()

    def level(self, key: Hashable, now: float) -> float:
        count, at = self._levels.get(key, (0.0, now))
        return max(count - (now - at) / self._each, 0.0)

    def until(self, key: Hashable, most: int, now: float) -> float:
        """Return the seconds until one more would be no more than ``most``."""
        return max(self.level(key, now) + 1 - most, 0.0) * self._each

    def add(self, key: Hashable, now: float) -> None:
        self._levels[key] = (self.level(key, now) + 1, now)
        self._levels.move_to_end(key)
        if len(self._levels) > _REMEMBERED:
            self._levels.popitem(last=False)
