"""The loop that gets letters out, and the schedule by which it tries again."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from mailgate import crash, log, said
from mailgate.config import Deliver
from mailgate.deliver.caps import Caps
from mailgate.errors import LetterGone, MailgateError, OverSize, Permanent, Transient, Unreachable
from mailgate.model import Letter
from mailgate.saying import Saying, Words, words_of
from mailgate.spool import letters
from mailgate.spool.database import Tx
from mailgate.spool.due import due, left, next_due, urgent
from mailgate.spool.store import Spool

T = TypeVar("T")

# The outbox looks by itself at least so often, in seconds.
_LOOK = 2.0
# A next hop that is away is tried again so soon at first.
_SOON = 2.0
# And at least this often.
_AWAY = 30.0
# That letters wait for others of the hour is told so often.
_TELL = 3600.0
# A failed commit or a bug: the letter rests so long.
_AGAIN = 5.0
# What a relay that names no SIZE gets after it called a letter too big: half of it, down to this. A
# smaller one is refused for another reason than its size, whatever the relay says.
_HALF = 2
# Somebody clears a full mailbox within days, not minutes.
_DAY = timedelta(days=1)
# Past so many doublings every wait is a day.
_DOUBLED = 20
_SMALLEST = 16 << 10


class Courier(Protocol):
    """A way out."""

    async def deliver(self, letter: Letter, *, again: bool = True) -> str:
        """Hand a letter to the next hop and return its words.

        ``again``: it may have been handed over before, and nobody knows.

        Raises
        ------
        Transient
            It was refused for now; ``Unreachable``: there was nobody to refuse it.
        OverSize, Permanent
            It was refused for good.
        """
        ...

    def close(self) -> None:
        """Let go of the next hop."""
        ...


def next_try(schedule: Sequence[timedelta], refusals: int) -> timedelta:
    """How long to wait after that many refusals (1 or more); the schedule's last repeats."""
    return schedule[min(refusals, len(schedule)) - 1]


def after_bounce(
    schedule: Sequence[timedelta], bounces: int, *, within: timedelta
) -> timedelta | None:
    """How long to wait after that many failures that came back (1 or more); None: no more tries.

    By the schedule, then twice as long each time, a day at most: what comes back has been taken
    first. All waits together are ``within``.
    """
    waits = [_after_bounce(schedule, number) for number in range(1, bounces + 1)]
    return waits[-1] if sum(waits, timedelta()) <= within else None


def _after_bounce(schedule: Sequence[timedelta], bounces: int) -> timedelta:
    doubled: int = 2 ** min(max(bounces - len(schedule), 0), _DOUBLED)
    return min(next_try(schedule, bounces) * doubled, max(_DAY, schedule[-1]))


def smaller(size: int) -> int | None:
    """Return in how many bytes a letter of ``size`` is composed again that is called too big.

    None where it is so small that it is refused for another reason, whatever is said.
    """
    return size // _HALF if size > _SMALLEST else None


