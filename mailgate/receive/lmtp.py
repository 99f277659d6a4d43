"""The LMTP door (RFC 2033): mail from a server of the site, one answer a recipient."""

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol

from mailgate.receive.door import Door
from mailgate.receive.terms import Desk, Terms

# Whoever may write to the socket may hand over mail: the gateway's user and group, nobody else.
_MODE = 0o660


class Listen(Protocol):
    """The door's part of the configuration; ``socket`` is instead of ``host`` and ``port``."""

    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int: ...  # noqa: D102
    @property
    def socket(self) -> Path | None: ...  # noqa: D102
    @property
    def max_size(self) -> int: ...  # noqa: D102


class LmtpDoor(Door):
    """Mail over LMTP, from a port or a unix socket to the desk, in the event loop that starts it.

    Its clients count as relays of the site: none is sent away for what it passes on. The parameters
    are `SmtpDoor`'s.
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
    ) -> None:
        self._listen = listen
        self._file: tuple[Path, int] | None = None
        terms = Terms(
            desk=desk,
            hostname=hostname,
            max_size=listen.max_size,
            idle=idle,
            max_recipients=max_recipients,
            lmtp=True,
        )
        super().__init__(terms, trusted=trusted, max_sessions=max_sessions)

    async def start(self) -> int | None:
        """Listen, and return the port, if it is one. Raises OSError where that cannot be."""
        file = self._listen.socket
        if file is None:
            return await self.listen(self._listen.host, self._listen.port)
        self.admit_from(_bound(file))
        self._file = file, file.stat().st_ino
        return None

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Stop listening; messages under way may end within ``grace``, other clients hear 421."""
        if self._file is not None:
            file, inode = self._file
            # Another gateway's socket may be there by now.
            with suppress(OSError):
                if file.stat().st_ino == inode:
                    file.unlink()
        await super().stop(grace)


def _bound(file: Path) -> socket.socket:
    """Return a socket bound to ``file``, which replaces one that nobody listens at.

    Raises
    ------
    OSError
        Somebody does, or something else has that name, or it cannot be made.
    """
    _remove_stale(file)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The file gets the socket's own mode (Linux): nobody comes in before the right one is set.
        os.fchmod(made.fileno(), 0o600)
        made.bind(str(file))
        file.chmod(_MODE)
    except BaseException:
        made.close()
        raise
    return made


def _remove_stale(file: Path) -> None:
    if not file.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if (came := probe.connect_ex(str(file))) != errno.ECONNREFUSED:
            raise OSError(came or errno.EADDRINUSE, os.strerror(came or errno.EADDRINUSE))
    file.unlink()
