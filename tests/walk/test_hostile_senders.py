"""Hostile senders and envelopes: who is believed, who is answered, which addresses are ours."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Gateway, attached, eventually, running
from tests.walk import hostile
from tests.walk.hostile import answer, file, held, jobs_of, mail, send, talk

EVE = "eve@elsewhere.test"
TAKE_ANYBODY = hostile.TAKE.replace('"*@example.org"', '"*"')


@pytest.fixture(scope="module")
def _trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It believes one client alone, 127.0.0.5; one of its services is open to whoever is believed."""
    settings = "[read]\nworkers = 1\n"
    with running(tmp_path_factory.mktemp("trusting"), more=settings) as gateway:
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace('"127.0.0.0/8", "::1/128"', '"127.0.0.5/32"'))
        hostile.offer(gateway)
        gateway.service("all", TAKE_ANYBODY)
        gateway.start()
        yield gateway


@pytest.fixture
def trusting(_trusting: Gateway) -> Iterator[Gateway]:
    yield _trusting
    hostile.unharmed(_trusting)


def inside(gateway: Gateway, raw: bytes, *, to: str) -> str:
    return send(gateway, raw, to=to, source="127.0.0.5")


# --- who is believed ------------------------------------------------------------------------------


def test_a_stranger_who_forges_a_from_preempts_no_message_id(trusting: Gateway, who: str) -> None:
    name = b"Message-ID: <%s>\r\n" % who.encode()
    forged = mail("take", who, "forged\n", headers=name)
    for _ in range(3):
        said = send(trusting, forged, to="take")
        assert said.startswith("550 5.7.1"), said
        assert "vouches" in said
    relayed = b"Received: from x (x [203.0.113.5]) by inside; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    assert inside(trusting, relayed + forged, to="take").startswith("550 5.7.1")
    assert inside(trusting, mail("take", who, "mine\n", headers=name), to="take").startswith("250")
    (letter,) = trusting.await_results(1, who)
    assert attached(letter)["stdout.txt"] == b"mine\n"
    assert len(jobs_of(trusting, who)) == 1


def test_a_held_mail_preempts_no_message_id(trusting: Gateway, who: str) -> None:
    name = b"Message-ID: <%s>\r\n" % who.encode()
    raw = mail("take", who, "machine\n", headers=name + b"Precedence: bulk\r\n")
    assert inside(trusting, raw, to="take").startswith("250")
    assert inside(trusting, mail("take", who, "mine\n", headers=name), to="take").startswith("250")
    (letter,) = trusting.await_results(1, who)
    assert attached(letter)["stdout.txt"] == b"mine\n"


def test_an_unclear_mail_preempts_its_own_message_id_alone(trusting: Gateway, who: str) -> None:
    """The same sender asked something else under that name: it is told so, nothing is done."""
    name = b"Message-ID: <%s>\r\n" % who.encode()
    for body in ("wrods: x\n", "words: x\n"):
        assert inside(trusting, mail("words", who, body, headers=name), to="words").startswith(
            "250"
        )
    assert len(trusting.await_letters(2, who)) == 2
    assert jobs_of(trusting, who) == []
    other = "bob." + who
    assert (
        inside(trusting, mail("words", other, "words: x\n", headers=name), to="words")[:3] == "250"
    )
    trusting.await_results(1, other)


