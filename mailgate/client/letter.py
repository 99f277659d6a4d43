"""Finding a gateway's reply in a mail, however it was wrapped, forwarded or rewritten on its way.

A reply is a message with a job.json among its leaves; the attachments after it are the streams, in
the manifest's order. Only offsets are kept, so a mail's size does not matter.
"""

import re
from collections.abc import Iterator

from mailgate.client.decode import decoded
from mailgate.client.errors import Damaged
from mailgate.client.header import Header
from mailgate.client.joined import behind, closed, next_letter
from mailgate.client.manifest import ENDED, Manifest, Stream, read_manifest
from mailgate.client.source import Source, kept
from mailgate.client.words import shown
from mailgate.errors import Refusal

_BLANK_LINE = re.compile(rb"\n\r*\n")
_LEADING = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*\r*\n)*(?:>?From [^\n]*\n)*")
_AFTER_DELIMITER = re.compile(rb"(--)?[ \t]*\r*(?:\n|\Z)")

_LONGEST_HEADER = 1024 * 1024
_MOST_LEAVES = 10_000
_DEEPEST = 20
_LONGEST_MANIFEST = 4 * 1024 * 1024


class Part:
    """A leaf: where its encoded bytes lie, and what its header says of them."""

    __slots__ = ("attachment", "encoding", "end", "media_type", "name", "source", "start")

    def __init__(self, source: Source, start: int, end: int, header: Header) -> None:
        """Take the bytes [start, end) of ``source``, without the line end before the delimiter."""
        media, disposition = header.media(), header.disposition()
        self.source = source
        self.start = start
        self.end = end
        self.media_type = media.word
        self.encoding = header.encoding()
        self.name = disposition.text("filename") or media.text("name")
        self.attachment = bool(self.name) or disposition.word == "attachment"

    def decoded(self) -> Iterator[bytes]:
        """Yield the content, its transfer encoding undone."""
        return decoded(self.source, self.start, self.end, self.encoding)


class Reply:
    """A manifest and the leaves that followed it."""

    __slots__ = ("_leaves", "_places", "date", "manifest")

    def __init__(self, manifest: Manifest, leaves: list[Part], date: str) -> None:
        """Take the leaves after job.json, in the mail's order, and the mail's Date as written."""
        self.manifest = manifest
        self.date = date
        self._leaves = leaves
        attached = [each for each in manifest.streams if each.attached]
        self._places = {id(each): place for place, each in enumerate(attached)}

    def part(self, stream: Stream) -> Part | None:
        """Return the leaf that holds an attached stream, None if the mail has lost it.

        By its place, as sent; where something stands in between, by its name.
        """
        return self._leaf(self._places[id(stream)], len(self._places), stream.name)

    def piece(self, place: int) -> Part | None:
        """Return the leaf that holds the manifest's piece of that place, None if it is lost."""
        pieces = self.manifest.pieces
        return self._leaf(place, len(pieces), pieces[place].name)

    def _leaf(self, place: int, count: int, name: str) -> Part | None:
        """Return attachment number ``place`` of ``count``, but that of the name if it is alone."""
        leaves = [leaf for leaf in self._leaves if leaf.attachment]
        if len(leaves) < count:
            leaves = self._leaves
        here = leaves[place] if place < len(leaves) else None
        if here and here.name == name:
            return here
        named = [leaf for leaf in leaves if leaf.name == name]
        return named[0] if len(named) == 1 else here


class Notice:
    """What stands in for a result that cannot be had from a mail: why, as a refusal."""

    __slots__ = ("job", "why")

    def __init__(self, job: str, why: Refusal) -> None:
        """Take the job's id ("" if unknown) and the refusal to raise if nothing better turns up."""
        self.job = job
        self.why = why


def look(source: Source, start: int, end: int, *, depth: int = 0) -> Iterator[Reply | Notice]:
    """Yield what a gateway wrote in the mail [start, end), forwarded mails within it too.

    Mails put one behind the other (``cat a.eml b.eml``) are all seen, as `joined` tells them apart.
    A mail that has nothing to do with a gateway costs a search for the next letter.
    """
    while start < end:
        header, body = _opened(source, start + _leading(source, start, end), end)
        kind = header.first(b"content-type").lower()
        composite = kind.startswith(("multipart/", "message/")) and depth < _DEEPEST
        leaves = _leaves(source, (header, body, end), depth) if composite else []
        start = end if depth else _following(source, header, leaves, body, end)
        if leaves and leaves[-1].end > start:  # it was cut off, and another mail follows
            leaves = _leaves(source, (header, body, start), depth)
        yield from _written(header, leaves, depth)


