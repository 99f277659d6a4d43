"""Attempts: intended, submitted, begun, ended; a job's end and its letters are one transaction."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from mailgate.model import (
    Attempt,
    AttemptState,
    Exit,
    How,
    Job,
    JobId,
    LetterKind,
    NativeId,
    Notify,
    Reason,
    Stream,
    Token,
    Wait,
    Wish,
)
from mailgate.phases import ACTIVE, Event, Phase, step
from mailgate.saying import Saying, Words
from mailgate.spool import codec, letters, wishes
from mailgate.spool.database import Row, Tx, View, moment
from mailgate.spool.indexes import OPEN
from mailgate.spool.jobs import advance, base32, fetch, notifies, phase_of, put_streams
from mailgate.spool.mail import forget_after
from mailgate.spool.outlook import outlook


def new_token() -> Token:
    """Draw an attempt's name in the scheduler."""
    return Token("m" + base32(secrets.randbits(60), 12))


def queued(
    view: View,
    *,
    limit: int,
    besides: Iterable[JobId],
    where: str = "",
    values: Sequence[str] = (),
) -> list[JobId]:
    """Return the jobs that wait longest to be given to an engine, but those the caller works on.

    ``where``: a further condition of SQL, with ``values``.
    """
    busy = frozenset(besides)
    rows = view.all(
        f"SELECT id FROM job WHERE phase = 'QUEUED' AND given = 0{where} ORDER BY queued LIMIT ?",
        *values,
        limit + len(busy),
    )
    return [JobId(row["id"]) for row in rows if row["id"] not in busy][:limit]


def intend(tx: Tx, job: JobId, *, engine: str) -> Attempt | None:
    """Write down that an attempt will be submitted; None if the job is not QUEUED any more.

    Nor is there one while another has not ended.
    """
    row = tx.one(
        "SELECT attempts, work_limit FROM job WHERE id = ? AND phase = 'QUEUED' AND given = 0", job
    )
    if row is None:
        return None
    limit = timedelta(seconds=row["work_limit"]) if row["work_limit"] else None
    attempt = Attempt(
        token=new_token(),
        job=job,
        number=row["attempts"] + 1,
        engine=engine,
        state=AttemptState.INTENDED,
        limit=limit,
    )
    tx.insert(
        "attempt",
        token=attempt.token,
        job=job,
        number=attempt.number,
        engine=engine,
        state=attempt.state,
        intended=tx.at,
        work_limit=limit.total_seconds() if limit else None,
    )
    tx.execute("UPDATE job SET attempts = ?, given = 1 WHERE id = ?", attempt.number, job)
    return attempt


def submitted(tx: Tx, attempt: Attempt, native: NativeId, *, borrowed: bool = False) -> None:
    """Note that the engine has the attempt, under its own name for it.

    ``borrowed``: it was laid out with inputs of another job, of which it now has copies.
    """
    if borrowed:
        tx.execute(
            "UPDATE input SET source = NULL, path = NULL WHERE job = ? AND source IS NOT NULL",
            attempt.job,
        )
    tx.execute(
        "UPDATE attempt SET state = 'SUBMITTED', native = ?, submitted = ? WHERE token = ?"
        " AND state = 'INTENDED'",
        native,
        tx.at,
        attempt.token,
    )


def waits(tx: Tx, seen: Iterable[Attempt]) -> list[JobId]:
    """Note that a cluster has these, and why they wait there, unless they run by now.

    Returns the jobs whose phase that changes: what is held there is HELD here.
    """
    moved = []
    for attempt in seen:
        if attempt.native is not None and attempt.state is AttemptState.INTENDED:
            # Laid out it was, whatever became of the daemon after that.
            submitted(tx, attempt, attempt.native, borrowed=True)
        starts = attempt.queued.starts
        tx.execute(
            "UPDATE attempt SET why = ?, starts = ? WHERE token = ?"
            " AND state IN ('INTENDED', 'SUBMITTED')",
            attempt.queued.why,
            None if starts is None else starts.timestamp(),
            attempt.token,
        )
        # One that is still to be released there is not held by that meanwhile.
        still = " AND held <> 2" if attempt.held else ""
        hit = tx.execute(
            "UPDATE attempt SET held = ? WHERE token = ?"
            f" AND state IN ('INTENDED', 'SUBMITTED'){still}",
            int(attempt.held),
            attempt.token,
        )
        if hit and wishes.mirror(tx, attempt.job, held=attempt.held):
            moved.append(attempt.job)
    return moved


def to_release(view: View) -> list[Token]:
    """Return the attempts that are held at a cluster, and are to be released there."""
    rows = view.all("SELECT token FROM attempt INDEXED BY attempt_released WHERE held = 2")
    return [Token(row["token"]) for row in rows]


def released(tx: Tx, attempt: Attempt) -> None:
    """Note that its cluster was asked to release an attempt: if it is held still, that is news."""
    tx.execute("UPDATE attempt SET held = 0 WHERE token = ? AND held = 2", attempt.token)


