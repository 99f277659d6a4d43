"""The letters that are kept, byte for byte, in tests/data/replies."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailgate.commands import registry
from mailgate.desk.dialogue import AGAINST
from mailgate.model import (
    Answer,
    Carried,
    Exit,
    Input,
    Job,
    LetterKind,
    Member,
    Mistake,
    Parcel,
    Piece,
    Plan,
    Progress,
    Reason,
    Reply,
    Request,
    Shipment,
    Taken,
    Unclear,
    Understood,
)
from mailgate.model.outlook import Cause, Outlook, Queued, Silence, Standstill, Usual
from mailgate.phases import Phase
from mailgate.reply.compose import Draft
from mailgate.saying import Saying, Words
from tests.reply.letters import (
    CREATED,
    DONE,
    ENDED,
    MIB,
    Written,
    draft,
    err,
    job,
    out,
    result,
    stream,
)

_NAMES = (
    *("HBA_HUMAN", "HBA_HORSE", "HBB_HUMAN", "HBB_HORSE", "MYG_PHYCA", "GLB5_PETMA", "LGB2_LUPLU"),
    *("HBA_PANTR", "HBA_MOUSE", "HBB_MOUSE", "HBG_HUMAN", "MYG_HUMAN"),
)
_RESIDUES = "-VLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHF-DLS-----HGSA"
_ALIGNMENT = "".join(f">{name}\n{_RESIDUES}\n" for name in _NAMES).encode()
_TRACE = b"".join(b"round %d of 50, score %d\n" % (n, n * n) for n in range(1, 41))
_LAST = b"reading sequences.fa\nround 1 of 50, score 1\n"
_AT_SLURM = Outlook(
    usual=Usual(
        least=timedelta(hours=4), median=timedelta(hours=4, minutes=50), most=timedelta(hours=6)
    ),
    queued=Queued(
        engine="slurm",
        since=CREATED + timedelta(minutes=1),
        why="ReqNodeNotAvail, UnavailableNodes:n[17-19]",
        starts=CREATED + timedelta(days=9),
    ),
)
_SILENT_SLURM = replace(
    _AT_SLURM, silence=Silence(engine="slurm", since=CREATED + timedelta(minutes=2))
)
_AWAY, _TIGHT = (
    Outlook(standstill=Standstill(cause=cause, since=CREATED + timedelta(minutes=2), why=""))
    for cause in Cause
)
_QUOTA = Saying("quotas/running", who="ada@example.org", service=None, count=2, most=2)
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def _failed(reason: Reason, words: Words = "", **changed) -> Written:
    exit_ = Exit(reason=reason, words=words, **changed.pop("exit", {}))
    return result(exit_, out(b"", "alignment.fasta"), err(changed.pop("stderr", _LAST)), **changed)


def letters() -> dict[str, Written]:
    return {**_results(), **_ends(), **_on_the_way(), **_answers()}


def _results() -> dict[str, Written]:
    whole = (out(_ALIGNMENT, "alignment.fasta"), err(b""), stream("guide.nwk", b"(A,(B,C));\n"))
    return {
        "result": result(
            DONE,
            *whole,
            subject="Globins, once more",
            letter={"inputs": (("globins.fa", 59_000),)},
        ),
        "result-label": result(
            DONE,
            *whole,
            label="globins, zweiter Versuch (größer)",
            ignored=("signature.asc", "Ada Lovelace.vcf"),
            left_out=("link.nwk: a symbolic link, which is not followed",),
        ),
        "result-retried": result(
            DONE,
            *whole,
            attempts=2,
            errors=(Mistake(at=CREATED, reason=Reason.NODE_FAILURE, words="n17 does not answer"),),
        ),
        "result-watched": result(DONE, *whole, letter={"recipient": "bob@example.org"}),
        "result-brief": result(DONE, *whole, reply=Reply.BRIEF),
        "result-nothing": result(DONE, out(b""), err(b"")),
        "result-complains": result(DONE, out(b""), err(b"Warning: the query is empty.\n")),
        "result-empty": result(
            DONE, out(b""), err(b""), stream("a.txt", b""), stream("b.txt", b"")
        ),
        "result-too-big": result(
            DONE,
            out(b"12.75\n", "energy.txt"),
            err(b""),
            stream("run/trajectory.dcd", bytes(40_000)),
            letter={"limit": 20_000},
        ),
        "result-packed": _shipped(1, 1),
        "result-part-1": _shipped(1, 3),
        "result-part-3": _shipped(3, 3),
        "result-part-kept": _shipped(3, 3, kept=True),
        "result-inline": result(
            DONE,
            out("größe = 12 µm\n.\nFrom here\n".encode(), "Ergebnis.txt"),
            err(b""),
            reply=Reply.INLINE,
        ),
        "result-head": result(DONE, *whole, reply=Reply.BRIEF, letter={"head": 3}),
        "result-head-failed": result(
            Exit(reason=Reason.CANCELLED), *whole, reply=Reply.BRIEF, letter={"head": 3}
        ),
        "result-head-binary": result(
            DONE, out(b"\0" * 900), *whole[1:], reply=Reply.BRIEF, letter={"head": 3}
        ),
        "result-names": result(
            DONE,
            out("größe\t12 µm\n".encode(), "Ergebnis für Ada.txt"),
            err(b""),
            stream("a/x.nwk", b"(A,B);\n"),
            stream("b/x.nwk", b"(B,A);\n"),
            stream("x-2.nwk", b"(B,B);\n"),
            stream("page.html", b"<script>alert(1)</script>\n"),
            stream("配列.fasta", b">A\r\nMKV\r\n"),
        ),
    }


def _shipped(part: int, of: int, *, kept: bool = False) -> Written:
    """A letter of a shipment: an alignment, and noise that was cut into three."""
    noise = bytes(range(256)) * 40
    size = len(noise) // 3 if of > 1 else len(noise)
    made = result(
        DONE, out(_ALIGNMENT, "alignment.fasta"), err(b""), stream("run/noise.bin", noise)
    )
    assert made.draft.job
    streams = made.draft.job.streams
    parcels = tuple(
        Parcel(
            name=one.name.rpartition("/")[2],
            size=one.size,
            sha256=one.sha256,
            members=(Member(stream=n, at=0, size=one.size),),
            last=of if n == 2 else 1,
        )
        for n, one in enumerate(streams)
    )
    start = (part - 1) * size
    digest = hashlib.sha256(noise[start : start + size]).hexdigest()
    pieces = [Piece(parcel=2, offset=start, size=size, sha256=digest)]
    if part == 1:
        pieces = [
            Piece(parcel=n, offset=0, size=s.size, sha256=s.sha256)
            for n, s in enumerate(streams[:2])
        ] + pieces
    carried = Carried(
        shipment=Shipment(code="8746eb7ceccc89dc", limit=9000, most=20, parcels=parcels),
        part=part,
        of=of,
        pieces=() if kept else tuple(pieces),
    )
    kind = LetterKind.RESULT if part == 1 else LetterKind.PART
    return replace(made, draft=replace(made.draft, kind=kind, carried=carried))


def _ends() -> dict[str, Written]:
    hour = timedelta(hours=1)
    return {
        "failed-exit": _failed(Reason.EXIT, exit={"code": 3}, stderr=_TRACE, label="globins"),
        "failed-exit-silent": result(Exit(reason=Reason.EXIT, code=1), out(b"1\n"), err(b"")),
        "failed-exit-binary": _failed(Reason.EXIT, exit={"code": 2}, stderr=bytes(range(256)) * 50),
        "failed-killed": _failed(
            Reason.SIGNAL, Saying("ends/exit-status", status=137), exit={"signal": 9}
        ),
        "failed-signal": _failed(Reason.SIGNAL, exit={"signal": 11}),
        "failed-work-limit": _failed(Reason.WORK_LIMIT, facts={"work_limit_max": 4 * hour}),
        "failed-work-limit-full": _failed(Reason.WORK_LIMIT),
        "failed-memory": _failed(
            Reason.MEMORY, "the kernel killed it", plan=Plan(argv=("align",), memory=4096 * MIB)
        ),
        "failed-memory-more": _failed(
            Reason.MEMORY,
            "OUT_OF_MEMORY on n17 (job 48211)",
            plan=Plan(argv=("align",), memory=4096 * MIB),
            facts={"memory_max": 65536 * MIB},
        ),
        "failed-node": _failed(Reason.NODE_FAILURE, "NODE_FAIL on n17 (job 48211)"),
        "failed-preempted": _failed(Reason.PREEMPTED, "PREEMPTED on n17 (job 48211)"),
        "failed-cancelled": _failed(Reason.CANCELLED, facts={"by": "operator"}),
        "failed-outside": _failed(
            Reason.OUTSIDE, "Slurm called it CANCELLED on node n17 (job 48211)."
        ),
        "failed-start": result(
            Exit(reason=Reason.COULD_NOT_START, words="align: command not found"), started=None
        ),
        "failed-lost": _failed(
            Reason.LOST,
            attempts=2,
            errors=(
                Mistake(at=CREATED, reason=Reason.LOST, words="its process is gone"),
                Mistake(at=ENDED, reason=Reason.LOST, words="its process is gone"),
            ),
        ),
    }


_INPUTS = (("", 120), ("winmail.dat", 4096), ("globins of 2026.fa", 59_000), ("a", 1), ("b", 2))
_IGNORED = ("signature.asc", '"anbei die Sequenzen."')


def _on_the_way() -> dict[str, Written]:
    running = job(
        phase=Phase.EXECUTING, started=CREATED + timedelta(seconds=1), label="globins, second try"
    )
    halfway = replace(running, progress=Progress(percent=62, words="round 31 of 50"))
    return {
        "receipt": Written(draft=draft(LetterKind.RECEIPT, job(ignored=_IGNORED), inputs=_INPUTS)),
        "receipt-running": Written(draft=draft(LetterKind.RECEIPT, running)),
        "receipt-slurm": Written(
            draft=draft(
                LetterKind.RECEIPT,
                job(plan=Plan(argv=("align",), cores=8, memory=16 << 30, gpus=1, queue="long")),
                facts={"outlook": _AT_SLURM},
            )
        ),
        "receipt-away": Written(draft=draft(LetterKind.RECEIPT, job(), facts={"outlook": _AWAY})),
        "receipt-tight": Written(draft=draft(LetterKind.RECEIPT, job(), facts={"outlook": _TIGHT})),
        "receipt-quota": Written(draft=draft(LetterKind.RECEIPT, job(), facts={"quota": _QUOTA})),
        "receipt-held": Written(
            draft=draft(LetterKind.RECEIPT, job(phase=Phase.HELD, held_by="bob@example.org"))
        ),
        "started": Written(draft=draft(LetterKind.STARTED, running, inputs=_INPUTS)),
        "destroyed": Written(draft=draft(LetterKind.DESTROYED, running)),
        "destroyed-watcher": Written(
            draft=draft(LetterKind.DESTROYED, running, recipient="bob@example.org")
        ),
        "progress": Written(draft=draft(LetterKind.PROGRESS, halfway)),
        **_by_the_clock(running),
    }


def _by_the_clock(running: Job) -> dict[str, Written]:
    weekly = replace(running, every=timedelta(days=7))
    queued = replace(weekly, phase=Phase.QUEUED, started=None, attempts=0)
    kept = result(DONE, out(_ALIGNMENT, "alignment.fasta"), err(b"")).draft.job
    return {
        "news": Written(draft=draft(LetterKind.NEWS, weekly)),
        "news-watcher": Written(
            draft=draft(LetterKind.NEWS, weekly, recipient="grace@example.org")
        ),
        "news-quota": Written(
            draft=draft(LetterKind.NEWS, queued, facts={"quota": _QUOTA, "ahead": 12, "run": 2})
        ),
        "news-unknown": Written(draft=draft(LetterKind.NEWS, replace(weekly, phase=Phase.UNKNOWN))),
        "news-slurm": Written(draft=draft(LetterKind.NEWS, queued, facts={"outlook": _AT_SLURM})),
        "news-silent": Written(
            draft=draft(LetterKind.NEWS, queued, facts={"outlook": _SILENT_SLURM})
        ),
        "news-away": Written(draft=draft(LetterKind.NEWS, weekly, facts={"outlook": _AWAY})),
        "news-tight": Written(draft=draft(LetterKind.NEWS, queued, facts={"outlook": _TIGHT})),
        "news-paused": Written(draft=draft(LetterKind.NEWS, queued, facts={"paused": True})),
        "news-held": Written(
            draft=draft(
                LetterKind.NEWS, replace(queued, phase=Phase.HELD, held_by="bob@example.org")
            )
        ),
        "news-held-cluster": Written(
            draft=draft(LetterKind.NEWS, replace(queued, phase=Phase.HELD, held_by="cluster"))
        ),
        "news-queued": Written(draft=draft(LetterKind.NEWS, queued, facts={"ahead": 12, "run": 2})),
        "notice": Written(
            draft=draft(LetterKind.NOTICE, kept, facts={"keep_max": timedelta(days=90)})
        ),
        "notice-last": Written(
            draft=draft(LetterKind.NOTICE, kept, facts={"keep_max": timedelta(days=14)})
        ),
    }


_OVER = Saying(
    "quotas/jobs-a-day",
    who="ada@example.org",
    service="blast",
    count=20,
    most=20,
    frees=datetime(2026, 11, 22, 14, tzinfo=UTC),
)


def _answers() -> dict[str, Written]:
    denied = Saying("access/denied", who="ada@example.org", service="blast")
    refusal = {"service": "blast", "sentence": denied}
    two = {"unclear": _unclear(), "others": ((LetterKind.REFUSED, {**refusal, "beside": True}),)}
    over = {"service": "blast", "again": True, "sentence": _OVER, "name": "globins, second try"}
    gone = {"service": "blast", "sentence": Saying("access/gone", name="blast")}
    then = Saying("access/was-denied", who="ada@example.org", service="blast")
    unknown, near = (
        {
            "service": "algin",
            "sentence": Saying("access/no-service", name="algin", meant=meant),
            "unknown": True,
            "meant": meant,
        }
        for meant in (None, "align")
    )
    return {
        "unclear": Written(
            draft=draft(LetterKind.UNCLEAR, facts={"unclear": _unclear(), "name": "globins"})
        ),
        "unclear-missing": Written(draft=draft(LetterKind.UNCLEAR, facts={"unclear": _missing()})),
        "unclear-and-refused": Written(draft=draft(LetterKind.UNCLEAR, facts=two)),
        "dry-run": Written(draft=draft(LetterKind.DRY_RUN, facts=_dry_run())),
        "refused": Written(draft=draft(LetterKind.REFUSED, facts=refusal)),
        "refused-quota": Written(draft=draft(LetterKind.REFUSED, facts=over)),
        "refused-unknown": Written(draft=draft(LetterKind.REFUSED, facts=unknown)),
        "refused-unknown-near": Written(draft=draft(LetterKind.REFUSED, facts=near)),
        "refused-then": Written(
            draft=draft(LetterKind.REFUSED, facts={"service": "blast", "sentence": then})
        ),
        "refused-gone": Written(draft=draft(LetterKind.REFUSED, facts=gone)),
        "duplicate-answered": Written(
            draft=draft(LetterKind.DUPLICATE, facts={"of": "<request-1@example.org>"})
        ),
        "duplicate-signed": Written(
            draft=draft(
                LetterKind.DUPLICATE, facts={"of": "<request-1@example.org>", "signed": True}
            )
        ),
        "duplicate": Written(
            draft=draft(
                LetterKind.DUPLICATE, facts={"of": "<request-1@example.org>", "job": "k7q2m5xzab3c"}
            )
        ),
        "confirm": Written(draft=_confirm(taken=CREATED)),
        "confirm-watcher": Written(draft=_confirm(job="k7q2m5xzab3c")),
        "commands": Written(draft=draft(LetterKind.COMMANDS, facts=_COMMANDS)),
        "commands-against": Written(draft=draft(LetterKind.COMMANDS, facts=_AGAINST)),
        "test": Written(
            draft=draft(
                LetterKind.TEST, in_reply_to=None, references=None, recipient="op@example.org"
            )
        ),
    }


def _confirm(**about) -> Draft:
    facts = {
        "address": "jobs+confirm.abcdefghij234567abcd@gate.example.org",
        "services": ("align",),
        "until": CREATED + timedelta(days=3),
        **about,
    }
    return draft(
        LetterKind.CONFIRM,
        in_reply_to=None,
        references=None,
        reply_to=facts["address"],
        facts=facts,
    )


_TAKES = (
    Taken(key="sequences", what="an attachment named *.fa or *.fasta"),
    Taken(
        key="tree",
        what='"sl" or "upgma", "sl" if it is left out',
        summary="how the guide tree is made: single linkage or average linkage",
    ),
)


def _unclear() -> Unclear:
    return Unclear(
        service="align",
        lines=(
            Understood(quoted="label: globins", meaning='the label is "globins"'),
            Understood(
                quoted="tre: upgma",
                meaning='there is no parameter "tre"; did you mean "tree"?',
                wrong=True,
            ),
            Understood(
                quoted="globins-of-forty-five-vertebrates.fasta",
                meaning='58 KiB as "sequences"',
            ),
            Understood(quoted="anbei die Sequenzen.", meaning="not read"),
        ),
        example=("tree: upgma",),
        attach=("globins-of-forty-five-vertebrates.fasta",),
        summary="Align protein sequences",
        takes=_TAKES,
        mend='Send it again with that line mended, or without it (tree is then "sl").',
    )


def _missing() -> Unclear:
    words = '"sequences" is missing: an attachment named *.fa or *.fasta'
    return replace(
        _unclear(),
        lines=(
            Understood(quoted="(missing)", meaning=words, wrong=True, missing=True),
            Understood(quoted="anbei die Sequenzen.", meaning="not read"),
        ),
        attach=("a file such as sequences.fa",),
        mend="Send it again with an attachment named *.fa or *.fasta.",
    )


def _dry_run() -> dict[str, object]:
    sequences = Input(
        name="sequences",
        filename="globins.fa",
        media_type="text/plain",
        size=58_000,
        sha256=_SHA256,
        text="",
    )
    request = Request(
        service="align",
        parameters={"tree": "upgma"},
        inputs=(sequences,),
        ignored=("signature.asc",),
        label="globins; rm -rf /",
        work_limit=timedelta(minutes=30),
        dry_run=True,
    )
    argv = ("python3", "/etc/mailgate/services/align.py", "--tree", "upgma", "--title",
            "globins; rm -rf /", "in/sequences.fa")  # fmt: skip
    return {
        "request": request,
        "plan": Plan(argv=argv, cores=8, memory=16 << 30),
        "keep": timedelta(days=14),
        "summary": "Align protein sequences",
        "takes": _TAKES,
    }


def _entry(line: str, answer: Answer) -> dict[str, object]:
    state = "wrong" if answer.wrong else "done"
    return {"quoted": (line,), "state": state, "say": answer.kind, "facts": answer.facts}


_COMMANDS = {
    "job": "k7q2m5xzab3c",
    "entries": (
        _entry("status", registry.command("status").samples[0]),
        _entry("cancel", registry.command("cancel").samples[0]),
        _entry("pause", Answer(kind="unknown", facts={"near": "hold"}, wrong=True)),
    ),
    "help": (),
    "against": (),
    "stop": "quote",
    "at": "",
    "unread": 2,
}
_AGAINST = {
    **_COMMANDS,
    "job": "",
    "entries": (_entry("cancel", AGAINST),),
    "against": tuple(
        {"where": where, "id": job}
        for where, job in (
            ("thread", "k7q2m5xzab3c"),
            ("subject", "k7q2m5xzab3c"),
            ("subject 2", "ahwbtzrqmo4e"),
        )
    ),
    "stop": "",
    "unread": 0,
    "attached": ("globins.fa, 58 KiB",),
}
