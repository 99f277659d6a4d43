"""A mail's text to the lines that its sender wrote: no quote, no attribution, no signature.

A quoted line must never pass for the person's own, so every doubt is settled against a line: after an
attribution that no ``>`` follows, all the rest counts as the original. Everything is linear.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailgate.parse.quotes import (
    begins_attribution,
    header_field,
    is_attribution,
    is_attribution_tail,
    is_dated_line,
    is_header_block,
    is_leaving,
    is_separator,
    is_short_attribution,
    may_hold_attribution,
    opens_attribution,
)

MAX_LINES = 200_000
"""Lines that are read; a quarter of a second's work."""

Line = str | None
"""A line without its end, or None in the place of a quoted one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the person wrote, without blank lines at either end; ``cut``: there was more than is read."""

    lines: tuple[str, ...]
    defects: tuple[str, ...] = ()
    cut: bool = False


def from_plain(text: str, *, flowed: bool, delsp: bool, reply: bool) -> Written:
    """Read a text/plain part; ``flowed`` and ``delsp`` are its parameters (RFC 3676).

    ``reply``: the header names an earlier mail, so that lines with ``>`` are its quotes.
    """
    physical = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    cut = len(physical) > MAX_LINES
    del physical[MAX_LINES:]
    if flowed:
        own, complete = _own(_unflowed(physical, delsp=delsp))
        return Written(lines=tuple(own), cut=cut or not complete)
    defects: tuple[str, ...] = ()
    lines = list[Line](physical)
    if ">" in text and not (fasta := _is_fasta(physical, reply=reply)).whole:
        lines = _without_quotes(physical)
        if fasta.somewhat:
            defects = ("lines that begin with > were taken for quotes: attach sequences as a file",)
    own, complete = _own(lines)
    return Written(lines=tuple(_rejoined(own)), defects=defects, cut=cut or not complete)


def from_html(text: str, *, reply: bool) -> Written:
    """Read a text/html part."""
    # Most mails have a plain part: the HTML parser is loaded for the first that has none.
    from mailgate.parse.html import to_text  # noqa: PLC0415

    plain, damage = to_text(text)
    lines = plain.split("\n")
    cut = damage is not None or len(lines) > MAX_LINES
    del lines[MAX_LINES:]
    quoted = ">" in plain and not _is_fasta(lines, reply=reply).whole
    own, complete = _own(_without_quotes(lines) if quoted else list[Line](lines))
    defects = (damage,) if damage else ()
    return Written(lines=tuple(own), cut=cut or not complete, defects=defects)


# --- format=flowed ---------------------------------------------------------------------------------


def _unflowed(lines: Sequence[str], *, delsp: bool) -> list[Line]:
    """Join flowed lines (RFC 3676 section 4.1); quoted paragraphs become None."""
    paragraphs: list[Line] = []
    pieces: list[str] = []
    depth = 0
    for line in lines:
        text = line.lstrip(">")
        level = len(line) - len(text)
        text = text.removeprefix(" ")
        if pieces and level != depth:
            paragraphs.append(_paragraph(pieces, depth))
            pieces = []
        depth = level
        goes_on = text.endswith(" ") and text != "-- "
        pieces.append(text[:-1] if goes_on and delsp else text)
        if not goes_on:
            paragraphs.append(_paragraph(pieces, depth))
            pieces = []
    if pieces:
        paragraphs.append(_paragraph(pieces, depth))
    return paragraphs


def _paragraph(pieces: list[str], depth: int) -> Line:
    text = "".join(pieces)
    return None if depth or text.startswith("> ") else text


# --- quotes ----------------------------------------------------------------------------------------

_LINK = re.compile(r"[<(\[]?https?://\S+[\s>)\]]*")
_WRAPPED_QUOTE = 66  # a quoted line at least so long may have lost its last words to the next


def _without_quotes(lines: Sequence[str]) -> list[Line]:
    """Put None for every line that begins with ``>``, and for what wrapping tore off its end."""
    own = [None if _is_quoted(line) else line for line in lines]
    for number in range(1, len(lines) - 1):
        if own[number] is not None and own[number - 1] is None and own[number + 1] is None:
            if _goes_on(lines[number - 1].rstrip(), lines[number].strip()):
                own[number] = None
    return own


def _goes_on(quoted: str, line: str) -> bool:
    """Whether ``line``, between two quoted ones, is the torn-off end of the one above, or its link."""
    if not line or _LINK.fullmatch(line):
        return True
    if quoted.count("(") > quoted.count(")") or quoted.lstrip("> ").count("<") > quoted.count(">"):
        return True
    return len(quoted) >= _WRAPPED_QUOTE and quoted[-1] not in ".?!:;"


