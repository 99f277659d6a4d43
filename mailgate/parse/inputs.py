"""Which attachment is which input of a service."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailgate.model import Attachment, Input, Slice
from mailgate.parse.keys import Finding, fine, lacking, wrong
from mailgate.parse.unfit import shown
from mailgate.saying import Saying, Words
from mailgate.services import Service
from mailgate.settings.rules import InputRule, Origin, last_part

# What mail programs attach by themselves: no input, unless a service asks for such files by name or
# there is nothing else.
_BY_THEMSELVES = (
    "application/pgp-signature",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "text/vcard",
    "text/x-vcard",
    "text/directory",
)
THE_TEXT = Saying("inputs/text")

# So many are listed one by one; who attaches more has sent something else.
_LISTED = 50


@dataclass(slots=True, kw_only=True)
class Binding:
    """The inputs found so far, what was found of each attachment, and those not yet used."""

    free: list[Attachment]
    inputs: list[Input] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ignored(self) -> tuple[Words, ...]:
        """The attachments that fit nothing, as ``name, size``."""
        return listed(self.free)


def listed(items: Sequence[Attachment]) -> tuple[Words, ...]:
    """Return attachments as ``name, size``; of very many some, and how many there are besides."""
    names = [
        Saying("inputs/listed", name=_called(item), size=item.size) for item in items[:_LISTED]
    ]
    more = len(items) - _LISTED
    return (*names, Saying("inputs/more", count=more)) if more > 0 else tuple(names)


def by_a_person(items: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Return the attachments without those that mail programs add by themselves."""
    return tuple(item for item in items if item.media_type not in _BY_THEMSELVES)


def meant_for(service: Service, items: Iterable[Attachment]) -> list[Words]:
    """Return the names of those that look as if they were sent as an input of a service.

    Where it takes any, a picture or a mail is none: those come with signatures and with replies.
    """
    rules = [rule for rule in service.inputs.values() if rule.from_ is Origin.ATTACHMENT]
    return [
        _called(item)
        for item in items
        if any(rule.takes(item.name) and (rule.match or _is_plain(item)) for rule in rules)
    ]


def _is_plain(item: Attachment) -> bool:
    return item.media_type.partition("/")[0] not in {"image", "message"}


def bind_attachments(
    attachments: Sequence[Attachment], service: Service, chosen: Mapping[str, str]
) -> Binding:
    """Give every input that comes from an attachment its one.

    A line ``INPUT: NAME`` of the request chooses (``chosen``). The other inputs take the one
    attachment that fits; those with a ``match`` go first, so that an input that takes anything gets
    what they leave. Whatever is used up fits no other input.
    """
    binding = Binding(free=list(attachments))
    rules = [rule for rule in service.inputs.values() if rule.from_ is Origin.ATTACHMENT]
    for rule in sorted(rules, key=lambda rule: (rule.name not in chosen, rule.match is None)):
        if rule.name in chosen:
            _bind_chosen(binding, rule, chosen[rule.name])
        else:
            _bind_fitting(binding, rule)
    return binding


def bind_body(text: str, rule: InputRule, binding: Binding) -> None:
    """Make ``text`` (LF line ends) the service's body input; empty, it was not sent."""
    content = text.encode("utf-8", "replace")
    if not content:
        if rule.required:
            binding.findings.append(_missing(rule))
        return
    if rule.max_size is not None and len(content) > rule.max_size:
        binding.findings.append(_too_big(THE_TEXT, len(content), rule))
        return
    item = Input(
        name=rule.name,
        filename="",
        media_type="text/plain",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        text=content.decode(),
    )
    binding.inputs.append(item)
    meaning = Saying("inputs/taken", size=len(content), name=rule.name)
    binding.findings.append(fine(THE_TEXT, meaning))


# --- an example -----------------------------------------------------------------------------------


def needed(
    binding: Binding, service: Service, chosen: Mapping[str, str]
) -> tuple[tuple[Words, ...], tuple[str, ...]]:
    """Name the files that a request needs to work: those that came and were right, or such as are.

    Returns them as noun phrases, and the lines that say which is which: those that were right, or,
    where files fit more than one input, one for each.
    """
    came = {item.name: item.filename for item in binding.inputs if item.filename}
    rules = [rule for rule in service.inputs.values() if rule.from_ is Origin.ATTACHMENT]
    rules = [rule for rule in rules if rule.required or rule.name in came]
    lines = {name: shown(word) for name, word in chosen.items() if name in came}
    names = {rule.name: came.get(rule.name) or rule.sample() for rule in rules}
    if _told_apart(names, service, lines):
        nouns = [_noun(rule, came.get(rule.name)) for rule in rules]
    else:
        lines = {rule.name: rule.sample() or rule.name for rule in rules}
        nouns = [Saying("inputs/file-like", name=name) for name in lines.values()]
    return tuple(nouns), tuple(f"{name}: {word}" for name, word in lines.items())


