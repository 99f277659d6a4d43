"""How a result is wanted: the words after ``reply:``, and after the command ``results``."""

import re

from mailgate.model import Reply
from mailgate.model.parcel import LEAST
from mailgate.settings.kinds import did_you_mean, one_of
from mailgate.settings.units import size

WORDS = (Reply.BRIEF, Reply.INLINE, Reply.ATTACH, "parts=300KiB", Reply.FULL)
"""What is expected."""

_PARTS = re.compile(r"(?:in\s+)?parts?\s*(?:=|:|of|\s)\s*(.{1,30})", re.IGNORECASE)
_LINKS = frozenset({"link", "links", "url"})
_LONGEST = 60


class UnknownKindError(ValueError):
    """The words are no kind of reply at all: they may be the name of an output."""


def reply_kind(words: str) -> tuple[Reply, int | None]:
    """Read ``brief``, ``inline``, ``attach``, ``full`` or ``parts=300KiB``, and a part's bytes.

    Raises
    ------
    ValueError
        It is none of them; its text is a clause that says why. An UnknownKindError where it is
        not even meant as one.
    """
    plain = " ".join(words[:_LONGEST].lower().split())
    if parts := _PARTS.fullmatch(plain):
        return Reply.PARTS, _part(parts[1])
    if plain in _LINKS:
        raise ValueError("results cannot be fetched by a link here")
    if plain == Reply.PARTS:
        raise ValueError('"parts" needs a size, as in "parts=300KiB"')
    if plain not in set(Reply):
        near = did_you_mean(plain, [str(word) for word in WORDS])
        raise UnknownKindError(f'"{plain}" is no kind of reply{near}')
    return Reply(plain), None


def expected() -> str:
    """Return the kinds of reply, as a clause names them."""
    return one_of(WORDS)


def _part(words: str) -> int:
    try:
        found = size(words)
    except ValueError:
        message = f'"{words}" is no size such as "300KiB"'
        raise ValueError(message) from None
    if found < LEAST:
        message = f"a part has at least {LEAST >> 10} KiB"
        raise ValueError(message)
    return min(found, 1 << 40)
