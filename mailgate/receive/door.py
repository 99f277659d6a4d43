"""What an SMTP and an LMTP door have in common: it listens, and holds the sessions."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from mailgate import log
from mailgate.receive.clients import Address, Client, address_of, client_of
from mailgate.receive.connection import Connection
from mailgate.receive.session import Session
from mailgate.receive.terms import Terms

# A client whose network is not trusted may have this part of all sessions.
_SHARE = 4
# Clients that are let in before the sessions have a turn.
_AT_ONCE = 32
# Seconds until it is tried again where no more clients can be let in, and between two words of it.
_PAUSE = 1.0
_TELL = 60.0


class _Listener(NamedTuple):
    socket: socket.socket
    tls_first: bool


class Door:
    """Sessions, from listening sockets to the desk, in the event loop that starts them.

    Parameters
    ----------
    terms
        What a session is told and may do. A new one counts for new sessions.
    trusted
        [trust] networks and hops: a client there, or on this machine, may have all sessions,
        another one a quarter of them; and it is not sent away for what is refused of the mail that
        it passes on.
    max_sessions
        Beyond them a client hears 421.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        trusted: Sequence[IPv4Network | IPv6Network] = (),
        max_sessions: int = 200,
    ) -> None:
        self.terms = terms
        self._trusted = trusted
        self._max_sessions = max_sessions
        self._sessions: set[Connection] = set()
        self._clients: Counter[Client] = Counter()
        self._listeners: list[_Listener] = []
        self._entering: set[asyncio.Task[None]] = set()
        self._told_at: float | None = None
        self._stopping = False

    async def listen(self, host: str, port: int, *, tls_first: bool = False) -> int:
        """Listen, and return the port.

        Raises
        ------
        OSError
            The address cannot be had; it stands in ``filename``.
        """
        loop = asyncio.get_running_loop()
        # asyncio finds and binds the addresses, and lets nobody in: where no more files can be
        # opened its server warns of that for every place in the backlog, again and again.
        try:
            bound = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        except OSError as error:
            # asyncio's words are for programmers; a name that is not found has no errno.
            number = error.errno or 0
            words = os.strerror(number) if number > 0 else str(error.strerror)
            raise OSError(number, words, f"{host}:{port}") from error
        taken = [listener.dup() for listener in bound.sockets]
        bound.close()
        for listener in taken:
            self.admit_from(listener, tls_first=tls_first)
        found: int = taken[0].getsockname()[1]
        return found

    def admit_from(self, listener: socket.socket, *, tls_first: bool = False) -> None:
        """Let clients in from a bound socket, which is closed at the end."""
        listener.settimeout(0)
        # As many as may talk: a burst of clients waits here, not in retransmissions.
        listener.listen(max(self._max_sessions, 100))
        entry = _Listener(listener, tls_first)
        self._listeners.append(entry)
        asyncio.get_running_loop().add_reader(listener, self._accept, entry)

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Stop listening; messages under way may end within ``grace``, other clients hear 421."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        for entry in self._listeners:
            loop.remove_reader(entry.socket)
            entry.socket.close()
        self._listeners.clear()
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

    def _accept(self, entry: _Listener) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                connection, _ = entry.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(entry, error)
                return
            entering = loop.create_task(self._enter(connection, tls_first=entry.tls_first))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    def _pause(self, entry: _Listener, error: OSError) -> None:
        """Let clients wait outside, where the kernel keeps them, for a while."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(entry.socket)
        loop.call_later(_PAUSE, self._go_on, entry)
        if self._told_at is None or loop.time() - self._told_at > _TELL:
            self._told_at = loop.time()
            sessions = len(self._sessions)
            log.event(
                "delayed", what="accept", door=self.terms.door, sessions=sessions, reason=str(error)
            )

    def _go_on(self, entry: _Listener) -> None:
        if not self._stopping:
            asyncio.get_running_loop().add_reader(entry.socket, self._accept, entry)

    async def _enter(self, connection: socket.socket, *, tls_first: bool) -> None:
        loop = asyncio.get_running_loop()
        terms = replace(self.terms, tls_first=True) if tls_first else self.terms
        session = partial(Session, terms, loop, admit=self._admit, ended=self._left)
        try:
            connection.settimeout(0)
            await loop.connect_accepted_socket(session, connection)
        except OSError:
            # The client is gone already.
            connection.close()

    def _admit(self, session: Connection) -> str | None:
        address = address_of(session.peer)
        client = client_of(address)
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

    def _is_near(self, address: Address) -> bool:
        # Whoever hands over by LMTP has taken the mail for the site.
        if self.terms.lmtp:
            return True
        return address.is_loopback or any(address in network for network in self._trusted)

    def _left(self, session: Connection) -> None:
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        client = client_of(address_of(session.peer))
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
