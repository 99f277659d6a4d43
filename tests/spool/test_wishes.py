"""What is asked of a job is done once, in its order of strength, and never lost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailgate.model import (
    Attempt,
    Exit,
    How,
    Identity,
    Job,
    JobId,
    LetterKind,
    LetterState,
    NativeId,
    Reason,
    Staged,
    Wait,
    Wish,
)
from mailgate.phases import Phase
from mailgate.spool import attempts, jobs, keep, letters, wishes
from mailgate.spool.database import Connection
from tests.spool.made import DONE, WEEK, a_job, begun_attempt, ended

ADA = "ada@example.org"
HOUR = timedelta(hours=1)
CANCELLED = Exit(reason=Reason.CANCELLED)


def fetched(spool: Connection, job: JobId) -> Job:
    return jobs.fetch(spool.view, job)


def hold(spool: Connection, job: JobId, by: str = ADA) -> bool:
    with spool.transaction() as tx:
        return wishes.hold(tx, jobs.fetch(tx, job), by=by)


def leave(spool: Connection, job: JobId, *these: Wish) -> None:
    with spool.transaction() as tx:
        for wish in these:
            wishes.leave(tx, job, wish)


def intended(spool: Connection, job: JobId) -> Attempt | None:
    with spool.transaction() as tx:
        return attempts.intend(tx, job, engine="local")


def over(spool: Connection, attempt: Attempt, end: Exit = DONE) -> Phase:
    with spool.transaction() as tx:
        return attempts.ended(tx, attempt, end, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)


# --- holding --------------------------------------------------------------------------------------


def test_a_held_job_is_not_started_before_it_is_released(spool: Connection) -> None:
    job = a_job(spool)
    assert hold(spool, job)
    assert (fetched(spool, job).phase, fetched(spool, job).held_by) == (Phase.HELD, ADA)
    assert intended(spool, job) is None
    assert attempts.queued(spool.view, limit=5, besides=()) == []
    with spool.transaction() as tx:
        wishes.release(tx, fetched(spool, job), by=ADA)
    assert (fetched(spool, job).phase, fetched(spool, job).held_by) == (Phase.QUEUED, None)
    assert intended(spool, job) is not None


def test_a_job_that_is_being_started_is_only_wished_to_be_held(spool: Connection) -> None:
    job = a_job(spool)
    attempt = intended(spool, job)
    assert attempt is not None
    assert not hold(spool, job)
    assert fetched(spool, job).phase is Phase.QUEUED
    assert wishes.left(spool.view) == [(job, Wish.HOLD)]
    with spool.transaction() as tx:
        attempts.dropped(tx, attempt)
        assert wishes.held(tx, job, runs=False)
    assert fetched(spool, job).phase is Phase.HELD
    assert (wishes.left(spool.view), fetched(spool, job).held_by) == ([], ADA)


def test_a_job_that_began_first_is_not_held(spool: Connection) -> None:
    job = a_job(spool)
    attempt = intended(spool, job)
    assert attempt is not None
    hold(spool, job)
    with spool.transaction() as tx:
        # Its row says QUEUED still: that it began is not noted yet.
        assert not wishes.held(tx, job, runs=True)
    assert fetched(spool, job).held_by is None
    assert over(spool, attempt) is Phase.COMPLETED


def test_a_hold_that_is_taken_back_holds_nothing(spool: Connection) -> None:
    job = a_job(spool)
    intended(spool, job)
    hold(spool, job)
    with spool.transaction() as tx:
        wishes.release(tx, fetched(spool, job), by=ADA)
        assert not wishes.held(tx, job, runs=False)
    assert fetched(spool, job).phase is Phase.QUEUED


@pytest.mark.parametrize("first", list(Wish))
@pytest.mark.parametrize("second", list(Wish))
def test_of_two_wishes_the_stronger_stays(spool: Connection, first: Wish, second: Wish) -> None:
    job = a_job(spool)
    leave(spool, job, first, second)
    strength = list(Wish).index
    assert wishes.left(spool.view) == [(job, max(first, second, key=strength))]
    assert wishes.is_to_end(spool.view, job) == (max(first, second, key=strength) != Wish.HOLD)


def test_a_held_job_that_is_cancelled_ends(spool: Connection) -> None:
    job = a_job(spool)
    hold(spool, job)
    leave(spool, job, Wish.CANCEL)
    with spool.transaction() as tx:
        assert attempts.cancelled(tx, job, keep_mail=WEEK)
    assert fetched(spool, job).phase is Phase.ABORTED


# --- held at a cluster ----------------------------------------------------------------------------


def held_there(spool: Connection, job: JobId, why: str = "JobHeldAdmin") -> Attempt:
    """A cluster has it, and somebody holds it there, as a poll says."""
    attempt = intended(spool, job)
    assert attempt is not None
    return waits(spool, replace(attempt, native=NativeId("7")), why)


def waits(spool: Connection, attempt: Attempt, why: str) -> Attempt:
    told = replace(attempt, queued=Wait(why=why), held=True)
    with spool.transaction() as tx:
        attempts.waits(tx, [told])
    return told


def test_what_was_held_at_a_cluster_that_lost_it_is_handed_over_anew(spool: Connection) -> None:
    job = a_job(spool)
    attempt = held_there(spool, job)
    assert fetched(spool, job).phase is Phase.HELD
    with spool.transaction() as tx:
        attempts.dropped(tx, attempt)
    assert fetched(spool, job).phase is Phase.QUEUED
    assert intended(spool, job) is not None


def test_a_release_is_not_undone_by_what_the_cluster_said_before_it_was_asked(
    spool: Connection,
) -> None:
    job = a_job(spool)
    attempt = held_there(spool, job)
    with spool.transaction() as tx:
        wishes.release(tx, jobs.fetch(tx, job), by=ADA)
    waits(spool, attempt, why="JobHeldUser")
    assert fetched(spool, job).phase is Phase.QUEUED
    assert attempts.to_release(spool.view) == [attempt.token]


def test_a_job_that_its_cluster_does_not_release_is_held_again(spool: Connection) -> None:
    job = a_job(spool)
    attempt = held_there(spool, job)
    with spool.transaction() as tx:
        wishes.release(tx, jobs.fetch(tx, job), by=ADA)
        attempts.released(tx, attempt)
    (known,) = attempts.open_attempts(spool.view)
    assert not known.held, "so that it is news if it is"
    waits(spool, attempt, why="JobHeldAdmin")
    assert fetched(spool, job).phase is Phase.HELD


# --- keeping --------------------------------------------------------------------------------------


def test_keep_counts_from_the_end_and_shows_the_latest_date_before_it(spool: Connection) -> None:
    job = a_job(spool)
    now = datetime.now(UTC)
    assert wishes.latest_destruction(fetched(spool, job), now) is None
    with spool.transaction() as tx:
        wishes.limit(tx, fetched(spool, job), HOUR, by=ADA)
        assert wishes.keep_for(tx, fetched(spool, job), 2 * WEEK, by=ADA) is None
    assert wishes.latest_destruction(fetched(spool, job), now) == now + HOUR + 2 * WEEK
    ended(spool, job)
    found = fetched(spool, job)
    assert found.ended is not None
    assert found.destruction == found.ended + 2 * WEEK
    with spool.transaction() as tx:
        assert wishes.keep_for(tx, found, WEEK, by=ADA) == found.ended + WEEK
    assert fetched(spool, job).destruction == found.ended + WEEK


def test_a_date_that_was_named_stays_when_the_job_ends(spool: Connection) -> None:
    job = a_job(spool)
    date = datetime(2040, 1, 31, tzinfo=UTC)
    with spool.transaction() as tx:
        wishes.keep_until(tx, fetched(spool, job), date, by=ADA)
    assert fetched(spool, job).destruction == date
    ended(spool, job)
    assert fetched(spool, job).destruction == date


def test_a_named_date_ends_a_job_and_keep_alone_never_does(spool: Connection) -> None:
    doomed, spared = begun_attempt(spool), a_job(spool, keep=timedelta(seconds=1))
    with spool.transaction() as tx:
        past = tx.now - HOUR
        wishes.keep_until(tx, fetched(spool, doomed.job), past, by=ADA)
    assert wishes.dooms(spool.view, now=datetime.now(UTC).timestamp())
    with spool.transaction() as tx:
        assert wishes.doom(tx) == [doomed.job]
        assert wishes.doom(tx) == []
    assert wishes.left(spool.view) == [(doomed.job, Wish.CANCEL)]
    assert fetched(spool, spared).phase is Phase.QUEUED
    over(spool, doomed, CANCELLED)
    end = fetched(spool, doomed.job).exit
    assert end is not None
    assert str(end.words).endswith("kept has come.")
    # Its result is told first.
    assert keep.expired_jobs(spool.view, now=datetime.now(UTC).timestamp()) == []


# --- limits ---------------------------------------------------------------------------------------


def test_a_limit_before_the_start_is_the_first_attempts(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        wishes.limit(tx, fetched(spool, job), HOUR, by=ADA)
    attempt = intended(spool, job)
    assert attempt is not None
    assert attempt.limit == HOUR
    assert wishes.limits(spool.view) == []


def test_the_last_of_two_limits_is_still_to_be_told(spool: Connection) -> None:
    attempt = begun_attempt(spool)
    with spool.transaction() as tx:
        wishes.limit(tx, fetched(spool, attempt.job), HOUR, by=ADA)
        (told,) = wishes.limits(tx)
        wishes.limit(tx, fetched(spool, attempt.job), 2 * HOUR, by=ADA)
        wishes.limited(tx, told, attempt.job, known=True)
        (again,) = wishes.limits(tx)
        assert again.limit == 2 * HOUR
        wishes.limited(tx, again, attempt.job, known=True)
        assert wishes.limits(tx) == []
    assert attempts.open_attempts(spool.view)[0].limit == 2 * HOUR


def test_an_attempt_that_has_ended_is_told_no_limit(spool: Connection) -> None:
    attempt = begun_attempt(spool)
    with spool.transaction() as tx:
        wishes.limit(tx, fetched(spool, attempt.job), HOUR, by=ADA)
    over(spool, attempt)
    assert wishes.limits(spool.view) == []


# --- destroying -----------------------------------------------------------------------------------


def destroy(spool: Connection, job: JobId, by: str = ADA) -> None:
    with spool.transaction() as tx:
        wishes.destroy(tx, jobs.fetch(tx, job), by=by)


def expired(spool: Connection) -> list[JobId]:
    return keep.expired_jobs(spool.view, now=datetime.now(UTC).timestamp())


def unsent(spool: Connection) -> list[tuple[LetterKind, LetterState]]:
    return [(letter.kind, letter.state) for letter in letters.queue(spool.view)]


def test_a_destroyed_job_goes_at_once_and_its_unsent_letters_with_it(spool: Connection) -> None:
    job = a_job(spool)
    ended(spool, job)
    assert unsent(spool) == [(LetterKind.RESULT, LetterState.PLANNED)]
    destroy(spool, job)
    assert unsent(spool) == []
    assert expired(spool) == [job]
    assert [raw.message for raw in keep.raw_mail(spool.view, now=_soon())] == [
        fetched(spool, job).message
    ]
    with spool.transaction() as tx:
        # Somebody was composing it: nothing comes of that.
        assert not letters.composed(tx, 1, size=1, body=b"x", file=None)
        keep.archive(tx, [job])
    assert fetched(spool, job).phase is Phase.ARCHIVED


def _soon() -> float:
    return datetime.now(UTC).timestamp() + 1


def test_a_running_job_is_ended_first_and_its_result_never_mailed(spool: Connection) -> None:
    attempt = begun_attempt(spool)
    destroy(spool, attempt.job)
    assert wishes.left(spool.view) == [(attempt.job, Wish.DESTROY)]
    assert expired(spool) == []
    assert over(spool, attempt, CANCELLED) is Phase.ABORTED
    assert unsent(spool) == []
    assert expired(spool) == [attempt.job]
    assert wishes.left(spool.view) == []


def test_a_weaker_wish_after_a_stronger_one_is_not_told_as_if_it_counted(
    spool: Connection,
) -> None:
    attempt = begun_attempt(spool)
    destroy(spool, attempt.job)
    leave(spool, attempt.job, Wish.CANCEL)
    wished = [words for _, verb, words in jobs.history(spool.view, attempt.job) if verb == "wished"]
    assert wished == [f"destroy by={ADA}"]


def test_mail_that_made_another_job_is_kept_for_that_one(spool: Connection) -> None:
    old, new = a_job(spool), a_job(spool)
    with spool.transaction() as tx:
        # As the operator's "rerun" makes it: in the thread of the old job.
        message = jobs.fetch(tx, old).message
        tx.execute("UPDATE job SET message = ? WHERE id = ?", message, new)
    ended(spool, old)
    ended(spool, new)
    destroy(spool, new)
    assert keep.raw_mail(spool.view, now=_soon()) == []
    destroy(spool, old)
    assert [raw.message for raw in keep.raw_mail(spool.view, now=_soon())] == [message]


def test_the_owner_hears_of_a_job_that_somebody_else_destroyed(spool: Connection) -> None:
    attempt = begun_attempt(spool)
    destroy(spool, attempt.job, by="operator")
    over(spool, attempt, CANCELLED)
    assert unsent(spool) == [(LetterKind.DESTROYED, LetterState.PLANNED)]
    # It can be told without the job's files.
    assert expired(spool) == [attempt.job]


def test_nothing_is_mailed_to_an_owner_whom_nothing_vouches_for(spool: Connection) -> None:
    job = fetched(spool, a_job(spool))
    stranger = Identity(address=ADA, how=How.CLAIMED)
    with spool.transaction() as tx:
        wishes.destroy(tx, replace(job, owner=stranger), by="operator")
    assert unsent(spool) == []


def test_inputs_that_another_job_waits_for_are_not_purged(spool: Connection) -> None:
    job = a_job(spool)
    ended(spool, job)
    borrowed = Staged(name="a", file="a.fa", filename="x.fa", size=1, sha256="0", source=job)
    other = a_job(spool, staged=(borrowed,))
    destroy(spool, job)
    assert wishes.needed_by(spool.view, job) == [other]
    assert expired(spool) == []
    attempt = intended(spool, other)
    assert attempt is not None
    with spool.transaction() as tx:
        attempts.submitted(tx, attempt, NativeId("1"), borrowed=True)
    assert expired(spool) == [job]
    assert jobs.inputs(spool.view, other)[0].source is None


def test_inputs_that_an_ended_job_never_got_hold_nothing_back(spool: Connection) -> None:
    job = a_job(spool)
    ended(spool, job)
    borrowed = Staged(name="a", file="a.fa", filename="x.fa", size=1, sha256="0", source=job)
    other = a_job(spool, staged=(borrowed,))
    destroy(spool, job)
    with spool.transaction() as tx:
        attempts.cancelled(tx, other, keep_mail=WEEK)
    assert expired(spool) == [job]
