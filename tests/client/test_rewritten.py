"""Mail programs rewrite mail: other line ends, encodings, boundaries and wrappers are no damage."""

import email
import email.policy
import itertools
import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.replies import Output, Result, forwarded, mbox, stderr, stdout, within

FASTA = b">HBA_HUMAN\n-VLSPADKTNVKAAW\n\n=41 ends=\nFrom here on\n>From there\n.\n"
TREE = b"(a,\r\nb);\r\n"
BYTES = bytes(range(256)) * 40


@pytest.fixture
def read(tmp_path: Path):
    """Return what accat makes of a mail: standard output, and the stream ``name`` if given."""

    def read_(mail: bytes, *argv: str) -> bytes:
        path = tmp_path / "saved.eml"
        path.write_bytes(mail)
        ran = within(path, *argv)
        assert (ran.stderr, ran.returncode) == (b"", 0)
        return ran.stdout

    return read_


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\r\r\n"])
def test_line_ends_may_change(read, line_end: bytes) -> None:
    result = Result(outputs=(stdout(BYTES), stderr(FASTA)), line_end=line_end)
    assert read(bytes(result)) == BYTES


@pytest.mark.parametrize("width", [1, 4, 60, 72, 75, 77, 1000, 10_000_000])
@pytest.mark.parametrize("content", [BYTES, BYTES[:-1], BYTES[:-2], b"a"])
def test_base64_may_be_wrapped_anew(read, width: int, content: bytes) -> None:
    assert read(bytes(Result(outputs=(stdout(content, width=width), stderr())))) == content


def test_big_base64_may_be_wrapped_anew(read) -> None:
    content = BYTES * 200
    for width in (72, 75, 4_000_000):
        assert read(bytes(Result(outputs=(stdout(content, width=width), stderr())))) == content


@pytest.mark.parametrize("insert", [b" ", b"\t\n", b"\n\n", b"!", b"\x00", b"--"])
def test_what_is_not_of_its_alphabet_is_no_part_of_base64(read, insert: bytes) -> None:
    mail = bytes(Result(outputs=(stdout(BYTES * 150), stderr()), line_end=b"\n"))
    middle = len(mail) // 2
    assert read(mail[:middle] + insert + mail[middle:]) == BYTES * 150


def test_lost_padding_is_no_damage(read) -> None:
    mail = bytes(Result(outputs=(stdout(b"abcd"), stderr())))
    assert b"YWJjZA==" in mail
    assert read(mail.replace(b"YWJjZA==", b"YWJjZA")) == b"abcd"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "encoding", ["quoted-printable", "8bit", "7bit", "binary", "", "QUOTED-Printable "]
)
@pytest.mark.parametrize(
    "content", [FASTA, TREE, b"no end", b"", b"\n", b"two\n\n\n", b"\xc3\xa4\n"]
)
def test_text_may_be_encoded_anew(read, encoding: str, content: bytes, line_end: bytes) -> None:
    outputs = (
        stdout(content, encoding=encoding.strip().lower(), media_type="text/plain"),
        stderr(b"!"),
    )
    mail = Result(outputs=outputs, line_end=b"\n").text
    mail = mail.replace(b"\r\n", b"\n").replace(b"\n", line_end)
    assert read(mail) == content


def test_binary_may_be_encoded_as_quoted_printable(read) -> None:
    coded = "".join(f"={byte:02X}" for byte in BYTES)
    lines = "=\r\n".join(coded[at : at + 72] for at in range(0, len(coded), 72))
    out = stdout(BYTES, encoding="quoted-printable", sent=None)
    mail = bytes(Result(outputs=(stdout(b"@@"), stderr())))
    whole = bytes(Result(outputs=(out, stderr())))
    head, tail = whole.split(b"quoted-printable\r\n\r\n")[0], mail.split(b"QEA=")[1]
    assert read(head + b"quoted-printable\r\n\r\n" + lines.encode() + tail) == BYTES


def test_uuencoding_is_undone(read) -> None:
    result = Result(outputs=(stdout(BYTES, encoding="x-uuencode"), stderr()), line_end=b"\n")
    assert read(bytes(result)) == BYTES


@pytest.mark.parametrize(
    "change", [lambda t: t.rstrip(b"\n"), lambda t: t + b"\n", lambda t: t + b"\n\n\n"]
)
def test_empty_lines_at_the_end_may_come_and_go(read, change) -> None:
    for content, encoding in itertools.product((FASTA, TREE), ("8bit", "quoted-printable")):
        plain = content.replace(b"\r\n", b"\n")
        out = stdout(content, encoding=encoding, sent=change(plain), media_type="text/plain")
        for line_end in (b"\n", b"\r\n"):
            assert read(bytes(Result(outputs=(out, stderr()), line_end=line_end))) == content


