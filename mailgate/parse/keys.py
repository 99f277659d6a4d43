"""The lines at the top of a request: ``key: value``, what each means, what is wrong with it."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from mailgate.log import escaped
from mailgate.model import Notify, Reply, Understood
from mailgate.parse import amounts
from mailgate.parse.address import mailboxes
from mailgate.parse.replies import expected, reply_kind
from mailgate.said import counted, size
from mailgate.said import duration as said_duration
from mailgate.services import Service
from mailgate.settings.kinds import did_you_mean, nearest, one_of
from mailgate.settings.parameters import Choice, Flag, Parameter, Text, is_yes
from mailgate.settings.rules import GENERAL, RESOURCES, InputRule, Origin, folded

LABEL = 100
"""Characters of a label that are kept."""

_HEAD = 120  # Where a key and its sign must stand in a line; a longer key is prose.
# Quotation marks and dashes are whatever word processors make of them.
_LINE = re.compile(
    r"""[\s\u200b\ufeff"'“”‘’„«»]*([^\W_][\w\s.\-‐-―−"'“”‘’„«»]{0,60}?)\s*[:=：＝]"""
)
_QUOTES = re.compile("[\"'“”‘’„«»]")
_DASHES = re.compile("[‐-―−]")

# So many wrong lines are told one by one.
_TOLD = 20
# A label of more words may as well be a sentence.
_FEW = 4
_EVERY = re.compile(r"\bevery\s+([^,;]+)")
OFTEN = timedelta(hours=1)
"""Nobody gets mail about a job that goes on more often than this."""

