"""The job folder tells the truth, whatever a crash or a command left in it."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailgate.errors import Permanent, Transient
from mailgate.model import Exit, Plan, Progress, Reason, Staged
from mailgate.run import jobdir
from mailgate.run.files import remove_tree
from mailgate.run.jobdir import lay_out, look, prepare, progress
from mailgate.run.script import write_attempt
from mailgate.run.sight import Ended, Gone, NotStarted, Running
from mailgate.saying import Saying
from tests.conftest import CHECKOUT, NOT_FOUND
from tests.run.yard import PATH, Handle, Yard, handle

RECORD = "status 7\n\nstdout 5\nstderr 0\nend\n"


def attempt(jobs: Path, *, record: str | bytes | None = None) -> Handle:
    """Lay out an attempt that a script has claimed, and that left this record."""
    job = handle(jobs, Plan(argv=("true",)))
    prepare(job.folder, job.plan, ())
    write_attempt(job.folder, job.start, path=PATH, sandbox=())
    (job.run / "claim").write_text("pid 1\nend\n")
    if record is not None:
        written = record.encode() if isinstance(record, str) else record
        blank = (job.run / "exit").read_bytes()
        (job.run / "exit").write_bytes(written + blank[len(written) :])
    return job


def staged(content: bytes, *, path: Path | None = None, name: str = "sequences") -> Staged:
    """Stage an input, small or big."""
    return Staged(
        name=name,
        file=f"{name}.fa",
        filename="../../my sequences\n.fa",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        body=content if path is None else None,
        path=None if path is None else str(path),
    )


# --- how it ended ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "end"),
    [
        ("status 0\nend\n", Exit(reason=Reason.EXIT, code=0)),
        ("status 128\nend\n", Exit(reason=Reason.EXIT, code=128)),
        ("status 129\nend\n", Exit(reason=Reason.SIGNAL, signal=1, words=Saying("ends/exit-status", status=129))),
        ("status 192\nend\n", Exit(reason=Reason.SIGNAL, signal=64, words=Saying("ends/exit-status", status=192))),
        ("status 160\nend\n", Exit(reason=Reason.EXIT, code=160)),  # there is no signal 32
        ("status 255\nend\n", Exit(reason=Reason.EXIT, code=255)),
        ("status 143\nwhy limit\nend\n", Exit(reason=Reason.WORK_LIMIT)),
        ("why asked TERM\nend\n", Exit(reason=Reason.CANCELLED, words=Saying("ends/by-signal", name="TERM"))),
        (
            "why could-not-start not-found clustalo\nend\n",
            Exit(
                reason=Reason.COULD_NOT_START,
                words=Saying("ends/not-found", program="clustalo"),
            ),
        ),
        ("why could-not-start no-input\nend\n", Exit(reason=Reason.COULD_NOT_START, words=Saying("ends/no-input"))),
    ],
)  # fmt: skip
def test_each_record_means_one_end(tmp_path: Path, record: str, end: Exit) -> None:
    seen = look(attempt(tmp_path, record=record).folder, 1, alive=False)
    assert isinstance(seen, Ended)
    assert seen.exit == end


def test_a_record_cut_anywhere_is_no_end(tmp_path: Path) -> None:
    for length in range(len(RECORD) - 1):
        job = attempt(tmp_path, record=RECORD[:length])
        assert isinstance(look(job.folder, 1, alive=False), Gone)
        assert isinstance(look(job.folder, 1, alive=True), Running)
    assert isinstance(look(attempt(tmp_path, record=RECORD).folder, 1, alive=True), Ended)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_no_rubbish_is_an_end_without_a_word_for_it(tmp_path: Path, rubbish: bytes) -> None:
    job = attempt(tmp_path, record=rubbish)
    seen = look(job.folder, 1, alive=False)
    assert isinstance(seen, Gone) or b"end" in rubbish


@pytest.mark.parametrize(
    "record",
    [
        "end\n",
        "\nend\n",
        "status\nend\n",
        "status x\nend\n",
        "status 1234\nend\n",
        "status 256\nend\n",
        "status -1\nend\n",
    ],
)
def test_a_complete_record_that_says_nothing_is_no_end(tmp_path: Path, record: str) -> None:
    assert isinstance(look(attempt(tmp_path, record=record).folder, 1, alive=False), Gone)


def test_a_record_that_comes_late_counts(tmp_path: Path) -> None:
    job = attempt(tmp_path)
    assert isinstance(look(job.folder, 1, alive=False), Gone)
    (job.run / "exit").write_text(RECORD)
    assert isinstance(look(job.folder, 1, alive=False), Ended)


@pytest.mark.parametrize("name", ["exit", "claim"])
def test_a_link_or_a_pipe_is_no_record(tmp_path: Path, name: str) -> None:
    for make in (lambda p: p.symlink_to("/etc/passwd"), os.mkfifo):
        job = attempt(tmp_path, record=RECORD)
        (job.run / name).unlink()
        make(job.run / name)
        assert isinstance(look(job.folder, 1, alive=False), Gone | NotStarted)


def test_no_attempt_ends_before_it_started_though_the_clock_was_stepped_back(
    tmp_path: Path,
) -> None:
    job = attempt(tmp_path, record=RECORD)
    os.utime(job.run / "exit", (0, 0))
    seen = look(job.folder, 1, alive=False)
    assert isinstance(seen, Ended)
    assert seen.ended == seen.started > datetime.now(UTC) - timedelta(minutes=5)


def test_the_sizes_of_both_outputs_are_recorded(tmp_path: Path) -> None:
    assert jobdir.output_sizes(attempt(tmp_path, record=RECORD).folder, 1) == (5, 0)
    said_nothing = attempt(tmp_path, record="status 0\nstdout -\nstderr -\nend\n")
    assert jobdir.output_sizes(said_nothing.folder, 1) == (None, None)


async def test_the_recorded_sizes_are_the_true_ones(yard: Yard) -> None:
    for shell, sizes in (
        ("true", (0, 0)),
        ("printf 12345; printf 123 >&2", (5, 3)),
        ("printf 1 >&2", (0, 1)),
    ):
        job, _ = await yard.ran("sh", "-c", shell)
        assert jobdir.output_sizes(job.folder, 1) == sizes


async def test_outputs_that_are_no_files_any_more_do_not_hold_up_the_end(bare: Yard) -> None:
    swap = (
        "cd ../out; echo words; rm stdout stderr; mkfifo stdout; ln -s /dev/zero stderr; exit 127"
    )
    job, end = await bare.ran("sh", "-c", swap)
    assert end == Exit(reason=Reason.EXIT, code=127)
    assert jobdir.output_sizes(job.folder, 1) == (None, None)


# --- before the start -----------------------------------------------------------------------------


def test_inputs_are_read_only_copies_under_our_names(tmp_path: Path) -> None:
    job = handle(tmp_path / "jobs", Plan(argv=("true",), stdin="sequences.fa"))
    prepare(job.folder, job.plan, [staged(b">a\nACGT\n")])
    copy = job.folder.inputs / "sequences.fa"
    assert copy.read_bytes() == b">a\nACGT\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    manifest = json.loads((job.folder.inputs / "manifest.json").read_bytes())
    assert manifest["sequences.fa"]["filename"] == "../../my sequences\n.fa"
    assert manifest["sequences.fa"]["stdin"] is True


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    job = handle(tmp_path / "jobs", Plan(argv=("true",)))
    prepare(job.folder, job.plan, ())
    for place in (job.folder.root, job.folder.root.parent, job.folder.work, tmp_path / "jobs"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_big_input_is_moved_and_once_is_enough(tmp_path: Path) -> None:
    job = handle(tmp_path / "jobs", Plan(argv=("true",)))
    big = tmp_path / "big"
    big.write_bytes(b"x" * 100_000)
    inode = big.stat().st_ino
    for _ in range(2):
        prepare(job.folder, job.plan, [staged(b"x" * 100_000, path=big)])
    assert not big.exists()
    assert (job.folder.inputs / "sequences.fa").stat().st_ino == inode


def test_a_big_input_on_another_disk_is_copied(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    job = handle(tmp_path / "jobs", Plan(argv=("true",)))
    big = memory / job.folder.job
    big.write_bytes(b"x" * 100_000)
    prepare(job.folder, job.plan, [staged(b"x" * 100_000, path=big)])
    assert not big.exists()
    copy = job.folder.inputs / "sequences.fa"
    assert copy.read_bytes() == b"x" * 100_000
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400


@pytest.mark.parametrize("left", [b"", b"AC", b"GGGG"])
def test_what_a_crash_or_a_command_left_of_an_input_is_replaced(
    tmp_path: Path, left: bytes
) -> None:
    job = handle(tmp_path / "jobs", Plan(argv=("true",)))
    job.folder.inputs.mkdir(parents=True)
    (job.folder.inputs / "sequences.fa").write_bytes(left)
    (job.folder.inputs / ".sequences.fa.part").write_bytes(left)
    prepare(job.folder, job.plan, [staged(b"ACGT")])
    assert (job.folder.inputs / "sequences.fa").read_bytes() == b"ACGT"


def test_an_input_that_is_gone_or_changed_is_named(tmp_path: Path) -> None:
    job = handle(tmp_path / "jobs", Plan(argv=("true",)))
    gone = staged(b"ACGT", path=tmp_path / "nowhere")
    with pytest.raises(Permanent, match='"sequences" has gone missing'):
        prepare(job.folder, job.plan, [gone])
    (job.folder.inputs / "sequences.fa").write_bytes(b"AC")
    with pytest.raises(Permanent, match='"sequences" has been changed'):
        prepare(job.folder, job.plan, [gone])


async def test_an_input_may_be_the_standard_input(yard: Yard) -> None:
    job, end = await yard.ran(
        "sh", "-c", "cat; ls $MAILGATE_INPUTS", stdin="sequences.fa", staged=[staged(b"ACGT\n")]
    )
    assert end.code == 0
    assert job.stdout == "ACGT\nmanifest.json\nsequences.fa\n"


async def test_a_second_attempt_finds_nothing_of_the_first(yard: Yard) -> None:
    mess = "echo 1; echo 2 >&2; mkdir -p a/b/c; ln -s / l; touch x; echo x >$MAILGATE_OUTPUTS/y; chmod 000 a; exit 3"
    job, _ = await yard.ran("sh", "-c", mess)
    again = handle(yard.jobs, Plan(argv=("sh", "-c", "ls -A; ls -A $MAILGATE_OUTPUTS")), number=2)
    again = Handle(folder=job.folder, plan=again.plan, attempt=again.attempt, start=again.start)
    lay_out(again.folder, again.start, ())
    await yard.engine.submit(again.folder, again.start)
    assert (await yard.end(again)).code == 0
    assert again.stdout == ""
    # The first attempt's own record stays.
    first = look(job.folder, 1, alive=False)
    assert isinstance(first, Ended)
    assert first.exit.code == 3


def test_writing_an_attempt_again_changes_nothing_that_it_said(tmp_path: Path) -> None:
    job = attempt(tmp_path, record=RECORD)
    (job.folder.work / "kept").touch()
    write_attempt(job.folder, job.start, path=PATH, sandbox=())
    assert isinstance(look(job.folder, 1, alive=False), Ended)
    assert (job.folder.work / "kept").exists()


# --- a full disk ----------------------------------------------------------------------------------

FULL = """
import sys
from pathlib import Path
from mailgate.errors import NoSpace
from mailgate.run.jobdir import look, prepare
from mailgate.run.script import write_attempt
from tests.run.test_jobdir import handle, staged
from mailgate.model import Plan
import subprocess
small = Path("/mnt")
fill = "dd if=/dev/zero of=fill bs=1k 2>/dev/null; exit 3"
job = handle(small / "jobs", Plan(argv=("sh", "-c", fill)))
prepare(job.folder, job.plan, ())
write_attempt(job.folder, job.start, path="/usr/bin:/bin", sandbox=())
subprocess.run(["sh", str(job.run / "script")], check=True)
print(look(job.folder, 1, alive=False).exit.code)
for act in (
    lambda: prepare(job.folder, job.plan, [staged(b"x" * 9000)]),
    lambda: write_attempt(handle(small / "jobs", job.plan).folder, job.start, path="", sandbox=()),
):
    try:
        act()
    except NoSpace as error:
        print(error.smtp_code, error)