def test_blanks_added_at_line_ends_of_quoted_printable_are_taken_off(read) -> None:
    result = Result(outputs=(stdout(FASTA, encoding="quoted-printable"), stderr()), line_end=b"\n")
    mail = bytes(result)
    start = mail.index(b">HBA")
    assert read(mail[:start] + mail[start:].replace(b"\n", b" \t\n")) == FASTA


@pytest.mark.parametrize("encoding", ["8bit", "base64"])
def test_a_footer_within_a_part_is_cut_off(read, encoding: str) -> None:
    result = Result(outputs=(stdout(b"abcd", encoding=encoding), stderr(b"")), line_end=b"\n")
    mail = bytes(result)
    body = b"YWJjZA==" if encoding == "base64" else b"\nabcd"
    footer = b"\n____\nTo leave this list, write to leave@lists.example.org\n"
    assert read(mail.replace(body, body + footer)) == b"abcd"


@pytest.mark.parametrize("quoted", [b">From here", b"From here"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_from_lines_may_have_been_quoted(read, quoted: bytes, line_end: bytes) -> None:
    content = b"once\n" + quoted + b" on\n"
    for sent in (content.replace(b"\n>From", b"\n>>From").replace(b"\nFrom", b"\n>From"), content):
        out = stdout(content, encoding="8bit", sent=sent, media_type="text/plain")
        assert read(bytes(Result(outputs=(out, stderr()), line_end=line_end))) == content


@pytest.mark.parametrize("boundary", ["x", "=_other", "a b", "'()+_,-./:=?", "b" * 70])
def test_the_boundary_may_change(read, boundary: str) -> None:
    assert read(bytes(Result(outputs=(stdout(BYTES), stderr()), boundary=boundary))) == BYTES


def test_a_line_that_only_begins_like_the_delimiter_is_content(read) -> None:
    content = b"--abc def\n--abcd\n--ab\n"
    out = stdout(content, encoding="8bit", media_type="text/plain")
    assert read(bytes(Result(outputs=(out, stderr()), boundary="abc"))) == content


def test_a_boundary_that_begins_with_another_is_kept_apart(read) -> None:
    inner = Result(outputs=(stdout(FASTA, encoding="8bit"), stderr()), boundary="abcd").text
    mail = (
        b'Content-Type: multipart/mixed; boundary="abc"\n\n--abc\n'
        + inner[inner.index(b"Content-Type") :]
        + b"\n--abc\nContent-Type: text/plain\n\nfooter\n--abc--\n"
    )
    assert read(mail) == FASTA


@pytest.mark.parametrize(
    "header",
    [
        b'Content-Type: multipart/mixed;\n\tboundary="=_mailgate_7f3a"',
        b'content-type:Multipart/Mixed;charset=utf-8;\n  BOUNDARY = "=_mailgate_7f3a" ; x=y',
        b'Content-Type: multipart/related;\n type="text/plain";\n boundary*0="=_mail";\n boundary*1="gate_7f3a"',
        b'CONTENT-TYPE: multipart/report; boundary="=_mailgate\\_7f3a"',
    ],
)
def test_headers_may_be_folded_anew(read, header: bytes) -> None:
    mail = Result(outputs=(stdout(BYTES), stderr())).text
    old = b'Content-Type: multipart/mixed; boundary="=_mailgate_7f3a"'
    assert read(mail.replace(old, header)) == BYTES


@pytest.mark.parametrize(
    "naming",
    [
        "attachment; filename*=utf-8''alignment%2Efasta",
        "attachment;\n filename*0=align;\n filename*1*=ment%2e;\n filename*2=fasta",
        'attachment; filename="=?utf-8?Q?alignment=2Efasta?="',
        'attachment; filename="=?utf-8?B?YWxpZ25tZW50?= =?utf-8?B?LmZhc3Rh?="',
        "attachment; filename=alignment_fasta.txt",
        "attachment",
        "inline",
        "",
    ],
)
def test_names_may_be_written_otherwise_or_lost(read, naming: str) -> None:
    out = stdout(BYTES, naming=naming or "inline")
    assert read(bytes(Result(outputs=(out, stderr(b"!"))))) == BYTES
    assert read(bytes(Result(outputs=(out, stderr(b"!")))), "--name", "stderr") == b"!"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "7bit"])
