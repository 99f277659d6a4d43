"""Mails written by others through every door: nothing raises, nothing is lost, no machine is answered."""

import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailgate import config, services
from mailgate.errors import MailgateError
from mailgate.model import Envelope
from mailgate.receive import pipe
from tests.daemon import ROOT, Gateway, eventually, running
from tests.walk import hostile
from tests.walk.hostile import rows

# Papers that lie beside the mails.
_PAPERS = {"README.md", "LICENSE", "MIT-LICENSE", "PROVENANCE"}
# Nobody's machine answered here: advertisements, a worm, and one that its collectors kept as none.
_PEOPLE = re.compile(r"non-|spam-(?!rejection)|virus-caused")

ANYBODY = hostile.TAKE.replace('"*@example.org"', '"*"')
TO = "take@gate.example.org"


@dataclass(frozen=True)
class Taken:
    """A mail of the corpora that the gateway took, as it sent it, under the gateway's number."""

    path: Path
    raw: bytes
    number: int


def mails(corpora: Path) -> list[Path]:
    """Every mail; of the trimmer's, which have no header, those that were sent."""
    found = [p for p in sorted(corpora.rglob("*")) if p.is_file() and p.name not in _PAPERS]
    return [p for p in found if "trimmer" not in p.parts or p.parent.name == "emails"]


def posted(path: Path) -> bytes:
    """A mail as it was sent; a text without a header gets a person's."""
    raw = path.read_bytes()
    head = b"From: somebody@example.org\nTo: take@gate.example.org\n\n"
    return head + raw if path.parent.name == "emails" else raw


def from_inside(raw: bytes) -> bytes:
    """A mail as an SMTP client inside sends it: CRLF, and no trace of a way outside."""
    ended = re.sub(rb"\r\n|\n|\r", b"\r\n", raw)
    head, blank, body = ended.partition(b"\r\n\r\n")
    trace = rb"(?im)^Received:.*\r\n(?:[ \t].*\r\n)*"
    whole = re.sub(trace, b"", head + b"\r\n") + blank[2:] + body
    return whole if whole.endswith(b"\r\n") else whole + b"\r\n"


def is_machine(path: Path) -> bool:
    return "bounceparser" in path.parts and not _PEOPLE.match(path.name)


@pytest.fixture
def believing(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that believes everybody, with a service for anybody and any text."""
    with running(tmp_path, slots=4) as gateway:
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace('"127.0.0.0/8", "::1/128"', '"0.0.0.0/0", "::/0"'))
        gateway.service("take", ANYBODY)
        yield gateway


# --- what holds whatever the door -----------------------------------------------------------------


def accounted_for(gateway: Gateway, taken: Sequence[Taken]) -> None:
    """Each mail that was taken is kept byte for byte, and was held or settled; none from a machine acted."""
    eventually(lambda: hostile.at_rest(gateway), 90, gateway.logged)
    hostile.calm(gateway)
    for mail in taken:
        assert kept(gateway, mail.number) == mail.raw, mail.path
        errands = rows(gateway, "SELECT * FROM errand WHERE message = ?", mail.number)
        assert [errand["state"] for errand in errands][:1] in (["DONE"], ["HELD"]), mail.path
        jobs = rows(gateway, "SELECT * FROM job WHERE message = ?", mail.number)
        letters = rows(gateway, "SELECT * FROM letter WHERE message = ?", mail.number)
        assert len(letters) <= 1, mail.path
        if is_machine(mail.path) or errands[0]["state"] == "HELD":
            assert (jobs, letters) == ([], []), mail.path
    sent = rows(gateway, "SELECT COUNT(*) AS count FROM letter WHERE state = 'SENT'")[0]["count"]
    assert len(list(gateway.outgoing.glob("*/new/*"))) == sent > 0


def kept(gateway: Gateway, number: int) -> bytes:
    """The raw mail as the gateway holds it."""
    (row,) = rows(
        gateway,
        "SELECT file, bytes FROM message LEFT JOIN body ON body.message = message.id"
        " WHERE message.id = ?",
        number,
    )
    return (
        row["bytes"] if row["file"] is None else (gateway.spool / "mail" / row["file"]).read_bytes()
    )


# --- the doors ------------------------------------------------------------------------------------


def test_every_mail_goes_through_the_pipe(believing: Gateway, corpora: Path) -> None:
    tree = config.load(believing.config)
    known = services.load_all(tree.gateway.services)
    taken: list[Taken] = []
    statuses: list[int] = []
    for path in mails(corpora):
        raw = posted(path)
        try:
            sender, recipients = pipe.addresses(
                raw[: 256 << 10], {}, sender=None, recipients=[TO], domain="gate.example.org"
            )
            envelope = Envelope(sender=sender, recipients=recipients, door="pipe", trusted=True)
            number = pipe.take(tree, known, envelope, [raw])
        except MailgateError as error:
            statuses.append(error.exit_status)
        else:
            taken.append(Taken(path, raw, number))
    assert set(statuses) <= {65, 77}
    assert len(taken) > 150
    believing.start()
    accounted_for(believing, taken)


def test_every_mail_goes_through_the_smtp_door(believing: Gateway, corpora: Path) -> None:
    believing.start()
    taken: list[Taken] = []
    with smtplib.SMTP("127.0.0.1", believing.port, timeout=60) as session:
        session.ehlo("client")
        for path in mails(corpora):
            raw = from_inside(posted(path))
            # Not the null sender of a bounce, which would settle it: the mail has to speak for itself.
            session.mail("someone@example.org")
            assert session.rcpt(TO)[0] == 250
            code, words = session.data(raw)
            assert code in {250, 550, 552, 554}, (path, words)
            if code == 250:
                taken.append(Taken(path, raw, int(words.split()[-1])))
    assert len(taken) > 150
    accounted_for(believing, taken)


def test_a_sample_goes_through_real_processes(believing: Gateway, corpora: Path) -> None:
    sample = mails(corpora)[::45]
    words = ("receive", "--recipient", TO)
    done = [believing.run(*words, stdin=path.read_bytes()) for path in sample]
    assert {one.returncode for one in done} <= {0, 65, 77}
    assert not [one.stderr for one in done if b"Traceback" in one.stderr]
    shown = believing.run("hold", "list")
    for line in shown.stdout.decode().splitlines():
        raw = believing.run("hold", "show", line.split()[0]).stdout
        assert raw in {re.sub(rb"\AFrom .*\n", b"", path.read_bytes()) for path in sample}


def test_one_process_reads_every_mail_and_says_something_of_each(corpora: Path) -> None:
    files = [str(path) for path in mails(corpora)]
    done = subprocess.run(
        [sys.executable, "-m", "mailgate.cli.main", "read", "--json", *files],
        capture_output=True,
        cwd=ROOT,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == len(files)
