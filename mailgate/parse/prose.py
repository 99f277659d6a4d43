"""What people write around a request: courtesies, and sentences that may mean a setting.

A service without a body input reads its keys and no sentences. So that nothing runs with a setting
which its writer meant and nobody read, a sentence that sounds like one is found here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailgate.parse import amounts
from mailgate.parse.keys import (
    Asked,
    Finding,
    instead,
    key_line,
    known_keys,
    sample,
    suits,
    suits_nearly,
    wrong,
)
from mailgate.parse.unfit import shown
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings.kinds import nearest
from mailgate.settings.parameters import Choice, Flag
from mailgate.settings.rules import RESOURCES, folded

# A longer line says more than a courtesy; and so much of a line is looked at for what it may mean.
_HEAD, _LOOKED_AT = 120, 500
# So many words after a key are still its value; more are a sentence that begins with such a word.
_VALUE = 4

_NAMES = r"((?:[ ,]+[\w.'-]+){0,5})[ ,.!:]*"
_GREETING = re.compile(
    r"(?:hello|hi|hey|dear|greetings|good (?:morning|day|afternoon|evening)"
    r"|sehr geehrte[rs]?|liebe[rs]?|werte[rs]?|hallo|guten (?:tag|morgen|abend)|moin|servus"
    r"|gr[uü]ezi|bonjour|bonsoir|ch[eè]re?s?|salut|madame|monsieur|hola"
    r"|buen[oa]s (?:d[ií]as|tardes|noches)|estimad[oa]s?|querid[oa]s?|ciao|salve"
    r"|buon ?giorno|buona ?sera|gentil[ei]|car[oai]|ol[aá]|bom dia|boa (?:tarde|noite)"
    rf"|beste|geachte|hej|hei|goede(?:morgen|middag|ndag))\b{_NAMES}",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:(?:many |with )?thanks|thank you|cheers|regards|with (?:best|kind) (?:regards|wishes)"
    r"|(?:best|kind|warm)(?:est)?(?: (?:regards|wishes))?|all the best|sincerely"
    r"|yours(?: sincerely| faithfully| truly)?|bye"
    r"|(?:mit )?(?:(?:freundlich|best|herzlich|viel|lieb|sch[oö]n)(?:en?|em)? )+"
    r"gr(?:u|ü|ue)(?:ß|ss)e?n?"
    r"|gr(?:u|ü|ue)(?:ß|ss)e?|hochachtungsvoll|mfg|lg|vg|(?:vielen |besten |herzlichen )?dank|danke"
    r"|merci|cordialement|bien (?:à vous|cordialement)|(?:meilleures |sinc[eè]res )?salutations"
    r"|(?:muchas )?gracias|(?:un )?(?:cordial )?saludos?|atentamente"
    r"|grazie|(?:cordiali |distinti )?saluti|obrigad[oa]|atenciosamente|cumprimentos"
    rf"|(?:met )?(?:vriendelijke|hartelijke) groet(?:en)?|groet(?:en|jes)?|bedankt|mvh)\b{_NAMES}",
    re.IGNORECASE,
)
_EMPTY = (
    "a advance again all and colleagues everybody everyone folks for friends from help in lot madam"
    " much or sir so team there to very you your"
    " alle aus damen dank für herren hilfe ihre im kolleginnen kollegen schön sehr und voraus"
    " zusammen a allen avance equipo et madame mille monsieur por todos tous toutes tutti à"
)
_EMPTY_WORDS = frozenset(_EMPTY.split())

# So many words beside a key may be its value; people write small numbers out.
_NEAR = 6
_MARKS = " \t\"'“”‘’„«».,;:!?()=<>"
_COUNTS = {
    word: str(count)
    for count, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), 1
    )
}

# Words that services may have among their choices, and people in every second sentence.
_COMMON = frozenset(
    "a all am an and any as at be best both by can do fast few first for from full get go good he"
    " high i if in is it last less low me more most my new no none normal not of off old on one or"
    " other out please run safe short slow so some than that the this to two up us use we yes you"
    " your".split()
)
# Of the general keys those that nobody writes without meaning them.
_PLAIN = ("work-limit", "dry-run")
# The others mean a setting where something like a value follows, after a few words at most.
_FEW_WORDS = r"(?:[\s,]+[^\W\d][\w'-]*){0,4}?[\s,:]+"
_TIME = (
    r"((?:\d+(?:[.,]\d+)?[\s-]*|(?:an?|one|two|three|four|five|six|twelve)\s+)"
    r"(?:s|m|h|d|w|min|mins|secs?|hrs?|seconds?|minutes?|hours?|days?|weeks?|months?|years?))"
)
_VALUED = {
    "keep": rf"(?:keep|keeping|kept){_FEW_WORDS}{_TIME}",
    "work-limit": rf"limit(?:s|ed)?{_FEW_WORDS}{_TIME}",
    "notify": rf"notif(?:y|ied|ication|ications){_FEW_WORDS}(receipt|receive|start|progress)\w*",
    "reply": r"reply[\s,:]+(brief|full)(?:ly)?",
    "cores": rf"(\d{{1,4}}|{'|'.join(_COUNTS)})[\s-]+(?:cpu[\s-]+)?(?:cores?|cpus?|threads?)",
    "memory": r"(\d+(?:\.\d+)?\s*[kmgt](?:i?b)?)\s+(?:of\s+)?(?:memory|ram)",
}

_FIRST = re.compile(r"[\W_]*([^\W_][\w‐-]*)[\W_]*(.*)")
_SIGN = re.compile(
    r"(?<![\w‐-])([\w‐-]{1,60})(?:[ \t]([\w‐-]{1,60}))?"
    r"""["'“”‘’„«»]{0,3}[ \t]{0,3}(?:[:=：＝]|->|→)"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """A word that means a setting, how a sentence may spell it, and the line that would say so.

    Its value is what the pattern's group holds, if it has one, else what stands beside the word.
    """

    name: str
    word: str
    pattern: re.Pattern[str]
    line: str


def is_greeting(line: str) -> bool:
    """Tell whether a line plainly greets, perhaps with a name, and says no more."""
    return _says_only(_GREETING, line)


def is_closing(line: str) -> bool:
    """Tell whether a line plainly thanks or takes leave, perhaps with a name, and says no more."""
    # One closing in each of a few languages.
    return len(line) <= _LOOKED_AT and all(_says_only(_CLOSING, part) for part in line.split("/"))


def _says_only(courtesy: re.Pattern[str], line: str) -> bool:
    found = courtesy.fullmatch(line.strip()) if len(line) <= _HEAD else None
    if found is None:
        return False
    words = found[1].replace(",", " ").split()
    return all(word.lower() in _EMPTY_WORDS or word[0].isupper() for word in words)


def is_key(line: str, known: Mapping[str, str]) -> bool:
    """Tell whether a line is meant as ``key: value``: its key is known, or nearly, or short.

    ``known`` is what `known_keys` returns.
    """
    found = key_line(line)
    if found is None or is_greeting(line):
        return False
    return (
        found.key in known
        or len(found.written.split()) <= 2
        or nearest(found.key, list(known)) is not None
    )


def meant(lines: Iterable[str], service: Service, asked: Asked) -> Iterator[Finding]:
    """Find the sentences that seem to mean a setting.

    ``asked`` has what the key lines gave, and the defaults of the rest: who mentions what is set
    anyway asks for nothing more.
    """
    settings = list(_settings(service, asked))
    for whole in lines:
        line = whole[:_LOOKED_AT]
        finding = (
            _begins_with_key(line, service)
            or _holds_key(line, service)
            or _mentions(line, settings, service)
        )
        if finding is not None:
            yield finding


def _begins_with_key(line: str, service: Service) -> Finding | None:
    """Find ``tree upgma``, ``--tree upgma``, ``tre upgma`` or ``work limit 30 min``."""
    for word, rest in _beginnings(line):
        name = _key_meant(word, rest, service)
        if name is not None:
            right = shown(f"{name}: {_value_in('', rest, name, service) or rest or 'yes'}")
            return instead(line, right)
    return None


def _beginnings(line: str) -> Iterator[tuple[str, str]]:
    """Yield the line's first two words, then its first, each with what follows."""
    first = _FIRST.match(line)
    if first is None:
        return
    second = _FIRST.match(first[2])
    if second is not None:
        yield folded(f"{first[1]} {second[1]}"), second[2].strip()
    yield folded(first[1]), first[2].strip()


def _key_meant(word: str, rest: str, service: Service) -> str | None:
    known = known_keys(service)
    name = known.get(word)
    parameter = service.parameters.get(name or "")
    if isinstance(parameter, Flag) and not rest:
        return name
    if name is None:
        near = nearest(word, list(known))
        return known[near] if near and rest and suits_nearly(known[near], rest, service) else None
    if parameter is None:
        return name if rest and suits(name, rest, service) else None
    return name if rest and (len(rest.split()) <= _VALUE or suits(name, rest, service)) else None


def _holds_key(line: str, service: Service) -> Finding | None:
    """Find a known key and its sign within a sentence: ``please take tree=upgma``."""
    known = known_keys(service)
    for found in _SIGN.finditer(line):
        words = [word for word in found.groups() if word]
        name = known.get(folded(" ".join(words))) or known.get(folded(words[-1]))
        if name is not None:
            value = _value_in("", line[found.end() :], name, service)
            right = shown(f"{name}: {value}") if value else name
            own_line = Saying("prose/own-line", right=right)
            meant = (name, value) if value else None
            return wrong(line, Saying("prose/inside", name=name), own_line, meant=meant)
    return None


def _mentions(line: str, settings: Iterable[_Setting], service: Service) -> Finding | None:
    """Find the name or the value of a setting in a sentence, unless it is set so anyway."""
    for setting in settings:
        found = setting.pattern.search(line)
        if found is not None:
            said, right = setting.word, setting.line
            near = (
                ("", found[1]) if found.re.groups else (line[: found.start()], line[found.end() :])
            )
            if value := _value_in(*near, setting.name, service):
                right = f"{setting.name}: {value}"
            mend = Saying("prose/if-meant", said=said, right=right)
            return wrong(line, Saying("prose/sounds", said=said, right=right), mend)
    return None


def _value_in(before: str, after: str, name: str, service: Service) -> str | None:
    """Return the words beside a key in a sentence that are plainly a value for it, None if none.

    Right before it (``50 rounds``), else soon after it (``rounds should be 50``), else before.
    """
    if suits(name, whole := after.strip(), service):
        return whole
    left, right = before.split()[-_NEAR:], after.split()[:_NEAR]
    runs = [left[-2:], left[-1:]]
    runs += [right[at : at + count] for at in range(len(right)) for count in (2, 1)]
    runs += [left[at : at + count] for at in reversed(range(len(left))) for count in (2, 1)]
    for run in runs:
        counts = {**_COUNTS, "a": "1", "an": "1"} if run[1:] else _COUNTS
        value = " ".join(counts.get(word.lower(), word) for word in run).strip(_MARKS)
        if value and suits(name, value, service):
            return value
    return None


def _settings(service: Service, asked: Asked) -> Iterator[_Setting]:
    set_so = {value.lower() for value in asked.parameters.values()}
    for name, parameter in service.parameters.items():
        if isinstance(parameter, Choice):
            for choice in parameter.choices:
                if choice.lower() not in _COMMON | set_so and re.search(r"[^\W\d_]{2}", choice):
                    yield _setting(name, choice, re.escape(choice), f"{name}: {choice}")
        elif folded(name) not in asked.seen and len(name) > 1:
            yield _named(name, service)
    for name in _PLAIN:
        if name not in asked.seen:
            yield _named(name, service)
    for name, spelled in _VALUED.items():
        # Where nothing of it can be asked for people only tell what they have.
        if name not in asked.seen and (name not in RESOURCES or amounts.expected(name, service)):
            yield _setting(name, name, spelled, f"{name}: {sample(name, service)}")


def _named(name: str, service: Service) -> _Setting:
    spelled = r"[\s_-]+".join(re.escape(part) for part in folded(name).split("-"))
    # Who mentions a flag wants it.
    value = "yes" if isinstance(service.parameters.get(name), Flag) else sample(name, service)
    return _setting(name, name, spelled, f"{name}: {value}")


def _setting(name: str, word: str, spelled: str, line: str) -> _Setting:
    # Neither within a longer word, nor as a part of a file's name.
    pattern = re.compile(rf"(?<![\w.-]){spelled}(?![\w-]|\.\w)", re.IGNORECASE)
    return _Setting(name=name, word=word, pattern=pattern, line=line)
