"""What is signed verifies by another's code, whatever its size; what was changed does not."""

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import dkim
import pytest

from mailgate.config import Dkim
from mailgate.errors import BadConfig
from mailgate.reply.compose import Writer
from mailgate.reply.dkim import SIGNATURE_MOST, Signer
from tests.daemon import ROOT, TRUE, request, running
from tests.reply.golden import letters
from tests.reply.letters import DONE, MIB, err, out, result
from tests.servers import require

LETTERS = letters()
NAME = b"mailgate._domainkey.gate.example.org."


@dataclass(frozen=True)
class Key:
    """A key in its file, and its public half as the DNS has it."""

    file: Path
    record: bytes

    @property
    def settings(self) -> Dkim:
        return Dkim(domain="gate.example.org", selector="mailgate", key_file=self.file)

    def writer(self, **keys) -> Writer:
        return Writer(None, signer=Signer(self.settings), **keys)

    def dns(self, name, **_):
        return self.record if name == NAME else None

    def verifies(self, raw: bytes) -> bool:
        return dkim.verify(raw, dnsfunc=self.dns)


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> Key:
    file = tmp_path_factory.mktemp("dkim") / "dkim.key"
    openssl = require("openssl")
    subprocess.run([openssl, "genrsa", "-out", file, "2048"], check=True, capture_output=True)
    file.chmod(0o600)
    words = [openssl, "rsa", "-in", file, "-pubout"]
    public = subprocess.run(words, check=True, capture_output=True).stdout
    return Key(file, b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1]))


@pytest.mark.parametrize("name", ["result", "result-label", "receipt", "unclear", "test"])
def test_a_letter_of_every_shape_verifies(key, name):
    made = LETTERS[name]
    raw = made.composed(key.writer(html=True))
    assert raw.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple;")
    assert key.verifies(raw)
    signed, plain = raw.index(b"\r\nFrom: mailgate") + 2, made.composed(Writer(None, html=True))
    assert raw[signed:] == plain
    assert signed < SIGNATURE_MOST
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("html", [False, True], ids=["text alone", "with its twin"])
def test_every_letter_that_is_kept_verifies_parts_and_attachments_too(key, html):
    writer = key.writer(html=html)
    assert any("part" in name for name in LETTERS)
    assert [n for n, made in LETTERS.items() if not key.verifies(made.composed(writer))] == []


def test_a_letter_that_is_too_big_to_keep_verifies(key):
    made = result(DONE, out(bytes(range(256)) * 4096, "big.bin"), err(b""))
    raw = made.composed(key.writer())
    assert len(raw) > 1 * MIB
    assert key.verifies(raw)
    assert not key.verifies(raw.replace(b"AAEC", b"AAED", 1))


def test_nothing_can_be_changed_or_added(key):
    raw = LETTERS["result"].composed(key.writer())
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b" l=" not in head
    added = (
        b"Subject: other", b"From: eve@example.org", b"Content-Type: text/html", b"Reply-To: eve@example.org",
        b"To: eve@example.org", b"Mailgate-Exit: 0", b"Auto-Submitted: no",
    )  # fmt: skip
    for field in added:
        end = head.index(b"\r\nFrom: mailgate") + 2
        assert not key.verifies(head[:end] + field + b"\r\n" + head[end:] + b"\r\n\r\n" + body), (
            field
        )
    for name in (b"Subject", b"Date", b"To", b"Message-ID", b"In-Reply-To", b"References"):
        changed = re.sub(rb"\r\n" + name + rb": ", b"\r\n" + name + b": x", head)
        assert changed != head
        assert not key.verifies(changed + b"\r\n\r\n" + body), name
    assert not key.verifies(raw + b"more\r\n")
    # What a relay may do: blank lines at the end are none.
    assert key.verifies(raw + b"\r\n\r\n")


def test_the_limit_counts_the_signature(key):
    made = result(DONE, out(b"1\n" * 2000), err(b""))
    for limit in (8_000, 12_000, 20_000):
        raw = replace(made, draft=replace(made.draft, limit=limit)).composed(key.writer())
        assert len(raw) <= limit
        assert key.verifies(raw)


def test_the_same_letter_has_the_same_signature(key):
    assert LETTERS["receipt"].composed(key.writer()) == LETTERS["receipt"].composed(key.writer())


@pytest.mark.parametrize("content", [b"", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END", None])
def test_what_is_no_key_is_told_by_the_files_name(tmp_path, content):
    file = tmp_path / "dkim.key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadConfig, match=r"deliver\.dkim\.key_file: .*dkim\.key"):
        Signer(Dkim(domain="gate.example.org", selector="s", key_file=file))


CHILD = """
import hashlib, resource, sys
from pathlib import Path
from mailgate.config import Dkim
from mailgate.model import Stream, StreamRole
from mailgate.reply.compose import Writer
from mailgate.reply.dkim import Signer
from tests.reply.letters import DONE, MIB, out, result

class Counter:
    size = 0
    def write(self, block):
        self.size += len(block)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, size = sys.argv[1], int(sys.argv[3])
settings = Dkim(domain="gate.example.org", selector="s", key_file=Path(sys.argv[2]))
writer = Writer(None, signer=Signer(settings))
small = result(DONE, out(b"x" * 400_000))
writer.compose(small.draft, small.open, Counter())
with open(path, "rb") as source:
    digest = hashlib.file_digest(source, "sha256").hexdigest()
big = Stream(role=StreamRole.STDOUT, name="big.bin", path="big", size=size, sha256=digest)
made = result(DONE, (big, b""), letter={"limit": 200 * MIB})
before, counter = peak(), Counter()
writer.compose(made.draft, lambda _: open(path, "rb"), counter)
print(counter.size, peak() - before)
"""


def test_signing_75_mib_adds_less_than_10_mib(key, tmp_path):
    size = 75 * MIB
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(size)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, path, key.file, str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    written, more = map(int, child.stdout.split())
    assert written > size * 4 // 3
    assert more < 10 * MIB


def test_a_gateway_signs_what_it_sends_and_check_tries_the_key(key, tmp_path):
    more = '[deliver.dkim]\ndomain = "example.org"\nselector = "mailgate"\nkey_file = "dkim.key"\n'
    with running(tmp_path) as gateway:
        gateway.config.write_text(gateway.config.read_text() + more)
        gateway.service("true", TRUE)
        told = gateway.run("check")
        assert told.returncode == 78
        assert b"deliver.dkim.key_file" in told.stderr
        file = tmp_path / "dkim.key"
        file.write_text("no key\n")
        file.chmod(0o600)
        told = gateway.run("check")
        assert (told.returncode, b"holds no private RSA key" in told.stderr) == (78, True)
        file.write_bytes(key.file.read_bytes())
        assert gateway.run("check").returncode == 0
        gateway.start()
        gateway.send(request("true"))
        gateway.await_results(1)
        (saved,) = gateway.saved()
        raw = saved.read_bytes().replace(b"\n", b"\r\n")
        record = {b"mailgate._domainkey.example.org.": key.record}
        assert dkim.verify(raw, dnsfunc=lambda name, **_: record.get(name))


def test_a_domain_that_is_not_the_gateways_is_refused(key, tmp_path):
    more = f'[deliver.dkim]\ndomain = "ample.org"\nselector = "s"\nkey_file = "{key.file}"\n'
    with running(tmp_path) as gateway:
        gateway.config.write_text(gateway.config.read_text() + more)
        told = gateway.run("check")
        assert told.returncode == 78
        assert b"deliver.dkim.domain" in told.stderr
        assert b"gate.example.org" in told.stderr
