"""A message's text and attachments, read as a request to one service.

The rules, in the order in which a sender meets them:

- Blank lines at the very top are passed over.
- The lines down to the first blank one are the request: ``key: value`` or ``key = value`` each. The
  keys are the general ones, the service's parameters, and the names of its attachments' inputs, by
  which one of several attachments is chosen. A line there that is none is wrong; there is no guess.
- For a service with a body input, that is what stands below the first blank line. If the text does
  not begin with a ``key: value`` line, all of it is the body input.
- For the others, greetings ("Hello,", "Dear Jane,") are passed over, and a closing ("Thanks, Jane",
  "Best regards") ends the request as a blank line does. What stands below is not read, and listed
  as ignored; but a line there with one of the service's keys is wrong, since its writer meant it,
  unless it stands below a closing, where people sign.
- A body input of which something was lost on the way, or in telling quotes and signatures from what
  was meant, is wrong; so is an attachment that is used and arrived damaged.
- Values are taken as sent, without the blanks around them. A key that is given twice is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mailgate.model import Message, Request, Unclear, Understood
from mailgate.parse.inputs import Binding, bind_attachments, bind_body
from mailgate.parse.keys import (
    Asked,
    Finding,
    is_closing,
    is_greeting,
    key_line,
    known_keys,
    read_keys,
    shown,
    wrong,
)
from mailgate.parse.message import MAX_TEXT
from mailgate.services import Service
from mailgate.settings.rules import folded
from mailgate.settings.units import said_size

MOST_LINES = 200
"""Lines of a request above its first blank line; more get one answer for all of them."""

# So many misplaced lines are told one by one; and so many mends fit in a sentence.
_TOLD, _MENDS = 5, 3
# Whoever misplaces a key does so near the top; a text may have a million lines.
_LOOKED_AT = 1000
# In a longer text courtesies do not matter.
_SHORT = 20


_TOO_LONG_A_TEXT = wrong(
    "(the text)",
    f"over {said_size(MAX_TEXT)}, and only so much is read",
    f"at most {said_size(MAX_TEXT)} of text",
)


def read_request(message: Message, service: Service) -> Request | Unclear:
    """Read what a message asks of a service.

    Total: whatever the lines and attachments are, the answer is a request in which everything is
    checked, or every line and attachment with what it was taken for. A request's ``parameters``
    hold those given and the defaults of the others.
    """
    page = _page(message.lines, service)
    if len(page.top) > MOST_LINES:
        return _too_long(len(page.top), service)
    asked = read_keys(page.top, service)
    missing = _fill_in(asked, service)
    binding = bind_attachments(message.attachments, service, asked.chosen)
    if service.body_input is not None:
        binding.findings += _losses(message)
        bind_body(page.body, service.body_input, binding)
    findings = [*asked.findings, *_misplaced(page, service), *missing, *binding.findings]
    if any(finding.told.wrong for finding in findings):
        return _unclear(findings, asked, page, binding, service)
    signature = _signature(message) if service.body_input is not None else ()
    return _request(asked, page, binding, service, signature)


def _losses(message: Message) -> Iterator[Finding]:
    """Find why the text is not what its writer meant for a body input, as far as that shows."""
    if message.text_cut:
        yield _TOO_LONG_A_TEXT
    if message.text_damage is not None:
        meaning = f"arrived damaged: {message.text_damage}"
        yield wrong("(the text)", meaning, f"the text undamaged, {_OR_AS_A_FILE}")
    if message.quoted:
        meaning = f"taken for a quoted mail and left out of it: {_counted(message.quoted)}"
        mend = f"the text in a new mail that answers and quotes none, {_OR_AS_A_FILE}"
        yield wrong("(the text)", meaning, mend)
    if message.dashed:
        meaning = f'taken for a signature below "--" and left out of it: {_counted(message.dashed)}'
        yield wrong("(the text)", meaning, f'no line "--" in the text, {_OR_AS_A_FILE}')


_OR_AS_A_FILE = "or with the text attached as a file if the service takes files"


def _counted(lines: int) -> str:
    return f"{lines} line{'s' if lines > 1 else ''}"


def _signature(message: Message) -> tuple[str, ...]:
    return (f"the signature, {_counted(message.signed)}",) if message.signed else ()


# --- the page -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A text taken apart; ``implicit``: it begins with the body input, without any key."""

    top: Sequence[str]
    below: Sequence[str]
    implicit: bool = False

    @property
    def body(self) -> str:
        lines = _without_blank_ends(self.below)
        return "\n".join([*lines, ""]) if lines else ""


def _page(lines: Sequence[str], service: Service) -> _Page:
    if service.body_input is not None:
        return _page_with_body(_without_blank_ends(lines))
    start = _first(
        lines, lambda line: line.strip() and not is_greeting(line) and not is_closing(line)
    )
    rest = lines[start:]
    end = _first(rest, lambda line: not line.strip() or is_closing(line))
    return _Page(top=[line for line in rest[:end] if not is_greeting(line)], below=rest[end:])