# So many others are told of a job, of addresses so long (RFC 5321 section 4.5.3.1.3).
_WATCHERS, _ADDRESS = 5, 254
_SAMPLES = {"notify": str(Notify.START), "reply": str(Reply.BRIEF), "watch": "bob@example.org"}
_AMOUNTS = frozenset({"work-limit", "keep", *RESOURCES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A line or attachment as it was read; ``mend`` continues "Send it again with ..."."""

    told: Understood
    mend: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """A ``key: value`` line: the key as compared and as written, the value without its blanks."""

    key: str
    written: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """What the general keys ask for."""

    label: str | None = None
    work_limit: timedelta | None = None
    keep: timedelta | None = None
    notify: frozenset[Notify] = frozenset()
    every: timedelta | None = None
    reply: Reply = Reply.FULL
    watch: tuple[str, ...] = ()
    part: int | None = None
    cores: int | None = None
    memory: int | None = None
    dry_run: bool = False


@dataclass(slots=True, kw_only=True)
class Asked:
    """What the lines ask for so far. ``chosen``: input to attachment; ``seen``: all keys."""

    general: General = field(default_factory=General)
    parameters: dict[str, str] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)
    right: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def key_line(line: str) -> KeyLine | None:
    """Take a line apart at its first ``:`` or ``=``; None where what stands before is no key.

    In a key the case, blanks, ``-``, ``_``, quotation marks and the kind of dash do not matter; a
    value is left as it is.
    """
    found = _LINE.match(line[:_HEAD])
    if found is None:
        return None
    plain = _QUOTES.sub("", _DASHES.sub("-", unicodedata.normalize("NFKC", found[1])))
    return KeyLine(key=folded(plain), written=plain.strip(), value=line[found.end() :].strip())


def known_keys(service: Service) -> dict[str, str]:
    """Map every key that a request to the service may hold, as compared, to its proper form."""
    names = [*GENERAL, *RESOURCES, *service.parameters, *service.inputs]
    return {folded(name): name for name in names}


def sample(name: str, service: Service) -> str:
    """Return a value that the key ``name``, a parameter or a general one of few words, takes."""
    parameter = service.parameters.get(name)
    if parameter is not None:
        return parameter.sample()
    return amounts.sample(name, service) if name in _AMOUNTS else _SAMPLES.get(name, "yes")


def suits(name: str, value: str, service: Service) -> bool:
    """Tell whether words after the key ``name`` are plainly a value for it, and no sentence."""
    parameter = service.parameters.get(name)
    if parameter is not None:
        return not isinstance(parameter, Text) and parameter.fault(value) is None
    if name in service.inputs:
        return "." in value.strip(".") and not value.split()[1:]
    try:
        _GENERAL[name][0](General(), value, service)
    except ValueError:
        return False
    return name != "label" or len(value.split()) <= _FEW


def suits_nearly(name: str, value: str, service: Service) -> bool:
    """Tell whether words after a key that is nearly ``name`` may be a value for it."""
    parameter = service.parameters.get(name)
    if isinstance(parameter, Choice) and nearest(value, parameter.choices):
        return True
    return name != "label" and suits(name, value, service)


def watcher(word: str) -> str | None:
    """Return a word as the bare address of one who may be told of a job; None if it is none."""
    box = next(mailboxes(word), None)
    if box is None or box.flaw or not box.address.isascii() or not 3 < len(box.address) <= _ADDRESS:
        return None
    local, _, domain = box.address.rpartition("@")
    # Without the dot of the root: two spellings are no two people.
    return f"{local}@{domain.lower().removesuffix('.')}"


def read_keys(lines: Iterable[str], service: Service) -> Asked:
    """Read the lines of a request; every line gets its finding, past the twentieth wrong one."""
    asked, left = Asked(), 0
    for line in lines:
        finding = _finding(line, asked, service)
        told = sum(1 for earlier in asked.findings if earlier.told.wrong)
        if finding.told.wrong and told >= _TOLD:
            left += 1
            continue
        asked.findings.append(finding)
    if left:
        more = counted(left, "more line")
        asked.findings.append(wrong(f"and {more}", "wrong too", None))
    return asked


def wrong(quoted: str, meaning: str, mend: str | None) -> Finding:
    """Make a finding for which nothing is run."""
    return Finding(told=Understood(quoted=shown(quoted), meaning=meaning, wrong=True), mend=mend)


def lacking(meaning: str, mend: str) -> Finding:
    """Make a finding for something that is not there, and without which nothing is run."""
    told = Understood(quoted="(missing)", meaning=meaning, wrong=True, missing=True)
    return Finding(told=told, mend=mend)


def fine(quoted: str, meaning: str) -> Finding:
    """Make a finding that is in order."""
    return Finding(told=Understood(quoted=shown(quoted), meaning=meaning))


def shown(text: str, most: int = 80) -> str:
    """Return a stranger's words on one line, control characters escaped, at most ``most`` long."""
    words = escaped(text[: 2 * most].strip())
    return words if len(words) <= most else f"{words[: most - 3]}..."


# --- one line -------------------------------------------------------------------------------------


def _finding(line: str, asked: Asked, service: Service) -> Finding:
    found = key_line(line)
    if found is None:
        return _no_key(line, service)
    if found.key in asked.seen:
        once = f'"{shown(found.written)}" given once'
        return wrong(line, f'"{shown(found.written)}" is given twice', once)
    asked.seen.add(found.key)
    return _read(line, found, asked, service)


def _no_key(line: str, service: Service) -> Finding:
    word, _, rest = line.strip().partition(" ")
    known = known_keys(service).get(folded(word[:_HEAD]))
    if not rest and isinstance(service.parameters.get(known or ""), Flag):
        rest = "yes"
    if known and rest.strip():
        right = shown(f"{known}: {rest.strip()}")
        meaning = f'is no "key: value" line; did you mean "{right}"?'
        return wrong(line, meaning, f'"{right}" instead of "{shown(line)}"')
    meaning = 'is no "key: value" line; the text begins below a blank line'
    return wrong(line, meaning, "a blank line between keys and text")


def _read(line: str, found: KeyLine, asked: Asked, service: Service) -> Finding:
    name = known_keys(service).get(found.key)
    if name is None:
        return _unknown(line, found, service)
    if found.key in _GENERAL:
        return _read_general(line, found, asked, service)
    if name in service.parameters:
        return _read_parameter(line, found, asked, service.parameters[name])
    return _read_choice(line, found, asked, service.inputs[name])


def _unknown(line: str, found: KeyLine, service: Service) -> Finding:
    known = known_keys(service)
    near = nearest(found.key, list(known))
    meaning = f'there is no parameter "{shown(found.written)}"'
    if near is None and service.body_input is not None:
        mend = f'"service: {service.name}" and a blank line above the text for it'
        return wrong(line, meaning, f'the line "{shown(line)}" left out, or {mend}')
    if near is None:
        return wrong(line, meaning, f'the line "{shown(line)}" left out')
    right = shown(f"{known[near]}: {found.value}")
    mend = f'"{right}" instead of "{shown(line)}"'
    return wrong(line, f'{meaning}; did you mean "{known[near]}"?', mend)


def _read_parameter(line: str, found: KeyLine, asked: Asked, parameter: Parameter) -> Finding:
    fault = parameter.fault(found.value)
    if fault:
        meaning = f'the value of "{parameter.name}" {fault}; expected {parameter.expected}'
        mend = f'another value for "{parameter.name}": {parameter.expected}'
        return wrong(line, shown(meaning, 400), shown(mend, 200))
    asked.parameters[parameter.name] = found.value
    return fine(line, f'the parameter "{parameter.name}"')


def _read_choice(line: str, found: KeyLine, asked: Asked, rule: InputRule) -> Finding:
    if rule.from_ is Origin.BODY:
        meaning = f'"{rule.name}" is the text below the first blank line'
        return wrong(line, meaning, f'the text for "{rule.name}" below a blank line')
    if not found.value:
        return wrong(line, "names no attachment", f'the line "{shown(line)}" left out')
    asked.chosen[rule.name] = found.value
    return fine(line, f'names the attachment for "{rule.name}"')


# --- the general keys -----------------------------------------------------------------------------


def _read_general(line: str, found: KeyLine, asked: Asked, service: Service) -> Finding:
    read, expected = _GENERAL[found.key]
    try:
        asked.general, meaning = read(asked.general, found.value, service)
    except ValueError as error:
        # It says what is wrong with the value, as a clause.
        what, would_do = shown(str(error), 200), expected(service)
        if not would_do:
            return wrong(line, what, f'the line "{shown(line)}" left out')
        mend = f'another value for "{found.key}": {would_do}'
        return wrong(line, f"{what}; expected {would_do}", mend)
    asked.right.append(shown(f"{found.key}: {found.value}", 2 * _HEAD))
    return fine(line, meaning)


def _service(general: General, value: str, service: Service) -> tuple[General, str]:
    if value.lower() != service.name:
        message = f'this mail went to the service "{service.name}", not to "{shown(value)}"'
        raise ValueError(message)
    return general, f'the service "{service.name}"'


def _label(general: General, value: str, _: Service) -> tuple[General, str]:
    words = "".join(c if c.isprintable() else " " for c in value[: LABEL * 10])
    label = " ".join(words.split())[:LABEL].strip()
    if not label:
        raise ValueError("the label is empty")
    return replace(general, label=label), "the job's label"


def _work_limit(general: General, value: str, service: Service) -> tuple[General, str]:
    span = amounts.work(value, service)
    return replace(general, work_limit=span), f"the work may take {said_duration(span)}"


def _keep(general: General, value: str, service: Service) -> tuple[General, str]:
    span = amounts.keep(value, service)
    return replace(general, keep=span), f"the results are kept {said_duration(span)}"


def _cores(general: General, value: str, service: Service) -> tuple[General, str]:
    count = amounts.cores(value, service)
    return replace(general, cores=count), f"the job gets {counted(count, 'core')}"


def _memory(general: General, value: str, service: Service) -> tuple[General, str]:
    count = amounts.memory(value, service)
    return replace(general, memory=count), f"the job gets {size(count)} of memory"


def _notify(general: General, value: str, _: Service) -> tuple[General, str]:
    often = _EVERY.search(value[:_HEAD].lower())
    every = _often(often[1]) if often else None
    rest = value[:_HEAD].lower().replace(often[0], " ") if often else value[:_HEAD].lower()
    words = re.split(r"[\s,;]+", plain) if (plain := rest.strip(" ,;")) or not often else []
    words = [str(Notify.END)] if words == ["none"] else words
    for word in words:
        if word not in set(Notify):
            near = did_you_mean(word, [str(member) for member in Notify])
            raise ValueError(f'"{shown(word)}" is no event{near}')
    told = [*dict.fromkeys(words), *([f"every {said_duration(every)}"] if every else [])]
    notify = frozenset(Notify(word) for word in words)
    return replace(general, notify=notify, every=every), f"a mail at: {', '.join(told)}"


def _often(value: str) -> timedelta:
    every = amounts.span(value.strip())
    if not OFTEN <= every <= amounts.LONGEST:
        message = f"a mail every {said_duration(every)} is not sent"
        raise ValueError(message)
    return every


def _reply(general: General, value: str, _: Service) -> tuple[General, str]:
    reply, part = reply_kind(value)
    told = f"mails of at most {size(part)}" if part else f"a {reply} reply"
    return replace(general, reply=reply, part=part), told


def _watch(general: General, value: str, _: Service) -> tuple[General, str]:
    words = re.split(r"[\s,;]+", value[:2000].strip(" ,;"))
    found = {watcher(word) or "": word for word in words}
    if "" in found:
        message = f'"{shown(found[""])}" is no address'
        raise ValueError(message)
    if len(found) > _WATCHERS:
        message = f"these are {len(found)} addresses"
        raise ValueError(message)
    told = " and ".join(shown(address) for address in found)
    return replace(general, watch=tuple(found)), f"{told} may hear of the job too"


def _dry_run(general: General, value: str, _: Service) -> tuple[General, str]:
    yes = is_yes(value)
    if yes is None:
        raise ValueError(f'"{shown(value)}" is neither yes nor no')
    return replace(general, dry_run=yes), "only say what would run" if yes else "run it"


Read = Callable[[General, str, Service], tuple[General, str]]

_GENERAL: Mapping[str, tuple[Read, Callable[[Service], str]]] = {
    "service": (_service, lambda service: f'"{service.name}"'),
    "label": (_label, lambda _: "a few words"),
    "work-limit": (_work_limit, partial(amounts.expected, "work-limit")),
    "keep": (_keep, partial(amounts.expected, "keep")),
    "cores": (_cores, partial(amounts.expected, "cores")),
    "memory": (_memory, partial(amounts.expected, "memory")),
    "notify": (_notify, lambda _: f"{one_of([*Notify, 'every 7d'])}, or several with commas"),
    "reply": (_reply, lambda _: expected()),
    "watch": (_watch, lambda _: f"at most {_WATCHERS} addresses such as bob@example.org"),
    "dry-run": (_dry_run, lambda _: '"yes" or "no"'),
}
