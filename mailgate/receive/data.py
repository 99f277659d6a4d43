"""The body of DATA as blocks: where it ends, the dots doubled on its way, and where it goes.

Nothing here knows the socket, so that the tests can cut a conversation anywhere.
"""

import asyncio

from mailgate import log
from mailgate.receive.terms import Receipt, Sink, too_big

BLOCK = 256 * 1024
"""Bytes of a body that are handled at a time; a turn of the event loop takes at most twice that."""

_END = b"\r\n.\r\n"
_BEGUN = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


class Body:
    """One message's bytes out of a DATA stream (RFC 5321, 4.1.1.4 and 4.5.2).

    Only CRLF "." CRLF ends it. Bare CR and bare LF are content wherever they stand, so that no
    mixture of them that another server reads as an end (SMTP smuggling) is one here. Lines may have
    any length.

    Attributes
    ----------
    rest
        None until the end was seen; then the bytes after it, which are the client's next commands.
    """

    __slots__ = ("_held", "_lead", "rest")

    def __init__(self) -> None:
        # The body begins at the start of a line: a line end stands before it that is no content.
        self._held = b"\r\n"
        self._lead = 2
        self.rest: bytes | None = None

    def feed(self, block: bytes) -> bytes:
        """Return the content that ``block`` completes; up to 4 bytes wait for the next block."""
        raw = self._held + block if self._held else block
        first = _first_dot(raw)
        end = raw.find(_END, first) if first >= 0 else -1
        if end >= 0:
            self.rest = raw[end + len(_END) :]
            content = raw[: end + 2]
        else:
            kept = next((len(begun) for begun in _BEGUN if raw.endswith(begun)), 0)
            self._held = raw[len(raw) - kept :]
            content = raw[: len(raw) - kept]
        # A line of two dots and more; the end itself has gone.
        if 0 <= first != end:
            content = content.replace(b"\r\n.", b"\r\n")
        return self._led(content)

    def _led(self, content: bytes) -> bytes:
        """Take off the line end that stood before the body, once."""
        if not self._lead or not content:
            return content
        self._lead = 0
        return content[2:]


def _first_dot(raw: bytes) -> int:
    """Find the first line that begins with a dot, -1 if there is none.

    Looking for the dot alone first is worth it: base64, which is most of all bytes, has none, and
    one byte is found ten times as fast as three.
    """
    dot = raw.find(b".")
    return raw.find(b"\r\n.", max(dot - 2, 0)) if dot >= 0 else -1


class Taking:
    """Writes one body to a sink, and after the first trouble only counts it.

    The client hears of the trouble after its final dot: it listens no sooner (RFC 5321, 4.2.5).
    """

    __slots__ = ("_limit", "_open", "_sink", "_trouble", "size")

    def __init__(self, sink: Sink, limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._open = True
        self._trouble: Exception | None = None
        self.size = 0

    @property
    def over(self) -> bool:
        """Whether it is bigger than the limit."""
        return self.size > self._limit

    @property
    def hopeless(self) -> bool:
        """Whether so much came over the limit that the final dot is no longer worth waiting for."""
        return self.size > 2 * self._limit

    async def write(self, content: bytes) -> None:
        """Hand ``content`` on, or swallow it. Never raises: :meth:`commit` does."""
        self.size += len(content)
        if self._trouble:
            return
        if self.over:
            self._trouble = too_big(self._limit)
        else:
            self._trouble = await self._failure(content)
        if self._trouble:
            await self.discard()

    async def _failure(self, content: bytes) -> Exception | None:
        try:
            await self._sink.write(content)
        except Exception as error:  # noqa: BLE001 - a body cut short would be read as commands
            return error
        return None

    async def commit(self) -> Receipt:
        """Make it durable; raises the first trouble otherwise."""
        if self._trouble:
            raise self._trouble
        self._open = False
        return await self._sink.commit()

    async def discard(self) -> None:
        """Have the sink forget it, unless it has ended already."""
        if not self._open:
            return
        self._open = False
        try:
            await self._sink.discard()
        except Exception as error:  # noqa: BLE001 - the spool's janitor finds what is left
            log.event("failed", doing="discard", error=repr(error))


# --- the client's side of the connection ----------------------------------------------------------
# asyncio's reader has no method to look whether a line is there, nor to put bytes back: these
# lean on its private buffer, as aiosmtpd itself does.


def has_line(reader: asyncio.StreamReader) -> bool:
    """Tell whether a command line can be read without waiting for the client."""
    return b"\n" in reader._buffer  # type: ignore[attr-defined] # noqa: SLF001


def has_more(reader: asyncio.StreamReader) -> bool:
    """Tell whether the client has said anything that was not read yet."""
    return bool(reader._buffer)  # type: ignore[attr-defined] # noqa: SLF001


def put_back(reader: asyncio.StreamReader, rest: bytes) -> None:
    """Let the next read begin with ``rest``."""
    reader._buffer[:0] = rest  # type: ignore[attr-defined] # noqa: SLF001


async def read_line(reader: asyncio.StreamReader, limit: int) -> bytes | None:
    """Read one line with its end (LF, usually after CR); None if it is over ``limit`` bytes.

    A line of any length is swallowed in flat memory. Raises IncompleteReadError at the end of the
    stream, ConnectionError where it broke.
    """
    long = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as overrun:
            await reader.readexactly(overrun.consumed)
            long = True
        else:
            return None if long or len(line) > limit else line
