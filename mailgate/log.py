"""The operator's language: one line an event, a verb, then key=value pairs, on standard error.

A command prints its lines. The daemon has a thread write them: whoever logs never waits for whoever
reads the log, or does not.
"""

import logging
import os
import queue
import re
import select
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

Value = str | int | float | bool | datetime | None

_SPECIAL = frozenset(' "=')

# What stands behind these in an address of ours opens something.
_KEY = re.compile(r"((?:^|[\s+<])(?:confirm|job\.[^.@\s]*)\.)[^@\s<>,:;]+", re.IGNORECASE)

# Lines that may wait for a log that nobody reads: some MiB, and some ten seconds of a busy door.
_MOST = 5000
# So many are written at once.
_AT_ONCE = 200
# Seconds that the last lines may take when the daemon ends.
_LAST = 0.5
# Seconds after which it is tried again where somebody has made standard error non-blocking.
_AGAIN = 1.0

_stream: TextIO | None = None
_pump: "_Pump | None" = None


def to(stream: TextIO | None) -> None:
    """Write further events to ``stream``; None means whatever ``sys.stderr`` then is."""
    global _stream  # noqa: PLW0603 - the one process-wide sink, like sys.stderr itself
    _stream = stream


def event(verb: str, **pairs: Value) -> None:
    """Write one event; values None are left out, others quoted where they hold blanks or quotes.

    Control characters are escaped, so that no mail can write a line of its own. A log that cannot
    be written (a closed pipe, a full disk) never stops the gateway.
    """
    line = _line(verb, pairs)
    pump = _pump
    if pump is not None:
        pump.put(line)
    elif _stream is not None or sys.stderr is not None:
        try:
            print(line, file=_stream or sys.stderr, flush=True)
        except OSError:
            return


def delayed(what: str, *, reason: str, detail: str | None = None, **pairs: Value) -> None:
    """Tell a trouble that comes again with each try, as an event ``delayed``.

    One ``what`` and ``reason`` is one trouble. The daemon tells it at once, then once a minute with
    how often it came (``times``), and once it has not come for a minute, ``ceased``. ``detail`` and
    ``pairs``, whom it met, are those of the newest. A command tells every one.
    """
    pump = _pump
    told = {"what": what, **pairs, "reason": reason, "detail": detail or None}
    if pump is None or pump.troubles.came(told, now=time.monotonic()):
        event("delayed", **told)


def without_keys(words: str) -> str:
    """Return words without what makes an address of ours a key: a log is read by more people."""
    return _KEY.sub(r"\1...", words)


def flow(*, every: float = 60.0) -> None:
    """Have a thread write all further events to standard error, behind the time of their telling.

    No time where standard error is the journal's, which has its own. Lines that come while 5,000
    wait are left out, and counted in a line of their own (``unlogged``) once there is room again.
    A child of a fork prints for itself. Call :func:`flush` before the process ends. A trouble that
    goes on is told once in ``every`` seconds.
    """
    global _pump  # noqa: PLW0603 - as above
    # Closed from the start, its number may be a file's of ours by now.
    if sys.stderr is not None and _pump is None:
        _pump = _Pump(sys.stderr.fileno(), Troubles(every))
        _pump.start()


def flush() -> None:
    """Wait until what was told is written, half a second at most."""
    pump = _pump
    if pump is not None:
        pump.flush(_LAST)


def _print_again() -> None:
    global _pump  # noqa: PLW0603 - as above
    _pump = None


# A child of a fork has the lines, but not the thread.
os.register_at_fork(after_in_child=_print_again)


