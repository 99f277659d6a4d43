"""The lower rungs of the ladder: what one letter cannot carry is compressed, then cut into parts.

A shipment is made once, from a result's draft, before any of its letters is composed; what each
letter carries stays the same from then on. The same outputs cut for the same size give the same.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mailgate.model import Carried, Job, LetterKind, Parcel, Piece, Reply, Shipment
from mailgate.model.parcel import LETTERS, LETTERS_ASKED, Pieces
from mailgate.reply.compose import Writer
from mailgate.reply.cut import Range, cut
from mailgate.reply.draft import Draft
from mailgate.reply.manifest import weight
from mailgate.reply.pack import Packer, open_parcel
from mailgate.reply.package import part_size
from mailgate.reply.streams import OpenStream, blocks_of, changed

_SPARE = 512
"""Bytes by which a letter's text may grow as the numbers in it do."""

_TRIES = 4


class Shipper:
    """Makes shipments, and cuts parts anew; ``folder`` is that of the spool's letters."""

    def __init__(self, writer: Writer, folder: Path) -> None:
        self._writer = writer
        self._folder = folder

    def make(self, draft: Draft, open_stream: OpenStream) -> tuple[Shipment, list[Pieces]] | None:
        """Return a result as a shipment, and what each of its letters carries.

        None where no output of it fits even so. Reads every byte of it, and writes packed files.

        Raises
        ------
        Changed
            A stream is not what was recorded.
        OSError
            A packed file cannot be written.
        """
        draft = replace(draft, limit=draft.limit - self._writer.reserved)
        job = draft.job
        assert job  # noqa: S101 - a result has its job
        asked = [n for n, s in enumerate(job.streams) if not draft.only or s.name in draft.only]
        most = LETTERS_ASKED if job.reply is Reply.PARTS else LETTERS
        packer = Packer(self._folder, job, open_stream)
        asked = packer.likely(asked, most * draft.limit)
        for _ in range(_TRIES):
            if not asked:
                return None
            parcels = packer.pack(asked)
            parts, over = self._cut(draft, job, parcels, most, open_stream)
            if not over:
                break
            asked = _without(asked, parcels, over)
        else:
            return None
        if not any(one.size for part in parts for one in part):
            return None
        placed = [_placed(n, parcel, parts) for n, parcel in enumerate(parcels)]
        pieces = _summed(job, placed, parts, self._folder, open_stream)
        told = "".join(f"{one.name}\0{one.sha256}\0" for one in placed)
        code = hashlib.sha256(f"{job.id}\0{draft.limit}\0{told}".encode()).hexdigest()[:16]
        limit = draft.limit + self._writer.reserved
        shipment = Shipment(code=code, limit=limit, most=most, parcels=tuple(placed))
        return shipment, pieces

    def smaller(self, draft: Draft, open_stream: OpenStream) -> list[Pieces] | None:
        """Return what the letters carry that take a part's place within the draft's limit.

        None where the part fits as it is; an empty list where it cannot be cut so small.

        Raises
        ------
        Changed
            A stream is not what was packed.
        """
        draft = replace(draft, limit=draft.limit - self._writer.reserved)
        job, carried = draft.job, draft.carried
        assert job and carried  # noqa: S101, PT018 - a part has them
        front = self._front(draft, carried.part, carried.of, open_stream)
        parcels = carried.shipment.parcels
        # Without what is spared: a part is not cut again because its number has a digit more.
        fits = front - _SPARE + _weight(job, parcels, carried.pieces) <= draft.limit
        if not carried.pieces or fits:
            return None
        room = draft.limit - self._front(draft, 2, carried.of, open_stream)
        cuts, over = cut(
            [piece.size for piece in carried.pieces],
            lambda n, offset, size: _weigh(
                job, parcels, carried.pieces[n].parcel, carried.pieces[n].offset + offset, size
            ),
            first=draft.limit - front,
            room=room,
            most=carried.shipment.most,
        )
        if over:
            return []
        parts: list[list[Piece]] = [[] for _ in cuts]
        for number, piece in enumerate(carried.pieces):
            for part, one in _of(number, piece, cuts, job, parcels, self._folder, open_stream):
                parts[part].append(one)
        return [tuple(part) for part in parts if part]

    def forget(self, shipment: Shipment) -> None:
        """Remove a shipment's packed files: they, or what is in them, are not what they were."""
        for parcel in shipment.parcels:
            if parcel.file is not None:
                (self._folder / parcel.file).unlink(missing_ok=True)

    def _cut(
        self,
        draft: Draft,
        job: Job,
        parcels: Sequence[Parcel],
        most: int,
        open_stream: OpenStream,
    ) -> tuple[list[list[Range]], list[int]]:
        whole = tuple(
            Piece(parcel=n, offset=0, size=one.size, sha256=one.sha256)
            for n, one in enumerate(parcels)
        )
        planned = replace(
            draft,
            carried=Carried(
                shipment=Shipment(code="0" * 16, limit=0, most=most, parcels=tuple(parcels)),
                part=1,
                of=1,
                pieces=whole,
            ),
        )
        if self._fits(planned, open_stream):
            return [[Range(n, 0, one.size) for n, one in enumerate(parcels)]], []
        sizes = [self._front(planned, part, most, open_stream) for part in (1, most)]
        first, room = (draft.limit - size for size in sizes)
        weigh = partial(_weigh, job, parcels)
        sizes = [parcel.size for parcel in parcels]
        return cut(sizes, weigh, first=first, room=room, most=most)

    def _fits(self, draft: Draft, open_stream: OpenStream) -> bool:
        """Whether one letter carries all the pieces of a draft, with nothing of its text cut."""
        carried = draft.carried
        assert carried  # noqa: S101 - see the caller
        bodies = sum(part_size(piece.size) for piece in carried.pieces)
        if bodies > draft.limit:
            return False
        endless = replace(draft, limit=1 << 40)
        front = self._writer.front_size(endless, carried, open_stream)
        return front + bodies + _SPARE <= draft.limit

    def _front(self, draft: Draft, part: int, of: int, open_stream: OpenStream) -> int:
        """Return the most bytes that stand before the pieces of a part."""
        carried = draft.carried
        assert carried  # noqa: S101 - see the callers
        # The text of a letter with pieces is longer than that of one without: it lists them.
        bare = replace(carried, part=part, of=of, pieces=_MADE_UP)
        kind = LetterKind.RESULT if part == 1 else LetterKind.PART
        wide = replace(draft, kind=kind, carried=bare)
        return self._writer.front_size(wide, bare, open_stream) + _SPARE


