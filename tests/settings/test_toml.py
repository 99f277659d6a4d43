"""The lines of a TOML file's keys."""

import tomllib
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from mailgate.settings.toml import Place, lines_of

EVERYTHING = '''# a comment with a = sign and [brackets]
top = 1
"quoted key" = "x # no comment"   # 3
'literal' = 'y'

[table]          # 6
a.b = 1
"a&b" = """
several
\\""" lines """
c = \'\'\'
[not.a.table]
\'\'\'
d = [            # 14
  "one",
  { x = 1,y = 2 },
  [ 3, 4 ],      # a ] comment
  """ten
""", "eleven",
]
e = { f = { g = 1 } }  # 21
date = 1979-05-27 07:32:00
[ spaced . "out" ]
z=-0.5
[[array]]
n = 1
[[array]]
n = 2
[array.sub]
m = 3
[[array.list]]
k = """"quoted""""
last = true'''


def test_every_kind_of_value_is_passed_over() -> None:
    lines = lines_of(EVERYTHING)
    assert set(places(tomllib.loads(EVERYTHING))) == set(lines)
    assert {".".join(place): line for place, line in lines.items()} == {
        "top": 2, "quoted key": 3, "literal": 4, "table": 6, "table.a": 7, "table.a.b": 7, "table.a&b": 8, "table.c": 11,
        "table.d": 14, "table.d.0": 15, "table.d.1": 16, "table.d.1.x": 16, "table.d.1.y": 16,
        "table.d.2": 17, "table.d.2.0": 17, "table.d.2.1": 17, "table.d.3": 18, "table.d.4": 19,
        "table.e": 21, "table.e.f": 21, "table.e.f.g": 21, "table.date": 22, "spaced": 23, "spaced.out": 23,
        "spaced.out.z": 24, "array": 25, "array.0": 25, "array.0.n": 26, "array.1": 27, "array.1.n": 28,
        "array.1.sub": 29, "array.1.sub.m": 30, "array.1.list": 31, "array.1.list.0": 31,
        "array.1.list.0.k": 32, "array.1.list.0.last": 33,
    }  # fmt: skip


def test_a_tables_own_header_is_its_line() -> None:
    assert lines_of("[a.b]\nx = 1\n[a]\ny = 1\n")["a",] == 3


def places(table: object, place: Place = ()) -> Iterator[Place]:
    """Yield every key and array item that tomllib found."""
    if place:
        yield place
    items = (
        table.items()
        if isinstance(table, dict)
        else enumerate(table)
        if isinstance(table, list)
        else ()
    )
    for name, value in items:
        yield from places(value, (*place, str(name)))


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True),
    st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters='"\\'), max_size=5
    ).map('"{}"'.format),
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="'"), max_size=5).map(
        "'{}'".format
    ),
)
STRINGS = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters='"\\'), max_size=8
    ).map('"{}"'.format),
    st.text(st.sampled_from("a\n #=[]{}',"), max_size=8).map('"""{}"""'.format),
    st.text(st.sampled_from('a\n #=[]{}",'), max_size=8).map("'''{}'''".format),
    st.sampled_from(
        [
            "1",
            "-2.5e3",
            "true",
            "1979-05-27T07:32:00Z",
            "0xff",
            '"\\\\"',
            '"\\""',
            '""""""',
            '"""\\""""""',
        ]
    ),
)
BLANK = st.sampled_from(["", " ", "\n", " # ] } comment\n", "\n\n"])
VALUES = st.recursive(
    STRINGS,
    lambda inner: (
        st.lists(st.tuples(BLANK, inner, BLANK).map("".join), max_size=3).map(
            lambda items: f"[{','.join(items)}]"
        )
        | st.lists(st.tuples(KEYS, inner), max_size=2, unique_by=lambda pair: pair[0]).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join),
    st.tuples(KEYS, KEYS, VALUES).map(lambda parts: f"{parts[0]} . {parts[1]}={parts[2]} # x"),
    KEYS.map("[{}]".format), st.tuples(KEYS, KEYS).map("[{0[0]}.{0[1]}]".format), KEYS.map("[[{}]]".format),
    st.sampled_from(["", "# [comment]", "   "]),
)  # fmt: skip


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_the_keys_found_are_those_that_tomllib_finds(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = lines_of(text)
    assert set(lines) == set(places(data))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
