"""Cut from a text what is not the person's: attributions, quoted headers, the original, signatures.

``quotes`` knows how single lines look; this walks over all of them, in linear time.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from mailgate.parse.quotes import (
    begins_attribution,
    header_field,
    is_attribution,
    is_dated_line,
    is_header_block,
    is_leaving,
    is_running_on,
    is_separator,
    is_short_attribution,
    may_hold_attribution,
    opens_attribution,
)

Line = str | None
"""A line without its end, or None in the place of a quoted one."""

_ATTRIBUTION_LINES = 6  # that one attribution may be wrapped over, blank ones included
_KEYED = re.compile(r"\s*[A-Za-z][\w-]{0,30}\s*[:=]\s")
_HEADER_LINES = 14
_SIGNATURE_LINES = 30  # below a bare "--", which other texts use too
_FOOTER_LINES = 15
_NAMED_QUOTE = re.compile(r"\s*[A-Za-z]{1,12}>+(?:\s|$)")  # as Supercite marks: "JD> ..."
_MAX_LOOKS = 5000  # at lines that might end an attribution: a second's work
_FOOTER_RULE = re.compile(r"[_]{10,}|[—–]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What is left of a text, whether all was looked at, and how many lines with words are not.

    ``quoted`` were taken for another mail's, ``dashed`` stand below a bare ``--``, ``signed`` below
    a plain signature's mark. ``gaps`` are the places in ``lines`` before which quoted ones stood,
    in order; the last may be its length. ``others``: the numbers of all that another mail's may be
    among those that were given, below a signature too, where quotes are none of the person's words.
    """

    lines: list[str]
    gaps: tuple[int, ...]
    complete: bool
    quoted: int
    dashed: int
    signed: int
    others: tuple[int, ...]


def own_lines(lines: Sequence[Line]) -> Own:
    """Cut quotes, their introductions and signatures out of ``lines``."""
    cutter = _Cutter(lines)
    cutter.cut()
    below = {end: cutter.below if cutter.end is end else 0 for end in _End}
    return Own(
        lines=cutter.own,
        gaps=cutter.places(),
        complete=cutter.looks > 0,
        quoted=cutter.quoted + below[_End.QUOTE],
        dashed=below[_End.DASHES],
        signed=below[_End.SIGNATURE],
        others=tuple(cutter.others),
    )


class _End(Enum):
    """What the person's text ends before."""

    QUOTE = auto()
    DASHES = auto()
    SIGNATURE = auto()


_CLOSINGS = frozenset(":：-")
INVISIBLE = " \t\u200e\u200f\u202a\u202b\u202c\u2069"
"""What stands at the ends of lines unseen: blanks, and the marks of directions."""

_LAST = _CLOSINGS | frozenset(INVISIBLE)
_RULES = frozenset("-_=*—–‐|")
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
        or text[:3] == ">>>"
        or text[-3:] == ">>>"
    )


