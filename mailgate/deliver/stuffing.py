"""A letter as DATA wants it (RFC 5321, 4.5.2)."""

from collections.abc import Iterable, Iterator


def stuffed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Double the dots that begin lines, and end with the line of one dot.

    Every line end becomes CRLF, wherever the blocks were cut: to a careless relay a dot between
    bare LF or CR could be the end of DATA, and what follows it commands (SMTP smuggling).
    """
    held = b""
    line_begins = True
    for block in blocks:
        text = held + block
        # It may be half of a CRLF.
        held = b"\r" if text.endswith(b"\r") else b""
        text = _with_crlf(text[: len(text) - len(held)])
        if not text:
            continue
        # One byte is looked for sixty times as fast as two, and base64 has no dot.
        dotted = text.replace(b"\n.", b"\n..") if b"." in text else text
        yield b"." + dotted if line_begins and dotted.startswith(b".") else dotted
        line_begins = text.endswith(b"\n")
    yield b".\r\n" if line_begins and not held else b"\r\n.\r\n"


def _with_crlf(text: bytes) -> bytes:
    # Counting first: letters have nothing else, and replacing would copy each block three times.
    if text.count(b"\n") == text.count(b"\r\n") == text.count(b"\r"):
        return text
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
