"""What a message asks for, once it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mailgate.model.mail import Slice
from mailgate.saying import Words


class Notify(StrEnum):
    """When the owner wants a mail besides the result."""

    RECEIPT = "receipt"
    START = "start"
    END = "end"
    PROGRESS = "progress"


class Reply(StrEnum):
    """How the result is wanted.

    FULL: attached as it is, else compressed, else in several mails. BRIEF: names and sizes alone.
    INLINE: as FULL, a small textual standard output as text to be read. ATTACH: as it is, as far as
    one mail holds it. PARTS: as FULL, in mails of a size that the request gives.
    """

    FULL = "full"
    BRIEF = "brief"
    INLINE = "inline"
    ATTACH = "attach"
    PARTS = "parts"


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
class General:
    """What the general keys ask for, which every service takes.

    ``every``: how often a mail is wanted that tells where the job is, until it ends. ``watch``:
    bare addresses that are to be told of the job too. ``cores`` and ``memory`` (bytes) are None
    where the service's own are meant.
    ``part`` is the most bytes that one mail of the result may have, where the request says so.
    """

    label: str | None = None
    work_limit: timedelta | None = None
    keep: timedelta | None = None
    notify: frozenset[Notify] = frozenset()
    every: timedelta | None = None
    reply: Reply = Reply.FULL
    watch: tuple[str, ...] = ()
    part: int | None = None
    cores: int | None = None
    memory: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(General):
    """A clear request for one service: all values are checked, in the words as sent."""

    service: str
    parameters: Mapping[str, str]
    inputs: tuple[Input, ...]
    ignored: tuple[Words, ...] = ()

    @property
    def resources(self) -> tuple[str, ...]:
        """The names of what it asks for of the machine."""
        given = {"cores": self.cores, "memory": self.memory}
        return tuple(name for name, count in given.items() if count is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """One line or attachment of a request: what stood there and how it was read.

    ``wrong`` is True where it is a reason that nothing was run; ``missing`` where it is one because
    it is not there.
    """

    quoted: Words
    meaning: Words
    wrong: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Something that a service takes: its key, what may be given, and the operator's words on it.

    ``what`` is a phrase such as ``an attachment named *.fa``; ``summary`` is "" if there is none.
    """

    key: str
    what: Words
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A request that was not run: every line accounted for, and an example that would work.

    ``attach`` names the files that the example needs, ``takes`` everything that the service takes
    and ``summary`` what it does, in the operator's words. ``label`` is the request's, if it has one
    that is right.
    """

    service: str
    lines: tuple[Understood, ...]
    example: tuple[Words, ...]
    attach: tuple[Words, ...] = ()
    mend: Words = ""
    summary: str = ""
    takes: tuple[Taken, ...] = ()
    label: str | None = None
