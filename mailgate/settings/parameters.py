"""A service's parameters: five types, what each takes, and what is said of what it does not take.

A value is the words of one line of a mail and stays what it is: nothing is converted but the dashes
and blanks that typography puts into numbers, and nothing that could be mistaken for an option, a
second line or the end of a string reaches a command.
"""

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailgate.saying import Saying
from mailgate.settings import patterns
from mailgate.settings.kinds import (
    Kind,
    UnfitError,
    integer,
    listed,
    nearest,
    number,
    one_of,
    said,
    text,
)
from mailgate.settings.schema import Described, Sheet, describe_table, key
from mailgate.settings.toml import Place
from mailgate.settings.units import typed

LONGEST = 4096
"""No value is longer, in characters, whatever its service says."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?", re.ASCII
)
# "1,000" may be a thousand as well.
_DECIMAL_COMMA = re.compile(r"(?!-?[1-9][0-9]*,[0-9]{3}\Z)-?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]{1,3})?")
_GROUPS = re.compile("[\u00a0\u2009\u202f]")
_GROUPED = re.compile("[+\u2212-]?[0-9]{1,3}(?:[\u00a0\u2009\u202f][0-9]{3})+(?:\\.[0-9]*)?")
_YES = ("yes", "true", "on")
_NO = ("no", "false", "off")
# A pattern that is longer is no longer read by anybody, and takes long to judge.
_LONGEST_PATTERN = 500


def _words() -> Kind[str]:
    def read(value: object, _: Path) -> str:
        match value:
            case bool():
                return "yes" if value else "no"
            case str() | float():
                return str(value)
            case int() if abs(value) < 10**40:
                return str(value)
            case _:
                raise UnfitError(f"is {said(value)}")

    return Kind("a value of the type", "a value of the parameter's own type", read)


def _is_argument(value: str) -> bool:
    return bool(value) and value.isprintable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(ABC):
    """What all types have. ``name`` is the service's word for it, in the service's own case."""

    name: str
    type: str = key(text(), doc="text, integer, number, choice or flag", example="text")
    summary: str = key(
        text("text", lambda _: True), "", doc="what it means, for whoever sends requests"
    )
    default: str | None = key(
        _words(), None, doc="the value when no line gives one; without it a used one must be given"
    )
    example: str | None = key(
        _words(), None, doc="a value to show where one is missing", shown="made up from the type"
    )

    @property
    @abstractmethod
    def expected(self) -> Saying:
        """What a value must be, as a noun phrase."""

    def fault(self, value: str) -> Saying | None:
        """Say what is wrong with a value (``is not a whole number``), None for one that fits."""
        if len(value) > LONGEST:
            return Saying("parameters/too-long", count=len(value))
        if not value:
            return Saying("parameters/empty")
        if any(_is_control(char) for char in value):
            return Saying("parameters/control")
        if value.startswith("-") and not self._may_be_negative:
            return Saying("parameters/dash")
        return self._fault(value)

    def near(self, value: str) -> str | None:  # noqa: ARG002 - other types look at it
        """Return the value that fits and that one which does not most likely meant, if any."""
        return None

    def plain(self, value: str) -> str:
        """Return a value as a command gets it: a number's minus is a hyphen, whoever wrote it."""
        return value

    def sample(self) -> str:
        """Return a value that fits: the default, the operator's example, or one made up."""
        return self.default or self.example or self._sample()

    @property
    def _may_be_negative(self) -> bool:
        return False

    @abstractmethod
    def _fault(self, value: str) -> Saying | None: ...

    @abstractmethod
    def _sample(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Parameter):
    """type = "text": one line of any words."""

    pattern: str | None = key(
        text("a regular expression", lambda value: 0 < len(value) <= _LONGEST_PATTERN),
        None,
        doc="a regular expression (Python's) that the whole value must match",
    )
    max_length: int = key(integer(1, LONGEST), 1000, doc="the most characters")

    @property
    def expected(self) -> Saying:
        """What a value must be, as a noun phrase."""
        return Saying("parameters/text", most=self.max_length, pattern=self.pattern)

    def _fault(self, value: str) -> Saying | None:
        if len(value) > self.max_length:
            return Saying("parameters/too-long", count=len(value))
        if self.pattern and not patterns.fits(self.pattern, value):
            return Saying("parameters/unlike", pattern=self.pattern)
        return None

    def _sample(self) -> str:
        words = patterns.sample(self.pattern) if self.pattern else "words"[: self.max_length]
        return words if words and self.fault(words) is None else "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Parameter):
    """type = "integer": a whole number in decimal digits."""

    min: int | None = key(integer(-(10**18), 10**18), None, doc="the least; below 0 only if said")
    max: int | None = key(integer(-(10**18), 10**18), None, doc="the most")

    @property
    def expected(self) -> Saying:
        """What a value must be, as a noun phrase."""
        return Saying("parameters/integer", least=self.min, most=self.max)

    def plain(self, value: str) -> str:
        """Return a number as a command gets it."""
        return _plain(value)

    @property
    def _may_be_negative(self) -> bool:
        return self.min is not None and self.min < 0

    def _fault(self, value: str) -> Saying | None:
        if not _INTEGER.fullmatch(value):
            return Saying("parameters/no-integer")
        return _range_fault(int(value), self.min, self.max)

    def _sample(self) -> str:
        return str(_in_range(self.min, self.max))


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Parameter):
    """type = "number": a decimal number, with an exponent if need be; never infinite."""

    min: float | None = key(number(), None, doc="the least; below 0 only if said")
    max: float | None = key(number(), None, doc="the most")

    @property
    def expected(self) -> Saying:
        """What a value must be, as a noun phrase."""
        return Saying("parameters/number", least=self.min, most=self.max)

    def plain(self, value: str) -> str:
        """Return a number as a command gets it."""
        return _plain(value)

    def near(self, value: str) -> str | None:
        """Return a number with a decimal comma as one with a point."""
        point = value.replace(",", ".")
        meant = _DECIMAL_COMMA.fullmatch(value) and self.fault(point) is None
        return point if meant else None

    @property
    def _may_be_negative(self) -> bool:
        return self.min is not None and self.min < 0

    def _fault(self, value: str) -> Saying | None:
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            return Saying("parameters/no-number", meant=self.near(value))
        return _range_fault(float(value), self.min, self.max)

    def _sample(self) -> str:
        return str(_in_range(self.min, self.max))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Parameter):
    """type = "choice": one of the words that the service lists, in the same case."""

    choices: tuple[str, ...] = key(
        listed(text("a word", _is_argument), least=1), doc="the words", example=["one", "two"]
    )

    @property
    def expected(self) -> Saying:
        """What a value must be, as a noun phrase."""
        return Saying("parameters/choice", words=self.choices)

    def near(self, value: str) -> str | None:
        """Return the choice that is spelled nearly so."""
        return nearest(value, self.choices)

    def _fault(self, value: str) -> Saying | None:
        if value in self.choices:
            return None
        return Saying("parameters/no-choice", meant=self.near(value))

    def _sample(self) -> str:
        return self.choices[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag(Parameter):
    """type = "flag": yes or no (also true, false, on, off).

    With ``argument`` its placeholder is that word when the flag is on, and drops out of the command
    when it is off; without, its placeholder is the word as sent, like any other.
    """

    default: str | None = key(_words(), "no", doc="yes or no (or true, false) when no line says")
    argument: str | None = key(
        text("a word", _is_argument), None, doc='what {name} becomes when on, e.g. "--verbose"'
    )

    @property
    def expected(self) -> Saying:
        """What a value must be, as a noun phrase."""
        return Saying("parameters/choice", words=("yes", "no"))

    def _fault(self, value: str) -> Saying | None:
        return None if value.lower() in (*_YES, *_NO) else Saying("parameters/no-flag")

    def _sample(self) -> str:
        return "yes"


def is_yes(value: str) -> bool | None:
    """Read a yes or no in any case; None for anything else."""
    if value.lower() in (*_YES, *_NO):
        return value.lower() in _YES
    return None


TYPES: dict[str, type[Parameter]] = {
    "text": Text,
    "integer": Integer,
    "number": Number,
    "choice": Choice,
    "flag": Flag,
}


def describe() -> list[Described]:
    """List every key of every type, for the docs."""
    shared = describe_table("parameter.NAME", Parameter)
    rows = [
        row
        for word, shape in TYPES.items()
        for row in describe_table(f'parameter.NAME (type = "{word}")', shape)
        if row._replace(table="parameter.NAME") not in shared
    ]
    return [*shared, *rows]


# --- reading --------------------------------------------------------------------------------------


def read_parameter(sheet: Sheet, name: str) -> Parameter:
    """Read ``[parameter.NAME]``; what is wrong with it is noted in the sheet."""
    place = ("parameter", name)
    word = sheet.word((*place, "type"), "")
    if word not in TYPES:
        if sheet.has((*place, "type")):
            sheet.wrong((*place, "type"), f"is {said(word)}", one_of(TYPES))
        else:
            sheet.wrong(place, "has no type", f"type = {one_of(TYPES)}")
        return Text(name=name, type="text")
    parameter = sheet.table(place, TYPES[word], name=name)
    _check_range(sheet, place, parameter)
    _check_words(sheet, place, parameter)
    _check_values(sheet, place, parameter)
    return parameter


def _check_range(sheet: Sheet, place: Place, parameter: Parameter) -> None:
    if not isinstance(parameter, Integer | Number) or parameter.max is None:
        return
    if parameter.min is None:
        if parameter.max < 0:
            what = f"{parameter.max} is under 0, and values below 0 are taken only with a min"
            sheet.wrong((*place, "max"), what, "a min beside it, or at least 0")
    elif parameter.min > parameter.max:
        sheet.wrong((*place, "min"), f"{parameter.min} is over max", f"at most {parameter.max}")


def _check_words(sheet: Sheet, place: Place, parameter: Parameter) -> None:
    match parameter:
        case Text(pattern=str(pattern), max_length=longest):
            if fault := patterns.fault(pattern, longest):
                sheet.wrong((*place, "pattern"), *fault)
        case Choice(choices=choices):
            for position, choice in enumerate(choices):
                if fault := _choice_fault(choice, choices[:position]):
                    sheet.wrong((*place, "choices", str(position)), *fault)
        case _:
            pass


def _choice_fault(choice: str, earlier: Sequence[str]) -> tuple[str, str] | None:
    if choice.startswith("-"):
        return f'"{choice}" begins with "-"', "a word that cannot be taken for an option"
    if choice != choice.strip():
        return f'"{choice}" has blanks around it', "a word that a line of a mail can give"
    return (f'"{choice}" stands there twice', "each choice once") if choice in earlier else None


def _check_values(sheet: Sheet, place: Place, parameter: Parameter) -> None:
    judges = {(*place, name) for name in ("pattern", "choices")}
    # What is wrong itself judges nothing; what stands in for it would judge by no word of the file.
    if sheet.mistakes_at(lambda at: at[: len(place) + 1] in judges):
        return
    for name, value in (("default", parameter.default), ("example", parameter.example)):
        if value is not None and (fault := parameter.fault(value)):
            sheet.wrong((*place, name), f'"{value}" {fault}', str(parameter.expected))


# --- helpers of the types -------------------------------------------------------------------------


def _plain(value: str) -> str:
    """Return a number with a hyphen for a minus, and without the blanks between its thousands.

    A blank that is typed may divide two numbers; one of typography's holds a number together.
    """
    if _GROUPED.fullmatch(value):
        value = _GROUPS.sub("", value)
    return typed(value)


def _is_control(char: str) -> bool:
    """Tell whether a command must not get ``char``: line breaks, NUL, lone surrogates; no tab."""
    return char != "\t" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _range_fault(value: float, least: float | None, most: float | None) -> Saying | None:
    if least is not None and value < least:
        return Saying("parameters/under", least=least)
    if most is not None and value > most:
        return Saying("parameters/over", most=most)
    return None


def _in_range(least: float | None, most: float | None) -> float:
    if least is not None:
        return least
    return most if most is not None and most < 1 else 1
