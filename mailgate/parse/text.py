"""A mail's text to the lines that its sender wrote: no quote, no attribution, no signature.

A quoted line must never pass for the person's own, so every doubt is settled against a line: after
an attribution that no ``>`` follows, all the rest counts as the original. Everything is linear.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile

from mailgate.parse.cut import INVISIBLE, Line, Own, own_lines
from mailgate.parse.quotes import (
    header_field,
    is_attribution,
    is_attribution_tail,
    is_groupwise,
    is_header_block,
    is_separator,
    is_short_attribution,
    may_begin_quote,
    may_hold_attribution,
    names_an_original,
)
from mailgate.parse.unread import settings_in
from mailgate.saying import Words

MAX_LINES = 200_000
"""Lines that are read; a quarter of a second's work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the person wrote, without blank lines at either end; ``cut``: there was more to read.

    ``quoted``, ``dashed``, ``signed``: so many lines with words are not there, as in `cut.Own`;
    ``gaps``: where quoted ones stood; ``settings``: those that are ``key: value``.
    """

    lines: tuple[str, ...]
    gaps: tuple[int, ...] = ()
    defects: tuple[Words, ...] = ()
    cut: bool = False
    quoted: int = 0
    dashed: int = 0
    signed: int = 0
    settings: tuple[str, ...] = ()


def from_plain(text: str, *, flowed: bool, delsp: bool, reply: bool) -> Written:
    """Read a text/plain part; ``flowed`` and ``delsp`` are its parameters (RFC 3676).

    ``reply``: the header names an earlier mail, so that lines with ``>`` are its quotes.
    """
    physical = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    cut = len(physical) > MAX_LINES
    del physical[MAX_LINES:]
    if _ARMOUR in physical[:5]:
        physical = _without_armour(physical)
    if flowed:
        start = _unmarked_from(physical)
        texts, lines = _unflowed(physical[:start], delsp=delsp)
        original = [] if start is None else physical[start:]
        own = own_lines([*_below_marked(texts, lines), *(None for _ in original)])
        return _written(own, [*texts, *original], cut=cut)
    defects: tuple[Words, ...] = ()
    lines = list[Line](physical)
    if ">" in text and not (fasta := _is_fasta(physical, reply=reply)).whole:
        lines = _without_quotes(physical)
        if fasta.somewhat:
            defects = ("lines that begin with > were taken for quotes: attach sequences as a file",)
    own = own_lines(lines)
    # What stands on both sides of a quote is not one line that was wrapped.
    first = own.gaps[0] if own.gaps else len(own.lines)
    joined = _rejoined(own.lines[:first])
    gaps = tuple(at - first + len(joined) for at in own.gaps)
    own = replace(own, gaps=gaps, lines=[*joined, *own.lines[first:]])
    return _written(own, physical, cut=cut, defects=defects)


def from_html(text: str, *, reply: bool) -> Written:
    """Read a text/html part."""
    # Most mails have a plain part: the HTML parser is loaded for the first that has none.
    from mailgate.parse.html import to_text  # noqa: PLC0415

    page = to_text(text)
    lines = page.text.split("\n")
    cut = page.damage is not None or len(lines) > MAX_LINES
    del lines[MAX_LINES:]
    quoted = ">" in page.text and not _is_fasta(lines, reply=reply).whole
    own = own_lines(_without_quotes(lines) if quoted else list[Line](lines))
    # In HTML a signature's mark has lost its blank: one without is as good.
    own = replace(own, dashed=0, signed=own.signed + own.dashed)
    defects = (page.damage,) if page.damage else ()
    return _written(own, lines, cut=cut, defects=defects, apart=page.quoted)


_ARMOUR = "-----BEGIN PGP SIGNED MESSAGE-----"


def _without_armour(lines: list[str]) -> list[str]:
    """Give the signed text alone (RFC 9580 section 7); whose signature it is, nobody looked."""
    start = lines.index(_ARMOUR)
    blank = next((n for n, line in enumerate(lines[:20]) if n > start and not line.strip()), None)
    signature = "-----BEGIN PGP SIGNATURE-----"
    if blank is None or signature not in lines:
        return lines
    text = lines[blank + 1 : lines.index(signature)]
    return [*lines[:start], *(line.removeprefix("- ") for line in text)]


def _written(
    own: Own,
    given: Sequence[str],
    *,
    cut: bool,
    defects: tuple[Words, ...] = (),
    apart: Sequence[str] = (),
) -> Written:
    """Put together what was found; ``apart`` are quoted lines that ``given`` does not have."""
    return Written(
        lines=tuple(own.lines),
        gaps=own.gaps,
        defects=defects,
        cut=cut or not own.complete,
        quoted=own.quoted,
        dashed=own.dashed,
        signed=own.signed,
        settings=settings_in(chain(apart, (given[number] for number in own.others))),
    )


# --- format=flowed --------------------------------------------------------------------------------


def _unflowed(lines: Sequence[str], *, delsp: bool) -> tuple[list[str], list[Line]]:
    """Join flowed lines (RFC 3676 section 4.1); then the same with None for quoted paragraphs."""
    texts: list[str] = []
    paragraphs: list[Line] = []
    pieces: list[str] = []
    depth = 0
    for line in lines:
        text = line if is_groupwise(line) else line.lstrip(">")
        level = len(line) - len(text)
        text = text.removeprefix(" ")
        if pieces and level != depth:
            texts.append("".join(pieces))
            paragraphs.append(_paragraph(texts[-1], depth))
            pieces = []
        depth = level
        goes_on = text.endswith(" ") and text != "-- "
        pieces.append(text[:-1] if goes_on and delsp else text)
        if not goes_on:
            texts.append("".join(pieces))
            paragraphs.append(_paragraph(texts[-1], depth))
            pieces = []
    if pieces:
        texts.append("".join(pieces))
        paragraphs.append(_paragraph(texts[-1], depth))
    return texts, paragraphs


def _paragraph(text: str, depth: int) -> Line:
    return None if depth or text.startswith("> ") else text


# --- quotes ---------------------------------------------------------------------------------------

_ADDRESS = re.compile(r"<[^<>]*>")
_LINK = re.compile(r"[<(\[]?https?://\S+[\s>)\]]*")
_WRAPPED_QUOTE = 66  # a quoted line at least so long may have lost its last words to the next


def _without_quotes(lines: Sequence[str]) -> list[Line]:
    """Put None for every line that begins with ``>``, and for what wrapping tore off its end."""
    own = [None if _is_quoted(line) else line for line in lines]
    for number in range(1, len(lines) - 1):
        between = own[number] is not None and own[number - 1] is own[number + 1] is None
        if between and _goes_on(lines[number - 1].rstrip(), lines[number].strip()):
            own[number] = None
    start = _unmarked_from(lines)
    if start is not None:
        own[start:] = [None] * (len(own) - start)
    return _below_marked(lines, own)


_HEAD_LINES = 3
_HEADS = 20  # that are looked at
_LOOKS = 200  # at lines that may be attributions


def _unmarked_from(lines: Sequence[str]) -> int | None:
    """Where GroupWise's head of an original stands, below which nothing is marked; or None.

    ``>>> On 3/1/24 at 10:20 AM, in message <x>, Bob wrote:``, wrapped or not, with no quoted line
    above or below it.
    """
    starts = (number for number, line in enumerate(lines) if line[:3] == ">>>")
    for number in islice(starts, _HEADS):
        above = next(
            (line for line in reversed(lines[max(number - 5, 0) : number]) if line.strip()), ""
        )
        near = lines[number : number + _HEAD_LINES + 1]
        if _is_wrapped_groupwise(near):
            return number
        head = list(takewhile(lambda line: line[:1] == ">", near))
        text = _ADDRESS.sub(" @ ", " ".join(head).replace(">>>", " "))
        whole = len(head) <= _HEAD_LINES and ">" not in text
        if whole and not _is_quoted(above) and may_begin_quote(text):
            return number
    return None


def _is_wrapped_groupwise(near: Sequence[str]) -> bool:
    """Whether GroupWise's head begins here and ends some lines below, with its second ``>>>``."""
    joined = (" ".join(map(str.strip, near[:count])) for count in range(1, len(near) + 1))
    return any(is_groupwise(text) and may_hold_attribution(text) for text in joined)


