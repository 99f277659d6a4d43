"""Parcels cut into letters: nothing is lost, nothing twice, and no letter has more than it bears."""

from hypothesis import given
from hypothesis import strategies as st

from mailgate.reply.cut import cut

HEAD = 1000


def weigh(_: int, __: int, size: int) -> int:
    return HEAD + size * 4 // 3


SIZES = st.lists(st.integers(0, 400_000), max_size=8)
ROOMS = st.integers(20_000, 150_000)


@given(SIZES, ROOMS, ROOMS, st.integers(1, 30))
def test_every_byte_of_what_goes_is_in_one_letter_and_the_rest_is_named(sizes, first, room, most):
    letters, over = cut(sizes, weigh, first=first, room=room, most=most)
    assert len(letters) <= most
    for number, letter in enumerate(letters):
        assert sum(weigh(0, 0, one.size) for one in letter) <= (room if number else first)
    for parcel, size in enumerate(sizes):
        ranges = [one for letter in letters for one in letter if one.parcel == parcel]
        if parcel in over:
            assert ranges == []
            continue
        at = 0
        for one in ranges:
            assert one.offset == at
            at += one.size
        assert at == size
        assert ranges


@given(st.integers(0, 3), st.integers(-1, 1))
def test_a_letter_is_filled_to_its_last_byte(more, border):
    # So many bytes that the last of some letters is just full, or lacks a byte, or has one over.
    room = HEAD + 40_000
    size = 30_000 * (1 + more) + border
    letters, over = cut([size], weigh, first=room, room=room, most=9)
    assert over == []
    expected = 1 + more if weigh(0, 0, 30_000 + border) <= room else 2 + more
    assert len(letters) == expected


def test_what_is_left_over_does_not_keep_a_smaller_one_from_going():
    letters, over = cut([1_000_000, 10], weigh, first=50_000, room=50_000, most=3)
    assert over == [0]
    assert [one.parcel for letter in letters for one in letter] == [1]
