"""The XOAUTH2 token: what a program of the operator's prints, run anew for each login."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.errors import NoLogin, Stopped

# Far above what providers issue (about 2 KiB).
_MOST = 64 << 10


def token(command: Sequence[str], folder: Path, *, limit: float, bell: Bell) -> str:
    """Run ``command`` in ``folder``, no shell, and return the one line that it prints.

    ``limit`` in seconds: what runs longer is killed, with all that it has started. Its standard
    error goes where the daemon's goes.

    Raises
    ------
    NoLogin
        It cannot be run, fails, takes too long, or prints something else than a token.
    Stopped
        The bell rang meanwhile.
    """
    name = command[0]
    try:
        program = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # A group of its own, so that nothing of it outlives the limit.
            start_new_session=True,
        )
    except OSError as error:
        message = f"token_command {name} cannot be run: {error.strerror}"
        raise NoLogin(message) from error
    end = time.monotonic() + limit
    try:
        printed = _read(program, name, end, bell)
        status = program.wait(max(end - time.monotonic(), 1))
    except subprocess.TimeoutExpired as error:
        raise NoLogin(f"token_command {name} does not end") from error
    finally:
        _end(program)
    if status != 0:
        raise NoLogin(f"token_command {name} failed: exit status {status}")
    words = printed.split()
    if len(words) != 1 or not words[0].isascii() or not words[0].decode().isprintable():
        raise NoLogin(f"token_command {name} printed no token: one word is expected")
    return words[0].decode()


def missing(command: Sequence[str], folder: Path) -> bool:
    """Tell whether the program that ``token`` would run is nowhere to be found."""
    name = command[0]
    place = str(folder / name) if "/" in name else name
    return shutil.which(place) is None


def _read(program: "subprocess.Popen[bytes]", name: str, end: float, bell: Bell) -> bytes:
    """Read until the program has closed its output."""
    assert program.stdout is not None  # noqa: S101 - a pipe, as asked for above
    pipe = program.stdout.fileno()
    printed = b""
    while bell.wait(max(end - time.monotonic(), 0), pipe):
        block = os.read(pipe, _MOST)
        printed += block
        if not block:
            return printed
        if len(printed) > _MOST:
            raise NoLogin(f"token_command {name} printed no token, but over {_MOST >> 10} KiB")
    if bell.rung:
        raise Stopped("the gateway ends")
    raise NoLogin(f"token_command {name} has not printed a token in time")


def _end(program: "subprocess.Popen[bytes]") -> None:
    if program.returncode is None:
        # Not waited for yet, so that its number is still its group's.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    if program.stdout is not None:
        program.stdout.close()
