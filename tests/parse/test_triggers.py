"""Mails that make the standard library's parser raise, stall or lose content, each in one line."""

import io
import subprocess
import sys

import pytest

from mailgate.parse.header import Header
from mailgate.parse.message import Unreadable, read_message
from mailgate.parse.sender import sender

ATTACHED = 'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\ntext\n--b\n{}\n\nx\n--b--\n'


@pytest.mark.parametrize(
    "mail",
    [
        "Content-Type: text/plain; charset=utf-8; name*\n\nx\n",
        'To: "\n\nx\n',
        "To: (c):\n\nx\n",
        'Cc: (\nFrom: "\n\nx\n',
        ATTACHED.format("Content-Disposition: attachment; filename*0*"),
        ATTACHED.format("Content-Disposition: attachment; filename*0*=x; filename*00*=y"),
        "From: a@[\nTo: b@[\n\nx\n",
        "From: =?utf-8?q?a=0Ab?= <a@b.c>\n\nx\n",
        "Date: Mon, 12 Mar 99999 10:20:00 +0000\n\nx\n",
        "Subject: =?utf-7?q?+2AA-?=\n\nx\n",
        "Content-Type: text/plain; charset=rot13\n\nx\n",
        "Content-Type: text/plain; charset=idna\n\nx\n",
        "Content-Type: text/plain; charset=\0\n\nx\n",
        "Content-Type: text/plain; charset=unicode_escape\n\n\\ud800\n",
        ATTACHED.format("Content-Type: multipart/mixed"),
        "From: " + "(" * 5000 + "\n\nx\n",
        "Content-Transfer-Encoding: base64\n\n=\n",
        "Content-Transfer-Encoding: quoted-printable\n\n=\n",
        "Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n\xff\xff\nend\n",
        "Content-Type: ;;;=;\n\nx\n",
        "Content-Type: multipart/mixed; boundary\n\nx\n",
        "Content-Type: /\n\nx\n",
        "\n\n\n",
        "",
        "\r",
        "From: \0\n\n\0\n",
    ],
    ids=lambda mail: repr(mail[:40]),
)
def test_what_makes_others_raise_is_read(read, mail):
    message = read(mail)
    everything = f"{message.subject}{message.text}{message.from_}{message.attachments}"
    everything.encode("utf-8")


def test_a_blank_behind_the_transfer_encoding_does_not_leave_the_part_undecoded(read):
    assert read("Content-Transfer-Encoding: base64 \n\naGVsbG8=\n").text == "hello"


def test_a_root_that_is_an_attachment_is_not_lost(read):
    message = read("Content-Type: application/pdf; name=x.pdf\n\ncontent\n")
    assert [a.name for a in message.attachments] == ["x.pdf"]


def test_raw_8_bit_headers_are_read(read):
    mail = b"From: J\xf6rg <j@b.c>\r\nSubject: gr\xc3\xb6\xc3\x9fer\r\n\r\nx"
    message = read(mail)
    assert (message.from_, message.subject) == (("j@b.c",), "größer")


def test_forty_thousand_parts_are_refused_and_not_read(calls_of):
    mail = b'Content-Type: multipart/mixed; boundary="b"\n\n' + b"--b\n\nx\n" * 40_000

    def look():
        with pytest.raises(Unreadable):
            read_message(io.BytesIO(mail))

    assert calls_of(look) < 400_000


def test_what_makes_others_slow_is_linear(calls_of):
    for field in (
        b"Content-Type: a/b" + b"; x=y" * 16_000,
        b"To: " + b"a@b.c, " * 20_000,
        b"Subject: " + b"=?utf-8?q?a?= " * 16_000,
        b"Subject: " + b"=?utf-8?q?a" * 16_000,
    ):
        mail = field + b"\n\nx"
        work = calls_of(lambda mail=mail: read_message(io.BytesIO(mail)))
        assert work < 12 * len(mail)


def test_lines_that_only_resemble_boundaries_are_passed_quickly(calls_of):
    head = b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\n'
    mail = head + b"--c\n" * 50_000 + b"--b--\n"
    assert calls_of(lambda: read_message(io.BytesIO(mail))) < 2_000_000


def test_unclosed_multiparts_do_not_make_the_reader_look_twice(calls_of):
    parts = b"".join(
        b'--a\nContent-Type: multipart/mixed; boundary="x%d"\n\n--x%d\n\ny\n' % (n, n)
        for n in range(400)
    )
    mail = b'Content-Type: multipart/mixed; boundary="a"\n\n' + parts + b"z" * 100_000
    assert calls_of(lambda: read_message(io.BytesIO(mail))) < 600_000


def test_the_door_can_ask_for_the_sender_of_anything():
    for value in ("(" * 200_000, '"' * 200_000, "<" * 200_000, "a@b.c," * 40_000):
        header = Header.scan(f"From: {value}\r\n\r\n".encode())
        with pytest.raises(Exception, match="From"):
            sender(header)


def test_reading_a_mail_never_loads_the_html_parser_or_the_standard_mail_parser():
    code = (
        "import io, sys; from mailgate.cli import read; "
        "from mailgate.parse.message import read_message; "
        "read_message(io.BytesIO(b'From: a@b.c\\n\\nx')); "
        "print([m for m in ('selectolax', 'email.parser', 'aiosmtpd', 'peewee', 'jinja2', 'asyncio')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
