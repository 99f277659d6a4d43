"""What a result says of its outputs: which go along, under what names, in which parts."""

import shlex
from collections.abc import Iterator, Sequence

from mailgate import said
from mailgate.model import Carried, Job, Parcel, Piece, Reply, Stream, StreamRole
from mailgate.model.parcel import LEAST, LETTERS, LETTERS_ASKED
from mailgate.reply.attachments import mail_names
from mailgate.reply.layout import fact
from mailgate.reply.manifest import piece_name
from mailgate.reply.package import part_size
from mailgate.reply.rows import ROWS, Cut, Listing, Output

# How much of a mail of a size is outputs, at the least: words and job.json come before them.
_FULL = 0.8


def carried_facts(carried: Carried | None) -> dict[str, object]:
    """Return what a result says of the shipment that its letter is of."""
    if carried is None:
        return {
            "part": 1,
            "parts": 1,
            "packed": False,
            "pieces": (),
            "joined": Listing(rows=(), more=0),
            "unmailable": False,
        }
    parcels = carried.shipment.parcels
    return {
        "part": carried.part,
        "parts": carried.of,
        "packed": any(parcel.file for parcel in parcels),
        "pieces": tuple(_piece(parcels[piece.parcel], piece) for piece in carried.pieces),
        "joined": _joined(carried),
        "unmailable": not carried.pieces,
    }


def _joined(carried: Carried) -> Listing:
    """List the files that are cut, as a shell takes their names: in part 1 all, else those here."""
    parcels = carried.shipment.parcels
    here = {piece.parcel for piece in carried.pieces}
    # What was whole in a part may be cut when that is refused as too big.
    again = {piece.parcel for piece in carried.pieces if piece.size != parcels[piece.parcel].size}
    cut = again | {number for number, one in enumerate(parcels) if one.first != one.last}
    names = [parcels[number].name for number in sorted(cut if carried.part == 1 else cut & here)]
    rows = tuple(fact(shlex.quote(name), 600) for name in names[:ROWS])
    return Listing(rows=rows, more=len(names) - len(rows))


def _piece(parcel: Parcel, piece: Piece) -> Cut:
    return Cut(
        name=fact(piece_name(parcel, piece.offset, piece.size), 200),
        size=fact(said.size(piece.size)),
        whole=piece.size == parcel.size,
        of=fact(parcel.name, 200),
        of_size=fact(said.size(parcel.size)),
    )


def outputs_of(job: Job, attached: Sequence[bool], carried: Carried | None) -> Iterator[Output]:
    """Yield a row for each of a job's streams: ``attached`` tells of each whether it goes along."""
    fates = list(zip(job.streams, attached, strict=True))
    places = {m.stream: p for p in carried.shipment.parcels for m in p.members} if carried else {}
    several = carried is not None and carried.of > 1
    plain = iter(mail_names(stream.name for stream, goes in fates if goes))
    for number, (stream, goes) in enumerate(fates):
        parcel = places.get(number)
        own = _own_name(stream) if goes else stream.name
        name = next(plain) if goes else own
        if parcel is not None and goes:
            name = parcel.name
        yield Output(
            name=fact(own, 200),
            size=fact(said.size(stream.size)),
            sha256=fact(stream.sha256),
            attached=goes,
            called="" if name == own else fact(name, 200),
            empty=not stream.size,
            first=str(parcel.first) if several and parcel else "",
            last=str(parcel.last) if several and parcel else "",
        )


def ways_to(job: Job, attached: Sequence[bool], limit: int) -> dict[str, object]:
    """Return which replies fetch what is kept, as far as its sizes tell: none that cannot.

    ``by_name`` is an output that some mails carry alone, ``by_all`` whether they carry all that is
    kept; ``part_size`` is the size of mails that carry it where more of them are asked for.
    """
    kept = [s for s, goes in zip(job.streams, attached, strict=True) if not goes and s.size]
    holds = LETTERS * limit * _FULL
    name = next((stream.name for stream in kept if part_size(stream.size) <= holds), "")
    all_of_it = part_size(sum(stream.size for stream in kept))
    needed = max(int(all_of_it / _FULL / LETTERS_ASKED), LEAST)
    # Of mails that were wanted smaller than they can be there may be bigger ones.
    by_wish = job.reply is Reply.PARTS and job.part is not None and job.part <= limit
    size = needed if by_wish else max(limit, LEAST)
    return {
        "by_name": fact(name),
        "by_all": all_of_it <= holds,
        "part_size": f"{-(-size >> 10)}KiB" if size >= needed else "",
    }


def _own_name(stream: Stream) -> str:
    """Return the name that the command gave a file, where another output had it before."""
    own = stream.path.removeprefix("out/named/").removeprefix("work/")
    stem, dot, ending = own.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (own, "")
    if stream.role is not StreamRole.FILE or not stream.name.startswith(f"{stem}-"):
        return stream.name
    number = stream.name[len(stem) + 1 :].removesuffix(ending)
    return own if f"{stem}-{number}{ending}" == stream.name and number.isdecimal() else stream.name
