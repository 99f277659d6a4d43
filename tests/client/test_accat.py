"""What a person asks of accat, and the status it answers with."""

import subprocess
from pathlib import Path

import pytest

from mailgate import __version__
from mailgate.client import errors
from mailgate.client.options import USAGE
from tests.client.replies import (
    JOB,
    OTHER,
    ROOT,
    Output,
    Result,
    accat,
    command,
    environment,
    receipt,
    stderr,
    stdout,
    within,
)

KEPT = "kept at the gateway until 5 December 2026, 14:00 UTC"
FASTA = b">HBA_HUMAN\n-VLSPADKTNVKAAW\n"
BYTES = bytes(range(256)) * 40 + b"\r\n\n\r"


@pytest.fixture
def saved(tmp_path: Path):
    """Save a mail under a name of its own; return its path."""

    def save(mail: Result | bytes) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.eml"
        path.write_bytes(bytes(mail))
        return path

    return save


@pytest.mark.parametrize("content", [FASTA, BYTES, b"", b"\n", b"no end", b"x" * 300_000])
def test_standard_output_comes_out_byte_for_byte(saved, content: bytes) -> None:
    ran = accat(saved(Result(outputs=(stdout(content), stderr(b"warned\n")))))
    assert (ran.stdout, ran.stderr, ran.returncode) == (content, b"", 0)


@pytest.mark.parametrize("argv", [(), ("-",)])
def test_the_mail_may_come_on_standard_input(argv: tuple[str, ...]) -> None:
    ran = accat(*argv, stdin=bytes(Result(outputs=(stdout(BYTES),))))
    assert (ran.stdout, ran.returncode) == (BYTES, 0)


def test_standard_input_is_read_from_where_it_stands(saved) -> None:
    path = saved(b"skip me\n" + bytes(Result(outputs=(stdout(FASTA),))))
    script = 'read line; exec "$@"'
    with path.open("rb") as mail:
        ran = subprocess.run(
            ["bash", "-c", script, "sh", *command()],
            stdin=mail,
            capture_output=True,
            check=False,
            env=environment(),
        )
    assert (ran.stdout, ran.returncode) == (FASTA, 0)


def test_a_shell_pipe_takes_the_output_on(saved) -> None:
    path = saved(Result(outputs=(stdout(BYTES),)))
    accat_ = " ".join(command())
    ran = subprocess.run(
        ["sh", "-c", f"cat '{path}' | {accat_} | wc -c"],
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert int(ran.stdout) == len(BYTES)


# --- the exit status ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "phase", "code", "signal", "status"),
    [
        ("exit", "COMPLETED", 0, None, 0),
        ("exit", "ERROR", 3, None, 3),
        ("exit", "ERROR", 255, None, 255),
        ("signal", "ERROR", None, 11, 139),
        ("memory", "ERROR", None, 9, 137),
        ("memory", "ERROR", None, None, 137),
        ("work-limit", "ABORTED", None, 15, 124),
        ("cancelled", "ABORTED", None, 15, 125),
        ("cancelled-outside", "ABORTED", None, None, 125),
        ("lost", "ABORTED", None, None, 125),
        ("preempted", "ABORTED", None, None, 125),
        ("node-failure", "ERROR", None, None, 125),
        ("could-not-start", "ERROR", None, None, 126),
    ],
)
def test_the_status_tells_how_the_job_ended(
    saved, reason: str, phase: str, code: int | None, signal: int | None, status: int
) -> None:
    result = Result(outputs=(stdout(FASTA),), reason=reason, phase=phase, code=code, signal=signal)
    path = saved(result)
    ran = within(path)
    assert (ran.stdout, ran.stderr, ran.returncode) == (FASTA, b"", status)
    assert within("--no-status", path).returncode == 0
    assert within("--list", path).returncode == status


