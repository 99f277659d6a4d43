"""What an attempt's folder and its scheduler come to together: a sight of it.

The folder is the truth about whether it began and how it ended. The scheduler's word decides where
there is no record, and only after the grace time of good polls; it explains an end that came from
outside.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from mailgate import log
from mailgate.errors import Transient
from mailgate.model import Attempt, Exit, NativeId, Wait
from mailgate.run import ends
from mailgate.run.jobdir import Folder
from mailgate.run.polls import Known, Polls
from mailgate.run.scheduler import Command, Given, Said, Scheduler, Seen, State, UnreadableError
from mailgate.run.sight import Denied, Ended, Gone, NotStarted, Running, Sight, Waiting

# What became of a job is asked so often where the answer cannot be read, a grace time apart.
_TRIES = 5
# Of a reason so much is told: it may name a thousand nodes.
_TOLD = 300
# An estimate of the start that moves by less (seconds) is the same one.
_SAME = 300.0


@dataclass(slots=True)
class Case:
    """An attempt as the runner last asked after it, and what was found of it.

    ``doubt``: since when its end waits for the scheduler's word about it. ``asks``: that word is
    to be asked for (`Judge.ask`), ``tries``: how often it was, and ``again``: not anew before that;
    ``settled``: no more is to come than ``word``. ``cancelled``: by us, so its end is no riddle.
    """

    folder: Folder
    attempt: Attempt
    asked: float
    sight: Sight | None = None
    doubt: float | None = None
    asks: bool = False
    tries: int = 0
    again: float = 0.0
    settled: bool = False
    word: Seen | None = None
    cancelled: bool = False


Run = Callable[[Command], Awaitable[Said]]


class Judge:
    """Judges one scheduler's attempts. ``run`` runs a command of its; ``grace`` in seconds."""

    def __init__(self, scheduler: Scheduler, polls: Polls, run: Run, *, grace: float) -> None:
        self._scheduler = scheduler
        self._polls = polls
        self._run = run
        self._grace = grace

    def judged(self, case: Case, found: Sight) -> Sight | None:
        """Return what the find in its folder comes to, which never says "gone"; None: unknown.

        Where the scheduler has to be asked first, ``asks`` is set, and a later find is judged.
        """
        token = case.attempt.token
        known = self._polls.known[token]
        gone = self._polls.is_gone(token)
        if not gone and not isinstance(found, Ended):
            # What was said when it had been missed before is no word about its end.
            case.settled = False
        match found:
            case Ended():
                return self._end(case, known, found)
            case Running(started=started) if not gone:
                suspended = known.seen is not None and known.seen.state is State.SUSPENDED
                native = known.seen.native if known.seen else None
                return Running(started=started, suspended=suspended, native=native)
            case Running(started=started):
                if not self._is_settled(case, known):
                    return case.sight
                end = ends.without_record(case.word, self._scheduler.title)
                if end is None:
                    return Gone(started=started)
                return Ended(exit=end, started=started, ended=max(started, datetime.now(UTC)))
            case _:
                return self._not_begun(case, known, gone=gone)

    def _not_begun(self, case: Case, known: Known, *, gone: bool) -> Sight | None:
        seen = known.seen
        if known.ended and not known.missed and (end := self._denied(seen)) is not None:
            # Nothing is lost by haste: the runner takes its claim first.
            return Denied(exit=end)
        if case.attempt.native is None and seen is None:
            return NotStarted() if known.missed else None
        if not gone:
            alive = seen is not None and not known.ended
            return self.waiting(case, seen) if alive and seen and waits(seen) else None
        if not self._is_settled(case, known):
            return None
        # What has failed there and would stay for ever is taken away once that is noted.
        end = self._denied(case.word)
        return NotStarted() if end is None else Denied(exit=end)

    def _denied(self, seen: Seen | None) -> Exit | None:
        return ends.before_start(seen, self._scheduler.title)

    def _end(self, case: Case, known: Known, found: Ended) -> Sight:
        """Return an end, with the scheduler's word where that may know better why."""
        if case.cancelled or not ends.is_doubtful(found.exit):
            return found
        now = _now()
        case.doubt = case.doubt or now
        gone = self._polls.is_gone(case.attempt.token)
        told = known.ended or self._is_back(known, since=case.doubt)
        if not told and not gone and now < case.doubt + 2 * self._grace:
            self._polls.hurry()
            return Running(started=found.started)
        if not told and not self._is_settled(case, known):
            return Running(started=found.started)
        seen = known.seen if told else case.word
        end = ends.merged(found.exit, seen, self._scheduler.title)
        return Ended(exit=end, started=found.started, ended=found.ended)

    def _is_back(self, known: Known, *, since: float) -> bool:
        """Whether it waits there again: somebody there has ended it, to have it start anew."""
        last = self._polls.last
        return known.seen is not None and waits(known.seen) and last is not None and last > since

    def _is_settled(self, case: Case, known: Known) -> bool:
        """Whether all that the scheduler can say of the end is there; else it is to be asked."""
        if not case.settled and known.ended and known.seen and known.seen.end:
            case.settled, case.word = True, known.seen
        case.asks = case.asks or (not case.settled and _now() >= case.again)
        return case.settled

    async def ask(self, case: Case) -> None:
        """Ask the scheduler what became of an attempt; its folder may show more by then."""
        known = self._polls.known.get(case.attempt.token)
        if known is not None:
            await self._ask(case, known)
        case.asks = False

    async def _ask(self, case: Case, known: Known) -> None:
        given = self.given(case.attempt)
        command = self._scheduler.why(given)
        seen = None
        if command is not None and case.tries < _TRIES:
            case.tries += 1
            # Who is away comes back, and what is being ended has ended.
            case.again = _now() + self._grace
            try:
                seen = self._scheduler.parse_why(await self._run(command), given)
            except (Transient, UnreadableError) as error:
                log.delayed("run", reason="What became of a job is unknown.", detail=str(error))
                return
        if seen is not None and seen.state not in {State.ENDED, None}:
            # It is there after all.
            known.seen, known.gone = seen, None
            return
        known.seen = seen or known.seen
        case.settled, case.word = True, seen

    def given(self, attempt: Attempt) -> Given:
        """Return what the scheduler knows an attempt by."""
        known = self._polls.known.get(attempt.token)
        native = known.seen.native if known and known.seen else attempt.native
        return Given(token=attempt.token, native=native or NativeId(""))

    @staticmethod
    def waiting(case: Case, seen: Seen) -> Waiting:
        """Return that an attempt waits there, and why."""
        starts, before = seen.starts, case.attempt.queued.starts
        if starts and before and abs((starts - before).total_seconds()) < _SAME:
            starts = before
        held = seen.state is State.HELD
        why = seen.why if len(seen.why) <= _TOLD else f"{seen.why[:_TOLD]} ..."
        return Waiting(native=seen.native, queued=Wait(why=why, starts=starts), held=held)


def waits(seen: Seen) -> bool:
    """Whether the scheduler has a job that has not begun."""
    return seen.state in {State.WAITING, State.HELD}


def _now() -> float:
    return asyncio.get_running_loop().time()
