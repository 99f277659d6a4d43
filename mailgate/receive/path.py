"""The arguments of MAIL and RCPT (RFC 5321, 4.1.2).

Addresses beyond ASCII (RFC 6531) are read, so that the reply can say that none is taken.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailgate.receive.terms import too_big

# Every class excludes what must follow it, so that no input makes the match go back and forth.
# Dots in a local part may stand anywhere: some providers gave out such addresses. What lies beyond
# ASCII is in by not being left out: a class up to U+10FFFF costs milliseconds at every start.
_ATOM = r'[^\x00-\x20"(),:;<>@\[\\\]\x7f-\xa0]+'
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_DOMAIN = r"(?:[^\x00-,/:-@\[-^`{-\xa0]+|\[[A-Za-z0-9:.\-]+\])"
_MAILBOX = rf"(?:{_ATOM}|{_QUOTED})(?:@{_DOMAIN})?"
# A source route is read and forgotten (RFC 5321, appendix C).
_PATH = re.compile(rf" *(?:<(?:@[^:<>\s]+:)?({_MAILBOX})?>|({_MAILBOX}))(?: ([\x20-\x7e]*))?\Z")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?")


@dataclass(frozen=True, slots=True)
class Path:
    """One address, "" for the null one, and the ESMTP parameters after it (names upper-cased)."""

    address: str
    parameters: Mapping[str, str]


def read_path(argument: bytes, *, keyword: bytes) -> Path | None:
    """Read ``FROM:<a@b> SIZE=1`` where ``keyword`` is ``FROM:``; None if it is no such thing."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    try:
        match = _PATH.match(argument[len(keyword) :].decode())
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    parameters = _parameters(match[3] or "")
    return None if parameters is None else Path(match[1] or match[2] or "", parameters)


def wrong_sender(path: Path, max_size: int) -> str | None:
    """Return the reply to a sender, or a parameter of MAIL, that cannot be had."""
    for name, value in path.parameters.items():
        match name:
            case "SIZE" if value.isdecimal():
                # RFC 1870, 6.1. More digits than 20 are not worth reading.
                if len(value) > 20 or int(value) > max_size:
                    return too_big(max_size).smtp_reply
            case "BODY" if value.upper() in {"7BIT", "8BITMIME"}:
                pass
            case "AUTH":
                pass  # RFC 4954, 5: who submitted it somewhere else; nothing is made of that.
            case _:
                return f"555 5.5.4 {name[:40]} cannot be had like that"
    if not path.address.isascii():
        return "553 5.6.7 mail is taken from addresses in plain ASCII only: send it from such a one"
    return None


def wrong_recipient(path: Path) -> str | None:
    """Return the reply to a recipient that cannot be one here."""
    if not path.address.isascii():
        return "553 5.6.7 no address here has letters beyond ASCII"
    if path.parameters:
        return "555 5.5.4 RCPT takes no parameters here"
    return None


def _parameters(text: str) -> dict[str, str] | None:
    found = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            return None
        found[match[1].upper()] = match[2] or ""
    return found
