"""The HTML of a letter says what its text says, and nothing that anybody could act through."""

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mailgate.errors import BadConfig
from mailgate.model import LetterKind
from mailgate.reply.compose import Writer
from mailgate.reply.twin import markup
from tests.daemon import ROOT
from tests.reply.golden import letters
from tests.reply.letters import DONE, err, out, read, result, text

# One kept letter has hardly room for its text, and one kind has no twin.
LETTERS = {
    name: made
    for name, made in letters().items()
    if name != "result-too-big" and made.draft.kind is not LetterKind.CONFIRM
}


ACCAT = [sys.executable, "-m", "mailgate.client.accat"]
WRITER = Writer(None, html=True)


def composed(made, writer: Writer = WRITER) -> bytes:
    return made.composed(writer)


class Seen(HTMLParser):
    """What a reader of HTML shows, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))
        self._style = tag in {"style", "title"}

    def handle_endtag(self, _tag):
        self._style = False

    def handle_data(self, data):
        if not self._style:
            self.words += data.split()


def page_of(raw: bytes) -> str:
    part = read(raw).get_body(("html",))
    assert part is not None
    return str(part.get_content())


@pytest.mark.parametrize("name", LETTERS)
def test_the_twin_has_every_word_of_the_text(name):
    raw = composed(LETTERS[name])
    plain = [word for word in text(read(raw)).split() if word.strip("=")]
    assert [word for word in Seen(page_of(raw)).words if word.strip("=")] == plain


@pytest.mark.parametrize("name", LETTERS)
def test_the_twin_stands_behind_the_text_and_is_no_attachment(name):
    message, bare = read(composed(LETTERS[name])), read(LETTERS[name].composed())
    first = message if message.get_content_maintype() == "text" else message.get_payload()[0]
    if message.get_content_type() == "multipart/alternative":
        first = message
    assert first.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in first.get_payload()] == ["text/plain", "text/html"]
    files = [part.get_filename() for part in message.walk() if part.get_filename()]
    assert files == [part.get_filename() for part in bare.walk() if part.get_filename()]
    mimes = {"Content-Type", "Content-Transfer-Encoding"}
    assert [k for k in message if k not in mimes] == [k for k in bare if k not in mimes]


@pytest.mark.parametrize("name", LETTERS)
def test_the_twin_names_nothing_outside_itself_and_fits_every_relay(name):
    raw = composed(LETTERS[name])
    seen = Seen(page_of(raw))
    allowed = {"html", "head", "meta", "title", "style", "body", "p", "pre", "h2"}
    assert {tag for tag, _ in seen.tags} <= allowed
    assert {a for _, attributes in seen.tags for a, _ in attributes} <= {
        "lang",
        "charset",
        "name",
        "content",
    }
    assert "url(" not in page_of(raw)
    assert raw.isascii()
    assert not any(line.startswith((b"From ", b".")) for line in raw.split(b"\r\n"))
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_a_letter_that_asks_to_confirm_has_none():
    made = letters()["confirm"]
    assert composed(made) == made.composed()


def test_a_strangers_words_are_no_markup():
    evil = '<img src=x onerror="alert(1)">&lt;b&gt;'
    made = result(
        DONE, out(f"{evil}\n.\nFrom me\n--x\n".encode()), label=evil, parameters={"tree": evil}
    )
    page = page_of(composed(made))
    assert "<img" not in page
    assert "&lt;img" in page
    assert "&amp;lt;b&amp;gt;" in page


def test_paragraphs_headings_and_lines_as_they_stand():
    assert markup("One\ntwo.\n\n  a  <b>\n    c\n\nNext\n====\n\nEnd\n") == (
        "<p>One\ntwo.</p>\n<pre>a  &lt;b&gt;\n  c</pre>\n<h2>Next</h2>\n<p>End</p>\n"
    )


def test_the_limit_counts_the_twin_which_goes_before_any_output_does():
    made = result(DONE, out(b"1\n" * 30), err(b""))
    for limit in (6_000, 12_000, 40_000, 80_000):
        small = replace(made, draft=replace(made.draft, limit=limit))
        message = read(composed(small))
        assert len(composed(small)) <= limit
        assert [part.get_filename() for part in message.iter_attachments()][1:] == [
            "stdout.txt",
            "stderr.txt",
        ]
    assert message.get_body(("html",)) is not None
    tight = replace(made, draft=replace(made.draft, limit=6_000))
    assert read(composed(tight)).get_body(("html",)) is None


def test_accat_finds_the_output_behind_the_twin_and_behind_other_letters():
    done = result(DONE, out(b"1\n2\n"), err(b""))
    one = subprocess.run(ACCAT, input=composed(done), capture_output=True, check=False, cwd=ROOT)
    assert (one.returncode, one.stdout) == (0, b"1\n2\n")
    many = composed(LETTERS["receipt"]) + composed(LETTERS["started"]) + composed(done)
    last = subprocess.run(ACCAT, input=many, capture_output=True, check=False, cwd=ROOT)
    assert (last.returncode, last.stdout) == (0, b"1\n2\n"), last.stderr
    none = subprocess.run(
        ACCAT, input=composed(LETTERS["receipt"]), capture_output=True, check=False, cwd=ROOT
    )
    assert none.returncode == 65


# --- templates of the operator --------------------------------------------------------------------


def test_an_operators_template_takes_the_twins_place_and_is_escaped(tmp_path):
    (tmp_path / "result.html.j2").write_text("<h1>{{ service }}</h1><p>{{ label }}</p>")
    made = result(DONE, out(b"1\n"), label="a <b> c")
    raw = composed(made, Writer(tmp_path, html=True))
    assert "<h1>align</h1><p>a &lt;b&gt; c</p>" in page_of(raw)
    assert text(read(raw)) == text(read(made.composed()))


def test_a_template_that_fails_costs_the_twin_alone(tmp_path, capsys):
    (tmp_path / "result.html.j2").write_text("{{ nothing }}")
    raw = composed(result(DONE, out(b"1\n")), Writer(tmp_path, html=True))
    assert read(raw).get_body(("html",)) is None
    assert "Your job is done" in text(read(raw))
    assert "fell-back letter=result" in capsys.readouterr().err


def test_check_tells_what_is_wrong_with_html_templates(tmp_path):
    (tmp_path / "result.html.j2").write_text("{{ nothing }}")
    (tmp_path / "reslut.html.j2").write_text("")
    with pytest.raises(BadConfig) as told:
        Writer(tmp_path).check()
    assert "'nothing' is undefined" in str(told.value)
    assert "reslut.html.j2:1: no letter has this template" in str(told.value)
