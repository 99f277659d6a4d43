"""The lines of a mail, read as commands: in order, each accounted for, never a quoted one.

- A line is a command if its first word names one; case, quotation marks around it and a full stop
  at its end do not matter, and ``name: words`` is ``name words``.
- Reading stops at the first quote below something of the person's own. A mail that begins with a
  quote is read below the last one: what stands between two may be torn off a quoted line.
- It stops at a line that says nothing known and may introduce a quote, whatever its language: an
  address, a date, a time, a rule, what ends in a colon and asks for nothing, a Subject of ours.
- It stops at a closing, a signature, ``quit``, at the words with which the gateway's own letters
  begin their lists of commands, and at the fifth line that nobody knows.
- Greetings are passed over.
- If the text has no command, the Subject may be one.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailgate.model import Message, Script, ScriptLine, Stop
from mailgate.parse.inputs import by_a_person
from mailgate.parse.keys import key_line
from mailgate.parse.prose import is_closing, is_greeting
from mailgate.parse.quotes import (
    header_field,
    is_short_attribution,
    may_begin_quote,
    names_an_original,
)
from mailgate.parse.unfit import shown
from mailgate.settings.kinds import mistyped

MOST_UNKNOWN = 5
"""Lines that nobody knows; at the last of them reading stops."""

MOST_COMMANDS = 50
"""Commands in a mail; what is below them is not read."""

MOST_LINES = 200
"""Lines with words that are read, and ``key: value`` lines of one command."""

LONGEST = 500
"""Characters of a line; a longer one is no command."""

QUIT, CONFIRM = "quit", "confirm"

# Quotation marks and bullets around a line; a full stop at its end.
_AROUND = " \t\u200b\u200e\u200f\ufeff\"'`“”‘’„«»"
_FIRST = re.compile(r"([^\W\d_][\w-]*)[.!;,]*(?:\s*[:=]|(?=\s|$))\s*")
_REPLIED = re.compile(
    r"\s*(?:(?:re|aw|antw?|sv|vs|fwd?|wg|tr|rv|r|i)(?:\[\d+\])?\s*:)", re.IGNORECASE
)
_TAG = re.compile(r"\[job ([a-z][a-z2-7]{11})\]", re.IGNORECASE)
_SUBJECT = 1000
# A letter's Subject, as quoted headers have it: more than the tag stands there.
_OWN_SUBJECT = re.compile(
    r"\s*(?:\w{1,20}\s?[:：]\s*){0,4}\[job [a-z][a-z2-7]{11}\]\s*[^\s\W]", re.IGNORECASE
)
# So the gateway's letters begin their lists of commands; no person's line ends like that.
_OWN_WORDS = re.compile(r"\breply with\b[a-z ]{0,40}:?\s*$|^\W*it is written:?\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What is known: each command's other words, by its name, and which take lines below them.

    ``names`` maps a name to words that people may write for it, which are no names themselves.
    """

    names: Mapping[str, Sequence[str]]
    with_lines: frozenset[str] = frozenset()

    def near(self, words: Sequence[str]) -> str:
        """Return the command that a line of unknown words may mean, "" if none comes to mind."""
        spoken = [_plain(word) for word in words[:20]]
        # A command's own word says more than one that others write for it.
        if named := next((word for word in spoken if word in self.names), ""):
            return named
        for name, others in self.names.items():
            if any(word in others for word in spoken):
                return name
        return (mistyped(spoken[0], self.names) if spoken else None) or ""


@dataclass(slots=True)
class _Reading:
    """What is read so far."""

    lines: list[ScriptLine] = field(default_factory=list)
    unknown: int = 0

    @property
    def commands(self) -> int:
        return sum(1 for line in self.lines if line.name)


def read_commands(message: Message, grammar: Grammar) -> Script:
    """Read a mail as commands. Total: any text is a script, whose every line is told."""
    own, below, stop = _own(message)
    reading, at = _Reading(), ""
    left = len(own)
    for number, line in enumerate(own):
        found = _end(line, own[number + 1 : number + 2], reading, grammar)
        if found is not None:
            stop, at, left = found, shown(line), number
            break
        _read(line, reading, grammar)
        if reading.lines[-1].name == QUIT:
            stop, left = Stop.QUIT, number + 1
            break
        if reading.unknown == MOST_UNKNOWN:
            stop, left = Stop.UNKNOWN, number + 1
            break
    script = Script(
        lines=tuple(reading.lines),
        stop=stop,
        at=at,
        unread=len(own) - left + below,
        tags=_tags(message.subject or ""),
        attached=by_a_person(message.attachments),
    )
    return script if reading.commands else _by_subject(script, message.subject or "", grammar)


def confirms(message: Message, grammar: Grammar) -> bool:
    """Whether a line of the person's own is the word "confirm" alone, and no quote is above it.

    Its case, quotation marks around it and a mark at its end do not matter.
    """
    if not any(map(_says_confirm, message.lines)):
        return False
    script = read_commands(message, grammar)
    return any(_says_confirm(line.quoted) for line in script.lines)


def _says_confirm(line: str) -> bool:
    # A single » is how some mark what they quote.
    if len(line) > LONGEST or (line.lstrip()[:1] == "»" and line.rstrip()[-1:] != "«"):
        return False
    return _plain(line) == CONFIRM


