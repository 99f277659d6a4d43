"""The body's end and dots, however the bytes are cut."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailgate.receive.data import Body

PIECES = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"\0", b"\xff", b"\r\n.\r\n", b"\r\n..\r\n"]
    ),
    max_size=30,
).map(b"".join)


def plain(stream: bytes) -> tuple[bytes, bytes | None]:
    """Read a body the slow way: line by line, a line being what ends in CRLF."""
    content = []
    while True:
        line, end, stream = stream.partition(b"\r\n")
        if not end:
            return b"".join(content), None
        if line == b".":
            return b"".join(content), stream
        content.append(line.removeprefix(b".") + b"\r\n")


def read(blocks) -> tuple[bytes, bytes | None]:
    body, content = Body(), []
    blocks = iter(blocks)
    for block in blocks:
        content.append(body.feed(block))
        if body.rest is not None:
            return b"".join(content), body.rest + b"".join(blocks)
    return b"".join(content), None


@given(PIECES)
def test_a_body_byte_by_byte_is_what_its_lines_are(words: bytes):
    stream = words + b"\r\n.\r\nQUIT\r\n"
    assert read(bytes([byte]) for byte in stream) == plain(stream)


@given(st.data())
def test_a_body_is_the_same_however_it_is_cut(data: st.DataObject):
    stream = data.draw(PIECES) + b"\r\n.\r\nQUIT\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    ends = [*cuts, len(stream)]
    blocks = [stream[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    assert read(blocks) == plain(stream)


@given(PIECES)
def test_stuffed_content_comes_back_as_it_was(words: bytes):
    content = words + b"\r\n"
    stuffed = re.sub(rb"(\A|\r\n)\.", rb"\1..", content)
    assert read([stuffed + b".\r\n"]) == (content, b"")
    assert read(bytes([byte]) for byte in stuffed + b".\r\n") == (content, b"")


@given(PIECES)
def test_no_more_than_four_bytes_wait(words: bytes):
    body, seen = Body(), 0
    for fed, byte in enumerate(words, start=1):
        seen += len(body.feed(bytes([byte])))
        if body.rest is not None:
            return
        assert fed - seen <= 4 + words[:fed].count(b".")
