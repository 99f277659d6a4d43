"""What the spool keeps of a letter's facts, as the model's values again."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain

from mailgate.model import JobId, LetterKind, Plan, Request, Taken, Unclear
from mailgate.model.outlook import Outlook
from mailgate.reply import live
from mailgate.reply.live import Printed
from mailgate.spool import codec
from mailgate.spool.codec import untagged
from mailgate.spool.letters import Planned

Thread = tuple[str | None, str | None]


def answers_of(plan: Planned, printed: Printed) -> tuple[Thread, Mapping[str, object]]:
    """Return the request's Message-ID and References, and the facts of its answers."""
    stored = codec.load(dict, plan.facts)
    thread = (stored.get("message_id"), stored.get("references"))
    answers = [(LetterKind(a["kind"]), a["facts"]) for a in stored.get("answers", [])]
    if not answers:
        return thread, {}
    first, *others = [(kind, _rich(kind, facts, printed)) for kind, facts in answers]
    return thread, {**first[1], "others": tuple(others)} if others else first[1]


def asked(plan: Planned) -> tuple[JobId, ...]:
    """Return the jobs that run of which a letter tells what they have printed."""
    if plan.kind is not LetterKind.COMMANDS:
        return ()
    answers = codec.load(dict, plan.facts).get("answers", [])
    found = (live.asked(a["facts"]) for a in answers if a["kind"] == LetterKind.COMMANDS)
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def outlook_of(plan: Planned) -> tuple[Mapping[str, object], Outlook]:
    """Return what a letter says of a job that goes on, and what may be expected of that."""
    facts = codec.load(dict, plan.facts)
    found = codec.load(Outlook, json.dumps(facts.pop("outlook", {})))
    return _untagged(facts), found


def _rich(kind: LetterKind, facts: Mapping[str, object], printed: Printed) -> Mapping[str, object]:
    """Return the model's values behind an answer's JSON."""
    match kind:
        case LetterKind.UNCLEAR:
            return {**facts, "unclear": codec.load(Unclear, json.dumps(facts["unclear"]))}
        case LetterKind.DRY_RUN:
            return {
                "request": codec.load(Request, json.dumps(facts["request"])),
                # Letters of earlier versions have the command alone.
                "plan": codec.load(Plan, json.dumps(facts.get("plan") or {"argv": facts["argv"]})),
                "summary": facts.get("summary", ""),
                "takes": codec.load(tuple[Taken, ...], json.dumps(facts.get("takes", []))),
                **{
                    name: timedelta(seconds=seconds)
                    for name in ("work_limit", "keep")
                    if isinstance(seconds := facts.get(name), int | float)
                },
            }
        case LetterKind.CONFIRM:
            times = {name: _moment_of(facts[name]) for name in ("until", "taken") if name in facts}
            return {**facts, "services": tuple(facts["services"]), **times}  # type: ignore[arg-type]
        case LetterKind.COMMANDS:
            return live.told(_untagged(facts), printed)
        case LetterKind.REFUSED:
            return _untagged(facts)
        case _:
            return facts


def _untagged(facts: Mapping[str, object]) -> dict[str, object]:
    return {name: untagged(value) for name, value in facts.items()}


def _moment_of(seconds: object) -> datetime:
    return datetime.fromtimestamp(float(str(seconds)), UTC)
