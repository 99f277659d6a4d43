"""A scheduler's commands as processes: started without a thread, each with a time limit.

Their output goes into memory files, so that nobody has to read while they run, and their end comes
by a pidfd: several submissions cost the daemon one spawn and one wake-up.
"""

import asyncio
import fcntl
import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
# From TERM to KILL of commands that hang, and what they may take beyond that (seconds).
_KILL, _SPARE = 5, 10
# The status of what KILL has ended, as a shell tells it.
_KILLED = 128 + signal.SIGKILL

# What waits for the commands and tells their statuses. It outlives a TERM, which breaks a wait off.
_OVER = """\
exec 2>/dev/null
trap : TERM
over() {
    wait "$1"
    status=$?
    while [ "$status" -gt 128 ] && kill -0 "$1"; do
        wait "$1"
        status=$?
    done
    echo "$status"
}
"""


class HangsError(Transient):
    """A command did not end in time, and was killed: what it was at may be done."""


async def run(command: Command, *, limit: timedelta) -> Said:
    """Run a command to its end in a session of its own. Whoever is cancelled leaves it running.

    Raises
    ------
    Transient
        There is no such program, or no process or open file to be had. HangsError: it was killed.
    """
    with _memory_files(3) as (stdin, stdout, stderr):
        _give(stdin, command.stdin)
        numbers = {0: stdin, 1: stdout, 2: stderr}
        process = _spawned(command.argv, environment(command, os.environ), numbers)
        status = await _ended(process, limit)
        return Said(status=status, stdout=_text(stdout, _MOST), stderr=_text(stderr, _WORDS))


async def together(commands: Sequence[Command], *, limit: timedelta, lock: int) -> list[Said]:
    """Run commands side by side, to the end of all, and return what each said.

    They get the environment of the first. A shell waits for them, and timeout(1) for that: after
    ``limit`` they are told TERM and soon KILL, whether or not anybody is left who asked for them.
    ``lock`` is a descriptor that all these processes inherit. Of one that was killed the status is
    over 128 or negative, and nothing is known of what it was at.

    Raises
    ------
    Transient
        There is no process or open file to be had. HangsError: they were killed, and did not end
        by that.
    """
    with _memory_files(1 + 3 * len(commands)) as (told, *files):
        script, waits = [_OVER], []
        for number, command in enumerate(commands):
            stdin, stdout, stderr = files[3 * number : 3 * number + 3]
            _give(stdin, command.stdin)
            line = shlex.join(command.argv)
            places = f"</dev/fd/{stdin} >/dev/fd/{stdout} 2>/dev/fd/{stderr}"
            script.append(f"{line} {places} & process{number}=$!\n")
            waits.append(f"over $process{number}\n")
        seconds = limit.total_seconds()
        shell = ("/bin/sh", "-c", "".join(script + waits))
        argv = ("timeout", "-k", f"{_KILL}", f"{seconds:g}", *shell)
        numbers = {0: told, 1: told, 2: told, _LOCK: lock, **{file: file for file in files}}
        process = _spawned(argv, environment(commands[0], os.environ), numbers)
        whole = await _ended(process, timedelta(seconds=seconds + _KILL + _SPARE))
        statuses = [int(word) for word in _text(told, _WORDS).split() if word.isdecimal()]
        statuses += [whole or _KILLED] * len(commands)
        return [
            Said(status=status, stdout=_text(stdout, _MOST), stderr=_text(stderr, _WORDS))
            for status, stdout, stderr in zip(statuses, files[1::3], files[2::3], strict=False)
        ]


@contextmanager
def _memory_files(count: int) -> Iterator[list[int]]:
    """Open so many for a while; none has a number that a program gets."""
    with ExitStack() as stack:
        files = []
        for _ in range(count):
            files.append(_memory_file())
            stack.callback(os.close, files[-1])
        yield files


def _memory_file() -> int:
    try:
        made = os.memfd_create("words")
        try:
            return fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, _LOCK + 1)
        finally:
            os.close(made)
    except OSError as error:
        raise Transient("No file can be opened now.", detail=str(error)) from error


def _give(file: int, words: str) -> None:
    if words:
        os.write(file, words.encode())
        os.lseek(file, 0, os.SEEK_SET)


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


def _spawned(
    argv: tuple[str, ...], environment: Mapping[str, str], numbers: Mapping[int, int]
) -> int:
    """Start a program whose descriptors are these; of ours it has no others."""
    # None of ours has one of the low numbers. To the same number: it is kept open.
    actions = [(os.POSIX_SPAWN_DUP2, ours, number) for number, ours in numbers.items()]
    try:
        return os.posix_spawnp(
            argv[0], argv, environment, file_actions=actions,
            setsid=True, setsigmask=(), setsigdef=_ALL_SIGNALS,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Transient(f"There is no program {argv[0]} on the gateway's PATH.") from error
    except OSError as error:
        raise Transient("No process can be started now.", detail=f"{argv[0]}: {error}") from error


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
