"""Behind a site's own servers, as etc/ sets them up: Postfix and Dovecot hand over by LMTP."""

import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailgate import share
from tests import servers
from tests.daemon import ADA, ECHO, Gateway, eventually, request, running
from tests.servers import Dovecot, Postfix, folder_for_all, free_port, require
from tests.walk.test_doors import CLOSED, Peer, peer

NAMES = ("echo", "second", "closed", "nobody")
ADDRESSES = [f"{name}@gate.example.org" for name in NAMES]


def snippet(*parts: str) -> str:
    return share.path("etc", *parts).read_text(encoding="utf-8")


def services(house: Gateway) -> None:
    for name, text in (("echo", ECHO), ("second", ECHO), ("closed", CLOSED)):
        house.service(name, text)


def mail(number: int) -> bytes:
    made = request(attachments={"data": b"hello"}, message_id=f"<{number}@example.org>")
    return made.as_bytes().replace(b"\n", b"\r\n")


# --- Postfix ----------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Postfix, Gateway]]:
    """Set up a Postfix by the example, and a gateway at a socket in its folder, made by the README."""
    with folder_for_all("mailgate-site-") as open_to_all:
        transport = snippet("postfix", "transport")
        assert "[127.0.0.1]:8024" in transport
        (open_to_all / "transport").write_text(
            transport.replace("[127.0.0.1]:8024", "unix:mailgate/lmtp.sock")
        )
        main = snippet("postfix", "main.cf").replace("hash:/etc/postfix", f"texthash:{open_to_all}")
        assert str(open_to_all) in main
        with servers.postfix(extra=main) as relay:
            home = relay.folder / "queue" / "mailgate"
            subprocess.run(["install", "-d", "-g", "postfix", "-m", "2750", home], check=True)
            door = f'[listen.lmtp]\nsocket = "{home}/lmtp.sock"\n'
            with running(tmp_path, more=door) as house:
                services(house)
                yield relay, house


def submit(relay: Postfix, number: int, to: list[str]) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as session:
        session.sendmail(ADA, to, mail(number))


def test_a_mail_to_several_services_reaches_each_that_takes_it_once_through_a_crash(
    site: tuple[Postfix, Gateway],
):
    relay, house = site
    house.start(MAILGATE_CRASH="accept:committed")
    submit(relay, 1, ADDRESSES)
    # It dies between the commit and its three answers, of which Postfix hears none.
    house.died(60)
    house.start()
    eventually(lambda: relay.flush() or not relay.queue(), 60, relay.log)
    house.await_results(2)
    eventually(lambda: house.logged("read").count("duplicate"), 30, house.logged)
    assert sorted(str(job["service"]) for job in house.jobs()) == ["echo", "second"]
    log = relay.log()
    sent = [name for name in NAMES for _ in range(log.count(f"to=<{name}@gate.example.org>"))]
    told = {
        name: [line for line in log.splitlines() if f"to=<{name}@" in line][-1] for name in sent
    }
    assert "status=sent (250 2.0.0 taken as" in told["echo"]
    assert "status=sent (250 2.0.0 taken as" in told["second"]
    assert "550 5.7.1" in told["closed"]
    assert "status=bounced" in told["closed"]
    assert "550 5.1.1" in told["nobody"]
    assert log.count("status=sent (250 2.0.0 taken") == 2
    # What was told at the door is not answered by mail too.
    assert len(house.letters()) == 2


# --- Dovecot ----------------------------------------------------------------------------------------


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[tuple[Dovecot, Gateway]]:
    port = free_port()
    example = snippet("dovecot", "09-mailgate.conf").replace("port=8024", f"port={port}")
    # What the example's reader has there: the domain is part of a user's name.
    with servers.dovecot(first=example, extra="auth_username_format = %Lu") as server:
        with running(tmp_path, more=f"[listen.lmtp]\nport = {port}\n") as house:
            services(house)
            house.start()
            yield server, house


def test_dovecot_hands_on_what_is_the_gateways_and_passes_its_answers_back(
    mailbox: tuple[Dovecot, Gateway],
):
    server, house = mailbox
    with peer(("127.0.0.1", server.lmtp)) as talk:
        assert isinstance(talk, Peer)
        to = ["jobs+echo@gate.example.org", *ADDRESSES[1:], "ops@example.org"]
        told = talk.hand_over(mail(1), *to)
    assert [answer[:3] for answer in told.values()] == ["250", "250", "550", "550", "250"]
    assert "5.7.1" in told["closed@gate.example.org"]
    house.await_results(2)
    assert sorted(str(job["service"]) for job in house.jobs()) == ["echo", "second"]
    assert len(server.mailbox("ops")) == 1
    eventually(lambda: len(house.letters()) == 2)


def test_nobody_logs_in_to_dovecot_by_the_example(mailbox: tuple[Dovecot, Gateway]):
    import imaplib

    server, _ = mailbox
    with imaplib.IMAP4("127.0.0.1", server.imap) as session:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            session.login("anybody@gate.example.org", "anything")


def test_dovecot_understands_the_example(tmp_path: Path):
    conf = tmp_path / "dovecot.conf"
    conf.write_text(snippet("dovecot", "09-mailgate.conf"))
    told = subprocess.run(
        [require("doveconf"), "-n", "-c", conf], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "lmtp_proxy = yes" in told.stdout
    assert "Warning" not in told.stderr.replace("doveconf: Warning: please set ssl_dh", "")
