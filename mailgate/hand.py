"""One of the processes that do file work for the daemon (``hands.py``).

``python -m mailgate.hand``: frames on standard input and output; the first names modules to load.
Else it loads only what it is given to do: two of them stand beside every daemon.
"""

import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from itertools import count

from mailgate import crash, lasting
from mailgate.frames import packed, receive

# prctl(2), PR_SET_PDEATHSIG.
_DIE_WITH_PARENT = 1


def main() -> None:
    """Do what comes until standard input ends, or the daemon does."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    daemon = os.getppid()
    # What a daemon that is gone had begun, the next one finds as a crash leaves it; nobody goes on.
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever it starts belongs to nobody: its end is seen by others.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    crash.dies_first(daemon)
    needs = receive(source)
    for module in needs if isinstance(needs, tuple) else ():
        # So that the first who has work for it does not wait for that.
        import_module(module)
    answers: list[object] = []
    for done in count():
        if os.getppid() != daemon:
            return
        target.write(packed(answers))
        target.flush()
        if done == 1:
            # The first piece of work has loaded what all of them need.
            lasting.settle()
        works = receive(source)
        if not isinstance(works, list):
            return
        answers = [_done(work) for work in works]


def _done(work: Callable[[], object]) -> object:
    """Return what it returns, or its error: whatever that is, who asked is told."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """Return an error that can be told to the other process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - an exception may hold anything
        return RuntimeError(repr(error))
    return error


if __name__ == "__main__":
    # The daemon was killed: nobody reads the answer.
    with suppress(BrokenPipeError):
        main()
