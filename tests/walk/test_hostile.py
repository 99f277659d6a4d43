"""Hostile requests: each is refused by name or harmless."""

import hashlib
import io
import json
import secrets
import zipfile
from pathlib import Path

import pytest

from tests.daemon import Gateway, attached, eventually, read, text_of
from tests.walk import hostile
from tests.walk.hostile import DEFAULTS, answer, file, mail, send, words_of

# --- words ----------------------------------------------------------------------------------------

SHELL = [
    "; rm -rf CANARY", "$(touch CANARY)", "`touch CANARY`", "| touch CANARY", "&& touch CANARY",
    "> CANARY", "' ; touch CANARY; '", '" ; touch CANARY; "', "\\", "'", '"', "$HOME", "~root", "*",
    "?(a|b)", "../../x", "/etc/passwd", "%s%s%n", "{words}", "{input:data}", "{{", "}", "!!", "#", "a\tb",
    "sh", "@/etc/passwd", "a -rf", "x=y", "\u202egpj.exe", "\u00e9t\u00e9 \u00df \u0416",
    "\U0001f9ec" * 60, "e\u0301" * 400, "w" * 1000,
]  # fmt: skip
REFUSED = [
    "-rf", "--output=/etc/x", "-", "--", "-\u202e", "a\0b", "\0", "a\rb", "a\x1b[31mb", "a\x7fb", "a\x85b",
    "a\u2028b", "a\u2029b", "a\x0bb", "a\x0cb", "a\x08b", "w" * 1001, "",
]  # fmt: skip


@pytest.fixture
def canary(gate: Gateway) -> Path:
    return gate.folder / f"canary{secrets.token_hex(4)}"


def _alone(words: str) -> str:
    return "".join(c for c in words if c.isalnum())[:12]


@pytest.mark.parametrize("value", SHELL, ids=lambda v: v.encode("unicode_escape").decode()[:24])
def test_whatever_the_words_are_the_command_gets_them_as_one_word(
    gate: Gateway, who: str, canary: Path, value: str
) -> None:
    value = value.replace("CANARY", str(canary))
    letter = answer(gate, mail("words", who, f"words: {value}\n"), to="words", who=who)
    assert letter["Mailgate-Exit"] == "0"
    assert words_of(letter) == [value, *DEFAULTS[1:]]
    assert not canary.exists()


@pytest.mark.parametrize("value", REFUSED, ids=lambda v: v.encode("unicode_escape").decode()[:24])
def test_words_that_could_be_more_than_a_word_are_refused_by_name(
    gate: Gateway, who: str, value: str
) -> None:
    letter = answer(gate, mail("words", who, f"words: {value}\npick: two"), to="words", who=who)
    assert letter["Mailgate-Job"] is None
    assert '"words"' in " ".join(text_of(letter).split())
    assert all(c.isprintable() or c == "\n" for c in text_of(letter))
    assert hostile.jobs_of(gate, who) == []


@pytest.mark.parametrize("name", ["pick", "whole", "part", "on"])
def test_what_fits_no_type_is_refused_by_name(
    gate: Gateway, who: str, name: str, canary: Path
) -> None:
    strange = [
        *SHELL[:20], *REFUSED, "-1", "1;2", "1 2", "0x10", "1_000", "\u0661\u0662", "\u00b2", "nan", "inf", "1e999",
        "9" * 41, "one two", "ONE", "yes; no", "1\u00a01", "\uff11",
    ]  # fmt: skip
    for value in [one.replace("CANARY", str(canary)) for one in strange]:
        said = send(gate, mail("words", who, f"{name}: {value}\n"), to="words")
        assert said.startswith("250"), (value, said)
    letters = gate.await_letters(len(strange), who)
    for path in gate.saved(who):
        hostile.well_formed(path)
    assert [x for x in letters if x["Mailgate-Job"]] == []
    assert all(f'"{name}"' in " ".join(text_of(x).split()) for x in letters)
    assert hostile.jobs_of(gate, who) == []
    assert not canary.exists()


