"""A job as its reply's job.json tells it."""

import json
from collections.abc import Sequence

from mailgate.client.errors import Damaged
from mailgate.client.words import moment, shown, size
from mailgate.errors import Refusal

ENDED = frozenset({"COMPLETED", "ERROR", "ABORTED", "ARCHIVED"})
"""The phases (UWS 1.1) in which a reply is a result."""

_WORK_LIMIT = 124  # as timeout(1)
_GONE = 125
_NOT_STARTED = 126  # as a shell says it
_KILLED = 137  # 128 + SIGKILL: what the kernel does when memory is out
_MOST_CODE = 255
_MOST_SIGNAL = 127  # 128 + N is an exit status
_FORMATS = (1, 2)
_MOST_BYTES = 1 << 63
_MOST_PARTS = 10_000
_METHODS = ("stored", "gzip", "deflate")


class Place:
    """Where a stream's bytes lie in a parcel: [offset, offset + size), packed by ``method``."""

    __slots__ = ("method", "offset", "parcel", "size")

    def __init__(self, *, parcel: str, offset: int, size: int, method: str) -> None:
        """Take values that have been checked."""
        self.parcel = parcel
        self.offset = offset
        self.size = size
        self.method = method


class Stream:
    """One output of a job: its role (stdout, stderr, file), size in bytes, and SHA-256 in hex."""

    __slots__ = ("attached", "name", "place", "role", "sha256", "size")

    def __init__(
        self,
        *,
        role: str,
        name: str,
        size: int,
        sha256: str,
        attached: bool,
        place: Place | None = None,
    ) -> None:
        """Take values that have been checked; ``name`` is a stranger's all the same."""
        self.role = role
        self.name = name
        self.size = size
        self.sha256 = sha256
        self.attached = attached
        self.place = place


class Parcel:
    """What a shipment's letters carry together: one stream or several, packed or as they are."""

    __slots__ = ("name", "sha256", "size")

    def __init__(self, *, name: str, size: int, sha256: str) -> None:
        """Take values that have been checked; ``name`` is a stranger's all the same."""
        self.name = name
        self.size = size
        self.sha256 = sha256


class Piece:
    """The bytes [offset, offset + size) of a parcel, an attachment ``name`` of this letter."""

    __slots__ = ("name", "offset", "parcel", "sha256", "size")

    def __init__(self, *, parcel: str, name: str, offset: int, size: int, sha256: str) -> None:
        """Take values that have been checked; the names are a stranger's all the same."""
        self.parcel = parcel
        self.name = name
        self.offset = offset
        self.size = size
        self.sha256 = sha256


class Manifest:
    """What job.json says; every text is a stranger's.

    ``reason`` is why it ended, "" while it has not; ``over`` (when it ended) and ``kept_until`` are
    as written, "" if unknown. Of a result that is packed or in parts (``shipment`` is not "") the
    letter is number ``part`` of ``parts``, and carries ``pieces``.
    """

    __slots__ = (
        "code", "id", "kept_until", "label", "left_out", "over", "parcels", "part", "parts",
        "phase", "pieces", "reason", "service", "shipment", "signal", "streams",
    )  # fmt: skip

    def __init__(self, document: dict[str, object]) -> None:
        """Check and take a parsed job.json.

        Raises
        ------
        Damaged
            A field that accat needs is missing or of another type.
        """
        self.id = _text(document, "id")
        self.phase = _text(document, "phase")
        self.service = _words(document.get("service"))
        self.label = _words(document.get("label"))
        self.reason = _words(document.get("reason"))
        end = _table(document.get("exit"))
        self.code = _within(end, "code", 0, _MOST_CODE)
        self.signal = _within(end, "signal", 1, _MOST_SIGNAL)
        needed = {"exit": ("code", self.code), "signal": ("signal", self.signal)}
        key, number = needed.get(self.reason, ("", 0))
        if number is None:
            raise Damaged(f'job.json is damaged: it lacks "{key}"')
        times = _table(document.get("times"))
        self.over = _words(times.get("ended"))
        self.kept_until = _words(times.get("kept_until"))
        self.streams = tuple(_stream(entry) for entry in _list(document, "streams"))
        self.left_out = tuple(_words(entry) for entry in _list(document, "left_out"))
        part = _table(document.get("part"))
        self.shipment = _words(part.get("shipment"))
        self.part = _number(part.get("number")) or 1
        self.parts = min(_number(part.get("of")) or 1, _MOST_PARTS)
        self.parcels = tuple(_parcel(entry) for entry in _list(document, "parcels"))
        self.pieces = tuple(_piece(entry) for entry in _list(document, "pieces"))

    @property
    def ended(self) -> bool:
        """Whether the reply is the job's result, and not its receipt or a word on its progress."""
        return self.phase in ENDED

    @property
    def status(self) -> int:
        """The exit status that stands for how the job ended, 0 to 255."""
        match self.reason:
            case "work-limit":
                return _WORK_LIMIT
            case "could-not-start":
                return _NOT_STARTED
            case "memory":
                return self._signalled or _KILLED
            case "signal":
                return self._signalled or _GONE
            case "exit" if self.code is not None:
                return self.code
            case _:
                return _GONE

    @property
    def end(self) -> str:
        """How it ended in a word or two: ``exit 3``, ``signal 9``, ``work-limit``."""
        if self.reason in ("exit", "signal"):
            number = self.code if self.reason == "exit" else self.signal
            return f"{self.reason} {number}"
        return self.reason or "not ended"

    @property
    def kept(self) -> str:
        """Where a stream is that the mail does not hold, and until when."""
        until = f" until {moment(self.kept_until)}" if self.kept_until else ""
        return f"kept at the gateway{until}"

    @property
    def _signalled(self) -> int:
        return 128 + self.signal if self.signal is not None else 0


