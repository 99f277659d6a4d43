"""What Grid Engine said when it was recorded, as the adapter reads it."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.errors import Permanent
from mailgate.model import Exit, NativeId, Reason, Token
from mailgate.run.gridengine import GridEngine
from mailgate.run.scheduler import Ask, Given, Said, Seen, State, UnreadableError, Verdict
from mailgate.settings.schedulers import GridEngine as Site

DATA = Path(__file__).parents[1] / "data" / "gridengine"


ENGINE = GridEngine(Site(pe="smp"))


def named(name: str) -> Given:
    return Given(token=Token(f"m{name}".ljust(13, "a")), native=NativeId("1"))


def ask(**more: object) -> Ask:
    paths = {"script": "/srv/j/script", "folder": "/srv/j", "messages": "/srv/j/messages"}
    return Ask(token=Token("mabcdefghijkl"), **paths, **more)  # type: ignore[arg-type]


def recorded(file: str) -> str:
    return (DATA / file).read_text()


def why(file: str, name: str) -> Seen | None:
    job = named(name)
    return ENGINE.parse_why(Said(status=0, stdout=recorded(file), stderr=""), job)


def end(file: str, name: str) -> Exit | None:
    seen = why(file, name)
    assert seen is not None
    assert seen.state is State.ENDED
    return seen.end


# --- submissions ----------------------------------------------------------------------------------


def test_a_plain_job_asks_for_nothing_but_to_be_run_once() -> None:
    words = ENGINE.submit(ask()).argv
    assert words[-1] == "/srv/j/script"
    assert "-V" not in words
    text = " ".join(words)
    assert "-r n" in text
    assert "-N mabcdefghijkl" in text
    assert "-wd /srv/j -o messages -j y" in text
    assert not {"-l", "-pe", "-q", "-P"} & set(words)


def test_no_line_of_the_script_is_an_option() -> None:
    words = ENGINE.submit(ask()).argv
    assert words[words.index("-C") + 1] == ""
    assert words[words.index("-b") + 1] == "n"


def test_what_is_asked_for_is_said_in_the_sites_words() -> None:
    site = Site(pe="smp", queue="long.q", project="bio", extra=("-ckpt", "none"))
    limit = timedelta(minutes=2, milliseconds=1)
    words = GridEngine(site).submit(ask(cores=3, memory=1000, limit=limit, gpus=2)).argv
    assert words[-1] == "/srv/j/script"
    assert words.index("-ckpt") < words.index("-N"), "the last one counts"
    text = " ".join(words)
    assert "-q long.q -P bio -pe smp 3" in text
    # Memory is that of a slot, rounded up, and so is the limit.
    assert "-l h_vmem=334,h_rt=121,gpu=2 " in text


def test_the_jobs_own_queue_goes_before_the_sites() -> None:
    words = GridEngine(Site(queue="long.q")).submit(ask(queue="gpu.q")).argv
    assert words[words.index("-q") + 1] == "gpu.q"


def test_several_cores_without_a_parallel_environment_are_refused() -> None:
    with pytest.raises(Permanent, match=r"\[run.NAME\]"):
        GridEngine(Site()).submit(ask(cores=2))


def test_a_submission_gives_its_number() -> None:
    assert ENGINE.parse_submit(recorded("submit.out")) == "1"
    assert ENGINE.parse_submit("a note of the site's\n4711\n") == "4711"
    for text in ("", "Your job 1 has been submitted", "1\n2\n"):
        with pytest.raises(UnreadableError):
            ENGINE.parse_submit(text)


@pytest.mark.parametrize(
    ("file", "status", "verdict"),
    [
        ("submit-no-pe.err", 1, Verdict.NEVER),
        ("submit-no-queue.err", 1, Verdict.NEVER),
        ("submit-no-resource.err", 1, Verdict.NEVER),
        ("submit-no-project.err", 1, Verdict.NEVER),
        ("submit-no-script.err", 14, Verdict.NEVER),
        ("submit-denied.err", 1, Verdict.NEVER),
        ("submit-too-much.err", 1, Verdict.NEVER),
        ("submit-too-many.err", 25, Verdict.LATER),
        ("submit-too-many-in-all.err", 25, Verdict.LATER),
        ("down-submit.err", 1, Verdict.LATER),
    ],
)
def test_a_refusal_is_told_from_a_busy_or_absent_queue_master(
    file: str, status: int, verdict: Verdict
) -> None:
    said = Said(status=status, stdout="", stderr=recorded(file))
    assert ENGINE.verdict(said) is verdict


@pytest.mark.parametrize("words", ["", "error: commlib error: got read error (closing)", "Killed"])
def test_a_submission_that_broke_off_may_have_been_taken(words: str) -> None:
    assert ENGINE.verdict(Said(status=1, stdout="", stderr=words)) is Verdict.UNKNOWN


# --- polls ----------------------------------------------------------------------------------------


def states(file: str) -> dict[str, tuple[str, State | None]]:
    seen = ENGINE.parse_poll(recorded(file))
    return {one.token.rstrip("a")[1:]: (one.word, one.state) for one in seen}


def test_each_state_comes_down_to_what_it_means() -> None:
    in_error = ("Eqw", State.ENDED)
    assert states("poll.xml") == {
        "running": ("dr", State.RUNNING),
        "suspended": ("s", State.SUSPENDED),
        "noshell": ("r", State.RUNNING),
        "transfer": ("t", State.RUNNING),
        "queued": ("qw", State.WAITING),
        "gpu": ("qw", State.WAITING),
        "errorwd": in_error,
        "errorout": in_error,
        "requeued": ("Rq", State.WAITING),
        "held": ("hqw", State.HELD),
    }


def test_letters_mean_the_same_in_any_order() -> None:
    assert states("poll-released.xml")["transfer"] == ("hr", State.RUNNING)
    found = states("poll-queue-suspended.xml")
    words = {found[name][0] for name in ("held", "suspended", "requeued", "transfer")}
    assert words == {"S", "Ss", "SR", "Sh"}
    assert {found[name][1] for name in ("held", "suspended", "requeued")} == {State.SUSPENDED}


def test_a_letter_that_nobody_knows_is_no_state() -> None:
    text = recorded("poll.xml").replace("<state>dr<", "<state>drX<").replace(">hqw<", "><")
    found = {one.word: one.state for one in ENGINE.parse_poll(text) if one.state is None}
    assert found == {"drX": None, "": None}


def test_a_job_that_could_not_be_started_stays_and_one_that_runs_says_where() -> None:
    seen = ENGINE.parse_poll(recorded("poll.xml"))
    assert [one.word for one in seen if one.stays] == ["Eqw", "Eqw"]
    assert {one.node for one in seen if one.state is State.RUNNING} == {"n1"}


def test_a_job_that_waits_says_why_and_else_what_is_in_everybodys_way() -> None:
    def told(file: str) -> dict[str, str]:
        return {x.token.rstrip("a")[1:]: x.why for x in ENGINE.parse_poll(recorded(file)) if x.why}

    nowhere = "Jobs can not run because no host can satisfy the resource requirements"
    assert told("poll.xml") == {
        "queued": "Jobs can not run because available slots combined under PE are not in range of job",
        "gpu": nowhere,
        "held": "Jobs dropped because of hold state",
        "requeued": 'cannot run on host "n1" until clean up of a previous run has finished;'
        ' queue instance "broken.q@n1" dropped because it is disabled',
    }
    full = told("poll-full.xml")
    both = "; ".join(
        f'queue instance "{q}.q@n1" dropped because it is full' for q in ("main", "small")
    )
    # That other queues were not asked for is no reason.
    assert (full["gpu"], full["wait"]) == (nowhere, both)
    assert told("poll-no-reasons.xml") == {}


def test_a_reason_that_is_no_xml_is_read_all_the_same() -> None:
    assert "<job ids>" in recorded("poll-cleanup.xml")
    (seen,) = ENGINE.parse_poll(recorded("poll-cleanup.xml"))
    assert seen.why == "Jobs can not run because host cleanup has not finished"


def test_of_many_reasons_a_few_are_told() -> None:
    one = "<element><MES_message>queue {} is full</MES_message></element>"
    many = "".join(one.format(n) for n in range(9)) + one.format(1)
    text = recorded("poll-no-reasons.xml").replace("</SME_global", f"{many}</SME_global")
    (why,) = {x.why for x in ENGINE.parse_poll(text) if x.state is State.WAITING}
    assert why == "queue 0 is full; queue 1 is full; queue 2 is full; and 6 more"


def test_no_jobs_are_an_answer_and_half_an_answer_is_none() -> None:
    whole = recorded("poll.xml")
    assert ENGINE.parse_poll(recorded("poll-empty.xml")) == []
    assert len(ENGINE.parse_poll(whole)) == whole.count("<job_list")
    cuts = [whole[:cut] for cut in range(0, len(whole.rstrip()), 97)]
    for text in (*cuts, "<html></html>", "<job_info/>", "error: commlib error"):
        with pytest.raises(UnreadableError):
            ENGINE.parse_poll(text)


# --- what became of it ----------------------------------------------------------------------------


def test_the_accounting_says_how_a_job_ended() -> None:
    killed = Exit(reason=Reason.SIGNAL, signal=9)
    assert end("acct-limit.out", "limit") == Exit(reason=Reason.WORK_LIMIT)
    assert end("acct-signal.out", "signal") == killed
    assert end("acct-deleted.out", "deleted") == killed
    assert end("acct-term.out", "term") == Exit(reason=Reason.SIGNAL, signal=15)
    # An exit code is the job folder's to tell.
    assert end("acct-exit.out", "exit") is None
    assert end("acct-memory.out", "memory") is None


def test_it_is_told_in_grid_engines_own_words() -> None:
    seen = why("acct-limit.out", "limit")
    assert seen is not None
    assert seen.why.startswith("qmaster enforced h_rt, h_cpu, or h_vmem limit (failed 37")
    assert (seen.native, seen.node, seen.stays) == ("16", "n1", False)
    seen = why("detail-error-folder.out", "errorwd")
    assert seen is not None
    assert seen.why == "can't chdir to /etc/passwd/x: Not a directory"
    assert seen.stays
    seen = why("detail-error-messages.out", "errorout")
    assert seen is not None
    assert seen.why == 'can\'t stat() "/etc/passwd/m" as stdout_path: Not a directory'


@pytest.mark.parametrize(
    ("file", "name"),
    [("processes", "mprocessesbbb"), ("notified", "mprocessesaaa"), ("slots", "mslotsaaaaaaa")],
)
def test_a_limit_that_was_one_of_memory_is_told_from_one_in_time(file: str, name: str) -> None:
    job = Given(token=Token(name), native=NativeId("1"))
    text = recorded(f"acct-{file}.out")
    for taken, reason in (("", Reason.MEMORY), ("79.9MB", Reason.WORK_LIMIT)):
        told = re.sub(r"maxvmem .*", f"maxvmem      {taken}", text) if taken else text
        seen = ENGINE.parse_why(Said(status=0, stdout=told, stderr=""), job)
        assert seen is not None
        assert seen.end == Exit(reason=reason)


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (1, Reason.COULD_NOT_START),
        (28, Reason.COULD_NOT_START),
        (19, Reason.NODE_FAILURE),
        (25, Reason.CANCELLED),
    ],
)
def test_what_failed_before_the_job_is_told_from_what_failed_with_it_or_was_started_again(
    failed: int, reason: Reason
) -> None:
    text = recorded("acct-limit.out").replace("failed       37 ", f"failed       {failed} ")
    seen = ENGINE.parse_why(Said(status=0, stdout=text, stderr=""), named("limit"))
    assert seen is not None
    assert seen.end == Exit(reason=reason)


def test_of_several_accounts_of_a_job_the_last_counts() -> None:
    text = recorded("acct-limit.out").replace("failed       37 ", "failed       25 ")
    text += recorded("acct-limit.out")
    seen = ENGINE.parse_why(Said(status=0, stdout=text, stderr=""), named("limit"))
    assert seen is not None
    assert seen.end == Exit(reason=Reason.WORK_LIMIT)


def test_why_a_job_waits_is_told_in_one_line() -> None:
    seen = why("detail-waiting.out", "queued")
    assert seen is not None
    assert seen.state is State.WAITING
    assert seen.why.endswith('; cannot run in PE "smp" because it only offers 0 slots')


def test_a_job_that_is_in_no_account_but_has_ended_was_deleted_before_it_ran() -> None:
    seen = why("ended.xml", "delpend")
    assert seen is not None
    assert seen.word == "deleted"
    assert end("ended.xml", "delpend") == Exit(reason=Reason.CANCELLED)
    assert why("ended.xml", "other") is None
    told = recorded("no-accounts.out") + recorded("ended.xml")
    assert ENGINE.parse_why(Said(status=0, stdout=told, stderr=""), named("delpend")) == seen


def test_nothing_is_said_of_a_job_by_anothers_account() -> None:
    assert why("acct-limit.out", "other") is None
    assert why("detail-waiting.out", "other") is None


def test_a_queue_master_that_cannot_be_asked_says_nothing() -> None:
    said = Said(status=1, stdout="", stderr=recorded("down-poll.err"))
    with pytest.raises(UnreadableError):
        ENGINE.parse_why(said, named("exit"))