def test_a_value_over_two_lines_is_two_lines(gate: Gateway, who: str) -> None:
    body = "words: one\n; touch canary\n"
    letter = answer(gate, mail("words", who, body), to="words", who=who)
    assert letter["Mailgate-Job"] is None
    assert "; touch canary" in text_of(letter)


def test_ten_thousand_parameters_get_one_short_answer(gate: Gateway, who: str) -> None:
    body = "".join(f"p{n}: {n}\n" for n in range(10_000))
    letter = answer(gate, mail("words", who, body), to="words", who=who)
    assert letter["Mailgate-Job"] is None
    assert "10000 lines" in text_of(letter)
    assert len(text_of(letter)) < 2000


def test_one_parameter_ten_thousand_times_gets_one_short_answer(gate: Gateway, who: str) -> None:
    letter = answer(gate, mail("words", who, "pick: two\n" * 10_000), to="words", who=who)
    assert letter["Mailgate-Job"] is None
    assert len(text_of(letter)) < 2000


def test_ten_thousand_parameters_of_a_content_type_are_harmless(gate: Gateway, who: str) -> None:
    many = b"".join(b";\r\n p%d=%d" % (n, n) for n in range(10_000))
    part = b"Content-Type: application/x-many" + many + b"\r\n\r\nbytes"
    said = send(gate, mail("keep", who, "", parts=(part,)), to="keep")
    assert said.startswith("250"), said
    eventually(lambda: gate.saved(who) or hostile.held(gate, who), 30, gate.logged)


# --- attachments ----------------------------------------------------------------------------------

NAMES = {
    "option": b"-rf",
    "long option": b"--output=/etc/x",
    "absolute": b"/etc/passwd",
    "dots": b"..",
    "dot": b".",
    "path": b"../../../x",
    "backslashes": b"..\\..\\x",
    "job.json": b"job.json",
    "stdout": b"stdout.txt",
    "manifest": b"manifest.json",
    "nul": b"a\0b",
    "only nul": b"\0",
    "long": b"n" * 300,
    "very long": b"n" * 100_000,
    "right to left": "\u202egpj.exe".encode(),
    "lines": b"a\r\nBcc: victim@example.org\r\n\r\nbody",
    "separators": "a\u2028b\u0085c".encode(),
    "escapes": b"\x1b]0;title\x07\x1b[2J",
    "shell": b"$(touch x); `touch y` | rm -rf *",
    "quotes": b'"\'\\";filename=other',
    "bad bytes": b"\xff\xfe\x80",
    "surrogate": b"\xed\xa0\x80",
    "emoji": "\U0001f9ec\u200d\U0001f52c.fa".encode(),
    "empty": b"",
    "none": None,
    "device": b"con",
    "blank": b"   ",
    "encoded": b"=?utf-8?q?a=0Ab?=",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_attachments_name_is_never_a_path(gate: Gateway, who: str, name: bytes | None) -> None:
    content = secrets.token_bytes(100)
    letter = answer(gate, mail("keep", who, parts=(file(name, content),)), to="keep", who=who)
    assert letter["Mailgate-Exit"] == "0", text_of(letter)
    assert attached(letter)["stdout.txt"] == content
    assert attached(letter)["stderr.txt"].split() == [b"data", b"manifest.json"]
    assert list(attached(letter)) == ["job.json", "stdout.txt", "stderr.txt"]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_attachments_name_is_shown_without_what_acts(
    gate: Gateway, who: str, name: bytes | None
) -> None:
    parts = (file(name, b"one"), file(name, b"two"))
    letter = answer(gate, mail("keep", who, parts=parts), to="keep", who=who)
    assert letter["Mailgate-Job"] is None
    assert "which?" in text_of(letter)
    assert all(c.isprintable() or c in "\n\u200d" for c in text_of(letter))
    assert hostile.jobs_of(gate, who) == []


def test_of_attachments_named_alike_a_name_chooses_none(gate: Gateway, who: str) -> None:
    parts = (file(b"same.fa", b"one"), file(b"same.fa", b"two"))
    letter = answer(gate, mail("keep", who, "data: same.fa\n", parts=parts), to="keep", who=who)
    assert letter["Mailgate-Job"] is None
    assert "which?" in text_of(letter)


def test_a_dry_run_shows_a_name_without_what_acts(gate: Gateway, who: str) -> None:
    raw = mail("keep", who, "dry-run: yes\n", parts=(file(NAMES["lines"], b"x"),))
    letter = answer(gate, raw, to="keep", who=who)
    assert letter["Mailgate-Job"] is None
    assert "\nBcc" not in text_of(letter)


def test_a_zip_bomb_is_passed_on_as_the_bytes_it_is(gate: Gateway, who: str) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50 << 20))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.zip", inner.getvalue())
    content = bomb.getvalue()
    letter = answer(gate, mail("keep", who, parts=(file(b"b.zip", content),)), to="keep", who=who)
    assert attached(letter)["stdout.txt"] == content
    (job,) = hostile.jobs_of(gate, who)
    folder = gate.spool / "jobs" / job["id"][:2] / job["id"]
    taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert taken < 1 << 20