@pytest.mark.parametrize(
    ("naming", "media_type"),
    [
        ('attachment; filename="job.json"', "application/octet-stream"),
        ('attachment; filename="job.json"', "text/plain; charset=us-ascii"),
        ("inline", "application/json"),
        ("attachment; filename*=utf-8''job%2ejson", "application/json; charset=utf-8"),
        ('attachment; filename="=?us-ascii?Q?job.json?="', "application/octet-stream"),
    ],
)
def test_the_machine_part_may_be_rewritten(read, encoding: str, naming: str, media_type) -> None:
    result = Result(
        outputs=(stdout(BYTES), stderr()),
        json_encoding=encoding,
        json_naming=naming,
        json_type=media_type,
    )
    assert read(bytes(result)) == BYTES


NOTE = b"--=_mailgate_7f3a\nContent-Type: text/plain\n\nChecked by a virus scanner.\n"
NAMED_NOTE = NOTE.replace(b"plain\n", b'plain\nContent-Disposition: attachment; filename="f.txt"\n')


@pytest.mark.parametrize("note", [NOTE, NAMED_NOTE])
def test_a_footer_part_may_follow(read, note: bytes) -> None:
    assert read(bytes(Result(outputs=(stdout(BYTES), stderr()), footer=note))) == BYTES


@pytest.mark.parametrize("note", [NOTE, NAMED_NOTE])
def test_a_note_may_stand_between(read, note: bytes) -> None:
    mail = Result(outputs=(stderr(b"!"), stdout(BYTES))).text
    before = mail.rindex(b"--=_mailgate_7f3a\nContent-Type: application/octet")
    assert read(mail[:before] + note + mail[before:]) == BYTES


def test_a_preamble_and_an_epilogue_do_not_matter(read) -> None:
    mail = Result(outputs=(stdout(BYTES), stderr())).text
    first = mail.index(b"--=_mailgate")
    mail = mail[:first] + b"This is a MIME message.\n-- \n" + mail[first:] + b"\n\nepilogue --x\n"
    assert read(mail) == BYTES


def test_a_missing_last_delimiter_does_not_matter(read) -> None:
    mail = bytes(Result(outputs=(stderr(), stdout(BYTES))))
    assert read(mail.replace(b"\r\n--=_mailgate_7f3a--\r\n", b"")) == BYTES


def _wrapped(mail: bytes) -> bytes:
    """Do as a mailing list that adds a footer around."""
    header, _, body = mail.partition(b"\n\n")
    kind = header[header.index(b"Content-Type") :]
    return (
        header.replace(kind, b'Content-Type: multipart/mixed; boundary="list"')
        + b"\n\n--list\n"
        + kind
        + b"\n\n"
        + body
        + b"\n--list\nContent-Type: text/plain\n\nTo leave the list ...\n--list--\n"
    )


def test_a_list_may_wrap_it(read) -> None:
    mail = Result(outputs=(stdout(BYTES), stderr())).text
    assert read(_wrapped(mail)) == BYTES
    assert read(_wrapped(_wrapped(mail).replace(b"list", b"tsil"))) == BYTES


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "base64"])
@pytest.mark.parametrize(
    "media_type", ["message/rfc822", "message/global", "application/octet-stream"]
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_it_may_be_forwarded_as_an_attachment(read, encoding, media_type, line_end) -> None:
    mail = Result(outputs=(stdout(BYTES), stderr())).text.replace(b"\n", line_end)
    once = forwarded(mail, encoding, media_type)
    assert read(once) == BYTES
    assert read(forwarded(once.replace(b"outer", b"inner"))) == BYTES
    assert read(_wrapped(once)) == BYTES


def test_a_forwarded_result_may_stand_behind_a_postmark(read) -> None:
    mail = Result(outputs=(stdout(BYTES), stderr())).text
    assert (
        read(forwarded(b">From jobs@gate.example.org Mon Nov 23 09:00:00 2026\n" + mail)) == BYTES
    )


@pytest.mark.parametrize(
    "start", [b"\n\r\n", b"\xef\xbb\xbf", b"From jobs Mon Nov 23 09:00:00 2026\n"]
)
def test_what_stands_before_the_header_is_passed_over(read, start: bytes) -> None:
    assert read(start + bytes(Result(outputs=(stdout(BYTES), stderr())))) == BYTES


# --- real programs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [
        email.policy.compat32,
        email.policy.default,
        email.policy.SMTP,
        email.policy.SMTPUTF8.clone(max_line_length=40),
        email.policy.default.clone(refold_source="all"),
    ],
)
def test_pythons_email_package_may_write_it_again(read, policy) -> None:
    names = ("aä.fasta", "b" * 100 + ".nwk", "c d;e.txt")
    outputs = tuple(Output(name=name, content=BYTES + name.encode()) for name in names)
    result = Result(outputs=(stdout(BYTES), stderr(), *outputs))
    mail = email.message_from_bytes(bytes(result), policy=policy).as_bytes()
    assert read(mail) == BYTES
    for name in names:
        assert read(mail, "--name", name) == BYTES + name.encode()


