"""Who: an identity, and what the session said of one."""

from dataclasses import dataclass
from enum import StrEnum

from mailgate.saying import Saying


class How(StrEnum):
    """How an identity is known, weakest first; CLAIMED is what its mail says, and no more."""

    CLAIMED = "claimed"
    NETWORK = "network"
    AUTHENTICATION_RESULTS = "authentication-results"
    REPLY = "reply"
    CONFIRMED = "confirmed"
    SMTP_AUTH = "smtp-auth"

    @property
    def strength(self) -> int:
        """A greater number vouches better."""
        return list(How).index(self)

    @property
    def words(self) -> Saying:
        """What vouches for such a one, as a noun phrase: ``a login with a password``."""
        return _WORDS[self]


_WORDS = {
    How.CLAIMED: Saying("access/claimed"),
    How.NETWORK: Saying("access/network"),
    How.AUTHENTICATION_RESULTS: Saying("access/authentication-results"),
    How.REPLY: Saying("access/reply"),
    How.CONFIRMED: Saying("access/confirmed"),
    How.SMTP_AUTH: Saying("access/smtp-auth"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A bare address and how it is known.

    ``address`` has its local part as the sender wrote it, for answers; the domain is lower-cased.
    Who it is, whatever the spelling, is ``key``: identities are compared by that alone.
    """

    address: str
    how: How

    @property
    def key(self) -> str:
        """The address as it is compared and looked up."""
        return self.address.lower()

    @property
    def mailbox(self) -> str:
        """The same without its ``+tag``: at most sites one person has as many as he likes.

        A tag ends at the first ``@``, as in SQL (`mailbox` of spool/addresses.py).
        """
        local, _, domain = self.key.partition("@")
        return f"{local.partition('+')[0] or local}@{domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whoever logged in at a door, and the addresses whose From is theirs to write."""

    name: str
    addresses: tuple[str, ...]

    def owns(self, address: str) -> bool:
        """Whether mail from ``address`` is this user's own."""
        return address.lower() in {own.lower() for own in self.addresses}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A sender and what vouches for it, in words; where it is only CLAIMED, why nothing does."""

    identity: Identity
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the session said before the message itself.

    ``sender`` is the reverse path without angle brackets, ``""`` for the null one. ``recipients``
    are as the client wrote them. ``door`` is ``smtp``, ``lmtp``, ``imap`` or ``pipe``; ``peer`` the
    client's IP address as text, None where there is none. ``user`` has logged in, and may write as
    nobody else. ``trusted``: the operator lets this door vouch for any From. ``hop``: what stands
    behind the door is a hop of the site's own, whose Authentication-Results are believed, whoever
    the peer is (a mailbox is; for SMTP and LMTP the peer decides).
    """

    sender: str
    recipients: tuple[str, ...]
    door: str
    peer: str | None = None
    trusted: bool = False
    hop: bool = False
    user: User | None = None
