"""The script: any word of any mail reaches the command as it is, under any shell and scheduler."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailgate.errors import Permanent
from mailgate.model import Exit, Plan, Reason
from mailgate.run import jobdir, script
from mailgate.run.jobdir import prepare
from mailgate.run.script import default_signals, write_attempt
from mailgate.run.sight import Ended
from mailgate.saying import Saying
from tests.run.yard import PATH, Handle, Yard, by_signal, handle, under, until

PYTHON = str(Path(sys.executable).resolve())
SHELLS = [name for name in ("dash", "bash", "busybox", "ksh", "mksh", "yash") if shutil.which(name)]

NASTY = (
    "", " ", "-rf", "--", "'", "''", '"', "\\", "a\nb", "\n", "\t", "$(touch pwned)", "`touch pwned`",
    "; touch pwned", "| touch pwned", "&", "&& touch pwned", "> pwned", "*", "~", "$HOME", "${PATH}",
    "!!", "#", "a'b\"c\\d", "'; touch pwned; '", "\x01\x07\x1b[31m\x7f", "é ü 漢字 🧬", "../../../etc/passwd",
    "A=b", "x" * 100_000,
)  # fmt: skip


def run(job: Handle, *, path: str = PATH, **more: object) -> None:
    """Run a job's script to its end, as a scheduler would."""
    prepare(job.folder, job.plan, ())
    write_attempt(job.folder, job.start, path=path, sandbox=(), **more)
    subprocess.run(["sh", str(job.run / "script")], check=True, timeout=60, cwd="/")


def passed_on(jobs: Path, words: Sequence[str]) -> list[bytes]:
    """Say which words a command was given."""
    job = handle(jobs, Plan(argv=("printf", r"%s\0", *words)))
    run(job)
    return (job.folder.out / "stdout").read_bytes().split(b"\0")[:-1]


def test_nasty_words_reach_the_command_as_they_are(tmp_path: Path) -> None:
    assert passed_on(tmp_path, NASTY) == [os.fsencode(word) for word in NASTY]
    assert not list(tmp_path.rglob("pwned"))


def test_every_byte_reaches_the_command_as_it_is(tmp_path: Path) -> None:
    # Some shells use bytes over 0x7F for their own marks.
    words = [os.fsdecode(bytes([byte])) for byte in range(1, 256)]
    words += ["".join(words), *(os.fsdecode(b"'\xc3" + bytes([b]) + b"'") for b in range(128, 192))]
    assert passed_on(tmp_path, words) == [os.fsencode(word) for word in words]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
def test_any_words_reach_the_command_as_they_are(tmp_path: Path, words: list[str]) -> None:
    assert passed_on(tmp_path, words) == [word.encode() for word in words]


@pytest.mark.parametrize("word", ["a\0b", "x" * (32 * 4096)])
def test_a_word_that_no_program_can_be_given_is_refused(word: str) -> None:
    with pytest.raises(Permanent, match="A word of the command"):
        script.render({}, [word])


def test_the_longest_word_that_a_program_can_be_given_is_given(tmp_path: Path) -> None:
    word = "x" * (32 * 4096 - 1)
    assert passed_on(tmp_path, [word]) == [word.encode()]


def written(job: Handle, *, bell: str = "") -> None:
    """Have all there that the script needs, as any engine does."""
    prepare(job.folder, job.plan, ())
    write_attempt(
        job.folder,
        job.start,
        path=PATH,
        sandbox=(),
        kill_after=timedelta(seconds=1),
        default_signals=default_signals(),
        bell=bell,
    )


ENDS = pytest.mark.parametrize(
    ("argv", "limit", "end"),
    [
        (("true",), 60, Exit(reason=Reason.EXIT, code=0)),
        (("sh", "-c", "echo words; exit 7"), None, Exit(reason=Reason.EXIT, code=7)),
        (("sh", "-c", "kill -9 $$"), 60, by_signal(9)),
        (("sh", "-c", "kill -INT $$"), 60, by_signal(2)),
        (("sh", "-c", "trap '' TERM; sleep 600"), 1, Exit(reason=Reason.WORK_LIMIT)),
    ],
    ids=["success", "failure", "killed", "interrupted", "over-the-limit"],
)


@ENDS
@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_the_same_under_any_shell(
    tmp_path: Path, shell: str, argv: tuple[str, ...], limit: int | None, end: Exit
) -> None:
    span = None if limit is None else timedelta(seconds=limit)
    job = handle(tmp_path, Plan(argv=argv), limit=span)
    written(job)
    words = [shell, "sh"] if shell == "busybox" else [shell]
    # Not the leader of its group, without a lock: as under a scheduler.
    subprocess.run([*words, str(job.run / "script")], check=True, timeout=60)
    seen = jobdir.look(job.folder, 1, alive=False)
    assert isinstance(seen, Ended)
    assert seen.exit == end
    until(lambda: under(job.attempt.token) == [], "something runs on")


