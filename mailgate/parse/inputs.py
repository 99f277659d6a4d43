"""Which attachment is which input of a service."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailgate.model import Attachment, Input, Slice
from mailgate.parse.keys import Finding, fine, lacking, shown, wrong
from mailgate.said import size as said_size
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
# So many are listed one by one; who attaches more has sent something else.
_LISTED = 50


@dataclass(slots=True, kw_only=True)
class Binding:
    """The inputs found so far, what was found of each attachment, and those not yet used."""

    free: list[Attachment]
    inputs: list[Input] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The attachments that fit nothing, as ``name, size``."""
        return listed(self.free)


def listed(items: Sequence[Attachment]) -> tuple[str, ...]:
    """Return attachments as ``name, size``; of very many some, and how many there are besides."""
    names = [f"{_called(item)}, {said_size(item.size)}" for item in items[:_LISTED]]
    more = len(items) - _LISTED
    return (*names, f"and {more} more") if more > 0 else tuple(names)


def by_a_person(items: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Return the attachments without those that mail programs add by themselves."""
    return tuple(item for item in items if item.media_type not in _BY_THEMSELVES)


def meant_for(service: Service, items: Iterable[Attachment]) -> list[str]:
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
        binding.findings.append(_too_big("(the text)", len(content), rule))
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
    meaning = f'{said_size(len(content))} as "{rule.name}"'
    binding.findings.append(fine("(the text)", meaning))


# --- an example -----------------------------------------------------------------------------------


def needed(
    binding: Binding, service: Service, chosen: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
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
        nouns = [f"a file such as {name}" for name in lines.values()]
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


def _noun(rule: InputRule, came: str | None) -> str:
    if came or rule.match is None:
        return shown(came) if came else "a file"
    sample = rule.sample()
    return f"a file such as {sample}" if sample else "a file"


# --- one input ------------------------------------------------------------------------------------


def _bind_chosen(binding: Binding, rule: InputRule, name: str) -> None:
    alike = [item for item in binding.free if _is_called(item, name)]
    if not alike:
        meaning = f'there is no attachment "{shown(name)}" for "{rule.name}"'
        names = [_called(item) for item in binding.free[:3]]
        mend = f'the name of an attachment after "{rule.name}:"'
        if names:
            mend += f" ({', '.join(names)})"
        binding.findings.append(wrong(f"{rule.name}: {name}", meaning, mend))
    elif len(alike) > 1:
        _ask_which(binding, rule, alike)
    elif not rule.takes(alike[0].name):
        meaning = f'is no file for "{rule.name}": {rule.expected}'
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
        meaning = f'arrived damaged, so that "{rule.name}" is not what was sent: {item.damage}'
        binding.findings.append(wrong(_called(item), meaning, f"{_called(item)} attached anew"))
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
    binding.findings.append(fine(_called(item), f'{said_size(item.size)} as "{rule.name}"'))


def _ask_which(binding: Binding, rule: InputRule, fitting: Sequence[Attachment]) -> None:
    names = {last_part(item.name or "").lower() for item in fitting}
    mend = f'only one attachment that fits "{rule.name}"'
    if len(names) == len(fitting) and "" not in names:
        mend += f', or with a line "{rule.name}: {_called(fitting[0])}" that names it'
    for item in fitting:
        meaning = f'{said_size(item.size)}, one of {len(fitting)} that fit "{rule.name}": which?'
        binding.findings.append(wrong(_called(item), meaning, mend))
        binding.free.remove(item)


def _missing(rule: InputRule) -> Finding:
    meaning = f'"{rule.name}" is missing: {rule.expected}'
    return lacking(meaning, rule.expected)


def _too_big(name: str, size: int, rule: InputRule) -> Finding:
    most = said_size(rule.max_size or 0)
    meaning = f'{said_size(size)}, but "{rule.name}" may have at most {most}'
    return wrong(name, meaning, f'at most {most} as "{rule.name}"')


def _called(item: Attachment) -> str:
    return shown(item.name) if item.name else "(an attachment without a name)"


def _is_called(item: Attachment, name: str) -> bool:
    own = (item.name or "").strip()
    return bool(own) and name.lower() in (own.lower(), last_part(own).lower())
