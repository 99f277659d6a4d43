"""What is asked of a job once it is made: held, released, kept, limited, ended, destroyed.

What the spool alone decides is done here and now. What touches an attempt is written down as a
wish, and the room that owns the engine does it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailgate.model import Job, JobId, LetterKind, Token, Wish
from mailgate.phases import ENDED, Event, Phase
from mailgate.said import sendable
from mailgate.spool import jobs, letters, watchers
from mailgate.spool.database import Tx, View, moment
from mailgate.spool.indexes import OPEN
from mailgate.spool.keep import NOT_ENDED

OPERATOR = "operator"
"""Who holds or asks, where it is no address."""

CLUSTER = "cluster"
"""Who holds a job that a scheduler's own people hold, there."""

_LIVES = "(wish IS NULL OR wish = 'hold')"


def leave(tx: Tx, job: JobId, wish: Wish, *, by: str = OPERATOR) -> bool:
    """Leave a wish for the room that owns the engine; False where a stronger one is left already.

    So neither of two that follow each other is lost: what ends a job makes holding it pointless,
    and what destroys it ends it first.
    """
    weaker = list(Wish)[: list(Wish).index(wish) + 1]
    hit = tx.execute(
        "UPDATE job SET wish = ? WHERE id = ?"
        f" AND (wish IS NULL OR wish IN ({', '.join('?' * len(weaker))}))",
        wish,
        job,
        *weaker,
    )
    if hit:
        tx.note("wished", job=job, detail=f"{wish} by={by}")
        tx.ring("run")
    return bool(hit)


def left(view: View) -> list[tuple[JobId, Wish]]:
    """Return what was asked for and nobody has done yet, of jobs that have not ended."""
    rows = view.all(
        f"SELECT id, wish FROM job INDEXED BY job_wish WHERE wish IS NOT NULL AND {NOT_ENDED}"
    )
    return [(JobId(row["id"]), Wish(row["wish"])) for row in rows]


def is_to_end(view: View, job: JobId) -> bool:
    """Whether somebody wants a job ended that has not."""
    row = view.one(f"SELECT wish FROM job WHERE id = ? AND wish IS NOT NULL AND {NOT_ENDED}", job)
    return row is not None and Wish(row["wish"]).ends


def asked(view: View, job: JobId) -> datetime | None:
    """Return when the last wish about a job was left; None where none ever was."""
    row = view.one("SELECT MAX(at) AS at FROM event WHERE job = ? AND verb = 'wished'", job)
    return moment(row["at"]) if row and row["at"] is not None else None


def ended_by(view: View, job: JobId) -> str:
    """Return who had a job ended: an address or `OPERATOR`; "" where nobody did."""
    row = view.one(
        "SELECT detail FROM event WHERE job = ? AND verb = 'wished'"
        " AND (detail GLOB 'cancel by=*' OR detail GLOB 'destroy by=*') ORDER BY id DESC LIMIT 1",
        job,
    )
    by = str(row["detail"]).partition(" by=")[2] if row else ""
    return by if by != "date" else ""


# --- holding --------------------------------------------------------------------------------------


def hold(tx: Tx, job: Job, *, by: str) -> bool:
    """Hold a QUEUED job: True if it is HELD now, False if that is only wished.

    One that the engine is just being given is held where its attempt has not begun by then.
    """
    row = tx.one(f"SELECT 1 FROM attempt WHERE job = ? AND {OPEN}", job.id)
    tx.execute("UPDATE job SET held_by = ? WHERE id = ?", by, job.id)
    if row is not None:
        leave(tx, job.id, Wish.HOLD, by=by)
        return False
    jobs.advance(tx, job.id, Event.HOLD, before=Phase.QUEUED)
    tx.note("held", job=job.id, detail=f"by={by}")
    return True


def held(tx: Tx, job: JobId, *, runs: bool) -> bool:
    """Make a QUEUED job HELD, as was wished; False where it ``runs`` already, or has moved on.

    A wish that somebody has taken back, or that a stronger one has replaced, is none any more.
    """
    done = tx.execute("UPDATE job SET wish = NULL WHERE id = ? AND wish = 'hold'", job)
    if not done or runs or jobs.phase_of(tx, job) is not Phase.QUEUED:
        if done:
            tx.execute("UPDATE job SET held_by = NULL WHERE id = ?", job)
        return False
    jobs.advance(tx, job, Event.HOLD, before=Phase.QUEUED)
    return True


