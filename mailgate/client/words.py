"""How accat shows what strangers wrote: names, sizes, times."""


def shown(text: str) -> str:
    """Return ``text`` fit for a terminal: control characters and lone surrogates as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in text[:_LONGEST])


def size(count: int) -> str:
    """Return a size as a person says it: ``182 KiB``, ``1.3 MiB``, ``12 bytes``."""
    if count < 1024:
        return "1 byte" if count == 1 else f"{count} bytes"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1000:
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def moment(iso: str) -> str:
    """Return an ISO 8601 time as ``5 December 2026, 14:00 UTC``; as it stands if it is none."""
    from datetime import UTC, datetime  # noqa: PLC0415 - only messages need it; start-up

    try:
        when = datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, OverflowError):
        return shown(iso)
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}, {when:%H:%M} UTC"


def instant(iso: str, date: str) -> float:
    """Return a time in seconds since 1970, from ISO 8601, else RFC 5322; -inf if neither is one."""
    from datetime import UTC, datetime  # noqa: PLC0415 - as above
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - as above

    for read, text in ((datetime.fromisoformat, iso), (parsedate_to_datetime, date)):
        try:
            when = read(text)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return float("-inf")


_LONGEST = 500
"""Characters of one name that a message shows."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
