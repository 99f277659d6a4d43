"""Jobs in a real database: steps, attempts, ends, and the letters that these cause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailgate.model import (
    Exit,
    LetterKind,
    NativeId,
    Notify,
    Plan,
    Progress,
    Reason,
    Stream,
    StreamRole,
    Wish,
)
from mailgate.phases import Event, IllegalStepError, Phase
from mailgate.saying import Saying
from mailgate.spool import appointments, attempts, jobs, letters, notices, wishes
from mailgate.spool.database import Connection
from tests.spool.made import ADA, DONE, LOST, WEEK, a_job, ended


def kinds(spool: Connection) -> list[str]:
    return [letter.kind for letter in letters.queue(spool.view)]


def test_a_new_job_is_queued_and_no_letter_is_planned(spool: Connection) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    assert job.phase is Phase.QUEUED
    assert job.owner == ADA
    assert job.parameters == {"tree": "sl"}
    assert kinds(spool) == []


def test_a_job_that_ends_has_its_result_planned_in_the_same_transaction(spool: Connection) -> None:
    job = a_job(spool)
    ended(spool, job)
    assert jobs.fetch(spool.view, job).phase is Phase.COMPLETED
    assert kinds(spool) == [LetterKind.RESULT]


def test_ending_an_attempt_twice_plans_one_result(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        for _ in range(2):
            attempts.ended(tx, attempt, DONE, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)
    assert kinds(spool) == [LetterKind.RESULT]


def test_a_lost_attempt_is_retried_only_as_often_as_the_plan_says(spool: Connection) -> None:
    plan = Plan(argv=("true",), retry_times=1, retry_on=frozenset({Reason.LOST}))
    job = a_job(spool, plan=plan)
    ended(spool, job, LOST)
    assert jobs.fetch(spool.view, job).phase is Phase.QUEUED
    ended(spool, job, LOST)
    found = jobs.fetch(spool.view, job)
    assert (found.phase, found.attempts) == (Phase.ABORTED, 2)
    assert [error.reason for error in found.errors] == [Reason.LOST, Reason.LOST]
    assert kinds(spool) == [LetterKind.RESULT]


def test_a_reason_that_the_plan_does_not_list_is_not_retried(spool: Connection) -> None:
    plan = Plan(argv=("true",), retry_times=3, retry_on=frozenset({Reason.LOST}))
    job = a_job(spool, plan=plan)
    ended(spool, job, Exit(reason=Reason.EXIT, code=3))
    assert jobs.fetch(spool.view, job).phase is Phase.ERROR


def test_a_retry_keeps_neither_the_start_nor_the_progress_of_the_attempt_before(
    spool: Connection,
) -> None:
    plan = Plan(argv=("true",), retry_times=1, retry_on=frozenset({Reason.LOST}))
    job = a_job(spool, plan=plan)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.begun(tx, attempt, tx.now - timedelta(hours=1))
        said = Progress(percent=90, words="nearly")
        jobs.progressed_all(tx, {job: said})
        assert jobs.fetch(tx, job).progress == said
        attempts.ended(tx, attempt, LOST, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)
    found = jobs.fetch(spool.view, job)
    assert (found.started, found.progress) == (None, None)
    ended(spool, job)
    found = jobs.fetch(spool.view, job)
    assert found.started is not None
    assert found.ended is not None
    assert found.ended - found.started < timedelta(minutes=1)


@pytest.mark.parametrize("last", [DONE, Exit(reason=Reason.CANCELLED)])
def test_a_job_that_ends_without_a_fault_at_last_keeps_its_earlier_errors(
    spool: Connection, last: Exit
) -> None:
    plan = Plan(argv=("true",), retry_times=1, retry_on=frozenset({Reason.SIGNAL}))
    job = a_job(spool, plan=plan)
    ended(spool, job, Exit(reason=Reason.SIGNAL, signal=9))
    ended(spool, job, last)
    found = jobs.fetch(spool.view, job)
    assert found.phase is last.phase
    assert [(e.reason, str(e.words)) for e in found.errors] == [(Reason.SIGNAL, "signal 9")]


def test_a_dropped_attempt_is_no_error_and_its_job_stays_queued(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.dropped(tx, attempt)
    found = jobs.fetch(spool.view, job)
    assert (found.phase, found.errors) == (Phase.QUEUED, ())
    assert attempts.open_attempts(spool.view) == []
    assert attempts.queued(spool.view, limit=5, besides=()) == [job]


def test_only_attempts_of_ours_that_have_ended_are_over(spool: Connection) -> None:
    first, second = a_job(spool), a_job(spool)
    with spool.transaction() as tx:
        done = attempts.intend(tx, first, engine="local")
        runs = attempts.intend(tx, second, engine="local")
        assert done is not None
        assert runs is not None
        attempts.ended(tx, done, DONE, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)
    asked = {done.token, runs.token, attempts.new_token()}
    assert attempts.over(spool.view, asked) == {done.token}


def test_a_job_that_is_worked_on_is_not_offered_again(spool: Connection) -> None:
    first, second = a_job(spool), a_job(spool)
    assert attempts.queued(spool.view, limit=1, besides={first}) == [second]


def test_an_illegal_step_changes_nothing(spool: Connection) -> None:
    job = a_job(spool)
    with pytest.raises(IllegalStepError), spool.transaction() as tx:
        jobs.advance(tx, job, Event.ARCHIVE)
    assert jobs.fetch(spool.view, job).phase is Phase.QUEUED


def test_a_job_that_moved_meanwhile_is_not_advanced(spool: Connection) -> None:
    job = a_job(spool)
    with pytest.raises(LookupError), spool.transaction() as tx:
        jobs.advance(tx, job, Event.SUSPEND, before=Phase.EXECUTING)


def test_an_end_that_the_clock_puts_before_the_start_is_put_right(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.begun(tx, attempt, tx.now)
        hour_ago = tx.now - timedelta(hours=1)
        attempts.ended(tx, attempt, DONE, at=hour_ago, streams=(), left_out=(), keep_mail=WEEK)
    found = jobs.fetch(spool.view, job)
    assert found.started is not None
    assert found.ended is not None
    assert found.ended >= found.started
    assert found.destruction == found.ended + WEEK


@pytest.mark.parametrize("apart", [timedelta(days=-9), timedelta(hours=1)])
def test_where_nodes_have_another_clock_it_is_told_how_long_it_took(
    spool: Connection, apart: timedelta
) -> None:
    job, took = a_job(spool), timedelta(seconds=5)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="slurm")
        assert attempt is not None
        tx.execute("UPDATE attempt SET intended = intended - 60")
        tx.execute("UPDATE job SET created = created - 60")
        began = tx.now + apart
        attempts.begun(tx, attempt, began)
        attempts.ended(
            tx, attempt, DONE, at=began + took, began=began, streams=(), left_out=(), keep_mail=WEEK
        )
    found = jobs.fetch(spool.view, job)
    assert found.started is not None
    assert found.ended is not None
    assert found.ended - found.started == took
    assert found.started >= found.created


def test_an_attempt_that_never_began_is_in_the_history(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="slurm")
        assert attempt is not None
        attempts.submitted(tx, attempt, NativeId("48211"))
        known = replace(attempt, native=NativeId("48211"))
        attempts.dropped(tx, known)
    assert [(verb, detail) for _, verb, detail in jobs.history(spool.view, job)][1:] == [
        ("dropped", "attempt=1 engine=slurm native=48211")
    ]


def test_what_was_collected_comes_back_as_it_was(spool: Connection) -> None:
    job = a_job(spool)
    stream = Stream(role=StreamRole.FILE, name="a.nwk", path="work/a.nwk", size=3, sha256="1" * 64)
    left_out = ("x: a link", Saying("outputs/left-out", name="y", why=Saying("outputs/link")))
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.ended(
            tx, attempt, DONE, at=tx.now, streams=(stream,), left_out=left_out, keep_mail=WEEK
        )
    found = jobs.fetch(spool.view, job)
    assert found.streams == (stream,)
    assert found.left_out == left_out


def test_a_start_mail_is_planned_for_who_asked_and_once(spool: Connection) -> None:
    job = a_job(spool, notify=frozenset({Notify.START}))
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.submitted(tx, attempt, NativeId("7"))
        assert attempts.begun(tx, attempt, tx.now)
        assert not attempts.begun(tx, attempt, tx.now)
    assert kinds(spool) == [LetterKind.STARTED]


def test_progress_is_told_by_quarters(spool: Connection) -> None:
    job = a_job(spool, notify=frozenset({Notify.PROGRESS}))
    for percent in (10, 26, 30, 80, 100):
        with spool.transaction() as tx:
            jobs.progressed(tx, jobs.fetch(tx, job), Progress(percent=percent, words="round"))
    assert kinds(spool) == [LetterKind.PROGRESS] * 2
    assert jobs.fetch(spool.view, job).progress == Progress(percent=100, words="round")


def test_a_receipt_is_planned_when_due_and_only_for_what_has_not_ended(spool: Connection) -> None:
    late, over = a_job(spool), a_job(spool)
    ended(spool, over)
    assert (notices.next_due(spool.view) or 0) > datetime.now(UTC).timestamp()
    with spool.transaction() as tx:
        appointments.shift(tx, -61, since=tx.at)
        assert notices.plan_due(tx, limit=10) == 1
        assert notices.plan_due(tx, limit=10) == 0
    queue = letters.queue(spool.view)
    assert [(q.kind, q.job) for q in queue if q.kind is LetterKind.RECEIPT] == [("receipt", late)]


@pytest.mark.parametrize(
    ("notify", "after"),
    [
        ((), 60),
        ((Notify.START,), 60),
        ((Notify.RECEIPT, Notify.END), 0),
        ((Notify.END,), None),
        ((Notify.END, Notify.START), None),
    ],
)
def test_a_receipt_comes_soon_or_at_once_or_not_where_the_result_alone_is_wanted(
    spool: Connection, notify: tuple[Notify, ...], after: float | None
) -> None:
    job = a_job(spool, notify=frozenset(notify))
    row = spool.view.one("SELECT created, receipt_due FROM job WHERE id = ?", job)
    assert row is not None
    assert row["receipt_due"] == (None if after is None else row["created"] + after)


def test_a_cancelled_job_that_never_ran_ends_with_a_letter(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        wishes.leave(tx, job, Wish.CANCEL)
    assert wishes.left(spool.view) == [(job, Wish.CANCEL)]
    with spool.transaction() as tx:
        assert attempts.cancelled(tx, job, keep_mail=WEEK)
    assert jobs.fetch(spool.view, job).phase is Phase.ABORTED
    assert wishes.left(spool.view) == []
    assert kinds(spool) == [LetterKind.RESULT]


def test_a_cancelled_job_is_not_retried(spool: Connection) -> None:
    plan = Plan(argv=("true",), retry_times=5, retry_on=frozenset(Reason))
    job = a_job(spool, plan=plan)
    ended(spool, job, Exit(reason=Reason.CANCELLED))
    assert jobs.fetch(spool.view, job).phase is Phase.ABORTED


def test_ids_are_base32_and_begin_with_a_letter() -> None:
    for _ in range(200):
        name = jobs.new_id()
        assert len(name) == 12
        assert name[0].isalpha()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz234567")
        assert attempts.new_token()[0] == "m"


def test_a_job_whose_attempts_never_begin_can_be_given_up_with_its_one_letter(
    spool: Connection,
) -> None:
    job = a_job(spool)
    end = Exit(reason=Reason.COULD_NOT_START, words="It never began.")
    for count in (1, 2):
        with spool.transaction() as tx:
            attempt = attempts.intend(tx, job, engine="local")
            assert attempt is not None
            attempts.submitted(tx, attempt, NativeId("1"))
            attempts.dropped(tx, attempt)
        assert attempts.drops(spool.view, job) == count
    for first in (True, False):
        with spool.transaction() as tx:
            assert attempts.given_up(tx, job, end, keep_mail=WEEK) is first
    found = jobs.fetch(spool.view, job)
    assert (found.phase, found.exit, len(found.errors)) == (Phase.ERROR, end, 1)
    assert kinds(spool) == [LetterKind.RESULT]


def test_an_attempt_that_the_engine_never_had_is_no_drop(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.dropped(tx, attempt)
    assert attempts.drops(spool.view, job) == 0


def test_an_attempt_that_was_lost_while_it_ran_is_no_drop(spool: Connection) -> None:
    plan = Plan(argv=("true",), retry_times=1, retry_on=frozenset({Reason.LOST}))
    job = a_job(spool, plan=plan)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.begun(tx, attempt, tx.now)
        attempts.ended(tx, attempt, LOST, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)
    assert attempts.drops(spool.view, job) == 0
