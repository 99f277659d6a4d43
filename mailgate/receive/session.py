"""One SMTP session (RFC 5321): the talk with one client."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import aiosmtpd.smtp

from mailgate import log
from mailgate.errors import MailgateError, Refusal
from mailgate.model import Envelope
from mailgate.receive.data import BLOCK, Body, Taking, has_line, put_back, read_line
from mailgate.receive.path import read_path, wrong_recipient, wrong_sender
from mailgate.receive.terms import Terms, too_big

_LINE: Final = 2048
"""Bytes of a command line; RFC 5321, 4.5.3.1.4 asks for 512, extensions for more."""

_PATIENCE: Final = 100
_REFUSED: Final = 1
_NONSENSE: Final = 5
"""A session may waste this much patience between two messages that are taken: a refused sender or
recipient costs 1, a command that makes no sense and a refused message 5."""

_TURN: Final = 32
"""Pipelined commands that are obeyed before other sessions have a turn."""

_ANSWERS: Final[Mapping[bytes, str]] = {
    b"NOOP": "250 2.0.0 ok",
    # RFC 5321, 3.5.3: neither yes nor no.
    b"VRFY": "252 2.0.0 send it some mail and see",
    b"EXPN": "502 5.5.1 there are no lists here",
    b"HELP": "214 2.0.0 mail to the address of a service is a job; the protocol is RFC 5321",
}

_FOREIGN: Final = frozenset({b"BDAT", b"CONNECT", b"GET", b"OPTIONS", b"POST", b"PUT"})
"""A browser can be made to post a form to a door on its own machine, whose address the operator may
trust; and what follows BDAT, which is not offered, is no command."""

_LINGER: Final = 5.0
"""Seconds in which a client that was sent away may still read the reason."""


class Session(aiosmtpd.smtp.SMTP):
    """One client's connection.

    Of aiosmtpd stay the connection's set-up, STARTTLS and AUTH (neither is offered yet). The loop
    over commands and the commands are our own: theirs read DATA line by line, write each reply line
    by itself, and parse an address at the price of a small message's way to the spool.

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
        admit: "Callable[[Session], str | None]",
        ended: "Callable[[Session], None]",
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
        self._greeted = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._patience = _PATIENCE
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

    # --- what the connection tells us -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the talk."""
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else None
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
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client went without QUIT.
        except asyncio.CancelledError:
            self._writer.transport.abort()
            raise
        except Exception as error:  # noqa: BLE001 - one client's trouble is not the next one's
            self._log_failure("talk", error)
        finally:
            self._ended(self)
            if self.transport is not None:
                self.transport.close()

    async def _converse(self) -> None:
        self._say(f"220 {self.hostname} ESMTP mailgate")
        turns = 0
        while not self._over:
            await self._obey(await self._next_line())
            turns += 1
            if turns % _TURN == 0:
                await self._flush()
                await asyncio.sleep(0)
        await self._flush()

    async def _obey(self, line: bytes | None) -> None:
        if line is None:
            self._scold(f"500 5.5.6 a command line has at most {_LINE} bytes")
            return
        word, _, argument = line.strip().partition(b" ")
        match word.upper():
            case b"HELO" | b"EHLO" as verb:
                self._greet(argument, extended=verb == b"EHLO")
            case b"MAIL":
                self._mail(argument.lstrip())
            case b"RCPT":
                await self._rcpt(argument.lstrip())
            case b"DATA":
                await self._data(argument)
            case b"RSET":
                self._forget()
                self._say("250 2.0.0 ok")
            case b"QUIT":
                self._over = True
                self._say("221 2.0.0 goodbye")
            case verb if verb in _FOREIGN:
                self._goodbye("421 4.7.0", "this is another protocol")
            case verb if verb in _ANSWERS:
                self._say(_ANSWERS[verb])
            case _:
                self._scold("500 5.5.1 there is no such command here")

    async def _next_line(self) -> bytes | None:
        # Replies to pipelined commands (RFC 2920) leave together.
        if not has_line(self._reader):
            await self._flush()
            self._waits_since = self.loop.time()
        line = await read_line(self._reader, _LINE)
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

    def _scold(self, reply: str) -> None:
        """Answer a command that makes no sense."""
        self._say(reply)
        self._tire(_NONSENSE)

    def _tire(self, cost: int) -> None:
        self._patience -= cost
        if self._patience < 0:
            self._log_refusal("talk", "too many errors")
            self._goodbye("421 4.7.0", "too many errors")

    @contextlib.contextmanager
    def _answering(self, at: str, *, cost: int) -> Iterator[None]:
        """Turn what the desk raises, and has logged, into a reply; the session goes on.

        A refusal costs patience, but a relay of the house passes on what strangers send. What may
        work later is no fault of the client's.
        """
        try:
            yield
        except MailgateError as error:
            self._say(error.smtp_reply)
            if isinstance(error, Refusal) and not self.near:
                self._tire(cost)
        except Exception as error:  # noqa: BLE001 - a bug of ours is no reason to lose a mail
            self._say("451 4.3.0 something went wrong here, try again later")
            self._log_failure(at, error)

    def _log_refusal(self, at: str, reason: str) -> None:
        to = ",".join(map(log.without_keys, self._recipients[:5])) or None
        log.event(
            "refused",
            door="smtp",
            at=at,
            peer=self.peer,
            sender=self._sender,
            to=to,
            reason=reason,
        )

    def _log_failure(self, at: str, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename}:{frame.lineno}"
        log.event("failed", door="smtp", at=at, peer=self.peer, error=repr(error), where=where)

    # --- the commands -----------------------------------------------------------------------------

    def _greet(self, argument: bytes, *, extended: bool) -> None:
        if not argument.strip():
            self._scold("501 5.5.4 say HELO or EHLO and your host name")
            return
        self._forget()
        self._greeted = True
        if extended:
            size = f"SIZE {self._terms.max_size}"
            offers = (self.hostname, "PIPELINING", size, "8BITMIME")
            self._say("".join(f"250-{offer}\r\n" for offer in offers) + "250 ENHANCEDSTATUSCODES")
        else:
            self._say(f"250 {self.hostname}")

    def _forget(self) -> None:
        """Forget the envelope."""
        self._sender = None
        self._recipients = []

    def _mail(self, argument: bytes) -> None:
        if not self._greeted:
            self._scold("503 5.5.1 say HELO or EHLO first")
            return
        if self._sender is not None:
            self._scold("503 5.5.1 a sender was named already")
            return
        path = read_path(argument, keyword=b"FROM:")
        if path is None:
            self._scold("501 5.1.7 say MAIL FROM:<address>")
            return
        wrong = wrong_sender(path, self._terms.max_size)
        if wrong:
            self._log_refusal("mail", wrong)
            self._say(wrong)
            self._tire(_REFUSED)
            return
        self._sender = path.address
        self._say("250 2.1.0 ok")

    async def _rcpt(self, argument: bytes) -> None:
        path = read_path(argument, keyword=b"TO:")
        if self._sender is None:
            self._scold("503 5.5.1 say MAIL first")
        elif path is None or not path.address:
            self._scold("501 5.1.3 say RCPT TO:<address>")
        elif wrong := wrong_recipient(path):
            self._say(wrong)
            self._tire(_REFUSED)
        elif len(self._recipients) >= self._terms.max_recipients:
            self._say(f"452 4.5.3 at most {self._terms.max_recipients} recipients a message")
        else:
            await self._add(path.address)

    async def _add(self, address: str) -> None:
        with self._answering("rcpt", cost=_REFUSED):
            await self._terms.desk.recipient(self._envelope(), address)
            self._recipients.append(address)
            self._say("250 2.1.5 ok")

    def _envelope(self) -> Envelope:
        return Envelope(
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            door="smtp",
            peer=self.peer,
        )

    async def _data(self, argument: bytes) -> None:
        if argument:
            self._scold("501 5.5.4 DATA takes no argument")
        elif self._sender is None:
            self._scold("503 5.5.1 say MAIL first")
        elif not self._recipients:
            self._say("554 5.5.1 no valid recipients")
        else:
            self._taking = True
            await self._take()
            self._taking = False
            self._forget()
            await self._flush()
            if self._over:
                self.leave()

    async def _take(self) -> None:
        """Take one message, from 354 to the reply after its final dot."""
        sink = None
        with self._answering("data", cost=_NONSENSE):
            sink = await self._terms.desk.open(self._envelope())
        if sink is None:
            return
        taking = Taking(sink, self._terms.max_size)
        try:
            await self._hear(taking)
        except BaseException:
            await taking.discard()
            raise
        if taking.over:
            self._log_refusal("data", f"over {self._terms.max_size} bytes")
        with self._answering("data", cost=_NONSENSE):
            receipt = await taking.commit()
            self._say(f"250 2.0.0 taken as {receipt.id}")
            self._patience = _PATIENCE

    async def _hear(self, taking: Taking) -> None:
        """Stream the body to ``taking``. Raises ConnectionError if it never ends."""
        self._say("354 end it with a dot on a line of its own")
        await self._flush()
        body = Body()
        while body.rest is None:
            await taking.write(body.feed(await self._next_block()))
            if taking.hopeless:
                self._log_refusal("data", f"over twice {self._terms.max_size} bytes")
                self._goodbye("552 5.3.4", str(too_big(self._terms.max_size)))
                raise ConnectionAbortedError
        put_back(self._reader, body.rest)
