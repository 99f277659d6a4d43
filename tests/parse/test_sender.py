from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.config import Trust
from mailgate.errors import NotAllowed, Refusal
from mailgate.model import Envelope, How, Identity, User, Vouched
from mailgate.parse.header import Header
from mailgate.parse.sender import sender, vouch

INSIDE = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("127.0.0.0/8"))


def header(*fields: str) -> Header:
    return Header.scan("\r\n".join([*fields, "", ""]).encode())


def envelope(peer: str | None = "10.0.0.1", *, trusted: bool = False) -> Envelope:
    return Envelope(sender="x@y.z", recipients=("a@b.c",), door="smtp", peer=peer, trusted=trusted)


ANN = User(name="ann", addresses=("Ann@Example.org", "lab@example.org"))


def asked(fields: Header, session: Envelope, networks=INSIDE) -> Vouched:
    return vouch(fields, session, Trust(networks=networks))


def refused(fields: Header, session: Envelope, networks=INSIDE) -> str:
    """Why nothing vouches."""
    found = asked(fields, session, networks)
    assert found.identity.how is How.CLAIMED
    return found.by


# --- the one From ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("ann@example.org", "ann@example.org"),
        ("Ann.Lee@Example.ORG", "Ann.Lee@example.org"),
        ("Ann <ann@example.org.>", "ann@example.org"),
        ("<ann@example.org>", "ann@example.org"),
        ("Ann <ann@example.org>", "ann@example.org"),
        ('"Ann, the first" <ann@example.org>', "ann@example.org"),
        ("ann@example.org (Ann)", "ann@example.org"),
        ("Ann (of (the) lab) <ann@example.org>", "ann@example.org"),
        ("=?utf-8?q?J=C3=B6rg?= <j@example.org>", "j@example.org"),
        ("Jörg <j@example.org>", "j@example.org"),
        ("A. N. Other <a@example.org>", "a@example.org"),
        ("Other, Ann <a@example.org>", "a@example.org"),
        ("ann@example.org <ann@example.org>", "ann@example.org"),
        ('"boss@example.org" <ann@example.org>', "ann@example.org"),
        ("ann@example.org (boss@example.org)", "ann@example.org"),
        ("ann+tag.x_y@sub.example.org", "ann+tag.x_y@sub.example.org"),
    ],
)
def test_the_one_from_address_is_found_with_its_domain_in_its_plain_form(value, address):
    assert sender(header(f"From: {value}")) == address


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Ann",
        "<>",
        "Undisclosed:;",
        "MAILER-DAEMON",
        "ann@example.org, bob@example.org",
        "<ann@example.org> <bob@example.org>",
        "ann@example.org, ann@example.org",
        "boss@example.org <ann@evil.net>",
        "boss@example.org: ann@evil.net;",
        "Group: ann@example.org;",
        "<@relay.example.org:ann@example.org>",
        "<ann@example.org> boss@example.org",
        "<ann@example.org> junk",
        "Ann ann@example.org",
        '"Ann" ann@example.org',
        'ann@exam""ple.org',
        'ann@""example.org',
        '"x"ann@example.org',
        'ann@example.org ""',
        '<ann@example.org> "junk"',
        '"unclosed <ann@example.org>',
        "(unclosed ann@example.org",
        "Ann <ann@example.org",
        "Ann <ann(boss)@example.org>",
        "ann@exam(boss)ple.org",
        "ann@example.org(boss).net",
        "ann @example.org",
        "Dr. ann@example.org",
        "ann@example. org",
        "ann@example.org <boss>",
        "ann@example.org <>",
        "boss@example.org:;, ann@example.org",
        "ann@example.org@evil.net",
        "ann@",
        "@example.org",
        "a@[",
        '"a b"@example.org',
        '"boss@example.org"@evil.net',
        "ann@exämple.org",
        "änn@example.org",
        "=?utf-8?q?ann?=@example.org",
        ".ann@example.org",
        "a..b@example.org",
        "ann@.example.org",
        "ann@example.org\0",
        "ann@example.org\x0bX",
        "x" * 5000 + "@example.org",
        "(" * 5000,
    ],
    ids=lambda value: repr(value[:40]),
)
def test_none_two_and_doubtful_ones_are_refused_in_a_sentence(value):
    with pytest.raises(Refusal, match="From"):
        sender(header(f"From: {value}"))


def test_two_from_headers_are_refused_even_if_they_say_the_same():
    with pytest.raises(Refusal, match="2 From headers"):
        sender(header("From: a@example.org", "FROM : a@example.org"))
    with pytest.raises(Refusal, match="no From header"):
        sender(header("To: a@example.org"))


