"""What a session needs of the house: a desk, and the terms on which to talk."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from mailgate import said
from mailgate.errors import MailgateError, TooBig
from mailgate.model import Envelope
from mailgate.users import Login


class Receipt(Protocol):
    """Proof that a message is durable."""

    @property
    def id(self) -> int:
        """The message's number in the spool."""
        ...

    @property
    def refused(self) -> Mapping[str, MailgateError]:
        """The recipients, as the client wrote them, that do not get it: for LMTP alone."""
        ...


class Sink(Protocol):
    """Where the desk wants one message written; ends with exactly one of commit and discard."""

    async def write(self, block: bytes) -> None:
        """Take the next bytes, CRLF as they came and dots undone. Raises Refusal or Transient."""
        ...

    async def commit(self) -> Receipt:
        """Make the message durable. Raises Refusal or Transient; then it is not taken."""
        ...

    async def discard(self) -> None:
        """Forget what was written."""
        ...


class Desk(Protocol):
    """Decides on recipients, and takes the bytes. It logs what it refuses."""

    async def recipient(self, envelope: Envelope, address: str) -> None:
        """Accept one more recipient. Raises Refusal or Transient."""
        ...

    async def open(self, envelope: Envelope) -> Sink:
        """Begin a message. Raises Refusal or Transient."""
        ...


class Logins(Protocol):
    """Knows who may log in."""

    async def check(self, name: str, password: str, peer: str | None) -> Login | None:
        """Return the user of that name and password; None takes as long. Raises TooManyError."""
        ...

    def holds(self, login: Login) -> bool:
        """Tell whether who has logged in could do so still, with the same rights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a door talks: ``max_size`` in bytes, ``idle`` how long a client may be silent.

    ``tls`` is offered by STARTTLS, or begins the connection (``tls_first``), and a client has so
    long for its ``handshake``. Who may log in does so behind it alone.
    """

    desk: Desk
    hostname: str
    max_size: int
    idle: timedelta
    max_recipients: int
    lmtp: bool = False
    tls: ssl.SSLContext | None = None
    tls_first: bool = False
    handshake: timedelta = timedelta(seconds=15)
    logins: Logins | None = None

    @property
    def door(self) -> str:
        """The door's name in envelopes and in the log."""
        return "lmtp" if self.lmtp else "smtp"


def too_big(limit: int) -> TooBig:
    """Return the refusal of a message over ``limit`` bytes (RFC 1870, 6.1)."""
    return TooBig(f"the message is over {said.size(limit)}, which is the most that is taken here")
