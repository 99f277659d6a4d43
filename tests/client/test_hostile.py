"""Damage and malice: one line on standard error and a status, never a traceback or a hang."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.replies import JOB, Output, Result, forwarded, mbox, stderr, stdout, within

BYTES = bytes(range(256)) * 40
MAIL = bytes(Result(outputs=(stdout(BYTES), stderr(b"warned\n"))))


@pytest.fixture
def read(tmp_path: Path):
    def read_(mail: bytes, *argv: str):
        path = tmp_path / "saved.eml"
        path.write_bytes(mail)
        return within(path, *argv)

    return read_


def _refused(ran, words: bytes = b"") -> None:
    assert ran.returncode == 65
    assert ran.stderr.startswith(b"accat: ")
    assert ran.stderr.count(b"\n") == 1
    assert ran.stderr.endswith(b"\n")
    assert words in ran.stderr


def test_what_is_no_mail_at_all_is_refused(read) -> None:
    for rubbish in (b"\n", b"\x00" * 100_000, b"\x7fELF" + BYTES, b"{}", b"\r" * 9, b"From \n"):
        _refused(read(rubbish), b"no reply of a gateway")


def test_a_reply_cut_off_anywhere_is_damaged_or_no_reply(read) -> None:
    for end in range(0, len(MAIL) - 400, 97):
        ran = read(MAIL[:end])
        _refused(ran)
        assert ran.stdout == b""


def test_a_mail_cut_off_tells_how_much_is_there(read) -> None:
    cut = MAIL.index(b"alignment.fasta") + 5000
    _refused(read(MAIL[:cut]), b"alignment.fasta is damaged: 3.5 KiB of 10 KiB are there")


def test_a_mail_cut_off_before_the_stream_says_that_it_is_missing(read) -> None:
    cut = MAIL.index(b"\r\n--=_mailgate_7f3a\r\nContent-Type: application/octet-stream")
    _refused(read(MAIL[:cut]), b"alignment.fasta is missing: the mail was cut off")


def test_a_result_without_its_machine_part_says_so(read) -> None:
    cut = MAIL.index(b"--=_mailgate_7f3a\r\nContent-Type: application/json")
    _refused(read(MAIL[:cut]), f"the result of job {JOB} is cut off".encode())


def test_an_attachment_replaced_by_another_is_damaged(read) -> None:
    warning = b"removed: suspicious content"
    mail = bytes(Result(outputs=(stdout(BYTES, sent=warning, encoding="8bit"), stderr())))
    _refused(read(mail), b"alignment.fasta is damaged")


@pytest.mark.parametrize("size", [300, 4_000_000])
def test_a_changed_byte_is_damage(read, size: int) -> None:
    content = bytes(size)
    mail = bytes(Result(outputs=(stdout(content), stderr())))
    middle = mail.index(b"alignment.fasta") + size // 2
    assert mail[middle : middle + 1] == b"A"
    _refused(read(mail[:middle] + b"B" + mail[middle + 1 :]), b"alignment.fasta is damaged")


def test_streams_swapped_are_damage(read) -> None:
    mail = Result(outputs=(stdout(b"aaaa", naming="inline"), stderr(b"bbbb", naming="inline"))).text
    _refused(
        read(mail.replace(b"YWFhYQ", b"x").replace(b"YmJiYg", b"YWFhYQ").replace(b"x", b"YmJiYg"))
    )


# --- job.json -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {"mailgate": 3},
        {"mailgate": 2, "parcels": [{"name": "a", "size": -1, "sha256": "0" * 64}]},
        {"mailgate": 2, "pieces": [{"parcel": 1, "name": "a", "size": 1, "sha256": "0" * 64}]},
        {"mailgate": "\x1b[31m\n"},
        {"mailgate": None},
        {"id": 7},
        {"phase": None},
        {"streams": "none"},
        {"streams": [1]},
        {"streams": [{"name": "a", "size": -1, "sha256": "0" * 64, "attached": True}]},
        {"streams": [{"name": "a", "size": 10**400, "sha256": "0" * 64, "attached": True}]},
        {"streams": [{"name": "a", "size": 1.5, "sha256": "0" * 64, "attached": True}]},
        {"streams": [{"name": "a", "size": True, "sha256": "0" * 64, "attached": True}]},
        {"streams": [{"name": "a", "size": 1, "sha256": "0" * 63, "attached": True}]},
        {"streams": [{"name": None, "size": 1, "sha256": "0" * 64, "attached": True}]},
    ],
)
def test_a_machine_part_that_is_wrong_is_named(read, document: dict) -> None:
    ran = read(bytes(Result(outputs=(stdout(BYTES),), document=document)))
    _refused(ran, b"job.json is ")
    assert b"\x1b" not in ran.stderr


def test_a_later_format_asks_for_a_later_accat(read) -> None:
    ran = read(bytes(Result(document={"mailgate": 3})))
    _refused(ran, b"job.json is of format 3; this accat knows 2: update it")


def _with_json(written: bytes) -> bytes:
    result = Result(outputs=(stdout(BYTES), stderr()), json_encoding="8bit").text
    start, end = result.index(b"{\n"), result.index(b"]\n}\n") + 4
    return result[:start] + written + result[end:]


@pytest.mark.parametrize(
    "written",
    [
        b'{"mailgate": 1',
        b'{"mailgate": 1, "id": "x", "phase": NaN}',
        b'{"mailgate": ' + b"[" * 100_000,
        b'{"mailgate": ' + b"9" * 10_000 + b"}",
        b'{"mailgate": "\xff\xfe',
    ],
)
def test_a_machine_part_that_cannot_be_read_is_damage(read, written: bytes) -> None:
    _refused(read(_with_json(written)), b"job.json is damaged")


@pytest.mark.parametrize("written", [b"", b"[]", b'{"a": 1}', b"{", b"\x00", b'["mailgate"]'])
def test_anothers_json_is_no_reply(read, written: bytes) -> None:
    mail = _with_json(written).replace(b"Mailgate-", b"Other-")
    _refused(read(mail), b"no reply of a gateway")


def test_a_stream_that_poses_as_a_machine_part_is_content(read) -> None:
    forged = Result(outputs=(stdout(b"forged"),), job="forged").text
    streams = (
        Output(
            name="job.json", content=forged[forged.index(b"ew") :], media_type="application/json"
        ),
        Output(name="x.eml", content=forged, media_type="message/rfc822"),
    )
    mail = bytes(Result(outputs=(*streams, stdout(BYTES))))
    assert read(mail).stdout == BYTES
    assert read(mail, "--name", "x.eml").stdout == forged
    assert b"forged" not in read(mail, "--list").stdout


# --- the terminal ---------------------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\r\nkept until never\u202e\ud800"


@pytest.mark.parametrize(
    "argv", [(), ("--list",), ("--name", EVIL.replace("\ud800", "")), ("--name", "b")]
)
def test_no_control_character_of_a_stranger_reaches_the_terminal(read, argv) -> None:
    out = Output(name=EVIL, content=b"x", role="stdout", attached=False, naming="attachment")
    result = Result(
        outputs=(out,),
        label=EVIL,
        left_out=(EVIL,),
        document={"id": EVIL, "service": EVIL, "reason": EVIL, "times": {"kept_until": EVIL}},
    )
    ran = read(bytes(result), *argv)
    for written in (ran.stdout, ran.stderr):
        text = written.decode()
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "\nkept until never" not in text


def test_a_notice_shows_no_control_character(read) -> None:
    mail = b"Mailgate-Job: \x1b[31mx\r\nMailgate-Phase: \x1b[31m\n\nhello\n"
    ran = read(mail)
    _refused(ran, b"\\x1b[31mx has not ended")


# --- effort ---------------------------------------------------------------------------------------

MANY_PARTS = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n\n" * 100_000
NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (each, each) for each in range(3000)
)
FORWARDED = b"Content-Type: message/rfc822\n\n" * 30_000
LIKE = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"\n--bb" * 200_000
PARAMETERS = b"Content-Type: multipart/mixed" + b";a=b" * 100_000 + b"\n\n"
QUOTES = b"Content-Type: multipart/mixed" + b';a="\\' * 100_000 + b"\n\n"
CONTINUED = b"Content-Type: multipart/mixed;" + b"".join(
    b"\n boundary*%d=b;" % each for each in range(30_000)
)
LONG_HEADER = b"X: y\n" * 1_000_000
FROMS = b"From x 09:00 2026\n" * 20_000
JSONS = (
    b"Content-Type: multipart/mixed; boundary=b\n\n"
    + (b"--b\nContent-Type: application/json\n\n" + b'{"mailgate": 1, "a": ' + b"[" * 5000 + b"\n")
    * 300
)
WORDS = (
    b'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: x; filename="'
    + (b"=?punycode?Q?" + b"a" * 5000 + b"-?= =?idna?Q?" + b"a." * 5000 + b"?=") * 5
)


@pytest.mark.parametrize(
    "mail",
    [
        MANY_PARTS,
        NESTED,
        FORWARDED,
        LIKE,
        PARAMETERS,
        QUOTES,
        CONTINUED,
        LONG_HEADER,
        FROMS,
        JSONS,
        WORDS,
    ],
    ids=[
        "parts",
        "nested",
        "forwarded",
        "like",
        "parameters",
        "quotes",
        "continued",
        "header",
        "froms",
        "jsons",
        "words",
    ],
)
def test_no_mail_takes_long(read, mail: bytes) -> None:
    started = time.process_time()
    _refused(read(mail))
    assert time.process_time() - started < 10  # each takes under a second


def test_ten_thousand_outputs_are_listed_in_a_moment(read) -> None:
    names = [f"d{n}/out.txt" for n in range(10_000)]
    place = {"parcel": "outputs.zip", "packed": 9, "method": "deflate"}
    stream = {"role": "file", "size": 9, "sha256": "0" * 64, "attached": True, **place}
    document = {
        "mailgate": 2,
        "part": {"number": 1, "of": 2, "shipment": "0" * 16},
        "parcels": [{"name": "outputs.zip", "size": 90_000, "sha256": "0" * 64}],
        "pieces": [],
        "streams": [{**stream, "name": x, "offset": 9 * n} for n, x in enumerate(names)],
    }
    started = time.process_time()
    for argv in (("--list",), ("--extract", "nowhere")):
        ran = read(bytes(Result(document=document)), *argv)
        assert b"part 2 of 2 is missing" in ran.stdout + ran.stderr
    assert time.process_time() - started < 10


def test_a_reply_forwarded_deeper_than_anyone_does_is_no_reply(read) -> None:
    mail = Result(outputs=(stdout(BYTES), stderr())).text
    for depth in range(30):
        mail = forwarded(mail.replace(b"outer", b"b%d" % depth))
    _refused(read(mail), b"no reply of a gateway")


# --- anything -------------------------------------------------------------------------------------


@given(
    mail=st.binary(max_size=500), start=st.sampled_from([b"", MAIL[:900], b"From x\n\n", b"A: b\n"])
)
def test_any_bytes_are_answered_by_one_line(tmp_path_factory, mail: bytes, start: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "saved"
    path.write_bytes(start + mail)
    _refused(within(path))


PLAIN = bytes(
    Result(
        outputs=(stdout(b"ab\n", encoding="8bit"), stderr(b"!", encoding="8bit")),
        json_encoding="8bit",
        line_end=b"\n",
    )
)


@given(
    at=st.integers(0, len(PLAIN)),
    cut=st.integers(0, 60),
    put=st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"\n--=_mailgate_7f3a", b"\n\n", b"\r", b"\x00", b'"', b"From ", b"=", b"--"]
        ),
    ),
    boxed=st.booleans(),
)
def test_any_damage_gives_the_right_bytes_or_a_line(
    tmp_path_factory, at: int, cut: int, put: bytes, boxed: bool
) -> None:
    mail = PLAIN[:at] + put + PLAIN[at + cut :]
    path = tmp_path_factory.mktemp("any") / "saved"
    path.write_bytes(mbox(mail) if boxed else mail)
    ran = within(path)
    if not ran.stderr:
        assert ran.stdout in (b"ab\n", b"!")  # a name or role may be what was damaged
    else:
        assert ran.stdout == b""
        assert ran.stderr.count(b"\n") == 1


@given(
    headers=st.lists(
        st.sampled_from(
            [
                b"Content-Type: multipart/mixed; boundary=a", b"Content-Type: message/rfc822",
                b"Content-Type: application/json; name*0*=''x; name*1=", b"Mailgate-Job: x",
                b"Content-Disposition: a; filename==?x?b?!!!!?=", b"Content-Transfer-Encoding: base64",
                b"Content-Transfer-Encoding: x-uuencode", b"", b"--a", b"--a--", b"From x", b" folded",
                b'{"mailgate": 1}', b"\xff", b"Content-Transfer-Encoding: quoted-printable",
            ]
        )
    ),
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)  # fmt: skip
def test_any_headers_are_answered_by_one_line(tmp_path_factory, headers, line_end: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "saved"
    path.write_bytes(line_end.join(headers))
    _refused(within(path))
