"""The rows of a letter's lists: what a template finds in each, harmless and in a person's units."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailgate.reply.excerpt import ABSENT, Excerpt

ROWS = 100
"""A list in a letter has no more rows; how many there are besides is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A stream as the letter lists it; ``called``: its attachment's name, where it is another.

    ``inline``: it stands in the mail as text. ``first`` and ``last`` are the parts that it is in,
    where the result comes in several mails; else both are "".
    """

    name: str
    size: str
    sha256: str
    attached: bool
    called: str
    empty: bool
    inline: bool = False
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a letter of a shipment carries: some of the file ``of``, or the ``whole`` of it."""

    name: str
    size: str
    whole: bool
    of: str
    of_size: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A ``name: value`` line of the request, as it can be sent again."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One error of a job: when, the reason's word, the engine's words."""

    at: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One line of a request: what stood there, and how it was read."""

    quoted: str
    meaning: str
    wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Something that the service takes: its key, what may be given, what it means."""

    key: str
    what: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One input of a dry run."""

    name: str
    filename: str
    size: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One input of a job; ``filename`` is the sender's, "" where it was the mail's body."""

    filename: str
    size: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpts:
    """The first lines of standard output and the last of standard error.

    ``inline``: standard output is a text part of the letter.
    """

    stdout: Excerpt = ABSENT
    stderr: Excerpt = ABSENT
    inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a letter lists of something long: some rows, and how many there are besides."""

    rows: tuple[object, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """What came of a command: the name of its template in ``say/``, and the facts for it."""

    words: str
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a mail and what came of it; ``state`` is ``done``, ``wrong`` or ``passed``."""

    quoted: tuple[str, ...]
    state: str
    say: Say
