"""How much a request may ask for: time, cores, memory, each within its service's limit.

A ``ValueError`` of these has a clause that says what is wrong, with the sender's words in it.
"""

import re
from datetime import timedelta

from mailgate.said import counted
from mailgate.said import duration as said_duration
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
        message = f'"{value}" is no duration'
        raise ValueError(message) from None
    if found < timedelta(seconds=1):
        raise ValueError("it is under a second")
    return found


def work(value: str, service: Service) -> timedelta:
    """Read how long the work may take."""
    return _within(span(value), service.limits.work or LONGEST)


def keep(value: str, service: Service) -> timedelta:
    """Read how long the results are kept."""
    return _within(span(value), service.limits.keep_max)


def _within(found: timedelta, most: timedelta) -> timedelta:
    if found > most:
        limit = said_duration(most)
        message = f"{said_duration(found)} is over the service's limit of {limit}"
        raise ValueError(message)
    return found


def cores(value: str, service: Service) -> int:
    """Read how many cores the job gets."""
    words = re.sub(r"\s*cores?\Z", "", value[:_HEAD], flags=re.IGNORECASE)
    if not re.fullmatch(r"[0-9]{1,9}", words) or not int(words):
        message = f'"{value}" is no number of cores'
        raise ValueError(message)
    found, most = int(words), service.limits.most_cores
    if found > most:
        message = f"{counted(found, 'core')} is over the service's limit of {most:,}"
        raise ValueError(message)
    return found


def memory(value: str, service: Service) -> int:
    """Read how many bytes of memory the job gets."""
    words, most = _LETTER.sub(r"\1\2iB", value[:_HEAD].strip()), service.limits.most_memory
    try:
        found = units.size("" if words.isdigit() else words)
    except ValueError:
        message = f'"{value}" is no size'
        raise ValueError(message) from None
    if most is None:
        raise ValueError("how much memory its jobs get cannot be asked for")
    if found < _LEAST_MEMORY:
        raise ValueError("it is under 1 MiB")
    if found > most:
        limit = sendable_size(most)
        message = f"{units.said_size(found)} is over the service's limit of {limit}"
        raise ValueError(message)
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


def expected(name: str, service: Service) -> str:
    """Return what the key takes, as a noun phrase; "" where there is nothing to be asked for."""
    limits, such = service.limits, sample(name, service)
    match name:
        case "cores":
            most = limits.most_cores
            return f"a whole number from 1 to {most}" if most > 1 else ""
        case "memory":
            size = f'a size such as "{such}", at most {such}'
            return size if limits.most_memory else ""
        case _:
            most_time = limits.keep_max if name == "keep" else limits.work or LONGEST
            return f'a duration such as "{such}", at most {said_duration(most_time)}'
