r"""Regular expressions that an operator writes and strangers' words are matched against.

``re`` backtracks: ``(a+)+`` takes exponential time on some words. A pattern is taken if the next
character alone always decides where in it a match stands and which repeat goes on (XML demands as
much of a DTD; Koch and Scherzinger, 2007, call it strongly one-unambiguous), so that nothing is
tried twice; or if the ways to try are few for the longest value taken. The rest is refused.
"""

# The parser is private to ``re``; the one other way to see a pattern's parts is to write it again.
import re
import re._constants as c  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# So many steps of ``re`` take less than a second.
_MOST_WAYS = 20_000_000.0
_MEND = "possessive repeats (such as a++), fewer of them, or a smaller max_length"
# Every class is tried on these: Latin-1, and letters, digits, blanks and signs of other scripts.
_PROBES = tuple(map(chr, range(256))) + tuple("ĀžΑωЯ٣中あ가ⅷ\u2003\u2028\u20ac\ufffd😀")
# Preferred for a sample, in this order.
_PLAIN = "a1A0 _.,:/+"

Item = tuple[object, object]
"""One part of a pattern as ``re`` parses it: an opcode and its arguments."""


def fault(pattern: str, longest: int) -> tuple[str, str] | None:
    """Say why a pattern cannot be used on values of ``longest`` characters, and what is expected.

    None means that `fits` may be called with any such value.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            items = list(parser.parse(pattern))
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return f"does not compile ({error})", "a regular expression of Python's re"
    if foreign := _foreign(items):
        return f"holds {foreign}", "a pattern without it"
    if _Positions.of(items).unambiguous or _ways(items, longest) <= _MOST_WAYS:
        return None
    return "can take very long on some values", _MEND


def fits(pattern: str, value: str) -> bool:
    """Tell whether the whole of ``value`` is what the pattern says."""
    return re.fullmatch(pattern, value) is not None


def sample(pattern: str) -> str | None:
    """Make up a short value that fits; None where the obvious choices do not."""
    words = _sample(list(parser.parse(pattern)))
    return words if fits(pattern, words) else None


# --- what a pattern is made of --------------------------------------------------------------------

_BACKTRACKING = (c.MAX_REPEAT, c.MIN_REPEAT)
_REPEATS = (*_BACKTRACKING, c.POSSESSIVE_REPEAT)
_FOREIGN = {
    c.GROUPREF: "a reference to a group",
    c.GROUPREF_EXISTS: "a condition on a group",
    c.ASSERT: "a look ahead or behind",
    c.ASSERT_NOT: "a look ahead or behind",
}


def _branches(item: Item) -> list[list[Item]]:
    """Return the sequences of which an item takes one; none for a single character."""
    what, arguments = item
    if what is c.BRANCH:
        return [list(branch) for branch in arguments[1]]  # type: ignore[index]
    if what is c.ATOMIC_GROUP:
        return [list(arguments)]  # type: ignore[call-overload]
    if what is c.SUBPATTERN or what in _REPEATS:
        return [list(arguments[-1])]  # type: ignore[index]
    return []


def _bounds(item: Item) -> tuple[int, int]:
    """Return how often an item repeats, at least and at most."""
    what, arguments = item
    if what not in _REPEATS:
        return 1, 1
    return int(arguments[0]), int(arguments[1])  # type: ignore[index]


def _foreign(items: Sequence[Item]) -> str | None:
    for item in items:
        if item[0] in _FOREIGN:
            return _FOREIGN[item[0]]
        for branch in _branches(item):
            if found := _foreign(branch):
                return found
    return None


# --- the ways to try ------------------------------------------------------------------------------


def _ways(items: Sequence[Item], longest: int) -> float:
    """Estimate, from above, how many ways ``re`` may try on ``longest`` characters."""
    ways = 1.0
    for item in items:
        ways *= _ways_of_one(item, longest)
    return ways


def _ways_of_one(item: Item, longest: int) -> float:
    inside = sum(_ways(branch, longest) for branch in _branches(item)) or 1.0
    least, most = _bounds(item)
    rounds = min(most, longest)
    try:
        inside **= max(rounds, 1)
    except OverflowError:
        return float("inf")
    return inside * max(rounds - least + 1, 1) if item[0] in _BACKTRACKING else inside


# --- where a match can stand ----------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """A part of a pattern: whether it may be empty, and with which positions it begins and ends."""

    empty: bool = True
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


@dataclass(slots=True)
class _Positions:
    """Glushkov's automaton: a position for each single character, and which may follow which."""

    alphabet: frozenset[str]
    characters: list[frozenset[str]] = field(default_factory=list)
    follow: dict[int, list[int]] = field(default_factory=dict)
    unambiguous: bool = True

    @classmethod
    def of(cls, items: Sequence[Item]) -> "_Positions":
        """Walk a whole pattern."""
        positions = cls(frozenset(_PROBES) | frozenset(_literals(items)))
        whole = positions._sequence(items)
        for choices in (whole.first, *positions.follow.values()):
            positions._check(choices)
        return positions

    def _sequence(self, items: Iterable[Item]) -> _Part:
        whole = _Part()
        for item in items:
            part = self._item(item)
            self._link(whole.last, part.first)
            whole = _Part(
                whole.empty and part.empty,
                (*whole.first, *part.first) if whole.empty else whole.first,
                (*whole.last, *part.last) if part.empty else part.last,
            )
        return whole

    def _item(self, item: Item) -> _Part:
        if item[0] is c.AT:
            return _Part()
        branches = _branches(item)
        if not branches:
            return self._character(item)
        parts = [self._sequence(branch) for branch in branches]
        # Nothing in more than one way, round after round, is as slow as anything.
        self.unambiguous &= sum(part.empty for part in parts) < 2
        whole = _Part(
            any(part.empty for part in parts),
            tuple(p for part in parts for p in part.first),
            tuple(p for part in parts for p in part.last),
        )
        return self._repeated(whole, *_bounds(item)) if item[0] in _REPEATS else whole

    def _repeated(self, part: _Part, least: int, most: int) -> _Part:
        self.unambiguous &= not part.empty
        if most > 1:
            self._link(part.last, part.first)
        return _Part(part.empty or least == 0, part.first, part.last)

    def _character(self, item: Item) -> _Part:
        self.characters.append(frozenset(a for a in self.alphabet if _takes(item, a)))
        here = (len(self.characters) - 1,)
        return _Part(empty=False, first=here, last=here)

    def _link(self, sources: Iterable[int], targets: Sequence[int]) -> None:
        for source in sources:
            known = self.follow.setdefault(source, [])
            # Two repeats that lead to the same place: either may go on.
            self.unambiguous &= not set(known) & set(targets)
            known.extend(targets)

    def _check(self, choices: Sequence[int]) -> None:
        seen: set[str] = set()
        for position in choices:
            self.unambiguous &= not seen & self.characters[position]
            seen |= self.characters[position]


