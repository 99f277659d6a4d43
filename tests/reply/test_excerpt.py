import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.reply.excerpt import LINES, Excerpt, Seen, head, tail, textual
from mailgate.reply.layout import width


def first(content):
    return head(io.BytesIO(content))


def last(content):
    return tail(io.BytesIO(content))


def test_nothing_written_is_empty_not_a_line():
    assert first(b"") == last(b"") == Excerpt(seen=Seen.EMPTY)


def test_the_first_twenty_lines_of_a_text_are_seen():
    content = b"".join(b"line %d\n" % n for n in range(1, 22))
    excerpt = first(content)
    assert excerpt.lines == tuple(f"line {n}" for n in range(1, LINES + 1))
    assert excerpt.more


def test_the_last_twenty_lines_of_a_long_text_are_seen():
    content = b"".join(b"line %d\n" % n for n in range(1, 50_001))
    excerpt = last(content)
    assert excerpt.lines == tuple(f"line {n}" for n in range(49_981, 50_001))
    assert excerpt.more


def test_a_text_of_twenty_lines_is_seen_whole():
    content = b"a\n" * LINES
    for excerpt in (first(content), last(content), first(content[:-1])):
        assert len(excerpt.lines) == LINES
        assert not excerpt.more


def test_one_line_of_ten_megabytes_is_cut():
    content = b"x" * 10_000_000
    for excerpt, end in (
        (first(content), " ..."),
        (last(content), " ... (+65,136 characters)"),
    ):
        assert excerpt.more
        assert [len(line) for line in excerpt.lines[:-1]] == [70] * 6
        assert sum(line.count("x") for line in excerpt.lines) == 400
        assert excerpt.lines[-1].endswith(end)


def test_a_long_line_is_wrapped_whole_and_said_to_be_cut_only_past_four_hundred_characters():
    path = "/srv/mailgate/" + "a-long-folder/" * 9
    line = f"python3: can't open file '{path}tool.py': [Errno 2] No such file or directory"
    excerpt = last(f"first\n{line}\n\n{'y' * 401}\n{'z ' * 199}z\n".encode())
    rows = list(excerpt.lines)
    assert all(len(row) <= 70 for row in rows)
    gap = rows.index("")
    assert rows[0] == "first"
    assert all(row.startswith("    ") for row in rows[2:gap])
    assert "".join(rows[1:gap]).replace(" ", "") == line.replace(" ", "")
    whole = " ".join(row.strip() for row in rows[gap + 1 :])
    assert (whole.count("y"), whole.count("z")) == (400, 200)
    assert "y ... (+1 character) z" in whole
    assert whole.endswith("z z")
    assert not excerpt.more


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n\0\0", "größe".encode("latin-1"), bytes(range(256)), b"\xff\xfea\0"],
)
def test_what_is_no_utf_8_text_is_not_shown_as_a_result(content):
    assert first(content).seen is Seen.BINARY
    assert not textual(content)


def test_errors_are_shown_in_any_encoding_but_never_as_binary():
    assert last("größe\n".encode("latin-1")).lines == (
        "gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e",
    )
    assert last(b"\x7fELF\0\0\0").seen is Seen.BINARY


def test_a_character_cut_by_the_end_of_the_block_is_no_damage():
    content = b"x" + "ö".encode() * 40_000
    assert first(content).seen is Seen.LINES
    assert textual(content[: 64 * 1024])


def test_an_output_cannot_act_on_a_terminal_or_fake_the_letter():
    content = (
        b"\x1b[31mred\x1b[0m \x1b]0;title\x07\ttab\n"
        b" 10 %\r 20 %\r100 %\r\n"
        b"\xe2\x80\xaereversed\n"
        b"bell\x07 del\x7f null-free\n" + b"plain\n" * 100
    )
    assert first(content).lines[:4] == (
        "red     tab",
        "100 %",
        r"\u202ereversed",
        r"bell\x07 del\x7f null-free",
    )


def test_a_control_character_hides_no_text_and_is_shown_as_an_escape():
    content = b"line one\n\x07bell"
    for excerpt in (first(content), last(content)):
        assert excerpt.lines == ("line one", r"\x07bell")
    assert textual(content)
    assert not textual(b"nul\0")


@given(st.binary(max_size=3000))
def test_no_bytes_make_a_line_that_is_long_or_acts(content):
    for excerpt in (first(content), last(content)):
        assert len(excerpt.lines) <= 7 * LINES
        for line in excerpt.lines:
            assert width(line) <= 70
            assert all(char.isprintable() or char in "\u200c\u200d" for char in line)


def test_a_wall_of_escapes_takes_no_time_to_speak_of():
    for piece in (b"\x1b]", b"\x1b[", b"\x1b[;", b"\x1b", b"\r"):
        # Its own rule calls none of it text unless there is other text about.
        assert first((piece + b"a" * 8) * 6000).seen is Seen.LINES


def test_fewer_and_narrower_lines_can_be_asked_for():
    content = b"".join(b"line %d of many\n" % n for n in range(1, 30))
    excerpt = tail(io.BytesIO(content), lines=2, columns=10)
    assert excerpt.lines == ("line 28 of", "    many", "line 29 of", "    many")
    assert excerpt.more
