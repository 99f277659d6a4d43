"""The SMTP door: for relays, and behind TLS for users who log in."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol

from mailgate import log
from mailgate.errors import BadConfig
from mailgate.receive.door import Door
from mailgate.receive.login import Logins
from mailgate.receive.terms import Desk, Terms
from mailgate.users import Users


class Listen(Protocol):
    """The door's part of the configuration; ``port`` 0 is any free one, ``max_size`` in bytes."""

    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int: ...  # noqa: D102
    @property
    def max_size(self) -> int: ...  # noqa: D102
    @property
    def tls_cert(self) -> Path | None: ...  # noqa: D102
    @property
    def tls_key(self) -> Path | None: ...  # noqa: D102
    @property
    def port_tls(self) -> int | None: ...  # noqa: D102
    @property
    def users(self) -> Path | None: ...  # noqa: D102


class SmtpDoor(Door):
    """Mail over SMTP, from address and port to the desk, in the event loop that starts it.

    Parameters
    ----------
    desk
        Decides on recipients and takes the bytes.
    listen
        [listen.smtp]. EHLO announces its ``max_size``.
    hostname
        What this machine calls itself in the greeting.
    trusted, max_sessions
        As `Door` has them.
    idle
        How long a client may be silent (RFC 5321, 4.5.3.2.7: at least 5 minutes).
    max_recipients
        Beyond them a client hears 452.
    handshake
        How long a client has for TLS to be there.

    Attributes
    ----------
    port, port_tls
        Where it listens once started; None where it does not.

    Raises
    ------
    BadConfig
        The certificate, its key or the users cannot be used.
    """

    def __init__(
        self,
        desk: Desk,
        listen: Listen,
        hostname: str,
        *,
        trusted: Sequence[IPv4Network | IPv6Network] = (),
        idle: timedelta = timedelta(minutes=5),
        max_sessions: int = 200,
        max_recipients: int = 100,
        handshake: timedelta = timedelta(seconds=15),
    ) -> None:
        self._listen = listen
        self._logins = Logins(Users.read(listen.users)) if listen.users else None
        terms = Terms(
            desk=desk,
            hostname=hostname,
            max_size=listen.max_size,
            idle=idle,
            max_recipients=max_recipients,
            tls=_context(listen),
            handshake=handshake,
            logins=self._logins,
        )
        super().__init__(terms, trusted=trusted, max_sessions=max_sessions)
        self.port: int | None = None
        self.port_tls: int | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError where the address cannot be had."""
        listen = self._listen
        self.port = await self.listen(listen.host, listen.port)
        if listen.port_tls is not None:
            self.port_tls = await self.listen(listen.host, listen.port_tls, tls_first=True)
        return self.port

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Stop listening; messages under way may end within ``grace``, other clients hear 421."""
        await super().stop(grace)
        if self._logins is not None:
            self._logins.close()

    def reload(self) -> None:
        """Read certificate and users again, for new sessions and logins.

        Where one cannot be used the old one stays, and the log says so; the other counts.
        """
        wrong = [
            reason for reason in map(_reason, (self._read_users, self._read_certificate)) if reason
        ]
        for reason in wrong:
            log.event("failed", what="reload", door=self.terms.door, reason=reason)
        if not wrong:
            log.event("reloaded", door=self.terms.door)

    def _read_certificate(self) -> None:
        self.terms = replace(self.terms, tls=_context(self._listen))

    def _read_users(self) -> None:
        if self._logins is not None and self._listen.users is not None:
            self._logins.users = Users.read(self._listen.users)


def _reason(reading: Callable[[], None]) -> str:
    """Read something, and return why it cannot be used; "" where it can."""
    try:
        reading()
    except BadConfig as error:
        return str(error)
    return ""


def context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return what a TLS handshake needs: TLS 1.2 or newer.

    Raises
    ------
    BadConfig
        The two cannot be used; the sentence names them.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Asked for a passphrase, OpenSSL would wait for somebody at the terminal.
        made.load_cert_chain(cert, key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"the certificate {cert} and the key {key} cannot be used: {reason}"
        raise BadConfig(message) from error
    return made


def _no_passphrase() -> str:
    raise ValueError("the key is locked by a passphrase: take it off (openssl pkey)")


def _context(listen: Listen) -> ssl.SSLContext | None:
    if listen.tls_cert is None or listen.tls_key is None:
        return None
    return context(listen.tls_cert, listen.tls_key)
