"""What a status answer shows of a job that runs: its last lines, whatever lies in its folder."""

import os
from pathlib import Path

from mailgate.commands import registry
from mailgate.model import JobId
from mailgate.phases import Phase
from mailgate.reply.live import LOOKED_AT, asked, runs, told, with_tail
from mailgate.reply.rows import Say
from mailgate.reply.templates import Templates
from mailgate.reply.told import shown_facts
from mailgate.run.jobdir import Folder
from mailgate.run.peek import printed

STATUS = registry.command("status").samples[0].facts
JOB = JobId("k7q2m5xzab3c")


def said(content: bytes) -> str:
    facts = shown_facts(with_tail(STATUS, {JOB: content}))
    assert isinstance(facts, dict)
    return Templates(None).said(Say(words="status", facts=facts))


def test_the_last_ten_lines_are_shown_and_that_there_are_more() -> None:
    shown = said(b"".join(b"round %d\n" % n for n in range(1, 99)))
    assert "The last lines of its standard output so far:\n      round 89\n" in shown
    assert "      round 98\n" in shown
    assert "round 88" not in shown


def test_a_line_that_is_cut_at_its_beginning_is_not_shown() -> None:
    shown = said((b"never seen " + b"x" * 100 + b"\nlast\n").rjust(LOOKED_AT, b"."))
    assert "so far:\n      last\n" in shown
    assert all(len(line) <= 72 for line in said(b"word " * 1000).splitlines())


def test_what_is_no_text_is_not_shown_and_silence_is_told() -> None:
    assert "It has printed nothing so far." in said(b"")
    assert "standard output" not in said(bytes(range(256)) * 9)


def test_only_a_job_that_runs_is_looked_at() -> None:
    facts = {**STATUS, "phase": Phase.QUEUED}
    assert runs(facts) == ()
    assert with_tail(facts, {JOB: b"1\n"}) == facts
    entries = ({"say": "unfit", "facts": {}}, {"say": "status", "facts": facts})
    assert told({"entries": entries}, {JOB: b"1\n"})["entries"] == entries
    assert [*asked({"entries": (*entries, {"say": "status", "facts": STATUS})})] == [JOB]


def test_of_a_job_of_which_nothing_is_known_nothing_is_said() -> None:
    assert with_tail(STATUS, {}) == STATUS


def test_nothing_but_a_file_of_the_jobs_own_is_read(tmp_path: Path) -> None:
    jobs, elsewhere = tmp_path / "jobs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stdout").write_bytes(b"another's")
    folder = Folder(jobs, JOB)
    assert printed(jobs, [JOB], 9) == {}
    folder.root.mkdir(parents=True)
    folder.out.symlink_to(elsewhere)
    assert printed(jobs, [JOB], 9) == {}
    folder.out.unlink()
    assert printed(jobs, [JOB], 9) == {JOB: b""}
    folder.out.mkdir()
    out = folder.out / "stdout"
    out.write_bytes(b"0123456789")
    assert printed(jobs, [JOB], 9) == {JOB: b"123456789"}
    out.unlink()
    out.symlink_to("/etc/passwd")
    assert printed(jobs, [JOB], 9) == {}
    out.unlink()
    os.mkfifo(out)
    assert printed(jobs, [JOB], 9) == {}
