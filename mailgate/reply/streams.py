"""The streams' bytes in a letter, block by block, each checked against what was recorded of it."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO, Protocol

from mailgate.errors import Permanent
from mailgate.model import Stream
from mailgate.reply import mime
from mailgate.reply.attachments import media_type
from mailgate.reply.mime import BLOCK
from mailgate.reply.package import Changed
from mailgate.saying import Saying, words_of


class Out(Protocol):
    """Where a letter's bytes go."""

    def write(self, block: bytes, /) -> object:
        """Take the next bytes, all of them."""


OpenStream = Callable[[Stream], BinaryIO]


def opened(stream: Stream, open_stream: OpenStream) -> BinaryIO:
    """Open a stream; raises Changed where it is not what was recorded, or is gone.

    One that was empty is not looked for: most standard errors are, and each look costs.
    """
    return opened_for(stream, open_stream) if stream.size else io.BytesIO()


def opened_for(stream: Stream, open_stream: OpenStream) -> BinaryIO:
    """Open what stands for a stream, a packed file, say; raises Changed as `opened` does."""
    try:
        return open_stream(stream)
    except Permanent as error:
        # The job's folder has another file there, or none.
        why = words_of(error.public)
        raise Changed(why, stream=stream.name, why=why, detail=error.detail) from error
    except OSError as error:
        raise unreadable(stream, error) from error


def unreadable(stream: Stream, error: OSError) -> Changed:
    """Say that a stream cannot be read, and why."""
    message = f"the output {stream.name!r} cannot be read"
    return Changed(
        message, stream=stream.name, why=Saying("outputs/unreadable", error=None), detail=str(error)
    )


def changed(name: str) -> Changed:
    """Say that a stream is not what was recorded."""
    message = f"the output {name!r} has changed since the job ended"
    return Changed(message, stream=name, why=Saying("outputs/changed-meanwhile"))


def write_stream(stream: Stream, name: str, open_stream: OpenStream, out: Out) -> None:
    """Write a whole stream as the attachment ``name``; raises Changed as `opened` does."""
    with closing(opened(stream, open_stream)) as source:
        blocks = blocks_of(stream, source)
        first = next(blocks, b"")
        out.write(mime.stream_head(media_type(stream.name, first), name))
        _write_checked(stream.name, _chained(first, blocks), stream.size, stream.sha256, out)


def write_range(
    name: str, about: str, blocks: Iterator[bytes], size: int, sha256: str, out: Out
) -> None:
    """Write some of a stream's or a packed file's bytes as the attachment ``name``.

    ``about`` is the stream's name, for the error.
    """
    out.write(mime.stream_head(media_type(name, b"\0"), name))
    _write_checked(about, blocks, size, sha256, out)


def blocks_of(
    stream: Stream, source: BinaryIO, offset: int = 0, size: int | None = None
) -> Iterator[bytes]:
    """Yield whole blocks of a stream from ``offset`` on, ``size`` bytes in all; raises Changed."""
    left = size
    try:
        if offset:
            source.seek(offset)
        while left is None or left > 0:
            block = _block(source, BLOCK if left is None else min(BLOCK, left))
            if not block:
                return
            left = None if left is None else left - len(block)
            yield block
    except OSError as error:
        raise unreadable(stream, error) from error


def _block(source: BinaryIO, most: int) -> bytes:
    """Read a whole block, shorter only at the end: a raw file may give less at a time."""
    block = source.read(most)
    while 0 < len(block) < most and (more := source.read(most - len(block))):
        block += more
    return block


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _write_checked(about: str, blocks: Iterator[bytes], size: int, sha256: str, out: Out) -> None:
    digest, count = hashlib.sha256(), 0
    if not size:
        # An empty body is a line, so that every reader finds the end of the header.
        out.write(b"\r\n")
    for block in blocks:
        count += len(block)
        if count > size:
            break
        digest.update(block)
        out.write(mime.base64_lines(block))
    if count != size or digest.hexdigest() != sha256:
        raise changed(about)
