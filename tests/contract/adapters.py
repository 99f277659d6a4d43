"""The adapters that there are: each module of ``run/`` with an ADAPTER, made with an empty table."""

import importlib
import typing
from pathlib import Path

from mailgate.run import scheduler
from mailgate.run.scheduler import Scheduler

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