def read_manifest(data: bytes) -> Manifest | None:
    """Read a JSON attachment; None if it is no gateway's.

    Raises
    ------
    Damaged
        It begins as a job.json and cannot be read as one.
    Refusal
        It is of a later format than this accat knows.
    """
    if b'"mailgate"' not in data:
        return None
    try:
        document = json.loads(data.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        raise Damaged("job.json is damaged: it cannot be read as JSON") from None
    if not isinstance(document, dict) or "mailgate" not in document:
        return None
    if document["mailgate"] not in _FORMATS:
        version = shown(str(document["mailgate"]))
        raise Refusal(
            f"job.json is of format {version}; this accat knows {_FORMATS[-1]}: update it"
        )
    return Manifest(document)


def summary(manifest: Manifest) -> str:
    """Return one line: job, service, phase, how and when it ended, and its label."""
    words = [manifest.id, manifest.service, manifest.phase, manifest.end]
    words += [moment(manifest.over)] if manifest.ended and manifest.over else []
    words += [f'"{manifest.label}"'] if manifest.label else []
    return shown("  ".join(words))


def table(manifest: Manifest, streams: Sequence[Stream]) -> str:
    """Return the summary and a line for each stream: name, size, role, attached or kept."""
    rows = [(shown(s.name), f"{s.size} bytes", s.role, _where(manifest, s)) for s in streams]
    names = max((len(row[0]) for row in rows), default=0)
    sizes = max((len(row[1]) for row in rows), default=0)
    lines = [summary(manifest)]
    lines += [f"  {n:{names}}  {b:>{sizes}}  {r:6}  {where}" for n, b, r, where in rows]
    lines += [f"  left out: {shown(words)}" for words in manifest.left_out]
    return "".join(line + "\n" for line in lines)


def _where(manifest: Manifest, stream: Stream) -> str:
    if not stream.attached:
        return manifest.kept
    if not stream.place:
        return "attached"
    called = "" if stream.place.parcel == stream.name else f", {shown(stream.place.parcel)}"
    return (f"in {manifest.parts} parts" if manifest.parts > 1 else "attached") + called


def kept_sentence(manifest: Manifest, stream: Stream) -> str:
    """Say that a stream is not in the mail, how big it is, and until when it can be had."""
    return f"{shown(stream.name)} ({size(stream.size)}) is not in the mail: it is {manifest.kept}"


def _stream(entry: object) -> Stream:
    table = _table(entry)
    size, sha256 = _summed(table, "a stream")
    return Stream(
        role=_words(table.get("role")),
        name=_text(table, "name"),
        size=size,
        sha256=sha256,
        attached=table.get("attached") is True,
        place=_place(table) if "parcel" in table else None,
    )


def _place(table: dict[str, object]) -> Place:
    method = _words(table.get("method"))
    if method not in _METHODS:
        raise Refusal(
            f"job.json packs by {shown(method)}, which this accat does not know: update it"
        )
    parcel = _text(table, "parcel")
    return Place(
        parcel=parcel, offset=_count(table, "offset"), size=_count(table, "packed"), method=method
    )


def _parcel(entry: object) -> Parcel:
    table = _table(entry)
    size, sha256 = _summed(table, "a parcel")
    return Parcel(name=_text(table, "name"), size=size, sha256=sha256)


def _piece(entry: object) -> Piece:
    table = _table(entry)
    size, sha256 = _summed(table, "a piece")
    return Piece(
        parcel=_text(table, "parcel"),
        name=_text(table, "name"),
        offset=_count(table, "offset"),
        size=size,
        sha256=sha256,
    )


def _summed(table: dict[str, object], what: str) -> tuple[int, str]:
    size, sha256 = _number(table.get("size")), _text(table, "sha256").lower()
    if size is None or not 0 <= size < _MOST_BYTES or len(sha256) != 64:
        raise Damaged(f"job.json is damaged: {what} lacks its size or SHA-256")
    return size, sha256


def _count(table: dict[str, object], key: str) -> int:
    value = _number(table.get(key))
    if value is None or not 0 <= value < _MOST_BYTES:
        raise Damaged(f'job.json is damaged: "{key}" is no number of bytes')
    return value


def _within(table: dict[str, object], key: str, least: int, most: int) -> int | None:
    if table.get(key) is None:
        return None
    value = _number(table[key])
    if value is None or not least <= value <= most:
        raise Damaged(f'job.json is damaged: "{key}" is no number from {least} to {most}')
    return value


def _text(table: dict[str, object], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str):
        raise Damaged(f'job.json is damaged: it lacks "{key}"')
    return value


def _list(table: dict[str, object], key: str) -> list[object]:
    value = table.get(key) or []
    if not isinstance(value, list):
        raise Damaged(f'job.json is damaged: "{key}" is no list')
    return value


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _words(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
