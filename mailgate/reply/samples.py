"""Made-up letters of every kind, to check templates with before a person's mail needs them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailgate.model import (
    Carried,
    Exit,
    How,
    Identity,
    Input,
    Job,
    JobId,
    LetterKind,
    Member,
    Method,
    Mistake,
    Parcel,
    Piece,
    Plan,
    Progress,
    Reason,
    Reply,
    Request,
    Shipment,
    Stop,
    Stream,
    StreamRole,
    Taken,
    Unclear,
    Understood,
)
from mailgate.model.outlook import Cause, Outlook, Queued, Silence, Standstill, Usual
from mailgate.phases import Phase
from mailgate.reply.draft import Draft
from mailgate.reply.excerpt import Excerpt, Seen
from mailgate.reply.rows import Excerpts
from mailgate.saying import Saying

_QUOTA = Saying("quotas/running", who="ada@example.org", service=None, count=2, most=2)
_DENIED = Saying("access/denied", who="ada@example.org", service="align")
_CREATED = datetime(2026, 11, 21, 13, 50, tzinfo=UTC)
_MISTAKES = (
    Mistake(at=_CREATED, reason=Reason.NODE_FAILURE, words="n17 is down"),
    Mistake(at=_CREATED, reason=Reason.EXIT, words=Saying("ends/exit-code", code=3, words="")),
)
_LINK = Saying("outputs/left-out", name="link.txt", why=Saying("outputs/link"))
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_LINES = Excerpt(seen=Seen.LINES, lines=(">HBA_HUMAN", "", "-VLSPADKTNVKAAWGKVGAHAGEYG"), more=True)

_TAKES = (
    Taken(key="sequences", what="an attachment named *.fa"),
    Taken(key="tree", what='"sl" or "upgma"', summary="how the guide tree is made"),
)
_EXCERPTS = Excerpts(stdout=_LINES, stderr=_LINES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A draft, which of its streams it carries, and the lines it shows of them."""

    draft: Draft
    attached: tuple[bool, ...] = ()
    excerpts: Excerpts = _EXCERPTS


def samples() -> Iterator[Sample]:
    """Yield letters of every kind, in the ways that their templates tell apart."""
    yield from _results()
    yield from _on_the_way()
    yield from _notices()
    yield from _about_requests()


def _streams() -> tuple[Stream, ...]:
    return (
        Stream(
            role=StreamRole.STDOUT,
            name="alignment.fasta",
            path="out/stdout",
            size=186_000,
            sha256=_SHA256,
        ),
        Stream(
            role=StreamRole.FILE,
            name="trace.bin",
            path="work/trace.bin",
            size=90_000_000,
            sha256=_SHA256,
        ),
    )


def _results() -> Iterator[Sample]:
    streams = _streams()
    for end in _ends():
        job = replace(
            _job(end.phase), exit=end, ended=_CREATED + timedelta(minutes=4), streams=streams
        )
        bare = replace(job, label=None, parameters={}, streams=(), started=None, attempts=1)
        yield Sample(draft=_draft(LetterKind.RESULT, job), attached=(True, False))
        yield Sample(draft=_draft(LetterKind.RESULT, job), attached=(True, True))
        yield Sample(
            draft=_draft(LetterKind.RESULT, replace(job, reply=Reply.BRIEF)),
            attached=(False, False),
        )
        yield Sample(draft=_draft(LetterKind.RESULT, bare), excerpts=Excerpts())
        most: dict[str, object] = {"work_limit_max": timedelta(hours=4), "memory_max": 16 * 1024**3}
        more = _draft(LetterKind.RESULT, job, **most)
        yield Sample(draft=more, attached=(True, False))
        yield Sample(draft=replace(more, recipient="bob@example.org"), attached=(True, False))
        yield Sample(draft=more, attached=(True, True), excerpts=Excerpts(inline=True))
        yield Sample(draft=replace(more, head=50), attached=(False, False))
        yield Sample(draft=replace(more, only=("trace.bin",)), attached=(False, True))
        yield from _shipped(_draft(LetterKind.RESULT, job))
        for by in ("operator", "ada@example.org", "bob@example.org"):
            yield Sample(draft=_draft(LetterKind.RESULT, job, by=by), attached=(True, True))