ADA = b"boss@example.org"
FROMS = {
    "a display name like an address": b'From: "%s" <eve@elsewhere.test>' % ADA,
    "an address as display name": b"From: %s <eve@elsewhere.test>" % ADA,
    "a long display name": b'From: "%s%s" <eve@elsewhere.test>' % (ADA, b" " * 3000),
    "an encoded display name": b"From: =?utf-8?q?boss=40example=2Eorg?= <eve@elsewhere.test>",
    "an encoded address": b"From: =?utf-8?q?boss=40example=2Eorg?=",
    "an encoded local part": b"From: =?utf-8?q?boss?=@example.org",
    "an encoded comma": b"From: =?utf-8?q?boss=40example=2Eorg=2C?= <eve@elsewhere.test>",
    "encoded brackets": b"From: =?utf-8?q?=3Cboss=40example=2Eorg=3E?= <eve@elsewhere.test>",
    "two brackets": b"From: <%s> <eve@elsewhere.test>" % ADA,
    "brackets in brackets": b"From: <eve@elsewhere.test<%s>>" % ADA,
    "two addresses": b"From: eve@elsewhere.test, %s" % ADA,
    "two addresses the other way": b"From: %s, eve@elsewhere.test" % ADA,
    "a semicolon": b"From: %s; eve@elsewhere.test" % ADA,
    "a blank": b"From: %s eve@elsewhere.test" % ADA,
    "a group": b"From: friends: %s;" % ADA,
    "a group of two": b"From: friends: %s, eve@elsewhere.test;" % ADA,
    "an empty group": b"From: %s:;" % ADA,
    "a route": b"From: <@elsewhere.test:%s>" % ADA,
    "an open quote": b'From: "eve <%s>' % ADA,
    "an open comment": b"From: (eve@elsewhere.test %s" % ADA,
    "an open bracket": b"From: eve <%s" % ADA,
    "a NUL": b"From: %s\0@elsewhere.test" % ADA,
    "a NUL before": b"From: eve\0 <%s>" % ADA,
    "a CR": b"From: eve@elsewhere.test\r%s" % ADA,
    "two at signs": b"From: boss@elsewhere.test@example.org",
    "a quoted at sign": b'From: "boss@elsewhere.test"@example.org',
    "a quoted local part": b'From: "boss"@example.org',
    "a blank in the local part": b"From: bo ss@example.org",
    "a dot too many": b"From: boss@example.org..",
    "full-width at": "From: boss\uff20example.org".encode(),
    "a look-alike domain": "From: boss@ex\u0430mple.org".encode(),
    "a look-alike local part": "From: b\u043ess@example.org".encode(),
    "bytes of no charset": b"From: b\xf6ss@example.org",
    "two fields": b"From: %s\r\nFrom: eve@elsewhere.test" % ADA,
    "two fields the other way": b"From: eve@elsewhere.test\r\nFrom: %s" % ADA,
    "the same twice": b"From: %s\r\nFrom: %s" % (ADA, ADA),
    "a space before the colon": b"From: eve@elsewhere.test\r\nFrom : %s" % ADA,
    "case": b"From: eve@elsewhere.test\r\nfROM: %s" % ADA,
    "folded": b"From:\r\n eve@elsewhere.test,\r\n %s" % ADA,
    "an empty one before": b"From:\r\nFrom: %s" % ADA,
    "nothing": b"From:",
    "no field": b"X-From: %s" % ADA,
    "no at sign": b"From: boss",
    "a heap of brackets": b"From: " + b"<" * 2000 + ADA,
    "a heap of comments": b"From: " + b"(" * 2000 + ADA,
    "past what is read": b"From: " + b"x" * 5000 + b" <%s>" % ADA,
}  # fmt: skip


@pytest.mark.parametrize("line", FROMS.values(), ids=FROMS)
def test_a_from_that_can_be_read_two_ways_is_refused(trusting: Gateway, line: bytes) -> None:
    raw = line + b"\r\nTo: words@gate.example.org\r\n\r\nwords: x\r\n"
    said = inside(trusting, raw, to="words")
    assert said[:3] in {"550", "554"}, said
    assert jobs_of(trusting, ADA.decode()) == []
    assert not trusting.maildir(ADA.decode()).exists()
    assert not trusting.maildir(EVE).exists()


@pytest.mark.parametrize(
    "line",
    [
        "From: %s", "From: <%s>", "From: Ada Lovelace <%s>", 'From: "Ada, Countess" <%s>', "From: %s (Ada)",
        "From:\r\n Ada\r\n <%s>", "From: =?utf-8?q?Ad=C3=A4?= <%s>", 'From: "ada@elsewhere (x)" <%s>',
    ],
)  # fmt: skip
def test_a_plain_from_is_who_it_says(trusting: Gateway, who: str, line: str) -> None:
    raw = (line % who).encode() + b"\r\nTo: words@gate.example.org\r\n\r\nwords: x\r\n"
    said = inside(trusting, raw, to="words")
    # A person's display name may look like an address of elsewhere: then two readers may differ.
    if "elsewhere" in line:
        assert said[:3] in {"250", "554"}
    else:
        assert said.startswith("250"), said
        trusting.await_results(1, who)


