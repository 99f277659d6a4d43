"""One client's connection: lines and blocks in, replies out, in time; TLS around it."""

import asyncio
import ssl
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import aiosmtpd.smtp

from mailgate import log
from mailgate.receive.data import BLOCK, has_line, has_more, read_line
from mailgate.receive.terms import Terms

LINE: Final = 2048
"""Bytes of a command line; RFC 5321, 4.5.3.1.4 asks for 512, extensions for more. The longest that
AUTH PLAIN needs has 1035 (RFC 4616: three words of 255 octets in base64)."""

_LINGER: Final = 5.0
"""Seconds in which a client that was sent away may still read the reason."""

HERE: Final = "127.0.0.1"
"""What a client on a unix socket counts as: it is on this machine."""


class Connection(aiosmtpd.smtp.SMTP, ABC):
    """One client's connection, and the task that talks to it.

    Of aiosmtpd stays the connection's set-up. Its loop over commands reads DATA line by line,
    writes each reply line by itself, and parses an address at the price of a small message's way to
    the spool; its STARTTLS lets a client take its time.

    Nothing is cancelled when the client goes: reads end, writes fail, a commit ends as it ends.

    Parameters
    ----------
    admit
        Says why the client must go at once, or None.
    ended
        Told when the talk is over.
    """

    # The name is aiosmtpd's; all it sets is how much waits unread: twice that, and asyncio stops
    # reading from the client. A line of DATA may be of any length.
    line_length_limit = BLOCK // 2

    def __init__(
        self,
        terms: Terms,
        loop: asyncio.AbstractEventLoop,
        *,
        admit: "Callable[[Connection], str | None]",
        ended: "Callable[[Connection], None]",
    ) -> None:
        super().__init__(
            self,  # where aiosmtpd looks for hooks, of which there are none
            hostname=terms.hostname,
            data_size_limit=terms.max_size,
            timeout=terms.idle.total_seconds(),
            loop=loop,
        )
        self._terms = terms
        self._admit = admit
        self._ended = ended
        self.peer: str | None = None
        self.near = False  # a relay of the house
        self._out = bytearray()
        self._secured = False
        self._shaking_hands = terms.tls_first
        self._taking = False
        self._over = False
        self._waits_since: float | None = None

    def __dir__(self) -> list[str]:
        """Name nothing: aiosmtpd's constructor would look through all names for commands.

        That search alone takes a quarter of the time of taking a small message.
        """
        return []

    @property
    def talk(self) -> asyncio.Task[None] | None:
        """The task that talks to the client, once connected."""
        return self._handler_coroutine

    def leave(self) -> None:
        """Say goodbye; where a message is being taken, after the reply to it."""
        self._over = True
        if not self._taking:
            self._goodbye("421 4.3.2", "the gateway is shutting down")

    @abstractmethod
    async def _converse(self) -> None:
        """Talk to the client until it, or we, have had enough."""

    @abstractmethod
    def _log_refusal(self, at: str, reason: str) -> None:
        """Tell the operator what a client was refused, and where in the talk."""

    # --- what the connection tells us -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the talk."""
        self.peer = _peer(transport.get_extra_info("peername"))
        reason = self._admit(self)
        super().connection_made(transport)
        if reason:
            self._log_refusal("connect", reason)
            self._goodbye("421 4.3.2", f"{reason}, try again later")

    def connection_lost(self, error: Exception | None) -> None:
        """Let the talk find the end of its input."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None

    def eof_received(self) -> bool | None:
        """Let the talk answer what came before the end; the client may still be listening."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _timeout_cb(self) -> None:
        """Send away a client that keeps us waiting; time in which we are busy does not count."""
        waited = 0.0 if self._waits_since is None else self.loop.time() - self._waits_since
        if self.transport is None or self.transport.is_closing():
            self._writer.transport.abort()
        elif waited < self._timeout_duration:
            self._reset_timeout(self._timeout_duration - waited)
        else:
            self._goodbye("421 4.4.2", "nothing was heard for too long")

    def _goodbye(self, code: str, words: str) -> None:
        self._over = True
        if self._shaking_hands:
            # No word of ours would be understood.
            self._writer.transport.abort()
            return
        self._say(f"{code} {self.hostname} {words}")
        if isinstance(self.transport, asyncio.WriteTransport) and not self.transport.is_closing():
            self.transport.write(bytes(self._out))
            self.transport.close()
            self._reset_timeout(min(_LINGER, self._timeout_duration))
        self._out.clear()

    # --- the talk ---------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client went without QUIT, or broke TLS; the desk's troubles were answered.
        except asyncio.CancelledError:
            self._writer.transport.abort()
            raise
        except Exception as error:  # noqa: BLE001 - one client's trouble is not the next one's
            self._log_failure("talk", error)
        finally:
            self._ended(self)
            if self.transport is not None:
                self.transport.close()
            if self._shaking_hands and self._timeout_handle is not None:
                # asyncio tells nobody of a connection that is lost in the middle of a handshake.
                self._timeout_handle.cancel()

    async def _next_line(self) -> bytes | None:
        # Replies to pipelined commands (RFC 2920) leave together.
        if not has_line(self._reader):
            await self._flush()
            self._waits_since = self.loop.time()
        line = await read_line(self._reader, LINE)
        self._waits_since = None
        return line

    async def _next_block(self) -> bytes:
        self._waits_since = self.loop.time()
        block = await self._reader.read(BLOCK)
        self._waits_since = None
        if not block:
            raise asyncio.IncompleteReadError(b"", None)
        return block

    def _say(self, reply: str) -> None:
        self._out += reply.encode("ascii", "replace") + b"\r\n"

    async def _flush(self) -> None:
        if not self._out:
            return
        self._writer.write(bytes(self._out))
        self._out.clear()
        self._waits_since = self.loop.time()
        await self._writer.drain()
        self._waits_since = None

    async def _secure(self, context: ssl.SSLContext) -> None:
        """Have TLS around the connection from here on.

        What waits to be said is said before it. Between the look at what was read and the handshake
        nothing is awaited: no byte that came in the clear is ever taken for one that came after it
        (RFC 3207, 6).

        Raises
        ------
        ConnectionError
            The handshake failed, or took too long, or the client had said more already.
        """
        plain = self._writer.transport
        self._shaking_hands = True
        if has_more(self._reader) or not isinstance(plain, asyncio.Transport):
            raise ConnectionAbortedError
        self._writer.write(bytes(self._out))
        self._out.clear()
        try:
            transport = await self.loop.start_tls(
                plain,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._terms.handshake.total_seconds(),
                ssl_shutdown_timeout=_LINGER,
            )
        except OSError as error:
            self._log_refusal("tls", str(error) or "no handshake")
            raise ConnectionAbortedError from error
        if transport is None:
            raise ConnectionAbortedError
        self._shaking_hands = False
        # As aiosmtpd does it: neither reader nor writer has a method for it.
        self._reader._transport = transport  # type: ignore[attr-defined] # noqa: SLF001
        self._writer._transport = transport  # type: ignore[attr-defined] # noqa: SLF001
        self._over_ssl = True
        self.transport = transport
        self._secured = True

    def _log_failure(self, at: str, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename}:{frame.lineno}"
        log.event(
            "failed", door=self._terms.door, at=at, peer=self.peer, error=repr(error), where=where
        )


def _peer(name: object) -> str | None:
    """Return the address that a client counts as; None where the kernel does not tell.

    A unix socket's name is a string. TCP has none for a client that has hung up already: what it
    said can still be read, and comes from nobody, least of all from this machine.
    """
    if isinstance(name, tuple):
        return str(name[0])
    return None if name is None else HERE
