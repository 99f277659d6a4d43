"""Whole mails with the programs that people and servers use: in by one, out to another."""

import os
import pty
import select
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import servers
from tests.daemon import ADA, ROOT, Gateway, eventually, read, request, running
from tests.servers import require

ACCAT = [sys.executable, "-m", "mailgate.client.accat"]
BYTES = bytes(range(256)) * 40 + b"\r\n.\r\n\n..\nFrom here\n"

COPY = """\
command = ["cat", "{input:file}"]
[input.file]
from = "attachment"
[output]
stdout = "copy.bin"
[access]
allow = ["*"]
"""

ECHO = """\
command = ["cat"]
stdin = "text"
[input.text]
from = "body"
required = false
[access]
allow = ["*"]
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    """Run a gateway that copies files and echoes texts."""
    with running(tmp_path / "house") as gateway:
        gateway.service("copy", COPY)
        gateway.service("echo", ECHO)
        gateway.start()
        yield gateway


def _request(service: str = "copy", **headers: str) -> EmailMessage:
    return request(service, "label: peer\n", attachments={"all bytes.bin": BYTES}, **headers)


def _result(house: Gateway) -> Path:
    """Return the one result's file."""
    house.await_results(1)
    (found,) = [path for path in house.saved() if "Mailgate-Exit" in read(path.read_bytes())]
    return found


def _accat(reply: Path) -> tuple[int, bytes]:
    done = subprocess.run([*ACCAT, reply], cwd=ROOT, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout


def test_swaks_mails_a_file_and_gets_its_bytes_back(house: Gateway, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BYTES)
    sent = subprocess.run(
        [require("swaks"), "--server", f"127.0.0.1:{house.port}", "--from", ADA]
        + ["--to", "copy@gate.example.org", "--body", "label: swaks"]
        + ["--attach-name", "file", "--attach", f"@{tmp_path / 'file'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sent.returncode == 0, sent.stdout
    assert _accat(_result(house)) == (0, BYTES)


def test_swaks_hears_in_the_session_why_a_mail_is_refused(house: Gateway) -> None:
    sent = subprocess.run(
        [require("swaks"), "--server", f"127.0.0.1:{house.port}", "--from", ADA]
        + ["--to", "nobody@gate.example.org"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sent.returncode == 24
    assert "550 5.1.1 there is no service at nobody@gate.example.org" in sent.stdout


def test_smtp_source_mails_in_many_sessions_and_each_mail_is_one_job(house: Gateway) -> None:
    mails = 24
    subprocess.run(
        [require("smtp-source"), "-s", "6", "-m", str(mails), "-l", "4096", "-f", ADA]
        + ["-t", "echo@gate.example.org", f"127.0.0.1:{house.port}"],
        check=True,
    )
    results = house.await_results(mails)
    assert len({letter["Message-ID"] for letter in results}) == len(results) == mails


def test_smtplib_mails_and_gets_its_bytes_back(house: Gateway) -> None:
    with smtplib.SMTP("127.0.0.1", house.port) as session:
        assert session.send_message(_request()) == {}
    assert _accat(_result(house)) == (0, BYTES)


def test_postfix_relays_to_the_gateway_and_takes_its_replies(tmp_path: Path) -> None:
    door = servers.free_port()
    with (
        servers.postfix(gateway=("127.0.0.1", door)) as relay,
        running(tmp_path, port=door, courier='courier = "smtp"') as house,
    ):
        text = house.config.read_text().replace("gate.example.org", "gate.mg.test")
        house.config.write_text(f'{text}[deliver.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n')
        house.service("copy", COPY)
        house.start()
        mail = _request(sender="ada@mg.test")
        mail.replace_header("To", "copy@gate.mg.test")
        with smtplib.SMTP("127.0.0.1", relay.port) as session:
            session.send_message(mail)
        eventually(lambda: relay.mailbox("ada@mg.test"), 60, house.logged)
        (reply,) = relay.mailbox("ada@mg.test")
        letter = read(reply)
        assert letter["In-Reply-To"] == mail["Message-ID"]
        assert letter["Return-Path"].startswith("<jobs+bounce.")
        saved = tmp_path / "reply.eml"
        saved.write_bytes(reply)
        assert _accat(saved) == (0, BYTES)
        eventually(lambda: relay.queue() == [], 30, relay.log)


# --- mutt -----------------------------------------------------------------------------------------


def _mutt(folder: Path, mailbox: Path, keys: str) -> None:
    """Let mutt press ``keys`` in a terminal of its own, on the first mail of a Maildir."""
    (folder / "muttrc").write_text(
        "set wait_key=no\nset confirmappend=no\nset quit=yes\nset delete=no\nset move=no\n"
        # A folder that is not there makes it ask, and the question eats the keys.
        f'set folder="{folder}"\nset tmpdir="{folder}"\nset pipe_decode=no\npush "{keys}"\n'
    )
    program = require("mutt")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update({"TERM": "xterm", "HOME": str(folder), "PYTHONPATH": str(ROOT)})
        os.execv(program, [program, "-n", "-F", str(folder / "muttrc"), "-f", str(mailbox)])
    try:
        _watch(terminal, process)
    finally:
        os.close(terminal)


def _watch(terminal: int, process: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:
                continue
    os.kill(process, 9)
    os.waitpid(process, 0)
    pytest.fail("mutt did not end")


@pytest.fixture
def answered(house: Gateway) -> Path:
    """Return the Maildir that holds the reply to a request."""
    with smtplib.SMTP("127.0.0.1", house.port) as session:
        session.send_message(_request())
    return _result(house).parent.parent


def test_mutt_saves_the_attachment_as_it_was(answered: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.bin"
    # Behind the alternative, its text and its HTML, and job.json.
    steps = f"<view-attachments>{'<next-entry>' * 4}<save-entry><kill-line>"
    _mutt(tmp_path, answered, f"{steps}{saved}<enter><exit><quit>")
    assert saved.read_bytes() == BYTES


def test_mutt_pipes_the_reply_into_accat(answered: Path, tmp_path: Path) -> None:
    piped = tmp_path / "piped.bin"
    command = f"{' '.join(ACCAT)} > {piped}"
    _mutt(tmp_path, answered, f"<pipe-message>{command}<enter><quit>")
    assert piped.read_bytes() == BYTES