def _shipped(draft: Draft) -> Iterator[Sample]:
    """Yield letters of a shipment: alone, in parts, and where some cannot be mailed."""
    parcels = (
        Parcel(
            name="alignment.fasta.gz",
            size=90_000,
            sha256=_SHA256,
            file="x",
            members=(Member(stream=0, at=0, size=90_000, method=Method.GZIP),),
        ),
        Parcel(
            name="trace.bin",
            size=90_000_000,
            sha256=_SHA256,
            members=(Member(stream=1, at=0, size=90_000_000),),
            last=7,
        ),
    )
    piece = Piece(parcel=1, offset=0, size=1_000_000, sha256=_SHA256)
    for part, of, some, pieces in (
        (1, 1, parcels[:1], (replace(piece, parcel=0, size=90_000),)),
        (1, 7, parcels, (piece,)),
        (1, 7, parcels[1:], (replace(piece, parcel=0),)),
        (3, 7, parcels, (replace(piece, offset=30_000_000),)),
        (1, 7, parcels, ()),
        (3, 7, parcels, ()),
    ):
        shipment = Shipment(code="k3", limit=draft.limit, most=20, parcels=some)
        carried = Carried(shipment=shipment, part=part, of=of, pieces=pieces)
        kind = LetterKind.RESULT if part == 1 else LetterKind.PART
        going = tuple(bool(pieces) and any(m.stream == n for p in some for m in p.members)
                      for n in range(2))  # fmt: skip
        yield Sample(draft=replace(draft, kind=kind, carried=carried), attached=going)


def _ends() -> Iterator[Exit]:
    yield Exit(reason=Reason.EXIT, code=0)
    yield Exit(reason=Reason.EXIT, code=3)
    for number in (9, 11, 15, 25):
        yield Exit(reason=Reason.SIGNAL, signal=number)
    for reason in Reason:
        if reason not in {Reason.EXIT, Reason.SIGNAL}:
            yield Exit(reason=reason, words="the engine's own words")


def _on_the_way() -> Iterator[Sample]:
    job = _job(Phase.EXECUTING)
    for phase in (Phase.EXECUTING, Phase.QUEUED, Phase.HELD, Phase.SUSPENDED):
        yield Sample(draft=_draft(LetterKind.RECEIPT, replace(job, phase=phase)))
        yield Sample(draft=_draft(LetterKind.DESTROYED, replace(job, phase=phase)))
    yield Sample(draft=_draft(LetterKind.DESTROYED, replace(job, phase=Phase.COMPLETED)))
    yield Sample(draft=_draft(LetterKind.STARTED, job))
    yield Sample(draft=_draft(LetterKind.STARTED, replace(job, attempts=1)))
    for progress in (None, Progress(percent=62), Progress(percent=62, words="round 31 of 50")):
        yield Sample(draft=_draft(LetterKind.PROGRESS, replace(job, progress=progress)))
        yield Sample(draft=_draft(LetterKind.NEWS, replace(job, progress=progress)))
    weekly = replace(job, every=timedelta(days=7))
    yield from _expected(job, replace(weekly, phase=Phase.QUEUED))
    for phase in (Phase.EXECUTING, Phase.QUEUED, Phase.HELD, Phase.SUSPENDED):
        for ahead in (0, 1, 12):
            told = _draft(LetterKind.NEWS, replace(weekly, phase=phase), ahead=ahead, run=2)
            yield Sample(draft=told)
    queued = replace(weekly, phase=Phase.QUEUED)
    for kind in (LetterKind.RECEIPT, LetterKind.NEWS):
        yield Sample(draft=_draft(kind, queued, paused=True))
        yield Sample(draft=_draft(kind, queued, quota=_QUOTA))
        for cause in Cause:
            standstill = Standstill(cause=cause, since=_CREATED, why="")
            for waits in (queued, job):
                yield Sample(draft=_draft(kind, waits, outlook=Outlook(standstill=standstill)))
    for holder in ("operator", "cluster", "bob@example.org"):
        held = replace(weekly, phase=Phase.HELD, held_by=holder)
        yield Sample(draft=_draft(LetterKind.NEWS, held))
        yield Sample(draft=_draft(LetterKind.RECEIPT, held))