def _of(
    number: int,
    piece: Piece,
    cuts: Sequence[Sequence[Range]],
    job: Job,
    parcels: Sequence[Parcel],
    folder: Path,
    open_stream: OpenStream,
) -> Iterator[tuple[int, Piece]]:
    """Yield what a piece was cut into, each with the place of its letter."""
    found = [
        (place, Range(piece.parcel, piece.offset + one.offset, one.size))
        for place, part in enumerate(cuts)
        for one in part
        if one.parcel == number
    ]
    parcel = parcels[piece.parcel]
    digests = _digested(job, parcel, [one for _, one in found], folder, open_stream)
    if digests.whole != piece.sha256:
        raise changed(job.streams[parcel.members[0].stream].name)
    for (place, one), sha256 in zip(found, digests.ranges, strict=True):
        yield place, _piece(one, sha256)


_MADE_UP = (Piece(parcel=0, offset=0, size=0, sha256="0" * 64),)


def _weigh(job: Job, parcels: Sequence[Parcel], number: int, offset: int, size: int) -> int:
    """Return the most bytes that a piece takes in a letter, with all that is said of it."""
    named = 2 * len(parcels[number].name.encode("utf-8", "replace")) * 3 + 80
    return part_size(size) + weight(job, parcels, number, offset, size) + named


def _weight(job: Job, parcels: Sequence[Parcel], pieces: Pieces) -> int:
    return sum(_weigh(job, parcels, one.parcel, one.offset, one.size) for one in pieces)


def _without(asked: Sequence[int], parcels: Sequence[Parcel], over: Sequence[int]) -> list[int]:
    """Leave out what does not fit: a parcel of one stream, or the bigger half of a zip's."""
    out: set[int] = set()
    for parcel in (parcels[number] for number in over):
        if len(parcel.members) == 1:
            out.add(parcel.members[0].stream)
            continue
        left = parcel.size // 2
        for member in sorted(parcel.members, key=lambda one: one.size):
            left -= member.size
            if left < 0:
                out.add(member.stream)
    return [n for n in asked if n not in out]


def _placed(number: int, parcel: Parcel, parts: Sequence[Sequence[Range]]) -> Parcel:
    """Note on a parcel in which parts it is."""
    found = [n for n, part in enumerate(parts, 1) if any(one.parcel == number for one in part)]
    return replace(parcel, first=found[0], last=found[-1])


# --- digests --------------------------------------------------------------------------------------


def _summed(
    job: Job,
    parcels: Sequence[Parcel],
    parts: Sequence[Sequence[Range]],
    folder: Path,
    open_stream: OpenStream,
) -> list[Pieces]:
    """Digest every range, and see that together they are what they should be."""
    digests: dict[Range, str] = {}
    for number, parcel in enumerate(parcels):
        ranges = [one for part in parts for one in part if one.parcel == number]
        found = _digested(job, parcel, ranges, folder, open_stream)
        digests.update(zip(ranges, found.ranges, strict=True))
        if ranges and found.whole != parcel.sha256:
            raise changed(job.streams[parcel.members[0].stream].name)
    return [tuple(_piece(one, digests[one]) for one in part) for part in parts]


def _piece(one: Range, sha256: str) -> Piece:
    return Piece(parcel=one.parcel, offset=one.offset, size=one.size, sha256=sha256)


@dataclass(frozen=True, slots=True)
class _Digests:
    ranges: list[str]
    whole: str


def _digested(
    job: Job, parcel: Parcel, ranges: Sequence[Range], folder: Path, open_stream: OpenStream
) -> _Digests:
    """Digest ranges that follow each other, each and together."""
    stream = job.streams[parcel.members[0].stream]
    whole, each = hashlib.sha256(), []
    with closing(open_parcel(parcel, job, folder, open_stream)) as source:
        for one in ranges:
            digest = hashlib.sha256()
            for block in blocks_of(stream, source, one.offset, one.size):
                digest.update(block)
                whole.update(block)
            each.append(digest.hexdigest())
    return _Digests(each, whole.hexdigest())
