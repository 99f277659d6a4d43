from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate import said


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1 KiB"),
        (1331, "1.3 KiB"),
        (186_368, "182 KiB"),
        (1024 * 1024 - 1, "1 MiB"),
        (75 * 1024 * 1024, "75 MiB"),
        (4 * 1024**3, "4 GiB"),
        (5000 * 1024**4, "5,000 TiB"),
    ],
)
def test_a_size_is_said_in_its_largest_binary_unit(count, words):
    assert said.size(count) == words


@given(st.integers(min_value=0, max_value=2**60))
def test_no_size_is_said_as_a_thousand_of_a_unit_that_has_a_larger_one(count):
    amount, unit = said.size(count).replace(",", "").split()
    assert float(amount) < 1024 or unit == "TiB"


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-3600), "less than 1 second"),
        (timedelta(milliseconds=400), "less than 1 second"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=4, seconds=12), "4 minutes 12 seconds"),
        (timedelta(hours=3, minutes=10, seconds=5), "3 hours 10 minutes"),
        (timedelta(hours=1, seconds=5), "1 hour"),
        (timedelta(days=14), "14 days"),
        (timedelta(days=1, hours=1), "1 day 1 hour"),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(span, words):
    assert said.duration(span) == words


@pytest.mark.parametrize(
    ("span", "written"),
    [
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=2), "2h"),
        (timedelta(days=14), "14d"),
        (timedelta(), "0s"),
    ],
)
def test_a_limit_is_written_as_a_request_can_say_it(span, written):
    assert said.sendable(span) == written


def test_a_time_is_said_in_utc_whatever_zone_it_came_in():
    at = datetime(2026, 12, 5, 15, 0, 59, tzinfo=timezone(timedelta(hours=1)))
    assert said.moment(at) == "5 December 2026, 14:00 UTC"
    with pytest.raises(ValueError, match="zone"):
        said.moment(at.replace(tzinfo=None))


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_month_has_its_name(at):
    assert str(at.year) in said.moment(at)


def test_counts_and_shares_and_signals_are_said_in_full():
    assert said.counted(1, "line") == "1 line"
    assert said.counted(10_000, "line") == "10,000 lines"
    assert said.counted(2, "entry", "entries") == "2 entries"
    assert said.percent(62.0) == "62 %"
    assert said.percent(99.46) == "99.5 %"
    assert said.signal(11) == "signal 11 (SIGSEGV)"
    assert said.signal(63) == "signal 63"
