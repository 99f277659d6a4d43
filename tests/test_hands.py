"""Hands: each call's own answer comes back, whatever happens to the process meanwhile."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from mailgate.errors import LetterGone, NoSpace, Transient
from mailgate.hands import Hands
from tests.daemon import eventually


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    made = Hands(1)
    yield made
    await made.close()


def full() -> None:
    raise NoSpace("the disk is full", detail="/somewhere")


class Odd(Exception):
    """One that cannot be made anew from what it holds."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def odd() -> None:
    raise Odd("a", "b")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        die()
    return "done"


async def test_a_hand_returns_what_its_work_returns(hands: Hands) -> None:
    assert await hands.do(divmod, 17, 5) == (3, 2)
    assert await hands.do(os.getpid) not in {os.getpid(), None}


async def test_a_hand_raises_what_its_work_raises_with_all_it_says(hands: Hands) -> None:
    with pytest.raises(NoSpace, match="the disk is full") as raised:
        await hands.do(full)
    assert raised.value.detail == "/somewhere"
    assert not isinstance(raised.value, LetterGone)


async def test_an_error_that_cannot_travel_is_told_as_words(hands: Hands) -> None:
    with pytest.raises(RuntimeError, match="Odd"):
        await hands.do(odd)
    assert await hands.do(abs, -1) == 1


async def test_the_collector_spares_what_a_hands_first_work_has_loaded(hands: Hands) -> None:
    assert await hands.do(gc.get_freeze_count) == 0
    assert await hands.do(gc.get_freeze_count) > 0
    assert (await hands.do(gc.get_threshold))[0] > 700


async def test_a_hand_that_dies_is_told_and_replaced(hands: Hands) -> None:
    with pytest.raises(Transient):
        await hands.do(die)
    assert await hands.do(abs, -1) == 1


async def test_a_hand_that_was_killed_with_nothing_to_do_delays_nobody(hands: Hands) -> None:
    before = await hands.do(os.getpid)
    (killed,) = [one._process for one in hands._all if one._process is not None]
    os.kill(before, signal.SIGKILL)
    # Seen off by a thread of the loop's, in older Pythons, which tells it some turns later.
    while killed.returncode is None:
        await asyncio.sleep(0.001)
    assert await hands.do(os.getpid) != before


async def test_what_only_reads_is_done_once_more_by_another_hand(
    hands: Hands, tmp_path: Path
) -> None:
    assert await hands.briefly(partial(die_once, tmp_path / "died")) == "done"
    with pytest.raises(Transient):
        await hands.briefly(die)


async def test_the_answer_of_a_call_nobody_waits_for_is_nobody_elses(hands: Hands) -> None:
    await hands.do(abs, -1)
    long = asyncio.create_task(hands.do(time.sleep, 600))
    await asyncio.sleep(0)
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)
    assert await hands.do(abs, -2) == 2


async def test_a_start_that_is_broken_off_gives_nobody_anothers_answer(hands: Hands) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await hands.do(abs, -5)
    assert [await hands.do(abs, -10 * n) for n in (1, 2, 3)] == [10, 20, 30]


async def test_what_is_not_brief_is_broken_off_and_leaves_nothing_open(hands: Hands) -> None:
    before = await hands.do(os.getpid)
    with pytest.raises(TimeoutError):
        await hands.briefly(partial(time.sleep, 600))
    assert await hands.do(abs, -2) == 2
    assert await hands.do(os.getpid) != before


async def test_two_hands_work_side_by_side() -> None:
    two = Hands(2)
    try:
        numbers = await asyncio.gather(*(two.do(os.getpid) for _ in range(2)))
        assert len(set(numbers)) == 2
    finally:
        await two.close()


OWNER = """
import asyncio, os, time
from mailgate.hands import Hands
async def main():
    hands = Hands(1)
    print(await hands.do(os.getpid), flush=True)
    await hands.do(time.sleep, 600)
asyncio.run(main())
"""


def test_a_hand_ends_with_a_daemon_that_is_killed_even_in_the_middle_of_its_work() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        hand = int(owner.stdout.readline())
        owner.kill()
    eventually(lambda: _ended(hand))


def _ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_hand_has_loaded_what_it_needs_and_nothing_else() -> None:
    hands = Hands(1, needs=("colorsys",))
    try:
        for module, loaded in (("colorsys", True), ("tomllib", False)):
            assert await hands.do(eval, f"{module!r} in __import__('sys').modules") is loaded
    finally:
        await hands.close()


async def test_several_things_are_done_in_one_go_and_each_has_its_own_end(hands: Hands) -> None:
    first, second, third = await hands.each([partial(int, "7"), full, partial(int, "8")])
    assert (first, third) == (7, 8)
    assert isinstance(second, NoSpace)
    assert second.detail == "/somewhere"


async def test_one_that_hangs_is_ended_and_told_with_what_it_was_at() -> None:
    hands = Hands(1, longest=0.5)
    try:
        await hands.warm()
        with pytest.raises(Transient, match="does not answer") as raised:
            await hands.each([partial(abs, -1), partial(partial(time.sleep), 60)])
        assert raised.value.detail == "abs, sleep"
    finally:
        await hands.close()
