"""What commands came to, as facts for a letter: harmless texts, a person's units."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from mailgate import said
from mailgate.model import Answer
from mailgate.reply.draft import Given
from mailgate.reply.layout import clause, fact
from mailgate.reply.rows import Entry, Say
from mailgate.saying import Saying

# Lines below a command that are its own; how many there are besides is not told.
_ROWS = 100


def told(given: Given) -> dict[str, object]:
    """Return what the letter says that answers a mail of commands."""
    entries = [_entry(one) for one in given.one("entries", tuple)]
    return {
        "id": fact(given.one("job", str)),
        "entries": tuple(entries),
        "done": sum(entry.state == "done" for entry in entries),
        "wrong": sum(entry.state == "wrong" for entry in entries),
        "help": tuple(_say(one) for one in given.one("help", tuple)),
        "against": tuple(shown_facts(one) for one in given.one("against", tuple)),
        "stop": given.one("stop", str),
        "at": fact(given.one("at", str), 66),
        "unread": given.one("unread", int),
        "last": given.optional("last", bool) or False,
        "attached": tuple(fact(str(one)) for one in given.optional("attached", tuple) or ()),
    }


def _entry(one: Mapping[str, object]) -> Entry:
    quoted = one["quoted"]
    assert isinstance(quoted, tuple)  # noqa: S101 - as the desk writes it
    lines = tuple(fact(str(line), 66) for line in quoted[:_ROWS])
    return Entry(quoted=lines, state=str(one["state"]), say=_say(one))


def _say(one: Mapping[str, object]) -> Say:
    facts = shown_facts(one["facts"])
    assert isinstance(facts, dict)  # noqa: S101 - as the desk writes it
    return Say(words=str(one["say"]), facts=facts)


def say_of(answer: Answer) -> Say:
    """Return what one command answers, for its template."""
    return _say({"say": answer.kind, "facts": answer.facts})


def shown_facts(value: object) -> object:
    """Make what a command answers fit for a template: harmless texts, a person's units."""
    match value:
        case str():
            return fact(value, 1000)
        case Saying():
            return clause(value, 1000)
        case datetime():
            return fact(said.moment(value))
        case timedelta():
            return fact(said.duration(value))
        case Mapping():
            return {str(key): shown_facts(item) for key, item in value.items()}
        case tuple() | list():
            return tuple(shown_facts(item) for item in value)
        case None:
            return ""
        case _:
            return value
