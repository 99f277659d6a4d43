import hashlib
import io
import tracemalloc
from datetime import UTC, datetime

import pytest

from mailgate.parse.message import MAX_TEXT, Unreadable, decoded, read_message
from mailgate.parse.mime import MAX_DEPTH, MAX_PARTS

HEAD = "From: Ann <ann@example.org>\nTo: align@gate.example.org\nMIME-Version: 1.0\n"


def multipart(*parts: str, kind: str = "mixed", boundary: str = "b") -> str:
    """A multipart's own header fields and body."""
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n{body}--{boundary}--\n'


def part(content: str, *fields: str) -> str:
    return "\n".join(fields) + "\n\n" + content if fields else "\n" + content


PLAIN = part("tree: upgma", "Content-Type: text/plain")
HTML = part("<p>tree: nj</p>", "Content-Type: text/html")


def shape(message) -> tuple[str, list[tuple[str | None, str]]]:
    return message.text, [(a.name, a.media_type) for a in message.attachments]


# --- which part is the text -----------------------------------------------------------------------


def test_the_first_unnamed_inline_plain_part_is_the_text(read):
    mail = HEAD + multipart(
        part("named", 'Content-Type: text/plain; name="notes.txt"'),
        part("attached", "Content-Type: text/plain", "Content-Disposition: attachment"),
        PLAIN,
        part("later", "Content-Type: text/plain"),
    )
    assert shape(read(mail)) == (
        "tree: upgma",
        [("notes.txt", "text/plain"), (None, "text/plain")],
    )


def test_html_is_the_text_only_where_no_plain_part_is(read):
    assert shape(read(HEAD + multipart(HTML, PLAIN, kind="alternative"))) == ("tree: upgma", [])
    assert shape(read(HEAD + multipart(HTML))) == ("tree: nj", [])


def test_other_forms_in_the_same_alternative_are_no_attachments(read):
    other = part("{}", "Content-Type: application/json")
    named = part("{}", 'Content-Type: application/json; name="x.json"')
    mail = HEAD + multipart(PLAIN, other, named, HTML, kind="alternative")
    assert shape(read(mail)) == ("tree: upgma", [("x.json", "application/json")])


def test_what_is_unnamed_outside_the_alternative_is_an_attachment(read):
    inner = multipart(PLAIN, HTML, kind="alternative", boundary="inner")
    mail = HEAD + multipart(inner, part("x", "Content-Type: application/pdf"))
    assert shape(read(mail)) == ("tree: upgma", [(None, "application/pdf")])


def test_a_picture_inside_the_html_form_is_an_attachment(read):
    picture = part("x", "Content-Type: image/png", "Content-Disposition: inline", "Content-ID: <1>")
    related = multipart(HTML, picture, kind="related", boundary="r")
    assert shape(read(HEAD + multipart(PLAIN, related, kind="alternative"))) == (
        "tree: upgma",
        [(None, "image/png")],
    )


def test_further_unnamed_inline_text_is_no_attachment(read):
    footer = part("list footer", "Content-Type: text/plain", "Content-Disposition: inline")
    assert shape(read(HEAD + multipart(PLAIN, footer))) == ("tree: upgma", [])


def test_a_name_of_blanks_is_no_name(read):
    mail = read('From: a@b.c\nContent-Type: text/plain; name=" "\n\nservice: align\n')
    assert (mail.lines, mail.attachments) == (("service: align",), ())


def test_a_named_part_is_an_attachment_even_inline(read):
    inline = part("x", "Content-Type: text/plain", 'Content-Disposition: inline; filename="a.fa"')
    assert shape(read(HEAD + multipart(PLAIN, inline))) == (
        "tree: upgma",
        [("a.fa", "text/plain")],
    )


def test_a_nested_message_is_an_attachment_of_its_raw_bytes(read):
    inner = "Subject: inner\n\n--x\nnot ours\n--x--"
    mail = HEAD + multipart(PLAIN, part(inner, "Content-Type: message/rfc822"))
    message = read(mail)
    assert shape(message) == ("tree: upgma", [(None, "message/rfc822")])
    raw = inner.replace("\n", "\r\n").encode()
    assert message.attachments[0].sha256 == hashlib.sha256(raw).hexdigest()


def test_in_a_digest_a_part_without_a_type_is_a_message(read):
    mail = HEAD + multipart(part("Subject: x\n\ny"), kind="digest")
    assert shape(read(mail)) == ("", [(None, "message/rfc822")])


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Type: multipart/mixed",
        "Content-Type: multipart/mixed; boundary=nowhere",
        'Content-Type: multipart/mixed; boundary=""',
    ],
)
def test_a_multipart_without_parts_is_an_attachment(read, fields):
    message = read(f"{HEAD}{fields}\n\nall of this\nis lost to others\n")
    assert shape(message) == ("", [(None, "multipart/mixed")])
    assert message.attachments[0].size == len("all of this\r\nis lost to others\r\n")