@pytest.mark.parametrize(
    ("reason", "code", "signal", "words"),
    [
        ("exit", 256, None, '"code" is no number from 0 to 255'),
        ("exit", -1, None, '"code" is no number from 0 to 255'),
        ("exit", "x", None, '"code" is no number from 0 to 255'),
        ("exit", True, None, '"code" is no number from 0 to 255'),
        ("exit", None, None, 'it lacks "code"'),
        ("signal", None, 0, '"signal" is no number from 1 to 127'),
        ("signal", None, 10**9, '"signal" is no number from 1 to 127'),
        ("signal", None, None, 'it lacks "signal"'),
    ],
)
def test_a_status_that_no_process_can_have_is_damage(
    saved, reason: str, code: object, signal: int | None, words: str
) -> None:
    result = Result(outputs=(stdout(FASTA),), reason=reason, code=code, signal=signal)
    ran = within(saved(result))
    assert (ran.stdout, ran.returncode) == (b"", 65)
    assert ran.stderr.decode() == f"accat: job.json is damaged: {words}\n"


def test_a_job_json_that_cannot_be_decoded_is_not_called_cut_off(saved) -> None:
    whole = bytes(Result(outputs=(stdout(FASTA),)))
    start = whole.index(b"\r\n\r\n", whole.index(b'filename="job.json"')) + 4
    end = whole.index(b"--=_mailgate", start)
    ran = within(saved(whole[:start] + b"?!" * 40 + b"\r\n" + whole[end:]))
    assert (ran.stdout, ran.returncode) == (b"", 65)
    assert ran.stderr.decode() == f"accat: job.json of job {JOB} is damaged: it cannot be read\n"


def test_of_two_results_that_differ_the_newer_alone_is_taken_and_told(saved) -> None:
    old = saved(Result(outputs=(stdout(b"old"), stderr(b"x"))))
    later = bytes(Result(outputs=(stdout(b"newer"), stderr(b"x")), code=3, phase="ERROR"))
    new = saved(later.replace(b"09:00:00 +0000", b"10:00:00 +0000"))
    told = (
        f"accat: the mails hold results of job {JOB} that differ in alignment.fasta:"
        " the newest is taken, of Mon, 23 Nov 2026 10:00:00 +0000\n"
    )
    for paths in ([old, new], [new, old]):
        ran = within(*paths)
        assert (ran.stdout, ran.stderr.decode(), ran.returncode) == (b"newer", told, 3)
        listed = within("--list", *paths)
        assert listed.stdout.count(b"alignment.fasta") == listed.stdout.count(b"stderr.txt") == 1
        assert b"5 bytes" in listed.stdout
        assert (listed.stderr.decode(), listed.returncode) == (told, 3)


def test_a_job_that_wrote_nothing_gives_its_status_and_says_why(saved) -> None:
    ran = within(saved(Result(phase="ERROR", reason="could-not-start", code=None)))
    assert (ran.stdout, ran.returncode) == (b"", 126)
    assert ran.stderr == f"accat: job {JOB} wrote nothing: could-not-start\n".encode()


def test_what_is_damaged_is_told_even_without_status(saved) -> None:
    path = saved(Result(outputs=(stdout(FASTA, sent=FASTA.lower()),)))
    assert within("--no-status", path).returncode == 65


# --- other streams --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guide.nwk", "--name=guide.nwk"])
def test_another_stream_is_had_by_its_name(saved, name: str) -> None:
    words = [name] if name.startswith("--") else ["--name", name]
    tree = Output(name="guide.nwk", content=b"(a,b);")
    path = saved(Result(outputs=(stdout(FASTA), stderr(b"!"), tree), code=1, phase="ERROR"))
    ran = within(path, *words)
    assert (ran.stdout, ran.returncode) == (b"(a,b);", 1)


def test_standard_error_is_had_by_its_name_or_its_role(saved) -> None:
    path = saved(Result(outputs=(stdout(FASTA), stderr(b"warned\n"))))
    assert within("--name", "stderr.txt", path).stdout == b"warned\n"
    assert within("--name", "stderr", path).stdout == b"warned\n"