class _Cutter:
    """One pass over the lines; ``own`` ends with the line that is being looked at."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.own: list[str] = []
        self.looks = _MAX_LOOKS
        self.end = _End.QUOTE
        self.quoted = self.below = 0
        self.others: list[int] = []
        self._gaps: dict[int, None] = {}
        self._start = 0
        self._lines = lines
        self._fields: dict[int, tuple[str, str] | None] = {}

    def cut(self) -> None:
        """Fill ``own``."""
        in_quote = answers = False
        for number, line in enumerate(self._lines):
            if line is None:
                self.quoted += 1
                self.others.append(number)
                if not in_quote:
                    self._drop_attribution(before_quote=True)
                    self._drop_leavings()
                    self._gaps[len(self.own)] = None
                in_quote = answers = True
                continue
            in_quote = False
            if answers and _NAMED_QUOTE.match(line):
                self.quoted += 1
                self.others.append(number)
                self._gaps[len(self.own)] = None
                continue
            self.own.append(line)
            text = line.strip()
            if text and _may_matter(text) and self._ends_here(line, text, number):
                rest = self._lines[number + 1 :]
                self.below = sum(left is None or bool(left.strip()) for left in rest)
                if self.end is _End.QUOTE:
                    self._gaps[len(self.own)] = None
                self.others += self._others_below(number)
                break
        self._drop_leavings()
        start = next((number for number, line in enumerate(self.own) if line.strip()), 0)
        del self.own[:start]
        self._start = start

    def _others_below(self, number: int) -> Iterator[int]:
        """Yield the numbers of another mail's lines from where the person's text ends."""
        is_quote = self.end is _End.QUOTE
        for at in range(number, len(self._lines)):
            line = self._lines[at]
            text = line.strip() if line else ""
            if text and not is_quote and _may_matter(text):
                is_quote = is_separator(text) or self._is_quoted_header(at)
            if is_quote or line is None:
                yield at

    def places(self) -> tuple[int, ...]:
        """Return where quoted lines stood, as places in ``own``, once that is cut."""
        most = len(self.own)
        return tuple(sorted({min(max(at - self._start, 0), most) for at in self._gaps}))

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
        if text.rstrip(INVISIBLE)[-1:] not in _CLOSINGS:
            return False
        before_quote = self._quote_follows(number)
        return self._drop_attribution(before_quote=before_quote) and not before_quote

    def _ends_all(self, line: str, text: str, number: int) -> bool:
        """Whether the original mail, its header, or a signature begins with this line."""
        if (":" in text[:40] or "：" in text[:40]) and self._is_quoted_header(number):
            return True
        if text[0] in _RULES:
            return self._is_signature(line, text, number) or is_separator(text)
        may_be = (
            text[-1] in _CLOSINGS or ">>>" in {text[:3], text[-3:]} or "above this line" in text
        )
        return (may_be and is_separator(text)) or is_running_on(text)

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
        # A quote above it is no part of it.
        last = next(reversed(self._gaps), 0)
        near = own[max(last, len(own) - _ATTRIBUTION_LINES - blank) : len(own) - blank]
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
        """Whether a quoted mail's header begins here: From, Sent, To, Subject in any language."""
        fields: dict[str, str] = {}
        strange = 0
        for at in range(number, min(number + _HEADER_LINES, len(self._lines))):
            field = self._field(at)
            if field and field[0] in fields and field[0] != "to":
                break
            if field:
                fields.setdefault(*field)
                strange = 0
            elif not fields or strange == 2:
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
        signed = line == "-- " or (
            (text == "--" and self._is_near_end(number, _SIGNATURE_LINES))
            or (
                _FOOTER_RULE.fullmatch(text) is not None
                and self._is_near_end(number, _FOOTER_LINES)
            )
        )
        if signed:
            self.end = _End.DASHES if text == "--" and line != "-- " else _End.SIGNATURE
        return signed

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
    # A line of a request belongs to no attribution.
    keyed = [n for n, line in enumerate(near) if _KEYED.match(line) and not header_field(line)]
    near = near[keyed[-1] + 1 :] if keyed else near
    if not near:
        return 0
    joined = [" ".join(map(str.strip, near[-n:])).strip() for n in range(1, len(near) + 1)]
    fit = [n for n, text in enumerate(joined, 1) if is_attribution(text, before_quote=before_quote)]
    # "Bob wrote:" is enough by itself: a date above it may be the person's own.
    alone = [1] if before_quote and is_short_attribution(joined[0]) else []
    begun = [near[-n].strip() if alone else joined[n - 1] for n in range(1, len(near) + 1)]
    opened = [n for n in fit if opens_attribution(begun[n - 1]) and near[-n].strip()]
    by_itself = [n for n in fit if is_attribution(joined[n - 1], before_quote=False)]
    length = (opened or alone or by_itself or fit or [0])[0]
    while 0 < length < len(near) and begins_attribution(*map(str.strip, near[-length - 1 :][:2])):
        length += 1
    return length
