"""The loop that takes waiting messages, has a process read each, and has the desk perform it."""

import asyncio
import os
from collections.abc import Sequence

from mailgate import crash, log
from mailgate.companion import Companion
from mailgate.desk import OWN, Desk, Outcome, grammar, perform
from mailgate.errors import MailgateError, Transient
from mailgate.frames import packed
from mailgate.model import Reading
from mailgate.read.orders import Delayed, Order, Setup, Unread
from mailgate.spool import mail
from mailgate.spool.mail import Waiting
from mailgate.spool.store import Spool
from mailgate.spool.tables import Errand

# Readers look by themselves so often, rung or not.
_LOOK = 2.0
# So many numbers are fetched at once; the bytes only one at a time.
_AHEAD = 100
# Messages read and not yet committed: past this the reader waits for the writer.
_OPEN = 32
# What cannot be written down now is read again after this, in seconds.
_AGAIN = 5.0
# Somebody else may have killed the process or the machine stopped it, for want of memory or asleep:
# not the mail's fault the first time.
_LIVES = 2


class Process:
    """One reading process, started anew when a mail has stalled or killed it."""

    def __init__(self, setup: Setup) -> None:
        self._time_limit = setup.time_limit
        self._companion = Companion("mailgate.read.worker", setup)

    async def read(self, order: Order) -> Reading | Unread | Delayed:
        """Have a mail read. A mail that stalls or kills two processes is Unread."""
        reason = ""
        for _ in range(_LIVES):
            try:
                await self._companion.start()
            except (OSError, TimeoutError, EOFError) as error:
                return Delayed(reason=f"no reading process can be started: {error!r}")
            try:
                answer = await self._companion.ask(packed(order), longest=self._time_limit)
                break
            except TimeoutError:
                reason = f"reading it took over {self._time_limit:g} s"
            except (OSError, EOFError):
                reason = "reading it killed the reading process"
            log.delayed("read", message=order.message, reason=reason)
        else:
            return Unread(reason=reason)
        if isinstance(answer, Reading | Unread | Delayed):
            return answer
        message = f"the reading process said {type(answer)}"
        raise TypeError(message)

    async def warm(self) -> None:
        """Start it before the first mail waits for it."""
        await self._companion.warm()

    async def stop(self) -> None:
        """End the process, whatever it is doing."""
        await self._companion.stop()