def _told_apart(names: Mapping[str, str], service: Service, chosen: Mapping[str, str]) -> bool:
    """Tell whether files of these names would be the inputs that they are for."""
    place = Slice(start=0, end=0, encoding="")
    files = [
        Attachment(name=name, media_type="", size=0, sha256="", slice=place)
        for name in names.values()
    ]
    found = bind_attachments(files, service, chosen).inputs
    return {item.name: item.filename for item in found} == names


def _noun(rule: InputRule, came: str | None) -> Words:
    if came:
        return shown(came)
    sample = rule.sample() if rule.match is not None else ""
    return Saying("inputs/file-like", name=sample) if sample else Saying("inputs/file")


# --- one input ------------------------------------------------------------------------------------


def _bind_chosen(binding: Binding, rule: InputRule, name: str) -> None:
    alike = [item for item in binding.free if _is_called(item, name)]
    if not alike:
        meaning = Saying("inputs/no-such", given=shown(name), name=rule.name)
        names = tuple(_called(item) for item in binding.free[:3])
        mend = Saying("inputs/name-one", name=rule.name, there=names)
        binding.findings.append(wrong(f"{rule.name}: {name}", meaning, mend))
    elif len(alike) > 1:
        _ask_which(binding, rule, alike)
    elif not rule.takes(alike[0].name):
        meaning = Saying("inputs/unfit", name=rule.name, expected=rule.expected)
        binding.findings.append(wrong(_called(alike[0]), meaning, rule.expected))
        binding.free.remove(alike[0])
    else:
        _use(binding, rule, alike[0])


def _bind_fitting(binding: Binding, rule: InputRule) -> None:
    fitting = [item for item in binding.free if rule.takes(item.name)]
    if rule.match is None:
        meant = [item for item in fitting if item.media_type not in _BY_THEMSELVES]
        fitting = meant or fitting
    if len(fitting) > 1:
        _ask_which(binding, rule, fitting)
    elif fitting:
        _use(binding, rule, fitting[0])
    elif rule.required:
        binding.findings.append(_missing(rule))


def _use(binding: Binding, rule: InputRule, item: Attachment) -> None:
    binding.free.remove(item)
    if rule.max_size is not None and item.size > rule.max_size:
        binding.findings.append(_too_big(_called(item), item.size, rule))
        return
    if item.damage is not None:
        meaning = Saying("inputs/damaged", name=rule.name, damage=item.damage)
        anew = Saying("inputs/anew", called=_called(item))
        binding.findings.append(wrong(_called(item), meaning, anew))
        return
    bound = Input(
        name=rule.name,
        filename=item.name or "",
        media_type=item.media_type,
        size=item.size,
        sha256=item.sha256,
        slice=item.slice,
    )
    binding.inputs.append(bound)
    taken = Saying("inputs/taken", size=item.size, name=rule.name)
    binding.findings.append(fine(_called(item), taken))


def _ask_which(binding: Binding, rule: InputRule, fitting: Sequence[Attachment]) -> None:
    names = {last_part(item.name or "").lower() for item in fitting}
    named = len(names) == len(fitting) and "" not in names
    example = _called(fitting[0]) if named else None
    mend = Saying("inputs/only-one", name=rule.name, example=example)
    for item in fitting:
        meaning = Saying("inputs/which", size=item.size, count=len(fitting), name=rule.name)
        binding.findings.append(wrong(_called(item), meaning, mend))
        binding.free.remove(item)


def _missing(rule: InputRule) -> Finding:
    meaning = Saying("inputs/missing", name=rule.name, expected=rule.expected)
    return lacking(meaning, rule.expected)


def _too_big(name: Words, size: int, rule: InputRule) -> Finding:
    most = rule.max_size or 0
    meaning = Saying("inputs/too-big", size=size, name=rule.name, most=most)
    return wrong(name, meaning, Saying("inputs/at-most", most=most, name=rule.name))


def _called(item: Attachment) -> Words:
    return shown(item.name) if item.name else Saying("inputs/nameless")


def _is_called(item: Attachment, name: str) -> bool:
    own = (item.name or "").strip()
    return bool(own) and name.lower() in (own.lower(), last_part(own).lower())
