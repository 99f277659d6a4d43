"""The nouns that pass from room to room, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from mailgate.phases import Phase

JobId = NewType("JobId", str)
"""12 lower-case base32 characters, the first a letter. A name, not a key: knowing it opens nothing."""

Token = NewType("Token", str)
"""An attempt's name in the scheduler: ``m`` and 12 base32 characters."""

NativeId = NewType("NativeId", str)
"""What the engine calls an attempt: a process id, a Slurm job number."""


# --- who ------------------------------------------------------------------------------------------


class How(StrEnum):
    """How an identity is known, weakest first."""

    NETWORK = "network"

    @property
    def strength(self) -> int:
        """A greater number vouches better."""
        return list(How).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An address (bare, lower-cased) and how it is known."""

    address: str
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the session said before the message itself.

    ``sender`` is the reverse path without angle brackets, ``""`` for the null one. ``recipients`` are
    as the client wrote them. ``door`` is ``smtp`` or ``pipe``; ``peer`` the client's IP address as
    text, None where there is none. ``trusted``: the operator lets this door vouch for any From.
    """

    sender: str
    recipients: tuple[str, ...]
    door: str
    peer: str | None = None
    trusted: bool = False


# --- a message that came in ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Where a leaf's encoded bytes lie in the raw mail: offsets [start, end), transfer encoding.

    ``encoding`` is lower-case: ``base64``, ``quoted-printable``, ``x-uuencode``, or ``binary`` for
    everything that is taken as it stands.
    """

    start: int
    end: int
    encoding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One leaf that is not the text: name as the sender called it, size and SHA-256 once decoded."""

    name: str | None
    media_type: str
    size: int
    sha256: str
    slice: Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A mail as a person would describe it. Every field is total: rubbish gives None or empty.

    ``from_`` holds every From address, bare, in order; ``lines`` is the text the person wrote, quotes
    and signature cut, without line ends. ``content`` is the SHA-256 over decoded text and
    attachments (not headers), by which two mails with one Message-ID are compared. ``text_cut``: the
    text was longer than is read, so that ``lines`` must not be taken for a whole body input.
    """

    message_id: str | None
    from_: tuple[str, ...]
    to: tuple[str, ...]
    subject: str | None
    date: datetime | None
    lines: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    automatic: str | None
    defects: tuple[str, ...]
    content: str
    text_cut: bool = False

    @property
    def text(self) -> str:
        """The lines joined by LF."""
        return "\n".join(self.lines)


# --- what it asks for ------------------------------------------------------------------------------


class Notify(StrEnum):
    """When the owner wants a mail besides the result."""

    RECEIPT = "receipt"
    START = "start"
    END = "end"
    PROGRESS = "progress"


class Reply(StrEnum):
    """How the result is wanted: with its outputs, or only their names and sizes."""

    FULL = "full"
    BRIEF = "brief"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a request, bound to the service's name for it.

    ``filename`` is the name the sender gave ("" for a body input); exactly one of ``slice`` (a leaf
    of the raw mail) and ``text`` (a body input, UTF-8, LF line ends) is set.
    """

    name: str
    filename: str
    media_type: str
    size: int
    sha256: str
    slice: Slice | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A clear request for one service: all values are checked, in the words as sent."""

    service: str
    parameters: Mapping[str, str]
    inputs: tuple[Input, ...]
    ignored: tuple[str, ...] = ()
    label: str | None = None
    work_limit: timedelta | None = None
    keep: timedelta | None = None
    notify: frozenset[Notify] = frozenset()
    reply: Reply = Reply.FULL
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """One line or attachment of a request: what stood there and how it was read.

    ``wrong`` is True where it is a reason that nothing was run.
    """

    quoted: str
    meaning: str
    wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A request that was not run: every line accounted for, and an example that would work."""

    service: str
    lines: tuple[Understood, ...]
    example: tuple[str, ...]
    mend: str = ""


# --- a job -----------------------------------------------------------------------------------------