def test_a_name_that_no_stream_has_is_answered_with_the_names_there_are(saved) -> None:
    ran = within("--name", "tree", saved(Result(outputs=(stdout(FASTA), stderr()))))
    assert (ran.stdout, ran.returncode) == (b"", 65)
    words = f"accat: job {JOB} has no stream tree; it has alignment.fasta, stderr.txt\n"
    assert ran.stderr == words.encode()


def test_a_stream_kept_at_the_gateway_is_told_with_its_size_and_time(saved) -> None:
    ran = within(saved(Result(outputs=(stdout(b"x" * 3000, attached=False), stderr(b"!")))))
    assert (ran.stdout, ran.returncode) == (b"", 65)
    assert ran.stderr == (
        b"accat: alignment.fasta (2.9 KiB) is not in the mail: it is kept at the gateway until "
        b"5 December 2026, 14:00 UTC\n"
    )


def test_the_list_shows_every_stream_and_how_the_job_ended(saved) -> None:
    big = Output(name="big.bin", content=b"x" * 5000, attached=False)
    result = Result(
        outputs=(stdout(FASTA), stderr(), big),
        code=3,
        phase="ERROR",
        left_out=("link.nwk: a symbolic link",),
    )
    assert within("--list", saved(result)).stdout.decode().splitlines() == [
        f'{JOB}  align  ERROR  exit 3  23 November 2026, 09:00 UTC  "globins, second try"',
        "  alignment.fasta    27 bytes  stdout  attached",
        "  stderr.txt          0 bytes  stderr  attached",
        "  big.bin          5000 bytes  file    " + KEPT,
        "  left out: link.nwk: a symbolic link",
    ]


# --- several mails --------------------------------------------------------------------------------


def test_results_of_several_jobs_want_a_choice_and_are_listed(saved) -> None:
    paths = [saved(Result(outputs=(stdout(b"1"),))), saved(Result(outputs=(), job=OTHER))]
    ran = within(*paths)
    assert (ran.stdout, ran.returncode) == (b"", 64)
    lines = ran.stderr.decode().splitlines()
    way = "choose one by --job ID, or by --last the first of these"
    assert lines[0] == f"accat: the mails hold 2 jobs: {way}"
    how = 'align  COMPLETED  exit 0  23 November 2026, 09:00 UTC  "globins, second try"'
    assert sorted(lines[1:]) == [f"  {JOB}  {how}", f"  {OTHER}  {how}"]


def test_a_job_is_chosen_by_its_id(saved) -> None:
    first = Result(outputs=(stdout(b"1"),))
    second = Result(outputs=(stdout(b"2"),), job=OTHER, code=4, phase="ERROR")
    paths = [saved(first), saved(second)]
    ran = within(*paths, "--job", OTHER.upper())
    assert (ran.stdout, ran.returncode) == (b"2", 4)
    assert within("--job", JOB, *paths).stdout == b"1"


def test_a_job_that_is_not_among_them_is_said_so(saved) -> None:
    ran = within(saved(Result(outputs=(stdout(b"1"),))), "--job", OTHER)
    assert (ran.stdout, ran.returncode) == (b"", 65)
    assert ran.stderr == f"accat: the input holds no result of job {OTHER}\n".encode()


def ended(at: str | None, content: bytes, job: str, **more) -> Result:
    """A result that ended at a time; None: its job.json does not tell, its Date is 09:00."""
    return Result(outputs=(stdout(content),), job=job, document={"times": {"ended": at}}, **more)


def test_a_job_is_chosen_by_the_beginning_of_its_id(saved) -> None:
    paths = [saved(ended(None, name, name.decode())) for name in (b"k7q2", b"k7q2m5", b"mabc")]
    assert within(*paths, "--job", "M").stdout == b"mabc"
    assert within(*paths, "--job", "k7q2m").stdout == b"k7q2m5"
    assert within(*paths, "--job", "k7q2").stdout == b"k7q2"
    ran = within(*paths, "--job", "k7")
    assert (ran.stdout, ran.returncode) == (b"", 64)
    lines = ran.stderr.decode().splitlines()
    assert lines[0].startswith("accat: the mails hold 2 jobs that begin with k7: choose one by")
    assert {line.split()[0] for line in lines[1:]} == {"k7q2", "k7q2m5"}


