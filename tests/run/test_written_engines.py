"""PBS, LSF and HTCondor: what is read out of outputs written from their documentation."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mailgate.model import NativeId, Reason, Token
from mailgate.run.scheduler import (
    Ask,
    Given,
    Said,
    Seen,
    State,
    UnreadableError,
    Verdict,
)
from tests.contract.adapters import made
from tests.source import CHECKOUT

DATA = CHECKOUT / "tests" / "data"
JOB = {
    "pbs": Given(token=Token("mrunningaaaaa"), native=NativeId("1203.pbs")),
    "lsf": Given(token=Token("mrunningaaaaa"), native=NativeId("2203")),
    "htcondor": Given(token=Token("mrunningaaaaa"), native=NativeId("3203.0")),
}
POLL = {"pbs": "poll.json", "lsf": "poll.json", "htcondor": "poll.xml"}


def text(engine: str, name: str) -> str:
    return (DATA / engine / name).read_text(encoding="utf-8")


def polled(engine: str, name: str = "") -> dict[str, Seen]:
    found = made(engine).parse_poll(text(engine, name or POLL[engine]))
    return {seen.token: seen for seen in found}


def ask(**more: object) -> Ask:
    folder = "/srv/the jobs/ab/abcdefghij23/run/1"
    return Ask(
        token=Token("mqueuedaaaaaa"),
        script=f"{folder}/script",
        folder=folder,
        messages=f"{folder}/messages",
        **more,  # type: ignore[arg-type]
    )


# --- polls ------------------------------------------------------------------------------------------

STATES = [
    ("pbs", "mqueued", State.WAITING, "Q"),
    ("pbs", "mwaiting", State.WAITING, "W"),
    ("pbs", "mheld", State.HELD, "H"),
    ("pbs", "mrunning", State.RUNNING, "R"),
    ("pbs", "mending", State.RUNNING, "E"),
    ("pbs", "msuspended", State.SUSPENDED, "S"),
    ("pbs", "mmoved", None, "M"),
    ("lsf", "mqueued", State.WAITING, "PEND"),
    ("lsf", "mprovision", State.WAITING, "PROV"),
    ("lsf", "mheld", State.HELD, "PSUSP"),
    ("lsf", "mrunning", State.RUNNING, "RUN"),
    ("lsf", "msuspended", State.SUSPENDED, "SSUSP"),
    ("lsf", "mpaused", State.SUSPENDED, "USUSP"),
    ("lsf", "mdone", State.ENDED, "DONE"),
    ("lsf", "mexit", State.ENDED, "EXIT"),
    ("lsf", "munknown", None, "UNKWN"),
    ("htcondor", "mqueued", State.WAITING, "IDLE"),
    ("htcondor", "mheld", State.HELD, "HELD"),
    ("htcondor", "mrunning", State.RUNNING, "RUNNING"),
    ("htcondor", "mtransfer", State.RUNNING, "TRANSFERRING_OUTPUT"),
    ("htcondor", "msuspended", State.SUSPENDED, "SUSPENDED"),
    ("htcondor", "mdone", State.ENDED, "COMPLETED"),
    ("htcondor", "mexit", State.ENDED, "COMPLETED"),
    ("htcondor", "mdeleted", State.ENDED, "REMOVED"),
    # The machine still has it.
    ("htcondor", "mremoving", State.RUNNING, "REMOVED"),
]


@pytest.mark.parametrize(("engine", "name", "state", "word"), STATES)
def test_a_word_comes_down_to_its_state(
    engine: str, name: str, state: State | None, word: str
) -> None:
    seen = polled(engine)[name.ljust(13, "a")]
    assert (seen.state, seen.word) == (state, word)
    if state is not State.ENDED:
        assert seen.end is None


ENDS = [
    ("lsf", "mdone", None, None),
    ("lsf", "mexit", None, None),
    ("lsf", "mlimit", Reason.WORK_LIMIT, None),
    ("lsf", "mmemory", Reason.MEMORY, None),
    ("lsf", "mdeleted", Reason.CANCELLED, None),
    ("lsf", "mpreempt", Reason.PREEMPTED, None),
    ("lsf", "msignal", Reason.SIGNAL, 9),
    ("htcondor", "mdone", None, None),
    ("htcondor", "mexit", None, None),
    ("htcondor", "msignal", Reason.SIGNAL, 9),
    ("htcondor", "mdeleted", Reason.CANCELLED, None),
    ("htcondor", "mlimit", Reason.WORK_LIMIT, None),
    ("htcondor", "mtoolong", Reason.WORK_LIMIT, None),
    ("htcondor", "mpreempt", Reason.PREEMPTED, None),
    ("htcondor", "mmemory", Reason.MEMORY, None),
    ("htcondor", "mpolicy", Reason.MEMORY, None),
    ("htcondor", "mstart", Reason.COULD_NOT_START, None),
    ("htcondor", "mfolder", Reason.COULD_NOT_START, None),
]


@pytest.mark.parametrize(("engine", "name", "reason", "signal"), ENDS)
def test_a_poll_tells_how_a_job_ended(
    engine: str, name: str, reason: Reason | None, signal: int | None
) -> None:
    seen = polled(engine)[name.ljust(13, "a")]
    assert seen.state is State.ENDED
    assert (seen.end and seen.end.reason, seen.end and seen.end.signal) == (reason, signal)
    # HTCondor's own holds are ends, of which the job stays until it is removed.
    assert seen.stays == (seen.word == "HELD")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("TERM_CPULIMIT: job killed after reaching LSF CPU usage limit", Reason.WORK_LIMIT),
        ("TERM_SWAP: job killed after reaching LSF swap usage limit", Reason.MEMORY),
        ("TERM_RC: job killed when its host is reclaimed by cloud", Reason.PREEMPTED),
        ("TERM_FORCE_ADMIN: job killed by root or LSF administrator", Reason.CANCELLED),
        ("TERM_BUCKET_KILL: job killed with bkill -b", Reason.CANCELLED),
        ("TERM_REMOVE_HUNG_JOB: job removed from LSF", Reason.NODE_FAILURE),
        ("TERM_ZOMBIE: job exited while LSF is not available", Reason.NODE_FAILURE),
        ("TERM_CWD_NOTEXIST: working directory does not exist", Reason.COULD_NOT_START),
        ("TERM_PRE_EXEC_FAIL: job killed after pre-execution", Reason.COULD_NOT_START),
        # What is in no table of ours leaves the status to speak: 137.
        ("TERM_THREADLIMIT: job killed after reaching LSF thread limit", Reason.SIGNAL),
    ],
)
def test_lsf_has_a_word_for_each_way_to_end(words: str, reason: Reason) -> None:
    told = text("lsf", "poll.json").replace(
        "TERM_RUNLIMIT: job killed after reaching LSF run time limit", words
    )
    told = told.replace('"EXIT_CODE":"140"', '"EXIT_CODE":"137"')
    seen = {one.token: one for one in made("lsf").parse_poll(told)}["mlimit".ljust(13, "a")]
    assert seen.end is not None
    assert seen.end.reason is reason


def test_a_signal_is_read_from_both_of_bhists_sentences() -> None:
    told = text("lsf", "why-signal.txt").replace("with exit code 137", "by signal 9")
    assert "by signal 9" in told
    seen = made("lsf").parse_why(Said(status=0, stdout=told, stderr=""), JOB["lsf"])
    assert seen is not None
    assert seen.end is not None
    assert (seen.end.reason, seen.end.signal) == (Reason.SIGNAL, 9)


def test_why_a_job_waits_is_told_in_the_schedulers_words() -> None:
    pbs, lsf = polled("pbs")["mqueuedaaaaaa"], polled("lsf")["mqueuedaaaaaa"]
    assert pbs.why == "Insufficient amount of resource: ncpus (R: 2 A: 1 T: 2)"
    limit = "Resource (mem) limit defined on queue has been reached"
    assert lsf.why == f"{limit}; Load information unavailable: 3 hosts"
    held = polled("htcondor")["mheldaaaaaaaa"]
    assert held.why == "via condor_hold (by user gate)"


def test_why_htcondor_gives_a_job_no_machine_is_told_of_all_that_are_alike() -> None:
    found = polled("htcondor")
    whys = {name: found[name.ljust(13, "a")].why for name in ("mqueued", "malike", "mmatched")}
    # The negotiator asks after one of them for all; what was said before a match is no reason.
    assert whys == {"mqueued": "no match found", "malike": "no match found", "mmatched": ""}


def test_of_a_job_that_runs_its_node_is_told_and_no_reason() -> None:
    for engine, node in (("pbs", "n7"), ("lsf", "n7"), ("htcondor", "n7.example.org")):
        seen = polled(engine)["mrunningaaaaa"]
        assert (seen.node, seen.why) == (node, "")


def test_an_estimate_is_a_time_of_this_machine_and_none_without_a_year() -> None:
    expected = datetime(2026, 11, 23, 7, 30).astimezone()
    assert polled("pbs")["mqueuedaaaaaa"].starts == expected
    assert polled("lsf")["mqueuedaaaaaa"].starts == expected
    assert polled("lsf")["msoonaaaaaaaa"].starts is None


@pytest.mark.parametrize("engine", sorted(POLL))
def test_what_is_no_job_of_ours_is_left_out(engine: str) -> None:
    assert all(len(token) == 13 for token in polled(engine))


def test_the_environment_of_somebody_elses_job_hides_none_of_ours() -> None:
    assert polled("pbs", "poll-environment.json") == polled("pbs")


def test_lsf_says_that_it_has_no_jobs_in_words_or_in_json() -> None:
    assert polled("lsf", "poll-none.txt") == {}
    assert polled("lsf", "poll-empty.json") == {}
    assert list(polled("lsf", "poll-wait.json")) == ["mqueuedaaaaaa"]


# --- what became of it ------------------------------------------------------------------------------

WHY = [
    ("pbs", "why-done.json", State.ENDED, None),
    ("pbs", "why-exit.json", State.ENDED, None),
    ("pbs", "why-limit.json", State.ENDED, Reason.WORK_LIMIT),
    ("pbs", "why-memory.json", State.ENDED, Reason.MEMORY),
    ("pbs", "why-node.json", State.ENDED, Reason.NODE_FAILURE),
    ("pbs", "why-start.json", State.ENDED, Reason.COULD_NOT_START),
    ("pbs", "why-signal.json", State.ENDED, Reason.SIGNAL),
    ("pbs", "why-deleted.json", State.ENDED, Reason.CANCELLED),
    ("pbs", "why-never.json", State.ENDED, Reason.CANCELLED),
    ("lsf", "why-done.txt", State.ENDED, None),
    ("lsf", "why-exit.txt", State.ENDED, None),
    ("lsf", "why-limit.txt", State.ENDED, Reason.WORK_LIMIT),
    ("lsf", "why-memory.txt", State.ENDED, Reason.MEMORY),
    ("lsf", "why-deleted.txt", State.ENDED, Reason.CANCELLED),
    ("lsf", "why-preempt.txt", State.ENDED, Reason.PREEMPTED),
    ("lsf", "why-signal.txt", State.ENDED, Reason.SIGNAL),
    ("lsf", "why-running.txt", State.RUNNING, None),
    ("lsf", "why-waiting.txt", State.WAITING, None),
    ("htcondor", "why-deleted.xml", State.ENDED, Reason.CANCELLED),
    ("htcondor", "why-signal.xml", State.ENDED, Reason.SIGNAL),
    ("htcondor", "why-exit.xml", State.ENDED, None),
]


@pytest.mark.parametrize(("engine", "name", "state", "reason"), WHY)
def test_what_became_of_a_job_is_read_from_its_history(
    engine: str, name: str, state: State, reason: Reason | None
) -> None:
    said = Said(status=0, stdout=text(engine, name), stderr="")
    seen = made(engine).parse_why(said, JOB[engine])
    assert seen is not None
    assert (seen.token, seen.native, seen.state) == (*astuple(JOB[engine]), state)
    assert (seen.end and seen.end.reason) == reason


def test_how_a_pbs_job_ended_is_read_whatever_is_in_its_environment() -> None:
    odd = '"Variable_List":{"AGENT":007,"PART":.5,"PATTERN":"\\d"},"substate"'
    told = text("pbs", "why-limit.json").replace('"substate"', odd)
    seen = made("pbs").parse_why(Said(status=0, stdout=told, stderr=""), JOB["pbs"])
    assert seen is not None
    assert seen.end is not None
    assert seen.end.reason is Reason.WORK_LIMIT


def astuple(job: Given) -> tuple[Token, NativeId]:
    return job.token, job.native


@pytest.mark.parametrize(
    ("engine", "status", "stdout", "stderr"),
    [
        ("pbs", 153, "why-unknown.json", ""),
        ("pbs", 153, "", "why-unknown.err"),
        ("pbs", 0, "", "why-off.err"),
        ("lsf", 255, "why-unknown.txt", ""),
        ("lsf", 0, "why-another.txt", ""),
        ("htcondor", 0, "why-unknown.xml", ""),
        ("htcondor", 0, "why-another.xml", ""),
    ],
)
def test_a_history_without_the_job_says_nothing_of_it(
    engine: str, status: int, stdout: str, stderr: str
) -> None:
    said = Said(
        status=status,
        stdout=stdout and text(engine, stdout),
        stderr=stderr and text(engine, stderr),
    )
    assert made(engine).parse_why(said, JOB[engine]) is None


@pytest.mark.parametrize(
    ("engine", "stdout", "stderr"),
    [
        ("pbs", "", "why-down.err"),
        ("lsf", "why-down.txt", ""),
        ("htcondor", "", "why-down.err"),
    ],
)
def test_a_scheduler_that_is_away_says_nothing_at_all(
    engine: str, stdout: str, stderr: str
) -> None:
    said = Said(
        status=1, stdout=stdout and text(engine, stdout), stderr=stderr and text(engine, stderr)
    )
    with pytest.raises(UnreadableError):
        made(engine).parse_why(said, JOB[engine])


# --- submitting -------------------------------------------------------------------------------------

VERDICTS = {
    Verdict.LATER: {
        "pbs": ("limit", "full", "down", "shutting"),
        "lsf": ("threshold", "limit", "down", "batch"),
        "htcondor": ("owner", "all", "down", "away"),
    },
    Verdict.NEVER: {
        "pbs": ("queue", "resources", "denied", "illegal", "account", "hook"),
        "lsf": ("queue", "denied", "esub", "resources"),
        "htcondor": ("disabled", "rule", "group", "file"),
    },
    Verdict.UNKNOWN: {"pbs": ("lost",), "lsf": ("lost",), "htcondor": ("lost",)},
}


@pytest.mark.parametrize(
    ("verdict", "engine", "name"),
    [
        (v, e, name)
        for v, engines in VERDICTS.items()
        for e, names in engines.items()
        for name in names
    ],
)
def test_a_refusal_is_understood(verdict: Verdict, engine: str, name: str) -> None:
    said = Said(status=1, stdout="", stderr=text(engine, f"submit-{name}.err"))
    assert made(engine).verdict(said) is verdict


def test_every_written_refusal_is_among_those() -> None:
    for engine in POLL:
        told = {name for engines in VERDICTS.values() for name in engines[engine]}
        written = {path.stem.removeprefix("submit-") for path in (DATA / engine).glob("submit-*")}
        assert written == told


@pytest.mark.parametrize(
    ("engine", "native"), [("pbs", "1201.pbs"), ("lsf", "2201"), ("htcondor", "3201.0")]
)
def test_the_number_of_a_submission_is_read(engine: str, native: str) -> None:
    assert made(engine).parse_submit(text(engine, "submit.out")) == native
    said = f"The site says: hello\n{text(engine, 'submit.out')}"
    assert made(engine).parse_submit(said) == native
    for wrong in (
        "",
        "12\n34\n",
        "12.pbs\n34.pbs\n",
        "Job <> is submitted",
        "submitted to cluster x.",
    ):
        with pytest.raises(UnreadableError):
            made(engine).parse_submit(wrong)


def words(engine: str, asked: Ask, **site: object) -> list[str]:
    """Every word of a submission; HTCondor's are lines."""
    command = made(engine, **site).submit(asked)
    return [*command.argv, *command.stdin.splitlines()]


