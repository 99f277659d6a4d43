"""The one writer: a thread that takes everything waiting and commits it together.

Each operation runs under a savepoint of its own, so that one that fails takes nobody with it; all
share one commit and so one fsync. An operation's result is handed out only after that commit.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from mailgate import crash, log
from mailgate.errors import Damaged, Transient
from mailgate.spool.database import Connection, Tx

T = TypeVar("T")

# More than this many operations in one commit gains nothing more and delays the first.
_MOST = 256


class _Wish(Generic[T]):
    """An operation and the future that hears of it."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Callable[[Tx], T]) -> None:
        self.operation = operation
        self.future: Future[T] = Future()
        self.result: T
        self.error: Exception | None = None

    def settle(self) -> None:
        """Tell the waiting side; whoever gave up waiting is not told."""
        if not self.future.set_running_or_notify_cancel():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Owns the daemon's only writing connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue: queue.SimpleQueue[_Wish[object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._bell: Callable[[frozenset[str]], None] = lambda _: None

    def start(self, bell: Callable[[frozenset[str]], None]) -> None:
        """Begin; ``bell`` is called in the writer's thread with the rooms that a commit woke."""
        self._bell = bell
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    async def do(self, operation: Callable[[Tx], T]) -> T:
        """Run ``operation`` and return its result once it is committed.

        Raises
        ------
        Transient
            The database is locked, full or broken; nothing was written.
        """
        wish = _Wish(operation)
        self._queue.put(wish)  # type: ignore[arg-type]  # T is not object, but only _Wish looks
        return await asyncio.wrap_future(wish.future)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = self._waiting(first)
            try:
                self._commit(batch)
            finally:
                for wish in batch:
                    wish.settle()
            if last:
                return

    def _waiting(self, first: _Wish[object]) -> tuple[list[_Wish[object]], bool]:
        batch = [first]
        while len(batch) < _MOST:
            try:
                wish = self._queue.get_nowait()
            except queue.Empty:
                break
            if wish is None:
                return batch, True
            batch.append(wish)
        return batch, False

    def _commit(self, batch: list[_Wish[object]]) -> None:
        try:
            with self._connection.transaction() as tx:
                for wish in batch:
                    _perform(tx, wish)
                crash.point("commit:before")
            crash.point("commit:after")
        except Exception as error:  # noqa: BLE001 - the one writer outlives whatever a batch meets
            trouble = error if isinstance(error, Transient | Damaged) else _unforeseen(error)
            log.event("delayed", what="commit", reason=str(trouble), detail=trouble.detail)
            for wish in batch:
                wish.error = trouble
        else:
            self._bell(tx.rung)


def _unforeseen(error: Exception) -> Transient:
    return Transient("the spool cannot be written now; try again later", detail=repr(error))


def _perform(tx: Tx, wish: _Wish[object]) -> None:
    tx.execute("SAVEPOINT wish")
    try:
        wish.result = wish.operation(tx)
    except Exception as error:
        # SQLite gives up the whole transaction by itself where the disk is full or broken.
        if not tx.open:
            raise
        tx.execute("ROLLBACK TO wish")
        wish.error = error
    tx.execute("RELEASE wish")