def suspended(tx: Tx, attempt: Attempt, is_suspended: bool) -> bool:  # noqa: FBT001 - a fact
    """Note that a cluster has stopped an attempt for a while, or lets it go on; False if known."""
    before = Phase.EXECUTING if is_suspended else Phase.SUSPENDED
    if phase_of(tx, attempt.job) is not before:
        return False
    advance(tx, attempt.job, Event.SUSPEND if is_suspended else Event.RESUME, before=before)
    return True


def stopped(view: View) -> set[Token]:
    """Return the attempts that a cluster has stopped for a while."""
    rows = view.all(
        "SELECT token FROM attempt JOIN job ON job.id = attempt.job WHERE state = 'STARTED'"
        " AND phase = 'SUSPENDED'"
    )
    return {Token(row["token"]) for row in rows}


def begun(tx: Tx, attempt: Attempt, at: datetime) -> bool:
    """Note that the attempt's command runs since ``at``; False if that was known.

    Where that is before it was written down, the clock that says so is behind ours.
    """
    if attempt.native is not None and attempt.state is AttemptState.INTENDED:
        submitted(tx, attempt, attempt.native, borrowed=True)
    hit = tx.execute(
        "UPDATE attempt SET state = 'STARTED', started = MAX(?, intended) WHERE token = ?"
        " AND state IN ('INTENDED', 'SUBMITTED')",
        at.timestamp(),
        attempt.token,
    )
    if not hit:
        return False
    started = "(SELECT started FROM attempt WHERE token = ?)"
    tx.execute(f"UPDATE job SET started = {started} WHERE id = ?", attempt.token, attempt.job)
    if attempt.held:
        wishes.mirror(tx, attempt.job, held=False)
    if phase_of(tx, attempt.job) is Phase.QUEUED:
        advance(tx, attempt.job, Event.START, before=Phase.QUEUED)
        if notifies(tx, attempt.job, Notify.START):
            job = fetch(tx, attempt.job)
            cause, facts = f"start {attempt.number}", {"outlook": outlook(tx, job)}
            letters.plan(tx, job, LetterKind.STARTED, cause=cause, facts=facts)
    return True


def dropped(tx: Tx, attempt: Attempt, words: str = "") -> None:
    """Note that an attempt never started and never will (its claim is ours): no retry, no error.

    ``words``: why it was not handed over, if that is known.
    """
    tx.execute(
        "UPDATE attempt SET state = 'LOST', ended = ? WHERE token = ? AND ended IS NULL",
        tx.at,
        attempt.token,
    )
    # Who held it there held what is no more.
    wishes.mirror(tx, attempt.job, held=False)
    tx.execute("UPDATE job SET given = 0 WHERE id = ?", attempt.job)
    native = f" native={attempt.native}" if attempt.native else ""
    detail = f"attempt={attempt.number} engine={attempt.engine}{native} {words}".rstrip()
    tx.note("dropped", job=attempt.job, detail=detail)
    tx.ring("run")


def ended(
    tx: Tx,
    attempt: Attempt,
    end: Exit,
    *,
    at: datetime,
    began: datetime | None = None,
    streams: Sequence[Stream],
    left_out: Sequence[Words],
    keep_mail: timedelta,
) -> Phase:
    """End an attempt; the job is queued again where its plan says so, else it ends with its letter.

    The whole of it is one transaction: a finished job whose reply is forgotten cannot exist.
    ``began`` and ``at`` are by one clock: where that is behind ours, only what lies between counts.
    Returns the job's phase; doing it a second time changes nothing.
    """
    job = fetch(tx, attempt.job)
    if began and job.started and job.started > began:
        at = min(job.started + (at - began), max(at, tx.now))
    state = AttemptState.LOST if end.reason is Reason.LOST else AttemptState.ENDED
    hit = tx.execute(
        "UPDATE attempt SET state = ?, ended = ? WHERE token = ? AND ended IS NULL",
        state,
        at.timestamp(),
        attempt.token,
    )
    if attempt.held:
        # It ended all the same.
        wishes.mirror(tx, attempt.job, held=False)
        job = fetch(tx, attempt.job)
    if not hit:
        return job.phase
    if job.phase not in ACTIVE:
        tx.execute("UPDATE job SET given = 0 WHERE id = ?", job.id)
        return job.phase
    # What somebody asked for did not go wrong.
    if end != Exit(reason=Reason.EXIT, code=0) and end.reason is not Reason.CANCELLED:
        tx.insert("mistake", job=job.id, at=tx.at, reason=end.reason, words=codec.words(_told(end)))
    if end.reason is not Reason.CANCELLED and _retries(tx, job, end):
        if job.phase is not Phase.QUEUED:
            advance(tx, job.id, Event.RETRY, before=job.phase)
        # The next attempt begins anew: neither its time nor its progress is this one's.
        tx.execute(
            "UPDATE job SET given = 0, started = NULL, progress = NULL, progress_words = ''"
            " WHERE id = ?",
            job.id,
        )
        tx.note("retried", job=job.id, detail=f"reason={end.reason} attempt={attempt.number}")
        tx.ring("run")
        return Phase.QUEUED
    return _finish(tx, job, end, at=at, streams=streams, left_out=left_out, keep_mail=keep_mail)


