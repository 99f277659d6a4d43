"""What a process that lasts for months sets once, and has ready for its end."""

import gc
import os
import resource
import threading
import time

from mailgate import log
from mailgate.errors import Permanent, Transient

# The collector is for cycles, of which a job leaves next to none: each round over what a busy
# gateway holds (its plans, its statements, its tasks) frees nothing. Python's own are 700, 10, 10.
_NEW, _YOUNG, _OLD = 20_000, 20, 20
# Open files, as far as the hard limit goes: running jobs are watched by a quarter of them. With
# fewer than the least a gateway comes to its doors and no further: each process has pipes.
_FILES, _LEAST = 65536, 64
# All is over in under 10 s.
_LAST = 8.5


def settle() -> None:
    """Have the garbage collector leave alone what is there now, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW, _YOUNG, _OLD)


def allow_files() -> None:
    """Raise the soft limit of open files: sessions and running jobs take one each, or two.

    Raises
    ------
    Permanent
        The hard limit is too low for a gateway.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _LEAST:
        message = (
            f"the gateway may open {hard} files at most, and needs {_LEAST}: raise the hard"
            " limit of open files (LimitNOFILE= of its systemd unit, else ulimit -Hn)"
        )
        raise Permanent(message)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def ending() -> threading.Event:
    """Return what ends the process a while after it is set, even where a thread hangs.

    On a disk that does not answer, say; what it was at is found again at the next start, as after
    any crash. It waits in a thread from the start on: there may be none to be had at the end.
    """
    begun = threading.Event()

    def end() -> None:
        begun.wait()
        time.sleep(_LAST)
        log.event("stopped", reason="a thread still waits for the disk")
        log.flush()
        os._exit(0)

    threading.Thread(target=end, name="end", daemon=True).start()
    return begun


def judge(error: RuntimeError) -> None:
    """Raise Transient if the error is that no thread can be started."""
    # All that Python says of a full process table.
    if str(error) == "can't start new thread":
        message = (
            "no thread can be started: raise the limit of processes (TasksMax= of the gateway's"
            " systemd unit, else ulimit -u), or end what has taken them"
        )
        raise Transient(message) from error