"""


def test_a_full_disk_is_told_and_loses_no_exit_code() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip(f"{NOT_FOUND}bwrap")
    small = ["bwrap", "--dev-bind", "/", "/", "--size", "262144", "--tmpfs", "/mnt"]
    ran = subprocess.run(
        [*small, sys.executable, "-c", FULL],
        check=False,
        capture_output=True,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": ":".join([str(CHECKOUT), *sys.path])},
        timeout=60,
    )
    assert ran.stdout.decode().splitlines() == [
        "3",
        "452 The disk of the job folders is full.",
        "452 The disk of the job folders is full.",
    ], ran.stderr.decode()


def test_a_folder_that_cannot_be_made_is_for_later(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file")
    job = handle(tmp_path / "jobs", Plan(argv=("true",)))
    with pytest.raises(Transient):
        prepare(job.folder, job.plan, ())
    with pytest.raises(Transient):
        jobdir.claim(job.folder, 1)


# --- progress -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("62", Progress(percent=62)),
        ("62\n", Progress(percent=62)),
        ("62%\n", Progress(percent=62)),
        ("0.5 % of round 31\n", Progress(percent=0.5, words="of round 31")),
        ("100 done", Progress(percent=100, words="done")),
        ("10 first\n20 second\n", Progress(percent=20, words="second")),
        ("62\nround 31 of 50\n", Progress(percent=62)),
        ("30\n140\n", Progress(percent=30)),
        ("9 evil\x1b[31m\u202ename", Progress(percent=9, words="evil\\x1b[31m\\u202ename")),
        ("9 " + "x" * 500, Progress(percent=9, words="x" * 200)),
        ("7 ok\n" + "y" * 1100, None),
        ("z" * 3000 + "\n8 tail\n", Progress(percent=8, words="tail")),
        ("", None),
        ("half", None),
        ("-1", None),
        ("101", None),
        ("1e1", None),
        ("12abc", None),
        ("\0\0\0", None),
        ("٣", None),
    ],
)
def test_progress_is_a_number_and_words_or_nothing(
    tmp_path: Path, written: str, read: Progress | None
) -> None:
    job = attempt(tmp_path)
    (job.run / "progress").write_text(written)
    assert progress(job.folder, 1) == read


def test_progress_is_never_read_from_a_link_or_a_pipe(tmp_path: Path) -> None:
    job = attempt(tmp_path)
    said = job.run / "progress"
    (tmp_path / "secret").write_text("42 secret")
    said.unlink(missing_ok=True)
    assert progress(job.folder, 1) is None
    said.symlink_to(tmp_path / "secret")
    assert progress(job.folder, 1) is None
    said.unlink()
    os.mkfifo(said)
    assert progress(job.folder, 1) is None


async def test_a_running_job_says_how_far_it_is(yard: Yard) -> None:
    job, _ = await yard.ran("sh", "-c", 'echo "40 halfway" >"$MAILGATE_PROGRESS"')
    assert progress(job.folder, 1) == Progress(percent=40, words="halfway")


# --- the end of the folder ------------------------------------------------------------------------


def test_a_folder_goes_whatever_is_in_it(tmp_path: Path) -> None:
    job = attempt(tmp_path / "jobs")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (job.folder.work / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(job.folder.work / "pipe")
    deep = job.folder.work
    (deep / "locked").mkdir(mode=0o000)
    opened = os.open(deep, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 200, dir_fd=opened)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=opened)
        os.close(opened)
        opened = below
    os.close(opened)
    for _ in range(2):
        remove_tree(job.folder.root)
        assert not job.folder.root.exists()
    assert (tmp_path / "outside" / "kept").exists()
