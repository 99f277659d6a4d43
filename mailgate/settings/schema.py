"""Tables of a TOML file declared as frozen dataclasses: one line a key.

::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class SmtpDoor:
        port: int = key(integer(0, 65535), 8025, doc="where it listens; 0 takes any free port")

`Sheet.table` reads such a table and gathers every mistake; `describe_table` lists its keys for the
docs. A field without `key` is no key of the table: the caller of `Sheet.table` gives its value.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar, cast, overload

from mailgate.errors import BadConfig
from mailgate.log import escaped
from mailgate.settings.kinds import Kind, UnfitError, nearest, one_of, said
from mailgate.settings.toml import Document, Place

T = TypeVar("T")

Toml = str | int | float | bool | list[str]
"""A default or example, as an operator would write it in the file."""


# --- declaring ------------------------------------------------------------------------------------


class _Required:
    """No default: the key must be given."""


REQUIRED = _Required()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a field's metadata says of its key; ``shown`` says a default that is computed."""

    kind: Kind[object]
    default: Toml | _Required | None
    doc: str
    example: Toml | None
    shown: str | None


@overload
def key(
    kind: Kind[T], default: None, *, doc: str, example: Toml | None = None, shown: str | None = None
) -> T | None: ...


@overload
def key(
    kind: Kind[T],
    default: Toml | _Required = REQUIRED,
    *,
    doc: str,
    example: Toml | None = None,
    shown: str | None = None,
) -> T: ...


def key(
    kind: Kind[T],
    default: Toml | _Required | None = REQUIRED,
    *,
    doc: str,
    example: Toml | None = None,
    shown: str | None = None,
) -> T | None:
    """Declare a dataclass field as a key of its table.

    ``default`` is written as in the file (``"50 MiB"``); None means that the key may be absent, and
    then the field is None. A required key carries an ``example``, which also stands in for it while
    the rest of the file is checked. ``shown`` describes a default that only the caller of
    `Sheet.table` knows.
    """
    entry = Key(
        kind=cast("Kind[object]", kind), default=default, doc=doc, example=example, shown=shown
    )
    metadata = {"key": entry}
    if isinstance(default, _Required):
        return cast("T", dataclasses.field(metadata=metadata))
    value = None if default is None else kind.read(default, Path())
    return cast("T", dataclasses.field(default=value, metadata=metadata))


class Described(NamedTuple):
    """One key as the docs list it; ``default`` is ``required``, ``none`` or as written in TOML."""

    table: str
    key: str
    default: str
    unit: str
    doc: str


def describe_table(table: str, shape: type) -> list[Described]:
    """List every key that ``shape`` declares, in its order."""
    return [
        Described(table, name, _said_default(entry), entry.kind.unit, entry.doc)
        for name, entry in _keys(shape).items()
    ]


def _keys(shape: type) -> dict[str, Key]:
    """Map the keys' names (``from_`` is the key ``from``) to what their fields declare."""
    fields = dataclasses.fields(shape)
    return {f.name.removesuffix("_"): f.metadata["key"] for f in fields if "key" in f.metadata}


def _said_default(entry: Key) -> str:
    if entry.shown:
        return entry.shown
    if isinstance(entry.default, _Required):
        return "required"
    return "none" if entry.default is None else said(entry.default)


# --- reading --------------------------------------------------------------------------------------


