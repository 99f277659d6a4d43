"""No quoted line acts, whatever introduces it, however that is wrapped, and marked or not."""

import html
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.desk.dialogue import grammar
from mailgate.parse.commands import confirms, read_commands

DATA = Path(__file__).resolve().parents[1] / "data" / "attributions.txt"
ADDRESSES = ("jobs@gate.example.org", "jobs+job.k7q2m5xzab3c.abcdef@gate.example.org")
ATTRIBUTIONS = DATA.read_text("utf-8").splitlines()
GRAMMAR = grammar()
OWN = ("", "extend 7d\n", "extend 7d\n\n", "Hello,\nextend 7d\nThanks, Ada\n\n", "I think so.\n")
QUOTES = ("cancel\ndestroy", "confirm", "Your job is done.\n\ncancel", "Reply with\n  destroy")
FORMS = ("text/plain", "text/plain; format=flowed", "text/html")


def commands(read, text, form="text/plain"):
    if form == "text/html":
        lines = (f"<div>{html.escape(line) or '<br>'}</div>" for line in text.split("\n"))
        text = f"<html><body>{''.join(lines)}</body></html>"
    kind = f"Content-Type: {form}; charset=utf-8"
    mail = read(f"From: ada@example.org\nIn-Reply-To: <1@gate.example.org>\n{kind}\n\n{text}\n")
    names = [line.name for line in read_commands(mail, GRAMMAR).lines if line.name]
    return [*names, "confirms"] if confirms(mail, GRAMMAR) else names


def wrapped(text, width):
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


@given(
    attribution=st.sampled_from(ATTRIBUTIONS),
    address=st.sampled_from(ADDRESSES),
    width=st.integers(min_value=12, max_value=200),
    own=st.sampled_from(OWN),
    blank=st.sampled_from(["\n", "\n\n", "\n\n\n"]),
    mark=st.sampled_from(["", " ", "\t", "> ", ">", ">> ", "| "]),
    quote=st.sampled_from(QUOTES),
    form=st.sampled_from(FORMS),
)
def test_no_quoted_line_acts_below_an_attribution(
    read, *, attribution, address, width, own, blank, mark, quote, form
):
    head = "\n".join(wrapped(attribution.format(a=address), width))
    below = "\n".join(f"{mark}{line}" for line in quote.split("\n"))
    found = commands(read, f"{own}{head}{blank}{below}", form)
    assert found == (["extend"] if "extend" in own else [])


@pytest.mark.parametrize("attribution", [one for one in ATTRIBUTIONS if "{a}" in one])
def test_no_unmarked_line_acts_below_an_attribution_that_is_marked(read, attribution):
    for width in (30, 60, 79):
        lines = [f"> {line}" for line in wrapped(attribution.format(a=ADDRESSES[0]), width)]
        for blank in ("", "\n"):
            assert commands(read, "\n".join([*lines, f"{blank}cancel"])) == []


HEADERS = (
    ("From: Bob", "Sent: Monday", "To: jobs", "Subject: tree"),
    ("Von: Bob", "Gesendet: Montag", "An: jobs", "Betreff: Baum"),
    ("De : Bob", "Envoyé : lundi", "À : jobs", "Objet : arbre"),
    ("From: Bob", "Subject: tree", "Date: Mon, 3 Aug 2026 10:00:01 +0200"),
    ("差出人: Bob", "件名: 木"),
)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", ["> ", ">", ">> "])
def test_no_unmarked_line_acts_below_what_is_marked_of_a_header(read, header, form, mark):
    for first in range(len(header)):
        for last in range(first + 1, len(header) + 1):
            marked = [f"{mark}{line}" for line in header[first:last]]
            for between in ([], [""], [mark.strip()], [mark.strip(), ""]):
                text = "\n".join([*marked, *between, *header[last:], "", "cancel"])
                assert commands(read, text, form) == [], text


def test_no_unmarked_line_acts_below_a_marked_rule_that_is_wrapped(read):
    for words in ("原始邮件", "Original Message"):
        text = f"> ------------------ {words}\n> ------------------\n\nconfirm"
        assert commands(read, text) == []


def test_what_is_written_below_a_quoted_sentence_acts(read):
    assert commands(read, "> Subject: tree is what it said\n> in it.\n\nextend 7d") == ["extend"]
    assert commands(read, "> It is kept until 5 December.\n\nextend 7d") == ["extend"]
    assert commands(read, "> On Mon, Bob <b@c.d> wrote:\n>> old\n> new\n\nextend 7d") == ["extend"]


@pytest.mark.parametrize("form", FORMS[:2])
@pytest.mark.parametrize("line", [">>>\n", "> a:\nb\n", "> a:\n\n", ">>> a 10:00\n"])
def test_work_grows_with_the_number_of_marked_lines_and_not_faster(read, calls_of, line, form):
    few, many = (calls_of(lambda n=n: commands(read, line * n, form)) for n in (500, 2000))
    assert many < 6 * few


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("unseen", ["\t", "\u200e", "\xa0", "\u200e\u202c"])
def test_a_line_in_which_nothing_is_seen_introduces_nothing(read, unseen, form):
    assert commands(read, f"> It is kept.\n> {unseen}\nextend 7d", form) == ["extend"]
    assert commands(read, f"extend 7d\n{unseen}\nOn Mon, Ada wrote:\n\n> cancel", form) == [
        "extend"
    ]
