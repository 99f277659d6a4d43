"""One connection to an SMTP relay, and what the relay's answers mean for the letter."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final, TypeVar

import aiosmtplib

from mailgate.deliver.source import blocks
from mailgate.deliver.stuffing import stuffed
from mailgate.errors import OverSize, Permanent, Transient, Unreachable
from mailgate.model import Letter
from mailgate.saying import Saying

T = TypeVar("T")

# What may stand between the angle brackets of MAIL and RCPT; nothing that could end them.
_ATOM: Final = r'[^\s<>"\x00-\x20\x7f]+'
_QUOTED: Final = r'"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*"'
_ADDRESS: Final = re.compile(f"(?:{_ATOM}|{_QUOTED})@{_ATOM}")

# RFC 3463: 5.2.3 is "message length exceeds administrative limit", 5.3.4 "too big for system".
_TOO_BIG: Final = re.compile(r"5\.(?:2\.3|3\.4)\b")
# Any rule of the site's; of a letter that was heard whole, what it thinks of attachments and their
# size among them: less of them may get through, and in the end a letter that says what is kept.
_DISLIKED: Final = re.compile(r"5\.7\.0\b")
# 5.2.2 is "mailbox full": no smaller letter would fit. Its code is 552 too.
_MAILBOX_FULL: Final = re.compile(r"5\.2\.2\b")


class Threads:
    """Blocking work in threads of its own, each piece of it with a time limit."""

    def __init__(self, name: str, *, most: int, longest: timedelta) -> None:
        self._pool = ThreadPoolExecutor(most, name)
        self._longest = longest.total_seconds()

    async def run(self, work: Callable[[], T]) -> T:
        """Do it and return what it gives.

        Raises
        ------
        TimeoutError
            It hangs, or all threads do; a thread that hangs stays with its work.
        """
        async with asyncio.timeout(self._longest):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Begin nothing any more; what hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Line:
    """One connection to the relay, past greeting and login."""

    def __init__(
        self, client: aiosmtplib.SMTP, where: str, timeout: timedelta, disk: Threads
    ) -> None:
        """Take a connected client; raises ConnectionError where the relay has left already."""
        if client.transport is None or client.protocol is None:
            raise ConnectionResetError("connection lost")
        self._client = client
        self._where = where
        self._timeout = timeout.total_seconds()
        self._disk = disk
        self._flow = _Flow(client.protocol)
        client.transport.set_protocol(self._flow)
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
        if answer.code >= 500 and _DISLIKED.match(answer.message):
            raise OverSize(_said(answer))
        return _said(_judged(answer, 2))

    def _check_size(self, letter: Letter) -> None:
        announced = self._client.esmtp_extensions.get("size", "")
        limit = int(announced) if announced.isdecimal() else 0
        # RFC 1870, 4: 0 means that there is no fixed limit.
        if 0 < limit < letter.size:
            size = letter.size
            message = Saying("mailing/too-big", relay=self._where, most=limit, size=size)
            raise OverSize(message, limit=limit)

    def _envelope(self, letter: Letter) -> tuple[bytes, ...]:
        addresses = (letter.sender, letter.recipient)
        for address in (letter.sender or letter.recipient, letter.recipient):
            if not _ADDRESS.fullmatch(address):
                raise Permanent(Saying("mailing/no-address", address=repr(address)))
        options = [b"SIZE=%d" % letter.size] if self._client.supports_extension("size") else []
        if not all(map(str.isascii, addresses)):
            if not self._client.supports_extension("smtputf8"):
                address = letter.recipient
                raise Permanent(Saying("mailing/no-smtputf8", relay=self._where, address=address))
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
        return Unreachable(f"the connection to the relay {self._where} failed: {told(error)}")

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
        that is more than the whole gateway may have. So the transport is written to here.
        """
        pieces = stuffed(blocks(letter))
        while not answer.done():
            piece = await self._next(letter, pieces)
            if piece is None:
                return True
            try:
                protocol.write(piece)
                async with asyncio.timeout(self._timeout):
                    await self._flow.room()
            except ConnectionError:
                return False
            except TimeoutError:
                if not answer.done():
                    raise
        return False

    async def _next(self, letter: Letter, pieces: Iterator[bytes]) -> bytes | None:
        if letter.file is None:
            return next(pieces, None)
        try:
            # It waits for the disk.
            return await self._disk.run(lambda: next(pieces, None))
        except TimeoutError as error:
            message = f"letter {letter.id} cannot be read from the spool: no answer in time"
            raise Unreachable(message, detail=letter.file) from error


class _Flow(asyncio.Protocol):
    """Stands between a transport and aiosmtplib's protocol, and knows whether more can be written.

    aiosmtplib has flow control too, but no public way to wait for it.
    """

    def __init__(self, behind: asyncio.Protocol) -> None:
        self._behind = behind
        self._room = asyncio.Event()
        self._room.set()

    async def room(self) -> None:
        """Wait until more can be written, or the connection is lost."""
        await self._room.wait()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        self._behind.data_received(data)

    def eof_received(self) -> bool | None:
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.set()
        self._behind.connection_lost(exc)


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


def told(error: Exception) -> str:
    """Say why a connection failed: the relay's own words, else the system's reason."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _said(aiosmtplib.SMTPResponse(error.code, error.message))
    if isinstance(error, TimeoutError):
        return "no answer in time"
    for known in (error, error.__cause__):
        if isinstance(known, ConnectionError) and known.errno:
            # asyncio puts the address in place of the reason.
            return os.strerror(known.errno)
        if isinstance(known, OSError) and known.strerror:
            return known.strerror
    return str(error) or type(error).__name__
