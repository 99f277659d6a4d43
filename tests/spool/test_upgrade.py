"""A spool of an older format is made into one of today's, with all that it held."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mailgate.model import DISK_FULL, JobId
from mailgate.spool import attempts, jobs, tables
from mailgate.spool.database import Connection
from mailgate.spool.store import Folder
from mailgate.spool.turns import Turns
from mailgate.wording import is_that
from tests.source import CHECKOUT
from tests.spool.conftest import SITE, WRONGLY_GIVEN


@pytest.fixture
def old(folder: Folder) -> Folder:
    folder.make()
    with sqlite3.connect(folder.database) as database:
        database.executescript((CHECKOUT / "tests/data/spool-2.sql").read_text(encoding="utf-8"))
    database.close()
    return folder


def opened(folder: Folder) -> Connection:
    connection = Connection(folder.database, site=SITE)
    connection.prepare()
    return connection


def schema(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.view.all("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL")
    return sorted((row["name"], " ".join(row["sql"].split())) for row in rows)


def test_an_older_spool_becomes_what_a_new_one_is(old: Folder, tmp_path: Path) -> None:
    fresh = Folder(tmp_path / "fresh")
    fresh.make()
    ours, new = opened(old), opened(fresh)
    assert schema(ours) == schema(new)
    assert ours.view.count("PRAGMA user_version") == tables.VERSION
    assert ours.view.one("PRAGMA integrity_check")[0] == "ok"  # type: ignore[index]
    ours.close()
    new.close()


def test_a_format_never_changes(folder: Folder) -> None:
    folder.make()
    connection = opened(folder)
    text = "\n".join(" ".join(row) for row in schema(connection))
    connection.close()
    found = tables.VERSION, hashlib.sha256(text.encode()).hexdigest()[:16]
    # A spool of the same number is not made anew: who changes a table or an index takes the next.
    assert found == (11, "0521c1d3658d1b31")


def test_what_an_older_spool_held_is_still_there(old: Folder) -> None:
    connection = opened(old)
    job = jobs.fetch(connection.view, JobId("k7q2m5xzab3c"))
    assert (job.service, job.owner.address, job.message) == ("align", "ada@example.org", 7)
    assert (job.plan.cores, job.plan.gpus, job.plan.queue, job.plan.asked) == (1, 0, "", ())
    assert connection.view.count("SELECT job = 'k7q2m5xzab3c' FROM errand WHERE id = 8")
    assert connection.view.count("SELECT id FROM letter WHERE state = 'PLANNED'") == 9
    assert connection.view.one("SELECT name FROM house")["name"] == "0123456789abcdef"  # type: ignore[index]
    connection.close()


def test_the_words_of_an_older_spool_are_what_they_were(old: Folder) -> None:
    connection = opened(old)
    left_out = "perhaps some of it: the disk was full while it ran, so its outputs may be cut off"
    with connection.transaction() as tx:
        tx.execute(
            "UPDATE job SET phase = 'ERROR', ended = 1700000001.0, reason = 'signal', signal = 9,"
            " words = 'exit status 137', left_out = ?",
            json.dumps([left_out]),
        )
        tx.execute(
            "INSERT INTO mistake (job, at, reason, words) SELECT id, 1, reason, words FROM job"
        )
    job = jobs.fetch(connection.view, JobId("k7q2m5xzab3c"))
    assert job.exit
    assert (job.exit.words, job.errors[0].words) == ("exit status 137", "exit status 137")
    assert job.left_out == (left_out,)
    assert is_that(left_out, DISK_FULL)
    connection.close()


def test_what_an_engine_had_is_not_given_to_it_again_by_a_newer_version(old: Folder) -> None:
    with closing(sqlite3.connect(old.database)) as database:
        database.execute(
            "INSERT INTO attempt (token, job, number, engine, state, intended)"
            " VALUES ('mabcdefgh2345', 'k7q2m5xzab3c', 1, 'local', 'SUBMITTED', 1700000000.0)"
        )
        database.commit()
    connection = opened(old)
    assert Turns().next(connection.view, limit=5, besides=()) == []
    assert connection.view.count(WRONGLY_GIVEN) == 0
    (attempt,) = attempts.open_attempts(connection.view)
    with connection.transaction() as tx:
        attempts.dropped(tx, attempt)
    assert Turns().next(connection.view, limit=5, besides=()) == ["k7q2m5xzab3c"]
    connection.close()


def test_a_new_way_of_being_known_fits_into_an_older_spool(old: Folder) -> None:
    connection = opened(old)
    with connection.transaction() as tx:
        tx.execute("UPDATE message SET how = 'smtp-auth' WHERE id = 7")
    connection.close()
