"""Durations and sizes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.settings.units import duration, said_duration, said_size, size


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("15m", 900), ("10s", 10), ("14d", 1_209_600), ("1h", 3600), ("2w", 1_209_600), ("90 s", 90),
     ("1.5 h", 5400), ("1h 30m", 5400), ("1h30min", 5400), (" 2 Days ", 172_800), ("7\u00a0d", 604_800), ("1\u202fh\u200930\u00a0min", 5400), ("1 hour", 3600), ("0s", 0)],
)  # fmt: skip
def test_a_duration_is_read(words: str, seconds: float) -> None:
    assert duration(words) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "15",
        "m",
        "-1h",
        "1 parsec",
        "1h x",
        "1,5h",
        "１h",
        "1h-2h",
        "999999999999w",
        "1" * 99,
        "1e3s",
        "\0",
    ],
)
def test_what_is_no_duration_is_refused(words: str) -> None:
    with pytest.raises(ValueError):
        duration(words)


@pytest.mark.parametrize(
    ("words", "count"),
    [("20 MiB", 20 << 20), ("1 GiB", 1 << 30), ("25 MB", 25_000_000), ("512", 512), ("512 B", 512),
     ("1.5KiB", 1536), ("3 kb", 3000), ("2TiB", 2 << 40), ("4\u202fGiB", 4 << 30), ("0", 0)],
)  # fmt: skip
def test_a_size_is_read(words: str, count: int) -> None:
    assert size(words) == count


@pytest.mark.parametrize(
    "words", ["", "MiB", "20 M", "20 Mi", "-1 B", "1 PiB", "1,5 MiB", "1 MiB x", "٣ B"]
)
def test_what_is_no_size_is_refused(words: str) -> None:
    with pytest.raises(ValueError):
        size(words)


@given(st.integers(0, 10**9))
def test_a_duration_that_is_said_can_be_read(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    read = duration(said_duration(span))
    assert read <= span
    assert span - read < timedelta(days=1)


@given(st.integers(0, 2**50))
def test_a_size_that_is_said_can_be_read(count: int) -> None:
    assert abs(size(said_size(count)) - count) <= max(count * 0.06, 1)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1331, "1.3 KiB"),
        (186_368, "182 KiB"),
        (2**20 - 1, "1 MiB"),
        (2**40, "1 TiB"),
    ],
)
def test_sizes_are_said_in_short(count: int, words: str) -> None:
    assert said_size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (90, "1 min 30 s"),
        (5400, "1 h 30 min"),
        (1_209_600, "14 d"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations_are_said_in_short(seconds: float, words: str) -> None:
    assert said_duration(timedelta(seconds=seconds)) == words
