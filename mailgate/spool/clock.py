"""Two clocks side by side: the wall's, which somebody may set, and the monotonic one."""

import time
from collections.abc import Callable

# In one second they disagree by so much (seconds) only where the wall clock was set.
_STEP = 5.0


class Clock:
    """Knows whether the ``wall`` clock was set since that was settled last."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset, self._settled = self._ahead(), time.monotonic()

    @property
    def step(self) -> float:
        """The seconds by which the wall clock was set, negative for back; 0.0 if it was not.

        Until that is settled no appointment in the spool means what it says.
        """
        step = self._ahead() - self._offset
        return step if abs(step) > _STEP else 0.0

    @property
    def since(self) -> float:
        """The earliest moment at which it can have been set, as the new clock has it."""
        return self._settled + self._ahead()

    def settle(self, step: float, *, seen: float | None = None) -> None:
        """Count the wall clock as right. Called often, so that a slow drift is no step.

        ``step`` is what it was set by when that was looked at, at ``seen`` (of the monotonic clock;
        None: just now), and has been made up for: where it was set again meanwhile, that is left.
        """
        offset = self._ahead()
        again = abs(offset - self._offset - step) > _STEP
        self._offset = self._offset + step if again else offset
        self._settled = time.monotonic() if seen is None or not again else seen

    def _ahead(self) -> float:
        return self._wall() - time.monotonic()