@pytest.mark.parametrize(
    ("fields", "attachment"),
    [
        ("Content-Type: application/pdf", (None, "application/pdf")),
        ("Content-Type: image/png; name=x.png", ("x.png", "image/png")),
        ("Content-Type: text/plain; name=x.txt", ("x.txt", "text/plain")),
        ("Content-Disposition: attachment", (None, "text/plain")),
    ],
)
def test_a_root_that_is_itself_an_attachment_leaves_no_text(read, fields, attachment):
    assert shape(read(f"{HEAD}{fields}\n\ncontent\n")) == ("", [attachment])


def test_without_any_type_the_body_is_text(read):
    assert shape(read("From: a@b.c\n\nhello\n")) == ("hello", [])


# --- names, sizes, hashes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=/evil/x", "/evil/x"),
        ('attachment; filename="../../x"', "../../x"),
        ("attachment; filename*=utf-8''%2Frf%20x", "/rf x"),
        ("attachment; filename==?utf-8?b?LXJm?=", "-rf"),
        ("attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac.fa", "€.fa"),
        ("attachment; filename=Größe.fa", "Größe.fa"),
        ('attachment; filename=""', None),
        ("attachment", None),
    ],
)
def test_a_name_is_what_the_sender_called_it(read, disposition, name):
    attached = part("x", "Content-Type: a/b", f"Content-Disposition: {disposition}")
    assert read(HEAD + multipart(PLAIN, attached)).attachments[0].name == name


def test_the_disposition_names_before_the_type_does(read):
    attached = part("x", "Content-Type: a/b; name=one", "Content-Disposition: inline; filename=two")
    assert read(HEAD + multipart(PLAIN, attached)).attachments[0].name == "two"
    attached = part("x", "Content-Type: a/b; name=one", "Content-Disposition: inline; filename=")
    assert read(HEAD + multipart(PLAIN, attached)).attachments[0].name == "one"


@pytest.mark.parametrize(
    ("encoding", "content", "expected"),
    [
        ("base64", "PmEKTUtWCg==", b">a\nMKV\n"),
        ("Base64 ", "PmEKTUtWCg==", b">a\nMKV\n"),
        ("base64;", "PmEKTUtWCg==", b">a\nMKV\n"),
        ("quoted-printable", ">a=0AMKV=\n=0A", b">a\nMKV\n"),
        ("x-uuencode", "begin 644 a\n'/F$*34M6\"@``\n`\nend", b">a\nMKV\n"),
        ("x-uuencode", "no such line", b"no such line"),
        ("7bit", ">a\nMKV", b">a\r\nMKV"),
        ("nonsense", "PmEK", b"PmEK"),
        ("", "x", b"x"),
    ],
)
def test_size_and_hash_are_of_the_bytes_after_transfer_decoding(read, encoding, content, expected):
    attached = part(
        content,
        "Content-Type: a/b; name=x",
        f"Content-Transfer-Encoding: {encoding}",
    )
    mail = HEAD + multipart(PLAIN, attached)
    found = read(mail).attachments[0]
    assert (found.size, found.sha256) == (len(expected), hashlib.sha256(expected).hexdigest())
    raw = mail.replace("\n", "\r\n").encode()
    assert b"".join(decoded(io.BytesIO(raw), found.slice)) == expected


def test_the_line_end_before_a_boundary_is_the_boundarys(read):
    for content in ("x", "x\n", "x\n\n", ""):
        found = read(HEAD + multipart(PLAIN, part(content, "Content-Type: a/b"))).attachments[0]
        assert found.size == len(content.replace("\n", "\r\n"))


# --- boundaries -----------------------------------------------------------------------------------


def test_only_a_whole_line_is_a_boundary(read):
    attached = part("--b2\n--bb\nx--b\n --b\n--b x", "Content-Type: a/b")
    message = read(HEAD + multipart(PLAIN, attached, boundary="b"))
    assert message.attachments[0].size == len("--b2\r\n--bb\r\nx--b\r\n --b\r\n--b x")


def test_a_boundary_may_have_blanks_behind_it(read):
    mail = (HEAD + multipart(PLAIN, HTML)).replace("--b\n", "--b \t\n").replace("--b--", "--b-- ")
    assert shape(read(mail)) == ("tree: upgma", [])