PIECES = [*'ab@.<>()",;: \\[]\t', "=?", "a@b", "<a@b>", '"c"', "(d)"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_believed_sender_is_a_plain_address_that_stands_in_the_header(value):
    fields = header(f"From: {value}")
    try:
        address = sender(fields)
    except Refusal:
        return
    assert address in value
    assert address.count("@") == 1


# --- what vouches ---------------------------------------------------------------------------------


def test_a_trusted_door_vouches_for_any_sender():
    identity = asked(
        header("From: a@b.c", "Received: rubbish"), envelope(None, trusted=True), ()
    ).identity
    assert (identity.address, identity.how) == ("a@b.c", How.NETWORK)


@pytest.mark.parametrize("peer", ["10.1.2.3", "2001:db8::7", "::ffff:10.1.2.3", "127.0.0.1"])
def test_a_client_inside_vouches_for_mail_that_started_there(peer):
    assert asked(header("From: a@b.c"), envelope(peer)).identity.how is How.NETWORK


@pytest.mark.parametrize("peer", [None, "", "192.0.2.1", "2001:db9::1", "::1", "rubbish"])
def test_a_client_outside_vouches_for_nothing(peer):
    assert "Nothing vouches for a@b.c: the client" in refused(header("From: a@b.c"), envelope(peer))


def test_a_pipe_that_is_not_trusted_names_the_setting():
    piped = Envelope(sender="a@b.c", recipients=("x@y.z",), door="pipe")
    assert 'operator can change that with "[listen.pipe] trust"' in refused(
        header("From: a@b.c"), piped
    )


def test_without_networks_nothing_vouches():
    assert "trusts no network" in refused(header("From: a@b.c"), envelope("127.0.0.1"), ())


DATE = "; Mon, 12 Mar 2018 10:20:00 +0000"
INSIDE_HOPS = [
    # Postfix
    "from pc (pc.example.org [10.0.0.5])\r\n\tby mx.example.org (Postfix) with ESMTP id 4ABC\r\n\tfor <a@b>",
    "from pc (unknown [IPv6:2001:db8::5]) by mx (Postfix) with ESMTPS id X",
    "from [10.0.0.5] (unknown [10.0.0.9]) (Authenticated sender: bob) by mx (Postfix) with ESMTPSA id X",
    "from pc (pc [10.0.0.5]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    " key-exchange X25519 server-signature RSA-PSS (2048 bits)) (No client certificate requested)"
    " by mx (Postfix) with ESMTPS id X for <a@b>",
    "by mx.example.org (Postfix, from userid 1000) id 4ABC",
    "by mx.example.org (Postfix) id 4ABC",
    # Sendmail
    "from pc.example.org (pc.example.org [10.0.0.5]) by mx (8.15.2/8.15.2) with ESMTP id w2C for <a@b>",
    "from pc (IDENT:bob@pc [10.0.0.5] (may be forged)) by mx (8.9.3/8.9.3) with ESMTP id X",
    "(from bob@localhost) by mx.example.org (8.15.2/8.15.2/Submit) id w2C",
    # Exim
    "from pc.example.org ([10.0.0.5] helo=pc) by mx with esmtp (Exim 4.92) (envelope-from <x@y>) id 1e-0",
    "from [10.0.0.5] (port=4321 helo=pc) by mx with esmtpsa (TLS1.2) tls TLS_AES (Exim 4.94) id 1e",
    "from [10.0.0.5]:4321 (helo=pc) by mx with esmtp (Exim 4.92) id 1e",
    "from bob by mx.example.org with local (Exim 4.92) (envelope-from <bob@mx>) id 1e-0",
    # qmail
    "from unknown (HELO pc) (10.0.0.5) by mx with SMTP",
    "from pc.example.org (HELO pc) (bob@10.0.0.5) by mx with ESMTPA",
    "(qmail 1234 invoked by uid 500)",
    "(qmail 1234 invoked by alias)",
    # Exchange
    "from MBX1.example.org (10.0.0.5) by MBX2.example.org (10.0.0.6) with Microsoft SMTP Server (TLS) id 15.1.2",
    "from MBX1.example.org ([2001:db8::5]) by MBX2 ([2001:db8::6%12]) with mapi id 15.01.2",
    "from MBX1 (2001:db8:a:b::5) by MBX2 (2001:db8::6) with Microsoft SMTP Server (version=TLS1_2) id 15.20",
    # others
    "from pc [10.0.0.5] by mx with IMAP (fetchmail-6.3) for <bob@localhost> (single-drop)",
    "from pc ([::ffff:10.0.0.5]) by mx with ESMTP; courier",
    "from pc (mx [local]) by mx (OpenSMTPD) with ESMTPA id 1",
]


@pytest.mark.parametrize("hop", INSIDE_HOPS)
def test_a_hop_inside_is_read_in_every_servers_words(hop):
    fields = header(f"Received: {hop}{DATE}", "From: a@b.c")
    assert asked(fields, envelope()).identity.how is How.NETWORK


