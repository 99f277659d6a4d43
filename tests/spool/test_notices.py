"""What falls due by the clock is told once, to those who want it, and costs nothing else."""

import json
from datetime import timedelta

import pytest

from mailgate.model import JobId, LetterKind, Stream, StreamRole
from mailgate.settings.quotas import Quota
from mailgate.spool import appointments, attempts, codec, jobs, keep, letters, notices, wishes
from mailgate.spool.database import Connection, Tx
from mailgate.spool.turns import Turns
from tests.spool.made import a_job, begun_attempt, ended

DAY = 86400.0
LONG = timedelta(days=14)
FREE = Turns()


def output(tx: Tx, job: JobId, size: int = 3) -> None:
    kept = Stream(role=StreamRole.FILE, name="x", path="work/x", size=size, sha256="0" * 64)
    jobs.put_streams(tx, job, [kept])


def a_result(spool: Connection, keep_for: timedelta = LONG, size: int = 3) -> JobId:
    job = a_job(spool, keep=keep_for)
    ended(spool, job)
    with spool.transaction() as tx:
        output(tx, job, size)
        tx.execute("UPDATE letter SET state = 'SENT'")
    return job


def goes_in(spool: Connection, job: JobId, hours: float) -> None:
    """Let that job's outputs go so many hours from now."""
    with spool.transaction() as tx:
        shift = "ended = ended - (destruction - ?), destruction = ?"
        at = tx.at + hours * 3600
        tx.execute(f"UPDATE job SET {shift} WHERE id = ?", at, at, job)


def notified(spool: Connection) -> list[JobId]:
    with spool.transaction() as tx:
        notices.plan_notices(tx, limit=100)
    queue = letters.queue(spool.view)
    return [x.job for x in queue if x.kind is LetterKind.NOTICE and x.job]


def test_a_day_before_its_outputs_go_a_jobs_owner_is_told_once(spool):
    job = a_result(spool)
    goes_in(spool, job, 25)
    assert notified(spool) == []
    goes_in(spool, job, 23)
    assert notified(spool) == [job]
    assert notified(spool) == [job], "planned a second time"


def test_what_is_to_be_left_out_keeps_no_other_from_being_told(spool):
    first, other = begun_attempt(spool).job, begun_attempt(spool).job
    news = a_job(spool)
    with spool.transaction() as tx:
        tx.execute("UPDATE job SET receipt_due = ? WHERE id <> ?", tx.at - 9, news)
        notices.tell(tx, news, notify=[], every=timedelta(hours=1))
        tx.execute("UPDATE job SET news_due = ? WHERE id = ?", tx.at - 7, news)
        tx.execute("UPDATE job SET receipt_due = ? WHERE id = ?", tx.at - 8, other)
        assert notices.next_due(tx, besides={first}) == tx.at - 8
        assert notices.plan_due(tx, limit=1, besides={first, news}) == 1
        assert notices.plan_due(tx, limit=1, besides={first, news}) == 0
        assert notices.next_due(tx, besides={first}) == tx.at - 7
        assert notices.next_due(tx, besides={first, news}) is None
        assert notices.next_due(tx) == tx.at - 9
    assert [x.job for x in letters.queue(spool.view) if x.kind is LetterKind.RECEIPT] == [other]


def test_a_destruction_that_was_moved_is_told_of_again_before_the_new_date(spool):
    job = a_result(spool)
    goes_in(spool, job, 23)
    notified(spool)
    with spool.transaction() as tx:
        tx.execute("UPDATE job SET destruction = destruction + ?", 7 * DAY)
    assert len(notified(spool)) == 1
    goes_in(spool, job, 22)
    assert len(notified(spool)) == 2


@pytest.mark.parametrize(
    "why",
    [
        "kept for two days",
        "nothing is kept",
        "gone already",
        "the owner has just named it",
        "it was destroyed, and the clock set back",
    ],
)
def test_nobody_is_told_what_they_know_or_what_is_nothing(spool, why):
    job = a_result(
        spool,
        timedelta(days=2) if why == "kept for two days" else LONG,
        0 if why == "nothing is kept" else 3,
    )
    goes_in(spool, job, -1 if why == "gone already" else 23)
    if why == "the owner has just named it":
        with spool.transaction() as tx:
            tx.note("kept", job=job, detail="until=tomorrow")
    if why == "it was destroyed, and the clock set back":
        with spool.transaction() as tx:
            wishes.destroy(tx, jobs.fetch(tx, job), by="ada@example.org")
        goes_in(spool, job, 1)
    assert notified(spool) == []


def test_a_job_that_was_kept_shortly_and_then_longer_is_told_of(spool):
    job = a_result(spool, timedelta(days=2))
    with spool.transaction() as tx:
        tx.execute("UPDATE job SET destruction = ended + ?", 9 * DAY)
    goes_in(spool, job, 23)
    assert notified(spool) == [job]


def test_a_notice_that_nobody_takes_keeps_no_job(spool):
    job = a_result(spool)
    goes_in(spool, job, 23)
    notified(spool)
    with spool.transaction() as tx:
        assert keep.expired_jobs(tx, now=tx.at + 2 * DAY) == [job]
        (notice,) = [one.id for one in letters.queue(tx)]
        keep.archive(tx, [job])
    assert letters.queue(spool.view) == []
    # Somebody may be sending it: the next letter has a number of its own.
    with spool.transaction() as tx:
        letters.answer(tx, message=9, recipient="a@b.c", kind=LetterKind.REFUSED, facts={})
    assert letters.newest(spool.view) > notice


