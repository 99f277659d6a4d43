"""The words of letters: Jinja2 templates, the operator's before the shipped ones.

A template holds words and no decisions beyond which sentence fits. It begins with its Subject, as a
one-line ``{% block subject %}``; what follows is the text. ``laid_out`` wraps it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from jinja2 import (
    ChainableUndefined,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    FunctionLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
)
from jinja2.runtime import Context
from jinja2.utils import missing

from mailgate import log, share
from mailgate.model import LetterKind
from mailgate.reply.layout import COLUMNS, laid_out, shown, table
from mailgate.reply.rows import Say
from mailgate.reply.waits import wait_kind
from mailgate.wording import Wording, fill

SUFFIX = ".txt.j2"

# What came of a command stands below it, so far in.
_INDENT = 4


class BadTemplateError(Exception):
    """A template cannot be used; ``str()`` says which, where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A letter's Subject, one line, and its text, LF line ends; ``html``: its twin, or "".

    ``rest`` stands behind a text that had to be cut.
    """

    subject: str
    text: str
    html: str = ""
    rest: str = ""


def environment(folder: Path | None, *, escaping: bool) -> Environment:
    """Return what reads the templates: the operator's in ``folder`` before the shipped ones.

    ``escaping``: what is filled in is no markup, and must not become any.
    """
    shipped = FileSystemLoader(share.path("templates"))
    own = [FileSystemLoader(folder)] if folder else []
    made = Environment(
        loader=ChoiceLoader([*own, shipped, PrefixLoader({"shipped": shipped})]),
        undefined=StrictUndefined,
        auto_reload=False,
        autoescape=escaping,  # noqa: S701 - texts are none
        trim_blocks=True,
        lstrip_blocks=True,
    )
    fill(made)
    return made


def load(environment: Environment) -> None:
    """Read every template there is: what is changed later is not mixed with what was said before.

    Each is compiled when it is needed: one that is broken fails then. `mailgate check` tells it.
    """
    files = environment.loader
    assert files is not None  # noqa: S101 - as `environment` made it
    texts: dict[str, tuple[str, str | None, Callable[[], bool] | None]] = {}
    for name in environment.list_templates(extensions=["j2"]):
        with suppress(TemplateError, UnicodeError, OSError):
            texts[name] = files.get_source(environment, name)
    environment.loader = FunctionLoader(texts.get)


class _Lacking(Context):
    """Facts of which some may not be there: an earlier version did not keep them."""

    def resolve_or_missing(self, key: str) -> object:
        """Return the fact, or "" as for one that is kept and says nothing."""
        found = super().resolve_or_missing(key)
        return "" if found is missing else found


class Templates:
    """The templates of one gateway.

    A file in ``folder`` takes the place of the shipped one of that name, which it can still extend
    as ``shipped/NAME``. Each is read once: a daemon says a thing in one way while it runs.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.wording = Wording(folder)
        # These are plain texts: nothing in them is markup, so nothing is escaped.
        self._environment = environment(folder, escaping=False)
        self._environment.filters["table"] = table
        self._environment.filters["narrow_table"] = partial(table, columns=COLUMNS - _INDENT)
        # A fact that is a sentence is broken between its words.
        self._environment.filters["words"] = shown
        self._environment.filters["wait_kind"] = wait_kind
        self._environment.globals["say"] = self.say

    def page(self, kind: LetterKind, facts: Mapping[str, object]) -> Page:
        """Fill in the template of ``kind``.

        Raises
        ------
        BadTemplateError
            It is missing or broken, asks for what is not there, or has no proper Subject.
        """
        name = f"{kind}{SUFFIX}"
        try:
            whole, subject = self._filled(name, facts)
        except Exception as error:
            # A template can fail as any program can; its letter is then written without it.
            raise BadTemplateError(self._where(name, error)) from error
        return self._split(name, whole, subject)

    def say(self, what: Say, indent: int = _INDENT) -> str:
        """Fill in the template of what came of a command, each line indented.

        Where the operator's own fails, or what it includes, the shipped one is used. So it is where
        an answer of an earlier version lacks a fact; the shipped one does without.

        Raises
        ------
        BadTemplateError
            The shipped one is missing or broken too.
        """
        try:
            return self.said(what, indent=indent)
        except BadTemplateError as error:
            log.event("fell-back", to="the shipped template", why=str(error))
            return _shipped().said(what, indent=indent)

    def said(self, what: Say, *, indent: int = _INDENT) -> str:
        """Fill in the template of what came of a command, each line indented.

        Raises
        ------
        BadTemplateError
            It is missing or broken, or asks for what is not there.
        """
        name = f"say/{what.words}{SUFFIX}"
        try:
            text = self._environment.get_template(name).render(**what.facts)
        except Exception as error:
            raise BadTemplateError(self._where(name, error)) from error
        if not text.strip():
            raise BadTemplateError(f"{self._file(name)}:1: no text")
        lines = laid_out(text, COLUMNS - _INDENT).split("\n")
        return "\n".join(f"{' ' * indent}{line}" if line else "" for line in lines)

    def load(self) -> None:
        """Read them all now."""
        load(self._environment)

    def unknown(self) -> list[str]:
        """Return the templates of the operator's folder whose names are those of no letter."""
        known = {f"{kind}{SUFFIX}" for kind in LetterKind}
        if self._folder is None:
            return []
        # A leading underscore marks what other templates include.
        found = sorted(path.name for path in self._folder.glob(f"*{SUFFIX}"))
        found += sorted(f"say/{path.name}" for path in self._folder.glob(f"say/*{SUFFIX}"))
        known |= {f"say/{path.name}" for path in share.path("templates", "say").glob(f"*{SUFFIX}")}
        return [name for name in found if name not in known and not name.startswith("_")]

    def _filled(self, name: str, facts: Mapping[str, object]) -> tuple[str, str]:
        """Return all that a template gives, and its subject block alone ("" without one)."""
        template = self._environment.get_template(name)
        context = template.new_context(dict(facts))
        try:
            whole = "".join(template.root_render_func(context)).lstrip("\n")
            blocks = context.blocks.get("subject", [])
            return whole, "".join(blocks[0](context)) if blocks else ""
        except Exception:  # noqa: BLE001 - raised anew, with the template's lines in its traceback
            self._environment.handle_exception()

    def _split(self, name: str, whole: str, subject: str) -> Page:
        if not subject.strip():
            raise BadTemplateError(
                f"{self._file(name)}:1: no {{% block subject %}}, or an empty one"
            )
        if "\n" in subject.strip("\n"):
            raise BadTemplateError(
                f"{self._file(name)}:1: {{% block subject %}} gives {subject!r}; expected one line"
            )
        if not whole.startswith(subject.lstrip("\n")):
            raise BadTemplateError(
                f"{self._file(name)}:1: the subject block is not the first thing in it"
            )
        text = laid_out(whole.removeprefix(subject.lstrip("\n")))
        if not text.strip():
            raise BadTemplateError(f"{self._file(name)}:1: no text after the subject block")
        return Page(subject=shown(" ".join(subject.split(" "))).strip(), text=text)

    def _where(self, name: str, error: Exception) -> str:
        """Say where a template failed: the deepest of its lines in the traceback, or its own."""
        file, line = getattr(error, "filename", None), getattr(error, "lineno", None)
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename.endswith(SUFFIX):
                file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            trace = trace.tb_next
        what = (
            str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
        )
        return f"{file or self._file(name)}:{line or 1}: {what}"

    def _file(self, name: str) -> Path:
        own = self._folder / name if self._folder else None
        return own if own and own.exists() else share.path("templates", name)


class _Shipped(Templates):
    """The shipped ones, which make the best of facts of which some are missing."""

    def __init__(self) -> None:
        super().__init__(None)
        self._environment.context_class = _Lacking
        self._environment.undefined = ChainableUndefined


_shipped = cache(_Shipped)
