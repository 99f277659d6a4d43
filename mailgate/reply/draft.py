"""A letter still to be written: which one, to whom, and the facts that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from mailgate.model import Carried, Job, LetterKind
from mailgate.saying import Saying, Words

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Everything that the bytes of a letter depend on: the same draft gives the same bytes.

    ``gateway`` and ``recipient`` are bare addresses, ``reply_to`` too; ``message_id`` has its angle
    brackets. ``in_reply_to`` is the request's Message-ID and ``references`` its References as they
    came: a stranger's words, of which only well-formed ids are used. ``date`` is the letter's own,
    ``now`` what its sentences count from; both aware. ``limit`` is the most bytes that the whole
    letter may have.

    ``job`` is set for RESULT, PART, RECEIPT, STARTED, PROGRESS, DESTROYED, NEWS, NOTICE; None for
    others, which answer a message. A result may be asked for ``only`` some outputs, by name, or for
    no more than the first ``head`` lines; ``whole``: it is not written where something would be
    left out. ``carried`` is set for a letter of a shipment, of which each but the first is a PART.
    ``inputs`` are the job's, for a RESULT, RECEIPT or STARTED: the sender's name of each ("" for
    the mail's body), and its bytes. ``facts`` by kind, the optional ones in brackets; answers may
    have ``others``, a tuple of (kind, facts), where a message to several services causes more than
    one:

    ========= ====================================================================================
    RESULT    [``work_limit_max``: timedelta, the longest work limit that a request may ask for;
              ``memory_max``: int, the most bytes of memory; ``by``: str, who had it cancelled:
              an address or "operator"]
    NEWS      as RECEIPT [``ahead``, ``run``: int, the jobs that wait before it, and that run]
    RECEIPT   as STARTED [``quota``: a Saying, ``paused``: bool: what keeps it back]
    STARTED   [``outlook``: Outlook]
    NOTICE    [``keep_max``: timedelta, the longest that its service keeps outputs]
    UNCLEAR   ``unclear``: Unclear [``name``: str, the request's label, or its mail's Subject]
    DRY_RUN   ``request``: Request, ``plan``: Plan [``work_limit``, ``keep``: timedelta,
              ``summary``: str, ``takes``: tuple[Taken, ...]]
    REFUSED   ``service``: str, ``sentence``: str [``again``: bool, it may be sent again later;
              ``unknown``: bool, there is no such service; ``meant``: str, one that is near;
              ``beside``: bool, the mail asked for more; ``name``: str, as above]
    DUPLICATE ``of``: str, the Message-ID; ``job``: JobId or None [``signed``: bool, what they have
              in common is a DKIM signature]
    CONFIRM   ``address``: str, that a confirmation is sent to; ``services``: tuple[str, ...];
              ``until``: datetime; and either ``taken``: datetime, when a mail of his came, or
              ``job``: JobId, of which somebody wants him to be told
    COMMANDS  what `mailgate.desk.dialogue` writes: ``job``: JobId or "", ``entries`` (``quoted``,
              ``state``, ``say``, ``facts``), ``help`` (``say``, ``facts``), ``against`` (``where``,
              ``id``), ``stop``, ``at``: str, ``unread``: int, ``attached``: tuple[str, ...],
              ``last``: bool, the next that is not understood goes unanswered
    ========= ====================================================================================
    """

    kind: LetterKind
    gateway: str
    recipient: str
    message_id: str
    date: datetime
    now: datetime
    in_reply_to: str | None
    references: str | None
    reply_to: str | None
    job: Job | None
    facts: Mapping[str, object]
    limit: int
    only: tuple[str, ...] = ()
    head: int = 0
    whole: bool = False
    carried: Carried | None = None
    inputs: tuple[tuple[str, int], ...] = ()


def others_of(draft: Draft) -> list[Draft]:
    """Return the further answers of a message as drafts of their own.

    Raises
    ------
    ValueError
        The fact ``others`` is not what the draft says it is: a bug.
    """
    others = draft.facts.get("others", ())
    if not isinstance(others, tuple) or not all(map(_is_answer, others)):
        raise ValueError("the fact 'others' is no tuple of kinds and their facts")
    return [replace(draft, kind=LetterKind(kind), facts=facts) for kind, facts in others]


def _is_answer(other: object) -> bool:
    return (
        isinstance(other, tuple)
        and len(other) == 2
        and isinstance(other[0], LetterKind)
        and isinstance(other[1], Mapping)
    )


def checked(draft: Draft) -> None:
    """See that a draft has what its kind of letter is about.

    Raises
    ------
    ValueError
        It has not: a bug where the draft was made.
    """
    about_a_job = draft.kind in {
        LetterKind.RESULT,
        LetterKind.PART,
        LetterKind.RECEIPT,
        LetterKind.STARTED,
        LetterKind.PROGRESS,
        LetterKind.DESTROYED,
        LetterKind.NEWS,
        LetterKind.NOTICE,
    }
    if about_a_job and draft.job is None:
        raise ValueError(f"a {draft.kind} letter needs its job")
    if not about_a_job and draft.job is not None:
        raise ValueError(f"a {draft.kind} letter has no job")
    if (
        draft.kind in {LetterKind.RESULT, LetterKind.PART}
        and draft.job
        and (not draft.job.exit or not draft.job.ended)
    ):
        raise ValueError(f"job {draft.job.id} has not ended: there is no result")


def is_result(draft: Draft) -> bool:
    """Whether the letter tells of a job's end: its result, or a part of it."""
    return draft.kind in {LetterKind.RESULT, LetterKind.PART}


class Given:
    """A draft's facts, each taken once and by its type."""

    def __init__(self, draft: Draft) -> None:
        self._kind, self._facts = draft.kind, dict(draft.facts)
        # Each of them is a draft of its own.
        self._facts.pop("others", None)

    def one(self, name: str, kind: type[Kind]) -> Kind:
        """Take a fact that must be there; ValueError else."""
        value = self.optional(name, kind)
        if value is None:
            raise ValueError(f"a {self._kind} letter needs the fact {name!r}")
        return value

    def optional(self, name: str, kind: type[Kind]) -> Kind | None:
        """Take a fact if it is there; ValueError if it is of another type."""
        value = self._facts.pop(name, None)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"the fact {name!r} is {type(value).__name__}, not {kind.__name__}")
        return value

    def words(self, name: str) -> Words:
        """Take a sentence that must be there; ValueError else, or if it is of another type."""
        found = self.optional_words(name)
        if not found:
            raise ValueError(f"a {self._kind} letter needs the fact {name!r}")
        return found

    def optional_words(self, name: str) -> Words:
        """Take a sentence, "" if there is none; ValueError if it is of another type."""
        if isinstance(self._facts.get(name), Saying):
            return self.one(name, Saying)
        return self.optional(name, str) or ""

    def all_taken(self) -> None:
        """See that no fact is left over; ValueError else."""
        if self._facts:
            raise ValueError(f"a {self._kind} letter has no facts {sorted(self._facts)}")
