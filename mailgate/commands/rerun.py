"""Run the job once more, as a new one, with the changes that stand below it.

A line "key: value" below it changes a parameter, or the label, the work-limit, how long it is kept,
and what is mailed. All else is as it was; the inputs are the same, as long as they are kept. Others
are told of the new job only where a line "watch" names them. The old job stays as it is.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mailgate import services
from mailgate.commands import lifetime, submit
from mailgate.commands.call import Call, Origin, unfit
from mailgate.model import Answer, Input, Job, JobId, Plan, Request, Staged, Understood
from mailgate.parse.inputs import meant_for
from mailgate.parse.keys import Asked, Finding, key_line, lacking, read_keys, wrong
from mailgate.phases import ENDED, Phase
from mailgate.run.jobdir import Folder
from mailgate.saying import Saying, Words
from mailgate.services import Service
from mailgate.settings.parameters import Parameter
from mailgate.settings.rules import folded
from mailgate.spool import jobs, quotas, watching
from mailgate.spool.database import Tx
from mailgate.spool.store import Folder as SpoolFolder

usage = ("rerun", "rerun\nkey: value")
takes_lines = True
meant_by = ("restart", "retry", "repeat", "again", "resubmit")


def execute(tx: Tx, call: Call) -> Answer:
    """Make the new job, or say what is in the way; what it cannot have is never guessed."""
    # Who writes "rerun tree: upgma" on one line is understood, too.
    beside = " ".join(call.words)
    if beside and key_line(beside) is None:
        return unfit(call)
    job, service = call.job, call.services.get(call.job.service)
    if service is None:
        return _not("no-service", call)
    if (hindered := _hindered(tx, call, service)) is not None:
        return hindered
    staged = [_borrowed(item, job) for item in jobs.inputs(tx, job.id)]
    if lost := [i.filename or i.name for i in staged if not _is_there(tx, call, i)]:
        return _not("inputs", call, lost=lost)
    if not _fits(service, staged):
        return _not("changed", call)
    asked = read_keys([*([beside] if beside else []), *call.lines], service)
    findings = [*asked.findings, *_unfit_values(asked, job, service)]
    if any(finding.told.wrong for finding in findings):
        return _unclear(findings, job)
    request = _request(asked, job, service, staged)
    if request.dry_run:
        plan = services.plan(service, request, Path("in"))
        return Answer(kind="rerun-dry", facts={"command": shlex.join(plan.argv), **plan.given})
    return _made(tx, call, service, request, staged)


def _hindered(tx: Tx, call: Call, service: Service) -> Answer | None:
    """Say what is in the way whatever the changes are; None if nothing is."""
    job = call.job
    refusal = service.refusal(call.who) if call.who is not None else None
    if refusal is not None:
        return _not("refused", call, sentence=refusal)
    if job.phase is Phase.PENDING:
        return _not("pending", call)
    if lifetime.is_doomed(job, tx.now):
        return _not("over", call)
    # Whoever sends an input along means another one than the old job's.
    if meant := meant_for(service, call.attached):
        return _not("attached", call, lost=meant)
    return None


def _not(why: str, call: Call, *, sentence: object = "", lost: Sequence[Words] = ()) -> Answer:
    facts = {
        "why": why,
        "service": call.job.service,
        "address": f"{call.job.service}@{call.config.gateway.address.rpartition('@')[2]}",
        "sentence": sentence,
        "lost": list(lost),
    }
    return Answer(kind="rerun-not", facts=facts, wrong=True)


# --- what it has of the old one -------------------------------------------------------------------


def _borrowed(item: Staged, job: Job) -> Staged:
    """Return an input for the new job: small ones are copied now, big ones once it starts."""
    if item.body is not None:
        return item
    return replace(item, source=item.source or job.id)


def _is_there(tx: Tx, call: Call, item: Staged) -> bool:
    """Tell whether the bytes are: in the folder of the job that had them, or staged for it.

    A sweep may be removing that folder just now, unless the old job has yet to start with it.
    """
    if item.source is None:
        return True
    old = jobs.fetch(tx, item.source) if jobs.exists(tx, item.source) else None
    if old is None or (call.job.phase in ENDED and lifetime.is_over(old, tx.now)):
        return False
    places = [Folder(call.config.run.folder, item.source).inputs / item.file]
    if item.path is not None:
        places.append(SpoolFolder(call.config.gateway.spool).staged / item.path)
    return any(_size(place) == item.size for place in places)


def _size(place: Path) -> int | None:
    try:
        return place.lstat().st_size
    except OSError:
        return None


def _fits(service: Service, staged: Sequence[Staged]) -> bool:
    """Tell whether the service still takes these inputs, under the same names."""
    names = {item.name for item in staged}
    needed = {rule.name for rule in service.inputs.values() if rule.required}
    return (
        needed <= names
        and names <= service.inputs.keys()
        and all(services.file_name(service, i.name, i.filename) == i.file for i in staged)
    )


def _unfit_values(asked: Asked, job: Job, service: Service) -> list[Finding]:
    """Find what of the old job's parameters the service no longer takes, and what it now needs."""
    found = [
        wrong(f"{name}: {value}", Saying("request/old-inputs"), None)
        for name, value in asked.chosen.items()
    ]
    for name, parameter in service.parameters.items():
        value = _value(name, asked, job, service)
        if value is None and name in service.used:
            meaning = Saying("request/must-be-given", name=name, expected=parameter.expected)
            found.append(lacking(meaning, _line_below(parameter)))
        elif value is not None and name not in asked.parameters and folded(name) not in asked.seen:
            fault = parameter.fault(value)
            if fault:
                meaning = Saying("request/of-the-old", fault=fault)
                found.append(wrong(f"{name}: {value}", meaning, _line_below(parameter)))
    return found


