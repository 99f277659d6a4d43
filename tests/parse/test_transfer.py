import base64
import binascii
import io
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.model import Slice
from mailgate.parse.transfer import BLOCK, decoded, decoder


def undone(encoding: str, *blocks: bytes) -> tuple[bytes, str | None]:
    by = decoder(encoding)
    content = b"".join(by.feed(block) for block in blocks) + by.finish()
    return content, by.damage and str(by.damage)


@pytest.mark.parametrize(
    ("text", "content", "damage"),
    [
        (b"aGVsbG8=", b"hello", None),
        (b"aGVs\r\nbG8=\r\n", b"hello", None),
        (b"aGVsbG8", b"hello", "base64 that breaks off"),
        (b"aGVsbG8h", b"hello!", None),
        (b"aGVsb", b"hel", "base64 that breaks off"),
        (b"aG!Vs-bG8=", b"hello", "foreign characters in base64 data"),
        (b"=aGVsbG8=", b"hello", None),
        (b"aGVsbG8=\r\n-- \r\nlist footer", b"hello", "text after the end of base64 data"),
        (b"aA==aA==", b"h", "text after the end of base64 data"),
        (b"aA=x", b"h\x0c", "base64 that breaks off"),
        (b"", b"", None),
        (b"====", b"", None),
        (b"\xff\xfe", b"", "foreign characters in base64 data"),
    ],
)
def test_base64_gives_what_it_holds(text, content, damage):
    assert undone("base64", text) == (content, damage)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (b"a=3Db", b"a=b"),
        (b"a=3db", b"a=b"),
        (b"long=\r\nline", b"longline"),
        (b"long= \t\r\nline", b"longline"),
        (b"long=\nline", b"longline"),
        (b"long=\rline", b"longline"),
        (b"a=b", b"a=b"),
        (b"a=", b"a"),
        (b"a= \r\n", b"a"),
        (b"a=ZZb", b"a=ZZb"),
        (b"tail \r\n", b"tail \r\n"),
        (b"caf=E9", b"caf\xe9"),
        (b"", b""),
    ],
)
def test_quoted_printable_gives_what_it_quotes(text, content):
    assert undone("quoted-printable", text)[0] == content


def test_uuencoded_data_is_what_stands_between_begin_and_end():
    content = bytes(range(256)) * 3
    lines = [binascii.b2a_uu(content[n : n + 45]) for n in range(0, len(content), 45)]
    text = b"words\nbegin 644 a.bin\n" + b"".join(lines) + b"`\nend\nmore words\n"
    assert undone("x-uuencode", text) == (content, None)
    assert undone("x-uuencode", text.replace(b"\n", b"\r\n")) == (content, None)
    broken = text.replace(b"end\n", b"")
    assert undone("x-uuencode", broken)[1] == "a line that is not uuencoded" or (
        undone("x-uuencode", broken)[1] == "uuencoded data that breaks off"
    )


def test_other_encodings_are_taken_as_they_stand():
    assert undone("binary", b"=3D\x00\xff") == (b"=3D\x00\xff", None)


def test_blocks_are_never_larger_than_agreed():
    raw = quopri.encodestring(b"x" * 3 * BLOCK) + b"y" * 3 * BLOCK
    for encoding in ("binary", "quoted-printable", "base64"):
        part = Slice(start=0, end=len(raw), encoding=encoding)
        assert all(0 < len(block) <= BLOCK for block in decoded(io.BytesIO(raw), part))


def test_a_slice_is_read_while_others_read_the_same_file():
    raw = b"a" * BLOCK + b"b" * BLOCK
    source = io.BytesIO(raw)
    part = Slice(start=1, end=len(raw) - 1, encoding="binary")
    taken = []
    for block in decoded(source, part):
        taken.append(block)
        source.seek(0)
    assert b"".join(taken) == raw[1:-1]


def split(data: st.DataObject, text: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(st.binary(max_size=400), st.data())
def test_what_was_encoded_comes_back_however_it_is_split(content, data):
    lines = base64.encodebytes(content)
    assert undone("base64", *split(data, lines)) == (content, None)
    assert undone("base64", *split(data, lines.replace(b"\n", b"\r\n"))) == (content, None)
    quoted = quopri.encodestring(content)
    assert undone("quoted-printable", *split(data, quoted))[0] == quopri.decodestring(quoted)


@given(
    st.sampled_from(["base64", "quoted-printable", "x-uuencode", "binary"]),
    st.lists(st.sampled_from([b"=", b"A", b"QUJD", b"\r\n", b"\n", b" ", b"\xff", b"=3D", b"-"])),
    st.data(),
)
def test_rubbish_decodes_the_same_however_it_is_split(encoding, pieces, data):
    text = b"".join(pieces)
    assert undone(encoding, *split(data, text))[0] == undone(encoding, text)[0]


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_something(raw):
    for encoding in ("base64", "quoted-printable", "x-uuencode", "binary"):
        assert isinstance(undone(encoding, raw)[0], bytes)


def test_equals_signs_and_nothing_else_are_not_kept_until_the_end():
    by = decoder("quoted-printable")
    blocks = [by.feed(b"=" * (BLOCK + 1)) for _ in range(6)]
    assert all(blocks[1:])
    # The last one may be a soft break's.
    whole = binascii.a2b_qp(b"=" * (6 * (BLOCK + 1) - 1))
    assert b"".join([*blocks, by.finish()]) == whole


def test_padding_everywhere_is_linear(calls_of):
    for text in (b"a=" * BLOCK, b"=" * BLOCK, b"aa=" * BLOCK):
        assert calls_of(lambda text=text: undone("base64", text)) < 4 * BLOCK
