"""What an attachment is called, and what it claims to be."""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from mailgate.reply.excerpt import textual
from mailgate.reply.layout import printable

NAME_MOST = 120
"""Bytes of a mail's file name: thrice that, encoded, is still one short header line."""

OPAQUE = "application/octet-stream"

# By the name's ending, only what a mail program may safely show; pages and vector graphics, which
# can hold programs, are opaque to it.
_KNOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".pdf": "application/pdf",
    ".gz": "application/gzip",
    ".zip": "application/zip",
}
_TEXTS = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json"}
_ACTIVE = frozenset(
    {".htm", ".html", ".xhtml", ".xht", ".mht", ".mhtml", ".svg", ".xml", ".xsl", ".eml"}
)

_FORBIDDEN = frozenset('/\\:*?"<>|')
# What Windows takes for a device, whatever its extension.
_DEVICES = frozenset({"con", "prn", "aux", "nul"}) | {
    f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)
}


def mail_names(names: Iterable[str]) -> list[str]:
    """Return the names that streams get as attachments, in order.

    The last component alone, harmless on every system, cut to 120 bytes, and unlike any other in
    the letter: a second ``x.nwk`` is ``x-2.nwk``. Who can have its own name has it: of ``a/t`` and
    ``t`` the first is ``t-2``. The manifest keeps the streams' own names.
    """
    all_names = list(names)
    taken = {"job.json"}
    numbers: dict[str, int] = {}
    given: dict[int, str] = {}
    for at, name in sorted(enumerate(all_names), key=lambda one: _safe(one[1]) != one[1]):
        given[at] = _unlike(_safe(name), taken, numbers)
        taken.add(_compared(given[at]))
    return [given[at] for at in range(len(all_names))]


def media_type(name: str, block: bytes) -> str:
    """Say what an output is, from its name and its first block.

    Text is only what plainly is: UTF-8 without carriage returns, since mail programs may change the
    line ends of a text attachment when they save it.
    """
    ending = PurePosixPath(name).suffix.lower()
    if ending in _KNOWN:
        return _KNOWN[ending]
    if ending in _ACTIVE or not textual(block) or b"\r" in block or _looks_active(block):
        return OPAQUE
    kind = _TEXTS.get(ending, "text/plain")
    return kind if kind == "application/json" else f"{kind}; charset=utf-8"


def _looks_active(block: bytes) -> bool:
    return block[:512].lstrip()[:1] == b"<"


def _safe(name: str) -> str:
    last = printable(name).rstrip("/ ").rpartition("/")[2]
    plain = "".join("_" if char in _FORBIDDEN else char for char in last).strip(" .")
    if not plain:
        return "output"
    # Neither an option, nor a hidden file's ending alone, nor a device.
    if last[0] in "-." or plain.partition(".")[0].lower() in _DEVICES:
        plain = f"_{plain}"
    return _cut(plain)


def _cut(name: str) -> str:
    if len(name.encode("utf-8")) <= NAME_MOST:
        return name
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix.encode("utf-8")) <= 20 else ""
    room = NAME_MOST - len(suffix.encode("utf-8"))
    return path.name.encode("utf-8")[:room].decode("utf-8", "ignore") + suffix


def _compared(name: str) -> str:
    """Return a name as a file system may compare it: some know neither case nor composition."""
    return unicodedata.normalize("NFC", name.casefold())


def _unlike(name: str, taken: set[str], numbers: dict[str, int]) -> str:
    """Return a name that is not ``taken``; ``numbers`` has the first that may be free for it."""
    path, alike = PurePosixPath(name), _compared(name)
    unlike, number = name, numbers.get(alike, 2)
    while _compared(unlike) in taken:
        unlike = f"{path.stem}-{number}{path.suffix}"
        number += 1
    numbers[alike] = number
    return unlike
