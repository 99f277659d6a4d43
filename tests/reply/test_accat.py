"""What we write, the gateway's own client reads: every kept letter, and outputs of every kind."""

import subprocess
import sys
from pathlib import Path

import pytest

from mailgate.model import Exit, LetterKind, Reason
from tests.reply.golden import letters
from tests.reply.letters import DONE, err, out, result, stream

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LETTERS = letters()
RESULTS = [name for name, made in LETTERS.items() if made.draft.kind is LetterKind.RESULT]

STATUS = {
    Reason.WORK_LIMIT: 124,
    Reason.CANCELLED: 125,
    Reason.OUTSIDE: 125,
    Reason.LOST: 125,
    Reason.PREEMPTED: 125,
    Reason.NODE_FAILURE: 125,
    Reason.COULD_NOT_START: 126,
    Reason.MEMORY: 137,
}


def accat(letter, *words):
    return subprocess.run(
        [sys.executable, "-m", "mailgate.client.accat", *words],
        input=letter,
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    )


def status(end: Exit) -> int:
    if end.reason is Reason.EXIT:
        return end.code or 0
    return 128 + (end.signal or 0) if end.reason is Reason.SIGNAL else STATUS[end.reason]


@pytest.mark.parametrize("name", RESULTS)
def test_accat_reads_a_kept_result(name):
    made = LETTERS[name]
    listed = accat(made.composed(), "--list")
    assert listed.stderr == b""
    assert made.draft.job
    assert all(one.name in listed.stdout.decode() for one in made.draft.job.streams)


@pytest.mark.parametrize(
    "name",
    [x for x in RESULTS if not x.startswith(("result-brief", "result-head", "failed-start"))],
)
def test_accat_writes_the_output_and_ends_as_the_job_did(name):
    made = LETTERS[name]
    assert made.draft.job
    assert made.draft.job.exit
    done = accat(made.composed())
    assert done.stdout == made.contents["out/stdout"]
    assert done.returncode == status(made.draft.job.exit)


def test_accat_says_that_a_receipt_is_no_result():
    assert accat(LETTERS["receipt"].composed()).returncode == 65


def test_accat_gets_every_output_out_again(tmp_path):
    contents = {
        "x.bin": bytes(range(256)) * 999,
        "sub/x.bin": b"",
        "größe.txt": b"a\r\nb\n",
        'a "b".txt': b"1",
    }
    streams = [stream(name, content) for name, content in contents.items()]
    letter = result(DONE, out(b"1\n", "job.json"), err(b"2\n"), *streams).composed()
    for name, content in {**contents, "job.json": b"1\n", "stderr.txt": b"2\n"}.items():
        assert accat(letter, "--name", name).stdout == content
    assert accat(letter, "--extract", str(tmp_path / "all")).returncode == 0
    found = [path.read_bytes() for path in (tmp_path / "all").rglob("*") if path.is_file()]
    assert {*contents.values(), b"1\n", b"2\n"} <= set(found)