class Outbox:
    """Tries every letter that is due, ``at_once`` of them at the same time.

    ``one_hop``: every letter goes by the same next hop; when that is away for one, it is for all.
    ``soon`` and ``again`` are the first waits, in seconds, for a hop and for a spool that is away.
    """

    def __init__(
        self, deliver: Deliver, spool: Spool, courier: Courier, *, at_once: int, one_hop: bool,
        soon: float = _SOON, again: float = _AGAIN,
    ) -> None:  # fmt: skip
        self._soon = soon
        self._again = again
        self._at_once = at_once
        self._one_hop = one_hop
        self._deliver = deliver
        self._spool = spool
        self._courier = courier
        self._busy: set[int] = set()
        # Up to this one they may have been tried, and it was not noted.
        self._older = 0
        self._tries: set[asyncio.Task[None]] = set()
        self._away = 0.0
        self._away_until = 0.0
        self._draining = False
        self._unnoted = 0
        self._caps = Caps(each=deliver.letters_an_hour_each, in_all=deliver.letters_an_hour)
        self._capped = False
        self._told_cap = -_TELL

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._busy.clear()
        self._older = letters.newest(self._spool.view)
        self._count()
        async with asyncio.TaskGroup() as group:
            while True:
                full = self._send(group)
                await self._spool.wait("deliver", longest=_LOOK if full else self._longest())

    async def drain(self, longest: float) -> None:
        """Begin no delivery any more; let those under way end within ``longest`` seconds.

        One that is cut off after its last byte would go a second time.
        """
        self._draining = True
        if self._tries:
            await asyncio.wait(self._tries, timeout=longest)

    def _count(self) -> None:
        if self._caps.on:
            wall, now = datetime.now(UTC), asyncio.get_running_loop().time()
            self._caps.load(left(self._spool.view, now=wall), wall=wall, now=now)

    def _send(self, group: asyncio.TaskGroup) -> bool:
        """Begin what is due; True if no more can be begun before somebody rings."""
        now = asyncio.get_running_loop().time()
        # While the next hop is away one letter goes ahead and finds out.
        room = (self._at_once if not self._away else 1) - len(self._busy)
        if room <= 0 or self._draining or self._unnoted or self._spool.clock.step:
            return True
        if now < self._away_until:
            return False
        found = self._found(min(room, self._caps.room(now)))
        taken = [letter for letter in found if self._caps.take(letter.recipient.lower(), now)]
        for letter in taken:
            self._busy.add(letter.id)
            task = group.create_task(self._try(self._located(letter)))
            self._tries.add(task)
            task.add_done_callback(self._tries.discard)
        if len(taken) < len(found):
            # Of several to one recipient some wait; others may go in their place.
            return self._send(group)
        return len(taken) == room

    def _found(self, room: int) -> list[Letter]:
        """Return what is due, at most so many; under a cap results first."""
        view, now = self._spool.view, datetime.now(UTC)
        if not self._caps.on:
            return due(view, now=now, limit=room, besides=self._busy)
        self._tell_cap(is_capped=not room)
        if not room:
            return []
        full = self._caps.full()
        return urgent(view, now=now, limit=room, besides=self._busy, without=full)

    def _tell_cap(self, *, is_capped: bool) -> None:
        now = asyncio.get_running_loop().time()
        if is_capped and now - self._told_cap >= _TELL:
            self._told_cap = now
            most = said.counted(self._deliver.letters_an_hour or 0, "letter")
            reason = f"{most} left within an hour, the most that [deliver] letters_an_hour lets"
            log.event("delayed", what="deliver", reason=reason)
        self._capped = is_capped

    def _located(self, letter: Letter) -> Letter:
        if letter.file is None:
            return letter
        return replace(letter, file=str(self._spool.folder.letters / letter.file))

    def _longest(self) -> float:
        """Seconds until something can be due, at most until the next look."""
        now = asyncio.get_running_loop().time()
        frees = (self._caps.frees() or now + _LOOK) - now
        if self._capped:
            return min(max(frees, 0.01), _LOOK)
        soonest = next_due(self._spool.view, besides=self._busy, without=self._caps.full())
        if soonest is None:
            return min(max(frees, 0.01), _LOOK)
        wait = (soonest - datetime.now(UTC)).total_seconds()
        return min(max(min(wait, frees), self._away_until - now, 0.01), _LOOK)

    async def _try(self, letter: Letter) -> None:
        """Try one letter, at the top of the room's loop: what goes wrong stays with it."""
        has_left = False
        try:
            has_left = await self._tried(letter)
        except Exception as error:  # noqa: BLE001 - a bug: the letter waits, the others go on
            log.event("failed", what="deliver", letter=letter.id, reason=repr(error))
            await asyncio.sleep(self._again)
        if not has_left:
            self._caps.back(letter.recipient.lower())
        self._busy.discard(letter.id)
        self._spool.ring("deliver")

    async def _tried(self, letter: Letter) -> bool:
        """Try a letter and note what came of it; True if it has left."""
        has_left = False
        if letter.body is None and letter.file is None:
            # It was out and came back: its bytes are made again, under the same Message-ID.
            await self._noted(lambda tx: letters.lost(tx, letter.id))
            return has_left
        began = asyncio.get_running_loop().time()
        try:
            again = letter.id <= self._older or letter.tries > 0
            words = await self._courier.deliver(letter, again=again)
        except Unreachable as error:
            await self._unreachable(letter, error, began)
            return has_left
        except Transient as error:
            await self._refused(letter, error)
        except OverSize as error:
            await self._too_big(letter, error)
        except LetterGone as error:
            words = str(error)
            await self._noted(lambda tx: letters.lost(tx, letter.id, words))
            log.event("lost", letter=letter.id, to=letter.recipient, reason=words)
            return has_left
        except Permanent as error:
            await self._hold(letter, words_of(error.public))
        else:
            has_left = True
            crash.point("deliver:sent")
            await self._noted(lambda tx: letters.sent(tx, letter.id, words))
            crash.point("deliver:committed")
            log.event("sent", letter=letter.id, to=letter.recipient, message_id=letter.message_id,
                      size=letter.size, words=words or None)  # fmt: skip
            _forget(letter)
        self._away = self._away_until = 0.0
        return has_left

    async def _noted(self, operation: Callable[[Tx], T]) -> T:
        """Write down what became of a try, however long the spool cannot be written.

        What has happened has happened: a letter that is out must not go again because the disk was
        full when it left, or the database damaged. No further letter is begun meanwhile.
        """
        try:
            return await self._spool.write(operation)
        except Exception as error:  # noqa: BLE001 - whatever it is, the letter has gone
            _tell(error)
        self._unnoted += 1
        try:
            while True:
                await asyncio.sleep(self._again)
                try:
                    return await self._spool.write(operation)
                except Exception as error:  # noqa: BLE001 - as above
                    _tell(error)
        finally:
            self._unnoted -= 1

    async def _unreachable(self, letter: Letter, error: Unreachable, began: float) -> None:
        """Nobody refused anything: the letter keeps its place, and the time does not count."""
        now = asyncio.get_running_loop().time()
        pause = min(self._soon * 2 ** min(letter.tries, 10), _AWAY)
        if self._one_hop and now >= self._away_until:
            self._away = min(max(self._away * 2, self._soon), _AWAY)
            self._away_until = max(began + self._away, now)
            # A letter that alone makes the relay hang up must not keep the others waiting.
            pause = max(pause, self._away)
        # From one beginning to the next: a relay that lets us wait is tried as often.
        left = max(began + pause - now, 0.0)
        until = datetime.now(UTC) + timedelta(seconds=left)
        log.event("unreachable", letter=letter.id, to=letter.recipient, reason=str(error),
                  detail=error.detail or None, again=until)  # fmt: skip
        await self._noted(
            lambda tx: letters.put_off(
                tx, letter, until=until, words=str(error), refused=False, waited=letter.waited
            )
        )

    async def _refused(self, letter: Letter, error: Transient) -> None:
        pause = next_try(self._deliver.retry, letter.refusals + 1)
        waited = letter.waited + pause
        if letter.waited >= self._deliver.give_up:
            words = Saying("mailing/refused-for", span=letter.waited, words=words_of(error.public))
            await self._hold(letter, words)
            return
        until = datetime.now(UTC) + pause
        await self._noted(
            lambda tx: letters.put_off(
                tx, letter, until=until, words=str(error), refused=True, waited=waited
            )
        )
        log.event("refused", letter=letter.id, to=letter.recipient, reason=str(error),
                  again=until)  # fmt: skip

    async def _too_big(self, letter: Letter, error: OverSize) -> None:
        """Have it composed again, smaller; held if that was done and it is no smaller."""
        limit = error.limit or smaller(letter.size)
        reason = str(error)
        if (
            limit is None
            or limit >= letter.size
            or not await self._noted(
                lambda tx: letters.too_big(tx, letter.id, limit=limit, words=reason)
            )
        ):
            await self._hold(letter, words_of(error.public))
            return
        log.event("shortened", letter=letter.id, to=letter.recipient, limit=limit, reason=reason)

    async def _hold(self, letter: Letter, words: Words) -> None:
        if await self._noted(lambda tx: letters.set_aside(tx, letter.id, words)):
            log.event("held", letter=letter.id, to=letter.recipient, reason=str(words))


def _tell(error: Exception) -> None:
    detail = error.detail if isinstance(error, MailgateError) else repr(error)
    log.event("delayed", what="deliver", reason=str(error), detail=detail or None)


def _forget(letter: Letter) -> None:
    if letter.file is not None:
        Path(letter.file).unlink(missing_ok=True)
