"""A letter on its way through DATA, and back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailgate.deliver.stuffing import stuffed

PIECES = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"", b"\r\n.\r\n", b"\n.\n"]),
    max_size=30,
)


def unstuffed(stream: bytes) -> bytes:
    assert stream.endswith(b"\r\n.\r\n") or stream == b".\r\n"
    return re.sub(rb"(\A|\r\n)\.", rb"\1", stream.removesuffix(b".\r\n"))


@given(PIECES)
def test_what_a_relay_undoes_is_the_letter_with_crlf(pieces: list[bytes]):
    letter = re.sub(rb"\r\n|\r|\n", b"\r\n", b"".join(pieces))
    sent = b"".join(stuffed(pieces))
    assert unstuffed(sent) == (
        letter if letter.endswith(b"\r\n") or not letter else letter + b"\r\n"
    )


@given(PIECES)
def test_no_end_but_the_last_is_on_the_way(pieces: list[bytes]):
    sent = b"".join(stuffed(pieces))
    assert re.search(rb"[\r\n]\.[\r\n]", sent[:-3]) is None
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", sent) is None


@given(PIECES)
def test_the_cut_makes_no_difference(pieces: list[bytes]):
    assert b"".join(stuffed(pieces)) == b"".join(stuffed([b"".join(pieces)]))
