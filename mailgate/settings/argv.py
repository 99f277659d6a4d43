"""A service's command: an argv with placeholders, parsed once, bound for each job. No shell.

``{NAME}`` is a parameter's value, ``{input:NAME}`` an input's path, ``{cores}`` the number of
cores; ``{{`` and ``}}`` are literal braces. An element stays one element whatever is bound to it.
It drops out where its placeholder has nothing to give: an optional input that was not sent, a flag
with an ``argument`` that is off. Elements that stay or go together are an array of their own:
``["tool", ["--guide", "{input:tree}"], "{input:sequences}"]``.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from mailgate.settings.kinds import Kind, UnfitError, said
from mailgate.settings.toml import Place

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[^{}]+|.", re.DOTALL)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh", "fish"})
_RUNS_NEXT = re.compile(r"-[A-Za-z]*c")


class Source(StrEnum):
    """What a piece of an element is taken from."""

    LITERAL = "literal"
    PARAMETER = "parameter"
    INPUT = "input"
    CORES = "cores"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an element: ``text`` is the literal itself, or a parameter's or input's name."""

    source: Source
    text: str


Element = tuple[Piece, ...]
Command = tuple[tuple[Element, ...], ...]
"""Groups of elements that stay or go together; most hold one."""


def command() -> Kind[Command]:
    """Return the kind of commands: an array of text, or of arrays of text."""
    expected = 'an array such as ["tool", "--level", "{level}", "{input:data}"]'

    def read(value: object, _: Path) -> Command:
        if not isinstance(value, list) or not value:
            raise UnfitError(f"is {said(value)}")
        groups: list[tuple[Element, ...]] = []
        faults: list[tuple[Place, str, str | None]] = []
        for number, item in enumerate(value):
            try:
                groups.append(_group(item))
            except UnfitError as unfit:
                faults += [((str(number), *at), what, said) for at, what, said in unfit.faults]
        if faults:
            raise UnfitError(f"is {said(value)}", faults)
        return tuple(groups)

    return Kind("array of text, or of arrays of text", expected, read)


def elements(words: Command) -> Iterator[tuple[Place, Element]]:
    """Yield every element with its place within the array."""
    for number, group in enumerate(words):
        for inner, element in enumerate(group):
            yield ((str(number),) if len(group) == 1 else (str(number), str(inner))), element


def used(words: Command, source: Source) -> Iterator[tuple[Place, str]]:
    """Yield the names of the parameters or inputs that placeholders name, each time they do."""
    for place, element in elements(words):
        yield from ((place, piece.text) for piece in element if piece.source is source)


def literal(element: Element) -> str | None:
    """Return an element's text, None where it has a placeholder."""
    if any(piece.source is not Source.LITERAL for piece in element):
        return None
    return "".join(piece.text for piece in element)


def with_files_of(folder: Path, words: Command) -> Command:
    """Make every element absolute that names an existing file, relative to ``folder``.

    A bare word (no slash) means a file only, not a folder, so that ``data`` or ``.`` stay words.
    """
    return tuple(tuple(_file_of(folder, element) for element in group) for group in words)


def bind(
    words: Command, *, parameters: Mapping[str, str | None], inputs: Mapping[str, str], cores: int
) -> tuple[str, ...]:
    """Return the argv. ``parameters`` has every used one, None where it has nothing to give.

    ``inputs`` has the paths of those that were sent. An absent parameter is a KeyError.
    """
    sources: dict[Source, Mapping[str, str | None]] = {
        Source.PARAMETER: parameters,
        Source.INPUT: {name: None for _, name in used(words, Source.INPUT)} | dict(inputs),
        Source.CORES: {"cores": str(cores)},
    }
    argv: list[str] = []
    for group in words:
        bound = [_bound(element, sources) for element in group]
        argv += [word for word in bound if word is not None] if None not in bound else []
    return tuple(argv)


