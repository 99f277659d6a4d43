"""The doors of a real daemon: LMTP on a port and a socket, users who log in, files read again."""

import signal
import smtplib
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.daemon import ADA, ECHO, Gateway, eventually, request, running
from tests.servers import certificate

BOB = "bob@example.org"
CLOSED = ECHO.replace('["*@example.org"]', f'["{BOB}"]')
LMTP = '[listen.lmtp]\nsocket = "lmtp.sock"\n'


class Peer:
    """An LMTP client that reads an answer for each recipient, as mail servers do."""

    def __init__(self, place: Path | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(str(place) if isinstance(place, Path) else place)
        self.file = self.socket.makefile("rb")
        assert self.reply()[:3] == "220"
        assert self.ask(b"LHLO mx.example.org")[:3] == "250"

    def reply(self) -> str:
        while (line := self.file.readline().decode())[3:4] == "-":
            pass
        return line.rstrip()

    def ask(self, words: bytes) -> str:
        self.socket.sendall(words + b"\r\n")
        return self.reply()

    def hand_over(self, mail: bytes, *recipients: str, sender: str = ADA) -> dict[str, str]:
        """Return what each recipient was answered."""
        assert self.ask(b"MAIL FROM:<%s>" % sender.encode())[:3] == "250"
        answers = {to: self.ask(b"RCPT TO:<%s>" % to.encode()) for to in recipients}
        known = [to for to in recipients if answers[to][:3] == "250"]
        told = self.ask(b"DATA")
        if told[:3] != "354":
            return answers | dict.fromkeys(known, told)
        stuffed = mail.replace(b"\r\n.", b"\r\n..")
        self.socket.sendall(stuffed + b".\r\n")
        return answers | {to: self.reply() for to in known}

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def peer(place: Path | tuple[str, int]) -> Iterator[Peer]:
    with closing(Peer(place)) as made:
        yield made


def mail(service: str = "echo", **headers: object) -> bytes:
    return (
        request(service, attachments={"data": b"hello"}, **headers)
        .as_bytes()
        .replace(b"\n", b"\r\n")
    )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, more=LMTP) as gateway:
        gateway.service("echo", ECHO)
        gateway.service("closed", CLOSED)
        gateway.start()
        yield gateway


def test_over_lmtp_each_recipient_is_answered_at_the_door_and_nobody_twice(house: Gateway):
    assert "listening door=lmtp" in house.logged("listening")
    recipients = [f"{name}@gate.example.org" for name in ("echo", "closed", "nobody")]
    with peer(house.folder / "lmtp.sock") as talk:
        told = talk.hand_over(mail(message_id="<1@example.org>"), *recipients)
        assert [answer[:9] for answer in told.values()] == ["250 2.0.0", "550 5.7.1", "550 5.1.1"]
        assert 'may not use the service "closed"' in told[recipients[1]]
        # As a server does that has not heard the first answer.
        again = talk.hand_over(mail(message_id="<1@example.org>"), *recipients)
        assert [answer[:3] for answer in again.values()] == ["250", "550", "550"]
    (result,) = house.await_results(1)
    assert result["Mailgate-Exit"] == "0"
    eventually(lambda: house.logged("read").count("duplicate"))
    assert len(house.letters()) == 1
    assert "closed@gate.example.org" in house.run("explain", "<1@example.org>").stdout.decode()


def test_a_socket_counts_as_this_machine_for_trust(tmp_path: Path):
    with running(tmp_path, more=LMTP) as house:
        text = house.config.read_text().replace('"127.0.0.0/8", ', "")
        house.config.write_text(text)
        house.service("echo", ECHO)
        house.start()
        with peer(house.folder / "lmtp.sock") as talk:
            told = talk.hand_over(mail(), "echo@gate.example.org")
        assert "550 5.7.1 Nothing vouches for ada@example.org" in told["echo@gate.example.org"]


def test_the_socket_goes_with_the_daemon_and_comes_back_after_a_crash(house: Gateway):
    file = house.folder / "lmtp.sock"
    house.kill()
    assert file.exists()
    house.start()
    with peer(file) as talk:
        assert talk.ask(b"NOOP")[:3] == "250"
    assert house.stop() == 0
    assert not file.exists()


@pytest.mark.parametrize("point", ["accept:durable", "accept:committed"])
def test_a_crash_before_the_answers_is_mended_by_handing_over_again(tmp_path: Path, point: str):
    to = ["echo@gate.example.org", "other@gate.example.org"]
    with running(tmp_path, more=LMTP) as house:
        house.service("echo", ECHO)
        house.service("other", ECHO)
        house.start(MAILGATE_CRASH=point)
        with peer(house.folder / "lmtp.sock") as talk:
            told = talk.hand_over(mail(message_id="<1@example.org>"), *to)
        assert set(told.values()) == {""}
        assert house.died() == -9
        house.start()
        with peer(house.folder / "lmtp.sock") as talk:
            told = talk.hand_over(mail(message_id="<1@example.org>"), *to)
        assert [answer[:3] for answer in told.values()] == ["250", "250"]
        house.await_results(2)
        twice = point == "accept:committed"
        eventually(lambda: house.logged("read").count("duplicate") == 2 * twice)
        assert sorted(str(job["service"]) for job in house.jobs()) == ["echo", "other"]


