import base64

from hypothesis import given
from hypothesis import strategies as st

from mailgate.model import Reply, Stream, StreamRole
from mailgate.reply.package import MOST, choose, encoded_size, part_size

SIZES = st.lists(st.integers(min_value=0, max_value=200_000), max_size=30)


def streams(sizes):
    return [
        Stream(role=StreamRole.FILE, name=f"{n}", path=f"{n}", size=size, sha256="0" * 64)
        for n, size in enumerate(sizes)
    ]


@given(SIZES, st.integers(min_value=0, max_value=2_000_000))
def test_what_is_chosen_fits_and_what_is_not_would_not_have_fitted(sizes, limit):
    fates = choose(streams(sizes), limit, Reply.FULL)
    assert len(fates) == len(sizes)
    taken = 0
    for size, goes in zip(sizes, fates, strict=True):
        assert goes == (taken + part_size(size) <= limit)
        taken += part_size(size) if goes else 0


@given(SIZES)
def test_a_brief_reply_takes_nothing_along(sizes):
    assert not any(choose(streams(sizes), 10**9, Reply.BRIEF))


def test_a_big_stream_is_passed_over_for_a_small_one_after_it():
    assert choose(streams([10, 10**6, 10]), 10_000, Reply.FULL) == (True, False, True)


def test_no_letter_has_more_attachments_than_a_mail_program_bears():
    assert sum(choose(streams([1] * 1000), 10**9, Reply.FULL)) == MOST


@given(st.binary(max_size=3000))
def test_the_encoded_size_is_exact(content):
    assert encoded_size(len(content)) == len(base64.encodebytes(content).replace(b"\n", b"\r\n"))
