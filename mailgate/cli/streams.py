"""Standard input, output and error, whatever the program was started with."""

import os
import sys
from io import TextIOWrapper
from typing import TextIO, cast


def prepare() -> None:
    """Open what was closed, and have every character printed by any terminal.

    Else the first socket would be standard error, and get the log. What was closed stays so for
    whoever uses it: standard input cannot be read and standard output not written (EBADF, which is
    told); the log of a daemon without standard error goes nowhere.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        _hold(number, flags)
    sys.stdin = sys.stdin or _opened(0, "r")
    sys.stdout = sys.stdout or _opened(1, "w")
    sys.stderr = sys.stderr or _opened(2, "w")
    # Names are in all scripts; the terminals and cron jobs that read them are not.
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")


def _hold(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        os.dup2(opened, number)
        if opened != number:
            os.close(opened)
        os.set_inheritable(number, True)  # noqa: FBT003 - it has no name


def _opened(number: int, mode: str) -> TextIO:
    return cast("TextIO", open(number, mode, encoding="utf-8", closefd=False))


def leave() -> None:
    """Drop what cannot be written out: the interpreter's own last flush would change the status."""
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            setattr(sys, name, None)
