"""The command ``mailgate``: the module of that name in this folder is the subcommand."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from mailgate.errors import MailgateError, Refusal
from mailgate.log import escaped

_USAGE = 64
_OWN = frozenset({"__init__", "main", "options"})


def names() -> list[str]:
    """Every subcommand: a file in this folder."""
    here = Path(__file__).parent
    return sorted(path.stem for path in here.glob("*.py") if path.stem not in _OWN)


def command(name: str) -> Callable[[list[str]], int]:
    """Return a subcommand's function: words after its name in, exit status out."""
    run: Callable[[list[str]], int] = importlib.import_module(f"mailgate.cli.{name}").run
    return run


def main() -> NoReturn:
    """Run the subcommand that the first word names, and exit with its status."""
    # Strangers' mail passes through: whatever a command writes is for its own user alone.
    os.umask(0o077)
    sys.exit(_main(sys.argv[1:]))


def _main(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_help())
        return 0 if words else _USAGE
    if words[0] not in names():
        print(
            f"mailgate: there is no command {escaped(words[0])}; 'mailgate --help' lists them",
            file=sys.stderr,
        )
        return _USAGE
    try:
        return command(words[0])(words[1:])
    except MailgateError as error:
        print(f"mailgate: {_told(error)}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # Whoever read us has enough; the interpreter's last flush must not complain again.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return 130


def _told(error: MailgateError) -> str:
    """Return what an operator should read; a mail's sender reads no detail of ours."""
    detail = f" ({error.detail})" if error.detail and not isinstance(error, Refusal) else ""
    return "\n".join(escaped(line) for line in f"{error}{detail}".splitlines())


def _help() -> str:
    lines = ["mailgate takes jobs by mail, runs them, and mails the results back.", ""]
    for name in names():
        told = importlib.import_module(f"mailgate.cli.{name}").__doc__ or ""
        lines.append(f"  mailgate {name:<8}  {told.splitlines()[0].split(': ', 1)[-1]}")
    return "\n".join([*lines, "", "'mailgate COMMAND --help' tells more of each."])


if __name__ == "__main__":
    main()
