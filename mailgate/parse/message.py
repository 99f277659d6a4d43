"""A mail's bytes to a ``Message``: pure, streaming, total.

The raw mail is the truth and stays where it is; a message holds text, hashes and offsets. Memory
does not grow with attachments. Which part is what, is decided by the rules of ``_sort``.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import BinaryIO

from mailgate.model import Attachment, Message, Slice
from mailgate.parse.address import mailboxes
from mailgate.parse.automatic import (
    judge,
    report_inside,
    title_of_a_machine,
    was_typed_by_hand,
)
from mailgate.parse.charset import decode
from mailgate.parse.header import Header
from mailgate.parse.mime import Leaf, Map, Unreadable, read_map
from mailgate.parse.speech import words_of_a_machine
from mailgate.parse.text import from_html, from_plain
from mailgate.parse.transfer import decoded, decoder, decoding
from mailgate.parse.unread import answers_ours
from mailgate.parse.words import unencoded
from mailgate.saying import Saying, Words

__all__ = ["MAX_TEXT", "Unreadable", "decoded", "read_message"]

MAX_TEXT = 8 * 1024 * 1024
"""Bytes of text that are read; what is longer should be an attachment."""

_MAX_RECIPIENTS = 20_000
_MAX_DATE = 200
_MAX_DEFECTS = 100


def read_message(source: BinaryIO) -> Message:
    """Read the raw mail in a seekable binary file; any bytes are a message or Unreadable.

    Text beyond 8 MiB is left out, and ``text_cut`` says so.

    Raises
    ------
    Unreadable
        The mail is over a cap: header bytes, header fields, parts, depth.
    """
    mail = read_map(source)
    body, attached = _sort(mail.leaves)
    defects: dict[Words, None] = dict.fromkeys(mail.defects)
    text = _text(source, body, mail.header, defects)
    attachments = tuple(_attachment(source, leaf, defects) for leaf in attached)
    header = mail.header
    senders = header.from_addresses()
    if len(senders) != 1:
        defects[f"From names {len(senders) or 'no'} addresses"] = None
    return Message(
        message_id=header.message_id(),
        from_=senders,
        to=_recipients(header),
        subject=_subject(header),
        date=_date(header, defects),
        lines=text.lines,
        gaps=text.gaps,
        text_cut=text.cut,
        text_damage=text.damage,
        quoted=text.quoted,
        dashed=text.dashed,
        signed=text.signed,
        settings=text.settings,
        attachments=attachments,
        automatic=_automatic(mail, text.lines),
        defects=tuple(islice(defects, _MAX_DEFECTS)),
        content=_fingerprint(text.lines, attachments),
    )


# --- which part is what ---------------------------------------------------------------------------


def _sort(leaves: tuple[Leaf, ...]) -> tuple[Leaf | None, list[Leaf]]:
    """Tell the text from the attachments.

    The text is the first text/plain that is neither an attachment nor named, else the first such
    text/html. Its other forms in the same alternative and further unnamed inline text are no
    attachments; every other leaf is.
    """
    inline = [leaf for leaf in leaves if not leaf.attached and leaf.name is None]
    plain = (leaf for leaf in inline if leaf.media_type == "text/plain")
    html = (leaf for leaf in inline if leaf.media_type == "text/html")
    body = next(plain, None) or next(html, None)
    passed_over = {id(leaf) for leaf in inline if leaf.media_type.startswith("text/")}
    if body and body.alternative is not None:
        passed_over |= {id(leaf) for leaf in inline if _other_form(leaf, body)}
    return body, [leaf for leaf in leaves if id(leaf) not in passed_over]


def _other_form(leaf: Leaf, body: Leaf) -> bool:
    whole = not leaf.media_type.startswith(("message/", "multipart/"))
    return whole and leaf.within == body.alternative


# --- the text -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    lines: tuple[str, ...] = ()
    gaps: tuple[int, ...] = ()
    cut: bool = False
    damage: Saying | None = None
    quoted: int = 0
    dashed: int = 0
    signed: int = 0
    settings: tuple[str, ...] = ()


_CUT_OFF = Saying("damage/breaks-off")


def _text(source: BinaryIO, body: Leaf | None, header: Header, defects: dict[Words, None]) -> _Text:
    if body is None:
        return _Text()
    raw, cut, broken = _beginning(source, body.slice)
    text, damage = decode(raw, body.type.parameters.get("charset"))
    for told in filter(None, (broken, damage)):
        defects[Saying("damage/text", damage=told)] = None
    if not broken and "\ufffd" in text:
        # A charset that was only guessed loses nothing.
        broken = damage
    answered = header.first("in-reply-to"), header.first("references")
    reply = answered != (None, None)
    if body.media_type == "text/html":
        written = from_html(text, reply=reply)
    else:
        written = from_plain(
            text,
            flowed=body.type.parameters.get("format", "").lower() == "flowed",
            delsp=body.type.parameters.get("delsp", "").lower() == "yes",
            reply=reply,
        )
    defects.update(dict.fromkeys(written.defects))
    cut = cut or written.cut
    if cut:
        defects[Saying("damage/cut")] = None
    return _Text(
        lines=written.lines,
        gaps=written.gaps,
        cut=cut,
        damage=_CUT_OFF if body.cut_off else broken,
        quoted=written.quoted,
        dashed=written.dashed,
        signed=written.signed,
        settings=() if reply and answers_ours(*answered) else written.settings,
    )


def _beginning(source: BinaryIO, part: Slice) -> tuple[bytes, bool, Saying | None]:
    """At most MAX_TEXT decoded bytes, whether that is not all, and what is wrong with them."""
    by = decoder(part.encoding)
    blocks: list[bytes] = []
    size = 0
    for block in decoding(source, part, by):
        blocks.append(block)
        size += len(block)
        if size > MAX_TEXT:
            break
    return b"".join(blocks)[:MAX_TEXT], size > MAX_TEXT, by.damage


# --- the rest -------------------------------------------------------------------------------------


def _attachment(source: BinaryIO, leaf: Leaf, defects: dict[Words, None]) -> Attachment:
    by = decoder(leaf.slice.encoding)
    digest = hashlib.sha256()
    size = 0
    for block in decoding(source, leaf.slice, by):
        digest.update(block)
        size += len(block)
    if by.damage:
        defects[Saying("damage/attachment", damage=by.damage)] = None
    return Attachment(
        name=leaf.name,
        media_type=leaf.media_type,
        size=size,
        sha256=digest.hexdigest(),
        slice=leaf.slice,
        damage=_CUT_OFF if leaf.cut_off else by.damage,
    )


def _recipients(header: Header) -> tuple[str, ...]:
    return tuple(islice(_each_recipient(header), _MAX_RECIPIENTS))


def _each_recipient(header: Header) -> Iterator[str]:
    for value in header.all("to"):
        for box in mailboxes(value):
            yield box.address


def _subject(header: Header) -> str | None:
    value = header.first("subject")
    return None if value is None else unencoded(value)


def _date(header: Header, defects: dict[Words, None]) -> datetime | None:
    """Read the Date into UTC; one without a zone is taken as UTC (RFC 5322 section 3.3)."""
    value = header.first("date")
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value[:_MAX_DATE])
        return date.replace(tzinfo=date.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        defects["the Date cannot be read"] = None
        return None


def _automatic(mail: Map, lines: tuple[str, ...]) -> str | None:
    found = judge(mail.header, "")
    if found:
        return found.reason
    return report_inside(leaf.type for leaf in mail.leaves) or words_of_a_machine(
        lines, title_of_a_machine(mail.header), typed=was_typed_by_hand(mail.header)
    )


def _fingerprint(lines: tuple[str, ...], attachments: tuple[Attachment, ...]) -> str:
    """SHA-256 over what the mail asks for: its words and its attachments, with their names.

    Blanks at the ends of lines do not count: they do not survive every way that a mail can take.
    """
    digest = hashlib.sha256()
    text = "".join([f" {line.rstrip()}\n" for line in lines])
    digest.update(text.encode("utf-8", "replace"))
    for attachment in attachments:
        name = (attachment.name or "").encode("utf-8", "replace").hex()
        digest.update(f"@{name} {attachment.size} {attachment.sha256}\n".encode())
    return digest.hexdigest()
