"""A spool with a long past: ended jobs as rows, without folders."""

import os
import sqlite3
import time
from pathlib import Path

_JOB = """
INSERT INTO job (id, service, owner, how, label, phase, parameters, plan, notify, reply, created,
 queued, keep, message, ignored, left_out, started, ended, destruction, reason, code, words,
 progress_words, attempts)
VALUES (?, 'true', 'ada@example.org', 'network', NULL, 'COMPLETED', '{}', ?, '[]', 'full', ?, ?,
 1209600, ?, '[]', '[]', ?, ?, ?, 'exit', 0, '', '', 1)
"""
_PLAN = '{"argv":["true"]}'
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def fill(path: Path, *, ended: int) -> None:
    """Write that many ended jobs with their messages, attempts and sent letters."""
    now = time.time()
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("PRAGMA synchronous = off")
        database.execute("BEGIN")
        for n in range(ended):
            _one(database, n, now)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # What is measured next does not wait for these writes.
    os.sync()


def _name(n: int) -> str:
    # Spread like random names, so that the index's pages are touched as they would be.
    n = (n * 0x9E3779B97F4A7C15) & (1 << 60) - 1
    return "j" + "".join(_LETTERS[(n >> (5 * i)) & 31] for i in range(11))


def _one(database: sqlite3.Connection, n: int, now: float) -> None:
    # The past ended within the last week: nothing of it is due to go.
    created = now - 600_000 + n * 0.5
    job, end = _name(n), created + 2
    message = 10_000_000 + n
    database.execute(
        "INSERT INTO message (id, taken, door, sender, address, how, key, sha256, size, purge, gone)"
        " VALUES (?, ?, 'smtp', 'ada@example.org', 'ada@example.org', 'network', ?, '', 1, ?, 1)",
        (message, created, f"<{n}@past>", now + 3e7),
    )
    database.execute(
        "INSERT INTO errand (message, kind, recipient, state, reason, released, job, done)"
        " VALUES (?, 'request', 'true', 'DONE', 'job', 0, ?, ?)",
        (message, job, created),
    )
    database.execute(
        "INSERT INTO act VALUES ('true', 'ada@example.org', ?, 'network', '', ?)",
        (f"<{n}@past>", n),
    )
    database.execute(_JOB, (job, _PLAN, created, created, message, created, end, now + 1e6))
    database.execute(
        "INSERT INTO attempt (token, job, number, engine, state, native, intended, submitted,"
        " started, ended) VALUES (?, ?, 1, 'local', 'ENDED', '1', ?, ?, ?, ?)",
        (f"m{job}", job, created, created, created, end),
    )
    database.execute(
        "INSERT INTO event (at, job, verb, detail) VALUES (?, ?, 'advanced', 'to=COMPLETED')",
        (created, job),
    )
    database.execute(
        "INSERT INTO letter (job, message, cause, kind, recipient, sender, tag, message_id, state,"
        " facts, planned, tries, refusals, waited, last_words, sent) VALUES (?, ?, 'result',"
        " 'result', 'ada@example.org', ?, ?, ?, 'SENT', '{}', ?, 1, 0, 0, '', ?)",
        (job, message, f"jobs+bounce.{n}@gate", str(n), f"<{n}@gate>", created, created),
    )
