"""The built-in text, for when a template fails: the same facts in plain rows, in English."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from mailgate.model import LetterKind
from mailgate.reply.excerpt import Excerpt
from mailgate.reply.layout import fact, laid_out, shown, table
from mailgate.reply.rows import Listing
from mailgate.reply.templates import Page

_HEADLINES = {
    LetterKind.RESULT: "Your job has ended.",
    LetterKind.PART: "Your job has ended: this is a further part of its result.",
    LetterKind.RECEIPT: "Your request is taken.",
    LetterKind.STARTED: "Your job has started.",
    LetterKind.PROGRESS: "Your job is running.",
    LetterKind.DESTROYED: "Your job was destroyed, as somebody asked.",
    LetterKind.NEWS: "Your job has not ended yet.",
    LetterKind.NOTICE: "The outputs of your job are removed soon.",
    LetterKind.UNCLEAR: "Your request was not run: it is unclear.",
    LetterKind.DRY_RUN: "Nothing was run, as you asked: this would have been run.",
    LetterKind.REFUSED: "Your request was not run.",
    LetterKind.DUPLICATE: "Nothing was run: an earlier mail had this Message-ID or signature.",
    LetterKind.CONFIRM: 'Answer with the word "confirm" on a line of its own, or do nothing.',
    LetterKind.COMMANDS: "This is what came of your commands.",
    LetterKind.TEST: "This is a test letter.",
}


def plain_page(kind: LetterKind, facts: Mapping[str, object]) -> Page:
    """Write a letter without a template: what happened, then every fact by its name."""
    headline = _headline(kind, str(facts.get("watching") or ""))
    subject = " ".join(
        str(word)
        for word in (
            f"[job {facts['id']}]" if facts.get("id") else "",
            f"{facts['service']}:" if facts.get("service") else "",
            headline.rstrip("."),
        )
        if word
    )
    # A bar divides cells: one in a value is a fact's.
    rows = [f"{name.replace('_', ' ')} | {fact(value, 400)}" for name, value in _rows(facts)]
    text = f"{headline}\n\n{table(chr(10).join(rows))}\n{_excerpts(facts)}"
    return Page(subject=shown(subject), text=laid_out(text))


def _headline(kind: LetterKind, owner: str) -> str:
    """Say what happened; to somebody else than the job's owner, to whose job."""
    said, whose = _HEADLINES[kind], f"he job of {owner}"
    return said.replace("Your job", f"T{whose}").replace("your job", f"t{whose}") if owner else said


def _rows(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        match value:
            case Listing():
                yield from ((name, _said(row)) for row in value.rows)
            case tuple():
                yield from ((name, _said(row)) for row in value)
            case Excerpt() | "":
                continue
            case _:
                yield name, _said(value)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value):
        parts = (getattr(value, field.name) for field in fields(value))
        return "   ".join(_said(part) for part in parts if part != "")
    if isinstance(value, Mapping):
        told = {name: part for name, part in value.items() if part not in ("", None, ())}
        return ", ".join(f"{name.replace('_', ' ')} {_said(part)}" for name, part in told.items())
    if isinstance(value, tuple):
        return ", ".join(map(_said, value))
    return str(value)


def _excerpts(facts: Mapping[str, object]) -> str:
    found = ((name, value) for name, value in facts.items() if isinstance(value, Excerpt))
    return "\n".join(
        f"Lines of {name}:\n\n" + "".join(f"  {line}\n" for line in excerpt.lines)
        for name, excerpt in found
        if excerpt.lines
    )
