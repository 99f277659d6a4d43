"""Thousands of mails over LMTP, every tenth broken: each is accounted for, and memory stays flat."""

import random
import re
import smtplib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon import ADA, Gateway, eventually, running
from tests.walk.test_mailboxes import resident

SERVICE = """\
command = ["true"]
[input.text]
from = "body"
required = false
[access]
allow = ["*"]
"""
BROKEN_IN = 10
SESSIONS = 8


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, slots=8, more="[listen.lmtp]\nport = 0\n") as made:
        made.service("true", SERVICE)
        made.start()
        yield made


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_mail_over_lmtp_is_run_once_or_refused_in_flat_memory(
    gateway: Gateway, seed: int, soak: bool
) -> None:
    total = 50_000 if soak else 400
    port = int(re.findall(r"listening door=lmtp .*port=(\d+)", gateway.logged())[0])
    sizes = []
    taken: Counter[int] = Counter()
    for half in (range(total // 2), range(total // 2, total)):
        with ThreadPoolExecutor(SESSIONS) as threads:
            shares = [half[n::SESSIONS] for n in range(SESSIONS)]
            for counted in threads.map(lambda share: sent(port, share, seed), shares):
                taken += counted
        eventually(lambda: not unsettled(gateway), 1800, gateway.logged)
        sizes.append(resident(gateway.pid))
    print(f"resident: {sizes[0] >> 20} MiB at half, {sizes[1] >> 20} MiB at the end")
    assert sizes[1] - sizes[0] < 32 << 20
    good = {n for n in range(total) if n % BROKEN_IN}
    assert good <= taken.keys()
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as database:
        rows = database.execute("SELECT key, COUNT(*) FROM message GROUP BY key").fetchall()
        done = database.execute(
            "SELECT message.key, COUNT(*) FROM job JOIN message ON message.id = job.message"
            " WHERE job.phase = 'COMPLETED' GROUP BY message.key"
        ).fetchall()
        letters = database.execute(
            "SELECT COUNT(*) FROM letter WHERE kind = 'result' AND state = 'SENT'"
        ).fetchone()
    # What was told 250 is there, once, and nothing else is; each good one's job ran once.
    assert sum(count for _, count in rows) == taken.total()
    jobs = dict(done)
    assert {key_of(n) for n in good} <= jobs.keys()
    assert max(jobs.values()) == 1
    assert letters == (len(jobs),)
    assert gateway.stop() == 0


def sent(port: int, numbers: range, seed: int) -> Counter[int]:
    """Send a share in one session, anew where it broke; return which were taken."""
    taken: Counter[int] = Counter()
    session: smtplib.LMTP | None = None
    for number in numbers:
        session = session or smtplib.LMTP("127.0.0.1", port, timeout=120)
        try:
            session.sendmail(ADA, [recipient(number)], mail(number, seed))
            taken[number] += 1
        except (smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused):
            pass
        except (smtplib.SMTPException, OSError):
            session = None
    if session is not None:
        session.quit()
    return taken


def recipient(number: int) -> str:
    return "nobody@gate.example.org" if number % 50 == 0 else "true@gate.example.org"


def mail(number: int, seed: int) -> bytes:
    """One request of many; every tenth has had an accident."""
    head = f"From: {ADA}\r\nTo: true@gate.example.org\r\nMessage-ID: {key_of(number)}\r\n"
    whole = f"{head}Subject: {number}\r\n\r\nlabel: number {number}\r\n".encode()
    if number % BROKEN_IN:
        return whole
    chance = random.Random(f"{seed} {number}")
    at = chance.randrange(len(whole))
    match chance.randrange(4):
        case 0:
            return whole[:at]
        case 1:
            return whole[:at] + chance.randbytes(300) + whole[at:]
        case 2:
            return whole.replace(b"From: ", b"Form: ", 1)
        case _:
            return b"\r\n" + whole[at:]


def key_of(number: int) -> str:
    return f"<{number}@example.org>"


def unsettled(gateway: Gateway) -> int:
    """Count what still waits: mail to be read, jobs to be run, letters to leave."""
    file = f"file:{gateway.spool / 'spool.db'}?mode=ro"
    with closing(sqlite3.connect(file, uri=True, timeout=30)) as database:
        (count,) = database.execute(
            "SELECT (SELECT COUNT(*) FROM errand WHERE state = 'WAITING')"
            " + (SELECT COUNT(*) FROM job WHERE phase IN ('QUEUED', 'EXECUTING'))"
            " + (SELECT COUNT(*) FROM letter WHERE state IN ('PLANNED', 'WAITING'))"
        ).fetchone()
    return int(count)
