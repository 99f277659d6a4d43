"""An address of ours, and what is decided about a message at the door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mailgate.errors import MailgateError
from mailgate.model import Identity
from mailgate.spool.mail import Room
from mailgate.spool.tables import Errand


class Purpose(StrEnum):
    """What an address of ours is for."""

    SERVICE = "service"
    COMMANDS = "commands"
    POSTMASTER = "postmaster"
    BOUNCE = "bounce"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address of ours.

    ``name`` is the service's; ``bounce.TAG``, with the letter that came back; a token; of commands
    ``jobs``, or ``job.ID.KEY`` for a job's reply address.
    """

    purpose: Purpose
    name: str
    letter: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A message is taken: on whose behalf, to what end, and whether it waits for the operator.

    ``by`` says what vouches for the identity, ``counted`` which quotas count its bytes. Where it is
    not ``kept``, only that it came is.
    ``refused``: recipients, as the client wrote them, that do not get it, which the door tells.
    ``room`` is set where nothing vouches for it: what mail that waits for a confirmation may take.
    """

    identity: Identity | None
    errands: Sequence[tuple[Errand, str]]
    letters: Sequence[int]
    held: str | None
    by: str = ""
    counted: tuple[str, ...] = ()
    kept: bool = True
    room: Room | None = None
    refused: Mapping[str, MailgateError] = field(default_factory=dict)