def test_the_last_job_is_the_one_that_ended_last_wherever_it_stands(saved) -> None:
    newest = ended("2026-11-23T12:00:00+02:00", b"10:00 UTC", "kaaaaaaaaaaa", code=3, phase="ERROR")
    others = [
        ended("2026-11-23T09:59:59Z", b"older", "kbbbbbbbbbbb"),
        ended(None, b"by its Date", "kcccccccccc"),
        ended("2026-11-23T11:00", b"no zone is UTC", "kddddddddddd"),
        Result(phase="EXECUTING", reason=None, code=None, job="keeeeeeeeeee"),
    ]
    for results in ([newest, *others[:2], others[3]], [*others[:2], others[3], newest]):
        ran = accat("--last", stdin=b"".join(bytes(result) for result in results))
        assert (ran.stdout, ran.returncode) == (b"10:00 UTC", 3)
    assert within("--last", *map(saved, others)).stdout == b"no zone is UTC"
    listed = within("--last", "--list", *map(saved, others)).stdout
    assert listed.startswith(b"kddddddddddd  align  COMPLETED  exit 0  23 November 2026, 11:00 UTC")
    assert listed.count(b"alignment.fasta") == 1


def test_by_its_date_a_job_is_the_last_where_its_manifest_does_not_tell(saved) -> None:
    paths = [saved(ended("2026-11-23T08:59:59Z", b"1", JOB)), saved(ended("soon", b"2", OTHER))]
    assert within("--last", *paths).stdout == within("--last", *paths[::-1]).stdout == b"2"


def test_an_id_and_the_last_exclude_each_other() -> None:
    ran = within("--last", "--job", JOB, "-")
    assert (ran.returncode, ran.stderr) == (64, b"accat: --job and --last exclude each other\n")


def test_the_list_of_several_jobs_has_no_status(saved) -> None:
    failed = Result(outputs=(stdout(b"1"),), code=3, phase="ERROR")
    ran = within("--list", saved(failed), saved(Result(outputs=(stderr(),), job=OTHER)))
    assert ran.returncode == 0
    assert ran.stdout.count(b"alignment.fasta") == ran.stdout.count(b"stderr.txt") == 1


def test_receipt_and_start_mail_yield_to_the_result(saved) -> None:
    started = Result(phase="EXECUTING", reason=None, code=None)
    result = Result(outputs=(stdout(FASTA),))
    ran = within(saved(receipt()), saved(started), saved(result), saved(receipt(OTHER)))
    assert (ran.stdout, ran.stderr, ran.returncode) == (FASTA, b"", 0)


def test_the_same_result_twice_is_one_result(saved) -> None:
    path = saved(Result(outputs=(stdout(FASTA),)))
    ran = within(path, path)
    assert (ran.stdout, ran.returncode) == (FASTA, 0)


def test_of_two_results_the_whole_one_is_taken(saved) -> None:
    whole = Result(outputs=(stdout(FASTA),))
    damaged = Result(outputs=(stdout(FASTA, sent=b"?" * len(FASTA)),))
    brief = Result(outputs=(stdout(FASTA, attached=False),))
    for paths in ([damaged, whole], [whole, damaged], [brief, whole], [brief, damaged, whole]):
        ran = within(*map(saved, paths))
        assert (ran.stdout, ran.returncode) == (FASTA, 0)


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        (receipt(), f"job {JOB} has not ended: this mail is not its result"),
        (
            bytes(Result(phase="EXECUTING", reason=None, code=None)),
            f"job {JOB} has not ended: it was EXECUTING when this mail was written",
        ),
    ],
)
def test_a_mail_of_a_job_that_has_not_ended_is_no_result(saved, mail: bytes, words: str) -> None:
    ran = within(saved(mail))
    assert (ran.stdout, ran.returncode) == (b"", 65)
    assert ran.stderr.decode() == f"accat: {words}\n"