def test_an_outer_boundary_ends_what_is_open_inside(read):
    inner = multipart(PLAIN, HTML, boundary="inner").replace("--inner--\n", "")
    message = read(HEAD + multipart(inner, part("x", "Content-Type: a/b")))
    assert shape(message) == ("tree: upgma", [(None, "a/b")])
    assert "the last boundary of a multipart is missing" in message.defects


def test_a_missing_last_boundary_loses_nothing(read):
    mail = (HEAD + multipart(PLAIN, part("xyz", "Content-Type: a/b"))).replace("--b--\n", "")
    message = read(mail)
    assert message.attachments[0].size == len("xyz")
    assert "the last boundary of a multipart is missing" in message.defects


def test_text_around_the_parts_is_not_the_persons(read):
    mail = HEAD + multipart(PLAIN).replace("\n\n--b", "\n\npreamble\n--b", 1) + "epilogue\n--b\nx\n"
    assert shape(read(mail)) == ("tree: upgma", [])


def test_boundaries_one_after_the_other_hold_no_part_between(read):
    mail = (HEAD + multipart(PLAIN, HTML)).replace("--b\n", "--b\n--b\n")
    assert shape(read(mail)) == ("tree: upgma", [])


def test_a_boundary_ends_a_header_that_no_blank_line_ends(read):
    for boundary in ("b", "b:c"):
        broken = "Content-Type: a/b; name=x"
        message = read(HEAD + multipart(broken, PLAIN, boundary=boundary))
        assert shape(message) == ("tree: upgma", [("x", "a/b")])
        assert message.attachments[0].size == 0


def test_a_boundary_across_two_blocks_of_the_file_is_seen(read):
    for size in range(256 * 1024 - 700, 256 * 1024 + 40, 37):
        attached = part("x" * size, "Content-Type: a/b; name=x")
        message = read(HEAD + multipart(PLAIN, attached, part("y", "Content-Type: c/d")))
        assert [a.size for a in message.attachments] == [size, 1]


def test_line_ends_may_be_bare(read):
    mail = HEAD + multipart(PLAIN, part("x", "Content-Type: a/b"))
    for end in (b"\n", b"\r", b"\r\n"):
        message = read(mail.encode().replace(b"\n", end))
        assert shape(message) == ("tree: upgma", [(None, "a/b")])


# --- charsets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("utf-8", "Größe €".encode(), "Größe €"),
        ("iso-8859-1", b"Gr\xf6\xdfe", "Größe"),
        ("iso-8859-1", b"\x80 50", "€ 50"),
        ("windows-1252", b"\x93x\x94", "“x”"),
        ("ks_c_5601-1987", "한국어".encode("cp949"), "한국어"),
        ("gb2312", "镕".encode("gb18030"), "镕"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("iso-2022-jp", "こんにちは".encode("iso-2022-jp"), "こんにちは"),
        ("koi8-r", "привет".encode("koi8-r"), "привет"),
        ("utf-16", "hello".encode("utf-16"), "hello"),
        ("utf-7", b"+APY-", "ö"),
        ("us-ascii", b"plain", "plain"),
        ("", b"plain", "plain"),
        ('"utf-8"', b"x", "x"),
    ],
)
def test_every_charset_is_read(read, charset, raw, text):
    head = f"From: a@b.c\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode()
    message = read(head + raw)
    assert message.text == text
    assert message.defects == ()


@pytest.mark.parametrize(
    ("charset", "raw", "text", "defect"),
    [
        ("utf-8", b"a\xffb", "a\ufffdb", 'the text has bytes that are not "utf-8"'),
        ("us-ascii", b"J\xc3\xb6rg", "Jörg", "8-bit bytes without a charset (read as UTF-8)"),
        ("us-ascii", b"J\xf6rg", "Jörg", "8-bit bytes without a charset (read as Windows-1252)"),
        ("rot13", b"uryyb", "uryyb", 'the text has an unknown charset "rot13"'),
        ("idna", b"xn--a", "xn--a", 'the text has an unknown charset "idna"'),
        ("x\0y", b"a", "a", "an unknown charset"),
        ("nonsense", b"a\xe4", "aä", 'the text has an unknown charset "nonsense"'),
        ("utf-7", b"+2AA-", "\ufffd", 'the text has bytes that are not "utf-7"'),
        ("utf-16", b"\x00\xd8x", "\ufffd", 'the text has bytes that are not "utf-16"'),
    ],
)
def test_damage_is_marked_and_told(read, charset, raw, text, defect):
    head = f"From: a@b.c\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode()
    message = read(head + raw)
    assert message.text == text
    assert any(defect in str(told) for told in message.defects)