def _below_marked(texts: Sequence[str], lines: list[Line]) -> list[Line]:
    """Take for quoted what follows, without marks, a line by which marked ones introduce it.

    Nobody writes his answer there, and some programs mark an attribution, but not what it
    introduces. ``texts`` are the same lines, all as they came.
    """
    marked = [number for number, line in enumerate(lines) if line is None]
    tails = (n for n in marked if _is_last(texts, lines, n))
    start = next((n for n in islice(tails, _LOOKS) if _introduces(texts, n)), None)
    return lines if start is None else lines[:start] + [None] * (len(lines) - start)


def _is_last(texts: Sequence[str], lines: Sequence[Line], number: int) -> bool:
    """Whether a marked line with words is followed by one without a mark."""
    if not _bare(texts[number]):
        return False
    rest = range(number + 1, len(lines))
    below = next((n for n in rest if _bare(texts[n])), None)
    return below is not None and lines[below] is not None


_INTRODUCTION = 6  # lines


def _introduces(texts: Sequence[str], number: int) -> bool:
    """Whether lines that end with this one are an attribution, a header, or name an original."""
    near = takewhile(str.strip, reversed(texts[max(number - _INTRODUCTION, 0) : number + 1]))
    bare = [_bare(line) for line in near]
    if names_an_original(bare[0]) or any(line and is_separator(line) for line in bare):
        return True
    found = [header_field(line) for line in bare]
    fields = dict(filter(None, found))
    # Fields alone are what is left of a header, however few: what they head is another mail's.
    if all(found) or is_header_block(fields) or "@" in fields.get("from", ""):
        return True
    joined = [" ".join(reversed(bare[:count])) for count in range(1, len(bare) + 1)]
    if any(text and is_separator(text) for text in joined):
        return True
    closed = bare[0].endswith((":", "：", "-"))
    return closed and (
        is_short_attribution(bare[0])
        or any(is_attribution(text, before_quote=True) for text in joined if text)
    )