@ENDS
def test_at_pbs_a_command_has_a_group_of_its_own_in_the_session_of_the_job(
    tmp_path: Path, argv: tuple[str, ...], limit: int | None, end: Exit
) -> None:
    place = "import os; print(os.getpgrp(), os.getsid(0), flush=True); os.execvp(os.sys.argv[1], os.sys.argv[1:])"
    span = None if limit is None else timedelta(seconds=limit)
    job = handle(tmp_path, Plan(argv=(PYTHON, "-c", place, *argv)), limit=span)
    bell = tmp_path / "bell"
    bell.mkdir()
    written(job, bell=str(bell))
    words, at_pbs = ["sh", str(job.run / "script")], os.environ | {"PBS_ENVIRONMENT": "PBS_BATCH"}
    with subprocess.Popen(words, env=at_pbs, start_new_session=True) as script_:
        assert script_.wait(60) == 0
    seen = jobdir.look(job.folder, 1, alive=False)
    assert isinstance(seen, Ended)
    assert seen.exit == end
    group, session = map(int, job.stdout.split()[:2])
    assert session == script_.pid != group
    assert under(job.attempt.token) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_on_a_cluster_the_script_ends_what_the_command_left_and_nothing_else(
    tmp_path: Path, shell: str
) -> None:
    leaves = "setsid sh -c 'trap \"\" TERM; sleep 600 & sleep 600' & echo left"
    job = handle(tmp_path, Plan(argv=("sh", "-c", leaves)))
    prepare(job.folder, job.plan, ())
    bell = tmp_path / "bell"
    bell.mkdir()
    write_attempt(job.folder, job.start, path=PATH, sandbox=(), bell=str(bell))
    token = job.attempt.token
    # Another attempt's, and some that merely know of the token.
    strange = (
        f"MAILGATE_TOKEN={token}x",
        f"NOTE=MAILGATE_TOKEN={token}",
        f"MAILGATE_TOKEN2={token}",
    )
    others = [
        subprocess.Popen(["env", "-i", word, "/bin/sleep", "600"], start_new_session=True)
        for word in strange
    ]
    try:
        words = [shell, "sh"] if shell == "busybox" else [shell]
        subprocess.run([*words, str(job.run / "script")], check=True, timeout=60)
        assert under(token) == []
        assert [one.poll() for one in others] == [None, None, None]
    finally:
        for one in others:
            one.kill()
            one.wait()
    assert jobdir.look(job.folder, 1, alive=False).exit == Exit(reason=Reason.EXIT, code=0)
    assert job.stdout == "left\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_read_without_complaint(shell: str) -> None:
    words = [shell, "sh"] if shell == "busybox" else [shell]
    body = Path(script.__file__).with_name("script.sh")
    read = subprocess.run([*words, "-n", str(body)], check=False, capture_output=True)
    assert (read.returncode, read.stderr) == (0, b"")


def test_a_script_in_a_group_of_others_leaves_them_alone(tmp_path: Path) -> None:
    job = handle(tmp_path, Plan(argv=("true",)), limit=timedelta(seconds=600))
    prepare(job.folder, job.plan, ())
    write_attempt(job.folder, job.start, path=PATH, sandbox=())
    both = 'sleep 600 & other=$!; sh "$1"; kill -0 $other && echo alive; kill -9 $other'
    ran = subprocess.run(
        ["sh", "-c", both, "sh", str(job.run / "script")],
        check=False,
        capture_output=True,
        start_new_session=True,
        timeout=60,
    )
    assert ran.stdout == b"alive\n"
    assert isinstance(jobdir.look(job.folder, 1, alive=False), Ended)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "XCPU", "USR2"])
def test_a_schedulers_warning_ends_the_command_and_is_recorded(tmp_path: Path, name: str) -> None:
    tidy = "trap 'echo tidied; exit 0' TERM; echo on; while :; do sleep 0.02; done"
    job = handle(tmp_path, Plan(argv=("sh", "-c", tidy)))
    prepare(job.folder, job.plan, ())
    write_attempt(job.folder, job.start, path=PATH, sandbox=())
    # Whoever runs the tests in the background has them ignore INT; a scheduler's script ignores none.
    words = ["env", "--default-signal=INT,QUIT,HUP", "sh", str(job.run / "script")]
    with subprocess.Popen(words) as running:
        until(lambda: job.stdout, "the command never began")
        subprocess.run(["kill", "-s", name, str(running.pid)], check=True)
    seen = jobdir.look(job.folder, 1, alive=False)
    assert isinstance(seen, Ended)
    assert seen.exit == Exit(reason=Reason.CANCELLED, words=Saying("ends/by-signal", name=name))
    assert job.stdout == "on\ntidied\n"


