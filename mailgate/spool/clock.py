"""Two clocks side by side: the wall's, which somebody may set, and the monotonic one."""

import time

# In one second they disagree by so much (seconds) only where the wall clock was set.
_STEP = 5.0


class Clock:
    """Knows whether the wall clock was set since that was settled last."""

    def __init__(self) -> None:
        self.settle()

    @property
    def step(self) -> float:
        """The seconds by which the wall clock was set, negative for back; 0.0 if it was not.

        Until that is settled no appointment in the spool means what it says.
        """
        step = _offset() - self._offset
        return step if abs(step) > _STEP else 0.0

    @property
    def since(self) -> float:
        """The earliest moment at which it can have been set, as the new clock has it."""
        return self._settled + _offset()

    def settle(self) -> None:
        """Count the wall clock as right. Called often, so that a slow drift is no step."""
        self._offset = _offset()
        self._settled = time.monotonic()


def _offset() -> float:
    return time.time() - time.monotonic()
