"""A letter's words as one MIME part: the text and, where there is room, the same as HTML.

The HTML is made from the text's own structure, so that no words stand in two places: what a blank
line ends is a paragraph, an underlined line a heading, indented lines stay as they are. It names
nothing outside itself.
"""

import html
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from mailgate import log
from mailgate.model import LetterKind
from mailgate.reply import mime
from mailgate.reply.draft import Draft
from mailgate.reply.layout import shown
from mailgate.reply.templates import Page, environment, load

_PAGE = "_page.html.j2"
_SUFFIX = ".html.j2"

# A letter that may hold less than so many times its HTML goes without: outputs come first.
_SHARE = 16


class Twins:
    """Writes the HTML of letters: what surrounds it is a template, and so may be the words."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._environment = environment(folder, escaping=True)

    def written(self, page: Page, kind: LetterKind, facts: Mapping[str, object] | None) -> str:
        """Return the HTML of a page, "" where a template of it fails: the text says all.

        ``facts`` are those of its one answer, None where it has several: an operator's template of
        ``kind`` then has no part in it.
        """
        try:
            return self._written(page, kind, facts)
        except Exception as error:  # noqa: BLE001 - a template can fail as any program can
            log.event("fell-back", letter=str(kind), to="text alone", why=f"{error!r}"[:300])
            return ""

    def trouble(self, page: Page, kind: LetterKind, facts: Mapping[str, object]) -> str | None:
        """Say what is wrong with the templates of a page, as a line with its file, if anything."""
        try:
            self._written(page, kind, facts)
        except Exception as error:  # noqa: BLE001 - as above
            name = getattr(error, "filename", None) or getattr(error, "name", None) or _PAGE
            what = f"{name}:{getattr(error, 'lineno', None) or 1}"
            return f"{what}: {type(error).__name__}: {error}"
        return None

    def load(self) -> None:
        """Read them all now."""
        load(self._environment)

    def unknown(self) -> list[str]:
        """Return the HTML templates of the operator's folder whose names are those of no letter."""
        known = {f"{kind}{_SUFFIX}" for kind in LetterKind}
        found = sorted(p.name for p in self._folder.glob(f"*{_SUFFIX}")) if self._folder else []
        return [name for name in found if name not in known and not name.startswith("_")]

    def _written(self, page: Page, kind: LetterKind, facts: Mapping[str, object] | None) -> str:
        own = self._own(kind) if facts is not None else None
        words = shown(own.render(facts or {})) if own else markup(page.text)
        # What a template of ours escaped, and what `markup` did, is markup.
        return self._environment.get_template(_PAGE).render(
            subject=page.subject,
            words=Markup(words),  # noqa: S704 - see above
        )

    def _own(self, kind: LetterKind) -> Template | None:
        if self._folder is None or not (self._folder / f"{kind}{_SUFFIX}").is_file():
            return None
        return self._environment.get_template(f"{kind}{_SUFFIX}")


def words_part(draft: Draft, page: Page, room: int) -> bytes:
    """Write the words of a letter, with their MIME header, in at most ``room`` bytes if they can.

    The text comes first. Where it has no room itself, as many of its lines as have go.
    """
    text = _fitting_text(page, room)
    if not page.html:
        return text
    parts = (text, mime.html_part(page.html))
    both = mime.alternative(draft.message_id, parts)
    if len(parts[1]) * _SHARE > draft.limit or len(both) > room:
        return text
    return both


def _fitting_text(page: Page, room: int) -> bytes:
    """Write the text part; where it has no room, as many of its lines as have."""
    part = mime.text_part(page.text)
    lines = page.text.split("\n")
    while len(part) > room and len(lines) > 1:
        # A line encoded takes up to three times its bytes: halving soon fits.
        lines = lines[: len(lines) // 2]
        part = mime.text_part("\n".join([*lines, "", "...", page.rest]))
    return part


def markup(text: str) -> str:
    """Return a laid-out text as HTML blocks, each on lines of its own; nothing in it is markup."""
    lines = html.escape(text, quote=False).rstrip("\n").split("\n")
    return "".join(
        _block(kind, list(block)) for kind, block in groupby(lines, _kind) if kind != "blank"
    )


def _kind(line: str) -> str:
    if not line:
        return "blank"
    return "pre" if line.startswith(" ") else "p"


def _block(kind: str, lines: list[str]) -> str:
    if kind == "pre":
        return f"<pre>{_joined([line[2:] for line in lines])}</pre>\n"
    if len(lines) == 2 and lines[1] == "=" * len(lines[1]):
        return f"<h2>{lines[0]}</h2>\n"
    return f"<p>{_joined(lines)}</p>\n"


def _joined(lines: list[str]) -> str:
    return "\n".join(lines)
