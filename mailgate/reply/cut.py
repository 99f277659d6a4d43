"""Cut parcels into what single letters can carry. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Weigh = Callable[[int, int, int], int]
"""The bytes that parcel ``n``'s range [offset, offset + size) takes in a letter; grows with it."""

_LEAST = 8 << 10
"""Not worth a piece of its own at the end of a letter: what is smaller begins the next letter."""


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes [offset, offset + size) of the parcel of that number."""

    parcel: int
    offset: int
    size: int


def cut(
    sizes: Sequence[int], weigh: Weigh, *, first: int, room: int, most: int
) -> tuple[list[list[Range]], list[int]]:
    """Cut parcels of such ``sizes`` into at most ``most`` letters; return what each has.

    The first letter has ``first`` bytes for its pieces, each other one ``room``. Second comes which
    parcels do not fit, whole ones only: a smaller one after them still goes along.
    """
    letters: list[list[Range]] = [[]]
    left, over = first, []
    for parcel, size in enumerate(sizes):
        tried = _placed(parcel, size, weigh, left=left, room=room, letters=most - len(letters) + 1)
        if tried is None:
            over.append(parcel)
            continue
        ranges, left = tried
        letters[-1] += ranges[0]
        letters += ranges[1:]
    return letters, over


def _placed(
    parcel: int, size: int, weigh: Weigh, *, left: int, room: int, letters: int
) -> tuple[list[list[Range]], int] | None:
    """Cut one parcel, beginning in a letter that has ``left`` bytes; None if it does not fit."""
    found: list[list[Range]] = [[]]
    offset = 0
    while True:
        here = _fitting(parcel, offset, size - offset, weigh, left)
        weight = weigh(parcel, offset, here)
        whole = here == size - offset
        if weight <= left and (whole or here >= min(_LEAST, max(room // 4, 1))):
            found[-1].append(Range(parcel, offset, here))
            left -= weight
            offset += here
            if whole:
                return found, left
        if len(found) == letters or (not found[-1] and len(found) > 1):
            return None
        found.append([])
        left = room


def _fitting(parcel: int, offset: int, size: int, weigh: Weigh, left: int) -> int:
    """Return how many bytes from ``offset`` on fit into ``left``, at most ``size``."""
    if weigh(parcel, offset, size) <= left:
        return size
    fits, over = 0, size
    while over - fits > 1:
        middle = (fits + over) // 2
        if weigh(parcel, offset, middle) <= left:
            fits = middle
        else:
            over = middle
    return fits
