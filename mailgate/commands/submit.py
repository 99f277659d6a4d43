"""Submit: a clear request becomes a job, an unclear one an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mailgate import services
from mailgate.errors import OverQuota
from mailgate.model import (
    INPUTS,
    Answer,
    Identity,
    JobId,
    LetterKind,
    Request,
    Staged,
    Unclear,
)
from mailgate.saying import words_of
from mailgate.services import Service
from mailgate.spool import jobs, quotas, watching
from mailgate.spool.database import Tx
from mailgate.spool.quotas import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request by one identity, with all that the mail said."""

    identity: Identity
    message: int
    service: Service
    request: Request | Unclear
    staged: Sequence[Staged]
    subject: str | None
    message_id: str | None
    references: str | None
    receipt_after: timedelta
    watching: watching.Rule
    rules: Sequence[Rule] = ()


def execute(tx: Tx, call: Call) -> Answer | JobId:
    """Make the job, QUEUED, and return its name; or the answer where none is to be made.

    What an unclear request or a dry run said is answered, and nothing is kept of it.
    """
    match call.request:
        case Unclear() as unclear:
            facts = {"unclear": unclear, "name": unclear.label or call.subject}
            return Answer(kind=LetterKind.UNCLEAR, facts=facts)
        case Request(dry_run=True) as request:
            return _dry_run(call, request)
        case Request() as request:
            return _job(tx, call, request)


def _dry_run(call: Call, request: Request) -> Answer:
    plan = services.plan(call.service, request, Path("in"))
    facts = {
        "request": request,
        "plan": plan,
        "work_limit": _work_limit(call, request),
        "keep": _keep(call, request),
        "summary": call.service.summary,
        "takes": services.takes(call.service),
    }
    return Answer(kind=LetterKind.DRY_RUN, facts=facts)


def _work_limit(call: Call, request: Request) -> timedelta | None:
    return request.work_limit or call.service.limits.work


def _keep(call: Call, request: Request) -> timedelta:
    return request.keep or call.service.limits.keep


def _job(tx: Tx, call: Call, request: Request) -> Answer | JobId:
    try:
        quotas.check_jobs(tx, call.rules, now=tx.now)
    except OverQuota as over:
        facts = {
            "service": call.service.name,
            "sentence": words_of(over.public),
            "again": True,
            "name": request.label or call.subject,
        }
        return Answer(kind=LetterKind.REFUSED, facts=facts)
    quotas.count_job(tx, call.rules, call.identity.how)
    job = jobs.new_id()
    while jobs.exists(tx, job):
        job = jobs.new_id()
    draft = jobs.Draft(
        id=job,
        owner=call.identity,
        request=request,
        plan=services.plan(call.service, request, Path(INPUTS)),
        staged=call.staged,
        work_limit=_work_limit(call, request),
        keep=_keep(call, request),
        message=call.message,
        subject=call.subject,
        message_id=call.message_id,
        references=call.references,
        receipt_after=call.receipt_after,
    )
    jobs.create(tx, draft)
    for recipient in request.watch:
        watching.name(tx, jobs.fetch(tx, job), recipient, call.watching)
    return job
