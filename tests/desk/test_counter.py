"""The desk's sinks over a real spool: what cannot be committed leaves nothing, and is 451."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from mailgate.config import load
from mailgate.desk import Counter, Desk
from mailgate.errors import Damaged, MailgateError, TooBig, Transient
from mailgate.model import Envelope
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, Spool

_CONFIG = """
[gateway]
address = "jobs@gate.example.org"
spool = "spool"
services = "services"
min_free = "1 MiB"
[listen.smtp]
port = 0
[deliver]
courier = "maildir"
[deliver.maildir]
path = "outgoing"
"""
TO = "postmaster@gate.example.org"
HEAD = b"From: eve@elsewhere.test\r\nMessage-ID: <1@elsewhere.test>\r\n\r\n"
SMALL, BIG = b"x\r\n", b"x" * 998 + b"\r\n"


@asynccontextmanager
async def desk(place: Path) -> AsyncIterator[tuple[Counter, Spool]]:
    """A desk without services: whoever likes may write to its postmaster."""
    (place / "services").mkdir()
    (place / "mailgate.toml").write_text(_CONFIG)
    config = load(place / "mailgate.toml")
    spool = Spool(Folder(config.gateway.spool), Site.of(config.gateway.address), busy=0.05)
    spool.open()
    counter = Counter(Desk(config, {}, spool.folder, lambda: spool.view), spool)
    try:
        yield counter, spool
    finally:
        counter.close()
        spool.close()


def lock(database: Path) -> sqlite3.Connection:
    """Hold the database as another program would."""
    held = sqlite3.connect(database)
    held.execute("BEGIN IMMEDIATE")
    return held


def lame(database: Path) -> sqlite3.Connection:
    """Have every new message fail, as a disk that breaks would."""
    held = sqlite3.connect(database)
    held.execute("CREATE TRIGGER lame BEFORE INSERT ON message BEGIN SELECT no_such(1); END")
    held.commit()
    return held


def forbid(database: Path) -> sqlite3.Connection:
    """Have every new message break a rule of the tables, as a bug of ours would."""
    held = sqlite3.connect(database)
    held.execute(
        "CREATE TRIGGER forbid BEFORE INSERT ON message BEGIN SELECT RAISE(ABORT, ''); END"
    )
    held.commit()
    return held


def damage(database: Path) -> sqlite3.Connection:
    """Write into the middle of the database what is none."""
    held = sqlite3.connect(database)
    (root,) = held.execute("SELECT rootpage FROM sqlite_master WHERE name = 'message'").fetchone()
    (size,) = held.execute("PRAGMA page_size").fetchone()
    held.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    return held


@pytest.mark.parametrize("line", [SMALL, BIG])
@pytest.mark.parametrize(
    ("break_", "family"),
    [(lock, Transient), (lame, Transient), (damage, Damaged), (forbid, sqlite3.Error)],
)
async def test_what_the_writer_cannot_commit_leaves_no_file_and_is_451(
    tmp_path: Path,
    line: bytes,
    break_: Callable[[Path], sqlite3.Connection],
    family: type[Exception],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with desk(tmp_path) as (counter, spool):
        sink = await counter.open(
            Envelope(sender="eve@elsewhere.test", recipients=(TO,), door="smtp")
        )
        await sink.write(HEAD)
        for _ in range(300):
            await sink.write(line)
        assert bool(list(spool.folder.mail.iterdir())) == (line is BIG)
        with closing(break_(spool.folder.database)):
            with pytest.raises(family) as raised:
                async with asyncio.timeout(60):
                    await sink.commit()
        assert list(spool.folder.mail.iterdir()) == []
    if isinstance(raised.value, MailgateError):
        assert raised.value.smtp_reply.startswith("451 4.3.0 ")
        assert "delayed what=mail " in capsys.readouterr().err


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize(("over", "taken"), [(0, True), (1, False), (1 << 20, False)])
async def test_a_header_block_has_at_most_256_kib(
    tmp_path: Path, pieces: int, over: int, taken: bool
) -> None:
    filling = (256 << 10) + over - len(HEAD) - len(b"X-Fill: \r\n")
    mail = b"X-Fill: " + b"x" * filling + b"\r\n" + HEAD + b"text\r\n"
    async with desk(tmp_path) as (counter, spool):
        sink = await counter.open(
            Envelope(sender="eve@elsewhere.test", recipients=(TO,), door="smtp")
        )
        step = len(mail) // pieces + 1
        for at in range(0, len(mail), step):
            await sink.write(mail[at : at + step])
        if taken:
            await sink.commit()
        else:
            with pytest.raises(TooBig, match="the header block is over 256 KiB") as raised:
                await sink.commit()
            assert raised.value.smtp_reply.startswith("552 5.3.4 ")
        assert spool.view.count("SELECT COUNT(*) FROM message") == taken
        assert list(spool.folder.mail.iterdir()) == [] or taken
