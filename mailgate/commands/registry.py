"""Every command: a file in this folder is one, for mail and command line alike, with its help.

Such a module has ``usage`` (a line, or several), a docstring that is its help, whose first line
says what it does, ``execute(tx, call) -> Answer``, and ``samples``, answers to check its templates
with. It may have ``about_a_job = False`` (else it is about one; such a command is for the gateway's
own address, but with ``at_any_address = True``), ``by_owner_alone = True`` (not for those whom the
owner named), ``takes_lines = True`` (``key: value`` lines below
it are its own), ``by_mail_alone = True`` (no command line) and ``meant_by``, words that people may
write for it.
"""

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from mailgate.commands.call import Call
from mailgate.model import Answer
from mailgate.spool.database import Tx

# In this folder, and no commands: a request is a mail of its own.
_OWN = frozenset({"__init__", "call", "lifetime", "registry", "submit"})


class Execute(Protocol):
    """What a command does, in one transaction; it waits for nothing."""

    def __call__(self, tx: Tx, call: Call, /) -> Answer:
        """Do it, and say what came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: ``usage`` its lines as they can be sent, ``text`` its help, LF line ends.

    ``keywords`` are the words of its usage: in a line of it none of them is a job's id.
    """

    name: str
    usage: tuple[str, ...]
    text: str
    execute: Execute
    samples: Sequence[Answer]
    about_a_job: bool
    by_owner_alone: bool
    at_any_address: bool
    takes_lines: bool
    by_mail_alone: bool
    meant_by: tuple[str, ...]
    keywords: frozenset[str]

    @property
    def summary(self) -> str:
        """What it does, in a line without a full stop."""
        return self.text.partition("\n")[0].rstrip(".")


@cache
def names() -> tuple[str, ...]:
    """Every command's name, in the order of the alphabet."""
    here = Path(__file__).parent
    return tuple(sorted(path.stem for path in here.glob("*.py") if path.stem not in _OWN))


@cache
def command(name: str) -> Command:
    """Return the command of that name.

    Raises
    ------
    LookupError
        There is none.
    """
    if name not in names():
        message = f"there is no command {name}"
        raise LookupError(message)
    module = importlib.import_module(f"mailgate.commands.{name}")
    usage = (module.usage,) if isinstance(module.usage, str) else tuple(module.usage)
    return Command(
        name=name,
        usage=usage,
        text=inspect.cleandoc(module.__doc__ or ""),
        execute=module.execute,
        samples=tuple(module.samples),
        about_a_job=getattr(module, "about_a_job", True),
        by_owner_alone=getattr(module, "by_owner_alone", False),
        at_any_address=getattr(module, "at_any_address", False),
        takes_lines=getattr(module, "takes_lines", False),
        by_mail_alone=getattr(module, "by_mail_alone", False),
        meant_by=tuple(getattr(module, "meant_by", ())),
        keywords=frozenset(re.findall(r"[a-z]+", " ".join(usage))),
    )


def every() -> Iterator[Command]:
    """Yield every command, in the order of the alphabet."""
    return map(command, names())