def _literals(items: Sequence[Item]) -> Iterable[str]:
    """Yield every character that the pattern names, in both cases."""
    for what, arguments in items:
        if what is c.LITERAL or what is c.NOT_LITERAL:
            yield from _cases(chr(int(str(arguments))))
        elif what is c.RANGE:
            yield from (case for end in arguments for case in _cases(chr(end)))  # type: ignore[attr-defined]
        elif what is c.IN:
            yield from _literals(arguments)  # type: ignore[arg-type]
        for branch in _branches((what, arguments)):
            yield from _literals(branch)


def _takes(item: Item, char: str) -> bool:
    """Tell whether a single-character item takes ``char`` or the same letter in another case."""
    return any(_takes_as_is(item, case) for case in _cases(char))


def _takes_as_is(item: Item, char: str) -> bool:
    what, arguments = item
    if what is c.LITERAL:
        return ord(char) == arguments
    if what is c.NOT_LITERAL:
        return ord(char) != arguments
    if what is c.RANGE:
        return arguments[0] <= ord(char) <= arguments[1]  # type: ignore[index,no-any-return]
    if what is c.CATEGORY:
        return re.fullmatch(_CATEGORIES[arguments], char) is not None
    if what is c.IN:
        inside = list(arguments)  # type: ignore[call-overload]
        negated = inside[0][0] is c.NEGATE
        return any(_takes_as_is(i, char) for i in inside[negated:]) is not negated
    return True


_CATEGORIES: dict[object, str] = {
    c.CATEGORY_DIGIT: r"\d",
    c.CATEGORY_NOT_DIGIT: r"\D",
    c.CATEGORY_SPACE: r"\s",
    c.CATEGORY_NOT_SPACE: r"\S",
    c.CATEGORY_WORD: r"\w",
    c.CATEGORY_NOT_WORD: r"\W",
}


def _cases(char: str) -> set[str]:
    return {char} | {case for case in (char.lower(), char.upper()) if len(case) == 1}


# --- a value that fits ----------------------------------------------------------------------------


def _sample(items: Iterable[Item]) -> str:
    return "".join(_sample_of_one(item) for item in items)


def _sample_of_one(item: Item) -> str:
    if item[0] is c.AT:
        return ""
    branches = _branches(item)
    if not branches:
        choices = (char for char in (*_PLAIN, *_PROBES) if _takes_as_is(item, char))
        return next(choices, chr(item[1]) if isinstance(item[1], int) else "")
    least, most = _bounds(item)
    return _sample(branches[0]) * min(max(least, 1), most, 1000)
