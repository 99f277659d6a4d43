"""Settings where none is read: in quoted text and in the Subject. They are told as not used.

What stands there must never count. But whoever forwards his request, or writes a setting into the
Subject, would else wonder why the job ran on defaults.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from mailgate.model import Message
from mailgate.parse.keys import KeyLine, key_line, known_keys, suits
from mailgate.parse.quotes import header_field
from mailgate.parse.unfit import shown
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings.rules import GENERAL, RESOURCES

MOST = 1000
"""Lines ``key: value`` of a quote that are looked at."""

# Lines of a quote, whatever they are: a tenth of a second's work.
_READ = 20_000
_TOLD, _SHOWN = 3, 60
_LONGEST = 500
_MARKS = re.compile(r"(?:[\s>|»＞]|[A-Za-z]{1,12}>)*+")
# A letter of the gateway's: its name as the sender, or a job's tag in the Subject.
_OUR_HEADER = re.compile(r"mailgate\b.{0,3}<|.{0,60}\[job [a-z][a-z2-7]{11}\]", re.IGNORECASE)
# As the spool names letters: after a job and what caused it, or after a message.
_OUR_ID = re.compile(r"<(?:m\d+|[a-z][a-z2-7]{11}\.[\w.-]{1,60})\.[0-9a-f]{16}@[^@<>]+>\s*\Z")
_BEFORE = re.compile(r"\s*(?:[A-Za-z]{1,4}(?:\[\d+\])?\s*:\s*(?=\S.*[:=])){0,5}")


def settings_in(quoted: Iterable[str]) -> tuple[str, ...]:
    """Return the lines ``key: value`` of a quote, unmarked; none of a letter of the gateway's.

    At most `MOST` of them, each cut after 500 characters.
    """
    found: list[str] = []
    for line in islice(quoted, _READ):
        text = line[:_LONGEST]
        text = text[_MARKS.match(text).end() :]  # type: ignore[union-attr]
        field = header_field(text)
        if field is not None and _OUR_HEADER.match(field[1].strip('" ')):
            return ()
        if field is None and len(found) < MOST and key_line(text) is not None:
            found.append(text.strip())
    return tuple(found)


def answers_ours(in_reply_to: str | None, references: str | None) -> bool:
    """Whether the mail answers a letter of the gateway's, as the header fields have it."""
    return _OUR_ID.search((in_reply_to or references or "")[-1000:]) is not None


def unread_settings(message: Message, service: Service) -> Iterator[Saying]:
    """Yield the settings of the quoted text and of the Subject, each with why it was not read."""
    known = known_keys(service)
    lines = list(dict.fromkeys(line for line in message.settings if _is_for(line, service, known)))
    for line in islice(lines, _TOLD):
        yield Saying("prose/quoted", line=shown(line, _SHOWN))
    if lines[_TOLD:]:
        yield Saying("prose/more-quoted", count=len(lines) - _TOLD)
    subject = (message.subject or "")[:_LONGEST]
    if not _is_for(subject, service, known):
        subject = _BEFORE.sub("", subject, count=1)
    if _is_for(subject, service, known):
        yield Saying("prose/in-subject", line=shown(subject, _SHOWN))


def _is_for(line: str, service: Service, known: dict[str, str]) -> bool:
    """Whether it sets something of the service's; a general key is a word of many a sentence."""
    found: KeyLine | None = key_line(line)
    name = known.get(found.key) if found else None
    if found is None or name is None or not found.value:
        return False
    return name not in {*GENERAL, *RESOURCES} or suits(name, found.value, service)
