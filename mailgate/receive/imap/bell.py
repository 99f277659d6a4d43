"""What ends a thread's waiting: the daemon's end, heard beside whatever else is waited for."""

import os
import select
import time

# Seconds that poll(2) waits at most in one go: its number of milliseconds must fit.
_MOST = 3600.0


class Bell:
    """Rung once, by the event loop's thread, and heard ever after."""

    def __init__(self) -> None:
        self._hears, self._rings = os.pipe()
        self.rung = False

    def ring(self) -> None:
        """Wake whoever waits, now and from now on."""
        if not self.rung:
            self.rung = True
            os.write(self._rings, b"!")

    def wait(self, seconds: float, descriptor: int | None = None) -> bool:
        """Wait until ``descriptor`` can be read, the bell rings, or the time is over.

        Returns whether it can be read (or has broken, which reading tells). Raises nothing.
        """
        poll = select.poll()
        poll.register(self._hears, select.POLLIN)
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        end = time.monotonic() + seconds
        while True:
            left = max(end - time.monotonic(), 0)
            found = poll.poll(min(left, _MOST) * 1000)
            if found or left <= _MOST:
                return any(number == descriptor for number, _ in found)

    def close(self) -> None:
        """Give its descriptors back; only once nobody waits any more."""
        os.close(self._hears)
        os.close(self._rings)
