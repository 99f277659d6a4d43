"""What a template may say: a draft as names and values, harmless and in a person's units.

Texts are facts (``mailgate.reply.layout``): printable, never broken. A value that there is none of
is ``""``, ``()`` or 0, never missing, so that a template can ask for it.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar, assert_never

from mailgate import said
from mailgate.model import (
    DISK_FULL,
    Job,
    LetterKind,
    Plan,
    Reply,
    Request,
    StreamRole,
    Taken,
    Unclear,
)
from mailgate.phases import Phase
from mailgate.reply import due
from mailgate.reply.draft import Draft, Given, checked
from mailgate.reply.ends import end_facts
from mailgate.reply.given import given_facts, more_facts
from mailgate.reply.layout import clause, cut, fact, printable, wrapped
from mailgate.reply.outputs import carried_facts, outputs_of, ways_to
from mailgate.reply.package import MOST
from mailgate.reply.rows import ROWS, Bound, Excerpts, Key, Listing, Read, Setting, Tried
from mailgate.reply.sent import sent_facts
from mailgate.reply.told import told
from mailgate.saying import Words
from mailgate.settings.rules import GENERAL
from mailgate.wording import is_that

Facts = dict[str, object]
Kind = TypeVar("Kind")
Item = TypeVar("Item")


def facts_of(draft: Draft, attached: Sequence[bool], excerpts: Excerpts) -> Facts:
    """Return a template's names and values, as ``docs/replies.md`` lists them.

    Raises
    ------
    ValueError
        A fact is missing, of another type, or not known: a bug where the draft was made.
    """
    checked(draft)
    given = Given(draft)
    facts = {**_common(draft), **_of_kind(draft, given, attached, excerpts)}
    given.all_taken()
    return facts


def _of_kind(draft: Draft, given: Given, attached: Sequence[bool], excerpts: Excerpts) -> Facts:
    match draft.kind:
        case LetterKind.RESULT | LetterKind.PART:
            return _result(draft, given, attached, excerpts)
        case LetterKind.PROGRESS | LetterKind.DESTROYED:
            return _running(draft)
        case LetterKind.RECEIPT | LetterKind.STARTED | LetterKind.NEWS | LetterKind.NOTICE:
            return {**_running(draft), **due.facts_of(draft, given)}
        case LetterKind.COMMANDS:
            return told(given)
        case LetterKind.TEST:
            return {}
        case (
            LetterKind.UNCLEAR
            | LetterKind.DRY_RUN
            | LetterKind.REFUSED
            | LetterKind.DUPLICATE
            | LetterKind.CONFIRM
        ):
            return _of_request(draft.kind, draft, given)
    assert_never(draft.kind)


_AnswerKind = Literal[
    LetterKind.UNCLEAR,
    LetterKind.DRY_RUN,
    LetterKind.REFUSED,
    LetterKind.DUPLICATE,
    LetterKind.CONFIRM,
]


def _of_request(kind: _AnswerKind, draft: Draft, given: Given) -> Facts:
    match kind:
        case LetterKind.UNCLEAR:
            return {
                "name": _name(given),
                **_unclear(given.one("unclear", Unclear), draft.gateway),
            }
        case LetterKind.DRY_RUN:
            return _dry_run(draft, given)
        case LetterKind.REFUSED:
            return _refused(draft, given)
        case LetterKind.DUPLICATE:
            of, job = fact(given.one("of", str), 250), given.optional("job", str)
            return {"of": of, "id": job or "", "signed": bool(given.optional("signed", bool))}
        case LetterKind.CONFIRM:
            return _confirm(given)
    assert_never(kind)


# --- all letters ----------------------------------------------------------------------------------


def _common(draft: Draft) -> Facts:
    return {
        "gateway": draft.gateway,
        "operator": f"postmaster@{_domain(draft.gateway)}",
        "now": _moment(draft.now),
        "date": _moment(draft.date),
    }


def _domain(gateway: str) -> str:
    return gateway.rpartition("@")[2]


def _address(service: str, gateway: str) -> str:
    return f"{fact(service)}@{_domain(gateway)}"


# --- letters about a job --------------------------------------------------------------------------


def _job(job: Job, draft: Draft) -> Facts:
    return {
        "id": job.id,
        "watching": "" if draft.recipient.lower() == job.owner.key else fact(job.owner.address, 80),
        "service": fact(job.service),
        "address": _address(job.service, draft.gateway),
        "label": fact(job.label or "", 60),
        "phase": str(job.phase),
        "parameters": _settings(job.parameters),
        "ignored": _listing(job.ignored, _told),
        "work_limit": _span(job.work_limit),
        "created": _moment(job.created),
        "started": _moment(job.started),
        "kept_for": _span(job.keep),
        "tries": job.attempts,
        **given_facts(job.plan),
        **sent_facts(job, draft),
        "errors": _tried(job),
    }


def _running(draft: Draft) -> Facts:
    job = draft.job
    assert job  # noqa: S101 - checked() has seen it
    progress = job.progress
    return {
        **_job(job, draft),
        "ran": _ran(job.started, draft.now),
        "held_by": fact(job.held_by or ""),
        "percent": fact(said.percent(progress.percent)) if progress else "",
        "progress_words": printable(cut(progress.words, 300)).strip() if progress else "",
    }


def _result(draft: Draft, given: Given, attached: Sequence[bool], excerpts: Excerpts) -> Facts:
    job = draft.job
    assert job and job.exit  # noqa: S101, PT018 - checked() has seen them
    stdout_name, stderr_name = (_name_of(job, r) for r in (StreamRole.STDOUT, StreamRole.STDERR))
    outputs = list(outputs_of(job, attached, draft.carried))
    if excerpts.inline:
        outputs = [replace(one, inline=one.name == stdout_name) for one in outputs]
    kept = [one for one in outputs if not one.attached]
    kept_bytes = sum(s.size for s, goes in zip(job.streams, attached, strict=True) if not goes)
    wrote = any(stream.size for stream in job.streams)
    files = any(stream.role is StreamRole.FILE for stream in job.streams)
    stderr = next((one for one in outputs if one.name == stderr_name), None)
    return {
        **_job(job, draft),
        **end_facts(job, job.exit, draft.recipient, by=given.optional("by", str) or ""),
        "completed": job.phase is Phase.COMPLETED,
        "brief": job.reply is Reply.BRIEF,
        "attach": job.reply is Reply.ATTACH,
        **ways_to(job, attached, draft.limit),
        "inline": excerpts.inline,
        "head": draft.head,
        "only": bool(draft.only),
        **carried_facts(draft.carried),
        "ran": _ran(job.started, job.ended),
        "kept_until": _moment(job.destruction),
        "letter_limit": fact(said.size(draft.limit)),
        "attached_most": MOST if len(job.streams) > MOST else 0,
        "outputs": _listing(outputs, lambda one: one),
        "kept": _listing(kept, lambda one: one),
        "kept_size": fact(said.size(kept_bytes)) if kept_bytes else "",
        "wrote_nothing": not (wrote or files or job.left_out),
        "all_empty": not wrote,
        "disk_full": any(is_that(line, DISK_FULL) for line in job.left_out),
        "left_out": _listing(job.left_out, lambda line: fact(str(line), 200)),
        "stdout": excerpts.stdout,
        "stdout_name": fact(stdout_name),
        "stderr": excerpts.stderr,
        "stderr_name": fact(stderr_name),
        "stderr_size": stderr.size if stderr and not stderr.empty else "",
        **more_facts(job, given),
    }


def _name_of(job: Job, role: StreamRole) -> str:
    names = (stream.name for stream in job.streams if stream.role is role)
    return next(names, job.plan.stdout if role is StreamRole.STDOUT else job.plan.stderr)


def _tried(job: Job) -> Listing:
    return _listing(
        job.errors,
        lambda error: Tried(
            at=_moment(error.at),
            reason=str(error.reason),
            words=printable(cut(str(error.words), 200)).strip(),
        ),
    )


# --- letters about a request ----------------------------------------------------------------------


def _unclear(unclear: Unclear, gateway: str) -> Facts:
    return {
        "service": fact(unclear.service),
        "address": _address(unclear.service, gateway),
        "lines": _read(unclear),
        "wrong": sum(line.wrong for line in unclear.lines),
        "incomplete": all(line.missing for line in unclear.lines if line.wrong),
        "mend": clause(unclear.mend, 600),
        "summary": clause(unclear.summary, 200),
        "takes": _keys(unclear.takes),
        "general": tuple(word for word in GENERAL if word != "service"),
        "attach": tuple(clause(words, 200) for words in unclear.attach[:ROWS]),
        "example": tuple(cut(printable(str(line)), 200) for line in unclear.example[:ROWS]),
    }


def _read(unclear: Unclear) -> Listing:
    """List the lines of a request; where they are too many, those that are wrong come first."""
    lines = list(unclear.lines)
    if len(lines) > ROWS:
        lines.sort(key=lambda line: not line.wrong)
    return _listing(
        lines,
        lambda line: Read(
            quoted=fact(str(line.quoted), 60),
            meaning=clause(line.meaning, 300),
            wrong=line.wrong,
        ),
    )


def _keys(takes: Sequence[Taken]) -> Listing:
    return _listing(
        takes,
        lambda one: Key(
            key=fact(one.key), what=clause(one.what, 300), summary=clause(one.summary, 300)
        ),
    )


def _dry_run(draft: Draft, given: Given) -> Facts:
    request = given.one("request", Request)
    takes = given.optional("takes", tuple) or ()
    plan = given.one("plan", Plan)
    meant = [one for one in takes if one.key in request.parameters and one.summary]
    work_limit = given.optional("work_limit", timedelta)
    keep = given.optional("keep", timedelta)
    return {
        "service": fact(request.service),
        "address": _address(request.service, draft.gateway),
        "label": fact(request.label or "", 60),
        "parameters": _settings(request.parameters),
        "command": _command(plan.argv),
        **given_facts(plan),
        "inputs": _listing(
            request.inputs,
            lambda bound: Bound(
                name=fact(bound.name),
                filename=fact(bound.filename, 200),
                size=fact(said.size(bound.size)),
                sha256=fact(bound.sha256),
            ),
        ),
        "ignored": _listing(request.ignored, _told),
        "summary": clause(given.optional("summary", str) or "", 200),
        "meanings": _keys(meant),
        "work_limit": _span(request.work_limit or work_limit),
        "kept_for": _span(request.keep or keep),
    }


def _command(argv: Sequence[object]) -> tuple[str, ...]:
    """Quote a command for reading, as a shell would take it, in lines that end in a backslash."""
    quoted = (shlex.quote(printable(cut(str(word), 500))) for word in argv)
    lines = wrapped(" ".join(word.replace(" ", "\x1f") for word in quoted), 66)
    indented = [lines[0], *(f"  {line}" for line in lines[1:])]
    return tuple([f"{line} \\" for line in indented[:-1]] + indented[-1:])


def _refused(draft: Draft, given: Given) -> Facts:
    service = given.one("service", str)
    return {
        "name": _name(given),
        "service": fact(service),
        "address": _address(service, draft.gateway),
        "sentence": _sentence(given.words("sentence")),
        "again": bool(given.optional("again", bool)),
        "unknown": bool(given.optional("unknown", bool)),
        "meant": fact(given.optional("meant", str) or ""),
        "beside": bool(given.optional("beside", bool)),
    }


def _name(given: Given) -> str:
    return fact(given.optional("name", str) or "", 60)


def _confirm(given: Given) -> Facts:
    given.one("address", str)
    return {
        "services": tuple(fact(name) for name in given.one("services", tuple)[:ROWS]),
        "until": _moment(given.one("until", datetime)),
        "taken": _moment(given.optional("taken", datetime)),
        "id": given.optional("job", str) or "",
    }


def _sentence(words: Words) -> str:
    said = printable(cut(str(words), 1000)).strip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


# --- values ---------------------------------------------------------------------------------------


def _listing(items: Sequence[Item], show: Callable[[Item], object]) -> Listing:
    return Listing(rows=tuple(map(show, items[:ROWS])), more=max(0, len(items) - ROWS))


def _told(words: Words) -> str:
    return fact(str(words))


def _settings(parameters: Mapping[str, str]) -> Listing:
    return _listing(
        list(parameters.items()),
        lambda given: Setting(name=fact(given[0]), value=fact(given[1], 200)),
    )


def _span(span: timedelta | None) -> str:
    return _fact_of(said.duration, span)


def _moment(at: datetime | None) -> str:
    return _fact_of(said.moment, at)


def _ran(started: datetime | None, ended: datetime | None) -> str:
    return _span(ended - started) if started and ended else ""


def _fact_of(say: Callable[[Kind], str], value: Kind | None) -> str:
    return "" if value is None else fact(say(value))
