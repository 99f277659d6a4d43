"""What daemon and reading process say to each other: frames of 8 bytes length and a pickle.

The reading process is ours and runs no word of a mail; what it sends back are the model's values.
"""

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from mailgate.services import Service

LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a reading process needs to know once: ``memory`` in bytes, ``time_limit`` in seconds."""

    services: Mapping[str, Service]
    staged: str
    memory: int
    time_limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Read this mail for these services: its bytes, or where they lie.

    ``released``: the operator wants it acted on, whatever it looks like.
    """

    message: int
    body: bytes | None
    path: str | None
    services: tuple[str, ...]
    released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """The mail cannot be read; the operator should look at it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """The mail cannot be read now: the spool's disk is full or broken."""

    reason: str


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
