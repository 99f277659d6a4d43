"""Where one mail ends and the next begins, in mails put one behind the other (``cat new/*``).

A multipart says where it ends. A mail of text alone does not, so a gateway's letter is known by its
header: a run of fields before an empty line, with those that every letter has. Text of a letter
that quotes a stranger is indented, and where quoted-printable breaks a long line a ``=`` stands
before the break: neither can make such a header.
"""

import re

from mailgate.client.header import Header
from mailgate.client.source import WINDOW, Source

_NEXT_MAIL = re.compile(
    rb"(?:[ \t]*\r*\n)+(?=(?:Return-Path|Delivered-To|Received|DKIM-Signature|From|To|Subject|Date"
    rb"|Message-ID|MIME-Version|Content-Type|Mailgate-Job|X-[a-z-]+):)",
    re.IGNORECASE,
)
_FIELD = re.compile(rb"(?<![^\n])([!-9;-~]+):[^\n]*\n(?:[ \t]+[^\r\n][^\n]*\n)*")
_EMPTY_LINE = re.compile(rb"\r*\n")
_MARK = b"\nX-Loop:"
_LETTERS = frozenset(
    (b"from", b"to", b"subject", b"date", b"message-id", b"auto-submitted", b"x-loop")
)
"""The fields that every letter of a gateway has."""

_ONCE = _LETTERS - {b"x-loop"} | {b"mime-version", b"content-type", b"mailgate-job"}
_EXACT = (
    re.compile(rb"^Auto-Submitted:\s*auto-replied[ \t]*\r*$", re.IGNORECASE | re.MULTILINE),
    re.compile(rb"^Message-ID:\s*<[^<>\s]+>[ \t]*\r*$", re.IGNORECASE | re.MULTILINE),
)
"""No soft line break ends these, and of a broken line's pieces only the last has none."""

_LONGEST_HEADER = 64 * 1024


def closed(source: Source, header: Header, last: int, end: int) -> int:
    """Return the offset behind a multipart's closing delimiter, -1 where it has none.

    ``last`` is where its last part ends.
    """
    boundary = header.media().raw("boundary").rstrip()
    needle = b"\n--" + boundary + b"--"
    at = source.find(needle, last - 1, end) if boundary else -1
    return at + len(needle) if at >= 0 else -1


def behind(source: Source, after: int, end: int) -> int:
    """Return where another mail begins behind a closing delimiter, ``end`` if none does."""
    following = _NEXT_MAIL.match(source.read(after, min(end, after + 4096)))
    return after + following.end() if following else next_letter(source, after, end)


def next_letter(source: Source, start: int, end: int) -> int:
    """Return where the first letter of a gateway begins in [start, end), ``end`` if none does."""
    at = max(0, start - 1)
    while True:
        block = source.read(at, min(end, at + WINDOW))
        begin = _letter(block) if _MARK in block else -1
        if begin >= 0:
            return at + begin
        if len(block) < WINDOW:
            return end
        at += WINDOW - _LONGEST_HEADER


def _letter(block: bytes) -> int:
    """Return where a letter's header begins; the block's first byte only ends a line before."""
    run: list[tuple[bytes, int]] = []
    over = 0
    for field in _FIELD.finditer(block, 1):
        if field.start() != over:
            run = []
        over = field.end()
        run.append((field[1].lower(), field.start()))
        if _EMPTY_LINE.match(block, over):
            begin = _header(run)
            if begin >= 0 and all(exact.search(block[begin:over]) for exact in _EXACT):
                return begin
    return -1


def _header(run: list[tuple[bytes, int]]) -> int:
    """Return where the header begins whose fields end a run, -1 if it is no letter's.

    The last lines of a mail before it may look like fields: what comes twice is one of those.
    """
    seen: set[bytes] = set()
    begin = -1
    for name, at in reversed(run):
        if name in seen and name in _ONCE:
            break
        seen.add(name)
        begin = at
    return begin if seen >= _LETTERS else -1
