"""A message's text and attachments, read as a request to one service.

The rules, in the order in which a sender meets them:

- Blank lines at the very top are passed over.
- Lines ``key: value`` or ``key = value`` are the request, up to the first blank line below. Keys
  are the general ones, the service's parameters, and the names of its attachments' inputs, by which
  one of several attachments is chosen. Another key is wrong; there is no guess.
- For a service with a body input, that is what stands below the first blank line. If the text does
  not begin with a ``key: value`` line, all of it is the body input. Every line above it is a key's.
- For the others, sentences are not read, and listed as ignored; greetings ("Hello,", "Dear Jane,")
  are not even listed, and a closing ("Thanks, Jane", "Best regards") ends the mail. But a line that
  its writer seems to mean as a setting is wrong: nothing runs with a setting that was not seen.
- A body input of which something was lost on the way, or in telling quotes and signatures from what
  was meant, is wrong; so is an attachment that is used and arrived damaged.
- Values are taken as sent, without the blanks around them. A key that is given twice is wrong.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailgate.model import Message, Request, Unclear, Understood
from mailgate.parse.inputs import THE_TEXT, Binding, bind_attachments, bind_body, needed
from mailgate.parse.keys import (
    Asked,
    Finding,
    key_line,
    known_keys,
    lacking,
    read_keys,
    suits,
    suits_nearly,
    twice,
    wrong,
)
from mailgate.parse.mends import example, mended
from mailgate.parse.message import MAX_TEXT
from mailgate.parse.prose import is_closing, is_greeting, is_key, meant
from mailgate.parse.unfit import shown
from mailgate.parse.unread import unread_settings
from mailgate.saying import Saying, Words
from mailgate.services import Service, takes
from mailgate.settings.kinds import nearest
from mailgate.settings.parameters import Text
from mailgate.settings.rules import folded

MOST_LINES = 200
"""Lines of a request above its first blank line; more get one answer for all of them."""

# So many lines beside the request are told one by one.
_TOLD = 5
# Whoever misplaces a key does so near the top; a text may have a million lines.
_LOOKED_AT = 1000
# So many sentences are looked at for settings that they may mean.
_READ = 200
# In a longer text courtesies do not matter; so many characters of a line tell which it is.
_SHORT, _QUOTED = 20, 60
# Mail programs break lines at 72 columns or so, between words: what follows may be torn off.
_BROKEN = 60
# A list is a way to write keys, too.
_BULLET = re.compile(r"\A\s*(?:[-–—*•·+]|--)\s*(?=\w)")

_TOO_LONG_A_TEXT = wrong(
    THE_TEXT,
    Saying("request/too-long-a-text", most=MAX_TEXT),
    Saying("request/shorter-text", most=MAX_TEXT),
)


def read_request(message: Message, service: Service) -> Request | Unclear:
    """Read what a message asks of a service.

    Total: whatever the lines and attachments are, the answer is a request in which everything is
    checked, or every line and attachment with what it was taken for. A request's ``parameters``
    hold those given and the defaults of the others.
    """
    page = _page(message.lines, service)
    if page.height > MOST_LINES:
        return _too_long(page.height, service)
    asked = read_keys(page.top, service)
    missing = _fill_in(asked, service)
    binding = bind_attachments(message.attachments, service, asked.chosen)
    if service.body_input is not None:
        binding.findings += _losses(message)
        bind_body(page.body, service.body_input, binding)
    findings = [*asked.findings, *_beside(page, service, asked), *missing, *binding.findings]
    unread = tuple(unread_settings(message, service))
    if any(finding.told.wrong for finding in findings):
        return _unclear(findings, asked, page, binding, service, unread)
    signature = _signature(message) if service.body_input is not None else ()
    return _request(asked, page, binding, service, (*signature, *unread))


def _losses(message: Message) -> Iterator[Finding]:
    """Find why the text is not what its writer meant for a body input, as far as that shows."""
    if message.text_cut:
        yield _TOO_LONG_A_TEXT
    if message.text_damage is not None:
        meaning = Saying("request/damaged", damage=message.text_damage)
        yield wrong(THE_TEXT, meaning, Saying("request/undamaged"))
    if message.quoted:
        meaning = Saying("request/quote", count=message.quoted)
        yield wrong(THE_TEXT, meaning, Saying("request/new-mail"))
    if message.dashed:
        meaning = Saying("request/dashes", count=message.dashed)
        yield wrong(THE_TEXT, meaning, Saying("request/no-dashes"))


def _signature(message: Message) -> tuple[Words, ...]:
    return (Saying("request/signature", count=message.signed),) if message.signed else ()


# --- the page -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A text taken apart.

    ``top`` has the keys' lines, ``text`` the body input; ``implicit``: the page begins with it.
    Where there is none ``prose`` is what stands above and between the keys, ``torn`` what may be
    the end of a value there, with its key, ``below`` what follows the first blank line after them,
    and ``signed`` a closing and what follows it. ``height`` lines stand from the first key to the
    first blank line; where they are too many nothing else is told of them.
    """

    height: int
    top: Sequence[str] = ()
    text: Sequence[str] = ()
    below: Sequence[str] = ()
    prose: Sequence[str] = ()
    torn: Sequence[tuple[str, str]] = ()
    signed: Sequence[str] = ()
    implicit: bool = False

    @property
    def body(self) -> str:
        lines = _without_blank_ends(self.text)
        return "\n".join([*lines, ""]) if lines else ""


