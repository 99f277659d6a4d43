"""The wall clock beside the monotonic one: whatever it is set by is made up for, once."""

import time

from mailgate.spool.clock import Clock


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
