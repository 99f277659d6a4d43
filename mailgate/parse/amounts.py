"""How much a request may ask for: time, cores, memory, each within its service's limit.

All raise ``UnfitValueError`` for what is no such value, or over the limit.
"""

import re
from datetime import timedelta

from mailgate.parse.unfit import UnfitValueError, shown
from mailgate.said import duration as said_duration
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings import units
from mailgate.settings.units import sendable_size

LONGEST = timedelta(days=3650)
"""What is asked for is added to a date; no computer or address lives as long."""

# So much of a value is looked at.
_HEAD = 120
_LEAST_MEMORY = 1 << 20
# As schedulers write sizes: their "16G" are GiB.
_LETTER = re.compile(r"([0-9.]+)\s*([kmgt])\Z", re.IGNORECASE)


def span(value: str) -> timedelta:
    """Read a time of a second or more."""
    try:
        found = units.duration(value[:_HEAD])
    except ValueError:
        raise UnfitValueError("keys/no-duration", given=shown(value)) from None
    if found < timedelta(seconds=1):
        raise UnfitValueError("keys/under-a-second")
    return found


def interval(value: str) -> timedelta:
    """Read how often something comes, by the words after "every": ``7 days``, or ``week``."""
    try:
        return span(f"1 {value}" if value[:1].isalpha() else value)
    except ValueError:
        return span(value)


def work(value: str, service: Service) -> timedelta:
    """Read how long the work may take."""
    return _within(span(value), service.limits.work or LONGEST)


def keep(value: str, service: Service) -> timedelta:
    """Read how long the results are kept."""
    return _within(span(value), service.limits.keep_max)


def _within(found: timedelta, most: timedelta) -> timedelta:
    if found > most:
        raise UnfitValueError("keys/over-limit", span=found, most=most)
    return found


def cores(value: str, service: Service) -> int:
    """Read how many cores the job gets."""
    words = re.sub(r"\s*cores?\Z", "", value[:_HEAD], flags=re.IGNORECASE)
    if not re.fullmatch(r"[0-9]{1,9}", words) or not int(words):
        raise UnfitValueError("keys/no-cores", given=shown(value))
    found, most = int(words), service.limits.most_cores
    if found > most:
        raise UnfitValueError("keys/many-cores", count=found, most=most)
    return found


def memory(value: str, service: Service) -> int:
    """Read how many bytes of memory the job gets."""
    most = service.limits.most_memory
    if most is None:
        raise UnfitValueError("keys/no-memory")
    words = _LETTER.sub(r"\1\2iB", value[:_HEAD].strip())
    try:
        found = units.size("" if words.isdigit() else words)
    except ValueError:
        raise UnfitValueError("keys/no-size", given=shown(value)) from None
    if found < _LEAST_MEMORY:
        raise UnfitValueError("keys/under-a-mebibyte")
    if found > most:
        limit = sendable_size(most)
        raise UnfitValueError("keys/much-memory", given=units.said_size(found), most=limit)
    return found


# --- what would do --------------------------------------------------------------------------------


def sample(name: str, service: Service) -> str:
    """Return a value that the key ``name``, one of the amounts, takes."""
    match name:
        case "keep":
            return said_duration(min(timedelta(days=30), service.limits.keep_max))
        case "cores":
            return str(service.limits.most_cores)
        case "memory":
            return sendable_size(service.limits.most_memory or _LEAST_MEMORY)
        case _:
            return said_duration(min(timedelta(minutes=30), service.limits.work or LONGEST))


def expected(name: str, service: Service) -> Saying | None:
    """Return what the key takes, as a noun phrase; None where there is nothing to be asked for."""
    limits, such = service.limits, sample(name, service)
    match name:
        case "cores":
            most = limits.most_cores
            return Saying("parameters/integer", least=1, most=most) if most > 1 else None
        case "memory":
            return Saying("keys/expected-size", most=such) if limits.most_memory else None
        case _:
            most_time = limits.keep_max if name == "keep" else limits.work or LONGEST
            return Saying("keys/expected-span", some=such, most=most_time)
