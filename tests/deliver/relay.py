"""A relay that follows a script: a real server on a real socket, which misbehaves where it is told."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from mailgate.config import Relay, Tls
from mailgate.deliver.smtp import SmtpCourier

HANG = "hang"
DROP = "drop"
# Behind an answer: it is given, and then the connection dropped.
AND_DROP = " (and drop)"

USUAL = {
    "GREETING": "220 relay.mg.test",
    "EHLO": "250-relay.mg.test\r\n250-SIZE 200000000\r\n250 ENHANCEDSTATUSCODES",
    "HELO": "250 relay.mg.test",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 queued as A1",
    "RSET": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
    "AUTH": "235 2.7.0 welcome",
    # What is said in the middle of a body; "" is nothing.
    "BODY": "",
}


@dataclass
class Script:
    """``says`` overrides the usual answers; HANG and DROP are answers too."""

    says: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    sessions: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    most: int = 1 << 40
    patience: int = 0
    refused: list[bytes] = field(default_factory=list)
    hangs: bool = False
    stop: Callable[[], object] = lambda: None
    hired: list[SmtpCourier] = field(default_factory=list)

    def courier(
        self, *, idle: timedelta = timedelta(seconds=10), context=None, **keys
    ) -> SmtpCourier:
        """Return a courier for this relay; it hangs up when the relay ends."""
        way = SmtpCourier(self.table(**keys), "gate.mg.test", idle=idle, tls_context=context)
        self.hired.append(way)
        return way

    def table(self, **keys) -> Relay:
        """Return the courier's configuration for this relay."""
        keys = {"timeout": timedelta(seconds=5), "tls": Tls.NONE, "user": None} | keys
        return Relay(**{"host": "127.0.0.1", "port": self.port, "password_file": None} | keys)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.ended.set()
            writer.close()

    async def _talk(self, reader, writer) -> None:
        await self._say(writer, "GREETING")
        while True:
            line = (await reader.readuntil(b"\r\n")).decode().rstrip("\r\n")
            self.commands.append(line)
            verb = line.partition(" ")[0].upper()
            # A whole line, too, may have an answer of its own.
            await self._say(writer, line if line in self.says else verb)
            if verb == "DATA" and self._answer("DATA").startswith("354"):
                await self._hear(reader, writer)
                # "BIG" is the answer to what is over ``most`` bytes, once ``patience`` are in.
                if len(self.mails[-1]) > self.most and len(self.mails) > self.patience:
                    self.refused.append(self.mails.pop())
                    await self._say(writer, "BIG")
                else:
                    await self._say(writer, "DOT")

    async def _hear(self, reader, writer) -> None:
        content = b""
        while not content.endswith(b"\r\n.\r\n"):
            if not (block := await reader.read(65536)):
                raise ConnectionResetError
            content += block
            if len(content) > 100_000 and self._answer("BODY"):
                await self._say(writer, "BODY")
        self.mails.append(content.removesuffix(b".\r\n").replace(b"\r\n.", b"\r\n"))

    async def _say(self, writer, verb: str) -> None:
        match self._answer(verb):
            case "hang":
                writer.write(await self._told() + b"\r\n")
            case "drop":
                raise ConnectionResetError
            case answer:
                writer.write(answer.removesuffix(AND_DROP).encode() + b"\r\n")
                await writer.drain()
                if verb == "QUIT" or answer.endswith(AND_DROP):
                    raise ConnectionResetError

    async def _told(self) -> bytes:
        """Say nothing until the test does."""
        self._going_on = asyncio.get_running_loop().create_future()
        self.hangs = True
        return (await self._going_on).encode()

    def go_on(self, answer: str) -> None:
        """Have the talk that hangs say this at last; from any thread."""
        self.hangs = False
        loop = self._going_on.get_loop()
        loop.call_soon_threadsafe(self._going_on.set_result, answer)

    def _answer(self, verb: str) -> str:
        return self.says.get(verb, USUAL.get(verb, "500 5.5.1 what?"))


@asynccontextmanager
async def relay(
    says: Mapping[str, str] | None = None,
    *,
    certificate: tuple[Path, Path] | None = None,
    port: int = 0,
) -> AsyncIterator[Script]:
    """Run a scripted relay for as long as the block lasts; ``says`` may change meanwhile."""
    script = Script({} if says is None else says)
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def serve(reader, writer) -> None:
        talks[asyncio.create_task(script.serve(reader, writer))] = writer

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context, limit=1 << 20)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        for way in script.hired:
            way.close()
        server.close()
        for talk, writer in talks.items():
            talk.cancel()
            writer.transport.abort()
        await asyncio.gather(*talks, return_exceptions=True)


@contextmanager
def relay_beside(says: Mapping[str, str] | None = None, *, port: int = 0) -> Iterator[Script]:
    """Run a scripted relay in a thread, for a gateway that runs in a process of its own."""
    ready = threading.Event()
    found: list[Script] = []

    async def run() -> None:
        stop = asyncio.Event()
        async with relay(says, port=port) as script:
            script.stop = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
            found.append(script)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        found[0].stop()
        thread.join(20)
