"""What the doors and the loops ask finds what it is about by an index, whatever else there is."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailgate.model import JobId
from mailgate.phases import Phase
from mailgate.settings.quotas import Quota
from mailgate.spool import (
    confirmations,
    due,
    explain,
    holds,
    house,
    jobs,
    keep,
    letters,
    mail,
    notices,
    outlook,
    owned,
    returned,
    wishes,
)
from mailgate.spool.confirmations import Terms
from mailgate.spool.database import Connection, Tx
from mailgate.spool.store import Folder
from mailgate.spool.turns import Turns
from tests.spool.conftest import SITE
from tests.spool.made import ADA, a_job

NOW = datetime(2026, 11, 22, tzinfo=UTC)
JOB = JobId("k7q2m5xzab3c")
TERMS = Terms(within=timedelta(days=3), letters=10)
WAITING = mail.Waiting(
    id=2, identity=ADA, key="<2@example.org>", taken=NOW, size=1, body=b"", file=None, errands=()
)
PAST = (
    f"UPDATE job SET id = '{JOB}', phase = 'PENDING'",
    f"UPDATE errand SET job = '{JOB}'",
    "UPDATE act SET how = 'claimed'",
    "UPDATE message SET id = 1, key = '<1@example.org>'",
    "INSERT INTO letter (id, cause, kind, recipient, sender, message_id, state, facts, planned,"
    " tries, refusals, waited, last_words, message)"
    " VALUES (1, 'answer', 'refused', 'ada@example.org', '', '<1@example.org>', 'HELD', '{}', 0,"
    " 1, 0, 0, '', 1)",
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
    "whether its result came back": lambda tx: owned.undelivered(tx, JOB, ADA.key),
    "how a job waits": lambda tx: owned.ahead(tx, JOB) + owned.busy(tx) + owned.taken(tx, "local"),
    "what may be expected of a job": lambda tx: outlook.outlook(
        tx, replace(jobs.fetch(tx, JOB), phase=Phase.QUEUED)
    ),
    "what is not out": letters.queue,
    "what is held": holds.held,
    "the newest jobs": lambda tx: jobs.newest(tx, limit=50, active=False),
    "the jobs under way": lambda tx: jobs.newest(tx, limit=50, active=True),
    "what became of a mail": lambda tx: explain.explain(tx, "<1@example.org>"),
    "what is wished": wishes.left,
    "whose turn it is": lambda tx: Turns(quota=Quota(running=1)).next(tx, limit=5, besides=()),
    "what may go": lambda tx: [
        keep.destroyed_jobs(tx),
        keep.expired_jobs(tx, now=tx.at),
        keep.raw_mail(tx, now=tx.at),
        keep.bury(tx),
        keep.give_up_held(tx),
        keep.forget_refusals(tx),
        notices.plan_notices(tx, limit=5),
        wishes.doom(tx),
    ],
    "which files are strays": lambda tx: [
        keep.unknown_mail(tx, ["x"]),
        keep.unknown_staged(tx, ["1-align-0"]),
        keep.unknown_letters(tx, [1]),
    ],
    "whether a job's mail has acted": lambda tx: confirmations.release(
        tx, JOB, receipt_after=timedelta()
    ),
    "which jobs have a folder": house.there,
    "whether a mail goes round": lambda tx: mail.goes_round(tx, WAITING, "x"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_million_ended_jobs_and_their_letters_weigh_nothing(
    spool: Connection, folder: Folder, question: str
) -> None:
    assert a_job(spool)
    statements: list[str] = []
    with closing(sqlite3.connect(folder.database)) as raw:
        raw.row_factory = sqlite3.Row
        for statement in PAST:
            raw.execute(statement)
        raw.set_trace_callback(statements.append)
        QUESTIONS[question](Tx(raw, SITE))
        raw.set_trace_callback(None)
        plans = [
            (row["detail"], statement)
            for statement in statements
            if re.match(r"(?:SELECT|UPDATE|DELETE)\b", statement)
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert plans
    assert [one for one in plans if _is_walk(*one)] == []


TABLES = "job|letter|event|message|errand|act|attempt|input|stream"
# Their rows are few, or they give the newest first, and not all are asked for.
SMALL = (
    "job_created|job_active|job_queued|job_given|job_wish|errand_held|letter_planned|letter_waiting"
    "|letter_urgent|letter_held|letter_bounced|attempt_open|message_claimed|event_loose"
)


def _is_walk(plan: str, statement: str) -> bool:
    """Whether all rows of a big table are looked at, or all that are found sorted for a few."""
    sorted_for_few = "TEMP B-TREE" in plan and re.search(r"LIMIT \d+$", statement)
    walk = re.match(rf"SCAN (?:{TABLES})(?! USING (?:COVERING )?INDEX (?:{SMALL})$)", plan)
    return bool(walk or sorted_for_few)