def _following(source: Source, header: Header, leaves: list[Part], body: int, end: int) -> int:
    """Return where the mail behind this one begins, ``end`` if none does."""
    if not leaves:
        return next_letter(source, body, end)
    after = closed(source, header, leaves[-1].end, end)
    return behind(source, after, end) if after >= 0 else next_letter(source, leaves[-1].start, end)


def _written(header: Header, leaves: list[Part], depth: int) -> Iterator[Reply | Notice]:
    job = header.first(b"mailgate-job")
    garbled = False
    for place, leaf in enumerate(leaves):
        try:
            manifest = _manifest(leaf)
        except Refusal as why:
            yield Notice(job, why)
            return
        if manifest:
            yield Reply(manifest, leaves[place + 1 :], header.first(b"date"))
            return
        garbled = garbled or (leaf.name == "job.json" and leaf.start < leaf.end)
        yield from _within(leaf, depth)
    if job:
        yield _without_manifest(job, header.first(b"mailgate-phase"), garbled=garbled)


def _without_manifest(job: str, phase: str, *, garbled: bool) -> Notice:
    if garbled:
        return Notice(job, Damaged(f"job.json of job {shown(job)} is damaged: it cannot be read"))
    if phase in ENDED:
        why = Damaged(f"the result of job {shown(job)} is cut off: it holds no job.json")
        return Notice(job, why)
    return Notice(job, Refusal(f"job {shown(job)} has not ended: this mail is not its result"))


def _manifest(leaf: Part) -> Manifest | None:
    """Read a leaf if it may be a job.json."""
    if leaf.media_type != "application/json" and "json" not in leaf.name.lower():
        return None
    if leaf.end - leaf.start > _LONGEST_MANIFEST:
        return None
    return read_manifest(b"".join(leaf.decoded()))


def _within(leaf: Part, depth: int) -> Iterator[Reply | Notice]:
    """Look into a forwarded mail, even where it was encoded (against RFC 2046 section 5.2.1)."""
    if not leaf.media_type.startswith("message/") and not leaf.name.lower().endswith(".eml"):
        return
    if leaf.encoding in ("", "7bit", "8bit", "binary"):
        yield from look(leaf.source, leaf.start, leaf.end, depth=depth + 1)
    else:
        inner = kept(leaf.source.name, leaf.decoded())
        yield from look(inner, 0, inner.size, depth=depth + 1)


def _leaves(source: Source, entity: tuple[Header, int, int], depth: int) -> list[Part]:
    """Return the leaves below an entity (its header, its body's bounds) in the mail's order."""
    found: list[Part] = []
    waiting = [(*entity, depth)]
    while waiting and len(found) < _MOST_LEAVES:
        header, body, end, deep = waiting.pop()
        media = header.media()
        boundary = media.raw("boundary").rstrip()
        if not media.word.startswith("multipart/") or not boundary or deep >= _DEEPEST:
            found.append(Part(source, body, end, header))
            continue
        children = list(_children(source, body, end, boundary))
        waiting += [(*_opened(source, a, b), b, deep + 1) for a, b in reversed(children)]
    return found


def _children(source: Source, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Yield the bounds of a multipart's parts (RFC 2046 section 5.1.1).

    The last may lack its delimiter: a mail that was cut off.
    """
    needle = b"\n--" + boundary
    opened, at = -1, source.find(needle, start - 1, end)
    for _ in range(_MOST_LEAVES):
        if at < 0:
            break
        after = at + len(needle)
        line = _AFTER_DELIMITER.match(source.read(after, min(end, after + 1000)))
        if line:
            if opened >= 0:
                yield opened, _line_end(source, opened, at)
            if line[1]:
                return
            opened = after + line.end()
        at = source.find(needle, after - 1 if line else after, end)
    if opened >= 0:
        yield opened, end


def _line_end(source: Source, start: int, feed: int) -> int:
    """Return where the line end that belongs to the delimiter begins: LF, CRLF, or CRs and LF."""
    before = source.read(max(start, feed - 2), feed)
    return max(start, feed - (len(before) - len(before.rstrip(b"\r"))))


def _leading(source: Source, start: int, end: int) -> int:
    """Count the bytes before a mail's header: a byte order mark, empty lines, postmarks."""
    hit = _LEADING.match(source.read(start, min(end, start + 4096)))
    return hit.end() if hit else 0


def _opened(source: Source, start: int, end: int) -> tuple[Header, int]:
    """Return a header and where its body begins; without a blank line all of it is header."""
    first = source.read(start, min(end, start + 2))
    if first[:1] == b"\n" or first == b"\r\n":
        return Header(b""), start + first.index(b"\n") + 1
    length = 4096
    while True:
        block = source.read(start, min(end, start + length))
        blank = _BLANK_LINE.search(block)
        if blank:
            return Header(block[: blank.start() + 1]), start + blank.end()
        if len(block) < length or length >= _LONGEST_HEADER:
            return Header(block), min(end, start + len(block))
        length *= 16
