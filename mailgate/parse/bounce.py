"""Bounces: what a mail that comes back says became of a letter (RFC 3464, and older forms).

The one module that knows flufl.bounce, which knows the forms from before there was a standard.
"""

import email
import io
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from mailgate.model import Bounce, Fate
from mailgate.parse.header import Header
from mailgate.parse.mime import Leaf, Unreadable, read_map
from mailgate.parse.transfer import decoded

HEAD = 256 * 1024
"""Bytes of the mail that are looked at: a report stands before the letter that it gives back."""

_WORDS = 200
_TEXT = 4000
_REPORTS = frozenset({"message/delivery-status", "message/global-delivery-status"})
# What follows is our own letter; nothing in it says what became of it.
_GIVEN_BACK = frozenset({"message/rfc822", "message/global", "text/rfc822-headers"})
_SUCCESSES = frozenset({"delivered", "relayed", "expanded"})
_GROUPS_MOST = 50

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_CODE = re.compile(r"(?<![\d.])([45])\d\d(?![\d.])")
_FULL = re.compile(
    r"quota|full (?:mail)?box|(?:mail)?box (?:is |is currently )?(?:too )?full|mailfolder is full"
    r"|(?:mail)?box.{0,40}(?:exceed|size limit|over (?:the|its) (?:size )?limit)"
    r"|(?:disk|storage) space|insufficient (?:system )?storage|over.?limit|zu ?viele mails",
    re.IGNORECASE | re.DOTALL,
)
# "Message length exceeds administrative limit", and "message too big for system" (RFC 3463).
_BIG = frozenset({"5.2.3", "5.3.4"})
# 552 is said of a full mailbox, too.
_BIG_CODE = re.compile(r"552(?!\d)")
# 5.7.0 to the whole of a letter is about what it carries: one that carries less may do.
_DISLIKED = "5.7.0"
_TO_THE_WHOLE = re.compile(r"end of (?:mail )?data\b", re.IGNORECASE)
_SAYS_NOTHING = frozenset({"", "5.0.0", "5.2.0", "5.3.0"})
_FULL_STATUS = re.compile(r"[245]\.2\.2")
_COPY = re.compile(
    r"(?im)^.*(?:below this line is a copy|copy of (?:the|your) message|original message"
    r"|message headers? follow|returned message)"
)
# A mail that is meant as a report, even where its form is nobody's.
_MEANT = re.compile(
    r"mailer-?daemon|postmaster|undeliver|non.?deliver|deliver(?:y|ed)|returned|failure"
    r"|rejected|bounce|unzustellbar",
    re.IGNORECASE,
)

# It says in the log what it does with each mail, and would print a mail's words when it fails.
_log = logging.getLogger("flufl.bounce")
_log.addHandler(logging.NullHandler())
_log.propagate = False


def read_bounce(source: BinaryIO) -> Bounce:
    """Judge a mail that came back to a bounce address; any bytes give a verdict.

    Only a report of failure is FAILED, TOO_BIG or TEMPORARY. A delay, a success and an automatic
    answer are NOTED; what may be a report and cannot be understood is UNKNOWN.
    """
    source.seek(0)
    head = source.read(HEAD)
    try:
        mail = read_map(io.BytesIO(head))
    except Unreadable as error:
        return Bounce(fate=Fate.UNKNOWN, words=str(error))
    text = _text(head, mail.leaves)
    found = _standard(head, mail.leaves, text) or _older(head, mail.leaves, text)
    return found or _other(mail.header)


# --- RFC 3464 -------------------------------------------------------------------------------------


def _standard(head: bytes, leaves: Sequence[Leaf], text: str) -> Bounce | None:
    """Read the groups of the first delivery-status; None where there is no usable one."""
    report = next((leaf for leaf in leaves if leaf.media_type in _REPORTS), None)
    if report is None:
        return None
    groups = [(group, _action(group)) for group in _groups(_content(head, report))]
    actions = {action for _, action in groups if action}
    if not actions:
        return None
    if actions & _SUCCESSES or "failed" not in actions:
        # Some of whom a list stands for have it: nobody shall have it twice.
        return Bounce(fate=Fate.NOTED, words=f"it is {', '.join(sorted(actions))}")
    judged = [_failed(group, text) for group, action in groups if action == "failed"]
    return min(judged, key=lambda one: _HOPE.index(one.fate))


