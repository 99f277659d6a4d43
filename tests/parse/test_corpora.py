"""Every public mail that is at hand is read, and none of the automatic ones passes for a person's."""

import email
import hashlib
import io
import json
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

import pytest

from mailgate.cli.read import line
from mailgate.parse.header import Header
from mailgate.parse.message import decoded, read_message
from mailgate.parse.mime import read_map
from mailgate.parse.text import from_plain


def mails(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in {".eml", ".msg"})


@pytest.fixture(scope="module", params=["rubymail", "imaptools", "bounceparser"])
def folder(request, corpora) -> Path:
    return corpora / request.param


def test_every_mail_is_read_and_shown(folder):
    found = mails(folder)
    assert found
    for path in found:
        shown = line(str(path))
        assert len(shown.splitlines()) == 1
        assert json.loads(shown)["error"] is None


def test_every_attachment_is_what_its_hash_says(folder):
    for path in mails(folder):
        raw = path.read_bytes()
        source = io.BytesIO(raw)
        for attachment in read_message(source).attachments:
            content = b"".join(decoded(source, attachment.slice))
            assert len(content) == attachment.size
            assert attachment.slice.end <= len(raw)


def leaves_by_the_standard_library(part: Message) -> Iterator[tuple[str | None, str]]:
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        for below in part.get_payload():
            yield from leaves_by_the_standard_library(below)
    elif not part.is_multipart():
        name = part.get_filename()
        try:
            name = str(make_header(decode_header(name))) if name else None
        except (LookupError, ValueError):
            name = None
        yield name, content(part.get_payload(decode=True) or b"")


def content(raw: bytes) -> str:
    return hashlib.sha256(raw.replace(b"\r\n", b"\n").rstrip(b"\n")).hexdigest()


def test_98_of_100_leaves_have_the_name_and_bytes_that_the_standard_library_finds(corpora):
    paths = [p for name in ("rubymail", "imaptools", "bounceparser") for p in mails(corpora / name)]
    # The library's own tests' mails, where they are installed.
    paths += sorted(
        (Path(sysconfig.get_path("stdlib")) / "test" / "test_email" / "data").glob("msg_*.txt")
    )
    same = count = 0
    for path in paths:
        raw = path.read_bytes()
        source = io.BytesIO(raw)
        ours = Counter(
            (leaf.name, content(b"".join(decoded(source, leaf.slice))))
            for leaf in read_map(source).leaves
        )
        theirs = Counter(leaves_by_the_standard_library(email.message_from_bytes(raw)))
        count += theirs.total()
        same += (ours & theirs).total()
    assert count > 300
    assert same >= 0.98 * count


def test_every_mail_cut_anywhere_is_read(folder):
    for path in mails(folder)[::5]:
        raw = path.read_bytes()[:20_000]
        for end in range(0, len(raw), max(1, len(raw) // 12)):
            read_message(io.BytesIO(raw[:end]))


# Unsolicited mail that looks like a person's; that collection holds it as what is no bounce.
NO_BOUNCES = re.compile(r"non-|spam-(?!rejection)|virus-caused")


def test_at_least_98_of_100_bounces_and_automatic_replies_are_known(corpora):
    found = [p for p in mails(corpora / "bounceparser") if not NO_BOUNCES.match(p.name)]
    missed = [p.name for p in found if read_message(io.BytesIO(p.read_bytes())).automatic is None]
    assert len(missed) <= 0.02 * len(found), missed


def test_at_most_2_of_100_mails_of_people_are_taken_for_automatic(corpora):
    signs = re.compile(
        rb"(?im)^(?:precedence: *(?:bulk|junk|list)|list-|auto-submitted: *auto|from:.*(?:no-?reply|ne-pas-repondre))"
    )
    people = [
        p
        for p in mails(corpora / "rubymail") + mails(corpora / "imaptools")
        if "report" not in p.parent.name and not signs.search(p.read_bytes())
    ]
    taken = [p.name for p in people if read_message(io.BytesIO(p.read_bytes())).automatic]
    assert len(people) > 80
    assert len(taken) <= 0.02 * len(people), taken


def test_quotes_and_signatures_are_cut_as_others_cut_them(corpora):
    folder = corpora / "trimmer"
    emails = sorted((folder / "emails").iterdir())
    same = 0
    for path in emails:
        own = from_plain(path.read_text("utf-8"), flowed=False, delsp=False, reply=True).lines
        assert not any(line.lstrip().startswith(">") for line in own), path.name
        wanted = (folder / "trimmed" / path.name).read_text("utf-8")
        same += " ".join(own).split() == wanted.split()
    assert same >= 0.85 * len(emails)


def test_every_header_answers_the_door(folder):
    for path in mails(folder):
        header = Header.scan(path.read_bytes()[: 256 * 1024])
        assert isinstance(header.from_addresses(), tuple)
        header.message_id()
