"""A scheduler's commands as processes: started without a thread, each with a time limit.

Their output goes into memory files, so that nobody has to read while they run, and their end comes
by a pidfd: a submission costs the daemon a spawn and a wake-up.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from fnmatch import fnmatchcase

from mailgate.errors import Transient
from mailgate.run.scheduler import Command, Said

# Python ignores some signals, and a daemon's parent may have ignored more.
_ALL_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
# More than any answer: 100,000 jobs with long reasons.
_MOST = 64 << 20
# Words of an error that are still told.
_WORDS = 64 << 10
# One that is killed is gone within this (seconds), unless it hangs on a disk.
_DYING = 1.0
# The descriptor that the lock of a submission has in the programs that hold it.
_LOCK = 9


class HangsError(Transient):
    """A command did not end in time, and was killed: what it was at may be done."""


async def run(command: Command, *, limit: timedelta, lock: int = -1) -> Said:
    """Run a command to its end in a session of its own. Whoever is cancelled leaves it running.

    ``lock``: a descriptor that it inherits, and all that it starts.

    Raises
    ------
    Transient
        There is no such program, or no process to be had. HangsError: it was killed.
    """
    outputs = [_memory_file(name) for name in ("stdout", "stderr", "stdin")]
    try:
        process = _spawned(command, outputs, lock)
        status = await _ended(process, limit)
        return Said(
            status=status, stdout=_text(outputs[0], _MOST), stderr=_text(outputs[1], _WORDS)
        )
    finally:
        for one in outputs:
            os.close(one)


def _memory_file(name: str) -> int:
    """Return a file's descriptor that is none of those that a program gets here."""
    made = os.memfd_create(name)
    try:
        return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _LOCK + 1)
    finally:
        os.close(made)


def environment(command: Command, given: Mapping[str, str]) -> dict[str, str]:
    """Return what of the daemon's environment a command gets; no locale but C's."""
    kept = {
        name: value
        for name, value in given.items()
        if (not command.only or any(fnmatchcase(name, one) for one in command.only))
        and name not in {"LANGUAGE", "LANG"}
        and not name.startswith("LC_")
    }
    return kept | {"LC_ALL": "C"}


def _spawned(command: Command, outputs: list[int], lock: int) -> int:
    stdout, stderr, stdin = outputs
    os.write(stdin, command.stdin.encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    held = [(os.POSIX_SPAWN_DUP2, lock, _LOCK)] if lock >= 0 else []
    actions = [
        # First: it may have one of the numbers below. None of the others has its new one.
        *held,
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    program, env = command.argv[0], environment(command, os.environ)
    try:
        return os.posix_spawnp(
            program, command.argv, env, file_actions=actions,
            setsid=True, setsigmask=(), setsigdef=_ALL_SIGNALS,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Transient(f"There is no program {program} on the gateway's PATH.") from error
    except OSError as error:
        raise Transient("No process can be started now.", detail=f"{program}: {error}") from error


async def _ended(process: int, limit: timedelta) -> int:
    """Wait for a process, and kill its group once the time is over; return its exit status."""
    loop = asyncio.get_running_loop()
    pinned = os.pidfd_open(process)
    over: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pinned, _tell, over)
    try:
        if not await _within(over, limit.total_seconds()):
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            await _within(over, _DYING)
            message = f"A command did not end within {limit.total_seconds():g} seconds."
            raise HangsError(message)
    finally:
        loop.remove_reader(pinned)
        os.close(pinned)
        status = _reaped(process)
    return status


def _tell(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


async def _within(over: asyncio.Future[None], seconds: float) -> bool:
    done, _ = await asyncio.wait([over], timeout=seconds)
    return bool(done)


def _reaped(process: int) -> int:
    """Fetch an ended process; one that was left running is fetched by nobody, and does no harm."""
    with suppress(ChildProcessError):
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
    return -signal.SIGKILL


def _text(file: int, most: int) -> str:
    return os.pread(file, min(os.fstat(file).st_size, most), 0).decode("utf-8", "replace")