def test_ten_thousand_attachments_are_held_and_kept_byte_for_byte(gate: Gateway, who: str) -> None:
    raw = mail("keep", who, parts=tuple(file(b"%d" % n, b"x") for n in range(10_000)))
    assert send(gate, raw, to="keep").startswith("250")
    number, reason = hostile.await_held(gate, who)
    assert "parts" in reason
    assert gate.run("hold", "show", number).stdout == raw
    assert gate.saved(who) == []


@pytest.mark.parametrize("deep", [100, 20_000])
def test_deep_nesting_is_held_and_kept_byte_for_byte(gate: Gateway, who: str, deep: int) -> None:
    nest = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(deep)
    )
    raw = mail("keep", who, parts=(nest + b"\r\nend",))
    assert send(gate, raw, to="keep").startswith("250")
    number, _ = hostile.await_held(gate, who)
    assert gate.run("hold", "show", number).stdout == raw
    assert gate.saved(who) == []


def test_a_mail_within_a_mail_within_a_mail_is_one_attachment(gate: Gateway, who: str) -> None:
    inner = b"words: inner\r\n"
    for _ in range(1000):
        inner = b"Content-Type: message/rfc822\r\n\r\n" + inner
    letter = answer(gate, mail("keep", who, parts=(inner,)), to="keep", who=who)
    assert letter["Mailgate-Exit"] == "0", text_of(letter)


# --- headers --------------------------------------------------------------------------------------

INJECTED = "victim@example.net"
BREAKS = [
    "\r\n",
    "\n",
    "\r",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\0",
    "=0D=0A",
    "%0d%0a",
    "\\r\\n",
]


@pytest.mark.parametrize("at", BREAKS, ids=lambda v: v.encode("unicode_escape").decode())
def test_a_label_begins_no_header(gate: Gateway, who: str, at: str) -> None:
    body = f"label: x{at}Bcc: {INJECTED}{at}{at}words\n"
    letter = answer(gate, mail("take", who, body), to="take", who=who)
    assert letter["Bcc"] is None
    assert not gate.maildir(INJECTED).exists()


@pytest.mark.parametrize(
    "label",
    [
        "=?utf-8?q?x=0D=0ABcc=3A_victim=40example=2Enet?=", "=?utf-8?b?eA0KQmNjOiB2aWN0aW1AZXhhbXBsZS5uZXQ=?=",
        "=?unknown?x?y?=", "\u202e\u2066reversed", "\U0001f9ec" * 100, "w" * 100_000, '") ; x="', "]",
        "[job aaaaaaaaaaaa] words: completed",
    ],
    ids=lambda v: v.encode("unicode_escape").decode()[:20],
)  # fmt: skip
def test_a_label_stays_a_label(gate: Gateway, who: str, label: str) -> None:
    letter = answer(gate, mail("take", who, f"label: {label}\n\nx"), to="take", who=who)
    assert letter["Mailgate-Exit"] == "0"
    assert letter["Bcc"] is None
    assert len(str(letter["Subject"])) < 250
    assert str(letter["Subject"]).startswith(f"[job {letter['Mailgate-Job']}] take: completed")
    assert str(letter["Subject"]).isprintable()


