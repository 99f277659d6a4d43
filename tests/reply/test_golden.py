"""Letters stay, byte for byte, what somebody has read and been glad to get.

``MAILGATE_GOLDEN=write`` writes them anew; read the difference before it is committed.
"""

import io
import os
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from mailgate.desk import grammar
from mailgate.model import LetterKind, Reason
from mailgate.parse.commands import read_commands
from mailgate.parse.message import read_message
from tests.daemon import request
from tests.reply.golden import letters
from tests.reply.letters import read, text

FOLDER = Path(__file__).resolve().parent.parent / "data" / "replies"
LETTERS = letters()


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_is_what_it_was(name):
    path = FOLDER / f"{name}.eml"
    if os.environ.get("MAILGATE_GOLDEN") == "write":
        path.write_bytes(LETTERS[name].composed())
    assert LETTERS[name].composed() == path.read_bytes()


def test_no_letter_is_kept_that_nobody_writes():
    assert sorted(path.stem for path in FOLDER.glob("*.eml")) == sorted(LETTERS)


def test_every_kind_of_letter_and_every_reason_is_kept():
    drafts = [written.draft for written in LETTERS.values()]
    assert {draft.kind for draft in drafts} == set(LetterKind)
    assert {draft.job.exit.reason for draft in drafts if draft.job and draft.job.exit} == set(
        Reason
    )


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_is_in_order_for_every_program(name):
    raw = LETTERS[name].composed()
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert not any(line.startswith((b"From ", b".")) for line in raw.split(b"\r\n"))
    read(raw)


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_reads_well_in_72_columns(name):
    lines = text(read(LETTERS[name].composed())).split("\n")
    # A line that is longer holds one thing that must not be broken.
    assert [line for line in lines if len(line) > 72] == []
    assert not any(first == second == "" for first, second in pairwise(lines))


@pytest.mark.parametrize("name", ["confirm", "confirm-watcher"])
def test_a_letter_that_asks_does_not_confirm_where_it_is_quoted_with_no_mark(name):
    words = text(read(LETTERS[name].composed()))
    assert not [line for line in words.splitlines() if line.strip().lower() == "confirm"]


@pytest.mark.parametrize("name", LETTERS)
def test_what_a_letter_offers_is_not_done_where_it_is_quoted_with_no_mark(name):
    lines = text(read(LETTERS[name].composed())).splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("  ") or lines[number - 1].startswith("  ") or not number:
            continue
        offered = list(takewhile(str.strip, lines[number:]))
        if line.split()[0] not in grammar().names:
            continue
        mail = request("x", "\n".join([lines[number - 1], *offered]))
        script = read_commands(read_message(io.BytesIO(mail.as_bytes())), grammar())
        assert [one.name for one in script.lines if one.name] == [], lines[number - 1]


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_neither_apologises_nor_exclaims(name):
    words = text(read(LETTERS[name].composed())).lower()
    assert not any(word in words for word in ("!", "sorry", "please", "unfortunately", "thank"))