def _told(end: Exit) -> Words:
    """How the end reads on the list of errors, after its reason."""
    if end.reason is Reason.EXIT:
        return Saying("ends/exit-code", code=end.code, words=end.words)
    if end.reason is Reason.SIGNAL:
        return Saying("ends/signal", number=end.signal, words=end.words)
    return end.words


def _retries(tx: Tx, job: Job, end: Exit) -> bool:
    if end.reason not in job.plan.retry_on:
        return False
    earlier = tx.count("SELECT COUNT(*) FROM event WHERE job = ? AND verb = 'retried'", job.id)
    return earlier < job.plan.retry_times


def _finish(
    tx: Tx,
    job: Job,
    end: Exit,
    *,
    at: datetime,
    streams: Sequence[Stream],
    left_out: Sequence[Words],
    keep_mail: timedelta,
) -> Phase:
    if end.reason is Reason.CANCELLED and job.destruction and job.destruction <= tx.now:
        end = replace(end, words=Saying("ends/date-has-come"))
    # A clock that stepped back never makes an end before its start.
    over = max(at, job.started or at, job.created)
    # Nobody has asked for it: nothing of it is kept.
    claimed = job.owner.how is How.CLAIMED
    event = {
        Phase.COMPLETED: Event.COMPLETE,
        Phase.ERROR: Event.FAIL,
        Phase.ABORTED: Event.ABORT,
    }[end.phase]
    new = step(job.phase, event)
    hit = tx.execute(
        "UPDATE job SET phase = ?, ended = ?, destruction = COALESCE(destruction, ?), reason = ?,"
        " code = ?, signal = ?, words = ?, left_out = ?, receipt_due = NULL, news_due = NULL,"
        " wish = NULL, given = 0 WHERE id = ? AND phase = ?",
        new,
        over.timestamp(),
        (over if claimed else over + job.keep).timestamp(),
        end.reason,
        end.code,
        end.signal,
        codec.words(end.words),
        codec.dump(tuple(left_out)),
        job.id,
        job.phase,
    )
    if hit != 1:
        message = f"job {job.id} is no longer {job.phase}"
        raise LookupError(message)
    put_streams(tx, job.id, streams)
    tx.note("advanced", job=job.id, detail=f"from={job.phase} to={new} exit={end.header}")
    if job.wish is Wish.DESTROY:
        wishes.doomed(tx, job)
        return new
    letters.plan(tx, job, LetterKind.RESULT, cause="result", phase=new)
    letters.overtaken(tx, job)
    forget_after(tx, job.message, timedelta() if claimed else keep_mail)
    return new


def cancelled(tx: Tx, job: JobId, *, keep_mail: timedelta) -> bool:
    """End a job that no attempt runs, as somebody wished; False if it has ended."""
    found = fetch(tx, job)
    if found.phase not in ACTIVE:
        tx.execute("UPDATE job SET wish = NULL WHERE id = ? AND wish <> 'destroy'", job)
        return False
    end = Exit(reason=Reason.CANCELLED)
    _finish(tx, found, end, at=tx.now, streams=(), left_out=(), keep_mail=keep_mail)
    return True


def given_up(tx: Tx, job: JobId, end: Exit, *, keep_mail: timedelta) -> bool:
    """End a job that no attempt can run, for the reason of ``end``; False if it has ended."""
    found = fetch(tx, job)
    if found.phase not in ACTIVE:
        return False
    tx.insert("mistake", job=job, at=tx.at, reason=end.reason, words=codec.words(_told(end)))
    _finish(tx, found, end, at=tx.now, streams=(), left_out=(), keep_mail=keep_mail)
    return True


def drops(view: View, job: JobId) -> int:
    """Count the attempts at a job that the engine had, and that never began (`dropped`)."""
    return view.count(
        "SELECT COUNT(*) FROM attempt WHERE job = ? AND state = 'LOST'"
        " AND submitted IS NOT NULL AND started IS NULL",
        job,
    )


def over(view: View, tokens: Iterable[Token]) -> set[Token]:
    """Return those of ``tokens`` that are attempts of ours, and have ended."""
    one = "SELECT 1 FROM attempt WHERE token = ? AND ended IS NOT NULL"
    return {token for token in tokens if view.one(one, token) is not None}


def open_attempts(view: View) -> list[Attempt]:
    """Return every attempt that has not ended."""
    return [_attempt(row) for row in view.all(f"SELECT * FROM attempt WHERE {OPEN}")]


def _attempt(row: Row) -> Attempt:
    return Attempt(
        token=Token(row["token"]),
        job=JobId(row["job"]),
        number=row["number"],
        engine=row["engine"],
        state=AttemptState(row["state"]),
        native=NativeId(row["native"]) if row["native"] is not None else None,
        limit=timedelta(seconds=row["work_limit"]) if row["work_limit"] else None,
        started=moment(row["started"]) if row["started"] else None,
        queued=_queued(row),
        held=bool(row["held"]),
    )


def _queued(row: Row) -> Wait:
    return Wait(why=row["why"], starts=moment(row["starts"]) if row["starts"] else None)
