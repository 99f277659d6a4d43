"""The thread that reads one mailbox: it connects, goes round after round, and waits in between.

What it knows of single mails lies in memory alone. After a crash they are fetched again, which the
house's rule that every message acts once makes harmless.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from mailgate import log
from mailgate.config import ImapDoor
from mailgate.errors import Transient
from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.errors import NoLogin, Stopped
from mailgate.receive.imap.line import Line
from mailgate.receive.imap.memory import Memory
from mailgate.receive.imap.reception import Reception
from mailgate.receive.imap.round import Round

T = TypeVar("T")

# Seconds in which a thread that waits for nothing but the bell has heard it.
_MOMENT = 0.5
# After so many looks for nothing, one behind the other, there is a pause of so many seconds.
_VAIN, _PAUSE = 5, 1.0


class Mailbox:
    """One mailbox and its thread; every method with a plain name is the event loop's."""

    def __init__(
        self, door: ImapDoor, reception: Reception, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._door = door
        self._reception = reception
        self._loop = loop
        self._bell = Bell()
        self._line: Line | None = None
        self._memory = Memory([wait.total_seconds() for wait in door.retry])
        # The trouble that was told last; "" while there is none.
        self._told: str | None = None
        self._ended = asyncio.Event()
        self._busy = False
        # A daemon's thread: one that hangs in a system call does not keep the process.
        self._thread = threading.Thread(target=self._run, name=door.table, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    async def stop(self, grace: float) -> None:
        """Stop reading; the mails in hand may be settled within ``grace`` seconds.

        A thread that hangs all the same is left behind; it can do nothing more.
        """
        self._bell.ring()
        # One that has no mail in hand, because its server does not answer, is not waited for.
        left = grace if self._busy else min(grace, _MOMENT)
        for limit in (left * 3 / 4, left / 4):
            try:
                async with asyncio.timeout(limit):
                    await self._ended.wait()
            except TimeoutError:
                if self._line is not None:
                    self._line.hang_up()
            else:
                return

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._read()
        finally:
            self._in_loop(self._ended.set)

    def _read(self) -> None:
        tries, wait = 0, 0.0
        while not self._bell.rung:
            line = self._line = Line(self._door, self._bell)
            try:
                line.open()
                line.ensure(self._door.done)
                line.ensure(self._door.failed)
                line.select()
                tries = 0
                self._tell_that_it_works(line)
                self._serve(line)
            except (Stopped, CancelledError):
                pass
            except Transient as trouble:
                wait = self._delayed(trouble, tries)
            except Exception as error:  # noqa: BLE001 - the top of a door
                log.event("failed", what=self._door.table, reason=repr(error))
                wait = self._door.retry[-1].total_seconds()
            finally:
                self._busy = False
                line.close()
            tries += 1
            if not self._bell.rung:
                self._bell.wait(wait)

    def _serve(self, line: Line) -> None:
        """Read what is there, and wait for more, until the connection is lost or the bell rings."""
        poll = self._door.poll.total_seconds()
        reading = Round(
            self._door,
            line,
            self._memory,
            reception=self._reception,
            awaited=self._awaited,
            bell=self._bell,
        )
        vain = 0
        while not self._bell.rung:
            self._busy = True
            moved = reading.go()
            self._busy = False
            wait = self._memory.next_due(poll)
            if self._bell.rung:
                return
            if not line.idles:
                self._bell.wait(wait)
                continue
            began = time.monotonic()
            line.idle(wait)
            # Some servers tell of the mailbox at the beginning of each IDLE, whatever is in it.
            vain = vain + 1 if not moved and time.monotonic() - began < _PAUSE else 0
            if vain > _VAIN:
                self._bell.wait(_PAUSE)

    def _tell_that_it_works(self, line: Line) -> None:
        if self._told == "":
            return
        self._told = ""
        log.event(
            "listening",
            door="imap",
            table=self._door.table,
            host=self._door.host,
            port=self._door.port,
            user=self._door.user,
            mailbox=self._door.mailbox,
            idle=line.idles,
            move=line.moves,
        )

    def _delayed(self, trouble: Transient, tries: int) -> float:
        """Tell of trouble, each kind once, and return the seconds until the next try."""
        waits = self._door.retry
        # Whoever knocks with a wrong password too often is locked out.
        wait = waits[-1] if isinstance(trouble, NoLogin) else waits[min(tries, len(waits) - 1)]
        if self._told != str(trouble) and not self._bell.rung:
            self._told = str(trouble)
            log.event(
                "delayed",
                what=self._door.table,
                reason=str(trouble),
                detail=trouble.detail or None,
                wait=f"{wait.total_seconds():g}s",
            )
        return wait.total_seconds()

    # --- the thread and the event loop ------------------------------------------------------------

    def _awaited(self, doing: Coroutine[Any, Any, T], /) -> T:
        """Have the event loop do something, and wait for what comes of it.

        Raises
        ------
        Stopped, CancelledError
            The loop has ended, or ends meanwhile.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        except RuntimeError as error:
            doing.close()
            raise Stopped("the gateway ends") from error
        return future.result()

    def _in_loop(self, what: Any) -> None:  # noqa: ANN401
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            # The loop has ended before.
            return
