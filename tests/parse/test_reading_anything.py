"""Whatever the bytes, reading ends in a message or in Unreadable; what was built comes back."""

import base64
import hashlib
import io
import json
import quopri
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from mailgate.cli.read import line
from mailgate.config import Trust
from mailgate.errors import Refusal
from mailgate.model import Envelope, How
from mailgate.parse.automatic import judge
from mailgate.parse.header import Header
from mailgate.parse.message import Unreadable, decoded, read_message
from mailgate.parse.sender import sender, vouch

FIELDS = [
    b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Message-ID: ", b"Content-Type: ",
    b"Content-Transfer-Encoding: ", b"Content-Disposition: ", b"Received: ", b"Auto-Submitted: ", b"Authentication-Results: ",
    b"multipart/mixed; boundary=b", b'multipart/alternative; boundary="b"', b"text/plain", b"text/html",
    b"message/rfc822", b"; charset=", b"utf-8", b"utf-7", b"iso-2022-jp", b"; name=", b"; filename*0*=",
    b"=?utf-8?q?", b"?=", b"base64", b"quoted-printable", b"x-uuencode", b"begin 644 a\n", b"end\n",
    b"--b", b"--b--", b"\n", b"\r\n", b"\r", b"\n\n", b" ", b"\t", b'"', b"(", b"<", b">", b"@", b"a@b.c",
    b"=", b"%", b"'", b";", b":", b"\x00", b"\xff", b"\xe4", b"> ", b"wrote:", b"-- ", b"<blockquote>",
    b"QUJD", b"=3D", b"format=flowed", b"+2AA-", b"mx.example.org", b" by ", b"dmarc=pass", b"header.from",
]  # fmt: skip
rubbish = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(FIELDS), st.binary(max_size=5)), max_size=60).map(b"".join),
)


@given(rubbish)
def test_any_bytes_are_a_message_or_unreadable(raw):
    source = io.BytesIO(raw)
    try:
        message = read_message(source)
    except Unreadable:
        return
    everything = [message.text, message.subject, message.message_id, *message.from_, *message.to]
    everything += [*map(str, message.defects), *(a.name for a in message.attachments)]
    "".join(text for text in everything if text).encode("utf-8")
    for attachment in message.attachments:
        content = b"".join(decoded(source, attachment.slice))
        assert hashlib.sha256(content).hexdigest() == attachment.sha256


@given(rubbish)
def test_any_bytes_are_shown_as_one_line_of_json(raw):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mail"
        path.write_bytes(raw)
        shown = line(str(path))
    assert len(shown.splitlines()) == 1
    json.loads(shown.encode("utf-8"))


@given(rubbish)
def test_any_header_is_judged_and_vouched_for_or_refused(raw):
    header = Header.scan(raw)
    judge(header, "jobs@gate.example.org")
    try:
        address = sender(header)
    except Refusal:
        return
    assert address == address.lower()
    envelope = Envelope(sender="a@b.c", recipients=(), door="smtp", peer="127.0.0.1")
    assert vouch(header, envelope, Trust()).identity.how is How.CLAIMED
    told = Trust(authserv_id="mx.example.org", hops=(ip_network("127.0.0.1"),))
    assert vouch(header, envelope, told).identity.address == address


# --- what was built comes back --------------------------------------------------------------------

# A name of blanks is none.
names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    str.strip
)
contents = st.binary(max_size=200)
encodings = st.sampled_from(["base64", "quoted-printable", "8bit"])
leaves = st.tuples(names, contents, encodings, st.integers(0, 3))
trees = st.recursive(leaves, lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=12)


def disposition(name: str, form: int) -> bytes:
    raw = name.encode()
    percent = b"".join(b"%%%02X" % byte for byte in raw)
    if form == 0:
        return b"filename*=utf-8''" + percent
    if form == 1:
        half = len(percent) // 6 * 3
        return b"filename*0*=utf-8''" + percent[:half] + b";\r\n filename*1*=" + percent[half:]
    encoded = b"=?utf-8?b?" + base64.b64encode(raw) + b"?="
    return b'filename="' + encoded + b'"' if form == 2 else b"filename=" + encoded


def encoded(content: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.encodebytes(content).replace(b"\n", b"\r\n")
    if encoding == "quoted-printable":
        return quopri.encodestring(content)
    return content


def built(tree, level: int = 0) -> bytes:
    if isinstance(tree, tuple):
        name, content, encoding, form = tree
        return (
            b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: "
            + encoding.encode() + b"\r\nContent-Disposition: attachment; " + disposition(name, form)
            + b"\r\n\r\n" + encoded(content, encoding)
        )  # fmt: skip
    boundary = b"=_%d_%s" % (level, hashlib.sha256(repr(tree).encode()).hexdigest()[:16].encode())
    parts = b"".join(b"--" + boundary + b"\r\n" + built(t, level + 1) + b"\r\n" for t in tree)
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + parts + b"--" + boundary + b"--\r\n"


def flat(tree) -> list[tuple[str, bytes]]:
    if isinstance(tree, tuple):
        name, content, encoding, _ = tree
        if encoding == "quoted-printable":
            content = quopri.decodestring(quopri.encodestring(content))
        return [(name, content)]
    return [leaf for inner in tree for leaf in flat(inner)]


@given(trees, st.sampled_from([b"\r\n", b"\n"]))
def test_names_and_bytes_of_a_built_mail_come_back(tree, head_end):
    raw = b"From: a@b.c" + head_end + built(tree)
    source = io.BytesIO(raw)
    found = [(a.name, b"".join(decoded(source, a.slice))) for a in read_message(source).attachments]
    assert found == flat(tree)