def plan(spool: Connection, statement: str) -> str:
    rows = spool.view.all(f"EXPLAIN QUERY PLAN {statement}")
    return "; ".join(row["detail"] for row in rows)


def test_ended_jobs_that_are_told_of_weigh_nothing(spool):
    """Every question is answered by an index that holds only what is still to be told."""
    ended_ = "phase IN ('COMPLETED', 'ERROR', 'ABORTED')"
    asked = f"SELECT id FROM job INDEXED BY job_notice WHERE {ended_} AND noticed IS NOT destruction AND destruction <= 9"
    assert "job_notice" in plan(spool, f"{asked} ORDER BY destruction LIMIT 9")
    assert "job_news" in plan(spool, "SELECT id FROM job WHERE news_due <= 9 ORDER BY news_due")
    seen = spool.view.all("SELECT MIN(news_due) FROM job WHERE news_due IS NOT NULL")
    assert len(seen) == 1


# --- news -----------------------------------------------------------------------------------------


def a_watched_job(spool: Connection, every: float = 7 * DAY) -> JobId:
    job = a_job(spool)
    with spool.transaction() as tx:
        tx.execute(
            "UPDATE job SET news_every = ?, news_due = ?, receipt_due = NULL WHERE id = ?",
            every,
            tx.at - 1,
            job,
        )
    return job


def news(spool: Connection, turns: Turns = FREE) -> list[dict[str, object]]:
    """The facts of all news so far, when what is due is planned."""
    with spool.transaction() as tx:
        notices.plan_due(tx, limit=10, turns=turns)
    rows = spool.view.all("SELECT facts FROM letter WHERE kind = 'news' ORDER BY id")
    return [json.loads(row["facts"]) for row in rows]


def due(spool: Connection, job: JobId) -> float | None:
    row = spool.view.one("SELECT news_due FROM job WHERE id = ?", job)
    assert row is not None
    return row["news_due"]


def test_news_of_a_job_come_as_often_as_was_asked_and_say_why_it_waits(spool):
    first, second = a_job(spool), a_watched_job(spool)
    with spool.transaction() as tx:
        tx.execute("UPDATE job SET receipt_due = NULL, queued = queued - 5 WHERE id = ?", first)
    before = due(spool, second)
    assert news(spool) == [
        {
            "ahead": 1,
            "run": 0,
            "quota": None,
            "paused": False,
            "outlook": {"usual": None, "queued": None, "silence": None, "standstill": None},
        }
    ]
    assert due(spool, second) == pytest.approx((before or 0) + 7 * DAY)
    assert len(news(spool)) == 1


def test_news_of_a_queued_job_say_that_a_quota_or_the_operator_keeps_it_back(spool):
    begun_attempt(spool)
    a_watched_job(spool)
    (told,) = news(spool, Turns(quota=Quota(running=1), paused=True))
    assert "1 job of ada@example.org runs already" in str(codec.untagged(told["quota"]))
    assert told["paused"]
    with spool.transaction() as tx:
        tx.execute("UPDATE job SET news_due = NULL")
        tx.execute("UPDATE letter SET state = 'SENT'")
    held = a_watched_job(spool)
    with spool.transaction() as tx:
        wishes.hold(tx, jobs.fetch(tx, held), by="ada@example.org")
    told = news(spool, Turns(quota=Quota(running=1), paused=True))[-1]
    assert (told["quota"], told["paused"]) == (None, False)


def test_a_receipt_says_what_keeps_its_job_back_and_nothing_of_it_once_an_engine_has_it(spool):
    waits, given = a_job(spool), a_job(spool)
    with spool.transaction() as tx:
        assert attempts.intend(tx, given, engine="slurm") is not None
        tx.execute("UPDATE job SET receipt_due = 0")
        notices.plan_due(tx, limit=10, turns=Turns(quota=Quota(running=1), paused=True))
    rows = spool.view.all("SELECT job, facts FROM letter WHERE kind = 'receipt'")
    told = {row["job"]: json.loads(row["facts"]) for row in rows}
    assert "1 job of ada@example.org runs already" in str(codec.untagged(told[waits]["quota"]))
    assert told[waits]["paused"]
    assert (told[given]["quota"], told[given]["paused"]) == (None, False)


def test_news_that_nobody_was_there_for_are_not_made_up_for(spool):
    job = a_watched_job(spool, every=DAY)
    with spool.transaction() as tx:
        tx.execute("UPDATE job SET news_due = ?", tx.at - 10.5 * DAY)
    assert len(news(spool)) == 1
    with spool.transaction() as tx:
        assert tx.at < (due(spool, job) or 0) <= tx.at + DAY


def test_there_is_no_second_news_while_the_first_has_not_left(spool):
    job = a_watched_job(spool)
    for _ in range(2):
        with spool.transaction() as tx:
            tx.execute("UPDATE job SET news_due = news_due - ?", 7 * DAY)
        assert len(news(spool)) == 1
    with spool.transaction() as tx:
        tx.execute("UPDATE letter SET state = 'SENT'")
        tx.execute("UPDATE job SET news_due = ?", tx.at)
    assert len(news(spool)) == 2
    assert due(spool, job) is not None


def test_news_end_with_the_job(spool):
    job = a_watched_job(spool)
    assert len(news(spool)) == 1
    ended(spool, job)
    assert due(spool, job) is None
    assert news(spool) == [], "what has not left is overtaken by the result"


def test_news_keep_their_distance_when_the_clock_is_set(spool):
    job = a_watched_job(spool)
    news(spool)
    before = due(spool, job) or 0
    with spool.transaction() as tx:
        appointments.shift(tx, -3600, since=tx.at - 3600)
    assert due(spool, job) == pytest.approx(before - 3600)