def _page(lines: Sequence[str], service: Service) -> _Page:
    if service.body_input is not None:
        return _page_with_body(_without_blank_ends(lines))
    start = _first(lines, lambda line: line.strip() and not _is_courtesy(line))
    end = start + _first(lines[start:], is_closing)
    said = [_BULLET.sub("", line, count=1) for line in lines[start:end]]
    known = known_keys(service)
    begin = _first(said[:_LOOKED_AT], lambda line: is_key(line, known))
    stop = begin + _first(said[begin:], lambda line: not line.strip())
    height = stop - begin
    if height > MOST_LINES:
        # Looking at each for a key that is nearly known would take too long.
        return _Page(height=height)
    top, prose, torn = list[str](), list(said[:begin]), list[tuple[str, str]]()
    # The key of the line above, if its value may go on below it.
    open_key: str | None = None
    for line in said[begin:stop]:
        is_torn, open_key = open_key, None
        if is_key(line, known):
            top.append(line)
            open_key = _maybe_torn(line, known, service)
        elif is_torn is not None:
            torn.append((is_torn, line))
        else:
            prose.append(line)
    return _Page(
        height=height, top=top, prose=prose, torn=torn, below=said[stop:], signed=lines[end:]
    )


def _maybe_torn(line: str, known: Mapping[str, str], service: Service) -> str | None:
    """Return the key of a line whose value may go on below it: a long one, or one of any words."""
    keyed = key_line(line)
    if keyed is None:
        return None
    name = known.get(keyed.key, keyed.written)
    free = isinstance(service.parameters.get(name), Text)
    return name if free or len(line) >= _BROKEN else None


def _is_courtesy(line: str) -> bool:
    return is_greeting(line) or is_closing(line)


def _page_with_body(lines: Sequence[str]) -> _Page:
    if lines and key_line(lines[0]) is None:
        return _Page(height=0, text=lines, implicit=True)
    end = _first(lines, lambda line: not line.strip())
    return _Page(height=end, top=lines[:end], text=lines[end:])


def _first(lines: Sequence[str], wanted: Callable[[str], object]) -> int:
    """Return the number of the first line that is wanted, of all lines if none is."""
    return next((number for number, line in enumerate(lines) if wanted(line)), len(lines))


def _without_blank_ends(lines: Sequence[str]) -> Sequence[str]:
    start = _first(lines, str.strip)
    end = len(lines) - _first(lines[::-1], str.strip)
    return lines[start:end]


def _beside(page: _Page, service: Service, asked: Asked) -> list[Finding]:
    """Find what is no key's line above the first blank one, and seems to mean a setting."""
    if service.body_input is not None:
        found = _within_text(page, service) if page.implicit else ()
    else:
        found = _unread_settings(page, service, asked)
    findings = list(found)
    told = findings[:_TOLD]
    if findings[_TOLD:]:
        more = Saying("request/more-such", count=len(findings) - _TOLD)
        told.append(wrong(more, Saying("keys/wrong-too"), None))
    return told


def _within_text(page: _Page, service: Service) -> Iterator[Finding]:
    body, known = service.body_input, known_keys(service)
    assert body  # noqa: S101 - the caller has seen it
    meaning = Saying("request/in-text", name=body.name)
    for line in page.text[:_LOOKED_AT]:
        keyed = key_line(line)
        if keyed is not None and keyed.key in known:
            name = service.name
            mend = Saying("request/at-the-top-or-apart", line=shown(line), service=name)
            yield wrong(line, meaning, mend)


def _unread_settings(page: _Page, service: Service, asked: Asked) -> Iterator[Finding]:
    for key, line in page.torn:
        mend = Saying("request/joined", line=shown(line), key=shown(key))
        yield wrong(line, Saying("request/torn", key=shown(key)), mend)
    for line in page.below[:_LOOKED_AT]:
        right = _key_meant(line, service)
        again = key_line(right) if right else None
        if again is not None and again.key in asked.seen:
            yield twice(line, again.written)
        elif right is not None:
            mend = Saying("request/above-blank", line=shown(right))
            yield wrong(line, Saying("request/below-blank"), mend)
    sentences = [*page.prose[:_READ], *page.below[:_READ]]
    yield from meant(
        (line for line in sentences if _key_meant(line, service) is None), service, asked
    )
    for line in page.signed[:_LOOKED_AT]:
        # People sign with "Service: Bioinformatics" and the like.
        keyed = key_line(line)
        name = known_keys(service).get(keyed.key) if keyed else None
        if keyed and name and suits(name, keyed.value, service):
            mend = Saying("request/at-the-top", line=shown(line))
            yield wrong(line, Saying("request/below-closing"), mend)


