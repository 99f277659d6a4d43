"""Whole mails with the programs that people and servers use: in by one, out to another."""

import os
import pty
import select
import smtplib
import subprocess
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import gateway, servers
from tests.gateway import Gateway
from tests.servers import eventually, require

ADA = "ada@example.org"
BYTES = bytes(range(256)) * 40 + b"\r\n.\r\n\n..\nFrom here\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    """Run a gateway that copies files and echoes texts."""
    with gateway.serving(
        tmp_path, services={"copy": gateway.COPY, "echo": gateway.ECHO}
    ) as running:
        yield running


def _request(*, to: str = "copy@gate.example.org", sender: str = ADA) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, "a file"
    mail["Message-ID"] = f"<{time.monotonic_ns()}@example.org>"
    mail.set_content("label: peer\n")
    mail.add_attachment(BYTES, "application", "octet-stream", filename="all bytes.bin")
    return mail


def _result(house: Gateway, address: str = ADA) -> Path:
    eventually(lambda: house.results(address))
    (result,) = house.results(address)
    return result


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
    told = gateway.accat(_result(house))
    assert (told.returncode, told.stdout) == (0, BYTES)


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
    eventually(lambda: len(house.results(ADA)) == mails)
    ids = {gateway.read(path)["Message-ID"] for path in house.results(ADA)}
    assert len(ids) == mails


def test_smtplib_mails_and_gets_its_bytes_back(house: Gateway) -> None:
    with smtplib.SMTP("127.0.0.1", house.port) as session:
        assert session.send_message(_request()) == {}
    told = gateway.accat(_result(house))
    assert (told.returncode, told.stdout) == (0, BYTES)


def test_one_mail_to_two_services_is_two_jobs(house: Gateway) -> None:
    request = _request(to="copy@gate.example.org, echo@gate.example.org")
    with smtplib.SMTP("127.0.0.1", house.port) as session:
        session.send_message(request)
        session.send_message(request)
    eventually(lambda: len(house.results(ADA)) == 2)
    services = sorted(gateway.read(path)["Subject"].split()[2] for path in house.results(ADA))
    assert services == ["copy:", "echo:"]


def test_postfix_relays_to_the_gateway_and_takes_its_replies(tmp_path: Path) -> None:
    # Each needs the other's port first: the relay is started, stopped, and told the door's.
    with servers.postfix() as relay:
        more = f'[deliver.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n'
        with gateway.serving(
            tmp_path,
            services={"copy": gateway.COPY},
            domain="gate.mg.test",
            courier="smtp",
            more=more,
        ) as house:
            _route(relay, house.port)
            request = _request(to="copy@gate.mg.test", sender="ada@mg.test")
            with smtplib.SMTP("127.0.0.1", relay.port) as session:
                session.send_message(request)
            eventually(lambda: relay.mailbox("ada@mg.test"))
            (reply,) = relay.mailbox("ada@mg.test")
            letter = gateway.read(reply)
            assert letter["In-Reply-To"] == request["Message-ID"]
            assert letter["Return-Path"].startswith("<jobs+bounce.")
            told = gateway.accat(reply)
            assert (told.returncode, told.stdout) == (0, BYTES)
            eventually(lambda: relay.queue() == [])


def _route(relay: servers.Postfix, port: int) -> None:
    main = relay.folder / "etc" / "main.cf"
    main.write_text(main.read_text().replace("[127.0.0.1]:1 ", f"[127.0.0.1]:{port} "))
    relay.stop()
    relay.start()


# --- mutt -----------------------------------------------------------------------------------------


def _mutt(folder: Path, mailbox: Path, keys: str) -> None:
    """Let mutt press ``keys`` in a terminal of its own, on the first mail of a Maildir."""
    (folder / "muttrc").write_text(
        "set wait_key=no\nset confirmappend=no\nset quit=yes\nset delete=no\nset move=no\n"
        f'set tmpdir="{folder}"\nset pipe_decode=no\npush "{keys}"\n'
    )
    program = require("mutt")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(gateway.environment(TERM="xterm", HOME=str(folder)))
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
    steps = "<view-attachments><next-entry><next-entry><save-entry><kill-line>"
    _mutt(tmp_path, answered, f"{steps}{saved}<enter><exit><quit>")
    assert saved.read_bytes() == BYTES


def test_mutt_pipes_the_reply_into_accat(answered: Path, tmp_path: Path) -> None:
    piped = tmp_path / "piped.bin"
    command = f"{' '.join(gateway.ACCAT)} > {piped}"
    _mutt(tmp_path, answered, f"<pipe-message>{command}<enter><quit>")
    assert piped.read_bytes() == BYTES
