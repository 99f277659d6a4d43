import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.reply.attachments import NAME_MOST, OPAQUE, mail_names, media_type

NAMES = st.lists(st.text(st.characters(), max_size=300), max_size=20)


@given(NAMES)
def test_names_are_harmless_on_every_system_and_unlike_each_other(names):
    given_names = mail_names(names)
    assert len({name.casefold() for name in given_names} | {"job.json"}) == len(names) + 1
    for name in given_names:
        assert name
        assert not set(name) & set('/\\:*?"<>|\r\n\0\u202e')
        assert name[0] not in "-. "
        assert len(name.encode()) <= NAME_MOST + 4


@pytest.mark.parametrize(
    ("name", "mailed"),
    [
        ("alignment.fasta", "alignment.fasta"),
        ("work/sub/x.nwk", "x.nwk"),
        ("../../etc/passwd", "passwd"),
        ("..", "output"),
        ("", "output"),
        ("a/", "a"),
        ("-rf", "_-rf"),
        (".bashrc", "_bashrc"),
        ("CON.txt", "_CON.txt"),
        ("Ergebnis für Ada.txt", "Ergebnis für Ada.txt"),
        ('a"; filename="evil.exe', "a_; filename=_evil.exe"),
        ("a\r\nBcc: x@example.org", "a  Bcc_ x@example.org"),
        ("gpj.\u202eexe", "gpj._u202eexe"),
        ("job.json", "job-2.json"),
    ],
)
def test_a_name_in_the_mail_is_what_a_person_can_save(name, mailed):
    assert mail_names([name]) == [mailed]


def test_outputs_named_alike_are_told_apart():
    assert mail_names(["x.nwk", "a/x.nwk", "b/X.NWK"]) == ["x.nwk", "x-2.nwk", "X-3.NWK"]


def test_an_output_keeps_its_own_name_where_another_would_take_it():
    assert mail_names(["a/b/c/t", "t", "a_b_c_t"]) == ["t-2", "t", "a_b_c_t"]
    assert mail_names(["a/x.nwk", "b/x.nwk", "x-2.nwk"]) == ["x.nwk", "x-3.nwk", "x-2.nwk"]
    assert mail_names(["o\u0308.txt", "\u00f6.txt"]) == ["o\u0308.txt", "\u00f6-2.txt"]


def test_a_long_name_is_cut_within_a_character_and_keeps_its_ending():
    (name,) = mail_names(["ö" * 200 + ".fasta"])
    assert len(name.encode()) <= NAME_MOST
    assert name.endswith("ö.fasta")


@pytest.mark.parametrize(
    ("name", "block", "kind"),
    [
        ("alignment.fasta", b">a\nMKV\n", "text/plain; charset=utf-8"),
        ("no-ending", "größe\n".encode(), "text/plain; charset=utf-8"),
        ("empty.txt", b"", "text/plain; charset=utf-8"),
        ("table.csv", b"a,b\n1,2\n", "text/csv; charset=utf-8"),
        ("data.json", b'{"a": 1}\n', "application/json"),
        ("figure.png", b"\x89PNG", "image/png"),
        ("figure.PDF", b"%PDF", "application/pdf"),
        ("latin.txt", "größe\n".encode("latin-1"), OPAQUE),
        ("dos.txt", b"a\r\nb\r\n", OPAQUE),
        ("x.bin", b"\0\1\2", OPAQUE),
        ("page.html", b"hello\n", OPAQUE),
        ("page.txt", b"\n <html><script>", OPAQUE),
        ("figure.svg", b"<svg>", OPAQUE),
        ("letter.eml", b"From: a\n", OPAQUE),
    ],
)
def test_an_output_is_called_text_only_if_it_plainly_is(name, block, kind):
    assert media_type(name, block) == kind


@given(st.text(max_size=30), st.binary(max_size=100))
def test_nothing_is_ever_a_page_for_a_mail_program_to_show(name, block):
    assert "html" not in media_type(name, block)
    assert "html" not in media_type(name + ".html", block)


def test_ten_thousand_outputs_alike_are_named_in_no_time():
    before = time.process_time()
    names = mail_names(f"d{n}/out.txt" for n in range(10_000))
    assert len(set(names)) == 10_000
    assert time.process_time() - before < 5
