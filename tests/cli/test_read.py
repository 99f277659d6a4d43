import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailgate.cli.read import run

MAILS = Path(__file__).resolve().parents[1] / "data" / "mails"
KEYS = "file message_id from to subject date text attachments automatic defects error".split()


@pytest.fixture
def shown(capfdbinary):
    """Run the command and give its objects, its exit status first."""

    def show(*words: object) -> tuple[int, list[dict]]:
        status = run([str(word) for word in words])
        out = capfdbinary.readouterr().out
        assert out.endswith(b"\n")
        return status, [json.loads(line) for line in out.decode("utf-8").splitlines()]

    return show


def test_a_request_is_shown_as_the_gateway_reads_it(shown):
    status, [mail] = shown("--json", MAILS / "request.eml")
    assert status == 0
    assert list(mail) == KEYS
    sequences = b">HBA\nVLSPADK\n>HBB\nVHLTPEE\n"
    assert mail == {
        "file": str(MAILS / "request.eml"),
        "message_id": "<1@lab.example.org>",
        "from": "Ann@lab.example.org",
        "to": ["align@gate.example.org"],
        "subject": "globins, zweiter Versuch – ok",
        "date": "2024-03-12T08:20:00Z",
        "text": "tree: upgma\nlabel: globins, second try",
        "attachments": [
            {
                "name": "globins.fa",
                "media_type": "text/x-fasta",
                "size": len(sequences),
                "sha256": hashlib.sha256(sequences).hexdigest(),
            }
        ],
        "automatic": None,
        "defects": [],
        "error": None,
    }


def test_files_are_shown_in_order_with_options_anywhere(shown):
    one, two = MAILS / "request.eml", MAILS / "vacation.eml"
    for words in (("--json", two, one), (two, "--json", one), (two, one, "--json")):
        status, mails = shown(*words)
        assert status == 0
        assert [Path(mail["file"]).name for mail in mails] == ["vacation.eml", "request.eml"]


def test_an_automatic_mail_says_why(shown):
    _, [mail] = shown("--json", MAILS / "vacation.eml")
    assert mail["automatic"] == "Auto-Submitted: auto-replied"


def test_a_reply_is_shown_without_what_it_answers(shown):
    _, [mail] = shown("--json", MAILS / "reply.eml")
    assert mail["text"] == "tree: sl"


def test_damage_is_a_defect_and_no_error(shown):
    _, [mail] = shown("--json", MAILS / "damaged.eml")
    assert mail["error"] is None
    assert mail["text"] == "caf\ufffd"
    assert 'the text has bytes that are not "utf-8"' in mail["defects"]
    assert "the last boundary of a multipart is missing" in mail["defects"]


def test_what_cannot_be_read_has_its_reason_and_stops_nothing(shown, tmp_path):
    too_much = tmp_path / "headers.eml"
    too_much.write_bytes(b"a: b\n" * 2000)
    status, mails = shown("--json", tmp_path / "none", tmp_path, too_much, MAILS / "request.eml")
    assert status == 0
    assert [mail["error"] for mail in mails] == [
        "No such file or directory",
        "Is a directory",
        "A header of the mail has more than 1000 fields.",
        None,
    ]
    assert all(list(mail) == KEYS for mail in mails)
    assert mails[0] | {"file": "", "error": ""} == {
        "file": "", "message_id": None, "from": None, "to": [], "subject": None, "date": None,
        "text": "", "attachments": [], "automatic": None, "defects": [], "error": "",
    }  # fmt: skip


def test_two_senders_are_none(shown, tmp_path):
    path = tmp_path / "two.eml"
    path.write_bytes(b"From: a@b.c, d@e.f\n\nx\n")
    _, [mail] = shown("--json", path)
    assert mail["from"] is None
    assert mail["defects"] == ["From names 2 addresses"]


def test_no_line_is_broken_and_no_surrogate_comes_out(tmp_path, capfdbinary):
    path = tmp_path / os.fsdecode(b"caf\xe9.eml")
    path.write_bytes("Subject: a\u2028b\x85c\x0bd\n\nx\u2029y\x1cz\n".encode() + b"+2AA-")
    assert run(["--json", str(path)]) == 0
    out = capfdbinary.readouterr().out.decode("utf-8")
    assert len(out.splitlines()) == 1
    mail = json.loads(out)
    assert mail["file"].endswith("caf\ufffd.eml")
    assert mail["subject"] == "a\u2028b\x85c\x0bd"


def test_a_pipe_can_be_read(shown):
    read_end, write_end = os.pipe()
    os.write(write_end, b"From: a@b.c\n\nhello\n")
    os.close(write_end)
    try:
        _, [mail] = shown("--json", f"/dev/fd/{read_end}")
    finally:
        os.close(read_end)
    assert mail["text"] == "hello"


def test_a_leading_mbox_line_is_skipped(shown, tmp_path):
    path = tmp_path / "mbox"
    path.write_bytes(b"From a@b.c Mon Jan  1 00:00:00 2024\nFrom: a@b.c\n\nhello\n")
    _, [mail] = shown("--json", path)
    assert (mail["from"], mail["text"], mail["defects"]) == ("a@b.c", "hello", [])


def test_nothing_is_shown_without_being_told_how(capsys):
    for words in ([], ["--json"], ["x.eml"]):
        with pytest.raises(SystemExit) as stopped:
            run(words)
        assert stopped.value.code == 64
    assert "mailgate read" in capsys.readouterr().err


def test_the_whole_command_writes_utf_8_whatever_the_locale():
    done = subprocess.run(
        [sys.executable, "-m", "mailgate.cli.main", "read", "--json", MAILS / "request.eml"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii",
             "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "–" in json.loads(done.stdout.decode("utf-8"))["subject"]
