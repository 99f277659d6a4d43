"""A letter still to be written: which one, to whom, and the facts that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailgate.model import Job, LetterKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Everything that the bytes of a letter depend on: the same draft gives the same bytes.

    ``gateway`` and ``recipient`` are bare addresses, ``reply_to`` too; ``message_id`` has its angle
    brackets. ``in_reply_to`` is the request's Message-ID and ``references`` its References as they
    came: a stranger's words, of which only well-formed ids are used. ``date`` is the letter's own,
    ``now`` what its sentences count from; both aware. ``limit`` is the most bytes that the whole
    letter may have.

    ``job`` is set for RESULT, RECEIPT, STARTED and PROGRESS, and None for all others, which answer
    a message. ``facts`` by kind, the optional ones in brackets; answers may have ``others``, a
    tuple of (kind, facts), where a message to several services causes more than one:

    ========= ====================================================================================
    RESULT    [``work_limit_max``: timedelta, the longest work limit that a request may ask for]
    UNCLEAR   ``unclear``: Unclear
    DRY_RUN   ``request``: Request, ``argv``: tuple[str, ...] [``work_limit``, ``keep``: timedelta]
    REFUSED   ``service``: str, ``sentence``: str
    DUPLICATE ``of``: str, the Message-ID; ``job``: JobId or None
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
