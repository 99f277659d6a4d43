"""Processes that do file work for the daemon: what is many system calls and little else.

In a thread each of them would hand the interpreter to and fro between that thread and the event
loop's, which costs several times what the call itself does. A hand does one thing at a time, so it
gets nothing that can take long. ``python -m mailgate.hands``: frames on standard input and output.
"""

import asyncio
import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from mailgate import crash
from mailgate.errors import Transient
from mailgate.frames import ask, packed, receive

P = ParamSpec("P")
T = TypeVar("T")

# A hand imports what it is to do once: on a busy machine that may take a while (seconds).
_START = 30.0
# What is brief takes at most so long (seconds).
_BRIEF = 0.5
# prctl(2), PR_SET_PDEATHSIG.
_DIE_WITH_PARENT = 1


class Crew(Protocol):
    """Somebody who does what blocks."""

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it and return what it returns, or raise what it raises."""
        ...

    async def briefly(self, work: Callable[[], T]) -> T:
        """Do the same with what only reads; TimeoutError where it takes long, and is broken off."""
        ...


class Hands:
    """``count`` processes, each started when it is first needed; in one event loop."""

    def __init__(self, count: int) -> None:
        self._all = [_Hand() for _ in range(count)]
        # The one that was busy last is asked first: the others need not even be started.
        self._idle: asyncio.LifoQueue[_Hand] = asyncio.LifoQueue()
        for hand in self._all:
            self._idle.put_nowait(hand)

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have one call it, and return what it returns or raise what it raises.

        ``work`` is a function of a module, and all that goes to and fro can be pickled. Whoever is
        cancelled while he waits has the hand killed.

        Raises
        ------
        Transient
            The process could not be started, or died meanwhile: what it was at may be half done.
        """
        return await self._done(partial(work, *args, **kwargs), 0.0)

    async def briefly(self, work: Callable[[], T]) -> T:
        """Do the same; what takes over half a second is broken off, wherever it is.

        Raises
        ------
        TimeoutError
            It was broken off.
        Transient
            As above.
        """
        return await self._done(work, _BRIEF)

    async def _done(self, work: Callable[[], T], longest: float) -> T:
        hand = await self._idle.get()
        try:
            done, result = await hand.do(packed((work, longest)))
        finally:
            self._idle.put_nowait(hand)
        if not done:
            raise result  # type: ignore[misc]  # what the work raised
        return result  # type: ignore[return-value]  # what it returned

    async def warm(self) -> None:
        """Start them before somebody waits for it; who cannot be started now is so later."""
        await asyncio.gather(*(hand.warm() for hand in self._all))

    async def close(self) -> None:
        """End them all, whatever they are at."""
        for hand in self._all:
            await hand.end()


class _Hand:
    """One process, started anew when it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()

    async def warm(self) -> None:
        async with self._starting:
            with suppress(OSError, EOFError, TimeoutError):
                await self._running()

    async def do(self, frame: bytes) -> tuple[bool, object]:
        try:
            async with self._starting:
                process = await self._running()
            answer = await ask(process, frame)
        except (OSError, EOFError, TimeoutError) as error:
            await self.end()
            message = "a helping process has ended; it is started again"
            raise Transient(message, detail=repr(error)) from error
        except BaseException:
            # Its answer would be taken for the next one's.
            self._kill()
            raise
        if not isinstance(answer, tuple):
            message = f"a helping process said {type(answer)}"
            raise TypeError(message)
        return answer

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mailgate.hands",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                cwd=Path(__file__).parents[1],
                # Out of the terminal's group: a Ctrl-C is the daemon's to act on.
                start_new_session=True,
            )  # fmt: skip
            async with asyncio.timeout(_START):
                await ask(self._process, packed(None))
        return self._process

    def _kill(self) -> asyncio.subprocess.Process | None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        return process

    async def end(self) -> None:
        """End the process, whatever it is at."""
        process = self._kill()
        if process is not None:
            await process.wait()


# --- in the process -------------------------------------------------------------------------------


def main() -> None:
    """Do what comes until standard input ends, or the daemon does."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    daemon = os.getppid()
    # What a daemon that is gone had begun, the next one finds as a crash leaves it; nobody goes on.
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever it starts belongs to nobody: its end is seen by others.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _break_off)
    crash.dies_first(daemon)
    receive(source)
    answer: object = (True, None)
    while os.getppid() == daemon:
        target.write(packed(answer))
        target.flush()
        order = receive(source)
        if not isinstance(order, tuple):
            return
        answer = _done(*order)


class _TooLongError(BaseException):
    """Nothing that the work catches."""


def _break_off(*_: object) -> None:
    raise _TooLongError


def _done(work: Callable[[], object], longest: float) -> tuple[bool, object]:
    try:
        signal.setitimer(signal.ITIMER_REAL, longest)
        try:
            return True, work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TooLongError:
        return False, TimeoutError(f"over {longest} s")
    except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told
        return False, _portable(error)


def _portable(error: Exception) -> Exception:
    """Return an error that can be told to the other process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - an exception may hold anything
        return RuntimeError(repr(error))
    return error


if __name__ == "__main__":
    main()
