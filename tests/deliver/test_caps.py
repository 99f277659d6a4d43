"""The caps on what leaves within an hour: what is counted, and when the next may leave."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mailgate.deliver.caps import Caps

HOUR = 3600.0
WALL = datetime(2026, 11, 22, tzinfo=UTC)


def caps(*left: tuple[float, str], each: int | None = None, in_all: int | None = None) -> Caps:
    """What has left so many seconds before loop time 10000."""
    made = Caps(each=each, in_all=in_all)
    earlier = [(WALL - timedelta(seconds=ago), who) for ago, who in left]
    made.load(earlier, wall=WALL, now=10_000.0)
    return made


def test_a_letter_over_a_cap_waits_until_the_oldest_is_an_hour_old() -> None:
    two = caps((3000, "a"), (600, "b"), in_all=2)
    assert two.room(10_000.0) == 0
    assert not two.take("c", 10_000.0)
    assert two.frees() == 10_000.0 - 3000 + HOUR
    assert two.room(10_600.0) == 1
    assert two.take("c", 10_600.0)
    assert two.frees() == 10_000.0 - 600 + HOUR


def test_a_cap_for_each_keeps_one_recipient_waiting_and_nobody_else() -> None:
    one = caps((3000, "a"), each=1)
    assert list(one.full()) == ["a"]
    assert not one.take("a", 10_000.0)
    assert one.take("b", 10_000.0)
    assert one.frees() == 10_000.0 - 3000 + HOUR
    one.back("b")
    assert list(one.full()) == ["a"]
    assert one.room(10_600.0) > 0
    assert one.take("a", 10_600.0)


def test_a_clock_that_was_set_back_makes_nobody_wait_for_longer_than_an_hour() -> None:
    late = caps((-5000, "a"), in_all=1)
    assert late.frees() == 10_000.0 + HOUR
    assert late.room(10_000.0 + HOUR) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2000), st.booleans()), max_size=60),
    st.integers(1, 5),
    st.integers(1, 8),
)
def test_no_hour_sees_more_than_the_caps_let(
    tries: list[tuple[str, int, bool]], each: int, in_all: int
) -> None:
    both = caps(each=each, in_all=in_all)
    now, left = 10_000.0, list[tuple[float, str]]()
    for who, pause, works in tries:
        now += pause
        recent = [to for at, to in left if at > now - HOUR]
        may = len(recent) < in_all and recent.count(who) < each
        assert (both.room(now) > 0) is (len(recent) < in_all)
        assert both.take(who, now) is may
        if may and works:
            left.append((now, who))
        elif may:
            both.back(who)
