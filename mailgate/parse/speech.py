"""Whether a text is a machine's, that marks itself in no other way.

None of what machines say counts in a question, behind a quotation mark, below a question, or where
a setting or a command comes first: so people speak *about* machines. Of absence people speak too;
it counts only where nothing else is wanted, or where the Subject is a machine's, too, and nobody
asks in the end.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

from mailgate.parse.automatic import Title
from mailgate.parse.prose import is_greeting
from mailgate.parse.telltales import AWAY, FAILURES, ITSELF, RECEIVED, Telltale, expression
from mailgate.parse.topics import BESIDES, CHALLENGES, TOGETHER, TOPICS

_LINES = 20  # that are looked at: a machine comes to the point
_LOOKED_AT = 2000  # characters of them
_TOPICS_IN = 4  # sentences
_FIRST = 8  # sentences in which a machine has said what it is about
_SENTENCE = 400  # characters
_COMMAND = 3  # words
_NAME = 2

# What was is no reason for not being there now.
_PAST = re.compile(
    r"\b(?:was|were|had|(?:has|have) been (?:on|out|away)|war|hatte|étais|estaba|estuve|ero|stato"
    r"|var|był\w*|был[аи]?|while|when you|si vous étiez)\b"
)
_DOUBLE = re.compile(r"[\"“”„«»]")
_SINGLE = re.compile(r"[‘]|(?<!\w)'")
_ADDRESS = re.compile(r"https?:\S+")
# A number of three figures is no day of a month.
_SENTENCES = re.compile(r"(?<=[^\d\s][.!?])\s+|(?<=\d{3}[.!?])\s+|(?<=[。！？])|\n\s*")
# Other things that people want: a setting, a command, a person by name, anything but being asked.
_SETTING = re.compile(r"[a-z][\w-]{0,20}(?: ?=|:)\s*[^\s/]")
_BY_NAME = re.compile(
    r"(?i:hi|hello|hey|hallo|liebe[rs]?|bonjour|salut|chère?|hola|querid[oa]|ciao|car[oa]|olá|hej"
    r"|hei|beste|dear|lieve|cześć|ahoj|привет|здравствуйте)[ ,]+"
    r"(?!(?i:all\b|sender|colleague|friend|custom|correspond|every|sir|madam|client|user|kolleg|damen"
    r"|there|tous|todos|tutti|allemaal))[A-ZÀ-ÞА-Я]\w+ ?[,!:.\n]"
    r"|[А-ЯЁ]\w+, "
)
# What responders ask for is only that one writes or calls elsewhere, or does nothing.
_WISH = re.compile(
    r"\b(?:please|kindly) (?!contact|call|e-?mail|mail|write|direct|refer|forward|do not|don['’]t"
    r"|note|feel|expect|reach|get in|phone|be\b|allow|turn|try|address|ask|resend|use|visit|see"
    r"|reply|send (?:an?|your|all|any) |copy|consult|excuse|leave|wait|accept|speak|check)"
    r"|\bbitte (?!an\b|per\b|bei\b|mit\b|unter\b|sich\b|direkt|wenden|kontakt|schreib|ruf|antwort"
    r"|hab|beacht|senden|nicht|richten|nehmen|geduld|um\b|in\b)"
    r"|\blet['’]s\b|\bplease[.!]*$",
    re.MULTILINE,
)
# Who speaks of himself has written what a report of a mail would not say.
_MYSELF = re.compile(
    r"\bi(?:['’](?:m|ve|ll|d)| (?:am|was|have|had|do|did|get|got|can|could|will|would|need|want|see"
    r"|sent|read|saw|think|know|never|just|don|haven|didn|only|still|tried|wrote))\b|\bmy\b"
    r"|\b(?:ich|meine?[nmrs]?|je|mon|mes|yo|mis?|mio|mia|ik|mijn|jag|jeg|я|мой|моя|мне|меня)\b"
)


def words_of_a_machine(
    lines: Iterable[str], title: Title | None, *, typed: bool = False
) -> str | None:
    """Find what responders that mark themselves in no other way say in their first twenty lines.

    ``title`` is the sign in the Subject, if there is one. It is enough where the text wants
    nothing; where it does, absence counts below it all the same. What was ``typed`` by hand is
    only known by what no hand writes.
    """
    lines = [line[:_LOOKED_AT] for line in islice(lines, 2 * _LINES)]
    first = list(islice((line for line in lines if line.strip()), _LINES))
    lower = "\n".join(first)[:_LOOKED_AT].lower()
    if title and title.of_a_mail and _MYSELF.search(lower):
        title = None
    wants = typed or (bool(first) and _wants_something(lines))
    if title and not wants:
        return title.reason
    if not first:
        return None
    failures, itself, received, away = (
        [one for one in table if one.stem in lower] for table in (FAILURES, ITSELF, RECEIVED, AWAY)
    )
    sentences = _sentences(lines)
    said = None
    # Who begins with a setting or a command may tell of a mail that was refused or came back.
    begins = _SETTING.match(first[0]) or (first[0][:1].islower() and _is_command(first[0]))
    if not begins:
        said = (
            _said(sentences[:_FIRST], failures)
            or _said(sentences, itself)
            or _topics(sentences[:_FIRST], CHALLENGES)
        )
    if said is None and (
        not wants or (title and not begins and not typed and not _asks(sentences))
    ):
        now = [sentence for sentence in sentences[:_FIRST] if not _PAST.search(sentence)]
        said = (
            _said(sentences[:_FIRST], received)
            or (_said(now, away) if away and (title or _is_spelled_out(now)) else None)
            or _topics(now[:_TOPICS_IN], TOGETHER)
        )
    return f'it says "{" ".join(said.split())[:80]}"' if said else None


def _sentences(lines: Iterable[str]) -> list[str]:
    """Return the first lines as sentences, in lower case; what was wrapped is joined."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line.strip())
        elif paragraphs[-1]:
            paragraphs.append([])
    text = "\n".join(" ".join(lines) for lines in paragraphs)[:_LOOKED_AT].lower()
    return [sentence[:_SENTENCE] for sentence in _SENTENCES.split(text) if sentence.strip()]


