"""What a status answer shows of a job that runs: its last lines, whatever lies in its folder."""

import os
from pathlib import Path

import pytest

from mailgate.commands import registry
from mailgate.model import JobId
from mailgate.phases import Phase
from mailgate.reply.live import LOOKED_AT, told, with_tail
from mailgate.reply.rows import Say
from mailgate.reply.templates import Templates
from mailgate.reply.told import shown_facts
from mailgate.run.jobdir import Folder
from mailgate.run.peek import printed

STATUS = registry.command("status").samples[0].facts


def said(content: bytes) -> str:
    facts = shown_facts(with_tail(STATUS, lambda *_: content))
    assert isinstance(facts, dict)
    return Templates(None).said(Say(words="status", facts=facts))


def test_the_last_ten_lines_are_shown_and_that_there_are_more() -> None:
    shown = said(b"".join(b"round %d\n" % n for n in range(1, 99)))
    assert "The last lines of its standard output so far:\n      round 89\n" in shown
    assert "      round 98\n" in shown
    assert "round 88" not in shown


def test_a_line_that_is_cut_at_its_beginning_is_not_shown() -> None:
    shown = said((b"never seen " + b"x" * 100 + b"\nlast\n").rjust(LOOKED_AT + 1, b"."))
    assert "so far:\n      last\n" in shown
    assert all(len(line) <= 72 for line in said(b"word " * 1000).splitlines())


def test_what_is_no_text_is_not_shown_and_silence_is_told() -> None:
    assert "It has printed nothing so far." in said(b"")
    assert "standard output" not in said(bytes(range(256)) * 9)


def test_only_a_job_that_runs_is_looked_at() -> None:
    facts = {**STATUS, "phase": Phase.QUEUED}
    assert with_tail(facts, lambda *_: pytest.fail("it does not run")) == facts
    entries = ({"say": "unfit", "facts": {}}, {"say": "status", "facts": facts})
    assert told({"entries": entries}, lambda *_: b"")["entries"] == entries


def test_nothing_but_a_file_of_the_jobs_own_is_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path, JobId("k7q2m5xzab3c"))
    assert printed(folder, 9) == b""
    folder.out.mkdir(parents=True)
    out = folder.out / "stdout"
    out.write_bytes(b"0123456789")
    assert printed(folder, 9) == b"123456789"
    out.unlink()
    out.symlink_to("/etc/passwd")
    assert printed(folder, 9) == b""
    out.unlink()
    os.mkfifo(out)
    assert printed(folder, 9) == b""
