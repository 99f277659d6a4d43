"""The courier that hands letters to an SMTP relay, on aiosmtplib."""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import aiosmtplib

from mailgate import config
from mailgate.deliver.source import blocks
from mailgate.deliver.stuffing import stuffed
from mailgate.errors import LetterGone, MailgateError, OverSize, Permanent, Transient, Unreachable
from mailgate.model import Letter

# What may stand between the angle brackets of MAIL and RCPT; nothing that could end them.
_ATOM: Final = r'[^\s<>"\x00-\x20\x7f]+'
_QUOTED: Final = r'"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"'
_ADDRESS: Final = re.compile(f"(?:{_ATOM}|{_QUOTED})@{_ATOM}")

# RFC 3463: 5.2.3 is "message length exceeds administrative limit", 5.3.4 "too big for system".
_TOO_BIG: Final = re.compile(r"5\.(?:2\.3|3\.4)\b")
# 5.2.2 is "mailbox full": no smaller letter would fit. Its code is 552 too.
_MAILBOX_FULL: Final = re.compile(r"5\.2\.2\b")


class SmtpCourier:
    """Hands each letter to one relay, over connections that are kept for the next letters.

    Several letters at a time may be delivered, each over a connection of its own. What concerns the
    connection and not the letter (greeting, TLS, login) is never a refusal of the letter: the relay
    is unreachable then, and its words say why.

    Parameters
    ----------
    relay
        [deliver.smtp]. The password file is read at each connection.
    hostname
        What we call ourselves in EHLO; by default this machine's full name.
    idle
        How long an unused connection is kept; shorter than any relay's patience.
    tls_context
        The certificates to believe; by default the system's (SSL_CERT_FILE overrides them).
    """

    at_once = 4
    one_hop = True

    def __init__(
        self,
        relay: config.Relay,
        hostname: str | None = None,
        *,
        idle: timedelta = timedelta(seconds=10),
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._relay = relay
        self._hostname = hostname or socket.getfqdn()
        self._idle = idle
        self._tls_context = tls_context
        self._kept: dict[_Line, asyncio.TimerHandle] = {}

    async def deliver(self, letter: Letter) -> str:
        """Hand the letter over, and return the relay's last words.

        A connection that is lost after the final dot and before the answer counts as unreachable:
        the letter goes again, with the same Message-ID.

        Raises
        ------
        Unreachable
            No connection, no answer in time, or an answer that is none.
        Transient
            The relay said 4xx.
        OverSize
            It announced a SIZE below the letter's, or said 552 (but for a full mailbox), 5.2.3 or
            5.3.4.
        Permanent
            It said another 5xx, or cannot be told such an address.
        """
        line = await self._kept_line() or await self._new_line()
        try:
            words = await line.send(letter)
        except MailgateError as error:
            if isinstance(error, Unreachable | LetterGone) or line.midway:
                line.drop()
            else:
                self._keep(line)
            raise
        except BaseException:
            line.drop()
            raise
        self._keep(line)
        return words

    def close(self) -> None:
        """Hang up."""
        while self._kept:
            line, timer = self._kept.popitem()
            timer.cancel()
            line.hang_up()

    async def _kept_line(self) -> "_Line | None":
        while self._kept:
            line, timer = self._kept.popitem()
            timer.cancel()
            if await line.alive():
                return line
            line.drop()
        return None

    def _keep(self, line: "_Line") -> None:
        loop = asyncio.get_running_loop()
        self._kept[line] = loop.call_later(self._idle.total_seconds(), self._let_go, line)

    def _let_go(self, line: "_Line") -> None:
        del self._kept[line]
        line.hang_up()

    async def _new_line(self) -> "_Line":
        relay = self._relay
        where = f"{relay.host}:{relay.port}"
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=self._hostname,
            timeout=relay.timeout.total_seconds(),
            username=relay.user,
            password=await self._password(),
            use_tls=relay.tls is config.Tls.TLS,
            start_tls=relay.tls is config.Tls.STARTTLS,
            tls_context=self._tls_context,
        )
        try:
            await client.connect()
            await _introduce(client)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            message = f"the relay {where} cannot be used: {_words(error)}"
            raise Unreachable(message) from error
        return _Line(client, where, relay.timeout.total_seconds())

    async def _password(self) -> str | None:
        file = self._relay.password_file
        if file is None:
            return None
        try:
            # It may lie on a network's file system.
            text = await asyncio.to_thread(file.read_text)
        except (OSError, ValueError) as error:
            message = "the file of the relay's password cannot be read"
            raise Unreachable(message, detail=f"{file}: {error}") from error
        return text.partition("\n")[0].rstrip("\r")


async def _introduce(client: aiosmtplib.SMTP) -> None:
    if not client.is_ehlo_or_helo_needed:
        return
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


