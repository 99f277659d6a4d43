"""Mail that lies in mailboxes on a real Dovecot: run once, answered once, and nobody else hears."""

import email.policy
import os
import random
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.asking import answer, ask, read_all
from tests.daemon import ADA, ECHO, Gateway, attached, eventually, request, running
from tests.receive.mailboxes import count, raw, table
from tests.servers import Dovecot, dovecot
from tests.walk.test_bounces import bounce

# Every so many-th mail is broken.
BROKEN_IN = 10


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with dovecot() as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("echo", ECHO)
        (tmp_path / "secret").write_text("secret\n")
        (tmp_path / "secret").chmod(0o600)
        yield made


def test_one_mail_in_two_mailboxes_runs_once_and_a_refused_one_is_only_explained(
    server: Dovecot, gateway: Gateway
) -> None:
    hanging = socket.create_server(("127.0.0.1", 0))
    gateway.configure(
        more=table(server.imap, user="walk")
        + table(server.imap, "other", user="walk2")
        + table(hanging.getsockname()[1], "hangs")
    )
    mail = raw(request(attachments={"data": b"bytes"}))
    eve = raw(request(sender="eve@elsewhere.test", message_id="<eve@elsewhere.test>"))
    server.deposit("walk", [mail, eve])
    server.deposit("walk2", [mail])
    gateway.start()
    (result,) = gateway.await_results(1)
    assert attached(result)["stdout.txt"] == b"bytes"
    eventually(lambda: count(server, "walk", "Done") == count(server, "walk2", "Done") == 1)
    eventually(lambda: count(server, "walk", "Failed") == 1)
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 10
    hanging.close()
    assert len(gateway.jobs()) == 1
    assert len(gateway.letters()) == 1
    assert gateway.letters("eve@elsewhere.test") == []
    told = gateway.run("explain", "<eve@elsewhere.test>").stdout.decode()
    assert 'refused: eve@elsewhere.test may not use the service "echo"' in told


def test_a_confirmation_a_reply_and_a_bounce_act_out_of_a_mailbox_once_each(
    server: Dovecot, gateway: Gateway
) -> None:
    # Nothing vouches for what lies there: what counts is the token, the KEY and the TAG.
    trusted = gateway.config.read_text().replace("[trust]", '[trust]\nunknown = "confirm"')
    gateway.config.write_text(trusted + table(server.imap, user="talk", trust=False))
    gateway.start()

    def laid_down(mail: EmailMessage | bytes, sender: str = ADA) -> None:
        content = mail if isinstance(mail, bytes) else mail.as_bytes(policy=email.policy.SMTP)
        head = f"Return-Path: <{sender}>\r\nDelivered-To: talk@mx.example.org\r\n".encode()
        # Delivered twice, as happens.
        server.deposit("talk", [head + content] * 2)

    laid_down(request(attachments={"data": b"bytes"}))
    (question,) = gateway.await_letters(1)
    assert "confirm" in str(question["Reply-To"])
    laid_down(answer(question, ADA, "confirm"))
    (result,) = gateway.await_results(1)
    ((tag,),) = ask(gateway, "SELECT sender FROM letter WHERE job IS NOT NULL")
    laid_down(answer(result, ADA, "status"))
    (status,) = [mail for mail in gateway.await_letters(3) if "1 done" in mail["Subject"]]
    assert status["Subject"] == f"[job {result['Mailgate-Job']}] 1 done"
    laid_down(bounce(str(tag), "5.1.1"), sender="")
    eventually(lambda: count(server, "talk", "Done") == 8, 30, gateway.logged)
    read_all(gateway)
    assert ask(gateway, f"SELECT state FROM letter WHERE sender = '{tag}'") == [("BOUNCED",)]
    assert count(server, "talk", "Failed") == 0
    assert len(gateway.letters()) == 3


def test_check_live_opens_the_mailboxes_and_changes_nothing(
    server: Dovecot, gateway: Gateway
) -> None:
    server.deposit("live", [raw()])
    gateway.configure(
        more=table(server.imap, user="live", done="Taken")
        + table(server.imap, "shut", user="live2", mailbox="Nowhere")
    )
    done = gateway.run("check", "--live")
    assert done.returncode == 75
    said = done.stdout.decode()
    where = f"live at 127.0.0.1:{server.imap}"
    assert f'mailbox "INBOX" of {where}: 1 mail in it; "Taken" will be made' in said
    assert 'mailbox "Nowhere" of live2 at' in done.stderr.decode()
    assert 'the mailbox "Nowhere" cannot be opened (' in done.stderr.decode()
    assert not (server.folder / "mail" / "live" / ".Taken").exists()
    assert count(server, "live") == 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_full_mailbox_is_emptied_in_flat_memory_and_every_mail_is_accounted_for(
    server: Dovecot, gateway: Gateway, seed: int, soak: bool
) -> None:
    total = 10_000 if soak else 620
    chance = random.Random(seed)
    good = [n for n in range(total) if n % BROKEN_IN]
    server.deposit("soak", (numbered(n, chance) for n in range(total)))
    gateway.configure(
        paused=True,
        more=table(server.imap, user="soak") + table(server.imap, "other", user="soak2"),
    )
    gateway.start()
    half = total // 2
    eventually(lambda: total - count(server, "soak") > half, 900, gateway.logged)
    early = resident(gateway.pid)
    # Meanwhile another mailbox goes on.
    server.deposit("soak2", [raw()])
    eventually(lambda: count(server, "soak2", "Done") == 1, 60, gateway.logged)
    eventually(lambda: not count(server, "soak"), 900, gateway.logged)
    late = resident(gateway.pid)
    print(f"resident: {early >> 20} MiB at half, {late >> 20} MiB at the end")
    assert late - early < 32 << 20
    done, failed = count(server, "soak", "Done"), count(server, "soak", "Failed")
    assert done + failed == total
    taken = keys(gateway)
    assert {f"<{n}@example.org>" for n in good} <= taken.keys()
    assert max(taken.values()) == 1
    # What is broken was taken or refused, each in one of the two ways.
    assert sum(taken.values()) == done + 1
    assert gateway.stop() == 0


def numbered(number: int, chance: random.Random) -> bytes:
    """One mail of many; every tenth has had an accident."""
    size = chance.choice([10, 2000, 2000, 20_000, 300_000 if number % 100 == 1 else 100])
    attachment = {"data": os.urandom(size // 2)}
    mail = raw(request(attachments=attachment, message_id=f"<{number}@example.org>"))
    # First: two that are cut off at the same place are two all the same.
    mail = b"X-Number: %d\r\n" % number + mail
    if number % BROKEN_IN:
        return mail
    at = chance.randrange(min(len(mail), 800))
    match chance.randrange(5):
        case 0:
            return mail[:at]
        case 1:
            return mail[:at] + chance.randbytes(200).replace(b"\n", b"") + mail[at:]
        case 2:
            return mail.replace(b"From: ", b"Form: ", 1)
        case 3:
            return mail.replace(b"echo@gate", b"nosuch@gate")
        case _:
            return b"\r\n" + mail[at:]


def keys(gateway: Gateway) -> Counter[str]:
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as spool:
        return Counter(key for (key,) in spool.execute("SELECT key FROM message"))


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
