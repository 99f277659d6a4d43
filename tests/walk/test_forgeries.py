"""Forgeries, each through the door of a real gateway: nobody is believed whom the border did not."""

import base64
import os
import smtplib
from collections.abc import Iterator

import pytest

from tests.daemon import Gateway, attached, running, text_of
from tests.walk import hostile
from tests.walk.hostile import jobs_of, mail, send

BOSS = "boss@example.org"
EVE = "eve@elsewhere.test"
HOP, OTHER = "127.0.0.6", "127.0.0.7"

RECEIVED = b"Received: from out (out.elsewhere.test [192.0.2.9]) by mx.example.org (Postfix) id 4A; now\r\n"
DELIVERED = (
    b"Received: from mx.example.org (mx [192.0.2.1]) by imap.example.org with LMTP; later\r\n"
)
BEFORE = b"Received: from pc (pc [192.0.2.10]) by out.elsewhere.test with ESMTP id 1; before\r\n"


def results(said: bytes, authserv_id: bytes = b"mx.example.org") -> bytes:
    return b"Authentication-Results: %s; %s\r\n" % (authserv_id, said)


NO = results(b"dmarc=fail header.from=example.org; spf=pass smtp.mailfrom=eve@elsewhere.test")
YES = results(b"dmarc=pass (p=reject) header.from=example.org")


