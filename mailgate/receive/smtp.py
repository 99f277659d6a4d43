"""The SMTP door: it listens, and holds the sessions."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Protocol

from mailgate.receive.session import Session
from mailgate.receive.terms import Desk, Terms


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
        idle: timedelta = timedelta(minutes=5),
        max_sessions: int = 200,
        max_recipients: int = 100,
    ) -> None:
        self._listen = listen
        self._max_sessions = max_sessions
        self._terms = Terms(
            desk=desk,
            hostname=hostname,
            max_size=listen.max_size,
            idle=idle,
            max_recipients=max_recipients,
        )
        self._sessions: set[Session] = set()
        self._server: asyncio.Server | None = None
        self._stopping = False

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        session = partial(
            Session, self._terms, loop, admit=self._admit, ended=self._sessions.discard
        )
        self._server = await loop.create_server(
            session,
            self._listen.host,
            self._listen.port,
            # As many as may talk: a burst of clients waits here, not in retransmissions.
            backlog=max(self._max_sessions, 100),
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Stop listening; messages under way may end within ``grace``, other clients hear 421."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for session in tuple(self._sessions):
            session.leave()
        talks = [session.talk for session in self._sessions if session.talk]
        if talks:
            _, late = await asyncio.wait(talks, timeout=grace.total_seconds())
            for talk in late:
                talk.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _admit(self, session: Session) -> str | None:
        self._sessions.add(session)
        if self._stopping:
            return "the gateway is shutting down"
        if len(self._sessions) > self._max_sessions:
            return "too many sessions at once"
        return None
