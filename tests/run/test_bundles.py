"""What is done one by one as it comes, and together once it waits."""

import asyncio
from collections.abc import Sequence

import pytest

from mailgate.run.bundles import Bundles


class Slow:
    """Work that takes as long as it is told to, and remembers what it was given together."""

    def __init__(self) -> None:
        self.given: list[Sequence[int]] = []
        self.go = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.given.append(items)
        await self.go.wait()
        if -1 in items:
            raise OSError
        return [ValueError() if item == 0 else item * 10 for item in items]


async def test_what_waits_while_others_are_at_work_is_done_together() -> None:
    work = Slow()
    bundles = Bundles(work, at_once=2, most=3)
    tasks = [asyncio.create_task(bundles.do(item)) for item in range(1, 8)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.given == [[1], [2]]
    work.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50, 60, 70]
    assert work.given == [[1], [2], [3, 4, 5], [6, 7]]


async def test_an_error_of_one_is_its_own_and_of_the_work_itself_everybodys() -> None:
    work = Slow()
    bundles = Bundles(work, at_once=1, most=9)
    work.go.set()
    found = await asyncio.gather(*map(bundles.do, [1, 0, 2]), return_exceptions=True)
    assert [type(one) for one in found] == [int, ValueError, int]
    found = await asyncio.gather(*map(bundles.do, [1, -1, 2]), return_exceptions=True)
    assert [type(one) for one in found] == [int, OSError, OSError]
    assert await bundles.do(5) == 50


async def test_who_does_not_wait_any_more_hinders_nobody() -> None:
    work = Slow()
    bundles = Bundles(work, at_once=1, most=2)
    tasks = [asyncio.create_task(bundles.do(item)) for item in range(1, 6)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[2].cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(tasks[1], tasks[3], tasks[4]) == [20, 40, 50]
    assert work.given == [[1], [2, 4], [5]]
    with pytest.raises(asyncio.CancelledError):
        await tasks[2]