def left_behind(words: Command, droppable: Collection[Piece]) -> Iterator[tuple[str, str]]:
    """Yield an option, and the element after it that can drop out without taking it along."""
    for before, group in pairwise(words):
        option = literal(before[-1]) or ""
        missing = [piece for piece in group[0] if piece in droppable]
        if option.startswith("-") and "=" not in option and missing:
            yield option, "".join(_written(piece) for piece in group[0])


def _written(piece: Piece) -> str:
    if piece.source is Source.LITERAL:
        return piece.text
    return f"{{input:{piece.text}}}" if piece.source is Source.INPUT else f"{{{piece.text}}}"


def read_by_a_shell(words: Command) -> Iterator[tuple[Place, str]]:
    """Yield the parameters in an element that a shell would read as its program (``sh -c``)."""
    shell = runs_next = False
    for place, element in elements(words):
        if runs_next:
            yield from ((place, p.text) for p in element if p.source is Source.PARAMETER)
        text = literal(element) or ""
        runs_next = shell and _RUNS_NEXT.fullmatch(text) is not None
        shell = shell or text.rpartition("/")[2] in _SHELLS


# --- parsing --------------------------------------------------------------------------------------


def _group(item: object) -> tuple[Element, ...]:
    if not isinstance(item, list):
        return (_element(item),)
    if not item:
        raise UnfitError("is []")
    return tuple(_element(word) for word in item)


def _element(word: object) -> Element:
    if not isinstance(word, str) or "\0" in word:
        raise UnfitError(f"is {said(word)}", [((), f"is {said(word)}", "text without NUL")])
    return tuple(_joined(_piece(found) for found in _PIECE.finditer(word)))


def _piece(found: re.Match[str]) -> Piece:
    inside = found[1]
    if inside is None:
        if found[0] in "{}":
            raise _bad(f'has a lone "{found[0]}"', f'"{found[0] * 2}" for a brace itself')
        return Piece(Source.LITERAL, found[0][:1] if found[0] in ("{{", "}}") else found[0])
    if inside == "cores":
        return Piece(Source.CORES, inside)
    source, name = Source.PARAMETER, inside
    if inside.startswith("input:"):
        source, name = Source.INPUT, inside.removeprefix("input:")
    if not _NAME.fullmatch(name):
        expected = '"{PARAMETER}", "{input:NAME}", "{cores}", or "{{" and "}}" for braces'
        raise _bad(f'has the placeholder "{found[0]}"', expected)
    return Piece(source, name)


def _bad(what: str, expected: str) -> UnfitError:
    return UnfitError(what, [((), what, expected)])


def _joined(parts: Iterator[Piece]) -> Iterator[Piece]:
    """Join neighbouring literals; an empty element is one empty literal."""
    text, empty = "", True
    for part in parts:
        empty = False
        if part.source is Source.LITERAL:
            text += part.text
            continue
        if text:
            yield Piece(Source.LITERAL, text)
        text = ""
        yield part
    if text or empty:
        yield Piece(Source.LITERAL, text)


# --- binding --------------------------------------------------------------------------------------


def _bound(element: Element, sources: Mapping[Source, Mapping[str, str | None]]) -> str | None:
    parts: list[str] = []
    for piece in element:
        if piece.source is Source.LITERAL:
            parts.append(piece.text)
            continue
        word = sources[piece.source][piece.text]
        if word is None:
            return None
        parts.append(word)
    return "".join(parts)


def _file_of(folder: Path, element: Element) -> Element:
    word = literal(element)
    if not word or word.startswith(("-", "/")):
        return element
    file = folder / word
    try:
        there = file.exists() if "/" in word else file.is_file()
    except OSError:  # a name longer than any file's, a folder that we may not look into
        there = False
    return (Piece(Source.LITERAL, str(_plain(file))),) if there else element


def _plain(file: Path) -> Path:
    """Drop ``..`` from the path of an existing file, unless a link makes that another file."""
    normal = Path(os.path.normpath(file))
    return normal if normal.exists() and normal.samefile(file) else file
