"""Mails put one behind the other, with nothing between them: ``cat new/* | accat``."""

import resource
from pathlib import Path

import pytest

from tests.client.replies import (
    JOB,
    OTHER,
    Result,
    accat,
    forwarded,
    mbox,
    ordinary,
    receipt,
    stderr,
    stdout,
    within,
)

GOLDEN = Path(__file__).parents[1] / "data" / "replies"
TEXTS = sorted(path.stem for path in GOLDEN.glob("*.eml") if b"multipart/" not in path.read_bytes())
TRACE = (
    b"Return-Path: <>\r\nDelivered-To: ada@example.org\r\n"
    b"Received: from gate.example.org (gate [192.0.2.1])\r\n\tby mail.example.org; Mon, 23 Nov\r\n"
    b"DKIM-Signature: v=1; b=abc=\r\n def==\r\n"
)


def _result(job: str, minute: int, content: bytes, **how) -> bytes:
    ended = {"times": {"ended": f"2026-11-23T09:{minute:02}:00Z"}}
    return bytes(Result(job=job, outputs=(stdout(content),), document=ended, **how))


FIRST = _result(JOB, 1, b"first")
LAST = _result(OTHER, 2, b"last")


def _letter(name: str) -> bytes:
    return (GOLDEN / f"{name}.eml").read_bytes()


def _joined(tmp_path: Path, *mails: bytes) -> Path:
    path = tmp_path / "joined"
    path.write_bytes(b"".join(mails))
    return path


@pytest.mark.parametrize("trace", [b"", TRACE])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_letter_of_text_ends_where_the_next_one_begins(
    tmp_path: Path, text: str, line_end: bytes, trace: bytes
) -> None:
    mails = [trace + each for each in (_letter(text), FIRST, _letter(text), LAST, _letter(text))]
    path = _joined(
        tmp_path, *(mail.replace(b"\r\n", b"\n").replace(b"\n", line_end) for mail in mails)
    )
    assert (within(path, "--job", JOB).stdout, within(path, "--last").stdout) == (b"first", b"last")


def test_the_last_of_joined_mails_is_found_through_a_pipe() -> None:
    ran = accat("--last", stdin=FIRST + _letter("receipt") + LAST)
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"last", b"", 0)


def test_the_same_mails_are_found_in_an_mbox_and_in_a_maildir(tmp_path: Path) -> None:
    mails = [FIRST, _letter("receipt"), _letter("unclear"), LAST]
    for folder in ("new", "cur"):
        (tmp_path / folder).mkdir()
    for number, mail in enumerate(mails):
        (tmp_path / "new" / str(number)).write_bytes(mail)
    assert within(tmp_path, "--last").stdout == b"last"
    assert within(_joined(tmp_path, mbox(*mails)), "--last").stdout == b"last"


def test_results_are_found_behind_other_peoples_mails(tmp_path: Path) -> None:
    mails = (ordinary(), FIRST, forwarded(ordinary()), ordinary(), receipt(), forwarded(LAST))
    path = _joined(tmp_path, *mails)
    assert within(path, "--list").stdout.count(b"  align  ") == 2
    assert within(path, "--last").stdout == b"last"


def test_a_result_is_found_behind_one_that_was_cut_off(tmp_path: Path) -> None:
    cut = FIRST[: FIRST.rindex(b"\r\n--")] + b"\r\n"
    path = _joined(tmp_path, cut, _letter("started"), _result(OTHER, 2, b"last", boundary="=_b"))
    assert (within(path, "--job", JOB).stdout, within(path, "--last").stdout) == (b"first", b"last")


def test_text_that_looks_like_fields_stays_with_the_letter_before(tmp_path: Path) -> None:
    text = b"Note: soup\nSubject: x\nContent-Type: text/plain\nMailgate-Job: x\n"
    path = _joined(tmp_path, receipt(), b"\n", text, TRACE, LAST)
    assert within(path).stdout == b"last"


def _quoted(mail: bytes, how: str) -> bytes:
    lines = mail.replace(b"\r\n", b"\n").splitlines()
    if how == "soft":  # one long line of the job's, broken by quoted-printable
        over = lines.index(b"")
        return b"  =\n" + b"=\n".join(lines[:over]) + b"\n\n" + b"\n".join(lines[over:]) + b"\n"
    return b"".join(how.encode() + line + b"\n" for line in lines)


@pytest.mark.parametrize("how", ["  ", "> ", "\t", "soft"])
def test_a_letter_that_a_letter_quotes_is_text(tmp_path: Path, how: str) -> None:
    quoted = _quoted(LAST, how)
    path = _joined(tmp_path, receipt(), b"\n", quoted, FIRST)
    ran = within(path)
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"first", b"", 0)


@pytest.mark.parametrize(
    "field", [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"X-Loop"]
)
def test_a_header_that_lacks_a_letters_field_begins_none(tmp_path: Path, field: bytes) -> None:
    without = LAST.replace(b"\r\n" + field + b":", b"\r\nX-Other:")
    without = without.replace(b"From:", b"X-Other:", 1) if field == b"From" else without
    assert within(_joined(tmp_path, receipt(), without)).returncode == 65


@pytest.mark.parametrize("shift", range(0, 700, 23))
def test_a_letter_is_found_wherever_a_long_mail_is_read_in_blocks(
    tmp_path: Path, shift: int
) -> None:
    before = receipt()
    line = b"From what I hear, soup: X-Loop:.\n"
    for edge in (256 * 1024, 448 * 1024):
        count, rest = divmod(edge - shift - len(before), len(line))
        path = _joined(tmp_path, before, line * count, b"." * max(0, rest - 1), b"\n", LAST)
        assert within(path).stdout == b"last"


def test_what_looks_like_letters_costs_time_that_grows_with_it(tmp_path: Path) -> None:
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for trap in (b"X-Loop: a\n", b"X-Loop: a\n\n", b"a:\n \n", b" \t" * 50 + b"\n"):
        path = _joined(tmp_path, receipt(), b"\nX-Loop: a\n" + trap * (500_000 // len(trap)), LAST)
        ran = within(path)
        assert ran.stdout == b"last"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - started < 5


def test_two_letters_of_text_tell_that_the_job_has_not_ended(tmp_path: Path) -> None:
    ran = within(_joined(tmp_path, receipt(), receipt(OTHER)), "--job", OTHER)
    assert (ran.returncode, OTHER.encode() in ran.stderr) == (65, True)


def test_a_result_with_its_stderr_in_plain_text_is_not_divided(tmp_path: Path) -> None:
    inner = stderr(LAST.replace(b"\r\n", b"\n"), encoding="8bit", media_type="text/plain")
    path = _joined(tmp_path, Result(outputs=(stdout(b"first"), inner)).text.replace(b"7f3a", b"0"))
    assert within(path).stdout == b"first"
