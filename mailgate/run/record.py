"""The records that a script leaves: lines that begin with a word, the last of them ``end``."""

import re
import signal
from datetime import UTC, datetime
from pathlib import Path

from mailgate.model import Exit, Reason
from mailgate.run.files import read_little
from mailgate.saying import Saying

RECORD_READ = 4096
"""So many bytes of a record are read: more than any has."""

_MOST = 255  # that a shell can tell
_SIGNALS = frozenset(signal.valid_signals())

# The year 9000: other times are still added to it.
_LAST_TIME = 221_845_392_000.0

_COULD_NOT = {
    "no-input": Saying("ends/no-input"),
    "no-output": Saying("ends/no-output"),
    "no-folder": Saying("ends/no-folder"),
    "no-tools": Saying("ends/no-tools"),
    "no-process": Saying("ends/no-process"),
}


def read_record(path: Path) -> tuple[dict[str, str], float] | None:
    """Return a record's lines, first word to rest, and its time of change; None if incomplete."""
    found = read_little(path, RECORD_READ)
    if found is None:
        return None
    lines, end, _ = found[0].decode("utf-8", "replace").partition("\nend\n")
    return (
        (dict(line.partition(" ")[::2] for line in lines.splitlines()), found[1]) if end else None
    )


def exit_of(record: dict[str, str]) -> Exit | None:
    """Read how it ended; None for a record that only looks complete."""
    why, _, rest = record.get("why", "").partition(" ")
    if why == "could-not-start":
        return Exit(reason=Reason.COULD_NOT_START, words=_could_not(*rest.partition(" ")[::2]))
    status = record.get("status", "")
    if not re.fullmatch(r"\d{1,3}", status, re.ASCII) or int(status) > _MOST:
        return None if not why else _asked(why, rest)
    return _asked(why, rest) if why else _status(int(status))


def _could_not(sort: str, program: str) -> Saying:
    match sort:
        case "not-found":
            return Saying("ends/not-found", program=program)
        case "not-executable":
            return Saying("ends/not-executable", program=program)
        case "no-sandbox":
            return Saying("ends/no-sandbox", program=program)
        case _:
            return _COULD_NOT.get(sort, Saying("ends/no-reason"))


def _asked(why: str, rest: str) -> Exit:
    if why == "limit":
        return Exit(reason=Reason.WORK_LIMIT)
    if why == "disk":
        # As a command ends that writes a larger file than it may.
        return Exit(reason=Reason.SIGNAL, signal=signal.SIGXFSZ)
    return Exit(reason=Reason.CANCELLED, words=Saying("ends/by-signal", name=rest) if rest else "")


def _status(status: int) -> Exit:
    # POSIX sh tells a death by signal N only as 128 + N, and so does bwrap. A command that exits
    # so by itself nearly always passes on the signal that killed a child of its own; the status
    # itself is told too.
    if status - 128 in _SIGNALS:
        words = Saying("ends/exit-status", status=status)
        return Exit(reason=Reason.SIGNAL, signal=status - 128, words=words)
    return Exit(reason=Reason.EXIT, code=status)


def time_of(seconds: float) -> datetime:
    """Return a file's time; touch(1) can set it to what no calendar has."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_TIME), UTC)
