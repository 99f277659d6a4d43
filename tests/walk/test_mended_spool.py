"""The spool beside a real gateway: who may read it, who may make it."""

import os
import smtplib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ECHO, Gateway, attached, eventually, request, running


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    old = os.umask(0o022)
    try:
        with running(tmp_path) as made:
            made.service("echo", ECHO)
            yield made
    finally:
        os.umask(old)


def readable(folder: Path) -> list[Path]:
    """What others could read or enter, were the way there open."""
    found = [folder, *folder.rglob("*")]
    return [p for p in found if not p.is_symlink() and stat.S_IMODE(p.stat().st_mode) & 0o077]


def test_nobody_else_reads_a_mail_though_the_folder_was_there(gateway: Gateway) -> None:
    gateway.spool.mkdir()
    gateway.spool.chmod(0o755)
    gateway.configure(sandbox="auto")
    gateway.start()
    gateway.send(request(attachments={"data.txt": b"mine\n" * 100_000}))
    (letter,) = gateway.await_results(1)
    assert attached(letter)["stdout.txt"] == b"mine\n" * 100_000
    eventually(lambda: not gateway.unsent(), 30, gateway.logged)
    assert readable(gateway.spool) == []
    assert readable(gateway.outgoing) == []
    assert f"path={gateway.spool} was=0755" in gateway.logged("shut")


@pytest.mark.parametrize(
    "words", [["jobs"], ["queue"], ["purge"], ["hold", "list"], ["backup", "copy"]]
)
def test_no_question_makes_a_spool(gateway: Gateway, words: list[str]) -> None:
    done = gateway.run(*words)
    assert done.returncode == 70
    assert b"'mailgate serve' makes a spool" in done.stderr
    assert not gateway.spool.exists()


def test_no_mail_is_taken_into_a_database_that_is_not_in_its_place(gateway: Gateway) -> None:
    gateway.start()
    file = gateway.spool / "spool.db"
    file.rename(gateway.folder / "away.db")
    eventually(lambda: f"file={file}" in gateway.logged("unseen"), 30, gateway.logged)
    assert "put that file back, or restart the gateway" in gateway.logged("unseen")
    with pytest.raises(smtplib.SMTPDataError) as refused:
        gateway.send(request(attachments={"data.txt": b"mine"}))
    assert refused.value.smtp_code == 451
    (gateway.folder / "away.db").rename(file)
    eventually(lambda: gateway.logged("resumed"), 30, gateway.logged)
    gateway.send(request(attachments={"data.txt": b"mine"}))
    gateway.await_results(1)


def test_a_mail_that_is_piped_in_makes_a_spool(gateway: Gateway) -> None:
    words = ("receive", "--sender", "ada@example.org", "--recipient", "echo@gate.example.org")
    assert gateway.run(*words, stdin=request().as_bytes()).returncode == 0
    assert gateway.run("jobs").returncode == 0


def test_a_backup_names_the_mail_that_it_could_not_read(gateway: Gateway) -> None:
    words = ("receive", "--sender", "ada@example.org", "--recipient", "echo@gate.example.org")
    mail = request(attachments={"data.txt": b"much\n" * 100_000}).as_bytes()
    assert gateway.run(*words, stdin=mail).returncode == 0
    (file,) = (gateway.spool / "mail").iterdir()
    file.unlink()
    done = gateway.run("backup", "copy")
    assert done.returncode == 74
    assert f"mailgate: {file} cannot be read: the copy is without it" in done.stderr.decode()
    assert gateway.run("backup", "copy").returncode == 73


def test_a_purge_goes_past_what_it_cannot_remove(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request(attachments={"data.txt": b"x"}))
    gateway.await_results(1)
    (gateway.spool / "mail" / "a folder").mkdir()
    os.utime(gateway.spool / "mail" / "a folder", (1, 1))
    done = gateway.run("purge")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"delayed what=clean" in done.stderr