# --- the gateway's own addresses ------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "jobs@gate.example.org", "JOBS@GATE.EXAMPLE.ORG", "jobs+all@gate.example.org", "jobs+x@gate.example.org",
        "jobs+job.abcdefghijkl.k@gate.example.org", "all@gate.example.org", "ALL@gate.example.org",
        "words@gate.example.org", "postmaster@gate.example.org",
    ],
)  # fmt: skip
def test_a_mail_from_an_address_of_the_gateway_is_refused(trusting: Gateway, address: str) -> None:
    raw = mail("all", address, "round and round\n")
    said = inside(trusting, raw, to="all")
    assert said.startswith("550 5.7.1"), said
    assert "automatic" in said
    assert not trusting.maildir(address.lower()).exists()


def test_a_neighbour_of_the_gateway_is_a_person(trusting: Gateway) -> None:
    raw = mail("all", "grace@gate.example.org", "hello\n")
    assert inside(trusting, raw, to="all").startswith("250")
    trusting.await_results(1, "grace@gate.example.org")


# --- who is answered ------------------------------------------------------------------------------

ELSEWHERE = "victim@elsewhere.test"


@pytest.mark.parametrize(
    "name",
    [
        "Reply-To", "Sender", "Errors-To", "Return-Path", "Return-Receipt-To", "Disposition-Notification-To",
        "Resent-From", "Resent-Reply-To", "Mail-Followup-To", "Mail-Reply-To", "Cc", "Bcc", "X-Original-From",
    ],
)  # fmt: skip
def test_answers_go_to_from_and_to_nobody_else(gate: Gateway, who: str, name: str) -> None:
    header = f"{name}: {ELSEWHERE}\r\n".encode()
    for to, body in (("take", "hello"), ("words", "wrods: x")):
        letter = answer(gate, mail(to, who, body, headers=header), to=to, who=who)
        assert letter["To"] == who
    assert not gate.maildir(ELSEWHERE).exists()


def test_the_envelopes_sender_is_not_answered(gate: Gateway, who: str) -> None:
    assert send(gate, mail("take", who, "x"), to="take", sender=ELSEWHERE).startswith("250")
    gate.await_results(1, who)
    assert not gate.maildir(ELSEWHERE).exists()


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ((), b"Return-Path: <>\r\n", 65),
        ((), b"Return-Path: MAILER-DAEMON\r\n", 65),
        ((), b"Return-Path:\r\n", 65),
        ((), b"Return-Path: <>\r\nReturn-Path: <real@example.org>\r\n", 65),
        (("--sender", ""), b"Return-Path: <real@example.org>\r\n", 65),
        (("--sender", "<>"), b"Return-Path: <real@example.org>\r\n", 65),
        (("--sender", "MAILER-DAEMON"), b"", 65),
    ],
)
def test_a_null_sender_starts_no_job_through_the_pipe(
    gate: Gateway, who: str, options: tuple[str, ...], headers: bytes, status: int
) -> None:
    raw = headers + mail("take", who, "x")
    done = gate.run("receive", *options, "--recipient", "take@gate.example.org", stdin=raw)
    assert done.returncode == status, done.stderr
    assert jobs_of(gate, who) == []


def test_a_second_return_path_that_is_null_is_held(gate: Gateway, who: str) -> None:
    raw = b"Return-Path: <real@example.org>\r\nReturn-Path: < >\r\n" + mail("take", who, "x")
    assert gate.run("receive", "--recipient", "take@gate.example.org", stdin=raw).returncode == 0
    assert held(gate, who)
    assert jobs_of(gate, who) == []