class Troubles:
    """What has gone wrong and is tried again, and how often since it was told; for any thread.

    Times are monotonic, in seconds.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        # When it was told, how often it came since, and how it came last.
        self._open: dict[tuple[Value, Value], tuple[float, int, Mapping[str, Value]]] = {}
        self._changing = threading.Lock()

    def came(self, pairs: Mapping[str, Value], *, now: float) -> bool:
        """Count a trouble, by ``what`` and ``reason``; True where it is new, to be told at once."""
        key = pairs["what"], pairs["reason"]
        with self._changing:
            told, times, _ = self._open.get(key, (now, -1, pairs))
            self._open[key] = told, times + 1, pairs
        return times < 0

    def due(self, *, now: float) -> list[str]:
        """Return the lines that are to be told by now: what goes on, and what has ceased."""
        lines = []
        with self._changing:
            for (what, reason), (told, times, pairs) in list(self._open.items()):
                if now < told + self._every:
                    continue
                if times:
                    self._open[what, reason] = now, 0, pairs
                    lines.append(_line("delayed", {**pairs, "times": times}))
                else:
                    del self._open[what, reason]
                    lines.append(_line("ceased", {"what": what, "reason": reason}))
        return lines

    def rest(self, *, now: float) -> float | None:
        """Return the seconds until something is due; None while there is no trouble."""
        with self._changing:
            first = min((told for told, *_ in self._open.values()), default=None)
        return None if first is None else max(first + self._every - now, 0.0)


class _Pump:
    """Lines on their way to a descriptor, in order, by a thread that may hang in a write.

    Past Python's own buffer: that has a lock, and the interpreter's end would wait for it.
    """

    def __init__(self, descriptor: int, troubles: Troubles) -> None:
        self.troubles = troubles
        self._descriptor = descriptor
        self._stamped = not _is_journal(descriptor)
        # An event among the lines is set once the lines before it are written.
        self._queue: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        self._left_out = 0
        self._counting = threading.Lock()

    def start(self) -> None:
        """Begin to write."""
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def put(self, line: str) -> None:
        """Have a line written behind all others, or left out where too many wait."""
        if self._queue.qsize() >= _MOST:
            self._leave_out(1)
        else:
            self._queue.put(self._dated(line))

    def flush(self, limit: float) -> None:
        """Wait until what is here is written, at most ``limit`` seconds."""
        written = threading.Event()
        self._queue.put(written)
        written.wait(limit)

    def _dated(self, line: str) -> str:
        return f"{_shown(datetime.now(UTC))} {line}" if self._stamped else line

    def _leave_out(self, lines: int) -> None:
        with self._counting:
            self._left_out += lines

    def _run(self) -> None:
        try:
            while True:
                lines, written = self._waiting()
                lines += map(self._dated, self.troubles.due(now=time.monotonic()))
                if self._write(lines):
                    self._tell_left_out()
                else:
                    self._leave_out(len(lines))
                if written is not None:
                    written.set()
        finally:
            _print_again()

    def _waiting(self) -> tuple[list[str], threading.Event | None]:
        """Wait for something, and take what is there with it; nothing where a trouble is due."""
        lines: list[str] = []
        try:
            item = self._queue.get(timeout=self.troubles.rest(now=time.monotonic()))
        except queue.Empty:
            return lines, None
        while isinstance(item, str):
            lines.append(item)
            if len(lines) == _AT_ONCE or self._queue.empty():
                return lines, None
            item = self._queue.get()
        return lines, item

    def _tell_left_out(self) -> None:
        """Say how many are missing, where those that waited meanwhile are written."""
        count = self._left_out
        if count and self._queue.empty():
            note = _line("unlogged", {"lines": count, "reason": "the log could not be written"})
            if self._write([self._dated(note)]):
                self._leave_out(-count)

    def _write(self, lines: list[str]) -> bool:
        """Write whole lines, however long that takes; False where they cannot be."""
        left = memoryview("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], _AGAIN)
            except OSError:
                return False
        return True


def _is_journal(descriptor: int) -> bool:
    """Whether systemd's journal reads it (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


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


def _line(verb: str, pairs: Mapping[str, Value]) -> str:
    words = [f"{key}={_shown(value)}" for key, value in pairs.items() if value is not None]
    return " ".join([verb, *words])


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = escaped(str(value))[:500]
    if text and _SPECIAL.isdisjoint(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
