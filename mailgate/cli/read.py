"""``mailgate read --json FILE...``: how the gateway reads saved mails, one JSON object a line."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO

from mailgate.cli.options import Parser
from mailgate.errors import MailgateError
from mailgate.model import Message
from mailgate.parse.message import read_message

Json = str | int | None | list["Json"] | dict[str, "Json"]

_KEYS = (
    "file",
    "message_id",
    "from",
    "to",
    "subject",
    "date",
    "text",
    "attachments",
    "automatic",
    "defects",
    "error",
)

# What would end a line for some reader, or is no character; JSON escapes the rest by itself.
_ESCAPED = {code: f"\\u{code:04x}" for code in [*range(0x7F, 0xA0), 0x2028, 0x2029]}
_ESCAPED |= dict.fromkeys(range(55296, 57344), "�")


def run(argv: Sequence[str]) -> int:
    """Print an object for every file, in order; 0 if every file got one.

    A file that cannot be opened or read has its reason in ``error``.
    """
    parser = Parser(prog="mailgate read", description="Show how the gateway reads saved mails.")
    parser.add_argument("--json", action="store_true", required=True, help="one object a line")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a raw mail (RFC 5322)")
    for name in parser.parse_intermixed_args(argv).files:
        sys.stdout.buffer.write(line(name).encode("utf-8") + b"\n")
        sys.stdout.buffer.flush()
    return 0


def line(name: str) -> str:
    """One saved mail as a JSON object without line breaks, whatever its bytes."""
    text = json.dumps(_object(name), ensure_ascii=False)
    return text.translate(_ESCAPED)


def _object(name: str) -> dict[str, Json]:
    file = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    values: dict[str, Json] = {"file": file, "to": [], "text": "", "attachments": [], "defects": []}
    try:
        with _opened(name) as source:
            values |= _described(read_message(source))
    except MailgateError as error:
        values["error"] = str(error)
    except OSError as error:
        values["error"] = error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - the last resort: the other files are still to be shown
        values["error"] = f"it could not be read: {type(error).__name__}"
    return {key: values.get(key) for key in _KEYS}


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Return the file, or a copy of what comes through a pipe, in which one cannot go back."""
    with open(name, "rb") as source:  # noqa: PTH123 - a name from the command line, as it stands
        if source.seekable():
            yield source
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy)
            yield copy


def _described(message: Message) -> dict[str, Json]:
    return {
        "message_id": message.message_id,
        "from": message.from_[0] if len(message.from_) == 1 else None,
        "to": list(message.to),
        "subject": message.subject,
        "date": _shown(message.date),
        "text": message.text,
        "attachments": [
            {
                "name": attachment.name,
                "media_type": attachment.media_type,
                "size": attachment.size,
                "sha256": attachment.sha256,
            }
            for attachment in message.attachments
        ],
        "automatic": message.automatic,
        "defects": list(map(str, message.defects)),
    }


def _shown(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat().replace("+00:00", "Z")