class Sheet:
    """One TOML file on its way into dataclasses; every mistake is kept with its line."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._base = document.path.absolute().parent
        self._mistakes: list[tuple[int, Place, str]] = []

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Every mistake so far in the file's order: ``FILE:LINE: key: what; expected ...``."""
        return self.mistakes_at(lambda _: True)

    def mistakes_at(self, chosen: Callable[[Place], bool]) -> tuple[str, ...]:
        """Return those of the mistakes that stand at chosen places."""
        found = sorted(self._mistakes, key=lambda mistake: mistake[0])
        return tuple(words for _, place, words in found if chosen(place))

    def wrong(self, place: Place, what: str, expected: str) -> None:
        """Note that what stands at ``place`` cannot be used."""
        line = self.document.line(place)
        at = f"{'.'.join(place)}: " if place else ""
        words = f"{self.document.path}:{line}: {at}{what}; expected {expected}"
        self._mistakes.append((line, place, escaped(words)))

    def finish(self) -> None:
        """Raise `BadConfig` with all mistakes, one a line, if there are any."""
        if self._mistakes:
            raise BadConfig("\n".join(self.mistakes))

    def has(self, place: Place) -> bool:
        """Tell whether the file holds that key or table."""
        return self._found(place) is not None

    def names(self, place: Place) -> tuple[str, ...]:
        """Return the names of the tables that stand in the table at ``place``."""
        found = self._found(place)
        inside = found if isinstance(found, dict) else {}
        return tuple(name for name, value in inside.items() if isinstance(value, dict))

    def has_keys(self, place: Place) -> bool:
        """Tell whether anything but tables stands in the table at ``place``, or something else."""
        found = self._found(place)
        inside = found.values() if isinstance(found, dict) else (found,)
        return any(not isinstance(value, dict) for value in inside)

    def sections(self, place: Place) -> tuple[str, ...]:
        """Return the same where nothing else than tables may stand; the rest is wrong."""
        found = self._table(place)
        names = self.names(place)
        for name in found.keys() - set(names):
            expected = f"a table [{'.'.join(place)}.NAME]"
            self.wrong((*place, name), f"is {said(found[name])}", expected)
        return names

    def word(self, place: Place, default: str) -> str:
        """Return text that decides how the rest is read; its own key judges it later."""
        found = self._found(place)
        return found if isinstance(found, str) else default

    def table(
        self, place: Place, shape: type[T], *, tables: Collection[str] = (), **computed: object
    ) -> T:
        """Read the table at ``place`` as ``shape``; an absent one has only its defaults.

        ``tables`` names the tables that may stand in it, read by the caller. ``computed`` gives the
        fields that are no keys, and the defaults of keys that only the caller knows. Where a value
        is wrong its default or example stands in, so that the rest can be checked.
        """
        found = self._table(place)
        keys = _keys(shape)
        self._refuse_unknown(place, found, [*keys, *tables])
        values = dict(computed)
        for name, entry in keys.items():
            field = name if name in _field_names(shape) else f"{name}_"
            if name in found:
                values[field] = self._value((*place, name), entry, found[name])
            elif field not in computed:
                values[field] = self._absent((*place, name), entry)
        return shape(**values)

    def _found(self, place: Place) -> object:
        found: object = self.document.data
        for part in place:
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def _table(self, place: Place) -> dict[str, object]:
        found = self._found(place)
        if found is None or isinstance(found, dict):
            return found or {}
        self.wrong(place, f"is {said(found)}", f"a table [{'.'.join(place)}]")
        return {}

    def _refuse_unknown(self, place: Place, found: dict[str, object], known: Sequence[str]) -> None:
        for name, value in found.items():
            if name in known:
                continue
            what = "table" if isinstance(value, dict) else "key"
            near = nearest(name, known)
            expected = f'"{near}"' if near else one_of(sorted(known))
            self.wrong((*place, name), f"there is no such {what}", expected)

    def _value(self, place: Place, entry: Key, value: object) -> object:
        try:
            return entry.kind.read(value, self._base)
        except UnfitError as unfit:
            for inside, words, expected in unfit.faults:
                self.wrong((*place, *inside), words, expected or entry.kind.expected)
            return self._stand_in(entry)

    def _absent(self, place: Place, entry: Key) -> object:
        if isinstance(entry.default, _Required):
            self.wrong(place, "is missing", entry.kind.expected)
        return self._stand_in(entry)

    def _stand_in(self, entry: Key) -> object:
        written = entry.example if isinstance(entry.default, _Required) else entry.default
        return None if written is None else entry.kind.read(written, self._base)


def _field_names(shape: type) -> set[str]:
    return {field.name for field in dataclasses.fields(shape)}