LARGE = ask(
    cores=4, memory=4 * 1024**3 + 1, limit=timedelta(hours=12, seconds=1), gpus=2, queue="long"
)


def test_pbs_is_asked_in_its_own_words() -> None:
    said = words("pbs", LARGE, account="bio", project="globins", extra=("-p", "5"))
    for pair in (
        ("-N", "mqueuedaaaaaa"), ("-r", "n"), ("-C", ""), ("-q", "long"), ("-A", "bio"),
        ("-P", "globins"), ("-l", "walltime=12:00:01"), ("-p", "5"),
        ("-l", "select=1:ncpus=4:mem=4194305kb:ngpus=2"),
    ):  # fmt: skip
        assert pair in pairwise(said)
    assert said[-1] == "/srv/the jobs/ab/abcdefghij23/run/1/script"
    assert "-q" in words("pbs", ask(), queue="workq")
    assert not {"-q", "-A", "-P"} & set(words("pbs", ask()))
    assert not any("mem=" in word or "walltime" in word for word in words("pbs", ask()))


def test_lsf_is_asked_in_its_own_words() -> None:
    said = words("lsf", LARGE, project="globins", group="bio", extra=("-sp", "5"))
    for pair in (
        ("-J", "mqueuedaaaaaa"), ("-q", "long"), ("-P", "globins"), ("-G", "bio"), ("-n", "4"),
        ("-M", "4194305KB"), ("-R", "span[hosts=1] rusage[mem=4194305KB]"), ("-W", "12:01"),
        ("-gpu", "num=2"), ("-sp", "5"),
    ):  # fmt: skip
        assert pair in pairwise(said)
    assert "-rn" in said
    assert said[-1] == "/bin/sh '/srv/the jobs/ab/abcdefghij23/run/1/script'"
    assert not {"-q", "-P", "-G", "-M", "-W", "-gpu"} & set(words("lsf", ask()))
    # bsub hands its own environment on.
    assert "SECRET" not in made("lsf").submit(ask()).only
    assert made("lsf").submit(ask()).only


