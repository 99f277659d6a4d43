"""Things that are done one by one as they come, and several at a time once they wait."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    item: T
    answer: asyncio.Future[R]


class Bundles(Generic[T, R]):
    """``work`` gets up to ``most`` things, at ``at_once`` places at a time; in one event loop.

    It returns for each what came of it, or an error, which is raised where that was asked for. What
    waits while all places are taken is done together: a busy day costs less each.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        at_once: int,
        most: int,
    ) -> None:
        self._work = work
        self._free = at_once
        self._most = most
        self._waiting: deque[_Waiting[T, R]] = deque()
        # The loop itself keeps no task from being collected.
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, item: T) -> R:
        """Have it done, with others perhaps; return what came of it, or raise."""
        one: _Waiting[T, R] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._go_on()
        return await one.answer

    def _go_on(self) -> None:
        while self._free and self._waiting:
            bundle: list[_Waiting[T, R]] = []
            while self._waiting and len(bundle) < self._most:
                one = self._waiting.popleft()
                # Whoever was cancelled meanwhile wants it no more.
                if not one.answer.done():
                    bundle.append(one)
            if bundle:
                self._free -= 1
                task = asyncio.create_task(self._done(bundle))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _done(self, bundle: Sequence[_Waiting[T, R]]) -> None:
        answers: Sequence[R | Exception] = ()
        try:
            answers = await self._work([one.item for one in bundle])
        except Exception as error:  # noqa: BLE001 - each of those who wait is told
            answers = [error] * len(bundle)
        finally:
            self._free += 1
            for one, answer in zip(bundle, answers, strict=False):
                _tell(one.answer, answer)
            for one in bundle:
                # Only where the loop itself ends.
                one.answer.cancel()
            self._go_on()


def _tell(future: asyncio.Future[R], answer: R | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
