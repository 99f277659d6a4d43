"""The wall clock beside the monotonic one: whatever it is set by is made up for, once."""

import asyncio
import time
from pathlib import Path

import pytest

from mailgate import daemon
from mailgate.spool.clock import Clock
from mailgate.spool.database import View
from mailgate.spool.store import Folder, Spool, direct
from tests.spool.conftest import SITE
from tests.spool.made import a_job


class Wall:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def __call__(self) -> float:
        return time.time() + self.set_by


def test_a_drift_is_no_step_and_a_step_is_one_until_it_is_settled() -> None:
    wall = Wall()
    clock = Clock(wall)
    for _ in range(10):
        wall.set_by += 1
        assert clock.step == 0.0
        clock.settle(clock.step)
    wall.set_by -= 3600
    assert round(clock.step) == round(clock.step) == -3600
    clock.settle(clock.step)
    assert clock.step == 0.0


def test_a_clock_that_is_set_again_while_the_first_step_is_made_up_for_is_known_to_be() -> None:
    wall = Wall()
    clock = Clock(wall)
    wall.set_by = -3600.0
    # That takes a hundred seconds.
    seen, step = time.monotonic() - 100, clock.step
    wall.set_by = 14400.0
    clock.settle(step, seen=seen)
    assert round(clock.step) == 18000
    assert round(wall() - clock.since) == 100, "it was set after the first step was seen"
    clock.settle(clock.step)
    assert clock.step == 0.0


def due(view: View) -> float:
    row = view.one("SELECT receipt_due FROM job")
    assert row is not None
    return float(row["receipt_due"])


@pytest.mark.parametrize("seen", [True, False], ids=["while-it-runs", "while-it-is-down"])
async def test_a_clock_that_is_set_back_moves_appointments_once_whatever_begins_anew(
    tmp_path: Path, seen: bool
) -> None:
    with direct(Folder(tmp_path / "spool"), SITE) as connection:
        a_job(connection)
        with connection.transaction() as tx:
            tx.insert("event", at=tx.at + 3600, verb="before", detail="")
        before = due(connection.view)
    wall = Wall()
    spool = Spool(Folder(tmp_path / "spool"), SITE)
    spool.clock = Clock(wall)
    wall.set_by = -3600.0 if seen else 0.0
    spool.open()
    for _ in range(2):
        loop = asyncio.create_task(daemon._clock(spool))
        await asyncio.sleep(0)
        while due(spool.view) == before or spool.clock.step:
            await asyncio.sleep(0.05)
        # What is on its way there is written before this.
        await spool.write(lambda _: None)
        loop.cancel()
    assert due(spool.view) - before == pytest.approx(-3600, abs=5)
    spool.close()