def test_a_job_that_has_not_ended_is_listed(saved) -> None:
    ran = within("--list", saved(Result(phase="EXECUTING", reason=None, code=None, label=None)))
    assert (ran.stdout.decode(), ran.returncode) == (f"{JOB}  align  EXECUTING  not ended\n", 0)


# --- usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ("--frobnicate",),
        ("-x",),
        ("--name",),
        ("--job=",),
        ("--list", "--name", "x"),
        ("--list", "--extract", "x"),
        ("--name", "x", "--extract", "x"),
        ("--\x1b[31m",),
    ],
)
def test_wrong_usage_is_one_line_and_64(argv: tuple[str, ...]) -> None:
    ran = within(*argv)
    assert (ran.stdout, ran.returncode, ran.stderr.count(b"\n")) == (b"", 64, 1)
    assert b"\x1b" not in ran.stderr


def test_help_names_every_option() -> None:
    ran = within("--help")
    assert ran.returncode == 0
    for option in (b"--list", b"--name", b"--job", b"--last", b"--extract", b"--no-status"):
        assert option in ran.stdout


def test_the_version_is_the_gateways() -> None:
    ran = within("--version")
    assert (ran.stdout, ran.returncode) == (f"accat {__version__}\n".encode(), 0)


def test_after_two_dashes_every_word_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "--list").write_bytes(bytes(Result(outputs=(stdout(FASTA),))))
    assert accat("--", "--list", cwd=tmp_path).stdout == FASTA


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    ran = within(tmp_path / "gone.eml")
    assert ran.returncode == 66
    assert ran.stderr.endswith(b"gone.eml cannot be read: No such file or directory\n")


def test_a_folder_that_is_no_maildir_is_said_so(tmp_path: Path) -> None:
    ran = within(tmp_path)
    assert ran.returncode == 66
    assert b"no Maildir" in ran.stderr


# --- where the output goes ------------------------------------------------------------------------


def test_a_reader_that_goes_away_ends_it_quietly(saved) -> None:
    path = saved(Result(outputs=(stdout(b"x" * 8_000_000),)))
    script = f"{' '.join(command())} '{path}' | head -c 5; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", script], capture_output=True, check=False, env=environment()
    )
    assert (ran.stdout, ran.stderr) == (b"xxxxx141\n", b"")


def test_a_full_disk_is_told(saved) -> None:
    path = saved(Result(outputs=(stdout(FASTA),)))
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command(path), stdout=full, stderr=-1, check=False, env=environment())
    assert ran.returncode == 74
    assert ran.stderr == b"accat: standard output cannot be written: No space left on device\n"


def test_start_up_brings_in_none_of_the_slow_modules() -> None:
    script = (
        "import sys; before = set(sys.modules); import mailgate.client.accat;"
        "slow = {'email', 'argparse', 'dataclasses', 'typing', 'inspect', 'pathlib', 'tempfile'};"
        "slow |= {'datetime', 'logging', 'asyncio', 'mailgate.model'};"
        "print(*slow & (set(sys.modules) - before))"
    )
    ran = subprocess.run(
        [command()[0], "-c", script], capture_output=True, check=False, env=environment()
    )
    assert (ran.stdout, ran.stderr) == (b"\n", b"")


def test_the_manual_shows_the_help_text_and_every_status() -> None:
    manual = (ROOT / "docs" / "accat.md").read_text()
    assert USAGE in manual
    statuses = {64, 65, 66, 73, 74, 75, 124, 125, 126}
    assert all(f"| {status} |" in manual for status in statuses)
    raised = (each for each in vars(errors).values() if isinstance(each, type))
    assert {each.exit_status for each in raised if each.__module__ == errors.__name__} <= statuses