class Reason(StrEnum):
    """Why an attempt ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    WORK_LIMIT = "work-limit"
    MEMORY = "memory"
    NODE_FAILURE = "node-failure"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    COULD_NOT_START = "could-not-start"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How an attempt ended. ``code`` is set for EXIT, ``signal`` for SIGNAL; ``words`` are the engine's own."""

    reason: Reason
    code: int | None = None
    signal: int | None = None
    words: str = ""

    @property
    def phase(self) -> Phase:
        """The phase that this end means for the job."""
        match self.reason:
            case Reason.EXIT:
                return Phase.COMPLETED if self.code == 0 else Phase.ERROR
            case Reason.SIGNAL | Reason.MEMORY | Reason.COULD_NOT_START | Reason.NODE_FAILURE:
                return Phase.ERROR
            case Reason.CANCELLED | Reason.WORK_LIMIT | Reason.PREEMPTED | Reason.LOST:
                return Phase.ABORTED

    @property
    def header(self) -> str:
        """The value of Mailgate-Exit: the exit code, ``signal N``, or the reason's word."""
        if self.reason is Reason.EXIT and self.code is not None:
            return str(self.code)
        if self.reason is Reason.SIGNAL and self.signal is not None:
            return f"signal {self.signal}"
        return str(self.reason)


class AttemptState(StrEnum):
    """Where one submission of a job is."""

    INTENDED = "INTENDED"
    SUBMITTED = "SUBMITTED"
    STARTED = "STARTED"
    ENDED = "ENDED"
    LOST = "LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One submission of a job to an engine."""

    token: Token
    job: JobId
    number: int
    engine: str
    state: AttemptState
    native: NativeId | None = None
    limit: timedelta | None = None
    started: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """An entry of a job's list of errors."""

    at: datetime
    reason: Reason
    words: str


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
    """One output: ``name`` as the reply calls it, ``path`` below the job's folder, size in bytes."""

    role: StreamRole
    name: str
    path: str
    size: int
    sha256: str


INPUTS = "\0in"
"""Stands in a kept plan's argv for the job's ``in/``: no word of a mail holds NUL, and a spool that is
restored elsewhere finds its inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an engine needs to know of a job, fixed when the job is made.

    ``argv`` is final, but that a kept one begins input paths with ``INPUTS``; ``stdin`` is the file name in
    ``in/`` or None for an empty standard input; ``memory`` in bytes; ``files`` are glob patterns
    below ``work/``. ``stdout`` and ``stderr`` are the names that the two get in the reply.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    network: bool = False
    stdout: str = "stdout.txt"
    stderr: str = "stderr.txt"
    files: tuple[str, ...] = ()
    cores: int = 1
    memory: int | None = None
    retry_times: int = 0
    retry_on: frozenset[Reason] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An input that waits in the spool for its job to start: ``body`` holds small ones, ``path`` names the file of big ones in ``staged/``.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. Times are aware UTC; ``destruction`` is set once it has ended."""

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
    ignored: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    destruction: datetime | None = None
    exit: Exit | None = None
    errors: tuple[Mistake, ...] = ()
    progress: Progress | None = None
    streams: tuple[Stream, ...] = ()
    left_out: tuple[str, ...] = ()
    attempts: int = 0


# --- a letter that goes out ------------------------------------------------------------------------


class LetterState(StrEnum):
    """Where a letter to one recipient is."""

    PLANNED = "PLANNED"
    WAITING = "WAITING"
    SENT = "SENT"
    BOUNCED = "BOUNCED"
    HELD = "HELD"


class LetterKind(StrEnum):
    """Which of the gateway's letters it is; also its template's name."""

    RESULT = "result"
    RECEIPT = "receipt"
    STARTED = "started"
    PROGRESS = "progress"
    UNCLEAR = "unclear"
    DRY_RUN = "dry-run"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A composed letter ready to go: its bytes lie in ``file`` or are ``body`` (CRLF line ends).

    ``sender`` is the envelope sender, "" for the null one. ``refusals`` counts the 4xx answers so
    far, ``waited`` the time in which the next hop could be reached.
    """

    id: int
    recipient: str
    sender: str
    message_id: str
    planned: datetime
    size: int
    refusals: int = 0
    waited: timedelta = timedelta()
    tries: int = 0
    body: bytes | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command answers, as data: a template's name and its facts."""

    kind: LetterKind
    facts: Mapping[str, object] = field(default_factory=dict)
