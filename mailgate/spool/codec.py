"""The model's values as JSON and back, by their type hints: what the tables keep of them."""

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

from mailgate.saying import Fact, Saying, Words

T = TypeVar("T")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def dump(value: object) -> str:
    """Return ``value`` (a dataclass of the model, or what one may hold) as one line of JSON."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def load(kind: type[T], text: str) -> T:
    """Return the ``kind`` that ``dump`` wrote; fields that are missing take their defaults.

    Values are shared between those who ask for the same: nobody changes one.
    """
    value = _kept(kind, text) if len(text) <= _SHORT else _read(kind, text)
    if not isinstance(value, get_origin(kind) or kind):
        message = f"this is no {kind}"
        raise TypeError(message)
    return value


def tagged(value: object) -> Json:
    """Return what a command answers, for JSON, with the kinds of its times and durations."""
    match value:
        case datetime():
            return {_AT: value.timestamp()}
        case timedelta():
            return {_SPAN: value.total_seconds()}
        case Saying():
            return {_SAY: value.name, **{key: tagged(fact) for key, fact in value.facts.items()}}
        case Mapping():
            return {str(key): tagged(item) for key, item in value.items()}
        case tuple() | list():
            return [tagged(item) for item in value]
        case _:
            return _plain(value)


def untagged(value: object) -> object:
    """Return what ``tagged`` was given, lists as tuples."""
    match value:
        case {"$at": int() | float() as seconds, **others} if not others:
            return datetime.fromtimestamp(seconds, UTC)
        case {"$span": int() | float() as seconds, **others} if not others:
            return timedelta(seconds=seconds)
        case {"$say": str() as name, **facts}:
            return Saying(name, **{str(key): _fact(fact) for key, fact in facts.items()})
        case Mapping():
            return {key: untagged(item) for key, item in value.items()}
        case tuple() | list():
            return tuple(untagged(item) for item in value)
        case _:
            return value


# No fact has such a name.
_AT, _SPAN, _SAY = "$at", "$span", "$say"


def words(told: Words, *, most: int | None = None) -> str:
    """Return words as one column of text keeps them; of somebody's own ``most`` characters."""
    if isinstance(told, Saying):
        return json.dumps(tagged(told), ensure_ascii=False)
    # Nobody's own words may be taken for a sentence of ours.
    return f" {told[:most]}" if told.startswith(_SAID) else told[:most]


def worded(text: str) -> Words:
    """Return what ``words`` wrote; a text of an older spool is as it was."""
    if not text.startswith(_SAID):
        return text
    try:
        found = untagged(json.loads(text))
    except ValueError:
        return text
    return found if isinstance(found, Saying) else text


_SAID = f'{{"{_SAY}"'


def _fact(value: object) -> Fact:
    # What a Saying held.
    return cast("Fact", untagged(value))


def _read(kind: object, text: str) -> object:
    return _rich(kind, json.loads(text))


# A job is looked up several times within moments, and many are of the same service. A page of text
# at the most, so that what is kept stays below a few MiB.
_SHORT = 4096
_kept: Callable[[object, str], object] = lru_cache(256)(_read)


def _plain(value: object) -> Json:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            # A lone surrogate cannot be kept as UTF-8.
            return str(value).encode("utf-8", "replace").decode()
        case datetime():
            return value.timestamp()
        case timedelta():
            return value.total_seconds()
        case Saying():
            return tagged(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted((_plain(item) for item in value), key=str)
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        case _:
            message = f"{type(value)} has no place in the spool"
            raise TypeError(message)


@cache
def _hints(kind: type) -> Mapping[str, object]:
    return get_type_hints(kind)


def _rich(kind: object, value: Json) -> object:
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(value, dict) and _SAY in value:
        return untagged(value)
    if origin in {Union, types.UnionType}:
        return (
            None if value is None else _rich(next(k for k in inner if k is not type(None)), value)
        )
    if origin in {tuple, frozenset} and isinstance(value, list):
        return origin(_rich(inner[0], item) for item in value)
    if isinstance(value, dict) and not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return value
    if isinstance(kind, type):
        return _one(kind, value)
    return value


def _one(kind: type, value: Json) -> object:
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = _hints(kind)
        return kind(
            **{name: _rich(hints[name], item) for name, item in value.items() if name in hints}
        )
    if kind is datetime and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if kind is timedelta and isinstance(value, int | float):
        return timedelta(seconds=value)
    if issubclass(kind, StrEnum):
        return kind(str(value))
    return value
