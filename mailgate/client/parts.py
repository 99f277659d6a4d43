"""Results that are packed or come in parts: joined by their offsets, whatever order they come in.

Letters of one shipment carry pieces of the same parcels. A piece is known by the range that it
covers, so that it may come twice, or be cut anew on its way: what counts is that the ranges cover
what is wanted. Letters of different shipments are never joined.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence

from mailgate.client.errors import Damaged, Missing
from mailgate.client.extract import Kept, Making
from mailgate.client.letter import Part, Reply
from mailgate.client.manifest import Manifest, Parcel, Piece, Place, Stream
from mailgate.client.restore import Write, intact, pour
from mailgate.client.words import instant, shown

Opens = Callable[[], Kept | Making]
"""Begins what takes a stream's bytes; left by an error, it takes away what it has taken."""

_BLOCK = 256 * 1024
"""Unpacked at once: however much a block unpacks to, memory stays flat."""

_WINDOWS = {"gzip": 31, "deflate": -15}
"""zlib's words for the header that it is to expect."""


class _Copy:
    """One letter's piece, and the leaf that should hold it."""

    __slots__ = ("leaf", "number", "piece")

    def __init__(self, number: int, piece: Piece, leaf: Part | None) -> None:
        self.number = number
        self.piece = piece
        self.leaf = leaf

    @property
    def end(self) -> int:
        return self.piece.offset + self.piece.size

    @property
    def as_stream(self) -> Stream:
        piece = self.piece
        return Stream(role="", name=piece.name, size=piece.size, sha256=piece.sha256, attached=True)


class Shipment:
    """All letters of one shipment that are there."""

    __slots__ = (
        "_copies",
        "_kept",
        "_missing",
        "_numbers",
        "date",
        "manifest",
        "parcels",
        "parts",
        "streams",
    )

    def __init__(self, replies: Sequence[Reply]) -> None:
        """Take the letters in any order, some perhaps twice."""
        replies = sorted(replies, key=lambda reply: reply.manifest.part)
        self.manifest: Manifest = replies[0].manifest
        self.parts = max(reply.manifest.parts for reply in replies)
        self.date = max(instant("", reply.date) for reply in replies)
        self.parcels: dict[str, Parcel] = {}
        self._numbers = {reply.manifest.part for reply in replies}
        self._kept = self._numbers - {r.manifest.part for r in replies if r.manifest.pieces}
        self._copies: dict[str, list[_Copy]] = {}
        streams: dict[tuple[str, str], Stream] = {}
        for reply in replies:
            for stream in reply.manifest.streams:
                streams.setdefault((stream.name, stream.sha256), stream)
            for parcel in reply.manifest.parcels:
                self.parcels.setdefault(parcel.name, parcel)
            for place, piece in enumerate(reply.manifest.pieces):
                copy = _Copy(reply.manifest.part, piece, reply.piece(place))
                self._copies.setdefault(piece.parcel, []).append(copy)
        self.streams = tuple(streams.values())
        self._missing: list[str] | None = None

    @property
    def missing(self) -> list[str]:
        """A line for each part that is not there, and that is needed for something."""
        if self._missing is None:
            self._missing = self._lines()
        return self._missing

    def _lines(self) -> list[str]:
        if all(self.has(stream) for stream in self.streams if stream.place) and 1 in self._numbers:
            return []
        numbers = [n for n in range(1, self.parts + 1) if n not in self._numbers]
        lines = [f'part {n} of {self.parts} is missing: reply "results part {n}"' for n in numbers]
        kept = f'of {self.parts} is kept, too big to be mailed: reply "results parts=100KiB"'
        return lines + [f"part {n} {kept}" for n in sorted(self._kept)]

    def has(self, stream: Stream) -> bool:
        """Whether all bytes of a stream should be there."""
        place = stream.place
        if place is None or place.parcel not in self.parcels:
            return False
        return self._route(place.parcel, place.offset, place.offset + place.size) is not None

    def lacks(self, stream: Stream) -> Missing | Damaged:
        """Return what to raise where a stream is carried, and not all of it is there."""
        lines = self.missing
        if not lines:
            return Damaged(f"{shown(stream.name)} is not whole: attachments were taken out of it")
        missing = f"{len(lines)} of {self.parts} parts {'is' if len(lines) == 1 else 'are'} missing"
        how = f"reply to another of the {self.parts} mails"
        return Missing(f"{shown(stream.name)} is not whole: {missing}; {how}", lines)

    def pour(self, wanted: Sequence[tuple[Stream, Opens]]) -> None:
        """Give each stream, unpacked, to what its ``Opens`` gives; each parcel is read once.

        Raises
        ------
        Damaged
            Bytes are not the ones that were sent; some may have been given.
        """
        by_parcel: dict[str, list[tuple[Place, Stream, Opens]]] = {}
        for stream, opens in wanted:
            if stream.place:
                by_parcel.setdefault(stream.place.parcel, []).append((stream.place, stream, opens))
        for parcel, members in by_parcel.items():
            takers = [
                _Taker(place, stream, opens)
                for place, stream, opens in sorted(members, key=lambda one: one[0].offset)
            ]
            self._read(parcel, takers)

    def pour_raw(self, parcel: Parcel, opens: Opens) -> None:
        """Give a parcel as it was sent; raises as `pour` does."""
        place = Place(parcel=parcel.name, offset=0, size=parcel.size, method="stored")
        stream = Stream(
            role="", name=parcel.name, size=parcel.size, sha256=parcel.sha256, attached=True
        )
        self._read(parcel.name, [_Taker(place, stream, opens)])

    def _read(self, parcel: str, takers: list["_Taker"]) -> None:
        """Read what the takers want of a parcel, in its order, each range once."""
        tape = _Tape(takers)
        try:
            for copy in self._needed(parcel, takers):
                tape.at = copy.piece.offset
                self._poured(copy, tape)
            tape.finish()
        except _BadMemberError as error:
            raise Damaged(str(error)) from error
        finally:
            tape.abandon()

    def _needed(self, parcel: str, takers: Sequence["_Taker"]) -> list[_Copy]:
        found: list[_Copy] = []
        for taker in takers:
            route = self._route(parcel, taker.place.offset, taker.end)
            if route is None:
                raise self.lacks(taker.stream)
            found += [copy for copy in route if copy not in found[-1:]]
        return found

    def _poured(self, copy: _Copy, tape: "_Tape") -> None:
        """Give a piece's bytes to the tape, from a letter that holds it whole if there is one."""
        alike = [
            one
            for one in self._copies[copy.piece.parcel]
            if (one.piece.offset, one.piece.sha256) == (copy.piece.offset, copy.piece.sha256)
            and one.leaf
        ]
        best = next((one for one in alike[:-1] if intact(_leaf(one), one.as_stream)), alike[-1])
        try:
            pour(_leaf(best), best.as_stream, tape.take)
        except Damaged as error:
            again = f'reply "results part {best.number}"'
            raise Damaged(f"part {best.number} of {self.parts} is damaged: {again}") from error

    def _route(self, parcel: str, start: int, end: int) -> list[_Copy] | None:
        """Return pieces that cover [start, end) in order; None if none do."""
        found: list[_Copy] = []
        copies = [one for one in self._copies.get(parcel, ()) if one.leaf]
        at = start
        while at < end:
            here = [one for one in copies if one.piece.offset <= at < one.end]
            if not here:
                return None
            found.append(max(here, key=lambda one: one.end))
            at = found[-1].end
        return found


