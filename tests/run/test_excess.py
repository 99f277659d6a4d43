"""What a job wrote is destroyed only where that makes room."""

from pathlib import Path

from mailgate.model import Plan, Stream, StreamRole
from mailgate.run import jobdir
from mailgate.run.excess import clear, doubts, was_cleared
from mailgate.run.jobdir import Folder
from tests.run.yard import handle


def ended(top: Path) -> Folder:
    job = handle(top / "jobs", Plan(argv=("true",)))
    jobdir.prepare(job.folder, job.plan, ())
    for place in (job.folder.work, job.folder.named, job.folder.out):
        (place / "file").touch()
    return job.folder


def test_what_lies_on_the_full_disk_is_cleared_but_standard_output(tmp_path: Path) -> None:
    folder = ended(tmp_path)
    full = tmp_path / "spool.db"
    full.touch()
    assert clear(folder, full=full)
    assert was_cleared(folder)
    assert (folder.out / "file").exists()


def test_what_lies_on_another_disk_than_the_full_one_is_kept(tmp_path: Path) -> None:
    folder = ended(tmp_path)
    assert not clear(folder, full=Path("/proc/version"))
    assert (folder.work / "file").exists()
    assert (folder.named / "file").exists()


def stream(name: str, size: int) -> Stream:
    return Stream(role=StreamRole.FILE, name=name, path=f"work/{name}", size=size, sha256="0" * 64)


def test_an_output_as_long_as_a_file_may_be_is_told_as_perhaps_cut_off() -> None:
    plan = Plan(argv=("true",), disk=5 << 20)
    said = doubts([stream("whole", (5 << 20) - 1), stream("cut", 5 << 20)], plan, full=False)
    assert [str(one) for one in said] == [
        "cut: perhaps its end, for no file may be longer than 5 MiB"
    ]
    assert doubts([stream("cut", 5 << 20)], Plan(argv=("true",)), full=False) == []


def test_outputs_written_while_the_disk_was_full_are_told_as_perhaps_cut_off() -> None:
    (said,) = doubts([stream("short", 10)], Plan(argv=("true",)), full=True)
    assert "the disk was full while it ran" in str(said)
