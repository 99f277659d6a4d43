"""Processes that an attempt left behind, known by the token in their environment."""

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from mailgate.model import Token

_VARIABLE = b"MAILGATE_TOKEN="
_CHUNK = 1 << 17
# Killed processes are gone within milliseconds; one in the kernel's deepest sleep may never be.
_PATIENCE = 2.0
_PAUSE = 0.005
# Fewer processes than this are asked one by one rather than sought in all of /proc.
_FEW = 200


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


def end_recent(token: Token, since: int) -> bool:
    """Kill what one token left, of the processes that began after the process ``since``.

    Costs next to nothing where few have begun since. False, with nothing done, where they are many
    or the numbers began anew in between; also if some are still there after 2 seconds.
    """
    try:
        newest = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[-1])
    except (OSError, ValueError):
        return False
    if not 0 <= newest - since < _FEW:
        return False
    wanted = {token.encode()}
    recent = (number for number in range(since + 1, newest + 1) if number != os.getpid())
    return not any(_token(number) in wanted for number in recent) or end_remains({token})


def strays() -> set[Token]:
    """Return the tokens under which processes of our user run, another gateway's too."""
    found = (_token(int(name)) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208
    return {Token(token.decode("ascii", "replace")) for token in found if token}


def _under(wanted: Collection[bytes]) -> Iterator[int]:
    ours = os.getpid()
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of Path objects for nothing
        if name.isdecimal() and int(name) != ours and _token(int(name)) in wanted:
            yield int(name)


def _token(process: int) -> bytes | None:
    """Return the token that a process was started under; None for none, or another user's."""
    # Asked of hundreds of numbers, most of them nobody's. Not by Path.read_bytes: it makes twice as
    # many system calls, each of which lets other threads in; kill does not.
    pairs = b""
    try:
        os.kill(process, 0)
        opened = os.open(f"/proc/{process}/environ", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while chunk := os.read(opened, _CHUNK):
                pairs += chunk
        finally:
            os.close(opened)
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
