"""Letters that come back: through a real Postfix, and while the gateway is killed."""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import servers
from tests.daemon import ADA, TRUE, Gateway, attached, eventually, read, request, running, shell
from tests.deliver.relay import Script, relay_beside
from tests.walk.hostile import rows

FAR = "ada@far.test"
SAY = shell("echo hello", "").replace("*@example.org", "*")


def letter_of(gateway: Gateway) -> dict[str, object]:
    (row,) = eventually(lambda: rows(gateway, "SELECT * FROM letter"), 30, gateway.logged)
    return dict(row)


@contextmanager
def far_away(tmp_path: Path, far: Script) -> Iterator[Gateway]:
    """A gateway whose letters go through a real Postfix to ``far``, and come back the same way."""
    port = servers.free_port()
    routes = f"gate.mg.test=smtp:[127.0.0.1]:{port} }}, {{ far.test=smtp:[127.0.0.1]:{far.port} "
    extra = f"transport_maps = inline:{{ {{ {routes} }} }}\nnotify_classes ="
    courier = 'courier = "smtp"\nretry = ["1s"]'
    with (
        servers.postfix(extra=extra) as relay,
        running(tmp_path, port=port, courier=courier) as gateway,
    ):
        text = gateway.config.read_text().replace("gate.example.org", "gate.mg.test")
        gateway.config.write_text(
            f'{text}[deliver.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n'
        )
        gateway.service("say", SAY)
        gateway.start()
        yield gateway
        eventually(lambda: relay.queue() == [], 30, relay.log)


def ask(gateway: Gateway) -> EmailMessage:
    mail = request("say", sender=FAR)
    mail.replace_header("To", "say@gate.mg.test")
    gateway.send(mail, sender=FAR)
    return mail


def test_a_full_mailbox_does_not_lose_a_result(tmp_path: Path) -> None:
    says = {"RCPT": "552 5.2.2 mailbox full"}
    with relay_beside(says) as far, far_away(tmp_path, far) as gateway:
        mail = ask(gateway)
        eventually(lambda: letter_of(gateway)["bounces"] >= 1, 60, gateway.logged)
        says.clear()
        eventually(lambda: far.mails, 60, gateway.logged)
        (result,) = [read(content) for content in far.mails]
        assert result["In-Reply-To"] == mail["Message-ID"]
        assert result["Message-ID"] == letter_of(gateway)["message_id"]
        assert attached(result)["stdout.txt"] == b"hello\n"


def test_an_unknown_user_is_told_to_the_operator_who_sends_it_again(tmp_path: Path) -> None:
    says = {"RCPT": "550 5.1.1 no such user here"}
    with relay_beside(says) as far, far_away(tmp_path, far) as gateway:
        ask(gateway)
        eventually(lambda: letter_of(gateway)["state"] == "BOUNCED", 60, gateway.logged)
        letter = letter_of(gateway)
        assert "no such user here" in str(letter["last_words"])
        told = gateway.run("job", str(letter["job"])).stdout.decode()
        assert f"mailgate queue --retry {letter['id']}" in told
        assert "BOUNCED" in gateway.run("queue").stdout.decode()
        says.clear()
        assert gateway.run("queue", "--retry", str(letter["id"])).returncode == 0
        eventually(lambda: far.mails, 60, gateway.logged)
        assert read(far.mails[0])["Message-ID"] == letter["message_id"]
        # The bounce itself was answered by nobody: one letter is all there ever was.
        assert len(rows(gateway, "SELECT * FROM letter")) == 1


# --- without a relay ------------------------------------------------------------------------------


def bounce(to: str, status: str, number: int = 1) -> bytes:
    return (
        f"From: MAILER-DAEMON@example.org\r\nTo: {to}\r\nMessage-ID: <bounce{number}@example.org>\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
        f"Final-Recipient: rfc822; {ADA}\r\nAction: failed\r\nStatus: {status}\r\n\r\n--b--\r\n"
    ).encode()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("true", TRUE)
        yield made


@pytest.mark.parametrize("point", ["read:before-commit", "bounce:taken"])
def test_a_crash_while_a_bounce_is_taken_sends_the_letter_once_more(
    gateway: Gateway, point: str
) -> None:
    gateway.start()
    gateway.send(request("true"))
    gateway.await_results(1)
    eventually(lambda: letter_of(gateway)["state"] == "SENT")
    gateway.stop()
    gateway.start(MAILGATE_CRASH=point)
    content = bounce(path := str(letter_of(gateway)["sender"]), "4.2.2")
    gateway.send(content, sender="", to=path)
    gateway.died()
    gateway.start()
    # Its own server did not hear the 250 in time, say, and comes again.
    gateway.send(content, sender="", to=path)
    # A Maildir shows a letter of one Message-ID once, however often it is written.
    eventually(lambda: gateway.logged("sent").count("\n") == 1, 30, gateway.logged)
    eventually(lambda: not rows(gateway, "SELECT * FROM errand WHERE state <> 'DONE'"))
    assert letter_of(gateway)["bounces"] == 1
    assert letter_of(gateway)["state"] == "SENT"
    assert len(gateway.results()) == 1


def test_a_large_bounce_is_judged_and_not_kept(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("true"))
    gateway.await_results(1)
    eventually(lambda: letter_of(gateway)["state"] == "SENT")
    path = str(letter_of(gateway)["sender"])
    whole = bounce(path, "5.1.1").removesuffix(b"--b--\r\n")
    back = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + b"x" * 70 + b"\r\n"
    gateway.send(whole + back + (b"y" * 76 + b"\r\n") * 20_000 + b"--b--\r\n", sender="", to=path)
    eventually(lambda: letter_of(gateway)["state"] == "BOUNCED", 30, gateway.logged)
    assert gateway.run("purge").returncode == 0
    assert list((gateway.spool / "mail").iterdir()) == []


def test_a_tag_that_is_guessed_is_nobodys(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("true"))
    gateway.await_results(1)
    path = str(letter_of(gateway)["sender"])
    guess = path.replace(path.split(".")[1].split("@", maxsplit=1)[0], "0" * 20)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"5\.1\.1"):
        gateway.send(bounce(guess, "5.1.1"), sender="", to=guess)
    eventually(lambda: letter_of(gateway)["state"] == "SENT")
