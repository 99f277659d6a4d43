"""What a copy of a spool lacks, and says that it lacks."""

import stat
from pathlib import Path

import pytest

from mailgate.errors import Permanent
from mailgate.model import AttemptState, JobId, LetterState, NativeId, Staged
from mailgate.spool import attempts, letters, mail
from mailgate.spool.backup import LeftOut, backup
from mailgate.spool.database import Connection
from mailgate.spool.store import Folder, direct
from tests.spool.conftest import SITE
from tests.spool.made import a_job, accepted, ended

WHOLE = LeftOut(missing=(), of_jobs=0)


def copied(spool: Connection, folder: Folder, target: Path) -> LeftOut:
    return backup(spool, folder, folder.root / "jobs", target)


def test_a_copy_in_a_folder_that_was_there_is_for_us_alone(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy").chmod(0o755)
    assert copied(spool, folder, tmp_path / "copy") == WHOLE
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700


def test_no_copy_is_made_within_what_is_copied(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (tmp_path / "link").symlink_to(jobs)
    for target in (folder.root / "copy", folder.root, jobs / "a" / "b", tmp_path / "link" / "copy"):
        with pytest.raises(Permanent, match="which is copied: name a folder elsewhere"):
            backup(spool, folder, jobs, target)
    assert list(jobs.iterdir()) == []
    assert not (folder.root / "copy").exists()


def test_a_mail_that_cannot_be_read_is_named_but_not_one_that_went(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, accepted(body=None, file="gone"))
        mail.accept(tx, accepted(body=None, file="swept", errands=[]))
    left_out = copied(spool, folder, tmp_path / "copy")
    assert left_out == LeftOut(missing=(folder.mail / "gone",), of_jobs=0)


@pytest.mark.parametrize("moved", [False, True], ids=["lost", "in the job's folder"])
def test_an_input_that_is_nowhere_is_named(
    spool: Connection, folder: Folder, tmp_path: Path, moved: bool
) -> None:
    staged = Staged(
        name="data", file="data.txt", filename="d", size=1, sha256="0", body=None, path="1-a-0"
    )
    job = a_job(spool, staged=(staged,))
    if moved:
        place = folder.root / "jobs" / job[:2] / job / "in"
        place.mkdir(parents=True)
        (place / "data.txt").write_text("x")
    missing = () if moved else (folder.staged / "1-a-0",)
    assert copied(spool, folder, tmp_path / "copy").missing == missing


def test_an_attempt_that_had_not_begun_was_never_submitted_as_far_as_the_copy_knows(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.submitted(tx, attempt, NativeId("7"))
    assert copied(spool, folder, tmp_path / "copy") == WHOLE
    with direct(Folder(tmp_path / "copy"), SITE) as copy:
        # Else a start would look for its folder, find none, and take it for one that wiped itself.
        assert [found.state for found in attempts.open_attempts(copy.view)] == [
            AttemptState.INTENDED
        ]


def a_letter(spool: Connection, folder: Folder, content: bytes) -> int:
    """A composed letter whose row says 9 bytes."""
    job: JobId = a_job(spool)
    ended(spool, job)
    (plan,) = letters.planned(spool.view, besides=(), limit=9)
    (folder.letters / f"{plan.id}.eml").write_bytes(content)
    with spool.transaction() as tx:
        letters.composed(tx, plan.id, size=9, body=None, file=f"{plan.id}.eml")
    return plan.id


@pytest.mark.parametrize("held", [False, True], ids=["waiting", "held"])
@pytest.mark.parametrize("content", [b"123456789", b"1234"], ids=["as it was", "made shorter"])
def test_a_letter_whose_bytes_are_others_by_now_is_composed_again(
    spool: Connection, folder: Folder, tmp_path: Path, held: bool, content: bytes
) -> None:
    letter = a_letter(spool, folder, content)
    if held:
        with spool.transaction() as tx:
            letters.set_aside(tx, letter, "no")
    copied(spool, folder, tmp_path / "copy")
    as_it_was = LetterState.HELD if held else LetterState.WAITING
    with direct(Folder(tmp_path / "copy"), SITE) as copy:
        (found,) = letters.queue(copy.view)
        assert found.state is (as_it_was if len(content) == 9 else LetterState.PLANNED)


def test_a_held_letter_whose_file_went_is_composed_again(
    spool: Connection, folder: Folder, tmp_path: Path
) -> None:
    letter = a_letter(spool, folder, b"123456789")
    with spool.transaction() as tx:
        letters.set_aside(tx, letter, "no")
    (folder.letters / f"{letter}.eml").unlink()
    assert copied(spool, folder, tmp_path / "copy") == WHOLE
    with direct(Folder(tmp_path / "copy"), SITE) as copy:
        (found,) = letters.queue(copy.view)
        assert found.state is LetterState.PLANNED
