"""Sizes, times and counts as a person says them, in the tongue of the place: ``units.toml``.

The shipped tongue is English, whatever the machine's locale; a gateway's own is in its folder of
templates, and counts where that gateway speaks (``in_tongue``).
"""

import gettext
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from mailgate import share

FILE = "units.toml"

_SPANS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))

# The numbers that Linux gives them: the job may have run on another machine than ours.
_SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL",
    10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ",
    31: "SYS",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """What ``units.toml`` says. ``form`` tells which form of a word stands with a number."""

    form: Callable[[int], int]
    decimal: str
    thousands: str
    months: Sequence[str]
    moment: str
    spans: Mapping[str, Sequence[str]]
    instant: str
    byte: Sequence[str]
    sizes: Sequence[str]
    percent: str
    signal: str
    signal_named: str


def tongue(folder: Path | None) -> Tongue:
    """Return the tongue of a folder of words, the shipped one where it has none or a broken one."""
    own = folder / FILE if folder is not None else None
    if own is not None and own.is_file():
        try:
            return _read(own)
        except _UNREADABLE:
            pass
    return _shipped()


def faults(folder: Path) -> list[str]:
    """Return what is wrong with a folder's ``units.toml``, if it has one."""
    own = folder / FILE
    try:
        if own.is_file():
            _read(own)
    except _UNREADABLE as error:
        missing = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        return [f"{own}:1: {missing}; expected what the shipped one has"]
    return []


@contextmanager
def in_tongue(tongue: Tongue) -> Iterator[None]:
    """Have all that is said in this block, in this thread or task, said in ``tongue``."""
    before = _TONGUE.set(tongue)
    try:
        yield
    finally:
        _TONGUE.reset(before)


# --- saying ---------------------------------------------------------------------------------------


def size(count: int) -> str:
    """Say ``count`` bytes: ``0 bytes``, ``1.3 KiB``, ``182 KiB``, ``75 MiB``."""
    now = _now()
    if count < 1024:
        return f"{number(count)} {_form(now, count, now.byte)}"
    amount, unit = count / 1024, 0
    # 1023.5 KiB would be said as "1024 KiB".
    while amount >= 1023.5 and unit < len(now.sizes) - 1:
        amount, unit = amount / 1024, unit + 1
    # 9.95 would be said as "10.0".
    return f"{_tenths(amount) if amount < 9.95 else number(round(amount))} {now.sizes[unit]}"


def duration(span: timedelta) -> str:
    """Say ``span`` in its two largest units: ``4 minutes 12 seconds``, ``1 hour``, ``14 days``.

    A span under a second, or below zero (the clock was set back), is ``less than 1 second``.
    """
    now, left = _now(), int(span.total_seconds())
    if left < 1:
        return now.instant
    parts: list[str] = []
    for word, seconds in _SPANS:
        count, left = divmod(left, seconds)
        if count or parts:
            said = f"{number(count)} {_form(now, count, now.spans[word])}"
            parts.append(said if count else "")
    return " ".join(part for part in parts[:2] if part)


def sendable(span: timedelta) -> str:
    """Write ``span`` as a request may say it, exact to the second: ``2h``, ``90m``, ``14d``."""
    seconds = int(span.total_seconds())
    for letter, unit in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"


def moment(at: datetime) -> str:
    """Say when, to the minute begun: ``5 December 2026, 14:00 UTC``.

    Raises
    ------
    ValueError
        ``at`` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"a time without its zone: {at.isoformat()}")
    now, utc = _now(), at.astimezone(UTC)
    return now.moment.format(
        day=utc.day,
        month=now.months[utc.month - 1],
        year=utc.year,
        hour=f"{utc.hour:02}",
        minute=f"{utc.minute:02}",
    )


def number(count: int) -> str:
    """Say a whole number: ``10,000``."""
    return f"{count:,}".replace(",", _now().thousands)


def counted(count: int, one: str, *more: str) -> str:
    """Say how many: ``1 line``, ``3 lines``, ``10,000 lines``.

    ``one`` and ``more`` are the word's forms, in the tongue's order; without ``more`` an s is added
    to the second.
    """
    return f"{number(count)} {_form(_now(), count, (one, *(more or (one + 's',))))}"


def percent(amount: float) -> str:
    """Say a share: ``62 %``, ``99.5 %``; never more digits than one after the point."""
    return _now().percent.format(amount=_tenths(amount))


def signal(number: int) -> str:
    """Name a signal as Linux does: ``signal 11 (SIGSEGV)``, or its number alone."""
    name = _SIGNALS.get(number)
    if name is None:
        return _now().signal.format(number=number)
    return _now().signal_named.format(number=number, name=name)


def _tenths(amount: float) -> str:
    return f"{amount:.1f}".removesuffix(".0").replace(".", _now().decimal)


def _form(now: Tongue, count: int, forms: Sequence[str]) -> str:
    return forms[min(now.form(count), len(forms) - 1)]


# --- tongues --------------------------------------------------------------------------------------

_TONGUE: ContextVar[Tongue | None] = ContextVar("tongue", default=None)
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def _now() -> Tongue:
    return _TONGUE.get() or _shipped()


@cache
def _shipped() -> Tongue:
    return _read(share.path("templates", "words", FILE))


def _read(file: Path) -> Tongue:
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    other, spans = found["other"], found["duration"]
    made = Tongue(
        form=gettext.c2py(found["plural"]),
        decimal=found["decimal"],
        thousands=found["thousands"],
        months=tuple(found["months"]),
        moment=found["moment"],
        spans={word: tuple(spans[word]) for word, _ in _SPANS},
        instant=spans["instant"],
        byte=tuple(found["size"]["byte"]),
        sizes=tuple(found["size"]["units"]),
        percent=other["percent"],
        signal=other["signal"],
        signal_named=other["signal_named"],
    )
    _try(made)
    return made


def _try(made: Tongue) -> None:
    """Say one of each, so that what cannot be said is found when it is read."""
    with in_tongue(made):
        for month in range(1, 13):
            moment(datetime(2026, month, 1, tzinfo=UTC))
        for count in range(200):
            size(count)
            counted(count, "")
        for span in (0, 1, 62, 3660, 90000):
            duration(timedelta(seconds=span))
        size(2**40)
        percent(99.5)
        signal(9)
        signal(63)