def _page_with_body(lines: Sequence[str]) -> _Page:
    if lines and key_line(lines[0]) is None:
        return _Page(top=(), below=lines, implicit=True)
    end = _first(lines, lambda line: not line.strip())
    return _Page(top=lines[:end], below=lines[end:])


def _first(lines: Sequence[str], wanted: Callable[[str], object]) -> int:
    """Return the number of the first line that is wanted, of all lines if none is."""
    return next((number for number, line in enumerate(lines) if wanted(line)), len(lines))


def _without_blank_ends(lines: Sequence[str]) -> Sequence[str]:
    start = _first(lines, str.strip)
    end = len(lines) - _first(lines[::-1], str.strip)
    return lines[start:end]


def _misplaced(page: _Page, service: Service) -> list[Finding]:
    """Find the service's keys below the first blank line, where nobody reads them."""
    if service.body_input is not None and not page.implicit:
        return []
    known, found = known_keys(service), list[str]()
    near = page.below[:_LOOKED_AT]
    signed = len(near) if page.implicit else _first(near, is_closing)
    for line in near[:signed]:
        keyed = key_line(line)
        if keyed is not None and keyed.key in known:
            found.append(line)
    findings = [_misplaced_line(line, service) for line in found[:_TOLD]]
    if found[_TOLD:]:
        told = f"and {len(found) - _TOLD} more such lines"
        findings.append(wrong(told, "stand below the first blank line", None))
    return findings


def _misplaced_line(line: str, service: Service) -> Finding:
    body = service.body_input
    if body is None:
        meaning = "stands below the first blank line, where nothing is read"
        return wrong(line, meaning, f'the line "{shown(line)}" above the first blank line')
    meaning = f'stands in the text for "{body.name}", which has no lines of keys above it'
    mend = (
        f'"{shown(line)}" at the very top and a blank line below it, or, if it belongs to the text,'
        f' with "service: {service.name}" and a blank line above the text'
    )
    return wrong(line, meaning, mend)


def _fill_in(asked: Asked, service: Service) -> list[Finding]:
    """Add the defaults; return a finding for each parameter that must be given and was not."""
    missing: list[Finding] = []
    for name, parameter in service.parameters.items():
        if folded(name) in asked.seen:
            continue
        if parameter.default is not None:
            asked.parameters[name] = parameter.default
        elif name in service.used:
            meaning = f'"{name}" must be given: {parameter.expected}'
            missing.append(wrong("(missing)", meaning, f'a line "{name}: {parameter.sample()}"'))
    return missing


# --- the two answers ------------------------------------------------------------------------------


def _request(
    asked: Asked, page: _Page, binding: Binding, service: Service, signature: Sequence[str]
) -> Request:
    general = asked.general
    return Request(
        service=service.name,
        parameters=asked.parameters,
        inputs=tuple(binding.inputs),
        ignored=(*binding.ignored, *_unread(page, service), *signature),
        label=general.label,
        work_limit=general.work_limit,
        keep=general.keep,
        notify=general.notify,
        reply=general.reply,
        dry_run=general.dry_run,
    )


def _unread(page: _Page, service: Service) -> tuple[str, ...]:
    if service.body_input is not None:
        return ()
    said = [line for line in page.below if line.strip()]
    if len(said) < _SHORT:
        said = [line for line in said if not is_greeting(line) and not is_closing(line)]
    count = len(said)
    if not count:
        return ()
    return (f"the text below the first blank line, {_counted(count)}",)


def _unclear(
    findings: Sequence[Finding], asked: Asked, page: _Page, binding: Binding, service: Service
) -> Unclear:
    ignored = [Understood(quoted=name, meaning="fits nothing, ignored") for name in binding.ignored]
    unread = [Understood(quoted=text, meaning="not read") for text in _unread(page, service)]
    return Unclear(
        service=service.name,
        lines=(*(finding.told for finding in findings), *ignored, *unread),
        example=_example(asked, service),
        mend=_mend(findings),
    )


def _mend(findings: Sequence[Finding]) -> str:
    mends = list(dict.fromkeys(finding.mend for finding in findings if finding.mend))
    if not 0 < len(mends) <= _MENDS:
        return "Send it again with every line mended that is said to be wrong above."
    return f"Send it again with {'; and with '.join(mends)}."


def _example(asked: Asked, service: Service) -> tuple[str, ...]:
    """Write a request that would work: what was right in this one, and a value for the rest."""
    values = {name: parameter.sample() for name, parameter in service.parameters.items()}
    values |= asked.parameters
    lines = [*asked.right, *(f"{name}: {value}" for name, value in values.items())]
    if service.body_input is None:
        return tuple(lines) or (f"service: {service.name}",)
    return (*(lines or [f"service: {service.name}"]), "", f"the text for {service.body_input.name}")


def _too_long(count: int, service: Service) -> Unclear:
    meaning = f"a request has at most {MOST_LINES} lines above its first blank line"
    finding = wrong(f"{count} lines", meaning, f"at most {MOST_LINES} lines")
    return Unclear(
        service=service.name,
        lines=(finding.told,),
        example=_example(Asked(), service),
        mend=_mend([finding]),
    )
