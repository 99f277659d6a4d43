"""Slurm's words, as a real one has said them (tests/data/slurm)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailgate.model import NativeId, Reason, Token
from mailgate.run.scheduler import Ask, Given, Said, Seen, State, UnreadableError, Verdict
from mailgate.run.slurm import Slurm
from mailgate.settings.schedulers import Slurm as Site
from tests.source import CHECKOUT

DATA = CHECKOUT / "tests" / "data" / "slurm"
JOB = Given(token=Token("mrecaaaaaaaag"), native=NativeId("22"))


@pytest.fixture
def slurm() -> Slurm:
    return Slurm(Site())


def polled(name: str) -> dict[str, Seen]:
    text = (DATA / name).read_text(encoding="utf-8")
    return {seen.token.removeprefix("mrecaaaaaaa"): seen for seen in Slurm(Site()).parse_poll(text)}


def test_every_state_that_a_node_shows_at_once_is_read() -> None:
    seen = polled("poll-mixed.txt")
    assert {name: one.state for name, one in seen.items() if one.state is not State.ENDED} == {
        "ab": State.HELD,
        "ac": State.WAITING,
        "ad": State.WAITING,
        "ae": State.RUNNING,
        "af": State.SUSPENDED,
        "bb": State.RUNNING,
        "bd": State.WAITING,
        "be": State.WAITING,
    }
    assert (seen["bd"].why, seen["be"].why) == ("Resources", "Priority")
    assert seen["ac"].starts == datetime(2026, 11, 22, 13, 52, 41, tzinfo=UTC)
    assert seen["ae"].starts is None
    assert (seen["ae"].node, seen["ae"].native) == ("vm", "20")
    assert "somebody else's" not in "".join(seen)


def test_why_a_job_waited_is_not_why_it_was_cancelled() -> None:
    # Slurm leaves it where it was.
    text = (DATA / "poll-timeout.txt").read_text(encoding="utf-8")
    line = "26|CANCELLED|15|1795351962|vm|mrecaaaaaaaba|"
    assert f"{line}None" in text
    (seen,) = (
        one
        for one in Slurm(Site()).parse_poll(text.replace(f"{line}None", f"{line}Resources"))
        if one.token == "mrecaaaaaaaba"
    )
    assert (seen.word, seen.why) == ("CANCELLED", "")


def test_ends_are_told_apart_and_no_exit_code_is_believed() -> None:
    files = ("mixed", "timeout", "node-down", "preempted", "memory", "over-memory")
    seen = {name: one for file in files for name, one in polled(f"poll-{file}.txt").items()}
    found = {
        name: one.end.reason if one.end else None
        for name, one in seen.items()
        if one.state is State.ENDED
    }
    # Ended with 0 and with 7: only the job folder says so.
    assert found["ai"] is None
    assert found["ag"] is None
    assert found["ah"] is Reason.SIGNAL
    assert found["aj"] is found["ba"] is Reason.CANCELLED
    assert found["bc"] is Reason.SIGNAL, "it could never start: nothing of it was begun"
    assert found["bb"] is Reason.WORK_LIMIT
    assert found["ca"] is Reason.NODE_FAILURE
    assert found["da"] is Reason.PREEMPTED
    assert found["ea"] is Reason.MEMORY
    assert found["eb"] is Reason.SIGNAL, "without control groups Slurm itself tells no more"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("submit-partition.err", Verdict.NEVER),
        ("submit-gres.err", Verdict.NEVER),
        ("submit-inactive.err", Verdict.LATER),
        ("submit-down.err", Verdict.LATER),
        ("submit-option.err", Verdict.LATER),
    ],
)
def test_refusals_for_now_are_told_from_those_for_good(
    slurm: Slurm, file: str, expected: Verdict
) -> None:
    said = Said(status=1, stdout="", stderr=(DATA / file).read_text(encoding="utf-8"))
    assert slurm.verdict(said) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\n{policy}", Verdict.LATER),
        ("sbatch: error: AssocGrpSubmitJobsLimit\n{policy}", Verdict.LATER),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\n{policy}", Verdict.NEVER),
        ("{policy}", Verdict.LATER),
        ("{failed} Socket timed out on send/recv operation", Verdict.UNKNOWN),
        ("{failed} Unable to contact slurm controller (receive failure)", Verdict.UNKNOWN),
        ("{failed} Resource temporarily unavailable", Verdict.LATER),
        ("{failed} Requested node configuration is not available", Verdict.NEVER),
        ("{failed} Invalid qos specification", Verdict.NEVER),
        ("sbatch: error: Invalid authentication credential", Verdict.LATER),
    ],
)
def test_slurms_own_sentences_are_known(slurm: Slurm, words: str, expected: Verdict) -> None:
    failed = "sbatch: error: Batch job submission failed:"
    policy = (
        f"{failed} Job violates accounting/QOS policy (job submit limit, user's size and/or time"
        " limits)"
    )
    said = Said(status=1, stdout="", stderr=words.format(failed=failed, policy=policy))
    assert slurm.verdict(said) is expected


def test_the_number_is_read_with_and_without_a_clusters_name(slurm: Slurm) -> None:
    assert slurm.parse_submit((DATA / "submit.out").read_text(encoding="utf-8")) == "35"
    assert slurm.parse_submit("48211;biology\n") == "48211"


def test_what_an_operator_and_a_service_say_stands_in_the_submission(tmp_path: Path) -> None:
    slurm = Slurm(Site(partition="main", account="biology", qos="low", extra=("--nice",)))
    ask = Ask(
        token=Token("mabcdefgh2345"), script="/j/script", folder="/j", messages="/j%j/messages",
        cores=4, memory=(1 << 30) + 1, limit=timedelta(seconds=61), gpus=2, queue="long",
    )  # fmt: skip
    words = slurm.submit(ask).argv
    assert {"--no-requeue", "--job-name=mabcdefgh2345", "--cpus-per-task=4"} <= {*words}
    assert {"--mem=1048577K", "--time=2", "--gres=gpu:2", "--partition=long"} <= {*words}
    assert {"--account=biology", "--qos=low"} <= {*words}
    assert words[-1] == "/j/script"
    assert "--output=/j%%j/messages" in words, "it is no pattern"
    for ours in ("--job-name=mabcdefgh2345", "--no-requeue"):
        assert words.index("--nice") < words.index(ours), "the last one counts"


def test_accounts_tell_the_newest_job_by_the_name_alone(slurm: Slurm) -> None:
    told = (
        "21|FAILED|1:0|n1|mrecaaaaaaaag|None\n"
        "22|CANCELLED by 1000|0:15|n17|mrecaaaaaaaag|None\n"
        "23|NODE_FAIL|0:0|n1|somebody|None\n"
    )
    seen = slurm.parse_why(Said(status=0, stdout=told, stderr=""), JOB)
    assert seen is not None
    assert (seen.native, seen.word, seen.node) == ("22", "CANCELLED", "n17")
    assert seen.end is not None
    assert seen.end.reason is Reason.CANCELLED


def test_a_site_without_accounts_knows_nothing_and_one_that_fails_is_asked_again(
    slurm: Slurm,
) -> None:
    off = (DATA / "why-off.err").read_text(encoding="utf-8")
    assert slurm.parse_why(Said(status=1, stdout="", stderr=off), JOB) is None
    away = "sacct: error: slurm_persist_conn_open_without_init: failed to open"
    with pytest.raises(UnreadableError):
        slurm.parse_why(Said(status=1, stdout="", stderr=away), JOB)
