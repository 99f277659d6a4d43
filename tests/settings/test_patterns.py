"""Which patterns can be slow, and which cannot."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.settings.patterns import fault, fits, sample

LONGEST = 1000
USUAL = [
    r"[A-Za-z0-9_.-]+", r"[a-z]+(,[a-z]+)*", r"\w+(\s\w+)*", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", r"[^@]+@[^@]+",
    r"^\d{4}-\d{2}-\d{2}$", r"[A-Z][0-9]{5}", r".*foo.*", r"(?:foo|bar|qux)*", r"(?i:yes|no)", r"(a|ab)*c",
    r"(?:\w++,)*+\w++", r"[\w.+-]+@[a-z]+(\.[a-z]+)+", r"sp\|[A-Z0-9]+\|.*", r"", r"(?P<n>a)?b", r"[+-]?\d+(\.\d*)?",
]  # fmt: skip
SLOW = [
    (r"(a+)+", "a" * 40 + "!"), (r"(a*)*b", "a" * 40), (r"(\w+\s?)*", "a" * 40 + "!"), (r"(x+x+)+y", "x" * 40),
    (r"([a-z]+\s*)+", "a" * 40 + "!"), (r"(a|aa)+", "a" * 60 + "!"), (r"(a?){30}a{30}", "a" * 29),
    (r".*.*.*.*x", "a" * 1000), (r"(?:(?:a{1,9})*)*", "a" * 40 + "!"), (r"(?i)(a|A+)*", "aA" * 20 + "!"),
]  # fmt: skip


@pytest.mark.parametrize("pattern", USUAL)
def test_usual_patterns_are_taken_and_have_a_sample(pattern: str) -> None:
    assert fault(pattern, LONGEST) is None
    words = sample(pattern)
    assert words is not None
    assert fits(pattern, words)


@pytest.mark.parametrize(("pattern", "value"), SLOW)
def test_patterns_that_can_be_slow_are_refused(pattern: str, value: str) -> None:
    found = fault(pattern, LONGEST)
    assert found is not None
    assert found[0] == "can take very long on some values"


def test_a_short_value_allows_more() -> None:
    assert fault(r".*.*.*x", LONGEST) is not None
    assert fault(r".*.*.*x", 100) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(x", "does not compile"),
        ("[[a]", "does not compile"),
        (r"(a)\1", "a reference"),
        ("(?=a)a", "look"),
        ("(?<!a)b", "look"),
        ("a{99999999999}", "does not compile"),
    ],
)
def test_patterns_that_cannot_be_judged_are_refused(pattern: str, words: str) -> None:
    found = fault(pattern, LONGEST)
    assert found is not None
    assert words in found[0]


PIECES = st.recursive(
    st.sampled_from(["a", "b", "[ab]", ".", r"\w", "[^a]", "ab"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "*+"])).map(
            "(?:{0[0]}){0[1]}".format
        ),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("(?:{})".format).map(str)
        | st.lists(inner, min_size=2, max_size=3).map(lambda p: f"(?:{'|'.join(p)})"),
    ),
    max_leaves=6,
)


@given(pattern=PIECES, value=st.text("ab!", max_size=26))
def test_no_pattern_that_is_taken_is_slow(pattern: str, value: str) -> None:
    try:
        re.compile(pattern)
    except re.error:
        assert fault(pattern, 26) is not None
        return
    # Exponential time would be 2**26 steps at the least: over the limit, and still soon over.
    if fault(pattern, 4096) is None:
        begin = time.process_time()
        fits(pattern, "ab" * 13 + "!")
        fits(pattern, "a" * 26 + "!")
        fits(pattern, value)
        assert time.process_time() - begin < 2.0
