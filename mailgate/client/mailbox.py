"""The mails in what a person names: a saved mail, an mbox (mboxo, mboxrd), a Maildir."""
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH119, PTH208 - pathlib costs 5 ms of start-up, and more for each name

import os
import re
from collections.abc import Iterator

from mailgate.client.errors import NoInput
from mailgate.client.source import Source, from_file, from_stdin, kept, unreadable
from mailgate.client.words import shown

_POSTMARK = re.compile(rb"From [^\r\n]*\b\d?\d:\d\d\b[^\r\n]*\b\d{4}\b")
_FIELD_NEXT = re.compile(rb"From [^\n]*\n[!-9;-~]+:")
_MBOX = re.compile(rb"(?:\xef\xbb\xbf)?\s*From ")


def sources(path: str) -> Iterator[Source]:
    """Yield what ``path`` names: ``-`` is standard input, a folder is a Maildir.

    The caller closes each source.

    Raises
    ------
    NoInput
        It is not there, may not be read, or is a folder without new/ and cur/ that is neither.
    """
    if path == "-":
        yield _with_line_feeds(from_stdin())
    elif os.path.isdir(path):
        yield from _maildir(path)
    else:
        yield _with_line_feeds(from_file(path))


def mails(source: Source) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each mail of an mbox or a single saved mail, postmarks cut off.

    A file is an mbox if it begins with a postmark. RFC 4155; what writers do is looser: a line
    "From " divides where it bears a time, or where an empty line and a header field enclose it.
    """
    if not source.size:
        return
    starts = [0]
    if _MBOX.match(source.read(0, 1000)):
        starts += _postmarks(source)
    yield from zip(starts, [*starts[1:], source.size], strict=True)


def _postmarks(source: Source) -> Iterator[int]:
    at = source.find(b"\nFrom ", 0, source.size)
    while at >= 0:
        line = source.read(at + 1, at + 1000)
        before = source.read(max(0, at - 2), at)
        if _POSTMARK.match(line) or (before.endswith((b"\n", b"\n\r")) and _FIELD_NEXT.match(line)):
            yield at + 1
        at = source.find(b"\nFrom ", at + 1, source.size)


def _maildir(path: str) -> Iterator[Source]:
    try:
        names = [
            os.path.join(folder, name)
            for folder in _folders(path)
            for name in sorted(os.listdir(folder))
            if not name.startswith(".")
        ]
    except FileNotFoundError:
        reason = "a folder without new and cur is no Maildir"
        raise NoInput(f"{shown(path)} cannot be read: {reason}") from None
    except OSError as error:
        raise unreadable(path, error) from error
    for name in names:
        try:
            yield _with_line_feeds(from_file(name))
        except NoInput:
            if os.path.exists(name):
                raise  # else a mail reader has just moved or removed it


def _folders(path: str) -> list[str]:
    """Return a Maildir's folders of mails; its new or its cur stands for itself."""
    inner = [os.path.join(path, folder) for folder in ("new", "cur")]
    own = os.path.basename(os.path.abspath(path)) in ("new", "cur")
    return [path] if own and not any(map(os.path.isdir, inner)) else inner


def _with_line_feeds(source: Source) -> Source:
    """Return the same with LF where a mail has only CR for line ends, as on an old Macintosh."""
    head = source.read(0, 4096)
    if b"\n" in head or b"\r" not in head:
        return source
    blocks = (block.replace(b"\r", b"\n") for block in source.blocks(0, source.size))
    try:
        return kept(source.name, blocks)
    finally:
        source.close()
