"""``job.json``: what a machine reads in a result. ``docs/replies.md`` lists its fields."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mailgate.model import Job, Stream

VERSION = 1

Fates = Sequence[bool]
"""For each of a job's streams, in order: does the letter carry it?"""


def manifest(job: Job, attached: Fates, room: int | None = None) -> bytes:
    """Write the machine part of a result: ASCII JSON, LF line ends, the last one included.

    Where everything takes more than ``room`` bytes, whole lists are left out, one after the other,
    and ``left_out`` says so; the streams that are attached stay in any case.
    """
    written = b""
    for shorter, fates in _ever_shorter(job, attached):
        written = _written(shorter, fates)
        if room is None or len(written) <= room:
            break
    return written


def _ever_shorter(job: Job, attached: Fates) -> Iterator[tuple[Job, Fates]]:
    yield job, attached
    job = replace(job, parameters={}, left_out=_noted(job, "parameters"))
    yield job, attached
    job = replace(job, errors=(), left_out=_noted(job, "errors"))
    yield job, attached
    job = replace(job, label=None, left_out=("left_out: the list does not fit into this letter",))
    yield job, attached
    going = tuple(stream for stream, goes in zip(job.streams, attached, strict=True) if goes)
    kept = _noted(job, "streams that are not attached")
    yield replace(job, streams=going, left_out=kept), (True,) * len(going)


def _noted(job: Job, what: str) -> tuple[str, ...]:
    return (*job.left_out, f"{what}: the list does not fit into this letter")


def _written(job: Job, attached: Fates) -> bytes:
    # Indented by one: no line is long unless a fact is, and none can begin as an mbox line does.
    return json.dumps(_fields(job, attached), indent=1, ensure_ascii=True).encode("ascii") + b"\n"


def _fields(job: Job, attached: Fates) -> dict[str, object]:
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
            {"at": _time(error.at), "reason": str(error.reason), "words": _text(error.words)}
            for error in job.errors
        ],
        "times": {
            "created": _time(job.created),
            "started": _time(job.started),
            "ended": _time(job.ended),
            "kept_until": _time(job.destruction),
        },
        "streams": [
            _stream(stream, attached=goes)
            for stream, goes in zip(job.streams, attached, strict=True)
        ],
        "left_out": [_text(line) for line in job.left_out],
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
