"""A job, its plan, its attempts and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from mailgate.model.request import Notify, Reply
from mailgate.model.who import How, Identity
from mailgate.phases import Phase
from mailgate.saying import Saying, Words

JobId = NewType("JobId", str)
"""12 lower-case base32 characters, the first a letter: a name, and no key to anything."""

Token = NewType("Token", str)
"""An attempt's name in the scheduler: ``m`` and 12 base32 characters."""

NativeId = NewType("NativeId", str)
"""What the engine calls an attempt: a process id, a Slurm job number."""


class Reason(StrEnum):
    """Why an attempt ended. OUTSIDE: cancelled at the cluster, not at the gateway's word."""

    EXIT = "exit"
    SIGNAL = "signal"
    WORK_LIMIT = "work-limit"
    MEMORY = "memory"
    NODE_FAILURE = "node-failure"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    OUTSIDE = "cancelled-outside"
    COULD_NOT_START = "could-not-start"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How an attempt ended.

    ``code`` is set for EXIT, ``signal`` for SIGNAL; ``words`` are the engine's own, or ours.
    """

    reason: Reason
    code: int | None = None
    signal: int | None = None
    words: Words = ""

    @property
    def phase(self) -> Phase:
        """The phase that this end means for the job."""
        match self.reason:
            case Reason.EXIT:
                return Phase.COMPLETED if self.code == 0 else Phase.ERROR
            case Reason.SIGNAL | Reason.MEMORY | Reason.COULD_NOT_START | Reason.NODE_FAILURE:
                return Phase.ERROR
            case Reason.CANCELLED | Reason.OUTSIDE | Reason.WORK_LIMIT:
                return Phase.ABORTED
            case Reason.PREEMPTED | Reason.LOST:
                return Phase.ABORTED

    @property
    def header(self) -> str:
        """The value of Mailgate-Exit: the exit code, ``signal N``, or the reason's word."""
        if self.reason is Reason.EXIT and self.code is not None:
            return str(self.code)
        if self.reason is Reason.SIGNAL and self.signal is not None:
            return f"signal {self.signal}"
        return str(self.reason)


class Wish(StrEnum):
    """What somebody asked to be done to a job, weakest first: the stronger takes its place."""

    HOLD = "hold"
    CANCEL = "cancel"
    DESTROY = "destroy"

    @property
    def ends(self) -> bool:
        """Whether the work is ended for it."""
        return self is not Wish.HOLD


class AttemptState(StrEnum):
    """Where one submission of a job is."""

    INTENDED = "INTENDED"
    SUBMITTED = "SUBMITTED"
    STARTED = "STARTED"
    ENDED = "ENDED"
    LOST = "LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a job waits at a cluster, in the scheduler's own words, and its estimate of the start."""

    why: str = ""
    starts: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One submission of a job to an engine; ``queued`` is what a cluster last said of its wait.

    ``held``: somebody holds it there.
    """

    token: Token
    job: JobId
    number: int
    engine: str
    state: AttemptState
    native: NativeId | None = None
    limit: timedelta | None = None
    started: datetime | None = None
    queued: Wait = Wait()
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """An entry of a job's list of errors."""

    at: datetime
    reason: Reason
    words: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Per cent done (0 to 100) and optional words, as the job wrote them."""

    percent: float
    words: str = ""


class StreamRole(StrEnum):
    """What a result stream is."""

    STDOUT = "stdout"
    STDERR = "stderr"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One output: ``name`` as the reply calls it, ``path`` below the job folder, size in bytes."""

    role: StreamRole
    name: str
    path: str
    size: int
    sha256: str


DISK_FULL = Saying("outputs/disk-full")
"""Stands in ``left_out`` of a job whose outputs may be short for want of room."""

MARK = "gateway"
"""A file of this name in the folder of all jobs says whose they are."""

INPUTS = "\0in"
"""Stands in a kept plan's argv for the job's ``in/``, so that a spool restored elsewhere finds it.

No word of a mail holds NUL.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an engine needs to know of a job, and what outlasts its service; fixed when it is made.

    ``argv`` is final, but that a kept one begins input paths with ``INPUTS``; ``stdin`` is the file
    name in ``in/`` or None for an empty standard input; ``memory`` and ``disk`` in bytes; ``files``
    are glob patterns below ``work/``. ``stdout`` and ``stderr`` are the names that the two get in
    the reply. ``queue`` is the operator's word, "" for the engine's own; ``asked`` names what of
    ``cores`` and ``memory`` is the request's and not the service's. ``require`` is the weakest way
    to be known that was enough for it then; where nothing tells, the strongest.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    network: bool = False
    stdout: str = "stdout.txt"
    stderr: str = "stderr.txt"
    files: tuple[str, ...] = ()
    cores: int = 1
    memory: int | None = None
    disk: int | None = None
    gpus: int = 0
    queue: str = ""
    asked: tuple[str, ...] = ()
    retry_times: int = 0
    retry_on: frozenset[Reason] = frozenset()
    require: How = How.SMTP_AUTH

    @property
    def given(self) -> dict[str, object]:
        """What the job gets of the machine, by name; ``memory`` None where nothing limits it."""
        return {
            "cores": self.cores,
            "memory": self.memory,
            "gpus": self.gpus,
            "queue": self.queue,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An input that waits in the spool for its job to start.

    ``body`` holds small ones, ``path`` names the file of big ones in ``staged/``; or the bytes are
    those of the input of the same ``name`` of the job ``source``, which is kept for that long.

    ``name`` is the service's word for it, ``file`` our file name in ``in/``, ``filename`` the
    sender's ("" for a body input).
    """

    name: str
    file: str
    filename: str
    size: int
    sha256: str
    body: bytes | None = None
    path: str | None = None
    source: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. Times are aware UTC.

    ``destruction`` is set once it has ended; before that only where somebody has named a date.
    ``wish``: what is asked for and not yet done; ``held_by``: who holds it (an address,
    ``operator``, ``quota``), where it is HELD. ``every``: how often its owner wants to hear where
    it is.
    ``part``: the most bytes of one mail of its result, where the request gave a size.
    """

    id: JobId
    service: str
    owner: Identity
    label: str | None
    phase: Phase
    parameters: Mapping[str, str]
    plan: Plan
    notify: frozenset[Notify]
    reply: Reply
    created: datetime
    work_limit: timedelta | None
    keep: timedelta
    message: int
    in_reply_to: str | None = None
    references: str | None = None
    subject: str | None = None
    ignored: tuple[Words, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    destruction: datetime | None = None
    exit: Exit | None = None
    errors: tuple[Mistake, ...] = ()
    progress: Progress | None = None
    streams: tuple[Stream, ...] = ()
    left_out: tuple[Words, ...] = ()
    attempts: int = 0
    wish: Wish | None = None
    held_by: str | None = None
    every: timedelta | None = None
    part: int | None = None
