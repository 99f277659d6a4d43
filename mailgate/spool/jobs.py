"""Jobs: made, advanced one step of the state machine at a time, looked up."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailgate.model import (
    How,
    Identity,
    Job,
    JobId,
    LetterKind,
    Mistake,
    Notify,
    Plan,
    Progress,
    Reason,
    Request,
    Staged,
    Stream,
    StreamRole,
)
from mailgate.phases import Event, Phase, step
from mailgate.saying import Words
from mailgate.spool import codec, letters
from mailgate.spool.database import Row, Tx, View, moment
from mailgate.spool.rows import job_of

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BASE32 = _LETTERS + "234567"


def new_id() -> JobId:
    """Draw a job's name: 12 base32 characters, the first a letter (about 60 random bits)."""
    number = secrets.randbelow(len(_LETTERS) << 55)
    return JobId(_LETTERS[number >> 55] + base32(number, 11))


def base32(number: int, length: int) -> str:
    """Return the last ``5 * length`` bits of ``number`` as lower-case base32 characters."""
    return "".join(_BASE32[number >> 5 * place & 31] for place in reversed(range(length)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that makes a job: a clear request, its plan and its inputs, and the mail it came by."""

    id: JobId
    owner: Identity
    request: Request
    plan: Plan
    staged: Sequence[Staged]
    work_limit: timedelta | None
    keep: timedelta
    message: int
    subject: str | None
    message_id: str | None
    references: str | None
    receipt_after: timedelta


def exists(view: View, job: JobId) -> bool:
    """Whether that name is taken."""
    return view.one("SELECT 1 FROM job WHERE id = ?", job) is not None


def create(tx: Tx, draft: Draft) -> None:
    """Make a job with its inputs, QUEUED, and plan its receipt.

    Where nothing vouches for its owner it is PENDING, and there is no receipt.
    """
    request, claimed = draft.request, draft.owner.how is How.CLAIMED
    phase = Phase.PENDING if claimed else Phase.QUEUED
    after = receipt_after(request.notify, draft.receipt_after)
    tx.insert(
        "job",
        id=draft.id,
        service=request.service,
        owner=draft.owner.address,
        how=draft.owner.how,
        label=request.label,
        phase=phase,
        parameters=codec.dump(request.parameters),
        plan=codec.dump(draft.plan),
        notify=codec.dump(request.notify),
        reply=request.reply,
        part=request.part,
        created=tx.at,
        queued=None if claimed else tx.at,
        work_limit=draft.work_limit.total_seconds() if draft.work_limit else None,
        keep=draft.keep.total_seconds(),
        message=draft.message,
        subject=draft.subject,
        in_reply_to=draft.message_id,
        refs=draft.references,
        ignored=codec.dump(request.ignored),
        left_out="[]",
        words="",
        progress_words="",
        attempts=0,
        given=0,
        receipt_due=None if claimed or after is None else tx.at + after.total_seconds(),
        news_every=request.every.total_seconds() if request.every else None,
        news_due=tx.at + request.every.total_seconds() if request.every else None,
    )
    for n, item in enumerate(draft.staged):
        tx.insert(
            "input",
            job=draft.id,
            n=n,
            name=item.name,
            file=item.file,
            filename=item.filename,
            size=item.size,
            sha256=item.sha256,
            bytes=item.body,
            path=item.path,
            source=item.source,
        )
    tx.note("created", job=draft.id, detail=f"phase={phase} service={request.service}")
    tx.ring("run")


def advance(tx: Tx, job: JobId, event: Event, *, before: Phase | None = None) -> Phase:
    """Take one step of the state machine; the job must be where the caller believes it is.

    Returns the new phase.

    Raises
    ------
    IllegalStepError
        The job's phase knows no such event.
    LookupError
        The job moved meanwhile, or does not exist.
    """
    old = before or phase_of(tx, job)
    new = step(old, event)
    hit = tx.execute(
        "UPDATE job SET phase = ?, queued = CASE WHEN ? = 'QUEUED' THEN ? ELSE queued END"
        " WHERE id = ? AND phase = ?",
        new,
        new,
        tx.at,
        job,
        old,
    )
    if hit != 1:
        message = f"job {job} is no longer {old}"
        raise LookupError(message)
    tx.note("advanced", job=job, detail=f"from={old} to={new}")
    return new


def _row(view: View, job: JobId, columns: str) -> Row:
    row = view.one(f"SELECT {columns} FROM job WHERE id = ?", job)
    if row is None:
        message = f"there is no job {job}"
        raise LookupError(message)
    return row


def phase_of(view: View, job: JobId) -> Phase:
    """Return where a job is.

    Raises
    ------
    LookupError
        There is no such job.
    """
    row = _row(view, job, "phase")
    return Phase(row["phase"])


def service_of(view: View, job: JobId) -> str:
    """Return what a job runs; LookupError where there is no such job."""
    return str(_row(view, job, "service")["service"])


def plan_of(view: View, job: JobId) -> tuple[Plan, Phase]:
    """Return what is to run, and where the job is.

    Raises
    ------
    LookupError
        There is no such job.
    """
    row = _row(view, job, "plan, phase")
    return codec.load(Plan, row["plan"]), Phase(row["phase"])


def receipt_after(notify: Collection[Notify], after: timedelta) -> timedelta | None:
    """Return when a job gets its receipt, from its beginning; None where only its result is wanted.

    ``after``: when it gets one for which nobody asked.
    """
    if Notify.RECEIPT in notify:
        return timedelta()
    return None if Notify.END in notify else after


def notifies(view: View, job: JobId, event: Notify) -> bool:
    """Whether the owner asked to hear of ``event``."""
    row = view.one("SELECT notify FROM job WHERE id = ?", job)
    return row is not None and event in codec.load(frozenset[Notify], row["notify"])


def put_streams(tx: Tx, job: JobId, streams: Sequence[Stream]) -> None:
    """Write down what was collected of a job's outputs, in the reply's order."""
    for n, stream in enumerate(streams):
        tx.insert(
            "stream",
            job=job,
            n=n,
            role=stream.role,
            name=stream.name,
            path=stream.path,
            size=stream.size,
            sha256=stream.sha256,
        )


def restream(tx: Tx, job: JobId, streams: Sequence[Stream], left_out: Sequence[Words]) -> None:
    """Replace what is known of an ended job's outputs, after they changed under us."""
    tx.execute("DELETE FROM stream WHERE job = ?", job)
    tx.execute("UPDATE job SET left_out = ? WHERE id = ?", codec.dump(tuple(left_out)), job)
    put_streams(tx, job, streams)
    tx.note("recollected", job=job)


def progressed_all(tx: Tx, said: Mapping[JobId, Progress]) -> None:
    """Keep what jobs say of themselves, of those that still run."""
    for name, progress in said.items():
        job = fetch(tx, name)
        if job.phase is Phase.EXECUTING:
            progressed(tx, job, progress)


def progressed(tx: Tx, job: Job, progress: Progress) -> None:
    """Keep what the job says of itself; each quarter is told to an owner who asked."""
    tx.execute(
        "UPDATE job SET progress = ?, progress_words = ? WHERE id = ?",
        progress.percent,
        progress.words,
        job.id,
    )
    quarter = int(progress.percent // 25) * 25
    before = int(job.progress.percent // 25) * 25 if job.progress else 0
    if Notify.PROGRESS in job.notify and before < quarter < 100:
        letters.plan(tx, job, LetterKind.PROGRESS, cause=f"progress {quarter}")


# --- reading --------------------------------------------------------------------------------------


def fetch(view: View, job: JobId) -> Job:
    """Return a job as it stands, with its errors and outputs.

    Raises
    ------
    LookupError
        There is no such job.
    """
    row = _row(view, job, "*")
    return job_of(row, _mistakes(view, job), _streams(view, job))


def vouched(view: View, job: Job) -> str | None:
    """Return what vouched for the owner of a job, in words; None where its mail does not tell."""
    row = view.one(
        "SELECT vouched, door FROM message WHERE id = (SELECT message FROM job WHERE id = ?)"
        " AND address = ? AND how = ?",
        job.id,
        job.owner.address,
        job.owner.how,
    )
    if row is None:
        return None
    # A message of an earlier version says only through which door it came.
    return row["vouched"] or ("the trusted pipe" if row["door"] == "pipe" else None)


def alike(view: View, beginning: str) -> list[JobId]:
    """Return the jobs whose id begins so, at most ten."""
    rows = view.all(
        "SELECT id FROM job WHERE id >= ? AND id < ? ORDER BY id LIMIT 10",
        beginning,
        beginning + "\x7f",
    )
    return [JobId(row["id"]) for row in rows]


def inputs(view: View, job: JobId) -> list[Staged]:
    """Return a job's inputs, in the service's order."""
    return [
        Staged(
            name=row["name"],
            file=row["file"],
            filename=row["filename"],
            size=row["size"],
            sha256=row["sha256"],
            body=row["bytes"],
            path=row["path"],
            source=JobId(row["source"]) if row["source"] else None,
        )
        for row in view.all("SELECT * FROM input WHERE job = ? ORDER BY n", job)
    ]


def sent(view: View, job: JobId) -> tuple[tuple[str, int], ...]:
    """Return its inputs' names, as the sender gave them ("" for a body), and sizes in bytes."""
    rows = view.all("SELECT filename, size FROM input WHERE job = ? ORDER BY n", job)
    return tuple((row["filename"], row["size"]) for row in rows)


def newest(view: View, *, limit: int, active: bool) -> list[Job]:
    """Return jobs, newest first, without errors and outputs; ``active``: not ended ones."""
    which = "WHERE phase IN ('PENDING', 'HELD', 'QUEUED', 'EXECUTING', 'SUSPENDED', 'UNKNOWN')"
    rows = view.all(
        f"SELECT * FROM job {which if active else ''} ORDER BY created DESC LIMIT ?", limit
    )
    return [job_of(row, (), ()) for row in rows]


def bare(row: Row) -> Job:
    """Return the job of a row of its table, without errors and outputs."""
    return job_of(row, (), ())


def handed(view: View, job: JobId) -> list[dict[str, object]]:
    """Return the attempts that an engine has, or had, by its own name for them (``native``)."""
    rows = view.all(
        "SELECT number, engine, native, state, why FROM attempt WHERE job = ?"
        " AND native IS NOT NULL ORDER BY number",
        job,
    )
    return [dict(row) for row in rows]


def history(view: View, job: JobId) -> list[tuple[datetime, str, str]]:
    """Return what happened to a job: time, verb, detail."""
    rows = view.all("SELECT at, verb, detail FROM event WHERE job = ? ORDER BY id", job)
    return [(moment(row["at"]), row["verb"], row["detail"]) for row in rows]


def _mistakes(view: View, job: JobId) -> tuple[Mistake, ...]:
    rows = view.all("SELECT at, reason, words FROM mistake WHERE job = ? ORDER BY id", job)
    return tuple(
        Mistake(at=moment(r["at"]), reason=Reason(r["reason"]), words=codec.worded(r["words"]))
        for r in rows
    )


def _streams(view: View, job: JobId) -> tuple[Stream, ...]:
    rows = view.all("SELECT * FROM stream WHERE job = ? ORDER BY n", job)
    return tuple(
        Stream(
            role=StreamRole(r["role"]),
            name=r["name"],
            path=r["path"],
            size=r["size"],
            sha256=r["sha256"],
        )
        for r in rows
    )
