"""Processes that an attempt left behind, known by the token in their environment."""

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from mailgate.model import Token

_VARIABLE = b"MAILGATE_TOKEN="
# Killed processes are gone within milliseconds; one in the kernel's deepest sleep may never be.
_PATIENCE = 2.0
_PAUSE = 0.005


def end_remains(tokens: Collection[Token]) -> bool:
    """Kill every process of ours that was started under one of ``tokens``, and its children.

    Blocks until none is left; False if some still are after 2 seconds. A process that threw its
    environment away is not found: only a sandbox holds those.
    """
    wanted = {token.encode() for token in tokens}
    deadline = time.monotonic() + _PATIENCE
    while found := list(_under(wanted)):
        for process in found:
            _kill(process, wanted)
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _under(wanted: Collection[bytes]) -> Iterator[int]:
    ours = os.getpid()
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of Path objects for nothing
        if name.isdecimal() and int(name) != ours and _token(int(name)) in wanted:
            yield int(name)


def _token(process: int) -> bytes | None:
    """Return the token that a process was started under; None for none, or another user's."""
    try:
        pairs = Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return None
    _, found, rest = (b"\0" + pairs).partition(b"\0" + _VARIABLE)
    return rest.partition(b"\0")[0] if found else None


def _kill(process: int, wanted: Collection[bytes]) -> None:
    # Asked again once it is pinned: its number may be another's since.
    with suppress(OSError):
        try:
            pinned = os.pidfd_open(process)
        except ProcessLookupError:
            return
        except OSError:
            # A kernel without pidfd (before 5.3).
            os.kill(process, signal.SIGKILL)
            return
        try:
            if _token(process) in wanted:
                signal.pidfd_send_signal(pinned, signal.SIGKILL)
        finally:
            os.close(pinned)