def release(tx: Tx, job: Job, *, by: str) -> None:
    """Let a HELD job go on, or one that is to be held."""
    if job.phase is Phase.HELD:
        jobs.advance(tx, job.id, Event.RELEASE, before=Phase.HELD)
    tx.execute(
        "UPDATE job SET held_by = NULL, wish = CASE wish WHEN 'hold' THEN NULL ELSE wish END"
        " WHERE id = ?",
        job.id,
    )
    # One that somebody holds at its cluster.
    tx.execute(f"UPDATE attempt SET held = 2 WHERE job = ? AND held = 1 AND {OPEN}", job.id)
    tx.note("released", job=job.id, detail=f"by={by}")
    tx.ring("run")


def mirror(tx: Tx, job: JobId, *, held: bool) -> bool:
    """Have a job HELD that somebody holds at its cluster, and QUEUED once nobody does.

    False where nothing of that changes: it is held here as well, say.
    """
    phase = jobs.phase_of(tx, job)
    if held and phase is Phase.QUEUED:
        jobs.advance(tx, job, Event.HOLD, before=phase)
        tx.execute("UPDATE job SET held_by = ? WHERE id = ?", CLUSTER, job)
        tx.note("held", job=job, detail=f"by={CLUSTER}")
        return True
    row = tx.one("SELECT 1 FROM job WHERE id = ? AND held_by = ?", job, CLUSTER)
    if held or row is None or phase is not Phase.HELD:
        return False
    jobs.advance(tx, job, Event.RELEASE, before=phase)
    tx.execute("UPDATE job SET held_by = NULL WHERE id = ?", job)
    tx.note("released", job=job, detail=f"by={CLUSTER}")
    return True


# --- how long it is kept --------------------------------------------------------------------------


def keep_for(tx: Tx, job: Job, keep: timedelta, *, by: str) -> datetime | None:
    """Keep a job so long from its end, and return its destruction, if it has ended.

    A date that was named for it before counts no more.
    """
    until = job.ended + keep if job.ended is not None else None
    tx.execute(
        "UPDATE job SET keep = ?, destruction = ? WHERE id = ?",
        keep.total_seconds(),
        None if until is None else until.timestamp(),
        job.id,
    )
    tx.note("kept", job=job.id, detail=f"for={sendable(keep)} by={by}")
    return until


def keep_until(tx: Tx, job: Job, until: datetime, *, by: str) -> None:
    """Keep a job until then; one that has not ended by then is ended."""
    tx.execute("UPDATE job SET destruction = ? WHERE id = ?", until.timestamp(), job.id)
    tx.note("kept", job=job.id, detail=f"until={until:%Y-%m-%dT%H:%M:%SZ} by={by}")


def latest_destruction(job: Job, now: datetime) -> datetime | None:
    """Return until when a job is kept at the most; None where nothing bounds its work.

    Until it has ended that is its latest possible end and its ``keep``, unless a date is named.
    """
    if job.destruction is not None:
        return job.destruction
    if job.work_limit is None:
        return None
    return (job.started or now) + job.work_limit + job.keep


def dooms(view: View, *, now: float) -> bool:
    """Whether `doom` would find any."""
    one = f"SELECT 1 FROM job WHERE destruction <= ? AND {NOT_ENDED} AND {_LIVES} LIMIT 1"
    return view.one(one, now) is not None


def doom(tx: Tx) -> list[JobId]:
    """Wish the end of the jobs that still wait or run at the date until which they are kept."""
    rows = tx.all(f"SELECT id FROM job WHERE destruction <= ? AND {NOT_ENDED} AND {_LIVES}", tx.at)
    found = [JobId(row["id"]) for row in rows]
    for job in found:
        leave(tx, job, Wish.CANCEL, by="date")
    return found


# --- how long it may run --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit that a running attempt is to be told."""

    token: Token
    limit: timedelta


