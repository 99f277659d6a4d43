"""Mail me the job's outputs again: all, one by its name, or a part that has not come.

They come to whom asks, as the request asked for them, or as this line does. `results head 50` shows
the first lines of standard output and attaches nothing.
"""

import hashlib
from collections.abc import Mapping

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer, LetterKind, Reply, Wanted, Wish
from mailgate.parse.replies import reply_kind
from mailgate.phases import ENDED
from mailgate.spool import letters, shipments
from mailgate.spool.database import Tx

usage = (
    "results",
    "results NAME",
    "results part 3",
    "results head 50",
    "results as attachments",
    "results parts=300KiB",
)
meant_by = ("result", "output", "outputs", "resend", "download")

_MOST_LINES = 1000
_MOST_NAMED = 20
_WAYS = {
    "attachments": Reply.ATTACH,
    "attachment": Reply.ATTACH,
    "attached": Reply.ATTACH,
    "text": Reply.INLINE,
}


def execute(tx: Tx, call: Call) -> Answer:
    """Plan one more letter, for whom asks alone."""
    job = call.job
    if lifetime.is_over(job, tx.now) or job.wish is Wish.DESTROY:
        return _not("gone")
    if job.phase not in ENDED:
        return _not("running", phase=job.phase)
    match [word.lower() for word in call.words]:
        case ["part", number] if number.isdecimal() and len(number) < 6:
            return _part(tx, call, int(number))
        case ["head", number] if number.isdecimal() and 0 < int(number[:9]) <= _MOST_LINES:
            return _planned(tx, call, Wanted(reply=Reply.BRIEF, head=int(number)))
        case ["head" | "part", *_]:
            return unfit(call)
        case []:
            whole = job.reply in {Reply.BRIEF, Reply.ATTACH}
            reply = Reply.FULL if whole else job.reply
            return _planned(tx, call, Wanted(reply=reply, part=job.part))
        case _:
            return _chosen(tx, call)


def _chosen(tx: Tx, call: Call) -> Answer:
    """Mail one output by its name, or all in another way."""
    words = " ".join(call.words)
    names = [stream.name for stream in call.job.streams]
    same = [name for name in names if name == words]
    named = same or [name for name in names if name.casefold() == words.casefold()]
    if named:
        return _planned(tx, call, Wanted(names=(named[0],)))
    way = words.lower().removeprefix("as ").strip()
    try:
        reply, part = (_WAYS[way], None) if way in _WAYS else reply_kind(way)
    except ValueError:
        return _not("name", name=words, names=names[:_MOST_NAMED], more=len(names) > _MOST_NAMED)
    return _planned(tx, call, Wanted(reply=reply, part=part))


def _part(tx: Tx, call: Call, number: int) -> Answer:
    found = shipments.newest(tx, call.job.id, _asker(call))
    if found is None:
        return _not("whole")
    shipment, parts = found
    if not 1 <= number <= parts:
        return _not("part", number=number, parts=parts)
    pieces = shipments.pieces_of(tx, shipment, number)
    if not pieces:
        return _not("big", number=number, parts=parts)
    cause = _cause(tx, call)
    wanted = shipments.wanted_of(tx, shipment)
    letters.plan(tx, call.job, LetterKind.RESULT, cause=cause, facts=wanted, only=_asker(call))
    shipments.again(tx, call.job.id, cause, shipment=shipment, part=number, pieces=pieces)
    return Answer(kind="results", facts={"to": _asker(call), "part": number})


def _planned(tx: Tx, call: Call, wanted: Wanted) -> Answer:
    facts: Mapping[str, object] = {"wanted": wanted}
    cause = _cause(tx, call)
    letters.plan(tx, call.job, LetterKind.RESULT, cause=cause, facts=facts, only=_asker(call))
    return Answer(kind="results", facts={"to": _asker(call), "part": 0})


def _asker(call: Call) -> str:
    return call.who.address if call.who else call.job.owner.address


def _cause(tx: Tx, call: Call) -> str:
    """Return what makes this letter one of its own: the mail that asks, and for what."""
    asked = hashlib.sha256(" ".join(call.words).lower().encode("utf-8", "replace")).hexdigest()[:8]
    return f"results {call.origin.message if call.origin else int(tx.at * 1000)}.{asked}"


def _not(why: str, **facts: object) -> Answer:
    bare: dict[str, object] = {
        "name": "", "names": [], "more": False, "number": 0, "parts": 0, "phase": ""
    }  # fmt: skip
    return Answer(kind="results-not", facts={**bare, **facts, "why": why}, wrong=True)


samples = (
    Answer(kind="results", facts={"to": "ada@example.org", "part": 0}),
    Answer(kind="results", facts={"to": "ada@example.org", "part": 3}),
    *map(_not, ("gone", "running", "whole")),
    _not("part", number=9, parts=7),
    _not("big", number=3, parts=7),
    _not("name", name="x.nwk", names=["stdout.txt", "y.nwk"], more=True),
    _not("name", name="x.nwk"),
)
