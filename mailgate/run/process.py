"""The script as a process: started with its lock, alive while that is held, told from any other."""

import errno
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailgate.errors import Permanent, Transient
from mailgate.model import Token
from mailgate.run.jobdir import Folder
from mailgate.saying import Saying

_SHELL = "/bin/sh"
# The script's own programs (setsid, env, sleep, wc); the command has the PATH of the configuration.
_TOOLS = "/usr/bin:/bin:/usr/local/bin"
# The descriptor that script.sh knows as the lock.
_LOCK = 9
# Python ignores some signals, and a daemon's parent may have ignored more: the script ignores none.
_ALL_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

# Never through a link, never waiting for the other end of a pipe.
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# There is no lock any more: gone, or a command put something else in its place or above it.
_REMOVED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
FILES, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Files that may be open, as this process was started: the daemon takes more, its jobs get this."""

# Who asks whether an attempt is alive holds its lock for microseconds.
_PATIENCE = 1.0
_PAUSE = 0.005


@contextmanager
def locked(attempt: Path) -> Iterator[int | None]:
    """Hold the lock of an attempt's folder, for the script to inherit; None if another holds it.

    The script has a descriptor of the same lock: that it is closed here frees nothing.
    """
    lock = os.open(attempt / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield lock if _taken(lock) else None
    finally:
        os.close(lock)


def start_script(attempt: Path, *, lock: int, token: Token, files: int) -> int:
    """Start the script as it lies in the attempt's folder, in a session of its own; its process id.

    ``files``: how many files its command may have open.

    Raises
    ------
    Transient
        There is no process to be had now.
    Permanent
        There is no shell.
    """
    # Opened anew: a sleep that outlives the script by a moment must not hold the lock itself.
    most = "unlimited" if files == resource.RLIM_INFINITY else str(files)
    complaints = (str(attempt / "lock"), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0)
    try:
        return os.posix_spawn(
            _SHELL,
            [_SHELL, str(attempt / "script")],
            {"PATH": _TOOLS, "MAILGATE_TOKEN": token, "MAILGATE_FILES": most},
            file_actions=[
                # First: the lock may have one of the numbers below.
                (os.POSIX_SPAWN_DUP2, lock, _LOCK),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, *complaints),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_ALL_SIGNALS,
        )
    except OSError as error:
        if not os.access(_SHELL, os.X_OK):
            raise Permanent(Saying("ends/no-shell", shell=_SHELL)) from error
        raise Transient("No process can be started now.", detail=str(error)) from error


def most_files() -> int:
    """Return how many files this process may have open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def is_locked(folder: Folder, number: int) -> bool:
    """Tell whether the attempt's lock is held: by its script, or a gateway that is starting it.

    Raises
    ------
    OSError
        It cannot be found out.
    """
    try:
        lock = os.open(folder.attempt(number) / "lock", _LOOK)
    except OSError as error:
        if error.errno in _REMOVED:
            return False
        raise
    try:
        # Shared, so that two who ask do not take each other for the script.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def is_script(process: int | None, folder: Folder, number: int) -> bool:
    """Tell whether the process has the attempt's lock where only its script has it."""
    try:
        theirs = Path(f"/proc/{process}/fd/{_LOCK}").stat()
        ours = (folder.attempt(number) / "lock").lstat()
    except OSError:
        return False
    return os.path.samestat(theirs, ours)


def is_child(process: int, parent: int) -> bool:
    """Tell whether ``parent`` started the process, and lives."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2].split()[1] == str(parent)


def _taken(lock: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True