def test_htcondor_is_asked_in_its_own_words() -> None:
    said = words("htcondor", LARGE, accounting_group="bio", extra=("-append", "rank = Mips"))
    for line in (
        "batch_name = mqueuedaaaaaa", "request_cpus = 4", "request_memory = 4097",
        "request_gpus = 2", "accounting_group = long", "getenv = false", "-append",
        "requirements = NumJobStarts == 0",
        "should_transfer_files = NO", "initialdir = /srv/the jobs/ab/abcdefghij23/run/1",
        "arguments = \"'/srv/the jobs/ab/abcdefghij23/run/1/script'\"",
    ):  # fmt: skip
        assert line in said
    assert said[:4] == ["condor_submit", "-append", "rank = Mips", "-"]
    assert said[-1] == "queue"
    (rule,) = [line for line in said if line.startswith("periodic_remove")]
    assert "time() - JobCurrentStartDate > 43201)" in rule
    assert "accounting_group = bio" in words("htcondor", ask(), accounting_group="bio")
    keys = {line.partition(" = ")[0] for line in words("htcondor", ask())}
    assert not {"request_memory", "request_gpus", "accounting_group"} & keys


def test_a_quote_in_a_folder_ends_no_word() -> None:
    odd = '/srv/ada\'s "jobs"/script'
    asked = Ask(token=Token("mqueuedaaaaaa"), script=odd, folder="/srv", messages="/srv/m")
    assert 'arguments = "\'/srv/ada\'\'s ""jobs""/script\'"' in words("htcondor", asked)
    assert words("lsf", asked)[-1] == "/bin/sh '/srv/ada'\"'\"'s \"jobs\"/script'"


def test_every_data_file_is_used() -> None:
    used = Path(__file__).read_text(encoding="utf-8")
    for engine in POLL:
        for path in (DATA / engine).iterdir():
            known = path.name in used or path.name.startswith(("submit-", "poll-empty", "README"))
            assert known, path