def test_qmails_two_headers_are_one_hop():
    above = f"Received: (qmail 1234 invoked from network){DATE}"
    inside = f"Received: from unknown (HELO pc) (10.0.0.5) by mx with SMTP{DATE}"
    both = header(above, inside, "From: a@b.c")
    assert asked(both, envelope()).identity.how is How.NETWORK
    assert refused(header(above, "From: a@b.c"), envelope())
    assert refused(header(above, inside.replace("10.0", "9.0"), "From: a@b.c"), envelope())


OUTSIDE_HOPS = [
    "from evil (evil.net [192.0.2.9]) by mx.example.org (Postfix) with ESMTP id X",
    "from evil ([IPv6:2001:db9::1]) by mx (Postfix) with ESMTP id X",
    "from [10.0.0.5] (evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X",
    "from unknown (HELO [10.0.0.5]) (192.0.2.9) by mx with SMTP",
    "from evil.net (192.0.2.9) by MBX2 (10.0.0.6) with Microsoft SMTP Server id 15",
    "from mail-x.google.com (mail-x.google.com [209.85.1.1]) by mx.example.org (Postfix) id X",
    # What HELO says of itself
    "from 10.0.0.1 by x ( (evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X",
    "from 10.0.0.1 by x (evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X",
    'from 10.0.0.1 by x " (evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X',
    "from 10.0.0.1) by x ((evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X",
    "from by mx (Postfix, from userid 0) id X (evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X",
    "from bob by mx with local (Exim 4.92) id 1 (evil.net [192.0.2.9]) by real with esmtp (Exim 4.9) id 1",
    "from x (mx [local]) by mx (OpenSMTPD) id 1 (evil.net [192.0.2.9]) by real (OpenSMTPD) with ESMTP",
    # Nothing to read
    "from somewhere by mx with ESMTP id X",
    "from localhost by mx.example.org with LMTP id X",
    "from evil (evil.net [192.0.2]) by mx (Postfix) with ESMTP id X",
    "from evil (evil.net [999.0.0.1]) by mx (Postfix) with ESMTP id X",
    "from evil (evil.net [unknown]) [10.0.0.5] by mx (Postfix) with ESMTP id X",
    "by 10.0.0.3 with SMTP id abc",
    "by mail.example.org with HTTP",
    "by mx.example.org",
    "(qmail 12 invoked from elsewhere)",
    "rubbish",
    "",
    "from 10.0.0.5.evil.net by mx with ESMTP id X",
    "from x-10.0.0.5 by mx with ESMTP id X",
    "from pc (pc [10.0.0.5]) by mx (Postfix) id X" + " x" * 3000,
    "from pc (pc [10.0.0.5], [192.0.2.9]) by mx (Postfix) with ESMTP id X",
]


@pytest.mark.parametrize("hop", OUTSIDE_HOPS, ids=lambda hop: hop[:60])
def test_a_hop_outside_or_unreadable_vouches_for_nothing(hop):
    good = f"Received: {INSIDE_HOPS[0]}{DATE}"
    for fields in (
        header(f"Received: {hop}{DATE}", "From: a@b.c"),
        header(good, f"Received: {hop}{DATE}", good, "From: a@b.c"),
    ):
        assert refused(fields, envelope()).startswith("Nothing vouches for a@b.c")


def test_the_refusal_names_the_client_outside():
    fields = header(f"Received: {OUTSIDE_HOPS[0]}{DATE}", "From: a@b.c")
    assert "192.0.2.9" in refused(fields, envelope())


@given(st.text(alphabet='abyfrom 10.()[]";,\t', max_size=60))
def test_no_helo_hides_a_client_outside(helo):
    hop = f"from {helo} (evil.net [192.0.2.9]) by mx (Postfix) with ESMTP id X{DATE}"
    assert refused(header(f"Received: {hop}", "From: a@b.c"), envelope())


# --- who has logged in ----------------------------------------------------------------------------


def test_who_has_logged_in_is_known_by_that_wherever_the_mail_was_before():
    logged_in = replace(envelope("192.0.2.1"), user=ANN)
    told = header("Received: from x ([192.0.2.9]) by y; now", "From: ann@example.org")
    assert asked(told, logged_in, ()) == Vouched(
        identity=Identity(address="ann@example.org", how=How.SMTP_AUTH), by="the user ann"
    )


@pytest.mark.parametrize(
    "written", ["bob@example.org", "ann@example.org.evil", "ann@sub.example.org"]
)
def test_nobody_who_has_logged_in_writes_as_somebody_else_not_even_from_inside(written):
    logged_in = replace(envelope("10.0.0.1", trusted=True), user=ANN)
    with pytest.raises(
        NotAllowed, match=r"ann may not write as .*, but as Ann@Example.org or lab@"
    ):
        asked(header(f"From: {written}"), logged_in)
