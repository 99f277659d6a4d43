"""Replies among other mails: mbox files and Maildir folders."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.client.replies import (
    JOB,
    OTHER,
    Result,
    accat,
    environment,
    forwarded,
    mbox,
    ordinary,
    receipt,
    stderr,
    stdout,
    within,
)

BYTES = bytes(range(256)) * 40
RESULT = Result(outputs=(stdout(BYTES), stderr()))
SECOND = Result(outputs=(stdout(b"2"),), job=OTHER, code=2, phase="ERROR")


@pytest.fixture
def maildir(tmp_path: Path):
    def make(*mails: bytes) -> Path:
        folder = tmp_path / "Maildir"
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number, mail in enumerate(mails):
            flags = (":2,S", "")[number % 2]
            where = ("cur", "new")[number % 2]
            (folder / where / f"1700{number:06}.host{flags}").write_bytes(mail)
        return folder

    return make


def _saved(tmp_path: Path, mail: bytes) -> Path:
    path = tmp_path / "mbox"
    path.write_bytes(mail)
    return path


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_reply_is_found_in_an_mbox(tmp_path: Path, place: int, line_end: bytes) -> None:
    mails = [ordinary(1), ordinary(2)]
    mails.insert(place, bytes(RESULT))
    ran = within(_saved(tmp_path, mbox(*mails).replace(b"\n", line_end)))
    assert (ran.stdout, ran.stderr, ran.returncode) == (BYTES, b"", 0)


def test_an_mbox_may_come_through_a_pipe() -> None:
    ran = accat(stdin=mbox(ordinary(), bytes(RESULT), ordinary()))
    assert (ran.stdout, ran.returncode) == (BYTES, 0)


def test_an_mbox_of_several_jobs_wants_a_choice(tmp_path: Path) -> None:
    path = _saved(tmp_path, mbox(bytes(RESULT), ordinary(), bytes(SECOND), bytes(RESULT)))
    assert within(path).returncode == 64
    assert (within(path, "--job", OTHER).stdout, within(path, "--job", JOB).stdout) == (b"2", BYTES)


def test_a_maildir_of_several_jobs_wants_a_choice(maildir) -> None:
    folder = maildir(bytes(RESULT), ordinary(), bytes(SECOND), receipt())
    assert within(folder).returncode == 64
    ran = within(folder, "--job", OTHER)
    assert (ran.stdout, ran.returncode) == (b"2", 2)


def test_a_maildirs_hidden_files_and_other_folders_are_left_alone(maildir) -> None:
    folder = maildir(bytes(RESULT))
    (folder / "new" / ".hidden").write_bytes(bytes(SECOND))
    (folder / "tmp" / "half").write_bytes(bytes(SECOND))
    (folder / ".Sent" / "new").mkdir(parents=True)
    assert within(folder).stdout == BYTES


@pytest.mark.parametrize("part", ["new", "cur"])
def test_a_maildirs_new_or_cur_stands_for_itself(maildir, part: str) -> None:
    folder = maildir(bytes(SECOND), bytes(RESULT))
    ran = within(folder / part, "--no-status")
    assert (ran.stdout, ran.returncode) == ({"cur": b"2", "new": BYTES}[part], 0)


def test_another_folder_is_no_maildir(tmp_path: Path) -> None:
    ran = within(tmp_path)
    assert ran.returncode == 66
    assert ran.stderr.endswith(b"a folder without new and cur is no Maildir\n")


def test_a_mail_that_a_reader_has_just_removed_is_passed_over(maildir) -> None:
    folder = maildir(bytes(RESULT))
    (folder / "new" / "1700.gone").symlink_to(folder / "moved away")
    assert within(folder).stdout == BYTES


def test_mailboxes_files_and_folders_may_be_mixed(tmp_path: Path, maildir) -> None:
    folder = maildir(ordinary(), receipt())
    (tmp_path / "one.eml").write_bytes(ordinary())
    path = _saved(tmp_path, mbox(ordinary(), forwarded(bytes(RESULT))))
    assert within(folder, tmp_path / "one.eml", path).stdout == BYTES


def test_among_other_mails_a_receipt_alone_is_told(maildir) -> None:
    ran = within(maildir(ordinary(), receipt(), ordinary()))
    assert ran.returncode == 65
    assert ran.stderr.decode() == f"accat: job {JOB} has not ended: this mail is not its result\n"


def test_mails_without_any_reply_are_counted(tmp_path: Path, maildir) -> None:
    words = b"accat: none of the 3 mails is a reply of a gateway\n"
    mails = [ordinary(), forwarded(ordinary()), ordinary()]
    for path in (maildir(*mails), _saved(tmp_path, mbox(*mails))):
        ran = within(path)
        assert (ran.stdout, ran.stderr, ran.returncode) == (b"", words, 65)


@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n\r\n", b"This is an epilogue.\n"])
def test_mails_put_one_behind_the_other_are_all_seen(tmp_path: Path, between: bytes) -> None:
    path = _saved(tmp_path, between.join([bytes(RESULT), bytes(SECOND), receipt(), ordinary()]))
    assert within(path, "--list").stdout.count(b"  align  ") == 2
    assert within(path, "--job", JOB).stdout == BYTES
    assert within(path).returncode == 64
    assert within(path, "--job", OTHER).stdout == b"2"


def test_an_empty_mailbox_is_said_to_be_empty(tmp_path: Path, maildir) -> None:
    for path in (maildir(), _saved(tmp_path, b"")):
        assert within(path).stderr == b"accat: the input is empty: there is no mail in it\n"


@pytest.mark.parametrize(
    "line",
    [
        b"From the start, there was soup.",
        b"From 2026 on: nothing.",
        b"From bob@example.com",
        b"From: x",
    ],
)
def test_a_body_that_says_from_does_not_divide_an_mbox(tmp_path: Path, line: bytes) -> None:
    out = stdout(b"a\n\n" + line + b"\nb\n", encoding="8bit", media_type="text/plain")
    result = Result(outputs=(out, stderr(b"!"))).text
    path = _saved(tmp_path, b"From x Mon Nov 23 09:00:00 2026\n" + result + b"\n")
    assert within(path).stdout == out.content


@pytest.mark.parametrize(
    "postmark",
    [
        b"From jobs@gate.example.org Mon Nov 23 09:00:00 2026",
        b"From jobs@gate.example.org  Mon Nov 23 09:00:00 +0100 2026",
        b"From - Mon Nov 23 9:00 2026",
        b"From jobs@gate.example.org Mon, 23 Nov 2026 09:00:00 GMT 2026 remote from gate",
        b"From MAILER-DAEMON",
    ],
)
def test_postmarks_of_many_writers_divide(tmp_path: Path, postmark: bytes) -> None:
    mails = (bytes(RESULT), ordinary(), bytes(SECOND))
    written = b"".join(postmark + b"\n" + mail.replace(b"\r\n", b"\n") + b"\n" for mail in mails)
    ran = within(_saved(tmp_path, written), "--list")
    assert (ran.returncode, ran.stdout.count(b"  align  ")) == (0, 2)


def test_a_single_mail_is_not_divided(tmp_path: Path) -> None:
    content = b"a\n\nFrom x Mon Nov 23 09:00:00 2026\nSubject: y\n\nb\n"
    out = stdout(content, encoding="8bit", media_type="text/plain")
    path = _saved(tmp_path, Result(outputs=(out, stderr(b"!"))).text)
    assert within(path).stdout == content


def test_more_replies_than_files_may_be_open_are_read(maildir) -> None:
    folder = maildir(*(bytes(RESULT) for _ in range(60)))
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40));"
    script = limited + "from mailgate.client.accat import run; sys.exit(run(sys.argv[1:]))"
    ran = subprocess.run(
        [sys.executable, "-c", script, folder],
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == (BYTES, b"", 0)


def test_a_reply_among_10000_mails_is_found_in_a_moment(tmp_path: Path) -> None:
    mails = [ordinary(number) for number in range(9_500)]
    mails += [forwarded(ordinary(number)) for number in range(500)]
    path = _saved(tmp_path, mbox(*mails[:5000], bytes(RESULT), *mails[5000:]))
    started = time.process_time()
    assert within(path).stdout == BYTES
    assert time.process_time() - started < 10  # it takes 0.4 s


def test_what_cannot_be_read_in_a_maildir_is_named(maildir) -> None:
    folder = maildir(bytes(RESULT))
    (folder / "cur" / "folder").mkdir()
    ran = within(folder)
    assert (ran.stdout, ran.returncode) == (b"", 66)
    assert ran.stderr.endswith(b"cur/folder cannot be read: Is a directory\n")


def test_of_many_jobs_only_the_first_are_listed(tmp_path: Path) -> None:
    jobs = [bytes(Result(job=f"k{number:011}")) for number in range(30)]
    lines = within(_saved(tmp_path, mbox(*jobs))).stderr.decode().splitlines()
    assert lines[0].startswith(
        "accat: the mails hold 30 jobs: choose one by --job ID, or by --last"
    )
    assert (len(lines), lines[-1]) == (22, "  and 10 more")
