"""Mail that lies in mailboxes on a real Dovecot: read once, moved only then, whatever happens."""

import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import ECHO, TRUE, Gateway, attached, eventually, request, running
from tests.servers import Dovecot, dovecot


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with dovecot() as made:
        yield made


def table(server: Dovecot, name: str = "", **keys: object) -> str:
    """A [listen.imap] or [listen.imap.NAME] as it stands in the file."""
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "port": server.imap,
        "tls": "none",
        "user": "gateway",
        "password_file": "secret",
        "trust": True,
        "poll": "1s",
        "retry": ["1s"],
    } | keys
    said = {True: "true", False: "false"}
    lines = [
        f"{key} = {said[value] if isinstance(value, bool) else repr(value)}"
        for key, value in values.items()
        if value is not None
    ]
    return "\n".join([f"[listen.imap{name and '.'}{name}]", *lines, ""])


def raw(mail: EmailMessage, delivered_to: str = "align@mx.example.org") -> bytes:
    """A mail as a delivery agent lays it down."""
    head = f"Return-Path: <ada@example.org>\r\nDelivered-To: {delivered_to}\r\n".encode()
    return head + mail.as_bytes(policy=email.policy.SMTP)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("echo", ECHO)
        made.service("true", TRUE)
        (tmp_path / "secret").write_text("secret\n")
        (tmp_path / "secret").chmod(0o600)
        yield made


def test_a_mail_in_a_mailbox_is_run_and_then_lies_in_done(
    server: Dovecot, gateway: Gateway
) -> None:
    gateway.configure(more=table(server, user="walk"))
    server.deposit("walk", [raw(request(attachments={"data": b"bytes"}))])
    gateway.start()
    (result,) = gateway.await_results(1)
    assert attached(result)["stdout.txt"] == b"bytes"
    eventually(lambda: server.mailbox("walk", "Done"))
    assert server.mailbox("walk") == []
    assert gateway.stop() == 0
