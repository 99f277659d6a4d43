"""mailgate password: let a user log in at the SMTP door, under a new password, or no more."""

import getpass
import sys
from pathlib import Path

from mailgate import users
from mailgate.cli.options import USAGE, complain, parser
from mailgate.config import Config, examine
from mailgate.errors import BadConfig
from mailgate.model import User
from mailgate.parse.address import mailboxes


def run(words: list[str]) -> int:
    """Write the user's line; exit 0, or 1 where there is no such user to delete."""
    made = parser("password", __doc__)
    made.add_argument("user", metavar="USER", help="the name to log in with")
    made.add_argument(
        "addresses",
        metavar="ADDRESS",
        nargs="*",
        help="whose From the user may write (default: those of before, else USER)",
    )
    made.add_argument("--delete", action="store_true", help="let the user log in no more")
    given = made.parse_args(words)
    config = examine(given.config).config
    file = _file(config)
    if given.delete:
        return _deleted(config, file, given.user)
    if fault := _fault(given.user, given.addresses):
        complain(fault)
        return USAGE
    addresses = given.addresses or _addresses(file, given.user)
    if not addresses:
        complain(f"{given.user} is no address: name those that the user may write as")
        return USAGE
    password = _password(given.user)
    if not password:
        return USAGE
    user = User(name=given.user, addresses=tuple(addresses))
    users.put(file, user, password, owner=config.gateway.spool)
    print(f"{given.user} may log in, and write as {', '.join(addresses)}. {_NEXT}")
    return 0


# NIST SP 800-63B section 5.1.1.2: what a person chooses.
_LEAST = 8
# More than any password has, and its line end.
_LINE = 1024
_NEXT = "A running gateway knows after SIGHUP (systemctl reload mailgate)."


def _file(config: Config) -> Path:
    if config.smtp is None or config.smtp.users is None:
        raise BadConfig(f'{config.path}: [listen.smtp] has no key "users", which names the file')
    return config.smtp.users


def _deleted(config: Config, file: Path, name: str) -> int:
    if not users.remove(file, name, owner=config.gateway.spool):
        complain(f"there is no user {name} in {file}")
        return 1
    print(f"{name} may log in no more. {_NEXT}")
    return 0


def _fault(name: str, addresses: list[str]) -> str:
    printable = all("!" <= letter <= "~" for letter in name)
    if not name or not printable or name.startswith("#") or len(name) > users.LONGEST:
        return f'"{name}" is no name to log in with: take ASCII without blanks, and no "#" first'
    for address in addresses:
        if not _is_address(address):
            return f'"{address}" is no mail address such as ada@example.org'
    return ""


def _is_address(word: str) -> bool:
    return word.isascii() and [box.address for box in mailboxes(word) if not box.flaw] == [word]


def _addresses(file: Path, name: str) -> list[str]:
    """Return whose From a user may write who was given nothing new."""
    return list(users.addresses(file, name)) or ([name] if _is_address(name) else [])


def _password(name: str) -> str:
    """Return the new password, "" where there is none; what is wrong has been said."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(_LINE)
        password = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    else:
        password = getpass.getpass(f"New password of {name}: ")
        if getpass.getpass("Again: ") != password:
            complain("the two are not the same: nothing is changed")
            return ""
    if len(password) < _LEAST:
        why = "a shorter one is soon guessed"
        complain(f"a password has {_LEAST} characters or more, for {why}: nothing is changed")
        return ""
    if len(password.encode("utf-8", "surrogateescape")) > users.LONGEST:
        complain(f"a password has at most {users.LONGEST} bytes: nothing is changed")
        return ""
    if any("\ud800" <= letter <= "\udfff" for letter in password) or "\0" in password:
        complain("the password is not UTF-8, or has a NUL: nothing is changed")
        return ""
    return password
