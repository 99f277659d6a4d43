"""The loop that gets letters out, and the schedule by which it tries again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from mailgate import crash, log
from mailgate.config import Deliver
from mailgate.errors import OverSize, Permanent, Transient, Unreachable
from mailgate.model import Letter
from mailgate.spool import letters
from mailgate.spool.store import Spool

# The outbox looks by itself at least so often, in seconds.
_LOOK = 2.0
# A next hop that is away is tried again so soon at first, and at least this often.
_AWAY_FIRST = 2.0
_AWAY = 30.0
# A failed commit or a bug: the letter rests so long.
_AGAIN = 5.0
# What a relay that names no SIZE gets after it called a letter too big: half of it.
_HALF = 2


class Courier(Protocol):
    """A way out."""

    async def deliver(self, letter: Letter) -> str:
        """Hand a letter to the next hop and return its words.

        Raises
        ------
        Transient
            It was refused for now; ``Unreachable``: there was nobody to refuse it.
        OverSize, Permanent
            It was refused for good.
        """
        ...


def next_try(schedule: Sequence[timedelta], refusals: int) -> timedelta:
    """How long to wait after that many refusals (1 or more); the schedule's last repeats."""
    return schedule[min(refusals, len(schedule)) - 1]


class Outbox:
    """Tries every letter that is due, ``at_once`` of them at the same time.

    ``one_hop``: every letter goes by the same next hop, so when that is away for one, it is for all.
    """

    def __init__(
        self, deliver: Deliver, spool: Spool, courier: Courier, *, at_once: int, one_hop: bool
    ) -> None:
        self._at_once = at_once
        self._one_hop = one_hop
        self._deliver = deliver
        self._spool = spool
        self._courier = courier
        self._busy: set[int] = set()
        self._away = 0.0
        self._away_until = 0.0

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._send(group)
                await self._spool.wait("deliver", longest=self._longest())

    def _send(self, group: asyncio.TaskGroup) -> None:
        now = asyncio.get_running_loop().time()
        # While the next hop is away one letter goes ahead and finds out.
        room = (self._at_once if not self._away else 1) - len(self._busy)
        if room <= 0 or now < self._away_until:
            return
        due = letters.due(self._spool.view, now=datetime.now(UTC), limit=room, besides=self._busy)
        for letter in due:
            self._busy.add(letter.id)
            group.create_task(self._try(self._located(letter)))

    def _located(self, letter: Letter) -> Letter:
        if letter.file is None:
            return letter
        return replace(letter, file=str(self._spool.folder.letters / letter.file))

    def _longest(self) -> float:
        """Seconds until something can be due, at most until the next look."""
        due = letters.next_due(self._spool.view)
        wait = _LOOK if due is None else (due - datetime.now(UTC)).total_seconds()
        if self._away:
            wait = self._away_until - asyncio.get_running_loop().time()
        return min(max(wait, 0.01 if not self._busy else 0.2), _LOOK)

    async def _try(self, letter: Letter) -> None:
        """The top of the room's loop for one letter: what goes wrong stays with it."""
        try:
            await self._tried(letter)
        except Exception as error:  # noqa: BLE001 - a bug or a full disk: the letter waits
            log.event("failed", what="deliver", letter=letter.id, reason=repr(error))
            await asyncio.sleep(_AGAIN)
        self._busy.discard(letter.id)
        self._spool.ring("deliver")

    async def _tried(self, letter: Letter) -> None:
        try:
            words = await self._courier.deliver(letter)
        except Unreachable as error:
            await self._unreachable(letter, error)
            return
        except Transient as error:
            await self._refused(letter, error)
        except OverSize as error:
            await self._too_big(letter, error)
        except Permanent as error:
            await self._hold(letter, str(error))
        else:
            crash.point("deliver:sent")
            await self._spool.write(lambda tx: letters.sent(tx, letter.id, words))
            crash.point("deliver:committed")
            log.event("sent", letter=letter.id, to=letter.recipient, message_id=letter.message_id,
                      size=letter.size, words=words or None)  # fmt: skip
            _forget(letter)
        self._away = 0.0

    async def _unreachable(self, letter: Letter, error: Unreachable) -> None:
        """Nobody refused anything: the letter keeps its place, and the time does not count."""
        now = asyncio.get_running_loop().time()
        pause = min(_AWAY_FIRST * 2 ** min(letter.tries, 10), _AWAY)
        if self._one_hop and now >= self._away_until:
            self._away = pause = min(max(self._away * 2, _AWAY_FIRST), _AWAY)
            self._away_until = now + pause
        log.event("unreachable", letter=letter.id, to=letter.recipient, reason=str(error),
                  detail=error.detail or None, again=f"{pause:g}s")  # fmt: skip
        until = datetime.now(UTC) + timedelta(seconds=pause)
        await self._spool.write(
            lambda tx: letters.put_off(
                tx, letter, until=until, words=str(error), refused=False, waited=letter.waited
            )
        )

    async def _refused(self, letter: Letter, error: Transient) -> None:
        pause = next_try(self._deliver.retry, letter.refusals + 1)
        waited = letter.waited + pause
        if letter.waited >= self._deliver.give_up:
            await self._hold(letter, f"refused for {_days(letter.waited)} days: {error}")
            return
        until = datetime.now(UTC) + pause
        await self._spool.write(
            lambda tx: letters.put_off(
                tx, letter, until=until, words=str(error), refused=True, waited=waited
            )
        )
        log.event("refused", letter=letter.id, to=letter.recipient, reason=str(error),
                  again=until)  # fmt: skip

    async def _too_big(self, letter: Letter, error: OverSize) -> None:
        limit = error.limit or letter.size // _HALF
        smallest = 16 << 10
        if limit >= letter.size or letter.size <= smallest:
            await self._hold(letter, str(error))
            return
        await self._spool.write(
            lambda tx: letters.too_big(tx, letter.id, limit=limit, words=str(error))
        )
        log.event("shortened", letter=letter.id, to=letter.recipient, limit=limit, reason=str(error))
        _forget(letter)

    async def _hold(self, letter: Letter, words: str) -> None:
        await self._spool.write(lambda tx: letters.set_aside(tx, letter.id, words))
        log.event("held", letter=letter.id, to=letter.recipient, reason=words)


def _days(span: timedelta) -> int:
    return round(span / timedelta(days=1))


def _forget(letter: Letter) -> None:
    if letter.file is not None:
        Path(letter.file).unlink(missing_ok=True)
