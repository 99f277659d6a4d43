"""What a cluster's scheduler is to the gateway: text in, values out; one file an engine.

An adapter does no I/O, knows no clock and remembers nothing: it gives argv lists and reads what the
commands say. All the rest is the same for all of them, and in ``cluster.py``: processes with time
limits, locks, recovery by name, one poll an interval, grace, claims.

The module ``run/NAME.py`` is the engine NAME: its ``ADAPTER`` is the class, made with the table of
``[run.NAME]``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Protocol

from mailgate.model import Exit, NativeId, Token


class State(StrEnum):
    """What a scheduler's own word comes down to. A word in no table is logged and changes nothing.

    RUNNING is also one that is being started or tidied up; ENDED whatever can never run again.
    """

    WAITING = "waiting"
    HELD = "held"
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDED = "ended"


class Verdict(StrEnum):
    """What a submission that failed means.

    LATER: not taken, but may be (limits of the queue, a controller that is away). NEVER: refused
    for good. UNKNOWN: it may have been taken, and is looked up by its name.
    """

    LATER = "later"
    NEVER = "never"
    UNKNOWN = "unknown"


class UnreadableError(Exception):
    """What a command printed is not what was asked for: cut off, say. Nothing is concluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to be run, with LC_ALL=C. ``argv`` holds no word of a mail.

    ``only``: patterns (fnmatch) of the variables that it gets of the daemon's environment, where it
    would hand them all on to the job; () for all of them.
    """

    argv: tuple[str, ...]
    stdin: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said that ran to its end: its exit status (or -signal), and both outputs."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a submission needs. All paths are absolute, on the file system that the nodes share.

    ``token`` becomes the job's name there. ``folder`` is where the script is started, ``messages``
    the file for what it and the scheduler say (its command's outputs go elsewhere). ``memory`` is
    that of the whole job in bytes; ``limit`` the backstop, a little more than the script's own.
    """

    token: Token
    script: str
    folder: str
    messages: str
    cores: int = 1
    memory: int | None = None
    limit: timedelta | None = None
    gpus: int = 0
    queue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A job that the scheduler has, or had. ``native`` alone names none: numbers are reused."""

    token: Token
    native: NativeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a scheduler says of one job, whose name there is ``token``: others' names come too.

    ``word`` is the scheduler's own for its state, and ``state`` None where no table has it. ``why``
    is why it waits or how it ended, in the scheduler's own words too; ``starts`` an estimate of its
    start. ``end`` says how it ended, where the scheduler knows that; its words are left empty. An
    exit code is never believed before the job folder's own, so a plain end is no ``end``.
    ``stays``: it has ended, and is there until somebody cancels it.
    """

    token: Token
    native: NativeId
    state: State | None
    word: str
    why: str = ""
    node: str = ""
    starts: datetime | None = None
    end: Exit | None = None
    stays: bool = False


class Scheduler(Protocol):
    """One engine. ``title`` is what people call it, ``programs`` are the commands that it needs.

    ``STATES`` has the scheduler's words for states (all that its documentation knows).
    """

    title: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    STATES: ClassVar[Mapping[str, State]]

    def submit(self, ask: Ask) -> Command:
        """Hand a job over: never run again by itself, none of our environment, its name the token.

        Memory, cores, limit, queue and GPUs in the scheduler's words; the site's ``extra`` last.
        """

    def parse_submit(self, text: str) -> NativeId:
        """Return the number that a successful submission printed; raises UnreadableError."""

    def verdict(self, said: Said) -> Verdict:
        """Say what a failed submission means. Doubt is UNKNOWN."""

    def poll(self) -> Command:
        """Ask for all jobs of our user at once, with those that have just ended, if it can."""

    def parse_poll(self, text: str) -> Sequence[Seen]:
        """Read what a successful poll printed.

        Raises
        ------
        UnreadableError
            It is cut off or something else. No jobs at all is an answer like any other.
        """

    def why(self, job: Given) -> Command | None:
        """Ask what became of a job that polls do not list (any more); None: there is no way."""

    def parse_why(self, said: Said, job: Given) -> Seen | None:
        """Read that, whatever its exit status; None where it says nothing of the job by this name.

        Raises
        ------
        UnreadableError
            It is cut off, or the scheduler could not be asked: it is asked again.
        """

    def cancel(self, job: Given) -> Command:
        """End a job, or have it never start: TERM first, KILL after the site's own grace time."""

    def release(self, job: Given) -> Command | None:
        """Let a job go on that is held there."""

    def limit(self, job: Given, limit: timedelta) -> Command | None:
        """Change the backstop (from the job's start); None where that cannot be done."""

    def wake(self, job: Given) -> Command | None:
        """Send USR1 to the running script alone, to have it read its limit anew; None: no way."""
