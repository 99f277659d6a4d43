"""What the fake schedulers share: a queue in a folder, whose jobs are real processes.

No scheduler: each command looks at the queue, starts what may run, and is gone. The folder is named by
FAKE_CLUSTER. ``jobs/ID`` holds a job, ``settings`` what the test set, ``lies/COMMAND`` what a command is
to lie about next, ``calls`` every command line.
"""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WAITING, HELD, RUNNING, SUSPENDED, ENDED = "waiting", "held", "running", "suspended", "ended"

SETTINGS = {
    # How many run at once, and whether anything starts at all.
    "slots": 8,
    "started": True,
    "next": 101,
    "node": "node-7",
    # What a job that waits is said to wait for.
    "why": "",
    # So many seconds an ended job is still listed.
    "kept": 3600,
    # Between the polite signal and the last one.
    "patience": 2.0,
}


class Refused(Exception):
    """The command says no, in these words, with this exit status."""

    def __init__(self, words: str, status: int = 1) -> None:
        super().__init__(words)
        self.status = status


class Queue:
    """The queue, while its lock is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = SETTINGS | self._read(folder / "settings", {})

    @staticmethod
    def _read(path: Path, otherwise: object) -> dict:
        with suppress(OSError):
            return json.loads(path.read_text())
        return otherwise

    def save(self, **settings: object) -> None:
        self.settings |= settings
        _write(self.folder / "settings", self.settings)

    # --- jobs ---------------------------------------------------------------------------------------

    def jobs(self) -> list[dict]:
        """Every job that is still known, oldest first."""
        found = [self._read(path, None) for path in (self.folder / "jobs").iterdir()]
        return sorted((job for job in found if job), key=lambda job: job["order"])

    def job(self, ident: str) -> dict | None:
        return self._read(self.folder / "jobs" / ident, None)

    def put(self, job: dict, **changes: object) -> dict:
        job |= changes
        _write(self.folder / "jobs" / job["id"], job)
        return job

    def forget(self, ident: str) -> None:
        (self.folder / "jobs" / ident).unlink(missing_ok=True)

    def add(self, argv: list[str], **facts: object) -> dict:
        """Take a job; an id that is given twice replaces what had it."""
        number = int(self.settings["next"])
        self.save(next=number + 1)
        job = {
            "id": str(number),
            "order": time.monotonic_ns(),
            "argv": argv,
            "name": "STDIN",
            "state": WAITING,
            "by": "",
            "starts": 0,
            "submitted": time.time(),
            "status": None,
            "killed": "",
            "why": "",
        }
        return self.put(job, **facts)

    # --- running ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Start what may run, forget what has been over for long."""
        jobs = self.jobs()
        for job in jobs:
            if job["state"] == ENDED and time.time() > job["ended"] + self.settings["kept"]:
                self.forget(job["id"])
        free = self.settings["slots"] - sum(job["state"] in (RUNNING, SUSPENDED) for job in jobs)
        if self.settings["started"]:
            for job in [job for job in jobs if job["state"] == WAITING][: max(free, 0)]:
                self._start(job)

    def _start(self, job: dict) -> None:
        self.put(job, state=RUNNING, started=time.time(), starts=job["starts"] + 1, why="")
        self.put(job, node=self.settings["node"])
        # The node: a process of its own, which outlives the command that happened to start it.
        if os.fork():
            return
        try:
            os.setsid()
            if not os.fork():
                _be_a_node(self.folder, job)
        except BaseException as error:  # noqa: BLE001 - a fake's bug must be seen somewhere
            (self.folder / "broken").write_text(repr(error))
        finally:
            os._exit(0)

    def kill(self, job: dict, killed: str, *signals: int, **facts: object) -> None:
        """End a job: what has not begun at once, what runs by signals."""
        if job["state"] == ENDED:
            return
        if not _alive(job):
            self.put(job, state=ENDED, ended=time.time(), killed=killed, **facts)
            return
        self.put(job, killed=killed, **facts)
        polite, last = signals or (signal.SIGTERM, signal.SIGKILL)
        _tell(job, signal.SIGCONT)
        _tell(job, polite)
        if os.fork():
            return
        try:
            os.setsid()
            _let_go()
            deadline = time.monotonic() + self.settings["patience"]
            while time.monotonic() < deadline and _alive(job):
                time.sleep(0.02)
            _tell(job, last)
        finally:
            os._exit(0)

    def suspend(self, job: dict, *, resume: bool = False) -> None:
        _tell(job, signal.SIGCONT if resume else signal.SIGSTOP)
        self.put(job, state=RUNNING if resume else SUSPENDED)

    def fail_node(self, job: dict, **facts: object) -> None:
        """The machine is gone, and the job with it."""
        _tell(job, signal.SIGKILL)
        self.put(job, state=ENDED, ended=time.time(), killed="node", status=None, **facts)

    def requeue(self, job: dict) -> None:
        """Put a job back under its old id, as if it had not begun."""
        _tell(job, signal.SIGKILL)
        self.put(job, state=WAITING, status=None, killed="", pid=None)
        self.step()


