"""What a result's letters carry where its outputs are too much for one as they are."""

from dataclasses import dataclass
from enum import StrEnum

LEAST = 32 << 10
"""Bytes of the smallest part that may be asked for: in less there is hardly room but for words."""

LETTERS = 20
"""More mails than this nobody gets who has not asked for mails of a size."""

LETTERS_ASKED = 200
"""And this many nobody gets."""


class Method(StrEnum):
    """How a stream's bytes stand in a parcel."""

    STORED = "stored"
    GZIP = "gzip"
    DEFLATE = "deflate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A stream in a parcel: ``stream`` counts the job's, its bytes are [at, at + size) there."""

    stream: int
    at: int
    size: int
    method: Method = Method.STORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Some streams as the letters carry them: one as it is or as gzip, or several in a zip.

    ``file`` names a packed one among the spool's letters; None: the one member's own output.
    ``first`` and ``last`` are the parts that it was cut into, as they were planned.
    """

    name: str
    size: int
    sha256: str
    members: tuple[Member, ...]
    file: str | None = None
    first: int = 1
    last: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The bytes [offset, offset + size) of the parcel of that number, in one letter."""

    parcel: int
    offset: int
    size: int
    sha256: str


Pieces = tuple[Piece, ...]
"""What one letter carries, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """Outputs as several letters carry them, at most ``most``, each cut for ``limit`` bytes.

    ``code`` is the same for the same outputs cut for the same size.
    """

    code: str
    limit: int
    most: int
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What one letter of a shipment carries: its part ``part`` of, so far, ``of``.

    A letter without ``pieces`` says that some cannot be mailed.
    """

    shipment: Shipment
    part: int
    of: int
    pieces: Pieces
