"""The one script: an attempt's settings as quoted sh words, then ``script.sh`` as it stands."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

from mailgate.errors import Permanent
from mailgate.log import escaped
from mailgate.model import Plan
from mailgate.run.files import make_folder, make_once, write, writing
from mailgate.run.jobdir import Folder, Start
from mailgate.saying import Saying

_BODY = Path(__file__).with_name("script.sh")

# MAX_ARG_STRLEN of execve(2): 32 pages, the closing NUL included.
_LONGEST_WORD = 32 * 4096 - 1
# More than a record ever has: five lines and a program's name cut at so many characters.
_BLANK = b"\n" * 2048
_SHOWN = 200

# On a cluster the script looks so often (seconds) whether its limit was changed.
_LOOK = "60"

KILL_AFTER = timedelta(seconds=10)
"""The time from TERM to KILL, unless the operator says otherwise."""


def write_attempt(
    folder: Folder,
    start: Start,
    *,
    path: str,
    sandbox: Sequence[str],
    kill_after: timedelta = KILL_AFTER,
    default_signals: str = "",
    bell: str = "",
) -> None:
    """Write all that attempt ``start.number`` needs; again does no harm, but not while it runs.

    ``sandbox`` is the argv before the command's own; ``path`` the command's PATH.
    ``default_signals`` are words for env(1) on the machine that runs it. ``bell`` is the folder in
    which the script of a cluster's job makes a file of its token when it begins and when it ends.

    Raises
    ------
    Transient
        The folder cannot be written; NoSpace where the disk is full.
    Permanent
        The command can be given to no program (a NUL, a word too long).
    """
    settings = _settings(folder, start, path=path, kill_after=kill_after)
    settings |= {"boxed": "yes" if sandbox else "", "default_signals": default_signals}
    settings |= {"bell": f"{bell}/{start.token}" if bell else "", "look": _LOOK if bell else ""}
    if bell:
        # There the scheduler bounds memory: that of the whole job, and not its address space.
        settings["memory"] = ""
    words = (*_environment(folder, start, path), *sandbox, *_command(start.plan, bare=not sandbox))
    text = render(settings, words)
    attempt = folder.attempt(start.number)
    with writing():
        make_folder(attempt)
        make_once(attempt / "exit", _BLANK)
        if sandbox:
            # It is shown inside as a file; without a sandbox the command makes it.
            make_once(attempt / "progress", b"")
        write(attempt / "script", text)


def render(settings: Mapping[str, str], words: Sequence[str]) -> bytes:
    """Return the script: ``settings`` as its variables, ``words`` as its positional parameters.

    Words stand between single quotes, in which sh gives no byte a meaning; names of settings are
    ours.

    Raises
    ------
    Permanent
        A word holds a NUL or is longer than the kernel takes.
    """
    lines = ["#!/bin/sh", *(f"{name}={_quoted(value)}" for name, value in settings.items())]
    lines.append("set -- " + " ".join(_quoted(word) for word in words))
    return os.fsencode("\n".join(lines)) + b"\n\n" + _body()


@cache
def default_signals() -> str:
    """Return the words that have this machine's env(1) give INT and QUIT back, "" if it cannot."""
    words = "--default-signal=INT,QUIT"  # GNU coreutils 8.31 and newer
    try:
        tried = subprocess.run(["env", words, "true"], check=False, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return words if tried.returncode == 0 else ""


def _settings(folder: Folder, start: Start, *, path: str, kill_after: timedelta) -> dict[str, str]:
    plan = start.plan
    return {
        "folder": str(folder.root),
        "number": str(start.number),
        "program": plan.argv[0],
        "shown": escaped(plan.argv[0])[:_SHOWN],
        "path": path,
        "limit": "" if start.limit is None else _seconds(start.limit),
        "grace": _seconds(kill_after),
        "memory": "" if plan.memory is None else str(max(plan.memory // 1024, 1)),
        # Blocks of 512 bytes, in every POSIX sh.
        "disk": "" if plan.disk is None else str(max(plan.disk // 512, 1)),
        "input": "/dev/null" if plan.stdin is None else str(folder.inputs / plan.stdin),
    }


def _seconds(span: timedelta) -> str:
    # Whole seconds where possible: only GNU's sleep knows fractions.
    return f"{span.total_seconds():.3f}".removesuffix(".000")


def _environment(folder: Folder, start: Start, path: str) -> tuple[str, ...]:
    pairs = {
        "MAILGATE_TOKEN": start.token,
        "MAILGATE_JOB": start.job,
        "MAILGATE_INPUTS": folder.inputs,
        "MAILGATE_OUTPUTS": folder.named,
        "MAILGATE_PROGRESS": folder.attempt(start.number) / "progress",
        "MAILGATE_CORES": start.plan.cores,
        **({"MAILGATE_MEMORY": start.plan.memory} if start.plan.memory else {}),
        "PATH": path,
        "HOME": folder.work,
        "LANG": "C.UTF-8",
    }
    return tuple(f"{name}={value}" for name, value in pairs.items())


def _command(plan: Plan, *, bare: bool) -> tuple[str, ...]:
    # env(1) takes a program whose name holds "=" for one more variable.
    by_shell = ("/bin/sh", "-c", 'exec "$0" "$@"') if bare and "=" in plan.argv[0] else ()
    return (*by_shell, *plan.argv)


def _quoted(word: str) -> str:
    if "\0" in word:
        raise Permanent(Saying("ends/nul"))
    if len(os.fsencode(word)) > _LONGEST_WORD:
        begin = escaped(word[:40])
        raise Permanent(Saying("ends/long-word", most=_LONGEST_WORD, begin=begin))
    return "'" + word.replace("'", "'\\''") + "'"


@cache
def _body() -> bytes:
    return _BODY.read_bytes()
