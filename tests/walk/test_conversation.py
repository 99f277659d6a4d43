"""A person talks with the gateway through real servers: Postfix, Dovecot, fetchmail."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import ROOT, request
from tests.servers import require
from tests.walk.site import ADA, Site, site

ACCAT = [sys.executable, "-m", "mailgate.client.accat"]

# Prints so many random bytes, from a seed; then waits, if it is told to.
SERVICE = """\
summary = "Random bytes, as many as are wanted"
command = ["python3", "-c", "import random, sys, time; n, nap = map(int, sys.argv[1:]); r = random.Random(7); sys.stdout.buffer.write(r.randbytes(n)); time.sleep(nap)", "{bytes}", "{nap}"]
[parameter.bytes]
type = "integer"
min = 0
default = 10
[parameter.nap]
type = "integer"
min = 0
default = 0
[output]
stdout = "bytes.bin"
[limits]
work = "1h"
keep = "14d"
[access]
allow = ["*@mg.test"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "gate", {"bytes": SERVICE}) as running:
        yield running


def asked(**headers: str) -> EmailMessage:
    text = "".join(f"{name}: {value}\n" for name, value in headers.items())
    mail = request("bytes", text, sender=ADA)
    mail.replace_header("To", "bytes@gate.mg.test")
    return mail


def is_result(mail: EmailMessage) -> bool:
    return mail["Mailgate-Exit"] is not None


def test_fetchmail_pipes_a_result_from_the_mailbox_into_accat(place: Site, tmp_path: Path) -> None:
    place.send(asked(bytes="50000"))
    place.await_letter(is_result)
    out = tmp_path / "out.bin"
    control = tmp_path / "fetchmailrc"
    control.write_text(
        f'poll 127.0.0.1 protocol imap port {place.boxes.imap} user "ada" password "secret"'
        f" sslproto '' fetchall mda \"{' '.join(ACCAT)} >> {out}\"\n"
    )
    control.chmod(0o600)
    done = subprocess.run(
        [require("fetchmail"), "-f", control, "--nosyslog", "-v"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "FETCHMAILHOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes() == expected(50000)


def expected(count: int) -> bytes:
    """What the service prints."""
    return random.Random(7).randbytes(count)
