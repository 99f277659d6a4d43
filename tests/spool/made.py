"""Values for the spool's tests."""

from dataclasses import replace
from datetime import timedelta

from mailgate.model import (
    Attempt,
    Exit,
    How,
    Identity,
    JobId,
    Notify,
    Plan,
    Reason,
    Request,
    Staged,
)
from mailgate.spool import attempts, jobs, mail
from mailgate.spool.database import Connection
from mailgate.spool.tables import Errand

ADA = Identity(address="ada@example.org", how=How.NETWORK)
WEEK = timedelta(days=7)
DONE = Exit(reason=Reason.EXIT, code=0)
LOST = Exit(reason=Reason.LOST)


def accepted(key: str = "<1@example.org>", **changes: object) -> mail.Accepted:
    values: dict[str, object] = {
        "door": "smtp",
        "peer": "127.0.0.1",
        "sender": "ada@example.org",
        "identity": ADA,
        "key": key,
        "sha256": "0" * 64,
        "size": 5,
        "body": b"hello",
        "file": None,
        "errands": [(Errand.REQUEST, "align")],
    }
    return mail.Accepted(**{**values, **changes})  # type: ignore[arg-type]


def a_job(
    spool: Connection,
    *,
    notify: frozenset[Notify] = frozenset(),
    plan: Plan | None = None,
    keep: timedelta = WEEK,
    staged: tuple[Staged, ...] = (),
    owner: Identity = ADA,
    service: str = "align",
) -> JobId:
    with spool.transaction() as tx:
        message = mail.accept(tx, accepted(f"<{jobs.new_id()}@example.org>", identity=owner))
        errand = mail.fetch(tx, message)
        assert errand is not None
        draft = jobs.Draft(
            id=jobs.new_id(),
            owner=owner,
            plan=plan or Plan(argv=("true",)),
            staged=staged,
            request=Request(service=service, parameters={"tree": "sl"}, inputs=(), notify=notify),
            work_limit=None,
            keep=keep,
            message=message,
            subject="s",
            message_id="<1@example.org>",
            references=None,
            receipt_after=timedelta(seconds=60),
        )
        jobs.create(tx, draft)
        mail.settle(tx, errand.errands[0][0], reason="job", job=draft.id)
        return draft.id


def ended(spool: Connection, job: JobId, end: Exit = DONE) -> None:
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.submitted(tx, attempt, native="1")  # type: ignore[arg-type]
        attempts.begun(tx, attempt, tx.now)
        attempts.ended(tx, attempt, end, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)


def begun_attempt(spool: Connection) -> Attempt:
    """A job of which an attempt runs, as far as the spool knows."""
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        attempts.begun(tx, attempt, tx.now)
    return replace(attempt, started=tx.now)
