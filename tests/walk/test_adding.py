"""A file makes a command: in mail and on the command line, with its help, as docs/adding.md says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailgate import share
from tests.daemon import ADA, ADDRESS, TRUE, Gateway, eventually, request, running, text_of

COMMAND = '''\
"""Wave to the job.

It does not wave back.
"""

from mailgate.commands.call import Call
from mailgate.model import Answer
from mailgate.spool.database import Tx

usage = ("wave", "wave HOW")


def execute(tx: Tx, call: Call) -> Answer:
    """Wave."""
    return Answer(kind="wave", facts={"job": call.job.id, "how": " ".join(call.words)})


samples = (Answer(kind="wave", facts={"job": "k7q2m5xzab3c", "how": ""}),)
'''
WORDS = "Waved to {{ job }}{% if how %}, {{ how }}{% endif %}.\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway out of a copy of the package that has one command more."""
    copy = tmp_path / "copy"
    for name in ("mailgate", "templates", "etc"):
        shutil.copytree(share.path() / name, copy / name)
    (copy / "mailgate" / "commands" / "wave.py").write_text(COMMAND)
    (copy / "templates" / "say" / "wave.txt.j2").write_text(WORDS)
    with running(tmp_path / "gate") as made:
        made.environment["PYTHONPATH"] = str(copy)
        made.service("true", TRUE)
        made.start()
        yield made


def test_a_file_adds_a_command_to_mail_and_to_the_command_line(gateway: Gateway) -> None:
    gateway.send(request("true"))
    (result,) = gateway.await_results(1)
    job = str(result["Mailgate-Job"])
    mail = request("x", f"wave {job} twice\nhelp wave\nwvae {job}\n", attachments={"new.fa": b">x"})
    mail.replace_header("To", ADDRESS)
    gateway.send(mail)
    answer = eventually(
        lambda: [x for x in gateway.letters(ADA) if x["In-Reply-To"] == mail["Message-ID"]],
        30,
        gateway.logged,
    )[0]
    words = text_of(answer)
    assert answer["Subject"] == f"[job {job}] 2 done, 1 error"
    assert f"Waved to {job}, twice." in words
    assert "wave HOW" in words
    assert "as no command takes an attachment:\n  new.fa, 2 bytes" in words
    assert "It does not wave back." in words
    assert f'Did you mean "wave {job}"?' in " ".join(words.split())
    assert gateway.run("wave", job, "twice").stdout.decode() == f"Waved to {job}, twice.\n"
