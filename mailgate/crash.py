"""Named points at which a test can kill the process, as a power cut would.

``MAILGATE_CRASH=NAME`` or ``NAME@3`` (the third time it is reached) in the environment switches one
on. Without the variable a point costs one comparison. Every point stands right before or right
after something is committed or done; ``docs/spool.md`` says what each leaves behind.
"""

import os
import signal

_name, _, _count = os.environ.get("MAILGATE_CRASH", "").partition("@")
_left = int(_count or 1)
_first: int | None = None


def dies_first(process: int) -> None:
    """Have a point in this process end ``process``, the gateway whose hand it is, before it."""
    global _first  # noqa: PLW0603 - set once, at the start
    _first = process


def point(name: str) -> None:
    """Die here by SIGKILL, if the environment says so."""
    global _left  # noqa: PLW0603 - counts this process's passes
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        if _first is not None:
            os.kill(_first, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
