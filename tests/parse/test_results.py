"""Authentication-Results: only the border's own word counts, and only as RFC 8601 has it."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.config import Trust
from mailgate.model import Envelope, How
from mailgate.parse.header import Header
from mailgate.parse.results import UnreadableError, read, vouching
from mailgate.parse.sender import vouch

ID = "mx.example.org"
HOP = f"Received: from out.example.net (out [192.0.2.9]) by {ID} (Postfix) with ESMTPS id 4A; now"
INNER = "Received: from pc (pc [192.0.2.10]) by out.example.net with ESMTPSA id 1; before"
LDA = f"Received: from {ID} (mx [10.0.0.1]) by imap.example.org with LMTP id 7; after"
PASS = "dmarc=pass (p=none dis=none) header.from=example.net"
FROM = "From: ann@example.net"


def field(results: str, authserv_id: str = ID) -> str:
    return f"Authentication-Results: {authserv_id}; {results}"


def header(*fields: str) -> Header:
    return Header.scan("\r\n".join([*fields, "", ""]).encode())


def word(*fields: str) -> str:
    """By which result a mail with those fields is believed."""
    return vouching(header(*fields), ID, "example.net")[0].removeprefix(
        f"Authentication-Results of {ID}: "
    )


def why(*fields: str) -> str:
    """Why it is not."""
    found, fault = vouching(header(*fields), ID, "example.net")
    assert not found
    assert fault
    return fault


# --- which header counts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        (field(PASS), HOP, INNER),
        (HOP, field(PASS), INNER),
        (HOP, field(PASS)),
        (LDA, HOP, field(PASS), INNER),
        (field(PASS), LDA, HOP, INNER),
        (LDA, field(PASS), HOP, INNER),
        (field("dmarc=fail header.from=example.net", "imap.example.org"), LDA, HOP, field(PASS)),
        (HOP, "DKIM-Signature: v=1", "X: y", field(PASS), INNER),
        (HOP.replace(ID, "MX.Example.ORG."), field(PASS, "Mx.example.org")),
        (HOP, field(PASS, f'"{ID}" 1')),
        (HOP, field(PASS, f"(a (nested\\) one)) {ID} (c)")),
        (f"Received: by {ID} with SMTP id abc; now", field(PASS)),
    ],
)
def test_the_borders_header_counts_above_its_received_and_below_it_before_the_next(fields):
    assert word(*fields, FROM) == "dmarc=pass header.from=example.net"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (field(PASS),),
        (INNER, field(PASS)),
        (HOP, INNER, field(PASS)),
        (HOP, INNER, HOP, field(PASS)),
        (LDA, field(PASS)),
        (HOP, field(PASS, "mx.example.net")),
        (HOP, field(PASS, f"{ID}.evil.net")),
        (HOP, field(PASS, f"x{ID}")),
        (HOP, field(PASS, f"({ID})")),
        (HOP, field(PASS, f"evil.net ({ID})")),
        (HOP, f"ARC-Authentication-Results: i=1; {ID}; {PASS}"),
        (HOP, f"X-Authentication-Results: {ID}; {PASS}"),
        (HOP, field(PASS, f"{ID} 2")),
        (HOP, f"Authentication-Results: {PASS}"),
        (HOP.replace(f"by {ID}", f"(by {ID})"), field(PASS)),
        (
            HOP.replace("from out", f"from (by {ID}) out").replace(f"by {ID} (", "by x ("),
            field(PASS),
        ),
    ],
)
def test_another_hosts_header_or_one_in_another_hosts_part_does_not(fields):
    assert why(*fields, FROM)


def test_only_the_topmost_of_the_borders_headers_counts():
    no = field("dmarc=fail header.from=example.net")
    assert why(HOP, no, field(PASS), FROM)
    assert why(no, HOP, field(PASS), FROM)
    assert word(field(PASS), HOP, no, FROM)


@pytest.mark.parametrize(
    "top", ["dmarc=pass (", 'dmarc="', "spf", "dmarc=pass header.from", "\x01"]
)
def test_a_topmost_header_that_cannot_be_read_lets_no_other_through(top):
    assert why(HOP, field(top), field(PASS), FROM)
    assert why(HOP, f"Authentication-Results: ({ID}; {PASS}", field(PASS), FROM)


@pytest.mark.parametrize(
    "helo",
    [f"x by {ID}", "x by", '"x', "(x", f"<by {ID}", "x by evil.net", f"by {ID} by {ID}", "\\"],
)
def test_what_a_client_says_of_itself_moves_no_border(helo):
    hop = HOP.replace("out.example.net", helo)
    assert why(hop, INNER, field(PASS), FROM)
    assert why(hop.replace(f") by {ID}", ") by other.example.org"), field(PASS), FROM)


def test_a_received_header_that_names_the_border_at_length_is_in_doubt():
    assert why(HOP.replace("; now", f" for <{'x' * 5000}@a.org>; now"), field(PASS), FROM)
    long = f"Received: from x by imap.example.org id {'x' * 5000}; later"
    assert word(long, HOP, field(PASS), FROM)


# --- what it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "by"),
    [
        ("dmarc=pass header.from=Example.NET.", "dmarc=pass header.from=Example.NET."),
        ("DMARC = PASS (x) Header . From = example.net", "dmarc=pass header.from=example.net"),
        ("dmarc/1=pass header.from=example.net;", "dmarc=pass header.from=example.net"),
        ("dmarc=pass action=none header.from=example.net;compauth=pass reason=100", "dmarc=pass header.from=example.net"),
        ("dkim=pass header.d=example.net", "dkim=pass header.d=example.net"),
        ("dkim=pass header.i=@example.net header.s=20230601 header.b=a/b+c==", "dkim=pass header.i=@example.net"),
        ("dkim=pass header.i=ann@example.net header.d=example.net", "dkim=pass header.d=example.net"),
        ('dkim=fail reason="bad; dkim=none" header.d=example.net; dkim=pass header.d=example.net', "dkim=pass header.d=example.net"),
        ("spf=pass (x: domain of ann@example.net) smtp.mailfrom=ann@example.net", "spf=pass smtp.mailfrom=ann@example.net"),
        ("spf=pass smtp.mailfrom=example.net smtp.helo=out", "spf=pass smtp.mailfrom=example.net"),
        ('spf=pass smtp.mailfrom="a b"@example.net', "spf=pass smtp.mailfrom=a b@example.net"),
        ("spf=pass smtp.helo=x; spf=pass smtp.mailfrom=a@example.net", "spf=pass smtp.mailfrom=a@example.net"),
        ("dmarc=none header.from=example.net; spf=pass smtp.mailfrom=a@example.net", "spf=pass smtp.mailfrom=a@example.net"),
        ("dmarc=bestguesspass action=none header.from=example.net; dkim=pass header.d=example.net", "dkim=pass header.d=example.net"),
        ("none; dkim=pass header.d=example.net", "dkim=pass header.d=example.net"),
    ],
)  # fmt: skip
def test_dmarc_or_an_aligned_signature_or_spf_vouches(said, by):
    assert word(HOP, field(said), FROM) == by


@pytest.mark.parametrize(
    "said",
    [
        "none",
        "",
        "dmarc=pass",
        "dmarc=pass header.from=example.org",
        "dmarc=pass header.from=sub.example.net",
        "dmarc=pass header.from=net",
        "dmarc=pass header.d=example.net",
        "dmarc=pass smtp.mailfrom=example.net",
        "dmarc=passed header.from=example.net",
        "dmarc/2=pass header.from=example.net",
        "dmarc=fail (dmarc=pass header.from=example.net) header.from=example.net",
        'dmarc=fail reason="dmarc=pass header.from=example.net" header.from=example.net',
        'dmarc=fail reason="x; dmarc=pass header.from=example.net"',
        r'dmarc=fail reason="\"; dmarc=pass header.from=example.net"',
        "(dmarc=pass header.from=example.net)",
        "x-dmarc=pass header.from=example.net",
        "arc=pass header.from=example.net",
        "dmarc=fail header.from=example.net; dkim=pass header.d=example.net",
        "dmarc=quarantine header.from=example.net; spf=pass smtp.mailfrom=example.net",
        "dmarc=pass header.from=example.org; dkim=pass header.d=example.net",
        "dmarc=pass header.from=example.net; dmarc=fail header.from=example.net",
        "dmarc=pass header.from=example.net header.from=example.org",
        "dkim=pass header.d=evil.net header.d=example.net",
        "dkim=pass header.d=evil.net header.i=@example.net",
        "dkim=pass header.d=mail.example.net",
        "dkim=pass header.i=@mail.example.net",
        "dkim=pass header.d=net",
        "dkim=pass header.d=evil-example.net",
        "dkim=pass header.d=example.net.evil.org",
        'dkim=pass header.d="example.net evil.org"',
        "dkim=fail header.d=example.net; dkim=pass header.d=evil.net",
        "dkim=neutral header.d=example.net",
        "spf=softfail smtp.mailfrom=a@example.net",
        "spf=pass smtp.mailfrom=a@evil.net",
        "spf=pass smtp.helo=example.net",
        "spf=pass smtp.mailfrom=ann@example.net@evil.net",
        'spf=pass smtp.mailfrom="ann@example.net"@evil.net',
        "spf=pass smtp.mailfrom=x.example.net",
        "spf=pass smtp.mailfrom=a@example.net; spf=fail smtp.mailfrom=a@example.net",
        "spf=pass smtp.mailfrom=<a@example.net>",
        "spf=pass smtp.mailfrom=a b dmarc=pass header.from=example.net",
        'spf=pass smtp.mailfrom=a"; dmarc=pass header.from=example.net',
        "spf=pass smtp.mailfrom=a\\; dmarc=pass header.from=example.net",
        'spf=pass smtp.mailfrom="a"b@example.net',
        "dmarc=pass header.from=example.net; (",
        "dmarc=pass header.from=example.net; dkim",
        "dmarc=pass header.from=example.net; =",
        "dmarc=pass header.from=example.net;" + " x=y" * 5000,
    ],
    ids=lambda said: said[:70],
)
def test_nothing_else_does(said):
    assert why(HOP, field(said), FROM)


def test_folded_lines_are_read_as_one():
    folded = f"Authentication-Results:\r\n\t{ID};\r\n\tdmarc=pass\r\n (p=none)\r\n\theader.from=example.net"
    assert word(HOP, folded, FROM)


@given(st.text(alphabet='adkimfrom.dpass=;()"\\@/ \t1e', max_size=80))
def test_any_field_is_read_or_refused_and_nothing_in_a_comment_or_a_string_counts(text):
    for written in (text, f"{ID}; {text}"):
        try:
            name, _ = read(written)
        except UnreadableError:
            continue
        assert name == name.lower()
    inside = text.replace('"', "").replace("\\", "")
    quoted = field(f'spf=none reason="{inside}; dmarc=pass header.from=example.net"')
    assert why(HOP, quoted, FROM)


# --- over which door ------------------------------------------------------------------------------

TRUST = Trust(authserv_id=ID, hops=(ip_network("10.0.0.0/24"),))
GOOD = header(HOP, field(PASS), FROM)


def known(door: str, peer: str | None = None, *, hop: bool = False, trust: Trust = TRUST) -> How:
    session = Envelope(sender="x@y.z", recipients=("a@b.c",), door=door, peer=peer, hop=hop)
    return vouch(GOOD, session, trust).identity.how


def test_only_a_hop_is_believed():
    assert known("smtp", "10.0.0.7") is How.AUTHENTICATION_RESULTS
    assert known("lmtp", "::ffff:10.0.0.7") is How.AUTHENTICATION_RESULTS
    assert known("imap", hop=True) is How.AUTHENTICATION_RESULTS
    assert known("lmtp", hop=True) is How.AUTHENTICATION_RESULTS
    assert known("smtp", "10.0.1.7") is How.CLAIMED
    assert known("imap") is How.CLAIMED
    assert known("lmtp") is How.CLAIMED
    assert known("pipe", "10.0.0.7") is How.CLAIMED
    assert known("imap", hop=True, trust=Trust()) is How.CLAIMED
    assert known("smtp", "10.0.0.7", trust=Trust(authserv_id=ID)) is How.CLAIMED
    assert known("smtp", "10.0.0.7", trust=Trust(hops=TRUST.hops)) is How.CLAIMED


def test_the_strongest_way_that_holds_is_told_and_by_what():
    session = Envelope(sender="x@y.z", recipients=("a@b.c",), door="smtp", peer="10.0.0.7")
    both = Trust(authserv_id=ID, hops=TRUST.hops, networks=(ip_network("0.0.0.0/0"),))
    by = vouch(GOOD, session, both)
    assert by.identity.how is How.AUTHENTICATION_RESULTS
    assert by.by == f"Authentication-Results of {ID}: dmarc=pass header.from=example.net"
    key = vouch(GOOD, session, both, fits=lambda address: (f"the KEY for {address}", ""))
    assert (key.identity.how, key.by) == (How.REPLY, "the KEY for ann@example.net")
    plain = vouch(header(FROM), session, both)
    assert (plain.identity.how, plain.by) == (
        How.NETWORK,
        "the client 10.0.0.7, inside its networks",
    )
