"""A person at a terminal: neomutt reads the mailbox over IMAP and replies over SMTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import eventually, text_of
from tests.servers import require
from tests.walk.site import ADA, Site, site
from tests.walk.terminal import Terminal, terminal
from tests.walk.test_conversation import SERVICE, accat, expected


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "gate", {"bytes": SERVICE}) as running:
        yield running


@contextmanager
def neomutt(place: Site, folder: Path) -> Iterator[Terminal]:
    """Open Ada's mailbox; her editor writes above the quoted text what ``folder/words`` says."""
    edit = folder / "edit"
    edit.write_text(
        f'#!/bin/sh\ncat {folder}/words "$1" >"$1.new" && cat "$1.new" >"$1"\nrm "$1.new"\n'
    )
    edit.chmod(0o755)
    account = f"127.0.0.1:{place.boxes.imap}"
    rc = folder / "neomuttrc"
    rc.write_text(
        f'set spoolfile="imap://ada@{account}/INBOX" folder="imap://ada@{account}/"\n'
        "set imap_user=ada imap_pass=secret ssl_starttls=no ssl_force_tls=no\n"
        f'set smtp_url="smtp://127.0.0.1:{place.post.port}/" from="{ADA}" realname=Ada\n'
        f'set editor="{edit}" record="" header_cache="" message_cachedir="" tmpdir="{folder}"\n'
        "set autoedit=yes include=yes fast_reply=yes quit=yes wait_key=no move=no mail_check=1\n"
        "set abort_unmodified=no reply_to=yes use_envelope_from=yes timeout=1 confirmappend=no\n"
        "set sort=date-received\n"
    )
    program = require("neomutt")
    with terminal(folder, program, "-n", "-F", rc, HOME=str(folder)) as window:
        yield window


def test_a_job_is_talked_about_from_neomutt_from_its_request_to_its_results(
    place: Site, tmp_path: Path
) -> None:
    with neomutt(place, tmp_path) as window:
        _ask(window, tmp_path, "bytes@gate.mg.test", "bytes: 200000\nnap: 600\nnotify: receipt\n")
        receipt = place.await_letter(lambda came: came["Mailgate-Job"] is not None)
        job = receipt["Mailgate-Job"]
        window.shows(f"[job {job}]")
        _reply(window, tmp_path, "status\nextend 7d\n")
        answer = place.await_letter(lambda came: came["Subject"] == f"[job {job}] 2 done")
        assert "EXECUTING" in text_of(answer)
        window.shows("2 done")
        _reply(window, tmp_path, "cancel\nplease\n")
        place.await_letter(lambda came: came["Subject"] == f"[job {job}] 1 done, 1 error")
        place.await_letter(lambda came: came["Mailgate-Exit"] == "cancelled")
        window.shows("cancelled")
        _reply(window, tmp_path, "rerun\nnap: 0\nreply: parts=64KiB\n")
        parts = place.await_letters(
            4, lambda came: came["Mailgate-Exit"] == "0" and came["Mailgate-Job"] != job
        )
        window.type("q")
        window.ended()
    mailbox = place.boxes.folder / "mail/ada"
    assert accat("--job", parts[0]["Mailgate-Job"], mailbox)[:2] == (0, expected(200000))


def _ask(window: Terminal, folder: Path, to: str, words: str) -> None:
    """Write a new mail."""
    (folder / "words").write_text(words)
    window.shows("NeoMutt")
    window.type("m")
    window.shows("To:")
    window.type(to, "Enter")
    window.shows("Subject:")
    window.type("please", "Enter")
    _send(window)


def _reply(window: Terminal, folder: Path, words: str) -> None:
    """Reply to the mail under the cursor, the newest."""
    (folder / "words").write_text(f"{words}\n")
    window.type("End", "r")
    _send(window)


def _send(window: Terminal) -> None:
    window.shows("y:Send")
    window.type("y")
    eventually(lambda: "y:Send" not in window.screen(), 30, window.screen)
