"""The courier that hands letters to an SMTP relay, on aiosmtplib."""

import asyncio
import socket
import ssl
from datetime import timedelta

import aiosmtplib

from mailgate import config
from mailgate.deliver.line import Line, Threads, told
from mailgate.errors import LetterGone, MailgateError, Unreachable
from mailgate.model import Letter


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
        self._kept: dict[Line, asyncio.TimerHandle] = {}
        # What hangs here, a name server or a disk, takes no other room's threads, nor each other's.
        self._threads = Threads("smtp", most=self.at_once, longest=relay.timeout)
        self._disk = Threads("smtp-disk", most=self.at_once, longest=relay.timeout)

    async def deliver(
        self,
        letter: Letter,
        *,
        again: bool = True,  # noqa: ARG002 - a relay cannot be asked
    ) -> str:
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
            5.3.4, or 5.7.0 to the whole of it.
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
        """Hang up, for good."""
        while self._kept:
            line, timer = self._kept.popitem()
            timer.cancel()
            line.hang_up()
        self._threads.close()
        self._disk.close()

    async def _kept_line(self) -> Line | None:
        while self._kept:
            line, timer = self._kept.popitem()
            timer.cancel()
            if await line.alive():
                return line
            line.drop()
        return None

    def _keep(self, line: Line) -> None:
        loop = asyncio.get_running_loop()
        self._kept[line] = loop.call_later(self._idle.total_seconds(), self._let_go, line)

    def _let_go(self, line: Line) -> None:
        del self._kept[line]
        line.hang_up()

    async def _new_line(self) -> Line:
        relay = self._relay
        where = f"{relay.host}:{relay.port}"
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            local_hostname=self._hostname,
            timeout=relay.timeout.total_seconds(),
            username=relay.user,
            password=await self._password(),
            use_tls=relay.tls is config.Tls.TLS,
            start_tls=relay.tls is config.Tls.STARTTLS,
        )
        try:
            # It would read the certificates, and look up the name, in threads that all rooms share.
            certificates = await self._certificates()
            await client.connect(tls_context=certificates, sock=await self._dialled())
            await _introduce(client)
            return Line(client, where, relay.timeout, self._disk)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            message = f"the relay {where} cannot be used: {told(error)}"
            raise Unreachable(message) from error

    async def _dialled(self) -> socket.socket:
        """Connect to the first of the relay's addresses that answers."""
        relay = self._relay
        found = await self._threads.run(
            lambda: socket.getaddrinfo(relay.host, relay.port, type=socket.SOCK_STREAM)
        )
        failure = OSError("it has no address")
        async with asyncio.timeout(relay.timeout.total_seconds()):
            for family, kind, protocol, _, address in found:
                dialling = socket.socket(family, kind, protocol)
                dialling.settimeout(0)
                try:
                    await asyncio.get_running_loop().sock_connect(dialling, address)
                except OSError as error:
                    dialling.close()
                    failure = error
                except BaseException:
                    dialling.close()
                    raise
                else:
                    return dialling
        raise failure

    async def _certificates(self) -> ssl.SSLContext | None:
        if self._tls_context is not None or self._relay.tls is config.Tls.NONE:
            return self._tls_context
        return await self._threads.run(ssl.create_default_context)

    async def _password(self) -> str | None:
        file = self._relay.password_file
        if file is None:
            return None
        try:
            # It may lie on a network's file system.
            text = await self._threads.run(file.read_text)
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