class Reader:
    """Works off what waits in the spool, in the order it came, several processes at once."""

    def __init__(self, desk: Desk, spool: Spool) -> None:
        self._desk = desk
        self._spool = spool
        read = desk.config.read
        self._setup = Setup(
            services=desk.services,
            grammar=grammar(),
            staged=str(spool.folder.staged),
            memory=read.memory,
            time_limit=read.time_limit.total_seconds(),
        )
        self._processes = [Process(self._setup) for _ in range(read.workers)]
        self._queue: asyncio.Queue[int] = asyncio.Queue(_AHEAD)
        self._busy: set[int] = set()
        # Those of the busy ones that wait for the gateway's next start.
        self._parked: set[int] = set()
        self._open = asyncio.Semaphore(_OPEN)

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    group.create_task(self._work(process, group))
                group.create_task(self._look())
        finally:
            for process in self._processes:
                await process.stop()

    async def _look(self) -> None:
        """Feed the queue with the numbers of what waits, oldest first."""
        while True:
            room = _AHEAD - self._queue.qsize()
            found = mail.waiting(self._spool.view, besides=self._busy, limit=room) if room else []
            if not found and self._busy == self._parked:
                # A stranger's mail is read when there is no other, and one at a time.
                found = mail.unvouched(self._spool.view, besides=self._parked)
            for number in found:
                self._busy.add(number)
                self._queue.put_nowait(number)
            if len(found) == room and room:
                await asyncio.sleep(0)
                continue
            await self._spool.wait("read", longest=_LOOK)

    async def _work(self, process: Process, group: asyncio.TaskGroup) -> None:
        await process.warm()
        while True:
            number = await self._queue.get()
            await self._open.acquire()
            waiting = mail.fetch(self._spool.view, number)
            if waiting is None:
                self._done(number)
                continue
            if new := self._new_service(waiting):
                # It stays among the busy ones: nothing but a new start can change this.
                self._parked.add(number)
                self._open.release()
                reason = f"the service {new} is new: restart the gateway, which then knows it"
                log.event("delayed", what="read", message=number, key=waiting.key, reason=reason)
                continue
            answer = await process.read(self._order(waiting))
            crash.point("read:before-commit")
            # While this one's commit waits for the disk, the process reads the next.
            group.create_task(self._settle(waiting, answer))

    def _new_service(self, waiting: Waiting) -> str | None:
        """Return a service that is asked for, and was added since the start.

        The pipe reads the services' files for each mail, the daemon once: what the one has taken
        the other must not refuse as no longer offered.
        """
        folder = self._desk.config.gateway.services
        for _, kind, name in waiting.errands:
            unknown = kind is Errand.REQUEST and name not in self._desk.services
            if unknown and os.path.exists(folder / f"{name}.toml"):  # noqa: PTH110 - it raises nothing
                return name
        return None

    def _done(self, number: int) -> None:
        self._busy.discard(number)
        self._open.release()
        if self._queue.empty():
            self._spool.ring("read")

    def _order(self, waiting: Waiting) -> Order:
        names = {name for _, kind, name in waiting.errands if kind is Errand.REQUEST}
        talk = [name for _, kind, name in waiting.errands if kind is Errand.COMMANDS]
        return Order(
            message=waiting.id,
            body=waiting.body,
            path=str(self._spool.folder.mail / waiting.file) if waiting.file else None,
            services=tuple(sorted(names & self._desk.services.keys())),
            commands=bool(talk),
            own=OWN in talk,
            released=waiting.released,
            returned=waiting.returned,
        )

    async def _settle(self, waiting: Waiting, answer: Reading | Unread | Delayed) -> None:
        """Perform it, at the top of the loop: what cannot be is held, the others go on."""
        try:
            try:
                await self._settled(waiting, answer)
            except Transient:
                raise
            except Exception as error:  # noqa: BLE001 - a bug, or what a mail found to be one
                await self._hold(waiting, f"performing it failed: {error!r}"[:300])
        except MailgateError as error:
            log.delayed("read", message=waiting.id, reason=str(error), detail=error.detail)
            await asyncio.sleep(_AGAIN)
        self._done(waiting.id)

    async def _settled(self, waiting: Waiting, answer: Reading | Unread | Delayed) -> None:
        match answer:
            case Reading():
                outcomes = await self._spool.write(
                    lambda tx: perform(tx, self._desk, waiting, answer)
                )
                if waiting.returned:
                    crash.point("bounce:taken")
                else:
                    crash.point("read:committed")
                log.event(
                    "read",
                    message=waiting.id,
                    key=waiting.key,
                    outcome=",".join(str(outcome) for outcome in outcomes),
                )
                self._unstage(outcomes, answer)
            case Unread(reason=reason):
                await self._hold(waiting, reason)
            case Delayed(reason=reason):
                message = "reading waits"
                raise Transient(message, detail=reason)

    async def _hold(self, waiting: Waiting, reason: str) -> None:
        await self._spool.write(lambda tx: mail.hold(tx, waiting.id, reason))
        log.event("held", message=waiting.id, key=waiting.key, reason=reason)

    def _unstage(self, outcomes: Sequence[Outcome], reading: Reading) -> None:
        """Remove the inputs of what made no job."""
        made = {outcome.recipient for outcome in outcomes if outcome.job is not None}
        for name in reading.staged.keys() - made:
            for item in reading.staged[name]:
                if item.path is not None:
                    (self._spool.folder.staged / item.path).unlink(missing_ok=True)
