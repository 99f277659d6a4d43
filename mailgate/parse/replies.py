"""How a result is wanted: the words after ``reply:``, and after the command ``results``."""

import re

from mailgate.log import escaped as printable
from mailgate.model import Reply
from mailgate.model.parcel import LEAST
from mailgate.parse.unfit import UnfitValueError
from mailgate.saying import Saying
from mailgate.settings.kinds import nearest
from mailgate.settings.units import size

WORDS = (Reply.BRIEF, Reply.INLINE, Reply.ATTACH, "parts=300KiB", Reply.FULL)
"""What is expected."""

_PARTS = re.compile(r"(?:in\s+)?parts?\s*(?:=|:|of|\s)\s*(.{1,30})", re.IGNORECASE)
_LINKS = frozenset({"link", "links", "url"})
_LONGEST = 60


class UnknownKindError(UnfitValueError):
    """The words are no kind of reply at all: they may be the name of an output."""


def reply_kind(words: str) -> tuple[Reply, int | None]:
    """Read ``brief``, ``inline``, ``attach``, ``full`` or ``parts=300KiB``, and a part's bytes.

    Raises
    ------
    UnfitValueError
        It is none of them. An UnknownKindError where it is
        not even meant as one.
    """
    plain = " ".join(words[:_LONGEST].lower().split())
    if parts := _PARTS.fullmatch(plain):
        return Reply.PARTS, _part(parts[1])
    if plain in _LINKS:
        raise UnfitValueError("replies/no-link")
    if plain == Reply.PARTS:
        raise UnfitValueError("replies/no-part-size")
    if plain not in set(Reply):
        meant = nearest(plain, [str(word) for word in WORDS])
        raise UnknownKindError("replies/no-kind", given=printable(plain), meant=meant)
    return Reply(plain), None


def expected() -> Saying:
    """Return the kinds of reply, as a clause names them."""
    return Saying("replies/expected", words=tuple(map(str, WORDS)))


def _part(words: str) -> int:
    try:
        found = size(words)
    except ValueError:
        raise UnfitValueError("replies/no-size", given=printable(words)) from None
    if found < LEAST:
        raise UnfitValueError("replies/least", size=LEAST)
    return min(found, 1 << 40)