def _expected(runs: Job, waits: Job) -> Iterator[Sample]:
    """Yield letters about jobs in a queue that is not ours, and of services that often ran."""
    usual = Usual(
        least=timedelta(hours=4), median=timedelta(hours=5), most=timedelta(hours=6, minutes=10)
    )
    since = _CREATED + timedelta(minutes=1)
    queued = Queued(
        engine="slurm", since=since, why="Priority", starts=_CREATED + timedelta(days=9)
    )
    for outlook in (
        Outlook(usual=usual, queued=queued),
        Outlook(usual=replace(usual, most=usual.least), queued=Queued(engine="oar")),
    ):
        for kind in (LetterKind.RECEIPT, LetterKind.NEWS):
            yield Sample(draft=_draft(kind, waits, outlook=outlook))
            silent = replace(outlook, silence=Silence(engine="slurm", since=since))
            yield Sample(draft=_draft(kind, waits, outlook=silent))
        for kind in (LetterKind.STARTED, LetterKind.NEWS):
            yield Sample(draft=_draft(kind, runs, outlook=replace(outlook, queued=None)))


def _notices() -> Iterator[Sample]:
    job = replace(_job(Phase.COMPLETED), ended=_CREATED, streams=_streams())
    yield Sample(draft=_draft(LetterKind.NOTICE, job))
    for most in (14, 90):
        yield Sample(draft=_draft(LetterKind.NOTICE, job, keep_max=timedelta(days=most)))


def _about_requests() -> Iterator[Sample]:
    for wrong in (0, 1, 2):
        yield Sample(draft=_draft(LetterKind.UNCLEAR, unclear=_unclear(wrong)))
    plan = Plan(argv=("align", "a b.fa"), cores=8, memory=4 * 1024**3, gpus=2, queue="long")
    dry = _draft(LetterKind.DRY_RUN, request=_request(), plan=plan, takes=_TAKES)
    yield Sample(draft=dry)
    yield Sample(draft=replace(dry, facts={**dry.facts, "summary": "Align protein sequences"}))
    bare = replace(_request(), inputs=(), ignored=(), label=None, parameters={})
    yield Sample(draft=_draft(LetterKind.DRY_RUN, request=bare, plan=Plan(argv=("true",))))
    refused = _draft(LetterKind.REFUSED, service="blast", sentence=_DENIED)
    for meant in ("align", None):
        why = Saying("access/no-service", name="algin", meant=meant)
        yield Sample(
            draft=_draft(
                LetterKind.REFUSED, service="algin", sentence=why, unknown=True, meant=meant
            )
        )
    for fact in ("beside", "again", "neither"):
        shown = {"beside": fact == "beside", "again": fact == "again"}
        yield Sample(draft=replace(refused, facts={**refused.facts, **shown}))
    for facts in ({}, {"job": "k7q2m5xzab3c"}, {"signed": True}):
        draft = _draft(LetterKind.DUPLICATE)
        yield Sample(draft=replace(draft, facts={"of": "<1@example.org>", **facts}))
    yield from _confirmations()
    yield Sample(draft=_draft(LetterKind.TEST))
    for told in _commands():
        yield Sample(draft=replace(_draft(LetterKind.COMMANDS), facts=told))


