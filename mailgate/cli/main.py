"""The command ``mailgate``: the module of that name in this folder is the subcommand."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from mailgate import __version__
from mailgate.cli import streams
from mailgate.cli.options import CANNOT_WRITE, USAGE, complain
from mailgate.errors import MailgateError, Refusal

_OWN = frozenset(
    {"__init__", "commanding", "doubts", "looking", "machine", "main", "options", "streams"}
)


def names() -> list[str]:
    """Every subcommand: a file in this folder, and the commands that people give by mail."""
    return sorted({*_modules(), *_commanding().names()})


def command(name: str) -> Callable[[list[str]], int]:
    """Return a subcommand's function: words after its name in, exit status out."""
    if name not in _modules():
        return partial(_commanding().run, name)
    run: Callable[[list[str]], int] = importlib.import_module(f"mailgate.cli.{name}").run
    return run


def _modules() -> set[str]:
    here = Path(__file__).parent
    return {path.stem for path in here.glob("*.py") if path.stem not in _OWN}


def _commanding() -> ModuleType:
    # Only for who wants it: it loads much, and the pipe starts for every mail.
    return importlib.import_module("mailgate.cli.commanding")


def main() -> NoReturn:
    """Run the subcommand that the first word names, and exit with its status."""
    streams.prepare()
    # Strangers' mail passes through: whatever a command writes is for its own user alone.
    os.umask(0o077)
    status = _main(sys.argv[1:])
    streams.leave()
    sys.exit(status)


def _main(words: list[str]) -> int:
    """Run a command; whatever stops it is told in words."""
    try:
        status = _ran(words)
        sys.stdout.flush()
    except MailgateError as error:
        complain(_told(error))
        return error.exit_status
    except BrokenPipeError:
        # Whoever read us has enough.
        return 0
    except OSError as error:
        where = error.filename or "standard output"
        complain(f"{where} cannot be used: {error.strerror or error}")
        return CANNOT_WRITE
    except KeyboardInterrupt:
        return 130
    return status


def _ran(words: list[str]) -> int:
    before, words = _before(words)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
        return 0 if words else USAGE
    if words[0] == "--version":
        print(f"mailgate {__version__}")
        return 0
    if words[0] not in _modules() and words[0] not in names():
        kind = "option" if words[0].startswith("-") else "command"
        complain(f"there is no {kind} {words[0]}; 'mailgate --help' lists them")
        return USAGE
    try:
        return command(words[0])([*before, *words[1:]])
    except SystemExit as end:
        # argparse has told what it is: help, or a slip.
        return end.code if isinstance(end.code, int) else 0


def _before(words: list[str]) -> tuple[list[str], list[str]]:
    """Split off ``-c FILE`` that stands before the command."""
    count = 0
    while words[count:] and words[count].startswith(("-c", "--config")):
        count += 2 if words[count] in {"-c", "--config"} else 1
    return words[:count], words[count:]


def _told(error: MailgateError) -> str:
    """Return what an operator should read; a mail's sender reads no detail of ours."""
    detail = f" ({error.detail})" if error.detail and not isinstance(error, Refusal) else ""
    return f"{error}{detail}"


def _help() -> str:
    told = [f"  mailgate {name:<8}  {_about(name)}" for name in names()]
    lines = ["mailgate takes jobs by mail, runs them, and mails the results back.", "", *told]
    more = "'mailgate COMMAND --help' tells more of each, 'mailgate --version' the version."
    return "\n".join([*lines, "", more])


def _about(name: str) -> str:
    if name not in _modules():
        return str(_commanding().about(name))
    told = importlib.import_module(f"mailgate.cli.{name}").__doc__ or ""
    return told.splitlines()[0].split(": ", 1)[-1].removesuffix(".")


if __name__ == "__main__":
    main()
