"""Watching a cluster's attempts: its polls, the bell, the folders, and what they come to together.

Whoever runs a cluster asks here what is seen; nobody waits for a disk or a scheduler that hangs.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailgate import log
from mailgate.errors import MailgateError, Transient
from mailgate.hands import Crew
from mailgate.model import Attempt, Token
from mailgate.run import programs
from mailgate.run.handover import Handover
from mailgate.run.jobdir import Folder
from mailgate.run.judge import Case, Judge, waits
from mailgate.run.polls import Known, Polls
from mailgate.run.scheduler import Command, Given, Said, Scheduler, Seen, State, UnreadableError
from mailgate.run.sight import Ended, Running, Sight, Waiting
from mailgate.run.steps import rung, seen_in
from mailgate.settings.schedulers import Cluster as Site

# The bell is listened for so often (seconds), and of the folders of running jobs so many are looked
# into each time, in turn: a shared file system may show a bell late.
_LISTEN, _IN_TURN = 0.5, 25
# So many folders are looked into at a time: a hand that is at it for half a minute is ended, and a
# shared file system that is busy may take a second for each.
_AT_A_TIME = 25
# Of so many attempts it is asked at once what became of them.
_ASKERS = 4
# An attempt that nobody asks after (seconds) is the runner's no more.
_FORGOTTEN = 60.0
# A stranger of ours is cancelled again after this (seconds).
_CANCEL_AGAIN = 60.0


Over = Callable[[Collection[Token]], Collection[Token]]


class Vigil:
    """What is seen of the attempts at one scheduler, [run.``name``]'s; in one event loop.

    ``changed`` is set when something new was seen. ``silent``: since when nothing is.
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        site: Site,
        handover: Handover,
        *,
        grace: timedelta,
        crew: Crew,
        bell: Path,
    ) -> None:
        self._name = name
        self._scheduler = scheduler
        self._site = site
        self._handover = handover
        self._crew = crew
        self._bell = bell
        self._polls = Polls(grace, site.poll_min, site.poll_max)
        self._judge = Judge(scheduler, self._polls, self.run, grace=grace.total_seconds())
        self._cases: dict[Token, Case] = {}
        self._due: set[Token] = set()
        self._doubts: asyncio.Queue[Case] = asyncio.Queue()
        self._turn: list[Token] = []
        self._running: set[Token] = set()
        self._forgot = 0.0
        self._soon = asyncio.Event()
        self._over: Over = lambda _: ()
        self._cancelled: dict[Token, float] = {}
        self._left = False
        self._strange: set[str] = set()
        self._blind = ""
        self._answered: datetime | None = None
        self.silent: datetime | None = None
        self.changed = asyncio.Event()

    # --- what the engine says and asks ------------------------------------------------------------

    def handing(self, token: Token) -> None:
        """Know that an attempt is being handed over: no poll says anything of it yet."""
        self._polls.known[token] = Known(since=None)

    def handed(self, token: Token) -> None:
        """Know that this is over, however it went."""
        # One that was refused, or a room's loop that was begun anew, has let go of it meanwhile.
        if token in self._polls.known:
            self._polls.known[token].since = _now()
        self.hurry()

    def sights(self, attempts: Iterable[tuple[Folder, Attempt]]) -> dict[Token, Sight]:
        """Return what is seen of attempts, but what is nothing, or known to the caller."""
        now = _now()
        seen = ((attempt.token, self._sight(folder, attempt, now)) for folder, attempt in attempts)
        return {token: sight for token, sight in seen if sight is not None}

    def _sight(self, folder: Folder, attempt: Attempt, now: float) -> Sight | None:
        token = attempt.token
        case = self._cases.get(token)
        if case is None:
            case = self._cases[token] = Case(folder, attempt, now)
            if token not in self._polls.known:
                # From a daemon before us: of one that was just handed over, its bell tells.
                self._polls.known[token] = Known(since=now)
                self._due.add(token)
        case.attempt, case.asked = attempt, now
        if case.sight is None or _is_noted(case.sight, attempt):
            return None
        if not isinstance(case.sight, Running | Waiting):
            # What is done about it may change it.
            self._due.add(token)
        return case.sight

    def given(self, attempt: Attempt) -> Given:
        """Return what the scheduler knows an attempt by."""
        return self._judge.given(attempt)

    def cancelled(self, token: Token) -> None:
        """Know that it was cancelled by us."""
        if token in self._cases:
            self._cases[token].cancelled = True

    def released(self, token: Token) -> None:
        """Know that the scheduler was asked to let it go on: only later polls say whether it is."""
        if token in self._cases:
            self._cases[token].sight = None
            self._polls.known[token].seen = None
            self._polls.known[token].since = _now()
        self.hurry()

    def is_missed(self, token: Token) -> bool:
        """Whether the scheduler did not have it when it was last asked."""
        known = self._polls.known.get(token)
        return known is not None and known.missed

    def forget(self, token: Token) -> None:
        """Let go of an attempt that is over: if a poll still has it, it is cancelled there."""
        self._cases.pop(token, None)
        self._polls.known.pop(token, None)
        self._left = True
        self.hurry()

    def hurry(self) -> None:
        """Have the scheduler asked soon."""
        self._polls.hurry()
        self._soon.set()

    def begin(self, over: Over) -> None:
        """Begin afresh; ``over`` says which of some tokens are attempts that are over."""
        self._over = over
        self._cases.clear()
        self._polls.known.clear()
        self._doubts = asyncio.Queue()

    @property
    def answers(self) -> bool:
        """Whether the scheduler has answered the last that it was asked, if anything was."""
        return self._answered is not None and self.silent is None

    async def keep(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            group.create_task(self._look())
            for _ in range(_ASKERS):
                group.create_task(self._ask())

    async def run(self, command: Command) -> Said:
        """Run one of the scheduler's commands; raises Transient where it does not end in time."""
        return await programs.run(command, limit=self._site.timeout)

    # --- polling ----------------------------------------------------------------------------------

    async def _poll(self) -> None:
        # What was being submitted before is there by the first poll, or never.
        await self._handover.recover()
        first = True
        while True:
            began = _now()
            if first or self._cases or self._left or self._blind or self._handover.rests:
                await self._polled()
                first = False
            elif self._answered is not None:
                # Whom nobody asks is not silent.
                self._answered = datetime.now(UTC)
            took = _now() - began
            # Several changes that come together need one poll.
            least = max(self._site.poll_min.total_seconds(), took)
            await asyncio.sleep(least)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._polls.pause - least):
                    await self._soon.wait()
            self._soon.clear()

    async def _polled(self) -> None:
        """Ask once; what goes wrong is told once, and nothing is concluded from it."""
        began = _now()
        try:
            seen = await self._seen_there()
        except (Transient, UnreadableError) as error:
            self._tell_blind(f"{error} {getattr(error, 'detail', '')}".strip())
            self._polls.failed()
            return
        took = _now() - began
        self._tell_blind("")
        self._answered = datetime.now(UTC)
        self._handover.answered()
        self._tell_strange(seen)
        for token in self._polls.came(seen, began, took):
            self._news(token)
        # Of these the next poll may say that the time is over.
        self._due.update(self._polls.waited_for)
        await self._cancel_strangers()
        self.changed.set()

    async def _seen_there(self) -> Sequence[Seen]:
        said = await self.run(self._scheduler.poll())
        if said.status:
            message = f"it exits {said.status}"
            raise Transient(message, detail=_short(said.stderr))
        # Ten thousand lines take a while.
        return await asyncio.to_thread(self._scheduler.parse_poll, said.stdout)

    def _news(self, token: Token) -> None:
        case, seen = self._cases.get(token), self._polls.known[token].seen
        if case is None:
            return
        if seen and waits(seen) and (case.sight is None or isinstance(case.sight, Waiting)):
            # No need to look into its folder: its bell tells when it begins.
            case.sight = self._judge.waiting(case, seen)
        else:
            self._due.add(token)

    def _tell_blind(self, why: str) -> None:
        if why and not self._blind:
            log.event("unseen", engine=self._name, reason=why)
            self.silent = self._answered or datetime.now(UTC)
            self.changed.set()
        if self._blind and not why:
            log.event("resumed", engine=self._name)
            self.silent = None
        self._blind = why

    def _tell_strange(self, seen: Iterable[Seen]) -> None:
        words = {one.word for one in seen if one.state is None} - self._strange
        for word in sorted(words):
            log.event("unseen", engine=self._name, reason=f'"{word[:100]}" is no state')
        self._strange |= words

    async def _cancel_strangers(self) -> None:
        """Cancel what is there of attempts that are over: claimed, given up, or ended and noted."""
        now = _now()
        self._cancelled = {t: at for t, at in self._cancelled.items() if now < at + _CANCEL_AGAIN}
        there = {
            token: seen
            for token, seen in self._polls.strangers.items()
            if seen.state is not State.ENDED or seen.stays
        } | self._polls.staying
        left = self._over(there) if there else ()
        # As long as one is there it is asked for, though nobody waits for a job.
        self._left = bool(left)
        for token in left:
            if token in self._cancelled:
                continue
            self._cancelled[token] = now
            given = Given(token=token, native=there[token].native)
            try:
                await self.run(self._scheduler.cancel(given))
            except Transient as error:
                log.delayed("run", reason=str(error), detail=error.detail)
                # The others after the next poll: nobody waits until each of them has hung.
                return

    # --- looking ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LISTEN)
            if not self._cases:
                continue
            # Lists a folder, on a disk that may be slow.
            bells = await asyncio.to_thread(self._rung)
            rung = self._due | bells
            due = [token for token in rung if token in self._cases] + self._next_in_turn()
            # Of one that is just being handed over nobody has asked yet.
            self._due = {token for token in rung - self._cases.keys() if token in self._polls.known}
            for first in range(0, len(due), _AT_A_TIME):
                await self._looked(due[first : first + _AT_A_TIME])
            self._forget()

    def _rung(self) -> set[Token]:
        try:
            return rung(self._bell)
        except OSError:
            return set()

    def _next_in_turn(self) -> list[Token]:
        if not self._turn:
            self._turn = list(self._running)
        taken, self._turn = self._turn[:_IN_TURN], self._turn[_IN_TURN:]
        return taken

    def _forget(self) -> None:
        now = _now()
        if now < self._forgot + _FORGOTTEN:
            return
        self._forgot = now
        self._running &= self._cases.keys()
        for token in [t for t, c in self._cases.items() if now > c.asked + _FORGOTTEN]:
            del self._cases[token]
            self._polls.known.pop(token, None)

    async def _looked(self, tokens: Sequence[Token]) -> None:
        """Look into these folders, and say what that means with what the scheduler says."""
        # One may have been dropped while others were looked into.
        cases = [self._cases[token] for token in tokens if token in self._cases]
        asked = [(case.folder, case.attempt) for case in cases]
        try:
            found, unread = await self._crew.do(seen_in, asked)
        except MailgateError as error:
            self._due.update(tokens)
            log.delayed("run", reason=str(error), detail=error.detail)
            return
        for detail in unread:
            log.delayed("run", reason="A job folder cannot be read now.", detail=detail)
        for token, sight in found.items():
            case = self._cases.get(token)
            if case is None:
                continue
            asks = case.asks
            before, case.sight = case.sight, self._judge.judged(case, sight)
            if case.asks and not asks:
                self._doubts.put_nowait(case)
            runs = isinstance(case.sight, Running)
            (self._running.add if runs else self._running.discard)(token)
            if case.sight != before:
                self.changed.set()
            if isinstance(sight, Ended) and not isinstance(case.sight, Ended):
                # Its end waits for the scheduler's word.
                self._due.add(token)
                self._soon.set()

    async def _ask(self) -> None:
        """Ask what became of attempts: by a command each, while others are looked at."""
        while True:
            case = await self._doubts.get()
            await self._judge.ask(case)
            self._due.add(case.attempt.token)


def _is_noted(sight: Sight, attempt: Attempt) -> bool:
    """Whether the runner knows what it is told."""
    match sight:
        case Waiting(native=native, queued=queued, held=held):
            return (native, queued, held) == (attempt.native, attempt.queued, attempt.held)
        case _:
            return False


def _short(words: str) -> str:
    return " ".join(words.split())[:500]


def _now() -> float:
    return asyncio.get_running_loop().time()
