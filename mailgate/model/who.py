"""Who: an identity, and what the session said of one."""

from dataclasses import dataclass
from enum import StrEnum


class How(StrEnum):
    """How an identity is known, weakest first."""

    NETWORK = "network"

    @property
    def strength(self) -> int:
        """A greater number vouches better."""
        return list(How).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An address (bare, lower-cased) and how it is known."""

    address: str
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the session said before the message itself.

    ``sender`` is the reverse path without angle brackets, ``""`` for the null one. ``recipients``
    are as the client wrote them. ``door`` is ``smtp`` or ``pipe``; ``peer`` the client's IP address
    as text, None where there is none. ``trusted``: the operator lets this door vouch for any From.
    """

    sender: str
    recipients: tuple[str, ...]
    door: str
    peer: str | None = None
    trusted: bool = False