def test_a_machine_without_a_free_process_is_recorded_and_no_loss(anybodys: Path) -> None:
    job = handle(anybodys, Plan(argv=("true",)))
    prepare(job.folder, job.plan, ())
    write_attempt(job.folder, job.start, path=PATH, sandbox=())
    words = ["prlimit", "--nproc=1", "sh", str(job.run / "script")]
    more: dict[str, object] = {}
    if os.geteuid() == 0:
        # No limit holds for root; some user that has no other process.
        someone = 54_321
        more = {"user": someone, "group": someone, "extra_groups": []}
        _give(anybodys, someone)
    subprocess.run(words, check=False, capture_output=True, timeout=60, **more)
    seen = jobdir.look(job.folder, 1, alive=False)
    assert isinstance(seen, Ended)
    assert seen.exit.reason is Reason.COULD_NOT_START
    assert "no further process" in str(seen.exit.words)


def _give(top: Path, user: int) -> None:
    for path in [top, *top.rglob("*")]:
        os.chown(path, user, user)


# --- what the command finds -----------------------------------------------------------------------


async def test_the_environment_is_minimal(yard: Yard) -> None:
    job, _ = await yard.ran("env")
    said = dict(line.split("=", 1) for line in job.stdout.splitlines())
    assert said.pop("PWD", str(job.folder.work)) == str(job.folder.work)  # bwrap's --chdir sets it
    assert said == {
        "MAILGATE_TOKEN": job.attempt.token,
        "MAILGATE_JOB": job.folder.job,
        "MAILGATE_INPUTS": str(job.folder.inputs),
        "MAILGATE_OUTPUTS": str(job.folder.named),
        "MAILGATE_PROGRESS": str(job.run / "progress"),
        "MAILGATE_CORES": "1",
        "PATH": PATH,
        "HOME": str(job.folder.work),
        "LANG": "C.UTF-8",
    }


async def test_the_command_is_told_what_it_may_use_of_the_machine(yard: Yard) -> None:
    job, _ = await yard.ran("env", cores=8, memory=1 << 30)
    assert {"MAILGATE_CORES=8", "MAILGATE_MEMORY=1073741824"} <= set(job.stdout.splitlines())


async def test_the_command_works_in_its_own_folder_with_empty_input(yard: Yard) -> None:
    job, end = await yard.ran("sh", "-c", "pwd; wc -c; umask; ulimit -c")
    assert end.code == 0
    assert job.stdout.split() == [str(job.folder.work), "0", "0077", "0"]


async def test_the_command_holds_no_file_of_ours(yard: Yard) -> None:
    # Neither the lock nor the sandbox's account; what pytest's own parent leaked is above.
    job, _ = await yard.ran("sh", "-c", "ls /proc/self/fd")
    assert not {"8", "9"} & set(job.stdout.split())


async def test_signals_mean_to_the_command_what_they_mean_anywhere(yard: Yard) -> None:
    if not default_signals():
        pytest.skip("env(1) here cannot give INT and QUIT back")
    program = (
        "import signal as s; print([n for n in s.valid_signals() if s.getsignal(n) is s.SIG_IGN])"
    )
    job, _ = await yard.ran("python3", "-Ic", f"{program}")
    # Python itself ignores these two.
    assert job.stdout == "[<Signals.SIGPIPE: 13>, <Signals.SIGXFSZ: 25>]\n", job.stderr


async def test_the_command_leads_a_session_of_its_own(bare: Yard) -> None:
    job, _ = await bare.ran(
        "sh", "-c", "read -r pid _ _ _ group session _ </proc/$$/stat; echo $pid $group $session"
    )
    pid, group, session = job.stdout.split()
    assert pid == group == session


@pytest.mark.parametrize(
    "trick",
    [
        "set -m; sleep 0.01 & wait",
        "trap '' HUP INT QUIT; set +m",
        "exec 9>&- 8>&-",
        "umask 000; cd /",
    ],
)
async def test_what_a_command_does_to_its_own_shell_does_not_matter(yard: Yard, trick: str) -> None:
    _, end = await yard.ran("sh", "-c", f"{trick}; exit 5", limit=60)
    assert end == Exit(reason=Reason.EXIT, code=5)