def _line_below(parameter: Parameter) -> Saying:
    return Saying("request/line-below-rerun", line=f"{parameter.name}: {parameter.sample()}")


def _value(name: str, asked: Asked, job: Job, service: Service) -> str | None:
    default = service.parameters[name].default
    return asked.parameters.get(name, job.parameters.get(name, default))


def _unclear(findings: Sequence[Finding], job: Job) -> Answer:
    facts = {
        "lines": [_line(finding.told) for finding in findings],
        "service": job.service,
        "mends": list(dict.fromkeys(f.mend for f in findings if f.mend))[:3],
    }
    return Answer(kind="rerun-unclear", facts=facts, wrong=True)


def _line(told: Understood) -> Mapping[str, object]:
    return {"quoted": told.quoted, "meaning": told.meaning}


# --- the new one ----------------------------------------------------------------------------------


def _request(asked: Asked, job: Job, service: Service, staged: Sequence[Staged]) -> Request:
    """Return the old request with the changes; its limits are what the service allows now."""
    general, seen, limits = asked.general, asked.seen, service.limits
    work = job.work_limit or limits.work
    if work is not None and limits.work is not None:
        work = min(work, limits.work)
    values = {name: _value(name, asked, job, service) for name in service.parameters}
    return Request(
        service=service.name,
        parameters={name: value for name, value in values.items() if value is not None},
        inputs=tuple(_input(item) for item in staged),
        label=general.label or job.label,
        work_limit=general.work_limit or work,
        keep=general.keep or min(job.keep, limits.keep_max),
        notify=general.notify if "notify" in seen else job.notify,
        every=general.every if "notify" in seen else job.every,
        watch=general.watch,
        reply=general.reply if "reply" in seen else job.reply,
        part=general.part if "reply" in seen else job.part,
        cores=general.cores or _kept("cores", job.plan.cores, job, limits.most_cores),
        memory=general.memory or _kept("memory", job.plan.memory, job, limits.most_memory),
        dry_run=general.dry_run,
    )


def _kept(name: str, had: int | None, job: Job, most: int | None) -> int | None:
    """Return what the old request asked for, as far as it may be now; None for the service's."""
    if name not in job.plan.asked or had is None or most is None:
        return None
    return min(had, most)


def _input(item: Staged) -> Input:
    return Input(
        name=item.name, filename=item.filename, media_type="", size=item.size, sha256=item.sha256
    )


def _made(
    tx: Tx, call: Call, service: Service, request: Request, staged: Sequence[Staged]
) -> Answer:
    """Make it, in the thread of whoever asks; the operator's is in its owner's name and thread."""
    job = call.job
    origin = call.origin or Origin(
        message=job.message,
        message_id=job.in_reply_to,
        references=job.references,
        subject=job.subject,
    )
    made = submit.execute(
        tx,
        submit.Call(
            identity=call.who or job.owner,
            message=origin.message,
            service=service,
            request=request,
            staged=staged,
            subject=origin.subject,
            message_id=origin.message_id,
            references=origin.references,
            receipt_after=call.config.deliver.receipt_after,
            watching=watching.rule(call.config, call.services, service.name),
            rules=quotas.rules(call.config.quota, [service], call.who) if call.who else (),
        ),
    )
    if isinstance(made, Answer):
        return _not("refused", call, sentence=made.facts["sentence"])
    tx.note("rerun", job=made, detail=f"of={job.id}")
    return Answer(kind="rerun", facts={"id": made, "phase": jobs.phase_of(tx, made)})


_NEW = JobId("k7q2m5xzab3d")
samples = (
    Answer(kind="rerun", facts={"id": _NEW, "phase": Phase.QUEUED}),
    *(
        Answer(
            kind="rerun-dry",
            facts={"command": "align --tree upgma in/sequences.fa", **plan.given},
        )
        for plan in (Plan(argv=()), Plan(argv=(), cores=8, memory=1 << 34, gpus=1, queue="long"))
    ),
    *(
        Answer(
            kind="rerun-not",
            facts={
                "why": why,
                "service": "align",
                "address": "align@gate.example.org",
                "sentence": Saying("access/denied", who="ada@example.org", service="align"),
                "lost": ["globins.fa"],
            },
            wrong=True,
        )
        for why in ("no-service", "refused", "pending", "over", "inputs", "changed", "attached")
    ),
    Answer(
        kind="rerun-unclear",
        facts={
            "service": "align",
            "lines": [
                {"quoted": "tre: x", "meaning": Saying("keys/unknown", key="tre", meant=None)}
            ],
            "mends": [Saying("keys/instead", right="tree: x", given="tre: x")],
        },
        wrong=True,
    ),
)
