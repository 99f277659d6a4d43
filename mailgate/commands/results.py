"""Mail the job's outputs again: all, one by its name, or a part that has not come.

They come to whom asks, as the request asked for them, or as this line does. `results head 50` shows
the first lines of standard output and attaches nothing. A missing part is best asked for in a reply
to one of the parts that came.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mailgate.commands import lifetime
from mailgate.commands.call import Call, unfit
from mailgate.model import Answer, LetterKind, Reply, Wanted
from mailgate.parse.replies import UnknownKindError, reply_kind
from mailgate.parse.unfit import UnfitValueError
from mailgate.phases import ENDED
from mailgate.saying import Saying
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
# Around a name with blanks in it.
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"
_WAYS = {
    "attachments": Reply.ATTACH,
    "attachment": Reply.ATTACH,
    "attached": Reply.ATTACH,
    "text": Reply.INLINE,
}


def execute(tx: Tx, call: Call) -> Answer:
    """Plan one more letter, for whom asks alone."""
    job = call.job
    if lifetime.is_doomed(job, tx.now):
        return _not("gone")
    if job.phase not in ENDED:
        return _not("running", phase=job.phase)
    match [word.lower() for word in call.words]:
        case ["part", number, *which] if _is_number(number) and _is_cut(which):
            return _part(tx, call, int(number), which)
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
    words = " ".join(call.words).strip(_QUOTES) or '""'
    names = [stream.name for stream in call.job.streams]
    same = [name for name in names if name == words]
    named = same or [name for name in names if name.casefold() == words.casefold()]
    if named:
        return _planned(tx, call, Wanted(names=(named[0],)))
    way = words.lower().removeprefix("as ").strip()
    try:
        reply, part = (_WAYS[way], None) if way in _WAYS else reply_kind(way)
    except UnknownKindError:
        return _not("name", name=words, names=names[:_MOST_NAMED], more=len(names) > _MOST_NAMED)
    except UnfitValueError as error:
        return _not("way", words=error.why)
    return _planned(tx, call, Wanted(reply=reply, part=part))


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 6


def _is_cut(words: Sequence[str]) -> bool:
    """Whether words name the mails that a part is one of: nothing, ``of 7``, ``of mailing 2``."""
    match words:
        case [] | ["of", _] | ["of", "mailing", _]:
            return not words or _is_number(words[-1])
        case _:
            return False


def _part(tx: Tx, call: Call, number: int, which: Sequence[str]) -> Answer:
    """Mail a part again of the mails that are named, else answered, else of the only ones."""
    cuts = shipments.cuts(tx, call.job.id, _asker(call))
    if not cuts:
        return _not("whole")
    named = [cut for cut in cuts if _is_named(cut, which)]
    if call.origin and not which:
        thread = call.origin.answered
        replied = shipments.answered(tx, call.job.id, _asker(call), thread)
        named = [replied] if replied else named
    found = [cut for cut in named if 1 <= number <= cut.parts]
    if len(found) > 1:
        rows = [{"number": cut.number, "parts": cut.parts, "made": cut.made} for cut in found]
        return _not("which", number=number, mailings=rows[-_MOST_NAMED:])
    if not found:
        parts = max((cut.parts for cut in named), default=0)
        came = sorted({cut.parts for cut in cuts})
        return _not("part", number=number, parts=parts, which=" ".join(which), came=came)
    return _part_of(tx, call, number, found[0])


def _is_named(cut: shipments.Cut, which: Sequence[str]) -> bool:
    match which:
        case ["of", parts]:
            return cut.parts == int(parts)
        case ["of", "mailing", number]:
            return cut.number == int(number)
        case _:
            return True


def _part_of(tx: Tx, call: Call, number: int, cut: shipments.Cut) -> Answer:
    pieces = shipments.pieces_of(tx, cut.id, number)
    if not pieces:
        return _not("big", number=number, parts=cut.parts)
    cause = _cause(tx, call)
    wanted = shipments.wanted_of(tx, cut.id)
    letters.plan(tx, call.job, LetterKind.RESULT, cause=cause, facts=wanted, only=_asker(call))
    shipments.again(tx, call.job.id, cause, shipment=cut.id, part=number, pieces=pieces)
    return Answer(kind="results", facts={"to": _asker(call), "part": number, "parts": cut.parts})


def _planned(tx: Tx, call: Call, wanted: Wanted) -> Answer:
    facts: Mapping[str, object] = {"wanted": wanted}
    cause = _cause(tx, call)
    letters.plan(tx, call.job, LetterKind.RESULT, cause=cause, facts=facts, only=_asker(call))
    return Answer(kind="results", facts={"to": _asker(call), "part": 0, "parts": 0})


def _asker(call: Call) -> str:
    return call.who.address if call.who else call.job.owner.address


def _cause(tx: Tx, call: Call) -> str:
    """Return what makes this letter one of its own: the mail that asks, and for what."""
    asked = hashlib.sha256(" ".join(call.words).lower().encode("utf-8", "replace")).hexdigest()[:8]
    return f"results {call.origin.message if call.origin else int(tx.at * 1000)}.{asked}"


def _not(why: str, **facts: object) -> Answer:
    bare: dict[str, object] = {
        "name": "", "names": [], "more": False, "number": 0, "parts": 0, "phase": "",
        "mailings": [], "which": "", "came": [], "words": "",
    }  # fmt: skip
    return Answer(kind="results-not", facts={**bare, **facts, "why": why}, wrong=True)


samples = (
    Answer(kind="results", facts={"to": "ada@example.org", "part": 0, "parts": 0}),
    Answer(kind="results", facts={"to": "ada@example.org", "part": 3, "parts": 7}),
    *map(_not, ("gone", "running", "whole")),
    _not("part", number=9, parts=7),
    _not("part", number=9, which="of 12", came=[7, 20]),
    _not("way", words=Saying("replies/no-link")),
    _not("big", number=3, parts=7),
    _not(
        "which",
        number=3,
        mailings=[
            {"number": 1, "parts": 7, "made": datetime(2026, 11, 21, 14, tzinfo=UTC)},
            {"number": 2, "parts": 7, "made": datetime(2026, 11, 22, 9, tzinfo=UTC)},
        ],
    ),
    _not("name", name="x.nwk", names=["stdout.txt", "y.nwk"], more=True),
    _not("name", name="x.nwk"),
)
