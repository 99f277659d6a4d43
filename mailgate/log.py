"""The operator's language: one line an event, a verb, then key=value pairs, on standard error."""

import logging
import sys
from datetime import datetime
from typing import TextIO

Value = str | int | float | bool | datetime | None

_SPECIAL = frozenset(' "=')

_stream: TextIO | None = None


def to(stream: TextIO | None) -> None:
    """Write further events to ``stream``; None means whatever ``sys.stderr`` then is."""
    global _stream  # noqa: PLW0603 - the one process-wide sink, like sys.stderr itself
    _stream = stream


def event(verb: str, **pairs: Value) -> None:
    """Write one event; values None are left out, others quoted where they hold blanks or quotes.

    Control characters are escaped, so that no mail can write a line of its own. A log that cannot
    be written (a closed pipe, a full disk) never stops the gateway.
    """
    words = [verb, *(f"{key}={_shown(value)}" for key, value in pairs.items() if value is not None)]
    try:
        print(" ".join(words), file=_stream or sys.stderr, flush=True)
    except OSError:
        return


class _Libraries(logging.Handler):
    """What libraries warn of becomes a line like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event; the stack is left out, its last line is the reason."""
        reason = repr(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None
        event("warned", what=record.name, words=record.getMessage(), reason=reason)


def adopt_libraries() -> None:
    """Have the warnings of libraries (asyncio's too) come out as events of the verb ``warned``."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)


def escaped(text: str) -> str:
    """``text`` with every control character, line separator and lone surrogate as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = escaped(str(value))[:500]
    if text and _SPECIAL.isdisjoint(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
