"""A spool with a long past: ended jobs as rows, without folders."""

import sqlite3
import time
from pathlib import Path

_JOB = """
INSERT INTO job (id, service, owner, how, label, phase, parameters, plan, notify, reply, created,
 queued, keep, message, ignored, left_out, started, ended, destruction, reason, code, words,
 progress_words, attempts)
VALUES (?, 'true', 'ada@example.org', 'network', NULL, ?, '{}', ?, '[]', 'full', ?, ?, 1209600, ?,
 '[]', '[]', ?, ?, ?, ?, ?, '', '', 1)
"""
_PLAN = '{"argv":["true"]}'
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def fill(path: Path, *, ended: int, running: int) -> None:
    """Write that many jobs with their messages, attempts and sent letters."""
    now = time.time()
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("PRAGMA synchronous = off")
        database.execute("BEGIN")
        for n in range(ended + running):
            _one(database, n, now, over=n < ended)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _name(n: int) -> str:
    # Spread like random names, so that the index's pages are touched as they would be.
    n = (n * 0x9E3779B97F4A7C15) & (1 << 60) - 1
    return "j" + "".join(_LETTERS[(n >> (5 * i)) & 31] for i in range(11))


def _one(database: sqlite3.Connection, n: int, now: float, *, over: bool) -> None:
    # The past ended within the last week: nothing of it is due to go.
    created = now - 600_000 + n * 0.5 if over else now
    job, end = _name(n), created + 2 if over else None
    message = 10_000_000 + n
    database.execute(
        "INSERT INTO message (id, taken, door, sender, address, how, key, sha256, size, purge, gone)"
        " VALUES (?, ?, 'smtp', 'ada@example.org', 'ada@example.org', 'network', ?, '', 1, ?, 1)",
        (message, created, f"<{n}@past>", now + 3e7),
    )
    database.execute(
        "INSERT INTO errand (message, kind, recipient, state, reason, released, job, done)"
        " VALUES (?, 'request', 'true', 'DONE', 'job', 0, ?, ?)", (message, job, created),
    )  # fmt: skip
    database.execute(
        "INSERT INTO act VALUES ('true', 'ada@example.org', ?, 'network', '', ?)",
        (f"<{n}@past>", n),
    )
    database.execute(
        _JOB,
        (job, "COMPLETED" if over else "EXECUTING", _PLAN, created, created, message, created, end,
         now + 1e6 if over else None, "exit" if over else None, 0 if over else None),
    )  # fmt: skip
    database.execute(
        "INSERT INTO attempt (token, job, number, engine, state, native, intended, submitted, started,"
        " ended) VALUES (?, ?, 1, 'local', ?, '1', ?, ?, ?, ?)",
        (f"m{job}", job, "ENDED" if over else "STARTED", created, created, created, end),
    )
    if over:
        database.execute(
            "INSERT INTO letter (job, message, cause, kind, recipient, sender, tag, message_id, state,"
            " facts, planned, tries, refusals, waited, last_words, sent) VALUES (?, ?, 'result',"
            " 'result', 'ada@example.org', ?, ?, ?, 'SENT', '{}', ?, 1, 0, 0, '', ?)",
            (job, message, f"jobs+bounce.{n}@gate", str(n), f"<{n}@gate>", created, created),
        )