def _is_quoted(line: str) -> bool:
    return line.lstrip()[:1] == ">" and not is_attribution_tail(line)


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
    """Whether each ``>`` heads a sequence, as in a FASTA body, so that none of them marks a quote."""
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


# --- attributions, quoted headers, signatures ------------------------------------------------------

_ATTRIBUTION_LINES = 6  # that one attribution may be wrapped over, blank ones included
_KEYED = re.compile(
    r"\s*[a-z][a-z0-9_-]{0,30}\s*[:=]\s"
)  # a line of a request, never of an attribution
_HEADER_LINES = 14
_SIGNATURE_LINES = 30  # below a bare "--", which other texts use too
_FOOTER_LINES = 15
_NAMED_QUOTE = re.compile(r"\s*[A-Za-z]{1,12}>+(?:\s|$)")  # as Supercite marks: "JD> ..."
_MAX_LOOKS = 5000  # at lines that might end an attribution: a second's work
_FOOTER_RULE = re.compile(r"[_]{10,}|[—–]")


def _own(lines: Sequence[Line]) -> tuple[list[str], bool]:
    """Return what is left of ``lines`` without quotes, their introductions and signatures.

    And whether all of it was looked at.
    """
    cutter = _Cutter(lines)
    cutter.cut()
    return cutter.own, cutter.looks > 0


_CLOSINGS = frozenset(":：-")
_INVISIBLE = " \t\u200e\u200f\u202a\u202b\u202c\u2069"
_LAST = _CLOSINGS | frozenset(_INVISIBLE)
_RULES = frozenset("-_=*—–|")
_DIGITS = frozenset("0123456789")
_FIRST = _RULES | _DIGITS


def _may_matter(text: str) -> bool:
    """Take a cheap look at a line, for bodies of 100,000 of them."""
    return (
        text[-1] in _LAST
        or text[0] in _FIRST
        or ":" in text[:40]
        or "：" in text[:40]
        or "above this line" in text
    )


class _Cutter:
    """One pass over the lines; ``own`` ends with the line that is being looked at."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.own: list[str] = []
        self.looks = _MAX_LOOKS
        self._lines = lines
        self._fields: dict[int, tuple[str, str] | None] = {}

    def cut(self) -> None:
        """Fill ``own``."""
        in_quote = answers = False
        for number, line in enumerate(self._lines):
            if line is None:
                if not in_quote:
                    self._drop_attribution(before_quote=True)
                    self._drop_leavings()
                in_quote = answers = True
                continue
            in_quote = False
            if answers and _NAMED_QUOTE.match(line):
                continue
            self.own.append(line)
            text = line.strip()
            if text and _may_matter(text) and self._ends_here(line, text, number):
                break
        self._drop_leavings()
        start = next((number for number, line in enumerate(self.own) if line.strip()), 0)
        del self.own[:start]

    def _ends_here(self, line: str, text: str, number: int) -> bool:
        """Whether the person's text ends before this line, which is then dropped.

        An attribution that quoted lines follow is only dropped: the person may go on below them.
        """
        if self._ends_all(line, text, number):
            self.own.pop()
            return True
        if text[0] in _DIGITS and is_dated_line(text):
            self.own.pop()
            return not self._quote_follows(number)
        if text.rstrip(_INVISIBLE)[-1:] not in _CLOSINGS:
            return False
        before_quote = self._quote_follows(number)
        return self._drop_attribution(before_quote=before_quote) and not before_quote

    def _ends_all(self, line: str, text: str, number: int) -> bool:
        """Whether the original mail, its header, or a signature begins with this line."""
        if (":" in text[:40] or "：" in text[:40]) and self._is_quoted_header(number):
            return True
        if text[0] in _RULES:
            return self._is_signature(line, text, number) or is_separator(text)
        return (text[-1] in _CLOSINGS or "above this line" in text) and is_separator(text)

    # --- attributions ---

    def _quote_follows(self, number: int) -> bool:
        """Whether the next line that is not blank is a quoted one; a long gap is none."""
        for line in self._lines[number + 1 : number + 12]:
            if line is None:
                return True
            if line.strip():
                return False
        return False

    def _drop_attribution(self, *, before_quote: bool) -> bool:
        """Drop the attribution that ends with the last line of ``own``, if one does."""
        length = self._attribution_length(before_quote=before_quote)
        if length:
            del self.own[-length:]
        return length > 0 or not self.looks

    def _attribution_length(self, *, before_quote: bool) -> int:
        """How many lines at the end of ``own`` are an attribution (blank ones included), or 0."""
        own = self.own
        blank = 0
        while blank < min(len(own), _ATTRIBUTION_LINES) and not own[-1 - blank].strip():
            blank += 1
        near = own[-_ATTRIBUTION_LINES - blank : len(own) - blank]
        if not near or not near[-1].strip():
            return 0
        if may_hold_attribution(" ".join(near)[-600:]) and self.looks:
            self.looks -= 1
            length = _wrapped_attribution(near, before_quote=before_quote)
            if length:
                return length + blank
        short = before_quote and is_short_attribution(near[-1].strip())
        return 1 + blank if short else 0

    # --- quoted headers ---

    def _is_quoted_header(self, number: int) -> bool:
        """Whether a quoted mail's header begins here: From, Sent, To and Subject in any language."""
        fields: dict[str, str] = {}
        strange = 0
        for at in range(number, min(number + _HEADER_LINES, len(self._lines))):
            field = self._field(at)
            if field and field[0] in fields and field[0] != "to":
                break
            if field:
                fields.setdefault(*field)
                strange = 0
            elif not fields or strange == 2:  # noqa: PLR2004 - a folded value, a blank line
                break
            else:
                strange += 1
        return len(fields) > 1 and is_header_block(fields)

    def _field(self, number: int) -> tuple[str, str] | None:
        if number not in self._fields:
            line = self._lines[number]
            self._fields[number] = header_field(line) if line else None
        return self._fields[number]

    # --- signatures ---

    def _is_signature(self, line: str, text: str, number: int) -> bool:
        if line == "-- ":
            return True
        if text == "--":
            return self._is_near_end(number, _SIGNATURE_LINES)
        return _FOOTER_RULE.fullmatch(text) is not None and self._is_near_end(number, _FOOTER_LINES)

    def _is_near_end(self, number: int, limit: int) -> bool:
        """Whether at most ``limit`` lines with words follow, before the next quoted one."""
        words = 0
        for at in range(number + 1, len(self._lines)):
            line = self._lines[at]
            if line is None:
                return True
            words += bool(line.strip())
            if words > limit:
                return False
        return True

    def _drop_leavings(self) -> None:
        """Drop blank lines, rules and what telephones add from the end."""
        while self.own and (not self.own[-1].strip() or is_leaving(self.own[-1])):
            self.own.pop()