_HOPE = (Fate.TEMPORARY, Fate.TOO_BIG, Fate.FAILED, Fate.UNKNOWN)


def _groups(content: bytes) -> Iterator[Header]:
    """Yield the recipients' groups of fields; what is about the whole message has no action."""
    blocks = re.split(rb"(?:\r?\n[ \t]*){2,}", content.strip())
    yield from (Header.scan(block + b"\n\n") for block in blocks[:_GROUPS_MOST])


def _action(group: Header) -> str:
    words = re.findall(r"[a-z]+", (group.first("action") or "").lower())
    return words[0] if words else ""


def _failed(group: Header, text: str) -> Bounce:
    status = _STATUS.search(group.first("status") or "")
    said = group.first("diagnostic-code") or ""
    # X.0.0 says no more than the class; what the server said may.
    better = _STATUS.search(said)
    if better and (status is None or status[0].endswith(".0.0")):
        status = better
    return _judged(status[0] if status else "", said.partition(";")[2].strip() or said, text)


def _judged(status: str, said: str, text: str) -> Bounce:
    """Judge a failure by its status, and by what was said where that says nothing."""
    code = _CODE.search(said)
    kind = status[:1] or (code[1] if code else "")
    words = _line(said) or _line(text)
    whole = _BIG_CODE.match(said) or _TO_THE_WHOLE.search(f"{said}\n{text}")
    if status in _BIG or (status == _DISLIKED and whole):
        return Bounce(fate=Fate.TOO_BIG, status=status, words=words)
    # Words count where the status does not say something else (5.1.1: no such address).
    full = _FULL_STATUS.fullmatch(status) or (
        not status[1:].startswith(".1.") and _FULL.search(said or text)
    )
    if full or kind == "4":
        return Bounce(fate=Fate.TEMPORARY, status=status, words=words)
    if status in _SAYS_NOTHING and _BIG_CODE.match(said):
        return Bounce(fate=Fate.TOO_BIG, status=status, words=words)
    fate = Fate.FAILED if kind == "5" else Fate.UNKNOWN
    return Bounce(fate=fate, status=status, words=words)


# --- older forms ----------------------------------------------------------------------------------


def _older(head: bytes, leaves: Sequence[Leaf], text: str) -> Bounce | None:
    """Ask flufl.bounce, which tells addresses that failed, for good or perhaps."""
    # Here, since nothing but the process that reads a bounce needs it.
    from flufl.bounce import all_failures  # noqa: PLC0415

    given_back = (leaf.slice.start for leaf in leaves if leaf.media_type in _GIVEN_BACK)
    try:
        warned, failed = all_failures(
            email.message_from_bytes(head[: min(given_back, default=HEAD)])
        )
    except Exception:  # noqa: BLE001 - the standard library raises on many mails
        return None
    if not failed:
        return Bounce(fate=Fate.NOTED, words="it is delayed") if warned else None
    status = _STATUS.search(text)
    judged = _judged(status[0] if status else "", "", text)
    # It knows the form: that it failed is certain.
    certain = judged.fate is not Fate.UNKNOWN
    return judged if certain else replace(judged, fate=Fate.FAILED)


def _other(header: Header) -> Bounce:
    signs = " ".join(header.first(name) or "" for name in ("from", "subject", "content-type"))
    if _MEANT.search(signs) or "multipart/report" in signs.lower():
        return Bounce(fate=Fate.UNKNOWN, words="what it says became of the letter is not clear")
    return Bounce(fate=Fate.NOTED, words="it is no report of a delivery")


# --- what stands in it ----------------------------------------------------------------------------


def _content(head: bytes, leaf: Leaf) -> bytes:
    return b"".join(decoded(io.BytesIO(head), leaf.slice))


def _text(head: bytes, leaves: Sequence[Leaf]) -> str:
    """Return the beginning of what the report says to people."""
    plain = next((leaf for leaf in leaves if leaf.media_type == "text/plain"), None)
    text = _content(head, plain)[:_TEXT].decode("utf-8", "replace") if plain else ""
    # What follows is our own letter.
    return _COPY.split(text, maxsplit=1)[0]


def _line(words: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in words[: 4 * _WORDS])
    return " ".join(plain.split())[:_WORDS]