def test_a_locked_database_and_a_full_disk_are_told_to_each_recipient(house: Gateway):
    recipients = ["echo@gate.example.org", "jobs+echo@gate.example.org"]
    with peer(house.folder / "lmtp.sock") as talk:
        with closing(sqlite3.connect(house.spool / "spool.db")) as held:
            held.execute("BEGIN IMMEDIATE")
            told = talk.hand_over(mail(message_id="<2@example.org>"), *recipients)
        assert [answer[:9] for answer in told.values()] == ["451 4.3.0"] * 2
        told = talk.hand_over(mail(message_id="<2@example.org>"), *recipients)
        assert [answer[:9] for answer in told.values()] == ["250 2.0.0"] * 2
    house.await_results(1)
    house.kill()
    house.configure(min_free="1000 TiB", more=LMTP)
    house.start()
    with peer(house.folder / "lmtp.sock") as talk:
        told = talk.hand_over(mail(message_id="<3@example.org>"), *recipients)
        assert [answer[:9] for answer in told.values()] == ["452 4.3.1"] * 2
    assert len(house.jobs()) == 1


# --- users ------------------------------------------------------------------------------------------

TLS = """
[listen.lmtp]
port = 0
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that trusts no network, and one user."""
    with running(tmp_path, more=TLS) as gateway:
        certificate(tmp_path)
        text = gateway.config.read_text().replace(
            "[listen.smtp]\n",
            '[listen.smtp]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\nport_tls = 0\nusers = "users"\n',
        )
        a, _, c = text.partition("networks = [")
        gateway.config.write_text(a + "networks = []\n" + c.partition("\n")[2])
        gateway.service("echo", ECHO)
        made = gateway.run("password", "ada", ADA, stdin=b"secret one\n")
        assert made.returncode == 0, made.stderr
        gateway.start()
        yield gateway


@contextmanager
def logged_in(
    gateway: Gateway, password: str = "secret one", user: str = "ada"
) -> Iterator[smtplib.SMTP]:
    trusting = ssl.create_default_context(cafile=gateway.folder / "cert.pem")
    with smtplib.SMTP("localhost", gateway.port, timeout=60) as session:
        session.starttls(context=trusting)
        session.login(user, password)
        yield session


def test_a_user_from_anywhere_gets_results_and_writes_as_nobody_else(office: Gateway):
    with logged_in(office) as session:
        session.sendmail(ADA, ["echo@gate.example.org"], mail())
        with pytest.raises(smtplib.SMTPDataError) as refused:
            session.sendmail(BOB, ["echo@gate.example.org"], mail(sender=BOB))
        assert refused.value.smtp_code == 550
        assert (
            b"ada may not write as bob@example.org, but as ada@example.org"
            in refused.value.smtp_error
        )
    (result,) = office.await_results(1)
    assert result["Mailgate-Exit"] == "0"
    assert "known=smtp-auth" in office.logged("accepted")
    with pytest.raises(smtplib.SMTPDataError, match="Nothing vouches"):
        office.send(mail(), to="echo@gate.example.org")


def test_users_and_certificate_are_read_again_at_a_hangup_and_no_broken_ones(office: Gateway):
    def hang_up(verb: str) -> None:
        before = office.logged(verb).count("reload")
        office._process.send_signal(signal.SIGHUP)
        eventually(lambda: office.logged(verb).count("reload") > before)

    def may_log_in(user: str) -> bool:
        try:
            with logged_in(office, user=user):
                return True
        except smtplib.SMTPAuthenticationError:
            return False

    office.run("password", BOB, stdin=b"secret one\n")
    assert not may_log_in(BOB)
    hang_up("reloaded")
    assert may_log_in(BOB)
    office.run("password", "--delete", "ada")
    hang_up("reloaded")
    assert not may_log_in("ada")
    right = (office.folder / "key.pem").read_text()
    (office.folder / "key.pem").write_text("no key")
    hang_up("failed")
    assert may_log_in(BOB)
    (office.folder / "key.pem").write_text(right)
    certificate(office.folder)
    hang_up("reloaded")
    assert may_log_in(BOB)


def test_a_port_that_is_taken_is_told_with_its_address_and_the_mend(tmp_path: Path):
    with running(tmp_path) as made, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made.config.write_text(made.config.read_text().replace("port = 0", f"port = {port}"))
        done = made.run("serve")
    assert done.returncode == 70
    assert done.stderr.decode().splitlines()[-1] == (
        f"mailgate: cannot listen on 127.0.0.1:{port}, where another program listens, perhaps a"
        " gateway that runs already: end it, or name another address in [listen.smtp]"
    )


def test_check_tells_a_certificate_that_cannot_be_used_and_users_that_nobody_made(office: Gateway):
    (office.folder / "users").unlink()
    told = office.run("check").stderr.decode()
    assert "users: nobody can log in yet" in told
    assert "nothing vouches for any sender" not in told
    (office.folder / "key.pem").write_text("no key")
    done = office.run("check")
    assert done.returncode == 78
    assert f"the key {office.folder}/key.pem cannot be used" in done.stderr.decode()
    office.kill()
    office.start(wait=False)
    assert office.died() == 78
