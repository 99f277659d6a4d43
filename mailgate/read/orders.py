"""What daemon and reading process say to each other.

The reading process is ours and runs no word of a mail; what it sends back are the model's values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mailgate.parse.commands import Grammar
from mailgate.services import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a reading process needs to know once: ``memory`` in bytes, ``time_limit`` in seconds."""

    services: Mapping[str, Service]
    grammar: Grammar
    staged: str
    memory: int
    time_limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Read this mail for these services: its bytes, or where they lie.

    ``commands``: it may hold commands, and, at the gateway's ``own`` address, a request to any
    service. ``released``: the operator wants it acted on, whatever it looks like. ``returned``: it
    only came back for a letter of ours.
    """

    message: int
    body: bytes | None
    path: str | None
    services: tuple[str, ...]
    released: bool
    commands: bool = False
    own: bool = False
    returned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """The mail cannot be read; the operator should look at it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """The mail cannot be read now: the spool's disk is full or broken."""

    reason: str