def _key_meant(line: str, service: Service) -> str | None:
    """Return a line with a known key, or nearly so, as it should be; None for any other."""
    keyed = key_line(line)
    if keyed is None:
        return None
    known = known_keys(service)
    if keyed.key in known:
        return line
    near = nearest(keyed.key, list(known))
    if near is None or not suits_nearly(known[near], keyed.value, service):
        return None
    return f"{known[near]}: {keyed.value}"


def _fill_in(asked: Asked, service: Service) -> list[Finding]:
    """Add the defaults; return a finding for each parameter that must be given and was not."""
    missing: list[Finding] = []
    for name, parameter in service.parameters.items():
        if folded(name) in asked.seen:
            continue
        if parameter.default is not None:
            asked.parameters[name] = parameter.default
        elif name in service.used:
            meaning = Saying("request/must-be-given", name=name, expected=parameter.expected)
            line = Saying("request/a-line", line=f"{name}: {parameter.sample()}")
            missing.append(lacking(meaning, line))
    return missing


# --- the two answers ------------------------------------------------------------------------------


def _request(
    asked: Asked, page: _Page, binding: Binding, service: Service, rest: Sequence[Words]
) -> Request:
    general = asked.general
    return Request(
        service=service.name,
        parameters=asked.parameters,
        inputs=tuple(binding.inputs),
        ignored=(
            *binding.ignored,
            *(Saying("request/sentence", line=line) for line in _unread(page)),
            *_rest(page),
            *rest,
        ),
        label=general.label,
        work_limit=general.work_limit,
        keep=general.keep,
        notify=general.notify,
        every=general.every,
        reply=general.reply,
        watch=general.watch,
        part=general.part,
        cores=general.cores,
        memory=general.memory,
        dry_run=general.dry_run,
    )


def _unread(page: _Page, quoted: Collection[Words] = ()) -> list[str]:
    """Return the sentences that were not read: the first of them, without those ``quoted``."""
    return [shown(line, _QUOTED) for line in _sentences(page, quoted)[:_TOLD]]


def _rest(page: _Page, quoted: Collection[Words] = ()) -> Iterator[Words]:
    """Yield what else was not read, counted."""
    more = len(_sentences(page, quoted)) - _TOLD
    if more > 0:
        yield Saying("request/more-text", count=more)
    below = [line for line in page.signed if line.strip() and not _is_courtesy(line)]
    if below:
        closing = shown(page.signed[0], _QUOTED)
        yield Saying("request/below", line=closing, count=len(below))


def _sentences(page: _Page, quoted: Collection[Words]) -> list[str]:
    said = [line for line in (*page.prose, *page.below) if line.strip()]
    if quoted:
        said = [line for line in said if shown(line) not in quoted]
    # In a longer text courtesies do not matter.
    return said if len(said) > _SHORT else [line for line in said if not _is_courtesy(line)]


def _unclear(
    findings: Sequence[Finding],
    asked: Asked,
    page: _Page,
    binding: Binding,
    service: Service,
    more: Sequence[Words],
) -> Unclear:
    unfit, not_read = Saying("request/fits-nothing"), Saying("request/not-read")
    ignored = [Understood(quoted=name, meaning=unfit) for name in binding.ignored]
    quoted = {finding.told.quoted for finding in findings}
    unread = [Understood(quoted=line, meaning=not_read) for line in _unread(page, quoted)]
    rest = [Understood(quoted=said, meaning=not_read) for said in (*_rest(page, quoted), *more)]
    attach, naming = needed(binding, service, asked.chosen)
    return Unclear(
        service=service.name,
        lines=(*(finding.told for finding in findings), *ignored, *unread, *rest),
        example=example(asked, service, naming, findings),
        attach=attach,
        mend=mended(findings),
        summary=service.summary,
        takes=takes(service),
        label=asked.general.label,
    )


def _too_long(count: int, service: Service) -> Unclear:
    finding = wrong(
        Saying("request/lines", count=count),
        Saying("request/too-many-lines", most=MOST_LINES),
        Saying("request/at-most-lines", most=MOST_LINES),
    )
    attach, naming = needed(Binding(free=[]), service, {})
    return Unclear(
        service=service.name,
        lines=(finding.told,),
        example=example(Asked(), service, naming),
        attach=attach,
        mend=mended([finding]),
        summary=service.summary,
        takes=takes(service),
    )