def _write(path: Path, value: object) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value))
    draft.replace(path)


def _tell(job: dict, number: int) -> None:
    """Send a signal to the script's group or, as PBS does, to each process of its session alone."""
    if job.get("pid") and job.get("by_session"):
        for process in _session(job["pid"]):
            with suppress(ProcessLookupError):
                os.kill(process, number)
    elif job.get("pid"):
        with suppress(ProcessLookupError):
            os.killpg(job["pid"], number)


def _session(leader: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[1-9]*"):
        with suppress(OSError):
            if os.getsid(int(place.name)) == leader:
                found.append(int(place.name))
    return found


def _alive(job: dict) -> bool:
    if job.get("pid"):
        with suppress(ProcessLookupError):
            os.killpg(job["pid"], 0)
            return True
    return job["state"] in (RUNNING, SUSPENDED)


def _let_go() -> None:
    """Hold no file of the command's: who waits for its end would wait for ours."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, 64)


def _be_a_node(folder: Path, job: dict) -> None:
    """Run the script, write down how it ended, and make room for the next."""
    # Takes long to load, and most commands start nothing.
    import subprocess

    _let_go()
    with Path(job.get("out") or os.devnull).open("ab") as out:
        process = subprocess.Popen(
            job["argv"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=job.get("cwd") or "/",
            env={**os.environ, **job.get("environment", {})},
            start_new_session=True,
        )
    with locked(folder) as queue:
        known = queue.job(job["id"])
        if known is not None and known["order"] == job["order"]:
            queue.put(known, pid=process.pid)
            if known["killed"]:
                # Before there was a process to kill.
                queue.kill(known, known["killed"])
    if job.get("limit"):
        with suppress(subprocess.TimeoutExpired):
            process.wait(job["limit"])
        if process.returncode is None:
            with locked(folder) as queue:
                queue.kill(queue.job(job["id"]), "limit")
    status = process.wait()
    with locked(folder) as queue:
        known = queue.job(job["id"])
        mine = known is not None and (known["order"], known["starts"]) == (
            job["order"],
            job["starts"],
        )
        if mine and known["state"] in (RUNNING, SUSPENDED):
            queue.put(known, state=ENDED, ended=time.time(), status=status, pid=None)
        queue.step()


@contextmanager
def locked(folder: Path) -> Iterator[Queue]:
    """Have the queue to oneself."""
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Queue(folder)
    finally:
        # What was forked in between shares the lock.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


# --- a command's life -------------------------------------------------------------------------------

# How a command may lie. ``late``: it does what it should, and is silent about it for long.
LIES = ("empty", "truncate", "unknown", "hang", "fail", "later", "never", "late", "garbage")


def command(
    name: str,
    do: Callable[[Queue, str, list[str]], str],
    says: dict[str, tuple[str, int]],
) -> None:
    """Be one command: note it, lie if told to, do it, print what it says.

    ``do`` is given the queue, the command and its arguments, and returns its output; ``says`` are the
    scheduler's words and status for the lies ``later``, ``never`` and ``fail``.
    """
    folder = Path(os.environ["FAKE_CLUSTER"])
    lie, seconds = _next_lie(folder, name)
    _note(folder, name, lie)
    if lie == "hang":
        # As ssh and sudo do: what their caller let them inherit is not theirs to hold.
        os.closerange(3, 64)
        deadline = time.monotonic() + (seconds or 3600)
        while time.monotonic() < deadline and (folder / "lies" / name).exists():
            time.sleep(0.02)
    if lie in says:
        words, status = says[lie]
        print(words, file=sys.stderr)
        sys.exit(status)
    try:
        with locked(folder) as queue:
            queue.step()
            queue.settings["unknown"] = lie == "unknown"
            text = do(queue, name, sys.argv[2:])
            queue.step()
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(error.status)
    if lie == "late":
        time.sleep(seconds or 3600)
    match lie:
        case "empty":
            text = ""
        case "truncate":
            text = text[: len(text) * 2 // 3]
        case "garbage":
            text = "\x00\xff half a {\n"
    sys.stdout.write(text)


def _next_lie(folder: Path, name: str) -> tuple[str, float]:
    path = folder / "lies" / name
    with suppress(OSError, ValueError):
        lie = json.loads(path.read_text())
        if lie["times"] > 0:
            _write(path, lie | {"times": lie["times"] - 1})
            return lie["how"], lie["seconds"]
    return "", 0.0


def _note(folder: Path, name: str, lie: str) -> None:
    words = {
        "command": name,
        "argv": sys.argv[2:],
        "at": time.monotonic(),
        "locale": os.environ.get("LC_ALL", ""),
        "lie": lie,
    }
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