def _bare(line: str) -> str:
    """Return what is seen of a line, without its marks."""
    return line.lstrip("> ").strip().rstrip(INVISIBLE)


def _goes_on(quoted: str, line: str) -> bool:
    """Whether ``line``, between quoted ones, is the torn-off end of the one above, or its link."""
    if not line or _LINK.fullmatch(line):
        return True
    if quoted.count("(") > quoted.count(")") or quoted.lstrip("> ").count("<") > quoted.count(">"):
        return True
    return len(quoted) >= _WRAPPED_QUOTE and quoted[-1] not in ".?!:;"


def _is_quoted(line: str) -> bool:
    text = line.lstrip()
    return text[:1] == ">" and not is_attribution_tail(line) and not is_groupwise(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fasta:
    """How far the lines with ``>`` are sequence headers: all of them, or some."""

    whole: bool
    somewhat: bool


_NAME_LINE = re.compile(r">[^>\s].*")
_KEY_LINE = re.compile(r">[\w-]+\s?[:=](?:\s.*)?")
_SEQUENCE = re.compile(r"[A-Za-z*.-]+\s*")
_LONG_SEQUENCE = 10  # letters; an answer between quoted lines is seldom one word so long


def _is_fasta(lines: Sequence[str], *, reply: bool) -> _Fasta:
    """Whether each ``>`` heads a sequence, as in a FASTA body, so that none marks a quote."""
    heads = [number for number, line in enumerate(lines) if line.lstrip()[:1] == ">"]
    fit = [number for number in heads if _heads_sequence(lines, number)]
    whole = not reply and bool(heads) and len(fit) == len(heads)
    return _Fasta(whole=whole, somewhat=bool(fit))


def _heads_sequence(lines: Sequence[str], number: int) -> bool:
    line = lines[number].rstrip()
    below = lines[number + 1].strip() if number + 1 < len(lines) else ""
    above = lines[number - 1].strip() if number else ""
    if (
        not _NAME_LINE.fullmatch(line)
        or _KEY_LINE.fullmatch(line)
        or not _SEQUENCE.fullmatch(below)
    ):
        return False
    if above and not _SEQUENCE.fullmatch(above):
        return False
    return len(below) >= _LONG_SEQUENCE or (" " not in line and line[-1] not in ".?!,:;")


# --- lines that a mail program wrapped ------------------------------------------------------------

_KEY = re.compile(r"\s*\w[\w .-]{0,40}?\s*[:=]")
_NEXT_KEY = re.compile(r"\s*[\w-]{1,40}\s*[:=](?!//)")
_HEAD = 120  # characters in which a key and its sign stand; a line of blanks may have millions
_NARROWEST = 72  # columns: mail programs wrap at 72 to 80
_WIDEST = 82


def _rejoined(lines: list[str]) -> list[str]:
    """Join ``key: value`` lines at the top that a mail program wrapped.

    Only down to the first blank line: what follows may be data, whose lines are the person's own. A
    line was wrapped if the first word of the next would not have fitted on it.
    """
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    keys = [_KEY.match(line[:_HEAD]) is not None for line in lines[:end]]
    if not any(keys):
        return lines
    whole: list[list[str]] = []
    keyed = False
    above = ""
    for line, is_key in zip(lines[:end], keys, strict=True):
        if keyed and _was_wrapped(above, line):
            whole[-1].append(line.strip())
        else:
            whole.append([line])
            keyed = is_key
        above = line
    return [_joined(pieces) for pieces in whole] + lines[end:]


def _joined(pieces: list[str]) -> str:
    first, *others = pieces
    return " ".join([first.rstrip(), *others]) if others else first


def _was_wrapped(line: str, following: str) -> bool:
    width = len(line.rstrip())
    if width > _WIDEST:
        return False
    word = len(following.split(None, 1)[0])
    return width + 1 + word > _NARROWEST and not _NEXT_KEY.match(following[:_HEAD])