def limit(tx: Tx, job: Job, limit: timedelta, *, by: str) -> None:
    """Limit the work of a job that has not ended, also where an attempt of it runs already."""
    seconds = limit.total_seconds()
    tx.execute("UPDATE job SET work_limit = ? WHERE id = ?", seconds, job.id)
    tx.execute(f"UPDATE attempt SET wanted = ? WHERE job = ? AND {OPEN}", seconds, job.id)
    tx.note("limited", job=job.id, detail=f"work={sendable(limit)} by={by}")
    tx.ring("run")


def limits(view: View) -> list[Limit]:
    """Return the limits that attempts are still to be told."""
    rows = view.all(f"SELECT token, wanted FROM attempt WHERE wanted IS NOT NULL AND {OPEN}")
    return [
        Limit(token=Token(row["token"]), limit=timedelta(seconds=row["wanted"])) for row in rows
    ]


def limited(tx: Tx, told: Limit, job: JobId, *, known: bool) -> None:
    """Note that an attempt was told; another limit that came meanwhile is still to be.

    ``known``: it can run so long, as far as its engine lets it.
    """
    seconds = told.limit.total_seconds()
    tx.execute(
        "UPDATE attempt SET work_limit = ?, wanted = NULL WHERE token = ? AND wanted = ?",
        seconds,
        told.token,
        seconds,
    )
    if not known:
        tx.note("unlimited", job=job, detail=f"work={sendable(told.limit)}")


# --- the end of it --------------------------------------------------------------------------------


def destroy(tx: Tx, job: Job, *, by: str) -> None:
    """Have a job's results, inputs and folder go at once; one that has not ended is ended first.

    No letter of it that has not left does so any more, but the one that tells those who wait for
    its result, and its owner in any case, that it was somebody else's wish.
    """
    over = job.phase in ENDED
    kind = LetterKind.DESTROYED if over else LetterKind.RESULT
    for recipient in watchers.recipients(tx, job, kind):
        if recipient.lower() != by.lower():
            letters.plan(tx, job, LetterKind.DESTROYED, cause="destroyed", only=recipient)
    if over:
        tx.note("wished", job=job.id, detail=f"{Wish.DESTROY} by={by}")
        doomed(tx, job)
    else:
        leave(tx, job.id, Wish.DESTROY, by=by)


def doomed(tx: Tx, job: Job) -> None:
    """Let the janitor have what is left of an ended job at its next look, whatever the clock says.

    Its mail goes too, unless it made another job, which is there still.
    """
    tx.execute("UPDATE job SET destruction = ?, wish = ? WHERE id = ?", tx.at, Wish.DESTROY, job.id)
    tx.execute(
        "UPDATE message SET purge = 0 WHERE id = ? AND gone = 0 AND NOT EXISTS (SELECT 1 FROM job"
        " WHERE job.message = message.id AND phase <> 'ARCHIVED' AND wish IS NOT 'destroy')",
        job.message,
    )
    _withdraw(tx, job.id)
    tx.ring("clean")


def _withdraw(tx: Tx, job: JobId) -> None:
    """Let no letter about a job leave that has not, but answers and what tells its destruction.

    The rows stay: somebody may still be composing or sending one, which may then arrive.
    """
    rows = tx.all(
        "SELECT id FROM letter WHERE job = ? AND kind NOT IN ('destroyed', 'commands')"
        " AND state IN ('PLANNED', 'WAITING', 'HELD')",
        job,
    )
    for row in rows:
        tx.execute("UPDATE letter SET state = 'WITHDRAWN', next_try = NULL WHERE id = ?", row["id"])
        tx.execute("DELETE FROM letter_body WHERE letter = ?", row["id"])
        tx.note("withdrawn", job=job, detail=f"letter={row['id']}")


def needed_by(view: View, job: JobId) -> Sequence[JobId]:
    """Return the jobs that wait to start with this one's inputs, which are kept so long."""
    rows = view.all(
        "SELECT DISTINCT input.job FROM input JOIN job ON job.id = input.job"
        f" WHERE input.source = ? AND {NOT_ENDED}",
        job,
    )
    return [JobId(row["job"]) for row in rows]
