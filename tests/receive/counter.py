"""A desk that keeps messages in memory, and a wire without a kernel: what the door's tests share.

The local part of a recipient says what goes wrong with its message (``WRONG``).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mailgate.errors import NoSpace, NotAllowed, Refusal, Transient, UnknownRecipient
from mailgate.model import Envelope
from mailgate.receive.lmtp import LmtpDoor
from mailgate.receive.session import Session
from mailgate.receive.smtp import SmtpDoor
from mailgate.receive.terms import Terms

WRONG = {
    ("rcpt", "nobody"): UnknownRecipient("no service of that name"),
    ("rcpt", "later"): Transient("the spool is locked"),
    ("rcpt", "rcpt-bug"): RuntimeError("a bug"),
    ("open", "closed"): Transient("the spool is closed"),
    ("open", "open-bug"): RuntimeError("a bug"),
    ("write", "full"): NoSpace("too little disk is free"),
    ("write", "write-bug"): OSError(5, "a bug"),
    ("commit", "refused"): NotAllowed("nothing vouches for you"),
    ("commit", "commit-bug"): RuntimeError("a bug"),
    ("discard", "discard-bug"): RuntimeError("a bug"),
}


@dataclass(frozen=True)
class Receipt:
    id: int
    refused: Mapping[str, Refusal] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    envelope: Envelope
    content: bytes


class Counter:
    """The desk. ``opened`` is always ``taken`` + ``refused`` + ``discarded`` + those under way."""

    def __init__(self) -> None:
        self.messages: list[Taken] = []
        self.opened = self.refused = self.discarded = 0
        self.committing = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def recipient(self, envelope: Envelope, address: str) -> None:
        assert envelope.door in {"smtp", "lmtp"}
        fail("rcpt", (address,))

    async def open(self, envelope: Envelope) -> "Sink":
        fail("open", envelope.recipients)
        self.opened += 1
        return Sink(self, envelope)

    @property
    def balanced(self) -> bool:
        return self.opened == len(self.messages) + self.refused + self.discarded


class Sink:
    def __init__(self, counter: Counter, envelope: Envelope) -> None:
        self.counter = counter
        self.envelope = envelope
        self.blocks: list[bytes] = []
        self.open = True

    async def write(self, block: bytes) -> None:
        assert self.open
        fail("write", self.envelope.recipients)
        self.blocks.append(block)

    async def commit(self) -> Receipt:
        assert self.open
        self.open = False
        self.counter.committing.set()
        await self.counter.go_on.wait()
        try:
            fail("commit", self.envelope.recipients)
        except Exception:
            self.counter.refused += 1
            raise
        self.counter.messages.append(Taken(self.envelope, b"".join(self.blocks)))
        return Receipt(len(self.counter.messages), denied(self.envelope))

    async def discard(self) -> None:
        assert self.open
        self.open = False
        self.counter.discarded += 1
        fail("discard", self.envelope.recipients)


def denied(envelope: Envelope) -> Mapping[str, Refusal]:
    if envelope.door != "lmtp":
        return {}
    return {
        address: NotAllowed(f"you may not use {address}")
        for address in envelope.recipients
        if address.startswith("denied")
    }


def fail(when: str, recipients: Iterable[str]) -> None:
    for recipient in recipients:
        error = WRONG.get((when, recipient.partition("@")[0]))
        if error is not None:
            raise error


@dataclass(frozen=True)
class Listen:
    host: str = "127.0.0.1"
    port: int = 0
    max_size: int = 1_000_000
    socket: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    port_tls: int | None = None
    users: Path | None = None


@asynccontextmanager
async def door(
    counter: Counter, *, max_size: int = 1_000_000, lmtp: bool = False, **limits
) -> AsyncIterator[int]:
    """Open a door on a free port for as long as the block lasts."""
    kind = LmtpDoor if lmtp else SmtpDoor
    opened = kind(counter, Listen(max_size=max_size), "gate.mg.test", **limits)
    port = await opened.start()
    try:
        yield port
    finally:
        await opened.stop(timedelta(seconds=2))


class Client:
    """A client that says exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, words: bytes) -> None:
        self.writer.write(words)
        await self.writer.drain()

    async def reply(self) -> str:
        """Return the next reply; its lines are joined by LF. "" is the end of the connection."""
        lines = []
        while True:
            try:
                line = (await asyncio.wait_for(self.reader.readline(), 20)).decode()
            except ConnectionError:
                line = ""
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def ask(self, words: bytes) -> str:
        await self.say(words + b"\r\n")
        return await self.reply()

    async def begin(self, recipient: bytes = b"align@mg.test") -> str:
        """Go as far as the reply to DATA."""
        await self.ask(b"MAIL FROM:<ann@mg.test>")
        await self.ask(b"RCPT TO:<" + recipient + b">")
        return await self.ask(b"DATA")


@asynccontextmanager
async def client(port: int, *, hello: bool = True) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    talk = Client(reader, writer)
    try:
        if hello:
            await talk.reply()
            await talk.ask(b"EHLO client.mg.test")
        yield talk
    finally:
        writer.close()


async def converse(port: int, words: bytes) -> list[str]:
    """Say everything at once and hang up; return the replies' lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    writer.write_eof()
    heard = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return heard.decode().splitlines()


# --- without a kernel ------------------------------------------------------------------------------


class Wire(asyncio.Transport):
    """A transport whose pieces arrive exactly as they were cut.

    ``peer`` "" is a unix socket's, None one that the kernel does not tell any more.
    """

    def __init__(self, peer: str | None = "192.0.2.7") -> None:
        super().__init__({"peername": (peer, 40000) if peer else peer})
        self.session: Session | None = None
        self.heard = bytearray()
        self.closing = False

    def write(self, data: bytes) -> None:
        if not self.closing:
            self.heard += data

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.session.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def over_wire(
    counter: Counter, pieces: Iterable[bytes], *, max_size: int = 1_000_000, lmtp: bool = False
) -> list[str]:
    """Hold a conversation cut into ``pieces``; return the replies' lines."""
    terms = Terms(
        desk=counter,
        hostname="gate.mg.test",
        max_size=max_size,
        idle=timedelta(minutes=5),
        max_recipients=100,
        lmtp=lmtp,
    )
    loop = asyncio.get_running_loop()
    session = Session(terms, loop, admit=lambda _: None, ended=lambda _: None)
    wire = Wire()
    wire.session = session
    session.connection_made(wire)
    for piece in pieces:
        await settled(session)
        if wire.closing:
            break
        session.data_received(piece)
    await settled(session)
    if not wire.closing:
        session.eof_received()
    await session.talk
    return wire.heard.decode().splitlines()


async def settled(session: Session) -> None:
    """Wait until the session waits for its client."""
    while session._waits_since is None and not session.talk.done():
        await asyncio.sleep(0)