@pytest.mark.parametrize("cte", ["quoted-printable", "base64", "8bit"])
@pytest.mark.parametrize("content", [FASTA, TREE, b"a\xc3\xa4\n" * 30])
def test_pythons_email_package_may_encode_it_anew(read, cte: str, content: bytes) -> None:
    old = email.message_from_bytes(
        bytes(Result(outputs=(stdout(content), stderr(b"!\n")))), policy=email.policy.default
    )
    new = EmailMessage()
    new["Subject"] = "Fwd"
    new.set_content("see below")
    for part in old.iter_attachments():
        text = part.get_payload(decode=True).decode()
        new.add_attachment(text, filename=part.get_filename(), cte=cte)
    assert read(new.as_bytes()) == content
    assert read(new.as_bytes(policy=email.policy.SMTP)) == content


def test_pythons_mailbox_package_may_store_it(tmp_path: Path) -> None:
    content = b"=41 ends=\nFrom here on\n\nFrom 09:00 to 10:00 2026\nx: y\n"
    out = stdout(content, encoding="8bit", media_type="text/plain")
    result = Result(outputs=(out, stderr()), line_end=b"\n")
    box = mailbox.mbox(tmp_path / "mbox")
    box.add(b"Subject: other\n\nFrom me to you\n")
    box.add(bytes(result))
    box.close()
    folder = mailbox.Maildir(tmp_path / "Maildir")
    folder.add(b"Subject: other\n\nFrom me to you\n")
    folder.add(bytes(result))
    folder.close()
    for path in ("mbox", "Maildir"):
        ran = within(tmp_path / path)
        assert (ran.stdout, ran.stderr, ran.returncode) == (content, b"", 0)


# --- any content ----------------------------------------------------------------------------------

TEXT = st.lists(
    st.sampled_from(
        [b"", b"From x", b">From y", b"--", b"=", b"a\tb ", b".", b"\xff", b"ACGT" * 30]
    )
)


@given(
    lines=TEXT,
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    encoding=st.sampled_from(["base64", "quoted-printable", "8bit", "x-uuencode"]),
    saved_as=st.sampled_from([b"\n", b"\r\n"]),
    boxed=st.booleans(),
)
def test_any_text_survives_any_encoding(
    tmp_path_factory, lines, line_end: bytes, encoding: str, saved_as: bytes, boxed: bool
) -> None:
    content = line_end.join(lines)
    mail = Result(outputs=(stdout(content, encoding=encoding), stderr(b"!"))).text
    mail = mail.replace(b"\r\n", b"\n")
    path = tmp_path_factory.mktemp("any") / "saved"
    path.write_bytes(mbox(mail) if boxed else mail.replace(b"\n", saved_as))
    ran = within(path)
    assert (ran.stdout, ran.stderr, ran.returncode) == (content, b"", 0)


@given(content=st.binary(max_size=2000), width=st.integers(1, 100))
def test_any_bytes_survive_base64(tmp_path_factory, content: bytes, width: int) -> None:
    path = tmp_path_factory.mktemp("any") / "saved"
    path.write_bytes(bytes(Result(outputs=(stdout(content, width=width), stderr()))))
    assert within(path).stdout == content


@pytest.mark.parametrize("shift", range(3))
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable"])
def test_a_line_of_many_mib_is_not_torn(read, encoding: str, shift: int) -> None:
    content = b"x" * shift + b"=a\xff" * 1_800_000
    sent = content.replace(b"=", b"=3D").replace(b"\xff", b"=FF")
    out = stdout(content, encoding="8bit", sent=content if encoding == "8bit" else sent)
    mail = Result(outputs=(out, stderr(b"!"))).text
    old = b"8bit\n\n" if encoding == "8bit" else b"8bit"
    assert read(mail.replace(old, old.replace(b"8bit", encoding.encode()), 1)) == content
