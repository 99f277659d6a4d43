"""A person talks with the gateway through real servers: Postfix, Dovecot, fetchmail."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import ROOT, attached, request, text_of
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


def accat(*words: str | Path) -> tuple[int, bytes, str]:
    """Run accat as a person does: its status, output and words."""
    done = subprocess.run([*ACCAT, *words], cwd=ROOT, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_person_talks_with_a_job_from_its_request_to_its_results(
    place: Site, tmp_path: Path
) -> None:
    place.send(asked(bytes="300000", nap="600", notify="receipt", label="first"))
    receipt = place.await_letter(lambda mail: mail["Mailgate-Phase"] is not None)
    job = receipt["Mailgate-Job"]

    status = place.talk(receipt, "status", "extend 7d")
    assert status["Subject"] == f"[job {job}] 2 done"
    assert "EXECUTING" in text_of(status) or "QUEUED" in text_of(status)

    stopped = place.talk(status, "cancel", "make me a tea")
    assert stopped["Subject"] == f"[job {job}] 1 done, 1 error"
    ended = place.await_letter(is_result)
    assert (ended["Mailgate-Job"], ended["Mailgate-Exit"]) == (job, "cancelled")

    place.talk(ended, "rerun", "nap: 0", "reply: parts=64KiB")
    parts = place.await_letters(5, lambda mail: is_result(mail) and mail["Mailgate-Job"] != job)
    again = parts[0]["Mailgate-Job"]
    status, out, told = accat("--job", again, place.boxes.folder / "mail/ada")
    assert (status, out) == (0, expected(300000)), told

    place.talk(parts[0], "results as attachments")
    whole = place.await_letter(lambda mail: mail["Mailgate-Job"] == again and is_whole(mail))
    (tmp_path / "whole.eml").write_bytes(whole.as_bytes())
    assert accat(tmp_path / "whole.eml")[:2] == (0, expected(300000))


def is_whole(mail: EmailMessage) -> bool:
    return attached(mail).get("bytes.bin") == expected(300000)


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
