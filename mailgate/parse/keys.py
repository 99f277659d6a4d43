"""The lines at the top of a request: ``key: value``, what each means, what is wrong with it."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from mailgate.model import General, Understood
from mailgate.parse.general import (
    expected_value,
    general_sample,
    is_general,
    read_general,
)
from mailgate.parse.unfit import UnfitValueError, shown
from mailgate.saying import Saying, Words
from mailgate.services import Service
from mailgate.settings.kinds import nearest
from mailgate.settings.parameters import Flag, Parameter, Text
from mailgate.settings.rules import GENERAL, RESOURCES, InputRule, Origin, folded

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A line or attachment as it was read; ``mend`` continues "Send it again with ...".

    ``meant``: the parameter and the value that a wrong one may mean, to show and never to run.
    """

    told: Understood
    mend: Saying | None = None
    meant: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """A ``key: value`` line: the key as compared and as written, the value without its blanks."""

    key: str
    written: str
    value: str


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
    return general_sample(name, service) if parameter is None else parameter.sample()


def suits(name: str, value: str, service: Service) -> bool:
    """Tell whether words after the key ``name`` are plainly a value for it, and no sentence."""
    parameter = service.parameters.get(name)
    if parameter is not None:
        fits = parameter.fault(parameter.plain(value)) is None
        return fits and not isinstance(parameter, Text)
    if name in service.inputs:
        return "." in value.strip(".") and not value.split()[1:]
    try:
        read_general(name, General(), value, service)
    except UnfitValueError:
        return False
    return name != "label" or len(value.split()) <= _FEW


def suits_nearly(name: str, value: str, service: Service) -> bool:
    """Tell whether words after a key that is nearly ``name`` may be a value for it."""
    parameter = service.parameters.get(name)
    if parameter is not None and parameter.near(value):
        return True
    return name != "label" and suits(name, value, service)


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
        more = Saying("keys/more-lines", count=left)
        asked.findings.append(wrong(more, Saying("keys/wrong-too"), None))
    return asked


def wrong(
    quoted: Words, meaning: Saying, mend: Saying | None, *, meant: tuple[str, str] | None = None
) -> Finding:
    """Make a finding for which nothing is run."""
    told = Understood(quoted=_quoted(quoted), meaning=meaning, wrong=True)
    return Finding(told=told, mend=mend, meant=meant)


def twice(line: str, written: str) -> Finding:
    """Make a finding of a line whose key was given before, as ``written`` here."""
    key = shown(written)
    return wrong(line, Saying("keys/twice", key=key), Saying("keys/once", key=key))


def lacking(meaning: Saying, mend: Saying) -> Finding:
    """Make a finding for something that is not there, and without which nothing is run."""
    told = Understood(quoted=Saying("keys/missing"), meaning=meaning, wrong=True, missing=True)
    return Finding(told=told, mend=mend)


def fine(quoted: Words, meaning: Saying) -> Finding:
    """Make a finding that is in order."""
    return Finding(told=Understood(quoted=_quoted(quoted), meaning=meaning))


def _quoted(words: Words) -> Words:
    return shown(words) if isinstance(words, str) else words


# --- one line -------------------------------------------------------------------------------------


def _finding(line: str, asked: Asked, service: Service) -> Finding:
    found = key_line(line)
    if found is None:
        return _no_key(line, service)
    if found.key in asked.seen:
        return twice(line, found.written)
    asked.seen.add(found.key)
    return _read(line, found, asked, service)


def _no_key(line: str, service: Service) -> Finding:
    word, _, rest = line.strip().partition(" ")
    known = known_keys(service).get(folded(word[:_HEAD]))
    if not rest and isinstance(service.parameters.get(known or ""), Flag):
        rest = "yes"
    if known and rest.strip():
        right = shown(f"{known}: {rest.strip()}")
        return instead(line, right)
    return wrong(line, Saying("keys/no-line"), Saying("keys/blank-line"))


def instead(line: str, right: str) -> Finding:
    """Make a finding of a line that is no key's, but may be meant as the line ``right``."""
    mend = Saying("keys/instead", right=right, given=shown(line))
    return wrong(line, Saying("keys/no-line-but", right=right), mend)


def _read(line: str, found: KeyLine, asked: Asked, service: Service) -> Finding:
    name = known_keys(service).get(found.key)
    if name is None:
        return _unknown(line, found, asked, service)
    if is_general(found.key):
        return _read_general(line, found, asked, service)
    if name in service.parameters:
        return _read_parameter(line, found, asked, service.parameters[name])
    return _read_choice(line, found, asked, service.inputs[name])


def _unknown(line: str, found: KeyLine, asked: Asked, service: Service) -> Finding:
    known = known_keys(service)
    near = nearest(found.key, list(known))
    meant = known[near] if near else None
    meaning = Saying("keys/unknown", key=shown(found.written), meant=meant)
    if meant is not None and folded(meant) not in asked.seen:
        right = shown(f"{meant}: {found.value}")
        mend = Saying("keys/instead", right=right, given=shown(line))
        return wrong(line, meaning, mend, meant=(meant, found.value))
    if meant is None and service.body_input is not None:
        mend = Saying("keys/left-out-or-text", line=shown(line), service=service.name)
        return wrong(line, meaning, mend)
    return wrong(line, meaning, Saying("keys/left-out", line=shown(line)))


def _read_parameter(line: str, found: KeyLine, asked: Asked, parameter: Parameter) -> Finding:
    value = parameter.plain(found.value)
    fault = parameter.fault(value)
    if fault:
        key, expected = parameter.name, parameter.expected
        meaning = Saying("keys/unfit", key=key, fault=fault, expected=expected)
        mend = Saying("keys/another", key=key, expected=expected)
        if near := parameter.near(value):
            mend = Saying("keys/instead", right=f"{key}: {near}", given=shown(line))
        return wrong(line, meaning, mend, meant=(key, near) if near else None)
    asked.parameters[parameter.name] = value
    return fine(line, Saying("keys/parameter", name=parameter.name))


def _read_choice(line: str, found: KeyLine, asked: Asked, rule: InputRule) -> Finding:
    if rule.from_ is Origin.BODY:
        below = Saying("keys/text-below", name=rule.name)
        return wrong(line, Saying("keys/text-input", name=rule.name), below)
    if not found.value:
        left_out = Saying("keys/left-out", line=shown(line))
        return wrong(line, Saying("keys/names-none"), left_out)
    asked.chosen[rule.name] = found.value
    return fine(line, Saying("keys/names-one", name=rule.name))


def _read_general(line: str, found: KeyLine, asked: Asked, service: Service) -> Finding:
    try:
        asked.general, meaning = read_general(found.key, asked.general, found.value, service)
    except UnfitValueError as error:
        wanted = expected_value(found.key, service)
        if wanted is None:
            return wrong(line, error.why, Saying("keys/left-out", line=shown(line)))
        meaning = Saying("keys/wrong-value", fault=error.why, expected=wanted)
        return wrong(line, meaning, Saying("keys/another", key=found.key, expected=wanted))
    asked.right.append(shown(f"{found.key}: {found.value}", 2 * _HEAD))
    return fine(line, meaning)