def _wrapped_attribution(near: Sequence[str], *, before_quote: bool) -> int:
    """How many lines at the end of ``near`` are one attribution, wrapped; 0 if none are."""
    keyed = [number for number, line in enumerate(near) if _KEYED.match(line)]
    near = near[keyed[-1] + 1 :] if keyed else near
    joined = [" ".join(map(str.strip, near[-n:])).strip() for n in range(1, len(near) + 1)]
    fit = [n for n, text in enumerate(joined, 1) if is_attribution(text, before_quote=before_quote)]
    opened = [n for n in fit if opens_attribution(joined[n - 1]) and near[-n].strip()]
    by_itself = [n for n in fit if is_attribution(joined[n - 1], before_quote=False)]
    length = (opened or by_itself or fit or [0])[0]
    while 0 < length < len(near) and begins_attribution(*map(str.strip, near[-length - 1 :][:2])):
        length += 1
    return length


# --- lines that a mail program wrapped -------------------------------------------------------------

_KEY = re.compile(r"\s*\w[\w .-]{0,40}?\s*[:=]")
_NEXT_KEY = re.compile(r"\s*[\w-]{1,40}\s*[:=](?!//)")
_NARROWEST = 72  # columns: mail programs wrap at 72 to 80
_WIDEST = 82


def _rejoined(lines: list[str]) -> list[str]:
    """Join ``key: value`` lines at the top that a mail program wrapped.

    Only down to the first blank line: what follows may be data, whose lines are the person's own. A
    line was wrapped if the first word of the next would not have fitted on it.
    """
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    if not any(map(_KEY.match, lines[:end])):
        return lines
    joined: list[str] = []
    above = ""
    for line in lines[:end]:
        if joined and _was_wrapped(above, line) and _KEY.match(joined[-1]):
            joined[-1] = f"{joined[-1].rstrip()} {line.strip()}"
        else:
            joined.append(line)
        above = line
    return joined + lines[end:]


def _was_wrapped(line: str, following: str) -> bool:
    width = len(line.rstrip())
    if width > _WIDEST:
        return False
    word = len(following.split(None, 1)[0])
    return width + 1 + word > _NARROWEST and not _NEXT_KEY.match(following)
