"""What goes along: which streams one letter of a given size can carry. Pure."""

from collections.abc import Sequence

from mailgate.errors import Transient
from mailgate.model import Reply, Stream
from mailgate.saying import Words

PART_HEAD = 1024
"""No part's boundary and header take more bytes: names have 120 bytes, and thrice that encoded."""

MOST = 200
"""More attachments than this make mail programs crawl; the rest is kept."""

LINE = 57
"""Bytes that make one base64 line of 76 characters."""


class Changed(Transient):
    """A stream is not what was recorded when its job ended: the outputs must be collected again.

    ``stream`` is its name and ``why`` says, in a few words, what it is now.
    """

    def __init__(self, public: Words, *, stream: str, why: Words, detail: str = "") -> None:
        super().__init__(public, detail=detail)
        self.stream = stream
        self.why = why


class Overfull(Exception):
    """One letter cannot carry what it should as it is."""


INLINE = 64 << 10
"""Bytes of standard output that may stand in a letter as text; more is no pleasure to scroll."""


def choose(
    streams: Sequence[Stream], limit: int, reply: Reply, only: Sequence[str] = ()
) -> tuple[bool, ...]:
    """Tell for each stream, in order, whether it is attached.

    Each one takes its place if it still fits into the ``limit`` bytes that the streams may take
    together, headers and encoding included; what does not fit is passed over, and a smaller one
    after it may still go along. A brief reply takes none; ``only`` names all that may go along.
    """
    if reply is Reply.BRIEF:
        return (False,) * len(streams)
    left, chosen = limit, 0
    fates: list[bool] = []
    for stream in streams:
        asked = not only or stream.name in only
        fits = asked and chosen < MOST and part_size(stream.size) <= left
        fates.append(fits)
        if fits:
            chosen += 1
            left -= part_size(stream.size)
    return tuple(fates)


def part_size(size: int) -> int:
    """Return the most bytes that an attachment of ``size`` bytes takes in a letter."""
    return PART_HEAD + encoded_size(size)


def encoded_size(size: int) -> int:
    """Return the bytes that ``size`` bytes take as base64 lines, each with its CRLF."""
    characters = (size + 2) // 3 * 4
    lines = -(-size // LINE)
    return characters + 2 * lines