AUTOMATIC = {
    "plain": b"Auto-Submitted: auto-replied",
    "folded": b"Auto-Submitted:\r\n\tauto-replied",
    "folded twice": b"Auto-Submitted:\r\n \r\n auto-replied",
    "case": b"aUTO-sUBMITTED: AUTO-Replied",
    "a blank before the colon": b"Auto-Submitted : auto-generated",
    "a tab": b"Auto-Submitted:\tauto-notified",
    "a parameter": b'Auto-Submitted: auto-replied; owner-email="a@b"',
    "a comment before": b"Auto-Submitted: (no) auto-replied",
    "comments around": b"Auto-Submitted: (a (nested) one)\r\n auto-replied (no)",
    "a word of its own": b"Auto-Submitted: x-machine",
    "quoted": b'Auto-Submitted: "auto-replied"',
    "no and more": b"Auto-Submitted: no, auto-replied",
    "no first": b"Auto-Submitted: no\r\nAuto-Submitted: auto-replied",
    "no last": b"Auto-Submitted: auto-replied\r\nAuto-Submitted: no",
    "far down": b"X: y\r\n" * 800 + b"Auto-Submitted: auto-replied",
    "a report": b"Content-Type: multipart/report; boundary=x",
    "a report in another case": b"content-TYPE: MULTIPART/Report",
    "a report, folded": b"Content-Type:\r\n multipart/report",
    "a report with a comment": b"Content-Type: (x) multipart/report",
    "our own loop mark": b"X-Loop: jobs@gate.example.org",
    "our own loop mark in another case": b"x-LOOP: <JOBS@gate.example.org>",
    "our own loop mark among others": b"X-Loop: other@example.net\r\nX-Loop: jobs@gate.example.org",
}


@pytest.mark.parametrize("headers", AUTOMATIC.values(), ids=AUTOMATIC)
def test_a_mark_of_a_machine_cannot_be_hidden(gate: Gateway, who: str, headers: bytes) -> None:
    top = b"From: %s\r\nTo: take@gate.example.org\r\n" % who.encode()
    for raw in (top + headers + b"\r\n\r\nx\r\n", headers + b"\r\n" + top + b"\r\nx\r\n"):
        said = send(gate, raw, to="take")
        assert said.startswith("550 5.7.1"), said
        assert "automatic" in said


@pytest.mark.parametrize("value", [b"no", b"NO", b"(really) no", b"no (really)", b"no; x=y"])
def test_a_person_who_says_so_is_no_machine(gate: Gateway, who: str, value: bytes) -> None:
    raw = mail("take", who, "x", headers=b"Auto-Submitted: " + value + b"\r\n")
    answer(gate, raw, to="take", who=who)


# --- addresses of services ------------------------------------------------------------------------

STRANGE = [
    b"../take@gate.example.org", b"./take@gate.example.org", b"%2e%2e@gate.example.org", b"..@gate.example.org",
    b"jobs+../take@gate.example.org", b"jobs+@gate.example.org", b"jobs+take+x@gate.example.org",
    b"jobs+take.toml@gate.example.org", b"take.toml@gate.example.org", b"/etc/passwd@gate.example.org",
    b'"../take"@gate.example.org', b'"take"@gate.example.org', b'"take@gate.example.org"@elsewhere.test',
    b"take%elsewhere.test@gate.example.org", b"elsewhere.test!take@gate.example.org", b"take@gate.example.org..",
    b"take@gate.example.org@elsewhere.test", b"take@elsewhere.test", b"take@[127.0.0.1]", b"take", b"take@",
    b"take@gate.example.org,keep@gate.example.org", b"take@gate.example.org keep@gate.example.org",
    b"jobs+bounce.../../x@gate.example.org", b"jobs+bounce.%@gate.example.org", b"jobs+bounce.@gate.example.org",
    b"jobs+bounce.' OR 1=1 --@gate.example.org", b"take\0@gate.example.org", b"take\rx@gate.example.org",
    "t\u0430ke@gate.example.org".encode(), "ta\uff4be@gate.example.org".encode(), "take@gate.ex\u0430mple.org".encode(),
    b"-rf@gate.example.org", b"$(take)@gate.example.org", b"*@gate.example.org", b"take\xff@gate.example.org",
    b"a" * 1900 + b"@gate.example.org",
]  # fmt: skip


@pytest.mark.parametrize("address", STRANGE, ids=lambda v: repr(v[:40]))
def test_an_address_that_is_nobodys_is_refused_and_the_session_goes_on(
    gate: Gateway, who: str, address: bytes
) -> None:
    begin = (b"EHLO x", b"MAIL FROM:<a@example.org>")
    *_, refusal, fine = talk(
        gate, *begin, b"RCPT TO:<%s>" % address, b"RCPT TO:<take@gate.example.org>"
    )
    assert refusal.startswith(b"5"), refusal
    assert fine.startswith(b"250"), fine


