"""The words of single sentences: macros in ``templates/words/``, the operator's before the shipped.

A macro's parameters are the facts of the Saying that it says. One that an operator's file lacks, or
that fails, is the shipped one. Whose words are used is told by ``speaking``: in a letter the
gateway's own; else, in logs and on the command line, the shipped ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from mailgate import log, said, share
from mailgate.saying import Fact, Saying, Words

FOLDER = "words"
"""Where the sentences lie in a folder of templates."""


class UnsaidError(Exception):
    """A sentence cannot be said; ``str()`` tells which file, and why."""


class Wording:
    """The sentences of one gateway: those of ``folder``, where it has them, else the shipped."""

    def __init__(self, folder: Path | None = None) -> None:
        own = folder / FOLDER if folder is not None else None
        self.tongue = said.tongue(own)
        self._own = _Sentences(own) if own is not None and own.is_dir() else None
        self._shipped = _shipped()

    def say(self, saying: Saying) -> str:
        """Say it, on one line; what nobody has words for (a later version's) by name and facts."""
        for sentences in (self._own, self._shipped):
            try:
                if sentences is not None:
                    return sentences.say(saying)
            except UnsaidError as error:
                log.event("fell-back", to="other words", why=str(error))
            except LookupError:
                pass
        facts = ", ".join(f"{key} {_plainly(fact)}" for key, fact in saying.facts.items())
        return f"{saying.name.rpartition('/')[2]}: {facts}" if facts else saying.name

    def wrong(self) -> list[str]:
        """Return what is wrong with the operator's files, a line each: broken, or of no use."""
        if self._own is None:
            return []
        return [*said.faults(self._own.folder), *self._own.wrong(self._shipped)]


class _Sentences:
    """One folder of files, each with macros; read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._groups = frozenset(path.stem for path in folder.glob("*.j2"))
        self._environment = environment(folder)

    def groups(self) -> dict[str, set[str]]:
        """Return the names of the macros of each file."""
        return {
            path.stem: {name for name in dir(self._macros(path.stem)) if not name.startswith("_")}
            for path in sorted(self.folder.glob("*.j2"))
        }

    def say(self, saying: Saying) -> str:
        """Say it; LookupError where there is no such macro."""
        group, _, name = saying.name.partition("/")
        macro = getattr(self._macros(group), name.replace("-", "_"), None)
        if macro is None:
            raise LookupError(saying.name)
        try:
            text: str = macro(**{key: _told(fact) for key, fact in saying.facts.items()})
        except Exception as error:
            # A template can fail as any program can.
            message = f"{self._file(group)}: {macro.name}: {error}"
            raise UnsaidError(message) from error
        return text.strip("\n")

    def wrong(self, shipped: "_Sentences") -> list[str]:
        """Compare the files with the shipped ones: the same macros about the same facts."""
        known = shipped.groups()
        faults = []
        for path in sorted(self.folder.glob("*.j2")):
            if path.stem not in known:
                faults.append(f"{path}:1: no such words; expected one of " + _files(known))
                continue
            try:
                mine = self.groups_of(path.stem)
            except UnsaidError as error:
                faults.append(str(error))
                continue
            theirs = shipped.groups_of(path.stem)
            for name, facts in mine.items():
                if name not in theirs:
                    faults.append(f"{path}: there is no sentence {name}")
                elif set(facts) != set(theirs[name]):
                    wanted = ", ".join(theirs[name]) or "nothing"
                    faults.append(f"{path}: {name} is given other facts; it gets {wanted}")
        return faults

    def groups_of(self, group: str) -> dict[str, Sequence[str]]:
        """Return the macros of a file, each with the facts that it is given."""
        module = self._macros(group)
        return {
            name: macro.arguments
            for name, macro in vars(module).items()
            if not name.startswith("_") and hasattr(macro, "arguments")
        }

    def _macros(self, group: str) -> Any:  # noqa: ANN401 - macros are attributes of a module
        if group not in self._groups:
            raise LookupError(group)
        try:
            return self._environment.get_template(f"{group}.j2").module
        except (TemplateError, UnicodeError, OSError) as error:
            line = getattr(error, "lineno", None) or 1
            message = f"{self._file(group)}:{line}: {error}"
            raise UnsaidError(message) from error

    def _file(self, group: str) -> Path:
        return self.folder / f"{group}.j2"


def environment(folder: Path) -> Environment:
    """Return what reads the sentences of a folder; what its files take in may be a shipped one."""
    made = Environment(
        loader=FileSystemLoader([folder, share.path("templates", FOLDER)]),
        undefined=StrictUndefined,
        auto_reload=False,
        autoescape=False,  # noqa: S701 - plain texts
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plainly,
    )
    fill(made)
    return made


def fill(environment: Environment) -> None:
    """Give templates what says numbers, sizes and times."""
    environment.filters["size"] = said.size
    environment.filters["number"] = said.number
    environment.filters["percent"] = said.percent
    environment.globals["counted"] = said.counted
    environment.globals["sendable"] = said.sendable


def _plainly(value: object) -> object:
    """Say a time or a span where a sentence names it."""
    match value:
        case datetime():
            return said.moment(value)
        case timedelta():
            return said.duration(value)
        case _:
            return value


def _told(fact: Fact) -> object:
    match fact:
        case Saying():
            return say(fact)
        case tuple():
            return tuple(_told(one) for one in fact)
        case _:
            return fact


def _files(known: dict[str, set[str]]) -> str:
    return ", ".join(f"{name}.j2" for name in sorted(known))


@cache
def _shipped() -> _Sentences:
    return _Sentences(share.path("templates", FOLDER))


_SPEAKING: ContextVar[Wording | None] = ContextVar("speaking", default=None)


def say(saying: Saying) -> str:
    """Say it in the words of who is speaking here."""
    return (_SPEAKING.get() or _default()).say(saying)


def is_that(words: Words, saying: Saying) -> bool:
    """Tell whether words are a sentence of ours, or its English, which an older spool has of it."""
    return words == (_english(saying) if isinstance(words, str) and words else saying)


@lru_cache
def _english(saying: Saying) -> str:
    with speaking(_default()):
        return say(saying)


@cache
def _default() -> Wording:
    return Wording()


@contextmanager
def speaking(wording: Wording) -> Iterator[None]:
    """Have all that is said in this block, in this thread or task, said in these words."""
    before = _SPEAKING.set(wording)
    with said.in_tongue(wording.tongue):
        try:
            yield
        finally:
            _SPEAKING.reset(before)
