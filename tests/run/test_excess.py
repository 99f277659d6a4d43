"""What a job wrote is destroyed only where that makes room."""

from pathlib import Path

from mailgate.model import Plan
from mailgate.run import jobdir
from mailgate.run.excess import clear, was_cleared
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
