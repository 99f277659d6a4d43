"""The adapters that there are: each module of ``run/`` with an ADAPTER, made with an empty table."""

import importlib
import typing
from pathlib import Path

from mailgate.run import scheduler
from mailgate.run.scheduler import Scheduler
from tests.source import CHECKOUT

ENGINES = sorted(
    path.stem
    for path in Path(scheduler.__file__).parent.glob("*.py")
    if "\nADAPTER = " in path.read_text(encoding="utf-8")
)


def made(engine: str, **site: object) -> Scheduler:
    """Make an engine's adapter; ``site`` is what its table says."""
    adapter = importlib.import_module(f"mailgate.run.{engine}").ADAPTER
    hints = typing.get_type_hints(adapter.__init__)
    (table,) = (hint for name, hint in hints.items() if name != "return")
    return adapter(table(**site))  # type: ignore[no-any-return]


def documented(corner: str) -> dict[tuple[str, str], str]:
    """The table of docs/clusters.md with these words in its corner: cells by engine and row."""
    titles = {made(engine).title: engine for engine in ENGINES}
    text = (CHECKOUT / "docs" / "clusters.md").read_text(encoding="utf-8")
    (table,) = (part for part in text.split("\n\n") if part.startswith(f"| {corner} |"))
    head, _, *rows = (
        [cell.strip() for cell in line.strip(" |").split(" | ")]
        for line in table.strip().splitlines()
    )
    engines = [titles[title] for title in head[1:]]
    assert sorted(engines) == ENGINES
    return {
        (engine, row): cell
        for row, *cells in rows
        for engine, cell in zip(engines, cells, strict=True)
    }
