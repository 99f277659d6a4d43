"""The one writer: grouped commits, savepoints, and what a full or locked database means."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from mailgate.errors import Damaged, NoSpace, Transient
from mailgate.spool import database
from mailgate.spool.database import Connection, Site, Tx
from mailgate.spool.store import Folder, Spool, direct
from mailgate.spool.writer import Writer

SITE = Site.of("jobs@gate.example.org")


def noted(tx: Tx) -> int:
    tx.note("tested")
    return tx.count("SELECT COUNT(*) FROM event")


async def test_everything_waiting_is_committed_together_and_each_hears_its_own(
    tmp_path: Path,
) -> None:
    spool = Spool(Folder(tmp_path), SITE)
    spool.open()
    try:
        counts = await asyncio.gather(*(spool.write(noted) for _ in range(300)))
        assert sorted(counts) == list(range(1, 301))
    finally:
        spool.close()


@pytest.mark.parametrize("sort", ["removed", "replaced", "without its folder"])
async def test_nothing_is_committed_to_a_database_that_is_not_in_its_place(
    tmp_path: Path, sort: str
) -> None:
    folder = Folder(tmp_path / "spool")
    spool = Spool(folder, SITE)
    spool.open()
    away = tmp_path / "away"
    try:
        await spool.write(noted)
        if sort == "without its folder":
            folder.root.rename(away)
        else:
            folder.database.rename(away)
        if sort == "replaced":
            folder.database.write_bytes(away.read_bytes())
        assert spool.misplaced()
        with pytest.raises(Damaged, match="not in its place") as error:
            await spool.write(noted)
        assert f"{folder.database} is not the file that the gateway has open" in error.value.detail
        # Who only looks makes none either.
        with pytest.raises(Damaged), spool.beside():
            pass
        assert folder.database.exists() == (sort == "replaced")
        away.rename(folder.root if sort == "without its folder" else folder.database)
        assert await spool.write(noted) == 2
        assert not spool.misplaced()
    finally:
        spool.close()


async def test_an_operation_that_fails_takes_nobody_with_it(tmp_path: Path) -> None:
    spool = Spool(Folder(tmp_path), SITE)
    spool.open()

    def broken(tx: Tx) -> int:
        tx.note("never")
        raise ZeroDivisionError

    try:
        results = await asyncio.gather(
            spool.write(noted), spool.write(broken), spool.write(noted), return_exceptions=True
        )
        assert isinstance(results[1], ZeroDivisionError)
        assert spool.view.count("SELECT COUNT(*) FROM event") == 2
        assert spool.view.count("SELECT COUNT(*) FROM event WHERE verb = 'never'") == 0
    finally:
        spool.close()


async def test_a_database_locked_by_another_program_is_waited_for_then_transient(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)
    folder.make()
    connection = Connection(folder.database, site=SITE, busy=0.2)
    connection.prepare()
    writer = Writer(connection)
    writer.start(lambda _: None)
    other = sqlite3.connect(folder.database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient):
            await writer.do(noted)
        other.execute("COMMIT")
        assert await writer.do(noted) == 1
    finally:
        other.close()
        writer.stop()
        connection.close()


async def test_a_spool_is_opened_while_another_program_opens_and_closes_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with direct(folder, SITE):
        pass
    over = threading.Event()

    def busy() -> None:
        # The last one to close empties the log, which shuts everybody out for a moment.
        while not over.is_set():
            with direct(folder, SITE) as connection, connection.transaction() as tx:
                tx.note("elsewhere")

    other = threading.Thread(target=busy)
    other.start()
    try:
        for _ in range(40):
            spool = Spool(folder, SITE)
            spool.open()
            await spool.write(noted)
            spool.close()
    finally:
        over.set()
        other.join()


async def test_a_full_disk_is_told_as_no_space_and_the_writer_goes_on(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make()
    connection = Connection(folder.database, site=SITE)
    connection.prepare()
    writer = Writer(connection)
    writer.start(lambda _: None)

    def pages(tx: Tx) -> int:
        return tx.count("PRAGMA page_count")

    def limit(tx: Tx, most: int) -> int:
        return tx.count(f"PRAGMA max_page_count = {most}")

    def big(tx: Tx) -> int:
        return tx.insert("body", message=1, bytes=bytes(1 << 20))

    try:
        here = await writer.do(pages)
        await writer.do(lambda tx: limit(tx, here + 10))
        results = await asyncio.gather(*(writer.do(big) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(result, NoSpace) for result in results)
        await writer.do(lambda tx: limit(tx, 1 << 30))
        assert await writer.do(noted) == 1
    finally:
        writer.stop()
        connection.close()


async def test_bells_ring_only_after_the_commit(tmp_path: Path) -> None:
    spool = Spool(Folder(tmp_path), SITE)
    spool.open()

    def ringing(tx: Tx) -> None:
        tx.note("rung")
        tx.ring("run")

    try:
        waiting = asyncio.create_task(spool.wait("run", longest=30))
        await asyncio.sleep(0)
        await spool.write(ringing)
        await asyncio.wait_for(waiting, 25)
        assert spool.view.count("SELECT COUNT(*) FROM event") == 1
    finally:
        spool.close()


def test_a_spool_of_newer_software_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make()
    connection = Connection(folder.database, site=SITE)
    with connection.transaction() as tx:
        tx.execute(f"PRAGMA user_version = {database.tables.VERSION + 1}")
    with pytest.raises(Exception, match="use the newer version"):
        connection.prepare()
    connection.close()