class _Line:
    """One connection to the relay, past greeting and login."""

    def __init__(self, client: aiosmtplib.SMTP, where: str, timeout: float) -> None:
        self._client = client
        self._where = where
        self._timeout = timeout
        self.midway = False
        """An answer came in the middle of DATA: the connection is good for nothing any more."""

    async def alive(self) -> bool:
        """Tell whether a kept connection still answers, and forget what was said before."""
        if not self._client.is_connected:
            return False
        try:
            return (await self._ask(b"RSET")).code == 250
        except Unreachable:
            return False

    def drop(self) -> None:
        """End the connection at once: a letter half sent must not look whole."""
        if isinstance(self._client.transport, asyncio.WriteTransport):
            self._client.transport.abort()
        self._client.close()

    def hang_up(self) -> None:
        """Say QUIT, and do not wait for the answer."""
        if self._client.is_connected and self._client.protocol:
            self._client.protocol.write(b"QUIT\r\n")
        self._client.close()

    async def send(self, letter: Letter) -> str:
        """Go through one mail transaction; raises as :meth:`SmtpCourier.deliver` does."""
        self._check_size(letter)
        sender, recipient, *options = self._envelope(letter)
        await self._expect(2, b"MAIL", b"FROM:<" + sender + b">", *options)
        await self._expect(2, b"RCPT", b"TO:<" + recipient + b">")
        await self._expect(3, b"DATA")
        answer = await self._data(letter)
        return _said(_judged(answer, 2))

    def _check_size(self, letter: Letter) -> None:
        announced = self._client.esmtp_extensions.get("size", "")
        limit = int(announced) if announced.isdecimal() else 0
        # RFC 1870, 4: 0 means that there is no fixed limit.
        if 0 < limit < letter.size:
            message = (
                f"the relay {self._where} takes mails of {limit} bytes, and this has {letter.size}"
            )
            raise OverSize(message, limit=limit)

    def _envelope(self, letter: Letter) -> tuple[bytes, ...]:
        addresses = (letter.sender, letter.recipient)
        for address in (letter.sender or letter.recipient, letter.recipient):
            if not _ADDRESS.fullmatch(address):
                message = f"no mail can be sent to or from {address!r}: it is no address"
                raise Permanent(message)
        options = [b"SIZE=%d" % letter.size] if self._client.supports_extension("size") else []
        if not all(map(str.isascii, addresses)):
            if not self._client.supports_extension("smtputf8"):
                message = (
                    f"the relay {self._where} cannot be told the address {letter.recipient}: "
                    "it does not offer SMTPUTF8"
                )
                raise Permanent(message)
            options.append(b"SMTPUTF8")
        return letter.sender.encode(), letter.recipient.encode(), *options

    async def _expect(self, kind: int, *words: bytes) -> None:
        _judged(await self._ask(*words), kind)

    async def _ask(self, *words: bytes) -> aiosmtplib.SMTPResponse:
        try:
            return await self._client.execute_command(*words)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> Unreachable:
        return Unreachable(f"the connection to the relay {self._where} failed: {_words(error)}")

    async def _data(self, letter: Letter) -> aiosmtplib.SMTPResponse:
        """Send the letter after 354, and return the answer to it."""
        protocol = self._client.protocol
        if protocol is None:
            raise self._lost(ConnectionResetError("connection lost"))
        # It listens from the start: a relay may refuse or leave before it has heard everything, and
        # aiosmtplib drops what arrives while nobody listens.
        answer = asyncio.ensure_future(protocol.read_response())
        await asyncio.sleep(0)
        try:
            self.midway = not await self._poured(protocol, letter, answer)
            async with asyncio.timeout(self._timeout):
                said = await answer
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._lost(error) from error
        finally:
            if not answer.cancel() and not answer.cancelled():
                # Looked at, so that asyncio does not report it as forgotten.
                answer.exception()
        if self.midway and said.code < 400:
            raise self._lost(ConnectionError("an answer before the end"))
        return said

    async def _poured(
        self,
        protocol: aiosmtplib.protocol.SMTPProtocol,
        letter: Letter,
        answer: "asyncio.Future[aiosmtplib.SMTPResponse]",
    ) -> bool:
        """Write the letter as fast as the relay reads; False if it answered or left before the end.

        aiosmtplib's own DATA takes the letter as one string and copies it three times; with 100 MiB
        that is more than the whole gateway may have. So the transport is written to here, under the
        flow control that aiosmtplib has for asyncio's StreamWriter.
        """
        pieces = stuffed(blocks(letter))
        while not answer.done():
            piece = await _next(pieces, in_thread=letter.file is not None)
            if piece is None:
                return True
            try:
                protocol.write(piece)
                async with asyncio.timeout(self._timeout):
                    await protocol._drain_helper()  # noqa: SLF001 - see above
            except ConnectionError:
                return False
            except TimeoutError:
                if not answer.done():
                    raise
        return False


async def _next(pieces: Iterator[bytes], *, in_thread: bool) -> bytes | None:
    # Reading a file waits for the disk.
    return await asyncio.to_thread(next, pieces, None) if in_thread else next(pieces, None)


# --- what a relay's answers mean ------------------------------------------------------------------


def _judged(answer: aiosmtplib.SMTPResponse, kind: int) -> aiosmtplib.SMTPResponse:
    """Return an answer whose code begins with ``kind``; raise what it means otherwise."""
    said = _said(answer)
    match answer.code // 100:
        case found if found == kind:
            return answer
        case 4 if answer.code == 421:
            # RFC 5321, 3.8: the relay is going away, whatever it was asked.
            raise Unreachable(said)
        case 4:
            raise Transient(said)
        case 5 if _TOO_BIG.match(answer.message) or (
            answer.code == 552 and not _MAILBOX_FULL.match(answer.message)
        ):
            raise OverSize(said)
        case 5:
            raise Permanent(said)
        case _:
            message = f"the relay answered what cannot be understood: {said}"
            raise Unreachable(message)


def _said(answer: aiosmtplib.SMTPResponse) -> str:
    return " ".join(f"{answer.code} {answer.message}".split())


def _words(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _said(aiosmtplib.SMTPResponse(error.code, error.message))
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = error.__cause__
    if isinstance(cause, ConnectionError) and cause.errno:
        # asyncio puts the address in place of the reason.
        return os.strerror(cause.errno)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error) or type(error).__name__