def _said(sentences: Iterable[str], telltales: Sequence[Telltale]) -> str | None:
    """Return what first tells among the sentences, down to the first question."""
    for sentence in sentences:
        if _ends_as_question(sentence):
            return None
        for one in telltales:
            found = expression(one.pattern).search(sentence) if one.stem in sentence else None
            if found and not _is_quoted(sentence, found):
                return found[0]
    return None


def _asks(sentences: Sequence[str]) -> bool:
    """Whether the last sentence (a name below it is none) asks; a responder says what to do."""
    said = (one for one in reversed(sentences) if len(one.split()) > _NAME or not one.isascii())
    return _ends_as_question(next(said, ""))


def _ends_as_question(sentence: str) -> bool:
    return _ADDRESS.sub("", sentence).rstrip(" )\"'”").endswith(("?", "？", "؟"))


def _is_spelled_out(sentences: Iterable[str]) -> bool:
    """Whether sentences about absence are a responder's: since when, until when, what to do."""
    text = " ".join(sentences)
    return any(TOPICS[topic].search(text) for topic in BESIDES)


def _topics(sentences: Sequence[str], together: Iterable[tuple[str, str]]) -> str | None:
    """Return what two topics that belong together have in common with these sentences."""
    text = " ".join(sentences)
    for one, other in together:
        first = TOPICS[one].search(text)
        if first and (second := TOPICS[other].search(text)) and first[0] != second[0]:
            return f"{first[0]} ... {second[0]}"
    return None


def _is_quoted(sentence: str, found: re.Match[str]) -> bool:
    """Whether what was found, or its end, stands between quotation marks."""
    inside = len(_DOUBLE.findall(sentence[: found.end()])) % 2 == 1
    return inside or _SINGLE.search(sentence[: found.start()]) is not None


def _wants_something(lines: Sequence[str]) -> bool:
    """Whether a person speaks: asks something, sets something, greets by a name, gives commands."""
    text = _ADDRESS.sub("", "\n".join(lines)).strip()
    heads = [line for above, line in pairwise(["", *lines]) if line.strip() and not above.strip()]
    return (
        "?" in text
        or "？" in text
        or any(_SETTING.match(line) for line in lines)
        or _BY_NAME.match(f"{text}\n") is not None
        or _WISH.search(text.lower()) is not None
        or any(map(_is_command, heads))
        or (heads[0].strip().isalpha() and heads[0].isascii() and not is_greeting(heads[0]))
    )


def _is_command(line: str) -> bool:
    """Whether a line is a few words, and neither sentence nor greeting nor name: ``extend 14d``."""
    words = line.split()
    few = len(words) <= _COMMAND and line[:1].isalpha() and line.rstrip()[-1].isalnum()
    return few and (line[:1].islower() or any(char.isdigit() or char == "@" for char in line))
