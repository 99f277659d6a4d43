"""What the daemon and its own helping processes say to each other: 8 bytes length and a pickle.

Both ends are ours: what is unpickled was pickled by this very program, of the model's values.
"""

import pickle
import struct
from typing import BinaryIO

LENGTH = struct.Struct(">Q")
"""What stands before a frame's content: how many bytes it has."""


def packed(value: object) -> bytes:
    """Return one frame."""
    content = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(content)) + content


def unpacked(content: bytes) -> object:
    """Return what one frame's content holds."""
    return pickle.loads(content)  # noqa: S301 - written by our own process


def receive(file: BinaryIO) -> object | None:
    """Return the next frame's value; None at the end."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return unpacked(file.read(*LENGTH.unpack(head)))