@pytest.fixture(scope="module")
def _border(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It believes what mx.example.org says of mail that 127.0.0.6 hands on, and no network."""
    with running(tmp_path_factory.mktemp("border")) as gateway:
        text = gateway.config.read_text()
        trust = f'authserv_id = "mx.example.org"\nhops = ["{HOP}"]'
        gateway.config.write_text(text.replace('networks = ["127.0.0.0/8", "::1/128"]', trust))
        hostile.offer(gateway)
        gateway.service("all", hostile.TAKE.replace('"*@example.org"', '"*"'))
        gateway.service("login", hostile.TAKE + 'require = "smtp-auth"\ndeny = ["mallory@*"]\n')
        gateway.start()
        yield gateway


@pytest.fixture
def border(_border: Gateway) -> Iterator[Gateway]:
    yield _border
    hostile.unharmed(_border)


def handed_on(gateway: Gateway, raw: bytes, *, to: str = "take", source: str = HOP) -> str:
    return send(gateway, raw, to=to, source=source)


def test_what_the_border_believes_is_done_and_told_with_the_header_that_vouched(
    border: Gateway, who: str
) -> None:
    name = b"Message-ID: <%s>\r\n" % who.encode()
    raw = RECEIVED + YES + BEFORE + mail("take", who, "mine\n", headers=name)
    assert handed_on(border, raw).startswith("250")
    (letter,) = border.await_results(1, who)
    assert attached(letter)["stdout.txt"] == b"mine\n"
    by = "Authentication-Results of mx.example.org: dmarc=pass header.from=example.org"
    (line,) = [line for line in border.logged("accepted").splitlines() if who in line]
    assert f'known=authentication-results by="{by}"' in line
    told = border.run("explain", f"<{who}>").stdout.decode()
    assert f"from {who}, known by authentication-results ({by})" in told


def signed(with_: bytes, domain: bytes = b"example.org") -> bytes:
    """A DKIM-Signature as servers fold it; nobody here looks whether it holds."""
    at = len(with_) // 2
    return (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=x; h=from:subject:date;\r\n\tbh=eHh4; b=%s\r\n"
        b"\t %s; t=1\r\n" % (domain, with_[:at], with_[at:])
    )


def test_signed_mail_that_is_sent_again_under_another_message_id_does_nothing(
    border: Gateway, who: str
) -> None:
    own, other = (base64.b64encode(os.urandom(256)) for _ in range(2))
    tells = results(b"dkim=pass header.d=example.org")

    def mailed(number: int, signature: bytes, body: str = "mine\n") -> str:
        name = b"Message-ID: <%d.%s>\r\n" % (number, who.encode())
        raw = RECEIVED + tells + signature + mail("take", who, body, headers=name)
        assert handed_on(border, raw).startswith("250")
        return f"<{number}.{who}>"

    mailed(1, signed(own))
    border.await_results(1, who)
    # Other spaces, a signature that the sender never made, above or below: it is the same mail.
    again = [
        mailed(2, signed(own)),
        mailed(3, signed(own[:100] + b" \t" + own[100:]).replace(b"b=", b"b = ")),
        mailed(4, signed(other) + signed(own)),
        mailed(5, signed(own) + signed(other, b"elsewhere.test")),
    ]
    longer = mailed(6, signed(own), "mine\nand more\n")
    mailed(7, signed(other))
    border.await_results(2, who)
    assert len(jobs_of(border, who)) == 2
    for name in again:
        assert "duplicate" in border.run("explain", name).stdout.decode()
    (told,) = [x for x in border.await_letters(3, who) if x["In-Reply-To"] == longer]
    assert "a changed copy of" in str(told["Subject"])


FORGED = {
    "no header at all": RECEIVED + BEFORE,
    "no trace at all": b"",
    "a header, but no trace": YES,
    "below the sender's own Received": RECEIVED + NO + BEFORE + YES,
    "below it, and the border added none": RECEIVED + BEFORE + YES,
    "below the border's own": RECEIVED + NO + YES,
    "below the border's own, which stands above": NO + RECEIVED + YES + BEFORE,
    "with a Received of the border's, forged": RECEIVED + NO + BEFORE + RECEIVED + YES,
    "above it, under a delivery agent's Received, by another": results(
        b"dmarc=pass header.from=example.org", b"imap.example.org"
    )
    + DELIVERED
    + RECEIVED
    + NO,
    "of another host": RECEIVED
    + results(b"dmarc=pass header.from=example.org", b"mx.elsewhere.test"),
    "of a host that looks like it": RECEIVED
    + results(b"dmarc=pass header.from=example.org", b"mx.example.org.elsewhere.test"),
    "of it in a comment": RECEIVED
    + results(b"dmarc=pass header.from=example.org", b"mx.elsewhere.test (mx.example.org)"),
    "a pass in a comment": RECEIVED
    + results(b"dmarc=fail (dmarc=pass header.from=example.org) header.from=example.org"),
    "a pass in a string": RECEIVED
    + results(b'dmarc=fail reason="; dmarc=pass header.from=example.org" header.from=example.org'),
    "a pass for another domain": RECEIVED + results(b"dmarc=pass header.from=elsewhere.test"),
    "a signature of a neighbour": RECEIVED + results(b"dkim=pass header.d=evil.example.org"),
    "a signature of a stranger": RECEIVED + results(b"dkim=pass header.d=elsewhere.test"),
    "an envelope of a stranger": RECEIVED
    + results(b'spf=pass smtp.mailfrom="boss@example.org"@elsewhere.test'),
    "a header that breaks off above one": RECEIVED + results(b"dmarc=none (") + YES,
    "a HELO that names the border": RECEIVED.replace(b"from out", b"from by mx.example.org")
    + BEFORE
    + YES,
    "a trace that another host wrote": RECEIVED.replace(b"by mx.", b"by (by mx.example.org) imap.")
    + YES,
    "version 2": RECEIVED + results(b"dmarc=pass header.from=example.org", b"mx.example.org 2"),
}


@pytest.mark.parametrize("above", FORGED.values(), ids=FORGED)
def test_a_forged_word_of_the_border_is_not_believed(border: Gateway, above: bytes) -> None:
    said = handed_on(border, above + mail("take", BOSS, "forged\n"))
    assert said.startswith("550 5.7.1"), said
    assert f"Nothing vouches for {BOSS}" in said
    assert jobs_of(border, BOSS) == []
    assert not border.maildir(BOSS).exists()


def test_the_borders_word_from_anybody_but_a_hop_is_not_believed(border: Gateway) -> None:
    said = handed_on(border, RECEIVED + YES + mail("take", BOSS, "forged\n"), source=OTHER)
    assert said.startswith("550 5.7.1"), said
    assert "none of its hops" in said


def test_a_pipe_is_no_hop(border: Gateway, who: str) -> None:
    """Whoever may run a program can write any header: it is believed as far as its operator says."""
    to = ("--sender", who, "--recipient", "take@gate.example.org")
    piped = border.run("receive", *to, stdin=RECEIVED + YES + mail("take", who, "x\n"))
    assert piped.returncode == 0
    assert b'known=network by="the trusted pipe"' in piped.stderr


FROMS = {
    "two From headers": b"From: boss@example.org\r\nFrom: eve@elsewhere.test\r\n",
    "two From headers the other way": b"From: eve@elsewhere.test\r\nFrom: boss@example.org\r\n",
    "two addresses": b"From: boss@example.org, eve@elsewhere.test\r\n",
    "a name that looks like an address": b"From: boss@example.org <eve@elsewhere.test>\r\n",
    "a group": b"From: boss: boss@example.org;\r\n",
}


@pytest.mark.parametrize("line", FROMS.values(), ids=FROMS)
def test_a_from_of_two_readings_is_refused_whatever_the_border_says(
    border: Gateway, line: bytes
) -> None:
    for domain in (b"example.org", b"elsewhere.test"):
        above = RECEIVED + results(b"dmarc=pass header.from=" + domain)
        said = handed_on(border, above + line + b"To: all@gate.example.org\r\n\r\nx\r\n", to="all")
        assert said.startswith("554"), said
    for address in (BOSS, EVE):
        assert jobs_of(border, address) == []
        assert not border.maildir(address).exists()


def test_a_display_name_and_a_reply_to_are_nobody(border: Gateway) -> None:
    """The mail is whose domain the border vouched for; the boss gets nothing, and no word of it."""
    eve = "eve.name@elsewhere.test"
    above = RECEIVED + results(b"dmarc=pass header.from=elsewhere.test")
    raw = mail("all", f'"{BOSS}" <{eve}>', "x\n", headers=f"Reply-To: {BOSS}\r\n".encode())
    assert handed_on(border, above + raw, to="take").startswith("550 5.7.1")
    assert handed_on(border, above + raw, to="all").startswith("250")
    border.await_results(1, eve)
    assert jobs_of(border, BOSS) == []
    assert not border.maildir(BOSS).exists()


def test_who_is_known_too_weakly_hears_it_at_the_door(border: Gateway, who: str) -> None:
    said = handed_on(border, RECEIVED + YES + mail("login", who, "x\n"), to="login")
    assert said.startswith("550 5.7.1"), said
    assert (
        f"{who} is known by the word of the site's mail server only, and a login with a password is required"
        in said
    )
    denied = f"mallory@{who.partition('@')[2]}"
    said = handed_on(border, RECEIVED + YES + mail("login", denied, "x\n"), to="login")
    assert said.startswith("550 5.7.1"), said
    assert "may not use" in said
    assert "smtp-auth" not in said


def test_beside_a_service_that_is_allowed_the_same_is_answered_by_mail(
    border: Gateway, who: str
) -> None:
    to = ["take@gate.example.org", "login@gate.example.org"]
    with smtplib.SMTP("127.0.0.1", border.port, source_address=(HOP, 0)) as session:
        session.sendmail(who, to, RECEIVED + YES + mail("take", who, "x\n"))
    texts = [text_of(letter).replace("\n", " ") for letter in border.await_letters(2, who)]
    assert any("with a password is required" in text for text in texts), texts
    assert len(jobs_of(border, who)) == 1
