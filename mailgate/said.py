"""Sizes, times and counts as a person says them: English, whatever the machine's locale."""

from datetime import UTC, datetime, timedelta

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_SIZES = ("KiB", "MiB", "GiB", "TiB")
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))

# The numbers that Linux gives them: the job may have run on another machine than ours.
_SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL",
    10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ",
    31: "SYS",
}  # fmt: skip


def size(count: int) -> str:
    """Say ``count`` bytes: ``0 bytes``, ``1.3 KiB``, ``182 KiB``, ``75 MiB``."""
    if count < 1024:
        return counted(count, "byte")
    amount, unit = count / 1024, 0
    # 1023.5 KiB would be said as "1024 KiB".
    while amount >= 1023.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    # 9.95 would be said as "10.0".
    said = f"{amount:.1f}".removesuffix(".0") if amount < 9.95 else f"{amount:,.0f}"
    return f"{said} {_SIZES[unit]}"


def duration(span: timedelta) -> str:
    """Say ``span`` in its two largest units: ``4 minutes 12 seconds``, ``1 hour``, ``14 days``.

    A span under a second, or below zero (the clock was set back), is ``less than 1 second``.
    """
    left = int(span.total_seconds())
    if left < 1:
        return "less than 1 second"
    parts: list[str] = []
    for word, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count or parts:
            parts.append(counted(count, word) if count else "")
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
    utc = at.astimezone(UTC)
    return f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M} UTC"


def counted(count: int, one: str, many: str = "") -> str:
    """Say how many: ``1 line``, ``3 lines``, ``10,000 lines``; ``many`` where no s is added."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent(amount: float) -> str:
    """Say a share: ``62 %``, ``99.5 %``; never more digits than one after the point."""
    return f"{amount:.1f}".removesuffix(".0") + " %"


def signal(number: int) -> str:
    """Name a signal as Linux does: ``signal 11 (SIGSEGV)``, or its number alone."""
    name = _SIGNALS.get(number)
    return f"signal {number} (SIG{name})" if name else f"signal {number}"
