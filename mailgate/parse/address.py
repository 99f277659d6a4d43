"""Address lists (RFC 5322 section 3.4, RFC 6854), read leniently but with every oddity noted.

Linear and total. What is lenient for showing an address is too lenient for believing it: each
mailbox carries the flaw, if any, by which two readers of the same header might differ.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """A bare address as written, and why it should not be believed ("" if nothing is odd)."""

    address: str
    flaw: str = ""


_SIMPLE = re.compile(
    r"""\s*+(?:
        (?P<bare>[\w.!#$%&'*+/=^`{|}~-]++@[A-Za-z0-9.-]++)
        |(?:"[^"\\<>]*+"|[^"\\<>(),:;@\[\]]*+)\s*+<(?P<angle>[\w.!#$%&'*+/=^`{|}~-]++@[A-Za-z0-9.-]++)>
    )\s*+""",
    re.VERBOSE | re.ASCII,
)
_TRICKY = re.compile(r"[\"(:;\[\\]|<[^<>,]*+,")
_TOKEN = re.compile(
    r"""(?P<space>\s++)
    |(?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*+"?)
    |<(?P<angle>[^<>]*+)(?P<closed>>?)
    |(?P<literal>\[[^\]]*+\]?)
    |(?P<special>[(),;:@>\])\\])
    |(?P<atom>[^\s"<\[(),;:@>\])\\]++)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"\([^()]*\)")
_COMMENT_MARK = re.compile(r"[()]|\\.", re.DOTALL)
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,200}@(?:[A-Za-z0-9_.-]{1,253}|\[[A-Za-z0-9.:]{1,60}\])"
)


def mailboxes(value: str) -> Iterator[Mailbox]:
    """Every mailbox of an address list, in order, and each address that is a group's name."""
    if simple := _SIMPLE.fullmatch(value):
        yield Mailbox(address=(address := simple["bare"] or simple["angle"]), flaw=_flaw(address))
        return
    if "," in value and not _TRICKY.search(value):
        for one in value.split(","):
            yield from mailboxes(one)
        return
    reader = _Element()
    position = 0
    while token := _TOKEN.match(value, position):
        position = token.end()
        if token["special"] == "(":
            position = _after_comment(value, position)
            reader.unclosed |= position > len(value)
            reader.part()
        elif token["special"] in {",", ";"}:
            yield from reader.mailboxes()
            reader = _Element(grouped=reader.grouped and token["special"] == ",")
        elif token["special"] == ":":
            # A group's name that is an address is one to some readers.
            reader.grouped = True
            yield from reader.mailboxes()
            reader = _Element(grouped=True)
        else:
            reader.take(token)
    yield from reader.mailboxes()


def _after_comment(value: str, position: int) -> int:
    """Where the comment that was just opened ends; beyond the end of ``value`` if it never does."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(value, position):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if not depth:
            return mark.end()
    return len(value) + 1


class _Element:
    """What stands between two commas."""

    def __init__(self, *, grouped: bool = False) -> None:
        self.grouped = grouped
        self.unclosed = False
        self.commented = False
        self.named = False
        self._plain: list[str] = []
        self._angles: list[str] = []
        self._after_angle = False

    def take(self, token: re.Match[str]) -> None:
        text = token[0]
        if token["angle"] is not None:
            self._take_angle(token["angle"])
            self.unclosed |= not token["closed"]
        elif token["space"]:
            self.part()
        else:
            if token["quoted"] is None or self._is_local_part(token):
                self._plain.append(text)
            else:
                # A name, but one may stand in the middle of what looks like an address without it.
                self.named = True
            self._after_angle |= bool(self._angles)
        self.unclosed |= token["quoted"] is not None and (len(text) == 1 or text[-1] != '"')

    def part(self) -> None:
        """Know that blanks or a comment stand here: what is on both sides is not one word."""
        # There may be any number, and each would be looked at for each.
        if self._plain[-1:] != [" "]:
            self._plain.append(" ")

    def _take_angle(self, text: str) -> None:
        if '"' in text:
            self._angles.append(text.strip())
            return
        bare = _COMMENT.sub("", text) if "(" in text else text
        self.commented |= bare != text
        self._angles.append("".join(bare.split()))

    @staticmethod
    def _is_local_part(token: re.Match[str]) -> bool:
        return token.string[token.end() : token.end() + 1] == "@"

    def mailboxes(self) -> Iterator[Mailbox]:
        plain = re.sub(r" *([@.]) *", r"\1", "".join(self._plain)) if "@" in self._plain else ""
        beside = [word for word in plain.split() if "@" in word.strip("@")]
        addresses = [angle for angle in self._angles if "@" in angle]
        for address in addresses or beside:
            bare = address.rpartition(":")[2] if address.startswith("@") else address
            yield Mailbox(address=bare, flaw=self._flaw(address, bare, beside))

    def _flaw(self, address: str, bare: str, beside: list[str]) -> str:
        if self.grouped:
            return "it is inside a group"
        if self.unclosed:
            return "a quote, comment or bracket is not closed"
        if self.commented:
            return "a comment stands inside it"
        if address != bare:
            return "it is a source route"
        if self._angles and (self._after_angle or self._angles != [address]):
            return "something follows the address"
        if self._angles and any(other.lower() != bare.lower() for other in beside):
            return "another address stands beside it"
        if not self._angles and (self.named or "".join(self._plain).strip() != bare):
            return "other words stand beside it, or blanks inside"
        return _flaw(bare)


def _flaw(address: str) -> str:
    if not address.isascii():
        return "it has letters beyond ASCII, send it from an address without"
    if not _ADDRESS.fullmatch(address) or "=?" in address:
        return "it is not a plain address"
    local, _, domain = address.rpartition("@")
    if ".." in address or local[0] == "." or local[-1] == "." or domain[0] in ".-":
        return "it is not a plain address"
    return ""
