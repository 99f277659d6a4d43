"""What a mailbox's thread remembers of single mails: which wait, and which are to be moved."""

import time
from collections.abc import Collection, Iterable, Sequence

# After so many mails on end that have to wait, the others wait too: it is not the mails' fault.
ENOUGH = 20


class Memory:
    """By UID, for as long as the mailbox's UIDVALIDITY stays. It holds nothing of a mail that went.

    ``waits`` in seconds: until a mail is tried again; the last repeats.
    """

    def __init__(self, waits: Sequence[float]) -> None:
        self._waits = waits
        self._validity: int | None = None
        self._due: dict[int, tuple[int, float]] = {}
        self._unmoved: dict[int, str] = {}
        self._seen: set[int] = set()
        self._failures = 0

    def begin(self) -> None:
        """Begin a round through the mailbox."""
        self._failures = 0
        self._seen.clear()

    def hold_for(self, validity: int) -> None:
        """Forget everything where the UIDs mean other mails now."""
        if self._validity != validity:
            self._validity = validity
            self._due.clear()
            self._unmoved.clear()

    def see(self, uids: Iterable[int]) -> None:
        """Note that these mails are there."""
        self._seen.update(uid for uid in uids if uid in self._due or uid in self._unmoved)

    def end(self) -> None:
        """End a round that came through: what it has not seen is gone."""
        for known in (self._due, self._unmoved):
            for uid in known.keys() - self._seen:
                del known[uid]

    @property
    def wants_rest(self) -> bool:
        """Too many mails had to wait, one after the other: the next would fare no better."""
        return self._failures >= ENOUGH

    def wanted(self, uids: Iterable[int]) -> list[int]:
        """Return those of the mails that are to be taken now."""
        now = time.monotonic()
        return [uid for uid in uids if uid not in self._unmoved and self._is_due(uid, now)]

    def unmoved(self, uids: Iterable[int]) -> dict[str, list[int]]:
        """Return those that are settled, and are to be moved now, by their folder."""
        now = time.monotonic()
        found: dict[str, list[int]] = {}
        for uid in uids:
            if uid in self._unmoved and self._is_due(uid, now):
                found.setdefault(self._unmoved[uid], []).append(uid)
        return found

    def _is_due(self, uid: int, now: float) -> bool:
        return uid not in self._due or self._due[uid][1] <= now

    def settle(self, uids: Collection[int], folder: str) -> None:
        """Note that mails are settled: nothing is left to do but to move them."""
        for uid in uids:
            self._unmoved[uid] = folder
            self._due.pop(uid, None)
            self._seen.add(uid)
        if uids:
            self._failures = 0

    def forget(self, uids: Iterable[int]) -> None:
        """Note that mails have left the mailbox."""
        for uid in uids:
            self._unmoved.pop(uid, None)
            self._due.pop(uid, None)

    def put_off(self, uids: Iterable[int], *, all_the_same: bool = False) -> None:
        """Have mails tried again later; ``all_the_same``: no other mail would fare better now."""
        now = time.monotonic()
        for uid in uids:
            tries = self._due[uid][0] if uid in self._due else 0
            wait = self._waits[min(tries, len(self._waits) - 1)]
            self._due[uid] = (tries + 1, now + wait)
            self._seen.add(uid)
            self._failures += ENOUGH if all_the_same else 1

    def next_due(self, most: float) -> float:
        """Return the seconds until the next mail is to be tried again, ``most`` at most."""
        soonest = min((due for _, due in self._due.values()), default=None)
        if soonest is None:
            return most
        # A moment more than nothing: each try costs the server a look.
        return min(most, max(soonest - time.monotonic(), min(self._waits[0], most)))
