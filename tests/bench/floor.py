"""What a hand-over takes with no gateway around it: a bound for the figure of a gateway."""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from mailgate.run import programs
from mailgate.run.scheduler import Command
from mailgate.run.script import render
from tests.bench.place import place

TOGETHER, LANES = 4, 2
"""As a gateway does it: so many submissions under one shell, and so many shells at once."""

_LIMIT = timedelta(seconds=60)
_FOLDERS = ("in", "work", "out", "out/named", "run", "run/1")
_MAIL = (
    b"From: ada@example.org\r\nTo: true@gate.mg.test\r\nMessage-ID: <%d@mx.example.org>\r\n"
    b"Date: Sun, 22 Nov 2026 15:00:00 +0000\r\nSubject: nothing\r\n\r\n" + b"text " * 40 + b"\r\n"
)


def handed_over(options: Sequence[str], environment: Mapping[str, str], *, jobs: int) -> float:
    """Jobs a second that sbatch takes when each costs what the promises cost, and no more.

    Which is: a mail read from a database and parsed, a durable intent with a token, the job's
    folders and script, sbatch under a shell that holds a lock and timeout(1), a durable number.
    """
    os.environ.update(environment)
    with place("floor") as folder:
        return asyncio.run(_all(folder, options, jobs))


async def _all(folder: Path, options: Sequence[str], jobs: int) -> float:
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = wal")
    database.execute("PRAGMA synchronous = full")
    database.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, bytes BLOB)")
    database.execute("CREATE TABLE job (token TEXT PRIMARY KEY, native TEXT)")
    database.executemany("INSERT INTO mail VALUES (?, ?)", ((n, _MAIL % n) for n in range(jobs)))
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    todo = iter([range(first, first + TOGETHER) for first in range(0, jobs, TOGETHER)])

    async def lane() -> None:
        for mails in todo:
            for mail in mails:
                _parse(database, mail)
            tokens = ["m" + secrets.token_hex(6) for _ in mails]
            _note(database, "INSERT INTO job VALUES (?, NULL)", [(token,) for token in tokens])
            commands = [_laid_out(folder / token, token, options) for token in tokens]
            said = await programs.together(commands, limit=_LIMIT, lock=lock)
            numbers = [
                (str(int(one.stdout)), token) for one, token in zip(said, tokens, strict=True)
            ]
            _note(database, "UPDATE job SET native = ? WHERE token = ?", numbers)

    began = time.monotonic()
    await asyncio.gather(*(lane() for _ in range(LANES)))
    took = time.monotonic() - began
    question = "SELECT COUNT(*) FROM job WHERE native IS NOT NULL"
    assert database.execute(question).fetchone() == (jobs,)
    database.close()
    os.close(lock)
    return jobs / took


def _parse(database: sqlite3.Connection, mail: int) -> None:
    (found,) = database.execute("SELECT bytes FROM mail WHERE id = ?", (mail,)).fetchone()
    message = message_from_bytes(found, policy=default)
    body = message.get_body()
    assert all(message[name] for name in ("From", "To", "Message-ID"))
    assert body is not None
    assert body.get_content()


def _note(database: sqlite3.Connection, statement: str, rows: Sequence[Sequence[str]]) -> None:
    database.execute("BEGIN")
    database.executemany(statement, rows)
    database.execute("COMMIT")


def _laid_out(folder: Path, token: str, options: Sequence[str]) -> Command:
    folder.mkdir()
    for name in _FOLDERS:
        (folder / name).mkdir()
    attempt = folder / "run" / "1"
    (attempt / "exit").write_bytes(b"\n" * 2048)
    (attempt / "script").write_bytes(render({}, ("true",)))
    words = ("sbatch", "--parsable", *options, f"--job-name={token}")
    places = (f"--output={attempt / 'messages'}", str(attempt / "script"))
    return Command(argv=(*words, *places), only=("PATH", "SLURM_CONF"))
