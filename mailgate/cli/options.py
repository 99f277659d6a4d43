"""What the subcommands share: where the configuration is, and how a line of a table looks."""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from mailgate.config import Config, load
from mailgate.errors import BadConfig
from mailgate.log import escaped
from mailgate.services import Service, load_all
from mailgate.settings.kinds import one_of

USAGE = 64
"""The exit status of a slip in the command line (sysexits(3): EX_USAGE)."""

CANNOT_WRITE = 74
"""The exit status where standard output or a file cannot be used (EX_IOERR)."""


class Parser(argparse.ArgumentParser):
    """A command line whose slips exit 64, whatever the command."""

    def error(self, message: str) -> NoReturn:
        """Tell the slip, and exit."""
        complain(f"{message}\n{self.format_usage().rstrip()}")
        sys.exit(USAGE)


def parser(name: str, about: str | None) -> Parser:
    """Return a subcommand's parser, with ``-c FILE``."""
    made = Parser(
        prog=f"mailgate {name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(made, Path(os.environ.get("MAILGATE_CONFIG") or "etc/mailgate.toml"))
    return made


def add_config(made: argparse.ArgumentParser, default: object = argparse.SUPPRESS) -> None:
    """Add ``-c FILE``; an action's own parser takes it too, and leaves the default to the other."""
    made.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        default=default,
        help="the configuration (default: $MAILGATE_CONFIG, else etc/mailgate.toml)",
    )


def whole(word: str) -> int:
    """Read a number of the spool's, which counts in 63 bits."""
    if not re.fullmatch(r"[0-9]{1,19}", word, re.ASCII) or int(word) >= 1 << 63:
        message = f"{word[:40]} is no number"
        raise argparse.ArgumentTypeError(message)
    return int(word)


def some(word: str) -> int:
    """Read how many there may be: a number of the spool's that is not 0."""
    if (number := whole(word)) == 0:
        message = "0 is none; give 1 or more"
        raise argparse.ArgumentTypeError(message)
    return number


def text(word: str) -> str:
    """Return a word to look for: bytes that are no characters (PEP 383) are in no mail's."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def loaded(file: Path) -> tuple[Config, Mapping[str, Service]]:
    """Return configuration and services.

    Raises
    ------
    BadConfig
        With every mistake, a line each.
    """
    config = load(file)
    return config, services_of(config)


def services_of(config: Config) -> Mapping[str, Service]:
    """Return the services.

    Raises
    ------
    BadConfig
        With every mistake, a line each; also where one has the gateway's own address.
    """
    services = load_all(config.gateway.services)
    own = config.gateway.address.partition("@")[0]
    if own in services:
        what = f'the service "{own}" has the gateway\'s own address'
        raise BadConfig(f"{services[own].file}:1: {what}; expected another name for either")
    strange = [s for s in services.values() if (s.engine or "local") not in config.run.engines]
    if strange:
        known = one_of(config.run.engines)
        lines = (f'{s.file}:1: engine: there is no "{s.engine}"; expected {known}' for s in strange)
        raise BadConfig(escaped("\n".join(lines)))
    return services


def line(*fields: object) -> None:
    """Print one line of a table: fields apart by two blanks, control characters escaped."""
    print("  ".join(escaped(shown(field)) for field in fields))


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a heading and lines, each column as wide as its longest field; nothing for no rows."""
    shown_rows = [heading, *([escaped(shown(field)) for field in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown_rows, strict=True)]
    for row in shown_rows if rows else ():
        print("  ".join(f"{f:<{w}}" for f, w in zip(row, widths, strict=True)).rstrip())


def listing(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with a heading to a person at a terminal, and to a program a line a row."""
    if sys.stdout.isatty():
        table(heading, list(rows))
        return
    for row in rows:
        line(*row)


def shown(field: object) -> str:
    """Return a field as a table shows it; nothing is a dash."""
    if isinstance(field, datetime):
        return field.strftime("%Y-%m-%d %H:%M:%SZ")
    return "-" if field is None or field == "" else str(field)


def complain(sentences: str) -> None:
    """Say on standard error what went wrong; where that cannot be written, nothing more can be."""
    with suppress(OSError):
        told = "\n".join(escaped(sentence) for sentence in sentences.splitlines())
        print(f"mailgate: {told}", file=sys.stderr, flush=True)
