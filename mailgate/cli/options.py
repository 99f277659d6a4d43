"""What the subcommands share: where the configuration is, and how a line of a table looks."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from mailgate.config import Config, load
from mailgate.errors import BadConfig
from mailgate.log import escaped
from mailgate.model import Job, JobId
from mailgate.services import Service, load_all
from mailgate.spool import jobs
from mailgate.spool.database import Connection, Site, View
from mailgate.spool.store import Folder, direct

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
    return services


@contextmanager
def spool_of(config: Config) -> Iterator[Connection]:
    """Work on the spool beside a running daemon, or without one.

    Raises
    ------
    Permanent
        There is none: a slip in a path must not make an empty one that nobody looks into.
    """
    folder, site = Folder(config.gateway.spool), Site.of(config.gateway.address)
    with direct(folder, site, make=False) as connection:
        yield connection


def line(*fields: object) -> None:
    """Print one line of a table: fields apart by two blanks, control characters escaped."""
    print("  ".join(escaped(shown(field)) for field in fields))


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a heading and lines, each column as wide as its longest field; nothing for no rows."""
    shown_rows = [heading, *([escaped(shown(field)) for field in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown_rows, strict=True)]
    for row in shown_rows if rows else ():
        print("  ".join(f"{f:<{w}}" for f, w in zip(row, widths, strict=True)).rstrip())


def shown(field: object) -> str:
    """Return a field as a table shows it; nothing is a dash."""
    if isinstance(field, datetime):
        return field.strftime("%Y-%m-%d %H:%M:%SZ")
    return "-" if field is None or field == "" else str(field)


def the_job(view: View, word: str) -> JobId | None:
    """Return the one job whose id begins so; complain and return None where there is not one."""
    beginning = text(word).lower()
    if not beginning:
        complain("name a job, or its first characters")
        return None
    found = jobs.alike(view, beginning)
    if len(found) == 1:
        return found[0]
    if found:
        complain(f"{beginning} is the beginning of several jobs: {', '.join(found)}")
    else:
        complain(f"there is no job {beginning}")
    return None


def job_facts(job: Job) -> dict[str, object]:
    """Return what `--json` says of a job in a list of many; times are ISO 8601 UTC."""
    return {
        "id": job.id,
        "phase": job.phase,
        "service": job.service,
        "owner": job.owner.address,
        "how": job.owner.how,
        "label": job.label,
        "parameters": dict(job.parameters),
        "created": iso(job.created),
        "started": iso(job.started),
        "ended": iso(job.ended),
        "destruction": iso(job.destruction),
        "exit": job.exit.header if job.exit else None,
        "reason": job.exit.reason if job.exit else None,
        "words": job.exit.words if job.exit else None,
        "progress": job.progress.percent if job.progress else None,
        "attempts": job.attempts,
    }


def iso(moment: datetime | None) -> str | None:
    """Return a time as ISO 8601 with Z, to the millisecond."""
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def complain(sentences: str) -> None:
    """Say on standard error what went wrong; where that cannot be written, nothing more can be."""
    with suppress(OSError):
        told = "\n".join(escaped(sentence) for sentence in sentences.splitlines())
        print(f"mailgate: {told}", file=sys.stderr, flush=True)