def _own(message: Message) -> tuple[list[str], int, Stop | None]:
    """Return the lines to read, how many more the person wrote, and what ends reading."""
    lines, gaps = message.lines, message.gaps
    stop = Stop.SIGNATURE if message.signed or message.dashed else None
    if not gaps:
        return _said(lines), 0, stop
    if gaps[0] > 0:
        return _said(lines[: gaps[0]]), len(_said(lines[gaps[0] :])), Stop.QUOTE
    last = gaps[-1]
    return _said(lines[last:]), len(_said(lines[:last])), stop if lines[last:] else Stop.QUOTE


def _said(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def _end(line: str, below: Sequence[str], reading: _Reading, grammar: Grammar) -> Stop | None:
    """Tell why reading ends before this line, if it does; ``below``: the next one, if there is."""
    if _OWN_WORDS.search(line[:LONGEST]) or _begins_quote(line, reading, grammar):
        return Stop.QUOTE
    # What introduces a quote may be wrapped.
    if any(_names_an_original(line, other, grammar) for other in below):
        return Stop.QUOTE
    if reading.lines and is_closing(line):
        return Stop.SIGNATURE
    if len(reading.lines) == MOST_LINES or reading.commands == MOST_COMMANDS:
        return Stop.MANY
    return None


def _begins_quote(line: str, reading: _Reading, grammar: Grammar) -> bool:
    """Whether a quote may begin here that nothing marks, or none of the marks that are known."""
    text = line[:LONGEST]
    field = header_field(text)
    if _OWN_SUBJECT.match(text) or (field and ("@" in field[1] or _TAG.search(field[1]))):
        return True
    if _taking(line, reading, grammar) is not None:
        return False
    if reading.lines and any(map(_may_head, reading.lines[-1].lines)):
        return True
    if _command(line, grammar) is not None:
        return False
    return may_begin_quote(text)


def _names_an_original(line: str, below: str, grammar: Grammar) -> bool:
    commands = _command(line, grammar) or _command(below, grammar)
    return commands is None and names_an_original(f"{line.strip()} {below.strip()}"[:LONGEST])


def _may_head(line: str) -> bool:
    """Whether a line that a command took may be an attribution, or of a quoted header."""
    found = key_line(line)
    return found is None or not found.value or not line.lstrip()[:1].islower()


def _taking(line: str, reading: _Reading, grammar: Grammar) -> ScriptLine | None:
    """Return the command above, if it takes this line as one of its own."""
    above = reading.lines[-1] if reading.lines else None
    takes = (
        above is not None
        and above.name in grammar.with_lines
        and len(above.lines) < MOST_LINES
        and key_line(line) is not None
        and not is_short_attribution(line.strip())
    )
    return above if takes else None


def _read(line: str, reading: _Reading, grammar: Grammar) -> None:
    if (above := _taking(line, reading, grammar)) is not None:
        reading.lines[-1] = replace(above, lines=(*above.lines, line.strip()[:LONGEST]))
        return
    command = _command(line, grammar)
    if command is None and (is_greeting(line) or is_closing(line)):
        command = ScriptLine(quoted=shown(line), courtesy=True)
    if command is None:
        reading.unknown += 1
        command = ScriptLine(quoted=shown(line), near=grammar.near(line[:LONGEST].split()))
    reading.lines.append(command)


def _command(line: str, grammar: Grammar) -> ScriptLine | None:
    if len(line) > LONGEST:
        return None
    text = _TAG.sub(r"\1", unicodedata.normalize("NFKC", line)).strip(_AROUND)
    if line.lstrip()[:1] == "»" and line.rstrip()[-1:] != "«":
        return None  # so some mark what they quote
    found = _FIRST.match(text)
    if found is None or found[1].lower() not in grammar.names:
        return None
    words = tuple(text[found.end() :].split())
    if words:
        # Nobody means the full stop of a sentence.
        last = words[-1].rstrip(_AROUND + ";!").removesuffix(".")
        words = (*words[:-1], last) if last else words[:-1]
    return ScriptLine(quoted=shown(line), name=found[1].lower(), words=words)


def _plain(word: str) -> str:
    return unicodedata.normalize("NFKC", word).strip(_AROUND + ".,:;!?").lower()


def service_named(lines: Sequence[str]) -> str | None:
    """Return the service that a request to the gateway itself names in its first key, or None."""
    first = next((line for line in lines if line.strip() and not is_greeting(line)), "")
    found = key_line(first)
    return found.value.lower() if found and found.key == "service" and found.value else None


# --- the Subject ----------------------------------------------------------------------------------


def _tags(subject: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag.lower() for tag in _TAG.findall(subject[:_SUBJECT])))


def _by_subject(script: Script, subject: str, grammar: Grammar) -> Script:
    text = _TAG.sub(" ", " ".join(subject[:_SUBJECT].split()))
    while found := _REPLIED.match(text):
        text = text[found.end() :]
    command = _command(text.strip(), grammar)
    if command is None or command.name == QUIT:
        return script
    command = replace(command, quoted=shown(f"Subject: {text.strip()}"))
    return replace(script, lines=(*script.lines, command), by_subject=True)
