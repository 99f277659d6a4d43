"""What the doors and the loops ask finds what it is about by an index, whatever else there is."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from mailgate.model import JobId
from mailgate.spool import confirmations, due, notices, owned, returned
from mailgate.spool.confirmations import Terms
from mailgate.spool.database import Connection, Tx
from mailgate.spool.store import Folder
from tests.spool.conftest import SITE
from tests.spool.made import ADA

NOW = datetime(2026, 11, 22, tzinfo=UTC)
JOB = JobId("k7q2m5xzab3c")
TERMS = Terms(within=timedelta(days=3), letters=10)
LETTER = (
    "INSERT INTO letter (id, cause, kind, recipient, sender, message_id, state, facts, planned,"
    " tries, refusals, waited, last_words)"
    " VALUES (1, 'answer', 'refused', 'ada@example.org', '', '<1@example.org>', 'SENT', '{}', 0,"
    " 0, 0, 0, '')"
)
QUESTIONS: dict[str, Callable[[Tx], object]] = {
    "whether mail that came back is read": lambda tx: returned.is_read(tx, 1),
    "whether mail that came back is kept": lambda tx: returned.is_wanted(tx, 1, now=tx.at),
    "what was never confirmed": lambda tx: confirmations.expire(tx, TERMS),
    "what leaves first under a cap": lambda tx: due.urgent(
        tx, now=NOW, limit=5, besides=(), without={"ada@example.org"}
    ),
    "what news are due": lambda tx: notices.plan_due(tx, limit=5),
    "somebody's jobs": lambda tx: owned.listed(tx, ADA, owned.Wanted(limit=20)),
    "how a job waits": lambda tx: owned.ahead(tx, JOB) + owned.busy(tx),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_million_ended_jobs_and_their_letters_weigh_nothing(
    spool: Connection, folder: Folder, question: str
) -> None:
    assert spool.view.count("SELECT COUNT(*) FROM job") == 0
    statements: list[str] = []
    with closing(sqlite3.connect(folder.database)) as raw:
        raw.row_factory = sqlite3.Row
        raw.execute(LETTER)
        raw.set_trace_callback(statements.append)
        QUESTIONS[question](Tx(raw, SITE))
        raw.set_trace_callback(None)
        plans = [
            row["detail"]
            for statement in statements
            if re.match(r"(?:SELECT|UPDATE|DELETE)\b", statement)
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert plans
    tables = "job|letter|event|message|errand|act|input|stream"
    walks = [
        plan for plan in plans if re.match(rf"SCAN (?:{tables})$", plan) or "TEMP B-TREE" in plan
    ]
    assert walks == []
