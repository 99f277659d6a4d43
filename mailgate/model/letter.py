"""A letter that goes out, and an answer before it has words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mailgate.model.request import Reply


class LetterState(StrEnum):
    """Where a letter to one recipient is."""

    PLANNED = "PLANNED"
    WAITING = "WAITING"
    SENT = "SENT"
    BOUNCED = "BOUNCED"
    HELD = "HELD"
    WITHDRAWN = "WITHDRAWN"


class LetterKind(StrEnum):
    """Which of the gateway's letters it is; also its template's name."""

    RESULT = "result"
    PART = "part"
    RECEIPT = "receipt"
    STARTED = "started"
    PROGRESS = "progress"
    DESTROYED = "destroyed"
    NEWS = "news"
    NOTICE = "notice"
    UNCLEAR = "unclear"
    DRY_RUN = "dry-run"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    CONFIRM = "confirm"
    COMMANDS = "commands"
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


class Fate(StrEnum):
    """What mail that comes back says of the letter: failed for good, for its size, for now."""

    FAILED = "failed"
    TOO_BIG = "too-big"
    TEMPORARY = "temporary"
    NOTED = "noted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """Mail that came back for a letter, as it was read; ``words`` are one line, its own or ours.

    ``status`` is an enhanced status code (RFC 3463) such as ``5.1.1``, "" where it tells none.
    """

    fate: Fate
    status: str = ""
    words: str = ""

    def __str__(self) -> str:
        """Return status and words, as a letter and its job tell them."""
        return " ".join(filter(None, (self.status, self.words)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asks of a result that was mailed before.

    ``names``: these outputs alone (all, if empty); ``head``: so many lines of standard output in
    the text, and nothing attached; ``part`` as in a request.
    """

    reply: Reply = Reply.FULL
    part: int | None = None
    names: tuple[str, ...] = ()
    head: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command answers, as data: a template's name and its facts.

    Of a request the template is that of a kind of letter; of a command it lies in templates/say,
    and ``wrong`` tells that nothing was done. Facts are texts, numbers, times, durations, truths,
    None, and lists and mappings of them.
    """

    kind: str
    facts: Mapping[str, object] = field(default_factory=dict)
    wrong: bool = False