@pytest.mark.parametrize(
    "address",
    [
        "../take@gate.example.org",
        "t\u0430ke@gate.example.org",
        "\udcff\udcfe@gate.example.org",
        "",
        "\n",
    ],
)
def test_an_address_that_is_nobodys_is_refused_through_the_pipe_too(
    gate: Gateway, who: str, address: str
) -> None:
    done = gate.run("receive", "--recipient", address, stdin=mail("take", who, "x"))
    assert done.returncode == 65, done.stderr
    assert b"Traceback" not in done.stderr


def test_an_environment_of_bad_bytes_is_refused_by_the_pipe(gate: Gateway, who: str) -> None:
    raw = mail("take", who, "x")
    for more in ({"SENDER": "\udcff"}, {"ORIGINAL_RECIPIENT": "\udcff@gate.example.org"}):
        done = gate.run("receive", stdin=raw, **more)
        assert done.returncode in {0, 65}, done.stderr
        assert b"Traceback" not in done.stderr


def test_of_all_whom_to_names_the_pipe_takes_our_own_addresses(gate: Gateway, who: str) -> None:
    raw = mail("friend@elsewhere.test, take@gate.example.org, bob@example.org", who, "x")
    done = gate.run("receive", stdin=raw)
    assert done.returncode == 0, done.stderr
    gate.await_results(1, who)


OURS = [
    b"<TAKE@GATE.example.ORG>", b"<jobs+take@gate.example.org>", b"<JOBS+Take@gate.example.org>",
    b"<@elsewhere.test:take@gate.example.org>", b"<@a.test,@b.test:take@gate.example.org>", b"<postmaster>",
]  # fmt: skip


@pytest.mark.parametrize("address", OURS)
def test_an_address_in_another_spelling_is_ours(gate: Gateway, address: bytes) -> None:
    said = talk(gate, b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:" + address)
    assert said[-1].startswith(b"250"), said


def test_the_attachments_of_a_stranger_are_not_staged(trusting: Gateway, who: str) -> None:
    raw = mail("keep", EVE, parts=(file(b"big", bytes(1 << 20)),))
    assert inside(trusting, raw, to="keep").startswith("550")
    assert list((trusting.spool / "staged").iterdir()) == []
    assert not any(path.stat().st_size > 1 << 19 for path in (trusting.spool / "mail").iterdir())


def test_a_command_line_in_a_mail_is_no_command(gate: Gateway, who: str) -> None:
    letter = answer(gate, mail("take", who, "command: rm -rf /\n\nx"), to="take", who=who)
    assert letter["Mailgate-Job"] is None


def test_strangers_do_not_fill_the_last_of_the_disk_with_refusals(tmp_path: Path) -> None:
    counted = []
    for free in ("1 MiB", "900 TiB"):
        with running(tmp_path / free.split()[0], min_free=free) as gateway:
            hostile.offer(gateway)
            gateway.start()
            assert send(gateway, mail("take", EVE, "x"), to="take").startswith("550")
            hostile.unharmed(gateway)
            counted.append(len(hostile.rows(gateway, "SELECT * FROM event")))
    assert counted == [1, 0]


def test_bounces_come_back_without_end_and_are_noted_each_time(gate: Gateway, who: str) -> None:
    answer(gate, mail("take", who, "x"), to="take", who=who)
    (letter,) = hostile.rows(gate, "SELECT * FROM letter WHERE recipient = ?", who)
    for number in range(5):
        bounce = mail("x", "mailer-daemon@elsewhere.test", f"failed {number}")
        said = send(gate, bounce, to=f"jobs+bounce.{letter['tag']}", sender="")
        assert said.startswith("250"), said
    told = hostile.rows(
        gate, "SELECT * FROM event WHERE job = ? AND verb = 'returned'", letter["job"]
    )
    assert len(told) == 5
    whole = mail("x", "mailer-daemon@elsewhere.test", "y" * 70 + "\n" + ("z" * 70 + "\n") * 20_000)
    assert send(gate, whole, to=f"jobs+bounce.{letter['tag']}", sender="").startswith("250")
    newest = "SELECT id, size, purge FROM message ORDER BY id DESC LIMIT 1"
    # Its bytes go with the next sweep, once it is read.
    eventually(lambda: hostile.rows(gate, newest)[0]["purge"] is not None, 20)
    (ended,) = hostile.rows(gate, newest)
    assert ended["purge"] <= time.time()
    assert ended["size"] > 1 << 20
    assert len(gate.saved(who)) == 1
    assert not gate.maildir("mailer-daemon@elsewhere.test").exists()
