"""Transfer encodings (RFC 2045 section 6) undone block by block, at the speed of the C library."""

import binascii
import re
from collections.abc import Iterator

from mailgate.client.source import Source

BLOCK = 96 * 1024
"""Of encoded bytes at once: in the processor's cache, and under malloc's 128 KiB for fresh pages.

Measured: 10 % less time than blocks of 1 MiB take.
"""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FOREIGN = bytes(set(range(256)) - set(_ALPHABET))
_TRAILING_BLANKS = re.compile(rb"[ \t]+(?=\r*\n)")
_SIGNS_OF_THEM = (b" \n", b" \r", b"\t\n", b"\t\r")
_LONGEST_LINE = 1024 * 1024


def decoded(source: Source, start: int, end: int, encoding: str) -> Iterator[bytes]:
    """Yield the content of [start, end) in blocks of at most about a MiB.

    ``encoding`` is lower-case; one that is not known counts as none. Damage is skipped, not raised:
    the checksum tells.
    """
    if encoding == "base64":
        return _base64(source, start, end)
    if encoding == "quoted-printable":
        return _quoted_printable(source, start, end)
    if encoding in ("x-uuencode", "uuencode", "x-uue"):
        return _uuencoded(source, start, end)
    return source.blocks(start, end, BLOCK)


def base64_size(source: Source, start: int, end: int) -> int:
    """Return the decoded size of [start, end) from its two ends, right if all lines are alike."""
    head = source.read(start, min(end, start + 1024))
    tail = source.read(max(start, end - 1024), end)
    end -= len(tail) - len(tail.rstrip())
    line, width = _line(head)
    whole, rest = divmod(end - start, line)
    pads = tail.rstrip()[-2:].count(b"=")
    return (whole * width + min(rest, width)) // 4 * 3 - pads


def whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut blocks anew after line feeds; a line over 1 MiB is cut within."""
    rest = b""
    for block in blocks:
        held = rest + block
        cut = held.rfind(b"\n") + 1
        if not cut and len(held) > _LONGEST_LINE:
            cut = len(held) - 3
            torn = held.find(b"=", cut - 2, cut)  # of an =XX
            cut = torn if torn >= 0 else cut
        if cut:
            yield held[:cut]
        rest = held[cut:]
    if rest:
        yield rest


def _line(head: bytes) -> tuple[int, int]:
    """Return the first line's length with and without its line end."""
    length = head.find(b"\n") + 1
    if not length:
        return 1 << 62, 1 << 62  # one endless line
    return length, len(head[:length].rstrip())


def _base64(source: Source, start: int, end: int) -> Iterator[bytes]:
    """Decode lines as they stand while they are regular, else only their alphabet's characters."""
    line, _ = _line(source.read(start, min(end, start + 1024)))
    # Four lines of any width hold a multiple of four characters.
    blocks = source.blocks(start, end, BLOCK // (4 * line) * 4 * line or BLOCK)
    for block in blocks:
        try:
            yield binascii.a2b_base64(block)
        except binascii.Error:
            yield from _sifted(block, blocks)


def _sifted(block: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Decode what is left of a part by its alphabet alone; padding is no part of it."""
    rest = block.translate(None, _FOREIGN)
    for following in blocks:
        cut = len(rest) // 4 * 4
        yield binascii.a2b_base64(rest[:cut])
        rest = rest[cut:] + following.translate(None, _FOREIGN)
    odd = len(rest) % 4
    # A lone character is a footer's letter, or damage: the checksum tells.
    yield binascii.a2b_base64(rest + b"=" * (4 - odd) if odd > 1 else rest[: len(rest) - odd])


def _quoted_printable(source: Source, start: int, end: int) -> Iterator[bytes]:
    """Decode whole lines; blanks before a line end were added on the way (RFC 2045 section 6.7)."""
    for lines in whole_lines(source.blocks(start, end, BLOCK)):
        blanks = any(sign in lines for sign in _SIGNS_OF_THEM)
        yield binascii.a2b_qp(_TRAILING_BLANKS.sub(b"", lines) if blanks else lines)


def _uuencoded(source: Source, start: int, end: int) -> Iterator[bytes]:
    for lines in whole_lines(source.blocks(start, end, BLOCK)):
        yield b"".join(_uu(line) for line in lines.splitlines())


def _uu(line: bytes) -> bytes:
    if line.startswith((b"begin ", b"end")):
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""
