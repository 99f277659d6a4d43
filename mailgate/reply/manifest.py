"""``job.json``: what a machine reads in a result. ``docs/replies.md`` lists its fields."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mailgate.model import Carried, Job, Member, Parcel, Stream
from mailgate.saying import Saying, Words

VERSION = 1
"""Of a result whose letter carries streams as they are, or none."""

PACKED = 2
"""Of a result that is packed or comes in parts: a reader of 1 alone would take a part for all."""

Fates = Sequence[bool]
"""For each of a job's streams, in order: does the letter carry it?"""


def manifest(
    job: Job, attached: Fates, room: int | None = None, carried: Carried | None = None
) -> bytes:
    """Write the machine part of a result: ASCII JSON, LF line ends, the last one included.

    Where everything takes more than ``room`` bytes, whole lists are left out, one after the other,
    and ``left_out`` says so; the streams that are attached stay in any case. The first letter of a
    shipment lists all streams, as one does that says what is kept, the others what they carry some
    of.
    """
    written = b""
    shipped = _shipped(carried) if carried else {}
    places = _places(carried) if carried else {}
    within = None if carried is None else _within(carried)
    if carried is None or carried.part == 1 or not carried.pieces:
        shorter = list(_ever_shorter(job))
    else:
        shorter = [(replace(job, parameters={}, errors=(), left_out=()), False)]
    for about, all_streams in shorter:
        fields = _fields(about) | shipped
        listed = range(len(job.streams)) if all_streams else _going(attached, within)
        fields["streams"] = [
            _stream(job.streams[n], attached=attached[n]) | places.get(n, {}) for n in listed
        ]
        written = _written(fields)
        if room is None or len(written) <= room:
            break
    return written


def _going(attached: Fates, within: frozenset[int] | None) -> list[int]:
    if within is not None:
        return sorted(within)
    return [n for n, goes in enumerate(attached) if goes]


def _ever_shorter(job: Job) -> Iterator[tuple[Job, bool]]:
    """Yield less and less of a job; whether the streams that are not attached are listed too."""
    yield job, True
    job = replace(job, parameters={}, left_out=_noted(job, "parameters"))
    yield job, True
    job = replace(job, errors=(), left_out=_noted(job, "errors"))
    yield job, True
    job = replace(job, label=None, left_out=(Saying("outputs/list-cut", what="left_out"),))
    yield job, True
    yield replace(job, left_out=(*job.left_out, Saying("outputs/streams-cut"))), False


def _noted(job: Job, what: str) -> tuple[Words, ...]:
    return (*job.left_out, Saying("outputs/list-cut", what=what))


def _written(fields: object) -> bytes:
    # Indented by one: no line is long unless a fact is, and none can begin as an mbox line does.
    return json.dumps(fields, indent=1, ensure_ascii=True).encode("ascii") + b"\n"


# --- what a shipment's letters say of it ----------------------------------------------------------


def carried_fates(job: Job, carried: Carried) -> tuple[bool, ...]:
    """Tell for each of a job's streams, in order, whether the shipment carries it."""
    going = {member.stream for parcel in carried.shipment.parcels for member in parcel.members}
    return tuple(n in going for n in range(len(job.streams)))


def weight(job: Job, parcels: Sequence[Parcel], number: int, offset: int, size: int) -> int:
    """Return the most bytes that ``job.json`` takes for a piece of a parcel."""
    parcel = parcels[number]
    entries: list[object] = [_parcel(parcel), {"size": 1 << 40, "sha256": "0" * 64, "offset": 0}]
    length = sum(len(_written(entry)) for entry in entries) + len(_written(parcel.name))
    met = [m for m in parcel.members if _meets(m, offset, size)]
    length += sum(_length(_stream(job.streams[m.stream], attached=True)) for m in met)
    length += len(met) * (len(_written(parcel.name)) + 150)
    # CRLF for LF and deeper indents; base64, where a name makes a line too long for a mail.
    return length * 3 // 2 + 100


def _length(entry: dict[str, object]) -> int:
    """Return the bytes that `_written` makes of a flat object, without its slow way to indent."""
    return len(json.dumps(entry)) + len(entry) + 3


def piece_name(parcel: Parcel, offset: int, size: int) -> str:
    """Return what a piece is called as an attachment: by name they are in the right order."""
    if (offset, size) == (0, parcel.size):
        return parcel.name
    return f"{parcel.name}.from-{offset:0{len(str(parcel.size))}}"


def _shipped(carried: Carried) -> dict[str, object]:
    parcels = carried.shipment.parcels
    here = {piece.parcel for piece in carried.pieces}
    listed = parcels if carried.part == 1 else [parcels[number] for number in sorted(here)]
    return {
        "mailgate": PACKED,
        "part": {"number": carried.part, "of": carried.of, "shipment": carried.shipment.code},
        "parcels": [_parcel(parcel) for parcel in listed],
        "pieces": [
            {
                "parcel": parcels[piece.parcel].name,
                "name": piece_name(parcels[piece.parcel], piece.offset, piece.size),
                "offset": piece.offset,
                "size": piece.size,
                "sha256": piece.sha256,
            }
            for piece in carried.pieces
        ],
    }


def _parcel(parcel: Parcel) -> dict[str, object]:
    return {"name": parcel.name, "size": parcel.size, "sha256": parcel.sha256}


def _places(carried: Carried) -> dict[int, dict[str, object]]:
    return {
        member.stream: {
            "parcel": parcel.name,
            "offset": member.at,
            "packed": member.size,
            "method": str(member.method),
        }
        for parcel in carried.shipment.parcels
        for member in parcel.members
    }


def _within(carried: Carried) -> frozenset[int]:
    """Return the streams of which this letter carries some bytes."""
    return frozenset(
        member.stream
        for piece in carried.pieces
        for member in carried.shipment.parcels[piece.parcel].members
        if _meets(member, piece.offset, piece.size)
    )


def _meets(member: Member, offset: int, size: int) -> bool:
    """Whether a member has bytes in a range; an empty one is where its place is."""
    return member.at <= offset + size and offset <= member.at + member.size


def _fields(job: Job) -> dict[str, object]:
    end = job.exit
    return {
        "mailgate": VERSION,
        "id": job.id,
        "service": job.service,
        "label": _text(job.label) if job.label is not None else None,
        "parameters": {_text(name): _text(value) for name, value in job.parameters.items()},
        "phase": str(job.phase),
        "exit": {"code": end.code if end else None, "signal": end.signal if end else None},
        "reason": str(end.reason) if end else None,
        "errors": [
            {"at": _time(error.at), "reason": str(error.reason), "words": _text(str(error.words))}
            for error in job.errors
        ],
        "times": {
            "created": _time(job.created),
            "started": _time(job.started),
            "ended": _time(job.ended),
            "kept_until": _time(job.destruction),
        },
        "streams": [],
        "left_out": [_text(str(line)) for line in job.left_out],
    }


def _stream(stream: Stream, *, attached: bool) -> dict[str, object]:
    return {
        "role": str(stream.role),
        "name": _text(stream.name),
        "size": stream.size,
        "sha256": stream.sha256,
        "attached": attached,
    }


def _time(at: datetime | None) -> str | None:
    """Write a time as ISO 8601 in UTC, to the second begun, with Z."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _text(text: str) -> str:
    """Escape lone surrogates (undecodable file names), which many JSON readers refuse."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