class _BadMemberError(Exception):
    """A stream is not what the manifest says although its pieces are."""


class _Taker:
    """A stream on its way out of a parcel: unpacked, counted, summed."""

    __slots__ = ("_context", "_count", "_opens", "_sum", "_unpack", "_write", "place", "stream")

    def __init__(self, place: Place, stream: Stream, opens: Opens) -> None:
        self.place = place
        self.stream = stream
        self._opens = opens
        self._context: Kept | Making | None = None
        self._write: Write | None = None
        self._count = 0
        self._sum = hashlib.sha256()
        window = _WINDOWS.get(place.method)
        self._unpack = zlib.decompressobj(window) if window else None

    @property
    def end(self) -> int:
        return self.place.offset + self.place.size

    def take(self, block: bytes) -> None:
        """Take the next packed bytes."""
        if self._write is None:
            self._context = self._opens()
            self._write = self._context.__enter__()
        for content in self._unpacked(block):
            self._give(content)

    def _give(self, content: bytes) -> None:
        self._count += len(content)
        if self._count > self.stream.size or self._write is None:
            raise self._bad()
        self._sum.update(content)
        self._write(content)

    def _unpacked(self, block: bytes) -> Iterator[bytes]:
        if self._unpack is None:
            yield block
            return
        try:
            while block and not self._unpack.eof:
                yield self._unpack.decompress(block, _BLOCK)
                block = self._unpack.unconsumed_tail
        except zlib.error as error:
            raise self._bad() from error

    def close(self) -> None:
        """See that it was the stream, and end it."""
        self.take(b"")
        while self._unpack and (content := self._unpack.decompress(b"", _BLOCK)):
            self._give(content)
        whole = self._count == self.stream.size and self._sum.hexdigest() == self.stream.sha256
        if not whole:
            raise self._bad()
        context, self._context = self._context, None
        if context:
            context.__exit__(None)

    def abandon(self) -> None:
        """Take away what has come of it."""
        context, self._context = self._context, None
        if context:
            context.__exit__(_BadMemberError)

    def _bad(self) -> _BadMemberError:
        name = shown(self.stream.name)
        return _BadMemberError(f"{name} is damaged: its SHA-256 is not the one in job.json")


class _Tape:
    """A parcel's bytes going by; each taker takes its range of them."""

    __slots__ = ("_done", "_takers", "at")

    def __init__(self, takers: list[_Taker]) -> None:
        self.at = 0
        self._takers = takers
        self._done = takers[0].place.offset

    def take(self, block: bytes) -> None:
        """Take bytes that begin at ``at``; what was taken before is passed over."""
        start, self.at = self.at, self.at + len(block)
        while self._takers:
            taker = self._takers[0]
            begin = max(self._done, taker.place.offset)
            if begin > self.at or start > begin:
                return
            part = block[begin - start : taker.end - start]
            if part:
                taker.take(part)
            self._done = begin + len(part)
            if self._done < taker.end:
                return
            taker.close()
            self._takers.pop(0)

    def finish(self) -> None:
        """End the streams of which no byte is left to come: empty ones, if all is well."""
        while self._takers:
            self._takers.pop(0).close()

    def abandon(self) -> None:
        """Take away a stream that has not become whole."""
        for taker in self._takers:
            taker.abandon()


def _leaf(copy: _Copy) -> Part:
    if copy.leaf is None:
        raise Damaged(f"{shown(copy.piece.name)} is missing from its mail")
    return copy.leaf


def shipments(replies: Sequence[Reply]) -> list[Shipment]:
    """Return the shipments that letters of one job are of, those that are whole first."""
    grouped: dict[str, list[Reply]] = {}
    for reply in replies:
        if reply.manifest.shipment:
            grouped.setdefault(reply.manifest.shipment, []).append(reply)
    found = [Shipment(group) for group in grouped.values()]
    return sorted(found, key=lambda one: (len(one.missing), -one.date))
