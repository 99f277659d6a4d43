"""What the daemon and its own helping processes say to each other: 8 bytes length and a pickle.

Both ends are ours: what is unpickled was pickled by this very program, of the model's values.
"""

import asyncio
import pickle
import struct
from typing import BinaryIO

_LENGTH = struct.Struct(">Q")


def packed(value: object) -> bytes:
    """Return one frame."""
    content = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


def unpacked(content: bytes) -> object:
    """Return what one frame's content holds."""
    return pickle.loads(content)  # noqa: S301 - written by our own process


def receive(file: BinaryIO) -> object | None:
    """Return the next frame's value; None at the end."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return unpacked(file.read(*_LENGTH.unpack(head)))


async def ask(process: asyncio.subprocess.Process, frame: bytes) -> object:
    """Give a process a frame on its standard input; return what it answers on its output.

    Raises
    ------
    OSError, EOFError
        It has ended, or is about to.
    """
    if process.stdin is None or process.stdout is None:
        message = "a helping process has no pipes"
        raise EOFError(message)
    process.stdin.write(frame)
    await process.stdin.drain()
    (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
    return unpacked(await process.stdout.readexactly(length))
