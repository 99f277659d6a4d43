import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mailgate.reply.layout import (
    COLUMNS,
    cut,
    fact,
    laid_out,
    printable,
    shown,
    table,
    width,
    wrapped,
)

ANY = st.text(st.characters(), max_size=200)
HOSTILE = "\x00\x1b[2J\r\n\u202ekcab\u2028\x85\udc80\ufeff"


@given(ANY)
def test_a_strangers_text_is_one_line_in_which_nothing_acts(text):
    seen = printable(text)
    acting = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not any(unicodedata.category(char) in acting for char in seen)
    assert not any(
        unicodedata.bidirectional(char)
        in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for char in seen
    )


def test_what_acts_is_shown_as_an_escape():
    assert printable(HOSTILE) == r"\x00\x1b[2J  \u202ekcab  \udc80\ufeff"
    assert printable("größe 配列 \N{ZERO WIDTH JOINER}") == "größe 配列 \N{ZERO WIDTH JOINER}"


@given(ANY, st.integers(min_value=4, max_value=100))
def test_a_cut_text_fits_and_says_that_it_was_cut(text, columns):
    seen = printable(text)
    short = cut(seen, columns)
    assert width(short) <= columns
    assert short == seen or short.endswith("...")


def test_a_heap_of_accents_is_cut_by_its_bytes():
    assert len(cut("a" + "\u0301" * 10_000, 70)) <= 4 * 70


@given(ANY)
def test_a_fact_is_never_broken(text):
    known = fact(text, 60)
    letter = laid_out(f"The file {known} was left out of the outputs, since it is a symbolic link.")
    assert shown(known) in letter


def test_wide_characters_take_two_columns():
    assert width("配列") == 4
    assert table("配列 | 1\nabcd | 2\n") == "  配列   1\n  abcd   2\n"


def test_a_long_line_is_wrapped_and_an_indented_one_stays():
    long = "word " * 30
    lines = laid_out(f"{long}\n  {long}\n").split("\n")
    assert len(lines[0]) <= COLUMNS
    assert lines[-2] == f"  {long}".rstrip()


def test_blank_lines_never_come_in_pairs_but_those_of_an_excerpt_stay():
    assert laid_out("\n\na\n\n\n\nb\n  c\n  \n  \n  d\n\n\n") == "a\n\nb\n  c\n\n\n  d\n"


def test_a_word_longer_than_a_line_has_a_line_of_its_own():
    assert wrapped("a " + "x" * 80 + " b") == ["a", "x" * 80, "b"]


def test_the_last_cell_is_wrapped_under_itself():
    rows = table(f"> tre: upgma | {'word ' * 20}")
    first, second, *_ = rows.split("\n")
    assert first.startswith("  > tre: upgma   word")
    assert second.startswith(" " * 17 + "word")
    assert max(map(len, rows.split("\n"))) <= COLUMNS


def test_a_row_without_room_is_stacked():
    long = "globins-of-forty-five-vertebrates-and-some-more.fasta"
    assert table(f"> {long} | 58 KiB, the input\n> a | b\n") == (
        f"  > {long}\n      58 KiB, the input\n  > a   b\n"
    )


def test_a_bar_in_a_fact_divides_no_cells():
    assert shown(table(f"{fact('a | b')} | c")) == "  a | b   c\n"
