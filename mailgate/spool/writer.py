"""The one writer: everything that waits is done in one transaction and committed together.

Each operation runs under a savepoint of its own, so that one that fails takes nobody with it; all
share one commit and so one fsync. An operation's result is handed out only after that commit.

Operations run in the event loop's thread, where nobody contends with them for the interpreter; a
thread waits for what takes time, the disk at each commit and other programs' locks.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from mailgate import crash, log
from mailgate.errors import Damaged, Transient
from mailgate.spool.database import Connection, Tx

T = TypeVar("T")

# More than this many operations in one commit gains nothing more and keeps the loop too long.
_MOST = 64


class _Wish(Generic[T]):
    """An operation and the future that hears of it."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Callable[[Tx], T], future: asyncio.Future[T]) -> None:
        self.operation = operation
        self.future = future
        self.result: T
        self.error: Exception | None = None

    def settle(self) -> None:
        """Tell the waiting side; whoever gave up waiting is not told."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _Batch:
    """The wishes of one transaction, and what went wrong with all of it."""

    __slots__ = ("error", "tx", "wishes")

    def __init__(self, wishes: list[_Wish[object]]) -> None:
        self.wishes = wishes
        self.tx: Tx | None = None
        self.error: Exception | None = None


class Writer:
    """Owns the daemon's only writing connection.

    Its life is one circle: collect what waits, begin, perform, commit, tell. At any time either the
    loop's thread or the writer's own works on the connection, never both: ``_busy`` is the batch
    that has the connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[_Wish[object]] = deque()
        self._busy: _Batch | None = None
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._bell: Callable[[frozenset[str]], None] = lambda _: None
        self._loop: asyncio.AbstractEventLoop

    def start(self, bell: Callable[[frozenset[str]], None]) -> None:
        """Begin, in a running event loop; ``bell`` is called there with the rooms a commit woke."""
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end the thread; blocks the loop meanwhile."""
        self._steps.put(None)
        self._thread.join()
        if (batch := self._busy) is not None:
            if batch.tx is None:
                self._complete(batch)
            self._tell(batch)
        while self._waiting:
            batch = self._next()
            self._begin(batch)
            self._complete(batch)
            self._tell(batch)

    def _complete(self, batch: _Batch) -> None:
        self._perform(batch)
        self._commit(batch)

    async def do(self, operation: Callable[[Tx], T]) -> T:
        """Run ``operation`` and return its result once it is committed.

        Raises
        ------
        Transient
            The database is locked, full or broken; nothing was written.
        """
        wish: _Wish[T] = _Wish(operation, self._loop.create_future())
        self._waiting.append(wish)  # type: ignore[arg-type]  # T is not object, but only _Wish looks
        if self._busy is None and len(self._waiting) == 1:
            # Whoever else comes in this turn of the loop shares its commit.
            self._loop.call_soon(self._round)
        return await wish.future

    # --- in the loop's thread ---------------------------------------------------------------------

    def _round(self) -> None:
        if self._busy is not None or not self._waiting:
            return
        batch = self._next()
        try:
            if not self._connection.begun():
                self._later(batch, self._begin, self._go_on)
                return
        except Exception as error:  # noqa: BLE001 - the one writer outlives whatever a batch meets
            self._connection.abandon()
            batch.error = error
        self._go_on(batch)

    def _next(self) -> _Batch:
        some = min(len(self._waiting), _MOST)
        self._busy = _Batch([self._waiting.popleft() for _ in range(some)])
        return self._busy

    def _go_on(self, batch: _Batch) -> None:
        self._perform(batch)
        if batch.error is not None or (batch.tx is not None and not batch.tx.open):
            # Nothing is left to be committed.
            self._tell(batch)
        else:
            self._later(batch, self._commit, self._tell)

    def _perform(self, batch: _Batch) -> None:
        if batch.error is not None:
            return
        batch.tx = tx = self._connection.tx()
        try:
            for wish in batch.wishes:
                _perform(tx, wish, alone=len(batch.wishes) == 1)
        except Exception as error:  # noqa: BLE001 - as above
            self._connection.abandon()
            batch.error = error

    def _tell(self, batch: _Batch) -> None:
        self._busy = None
        if batch.error is not None:
            trouble = _trouble(batch.error)
            log.delayed("commit", reason=str(trouble), detail=trouble.detail)
            for wish in batch.wishes:
                wish.error = trouble
        elif batch.tx is not None:
            self._bell(batch.tx.rung)
        for wish in batch.wishes:
            wish.settle()
        if self._waiting:
            self._loop.call_soon(self._round)

    # --- in the writer's thread -------------------------------------------------------------------

    def _later(
        self, batch: _Batch, step: Callable[[_Batch], None], then: Callable[[_Batch], None]
    ) -> None:
        """Take ``step`` in the writer's thread, ``then`` go on in the loop's."""

        def taken() -> None:
            step(batch)
            self._loop.call_soon_threadsafe(self._after, batch, then)

        self._steps.put(taken)

    def _after(self, batch: _Batch, then: Callable[[_Batch], None]) -> None:
        # `stop` may have told them already.
        if batch is self._busy:
            then(batch)

    def _run(self) -> None:
        while (step := self._steps.get()) is not None:
            step()

    def _begin(self, batch: _Batch) -> None:
        try:
            self._connection.wait_begun()
        except Exception as error:  # noqa: BLE001 - as above
            self._connection.abandon()
            batch.error = error

    def _commit(self, batch: _Batch) -> None:
        if batch.error is not None or batch.tx is None or not batch.tx.open:
            return
        try:
            crash.point("commit:before")
            self._connection.commit()
            crash.point("commit:after")
        except Exception as error:  # noqa: BLE001 - as above
            self._connection.abandon()
            batch.error = error


def _trouble(error: Exception) -> Transient | Damaged:
    if isinstance(error, Transient | Damaged):
        return error
    return Transient("the spool cannot be written now; try again later", detail=repr(error))


def _perform(tx: Tx, wish: _Wish[object], *, alone: bool) -> None:
    # Who is alone needs no savepoint: what it has done is taken back with the whole transaction.
    if not alone:
        tx.execute("SAVEPOINT wish")
    try:
        wish.result = wish.operation(tx)
    except Exception as error:
        # SQLite gives up the whole transaction by itself where the disk is full or broken.
        if not tx.open:
            raise
        tx.execute("ROLLBACK" if alone else "ROLLBACK TO wish")
        wish.error = error
    if not alone:
        tx.execute("RELEASE wish")
