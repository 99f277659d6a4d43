"""Durations and sizes as people write them, and back."""

import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "wk", "week", "weeks"),
}
_UNIT_OF = {word: unit for unit, words in _UNIT_WORDS.items() for word in words}
# Twelve digits are 31,000 years in seconds: what is longer is a slip, not a duration.
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-z]+)\s*", re.ASCII)

_BYTES: dict[str, int] = {
    "b": 1,
    **{f"{letter}b": 10 ** (3 * power) for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1 << (10 * power) for power, letter in enumerate("kmgt", 1)},
}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)\s*([a-z]*)", re.ASCII)


# What word processors and phones make of a blank, and of the hyphen of a date or a minus.
_TYPED = {
    **dict.fromkeys([0xA0, 0x202F, 0x205F, 0x3000, *range(0x2000, 0x200B)], " "),
    **dict.fromkeys([0x2212, 0xFE58, 0xFE63, 0xFF0D, *range(0x2010, 0x2016)], "-"),
}


def typed(words: str) -> str:
    """Return a number, a date or an amount with blanks and dashes as keyboards have them."""
    return words.translate(_TYPED)


def duration(words: str) -> timedelta:
    """Read ``15m``, ``90 s``, ``1.5 h``, ``2 days`` or ``1h 30m``; a bare number has no meaning.

    Raises
    ------
    ValueError
        It is no such thing, or longer than a ``timedelta`` holds.
    """
    text = typed(words).strip().lower()
    seconds, at = 0.0, 0
    while part := _PART.match(text, at):
        unit = _UNIT_OF.get(part[2])
        if unit is None:
            break
        seconds += float(part[1]) * _SECONDS[unit]
        at = part.end()
    if not text or at < len(text):
        raise ValueError(words)
    try:
        return timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(words) from error


def size(words: str) -> int:
    """Read ``20 MiB``, ``25 MB`` or ``512`` (bytes); the answer is in bytes.

    ``k``, ``M``, ``G`` and ``T`` with ``B`` are powers of 1000, with ``iB`` powers of 1024; case
    does not matter.

    Raises
    ------
    ValueError
        It is no such thing.
    """
    found = _SIZE.fullmatch(typed(words).strip().lower())
    if not found or (found[2] and found[2] not in _BYTES):
        raise ValueError(words)
    if "." in found[1]:
        return int(float(found[1]) * _BYTES[found[2] or "b"])
    return int(found[1]) * _BYTES[found[2] or "b"]


def said_duration(span: timedelta) -> str:
    """Say a duration in its two largest units, as it can be written: ``1 h 30 min``, ``14 d``."""
    left = round(span.total_seconds())
    if left < 1:
        return "0 s"
    parts: list[str] = []
    for word, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count} {word}")
    return " ".join(parts[:2])


def sendable_size(count: int) -> str:
    """Write a size of a MiB or more as a request may say it, never more than it is: ``4 GiB``."""
    for unit, power in (("TiB", 40), ("GiB", 30)):
        if count % (1 << power) == 0:
            return f"{count >> power} {unit}"
    return f"{count >> 20} MiB"


def said_size(count: int) -> str:
    """Say a size with a binary unit and at most one decimal: ``58 KiB``, ``1.3 MiB``, ``17 B``."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        # 1023.95 would be said as "1024.0".
        if amount < 1023.95:
            break
        amount, unit = amount / 1024, larger
    said = f"{amount:.1f}" if amount < 10 and unit != "B" else f"{amount:.0f}"
    return f"{said.removesuffix('.0')} {unit}"
