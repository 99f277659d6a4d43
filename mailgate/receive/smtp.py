"""The SMTP door: it listens, and holds the sessions."""

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol

from mailgate import log
from mailgate.receive.session import Session
from mailgate.receive.terms import Desk, Terms

_Address = IPv4Address | IPv6Address

# A client whose network is not trusted may have this part of all sessions.
_SHARE = 4
# Clients that are let in before the sessions have a turn.
_AT_ONCE = 32
# Seconds until it is tried again where no more clients can be let in, and between two words of it.
_PAUSE = 1.0
_TELL = 60.0


class Listen(Protocol):
    """The door's part of the configuration; ``port`` 0 is any free one, ``max_size`` in bytes."""

    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int: ...  # noqa: D102
    @property
    def max_size(self) -> int: ...  # noqa: D102


class SmtpDoor:
    """Mail over SMTP, from address and port to the desk, in the event loop that starts it.

    Parameters
    ----------
    desk
        Decides on recipients and takes the bytes.
    listen
        [listen.smtp]. EHLO announces its ``max_size``.
    hostname
        What this machine calls itself in the greeting.
    trusted
        [trust] networks: a client there, or on this machine, may have all sessions, another one a
        quarter of them; and it is not sent away for what is refused of the mail that it passes on.
    idle
        How long a client may be silent (RFC 5321, 4.5.3.2.7: at least 5 minutes).
    max_sessions, max_recipients
        Beyond them a client hears 421, and 452.
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
        self._trusted = trusted
        self._max_sessions = max_sessions
        self._terms = Terms(
            desk=desk,
            hostname=hostname,
            max_size=listen.max_size,
            idle=idle,
            max_recipients=max_recipients,
        )
        self._sessions: set[Session] = set()
        self._clients: Counter[_Address | IPv6Network] = Counter()
        self._listeners: list[socket.socket] = []
        self._entering: set[asyncio.Task[None]] = set()
        self._told_at: float | None = None
        self._stopping = False

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        # asyncio finds and binds the addresses, and lets nobody in: where no more files can be
        # opened its server warns of that for every place in the backlog, again and again.
        bound = await loop.create_server(
            asyncio.Protocol, self._listen.host, self._listen.port, start_serving=False
        )
        self._listeners = [listener.dup() for listener in bound.sockets]
        bound.close()
        for listener in self._listeners:
            listener.settimeout(0)
            # As many as may talk: a burst of clients waits here, not in retransmissions.
            listener.listen(max(self._max_sessions, 100))
            loop.add_reader(listener, self._accept, listener)
        port: int = self._listeners[0].getsockname()[1]
        return port

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Stop listening; messages under way may end within ``grace``, other clients hear 421."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        await asyncio.gather(*self._entering)
        for session in tuple(self._sessions):
            session.leave()
        talks = [session.talk for session in self._sessions if session.talk]
        if talks:
            _, late = await asyncio.wait(talks, timeout=grace.total_seconds())
            for talk in late:
                talk.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- letting clients in -----------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listener, error)
                return
            entering = loop.create_task(self._enter(connection))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Let clients wait outside, where the kernel keeps them, for a while."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_PAUSE, self._go_on, listener)
        if self._told_at is None or loop.time() - self._told_at > _TELL:
            self._told_at = loop.time()
            sessions = len(self._sessions)
            log.event("delayed", what="accept", door="smtp", sessions=sessions, reason=str(error))

    def _go_on(self, listener: socket.socket) -> None:
        if not self._stopping:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def _enter(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        session = partial(Session, self._terms, loop, admit=self._admit, ended=self._left)
        try:
            connection.settimeout(0)
            await loop.connect_accepted_socket(session, connection)
        except OSError:
            # The client is gone already.
            connection.close()

    def _admit(self, session: Session) -> str | None:
        address = _address(session.peer)
        client = _client(address)
        if self._stopping:
            return "the gateway is shutting down"
        if len(self._sessions) >= self._max_sessions:
            return "too many sessions at once"
        session.near = self._is_near(address)
        share = max(self._max_sessions // _SHARE, 1)
        if not session.near and self._clients[client] >= share:
            return "too many sessions at once from your address"
        self._sessions.add(session)
        self._clients[client] += 1
        return None

    def _is_near(self, address: _Address) -> bool:
        return address.is_loopback or any(address in network for network in self._trusted)

    def _left(self, session: Session) -> None:
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        client = _client(_address(session.peer))
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]


def _address(peer: str | None) -> _Address:
    address = ip_address(peer or "::")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _client(address: _Address) -> _Address | IPv6Network:
    """Return what one client is told from another by: of IPv6 64 bits, which are one site's."""
    if isinstance(address, IPv6Address):
        return IPv6Network((int(address), 64), strict=False)
    return address