def _commands() -> Iterator[dict[str, object]]:
    """Yield what mails of commands came to; each answer in it has samples elsewhere."""
    quit_ = {"say": "quit", "facts": {}}
    lines = [
        {"quoted": ("quit",), "state": state, **quit_} for state in ("done", "wrong", "passed")
    ]
    told: dict[str, object] = {"job": "", "help": (), "against": (), "stop": "", "at": ""}
    for stop, at in (*((stop, "") for stop in Stop), ("", ""), ("quote", "x"), ("signature", "x")):
        for unread in (0, 3):
            part = {**told, "stop": str(stop), "at": at, "unread": unread}
            yield {**part, "entries": tuple(lines), "job": "k7q2m5xzab3c"}
    for entries in (lines[:1], lines[1:]):
        yield {**told, "entries": tuple(entries), "unread": 0}
    for entries in (lines[1:], []):
        yield {**told, "entries": tuple(entries), "unread": 0, "help": (quit_,), "last": True}
    places = ("address", "thread", "subject", "subject 2", "> status")
    against = tuple({"where": where, "id": "k7q2m5xzab3c"} for where in places)
    yield {**told, "entries": tuple(lines[1:]), "unread": 0, "against": against}


def _confirmations() -> Iterator[Sample]:
    sender = _draft(
        LetterKind.CONFIRM,
        address="jobs+confirm.abcdefghij234567abcd@gate.example.org",
        services=("align",),
        until=_CREATED + timedelta(days=3),
        taken=_CREATED,
    )
    yield Sample(draft=sender)
    yield Sample(draft=replace(sender, facts={**sender.facts, "services": ("align", "blast")}))
    watcher = {name: fact for name, fact in sender.facts.items() if name != "taken"}
    yield Sample(draft=replace(sender, facts={**watcher, "job": "k7q2m5xzab3c"}))


def _draft(kind: LetterKind, job: Job | None = None, **facts: object) -> Draft:
    return Draft(
        kind=kind,
        gateway="jobs@gate.example.org",
        recipient="ada@example.org",
        message_id="<sample@gate.example.org>",
        date=_CREATED,
        now=_CREATED + timedelta(minutes=5),
        in_reply_to=None,
        references=None,
        reply_to=None,
        job=job,
        facts=facts,
        limit=25 * 1024 * 1024,
        inputs=(("globins.fa", 59_000), ("", 12), ("tree.nwk", 900), ("x.txt", 1)) if job else (),
    )


def _job(phase: Phase) -> Job:
    return Job(
        id=JobId("k7q2m5xzab3c"),
        service="align",
        owner=Identity(address="ada@example.org", how=How.NETWORK),
        label="globins, second try",
        phase=phase,
        parameters={"tree": "upgma"},
        plan=Plan(argv=("align",), memory=4 * 1024**3),
        notify=frozenset(),
        reply=Reply.FULL,
        created=_CREATED,
        work_limit=timedelta(hours=1),
        keep=timedelta(days=14),
        message=1,
        subject="two globins",
        ignored=("card.vcf",),
        started=_CREATED + timedelta(seconds=1),
        destruction=_CREATED + timedelta(days=14),
        errors=_MISTAKES,
        left_out=(_LINK,),
        attempts=2,
    )


def _request() -> Request:
    sequences = Input(
        name="sequences",
        filename="globins.fa",
        media_type="text/plain",
        size=58_000,
        sha256=_SHA256,
        text="",
    )
    return Request(
        service="align",
        parameters={"tree": "upgma"},
        inputs=(sequences,),
        ignored=("card.vcf",),
        label="globins, second try",
        work_limit=timedelta(hours=1),
        keep=timedelta(days=14),
        dry_run=True,
    )


def _unclear(wrong: int) -> Unclear:
    lines = tuple(
        Understood(quoted="tre: upgma", meaning='there is no parameter "tre"', wrong=number < wrong)
        for number in range(3)
    )
    bare = Unclear(service="align", lines=lines, example=("tree: upgma",), mend="Send it again.")
    if not wrong:
        return bare
    attach = ("a file such as sequences.fa",)
    return replace(bare, attach=attach, summary="Align protein sequences", takes=_TAKES)
