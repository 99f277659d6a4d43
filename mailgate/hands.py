"""Processes that do file work for the daemon: what is many system calls and little else.

In a thread each of them would hand the interpreter to and fro between that thread and the event
loop's, which costs several times what the call itself does. A hand does one thing at a time, so it
gets nothing that can take long. What each of them does is ``hand.py``.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from mailgate.companion import Companion
from mailgate.errors import Transient
from mailgate.frames import packed

P = ParamSpec("P")
T = TypeVar("T")

_HANGS = "a helping process does not answer; another is started"
_ENDED = "a helping process has ended; it is started again"
# What is brief takes at most so long (seconds).
_BRIEF = 2.0
# And what is not, so long: a disk that hangs, or somebody who stopped the process.
_LONGEST = 30.0


class Crew(Protocol):
    """Somebody who does what blocks."""

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it and return what it returns, or raise what it raises."""
        ...

    async def each(self, works: Sequence[Callable[[], T]]) -> Sequence[T | Exception]:
        """Call several in one go; return what each returned, or its error."""
        ...

    async def briefly(self, work: Callable[[], T]) -> T:
        """Do the same with what only reads; TimeoutError where it takes long, and is broken off."""
        ...


class _Died(Transient):
    """The process has ended in the middle of its work."""


class Hands:
    """``count`` processes, each started when it is first needed; in one event loop.

    ``needs``: names of modules that they load at their start. One that is at something for
    ``longest`` seconds is ended.
    """

    def __init__(
        self, count: int, *, needs: tuple[str, ...] = (), longest: float = _LONGEST
    ) -> None:
        self._longest = longest
        self._all = [Companion("mailgate.hand", needs) for _ in range(count)]
        # The one that was busy last is asked first: the others need not even be started.
        self._idle: asyncio.LifoQueue[Companion] = asyncio.LifoQueue()
        for hand in self._all:
            self._idle.put_nowait(hand)

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have one call it, and return what it returns or raise what it raises.

        ``work`` is a function of a module, and all that goes to and fro can be pickled. Whoever is
        cancelled while he waits has the hand killed.

        Raises
        ------
        Transient
            The process could not be started, died meanwhile, or did not answer within half a
            minute and was ended: what it was at may be half done.
        """
        (answer,) = await self.each([partial(work, *args, **kwargs)])
        return _returned(answer)

    async def each(self, works: Sequence[Callable[[], T]]) -> Sequence[T | Exception]:
        """Have one call several, one after another; return what each returned, or its error.

        Raises
        ------
        Transient
            As `do`, for all of them.
        """
        try:
            return await self._done(works, self._longest)
        except TimeoutError as error:
            names = dict.fromkeys(_name(work) for work in works)
            raise Transient(_HANGS, detail=", ".join(names)) from error

    async def briefly(self, work: Callable[[], T]) -> T:
        """Do the same with what only reads, and may be broken off: after two seconds it is.

        Where the process dies by itself it is done once more.

        Raises
        ------
        TimeoutError
            It was broken off, by an end of the process.
        Transient
            As above.
        """
        try:
            (answer,) = await self._done([work], _BRIEF)
        except _Died:
            (answer,) = await self._done([work], _BRIEF)
        return _returned(answer)

    async def _done(
        self, works: Sequence[Callable[[], T]], longest: float
    ) -> Sequence[T | Exception]:
        frame = packed([*works])
        hand = await self._idle.get()
        try:
            answers = await _answers(hand, frame, longest)
        finally:
            self._idle.put_nowait(hand)
        if not isinstance(answers, list) or len(answers) != len(works):
            message = f"a helping process said {type(answers)}"
            raise TypeError(message)
        return answers

    async def warm(self) -> None:
        """Start them before somebody waits for it; who cannot be started now is so later."""
        await asyncio.gather(*(hand.warm() for hand in self._all))

    async def close(self) -> None:
        """End them all, whatever they are at."""
        for hand in self._all:
            await hand.stop()


def _name(work: object) -> str:
    while isinstance(work, partial):
        work = work.func
    return getattr(work, "__name__", "")


def _returned(answer: T | Exception) -> T:
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _answers(hand: Companion, frame: bytes, longest: float) -> object:
    try:
        await hand.start()
    except TimeoutError as error:
        raise Transient(_ENDED, detail="it does not start") from error
    except (OSError, EOFError) as error:
        raise Transient(_ENDED, detail=repr(error)) from error
    try:
        return await hand.ask(frame, longest=longest)
    except TimeoutError:
        raise
    except (OSError, EOFError) as error:
        raise _Died(_ENDED, detail=repr(error)) from error