# --- the header's part ----------------------------------------------------------------------------


def test_the_header_is_described(read):
    message = read(
        "Message-ID: <1@x>\nFrom: Ann <Ann@Example.org>\nTo: a@b.c, Group: d@e.f;\nTo: g@h.i\n"
        "Subject: =?utf-8?q?J=C3=B6rg?=\nDate: Mon, 12 Mar 2018 10:20:00 +0200\n\nx\n"
    )
    assert message.message_id == "<1@x>"
    assert message.from_ == ("Ann@Example.org",)
    assert message.to == ("a@b.c", "d@e.f", "g@h.i")
    assert message.subject == "Jörg"
    assert message.date == datetime(2018, 3, 12, 8, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("Mon, 12 Mar 2018 10:20:00 -0000", datetime(2018, 3, 12, 10, 20, tzinfo=UTC)),
        ("12 Mar 18 10:20 GMT", datetime(2018, 3, 12, 10, 20, tzinfo=UTC)),
        ("Mon, 12 Mar 99999 10:20:00 +0000", None),
        ("Fri, 31 Dec 9999 23:59:00 -0900", None),
        ("Mon, 12 Mar 2018 10:20:00 +9999", None),
        ("Mon, 32 Mar 2018 10:20:00 +0000", None),
        ("yesterday", None),
        ("", None),
        ("," * 100_000, None),
    ],
)
def test_a_date_is_in_utc_or_none(read, value, date):
    message = read(f"From: a@b.c\nDate: {value}\n\nx\n")
    assert message.date == date
    assert ("the Date cannot be read" in message.defects) == (date is None)


def test_two_mails_with_the_same_words_and_files_have_one_fingerprint(read):
    one = HEAD + multipart(PLAIN, part("PmEK", "Content-Type: a/b; name=x", "Content-Transfer-Encoding: base64"))  # fmt: skip
    same = HEAD + "X-New: header\n" + multipart(part("tree: =75pgma \n", "Content-Transfer-Encoding: quoted-printable"), part(">a=0A", "Content-Type: a/b; name=x", "Content-Transfer-Encoding: quoted-printable"), boundary="other")  # fmt: skip
    other_name = one.replace("name=x", "name=y")
    other_text = one.replace("upgma", "nj")
    other_file = one.replace("PmEK", "PmIK")
    assert read(one).content == read(same).content
    assert len({read(mail).content for mail in (one, other_name, other_text, other_file)}) == 4


# --- caps -----------------------------------------------------------------------------------------


def test_what_is_over_a_cap_is_refused_with_the_reason(read):
    with pytest.raises(Unreadable, match="more than 1000 fields"):
        read("a: b\n" * 1001 + "\nx")
    with pytest.raises(Unreadable, match="over 256 KiB"):
        read("a: " + "b" * 256 * 1024 + "\n\nx")
    with pytest.raises(Unreadable, match="more than 1000 parts"):
        read(HEAD + multipart(*[PLAIN] * MAX_PARTS))
    nested = PLAIN
    for level in range(MAX_DEPTH + 1):
        nested = multipart(nested, boundary=f"b{level}")
    with pytest.raises(Unreadable, match="more than 50 deep"):
        read(HEAD + nested)


def test_what_is_just_below_a_cap_is_read(read):
    read("a: b\n" * 1000 + "\nx")
    read("a: " + "b" * 255 * 1024 + "\n\nx")
    read(HEAD + multipart(*[PLAIN] * (MAX_PARTS - 1)))
    nested = PLAIN
    for level in range(MAX_DEPTH):
        nested = multipart(nested, boundary=f"b{level}")
    assert read(HEAD + nested).text == "tree: upgma"


def test_a_file_without_any_line_end_is_no_long_header(read):
    assert read(b"x" * 600_000).text == "x" * 600_000


def test_text_beyond_the_cap_is_left_out_and_told(read):
    message = read("From: a@b.c\n\n" + "0123456789\n" * (MAX_TEXT // 10))
    assert message.text_cut
    assert "the text is too long and was cut: send it as an attachment" in map(str, message.defects)
    assert len(message.text) <= MAX_TEXT


def test_memory_does_not_grow_with_an_attachment():
    def peak(blocks: int) -> int:
        content = b"QUJD" * 18 + b"\r\n"
        head = (HEAD + 'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nhi\n--b\n').encode()
        field = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        source = io.BytesIO(head + field + content * blocks + b"--b--\r\n")
        tracemalloc.start()
        message = read_message(source)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert message.attachments[0].size == 54 * blocks
        return memory

    assert peak(140_000) < 4 * 1024 * 1024