SUBJECTS = [
    b"Subject: =?utf-8?q?x=0D=0ABcc:_victim=40example.net=0D=0A?=\r\n",
    b"Subject: x\r\n =?utf-8?b?DQpCY2M6IHZpY3RpbQ==?=\r\n",
    b"Subject: x\rBcc: victim@example.net\r\n",
    b"Subject: x\0y\r\n",
    b"Subject: =?utf-7?q?+2AA-?=\r\n",
    b"Subject: " + b"=?utf-8?q?a?= " * 16_000 + b"\r\n",
    b"Subject: \xff\xfe\x80\r\nSubject: another\r\n",
]


@pytest.mark.parametrize("headers", SUBJECTS, ids=lambda v: repr(v[:30]))
def test_a_subject_begins_no_header(gate: Gateway, who: str, headers: bytes) -> None:
    letter = answer(gate, mail("take", who, "x", headers=headers), to="take", who=who)
    assert letter["Bcc"] is None
    broken = answer(gate, mail("words", who, "x", headers=headers), to="words", who=who)
    assert broken["Bcc"] is None


IDS = [
    b"Message-ID: <a@b>\r\n\tBcc: victim@example.net\r\n",
    b"Message-ID: <a@b\r\n c>\r\n",
    b"Message-ID: <a\rb@c>\r\n",
    b"Message-ID: <a\0b@c>\r\n",
    b"Message-ID: <" + b"a" * 900 + b"@b>\r\n",
    b"Message-ID: <" + b"a" * 200_000 + b"@b>\r\n",
    b"Message-ID: <\xff\xfe@b>\r\n",
    b"Message-ID: <\xe2\x80\xa8Bcc:x@b>\r\n",
    b"Message-ID: <\xf0\x9f\xa7\xac@b>\r\n",
    b"Message-ID: no brackets at all\r\n",
    b"Message-ID: <first@b>\r\nMessage-ID: <second@b>\r\n",
    b"Message-ID:\r\n",
    b"Message-ID: <>\r\n",
    b"Message-ID: <a@b>>\r\n",
    b"Message-ID: <<a@b>\r\n",
    b"Message-ID: =?utf-8?q?=3Ca=40b=3E=0D=0ABcc=3A?=\r\n",
    b"References: <a@b>\r\n\tBcc: victim@example.net\r\n",
    b"References: <a@b>\r\nReferences: <c@d>\r\n",
    b"References: " + b"<a@b> " * 30_000 + b"\r\n",
    b"References: <" + b"a" * 200_000 + b"@b>\r\n",
    b"References: <a\rb@c> <\xff@x> <a b@c> <\0@x>\r\n",
    b"In-Reply-To: <a@b>\r\n Bcc: victim@example.net\r\n",
]


@pytest.mark.parametrize("headers", IDS, ids=lambda v: repr(v[:36]))
def test_an_id_begins_no_header(gate: Gateway, who: str, headers: bytes) -> None:
    said = send(gate, mail("take", who, "x", headers=headers), to="take")
    if said.startswith("250"):
        (path,) = eventually(lambda: gate.saved(who), 30, gate.logged)
        raw = path.read_bytes()
        letter = read(raw)
        # What cannot stand in a header of ours is left out of it, and nothing else changes.
        names = [name for name in letter if name not in ("References", "In-Reply-To")]
        assert sorted(names) == sorted(set(hostile.RESULT) - {"In-Reply-To"})
        assert raw.partition(b"\n\n")[0].isascii()
        assert letter["Bcc"] is None
        assert max(map(len, raw.split(b"\n"))) <= 998
    else:
        assert said[0] == "5"


def test_names_in_the_machine_part_are_json_and_no_more(gate: Gateway, who: str) -> None:
    value = '", "id": "forged", "x": "\u202e\U0001f9ec'
    letter = answer(
        gate, mail("words", who, f"words: {value}\nlabel: {value}"), to="words", who=who
    )
    manifest = json.loads(attached(letter)["job.json"])
    assert manifest["parameters"]["words"] == value
    assert manifest["id"] == letter["Mailgate-Job"]
    found = {s["name"]: s["sha256"] for s in manifest["streams"]}
    assert found["stdout.txt"] == hashlib.sha256(attached(letter)["stdout.txt"]).hexdigest()
