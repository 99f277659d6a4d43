"""What may be expected of a job: what the spool knows of others, and what a scheduler said of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailgate.model import Exit, JobId, NativeId, Reason, Wait
from mailgate.model.outlook import Outlook, Queued, Silence, Usual
from mailgate.settings.engines import Local, Run
from mailgate.settings.schedulers import Slurm
from mailgate.spool import attempts, jobs, silences
from mailgate.spool.database import Connection
from mailgate.spool.outlook import at_cluster, outlook
from tests.spool.made import DONE, a_job, begun_attempt, ended

MINUTE = timedelta(minutes=1)
START = datetime(2026, 11, 20, tzinfo=UTC)


def ran(spool: Connection, minutes: float, *, end: Exit = DONE, service: str = "align") -> None:
    """A job that ended after so long, later than those before it."""
    job = a_job(spool, service=service)
    ended(spool, job, end)
    with spool.transaction() as tx:
        count = tx.count("SELECT COUNT(*) FROM job")
        over = START + timedelta(hours=count)
        tx.execute(
            "UPDATE job SET started = ?, ended = ? WHERE id = ?",
            (over - minutes * MINUTE).timestamp(),
            over.timestamp(),
            job,
        )


def seen(spool: Connection, job: JobId) -> Outlook:
    return outlook(spool.view, jobs.fetch(spool.view, job))


def test_what_jobs_usually_take_is_the_middle_half_of_those_that_ended_well(
    spool: Connection,
) -> None:
    waiting = a_job(spool)
    for minutes in (30, 10, 20, 40):
        ran(spool, minutes)
    for _ in range(9):
        ran(spool, 9000, end=Exit(reason=Reason.EXIT, code=1))
        ran(spool, 9000, end=Exit(reason=Reason.WORK_LIMIT))
        ran(spool, 9000, service="blast")
    assert seen(spool, waiting) == Outlook(), "of four nothing is told"
    ran(spool, 100)
    expected = Usual(least=20 * MINUTE, median=30 * MINUTE, most=40 * MINUTE)
    assert seen(spool, waiting) == Outlook(usual=expected)


def test_only_the_newest_twenty_tell_what_jobs_take(spool: Connection) -> None:
    for _ in range(20):
        ran(spool, 500)
    for _ in range(20):
        ran(spool, 5)
    assert seen(spool, a_job(spool)).usual == Usual(
        least=5 * MINUTE, median=5 * MINUTE, most=5 * MINUTE
    )


@pytest.mark.parametrize(
    ("took", "told"),
    [
        (timedelta(seconds=3.4), timedelta(seconds=3)),
        (timedelta(seconds=77), timedelta(seconds=80)),
        (timedelta(minutes=12, seconds=40), timedelta(minutes=13)),
        (timedelta(hours=4, minutes=47), timedelta(hours=4, minutes=50)),
        (timedelta(hours=26, minutes=29), timedelta(hours=26)),
        (timedelta(days=12, hours=13), timedelta(days=13)),
    ],
)
def test_what_jobs_usually_take_is_told_as_exactly_as_anybody_cares(
    spool: Connection, took: timedelta, told: timedelta
) -> None:
    for _ in range(5):
        ran(spool, took / MINUTE)
    usual = seen(spool, a_job(spool)).usual
    assert usual is not None
    assert usual.median == told


def test_what_a_scheduler_says_of_a_job_is_told_until_it_runs(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="slurm")
        assert attempt is not None
        assert outlook(tx, jobs.fetch(tx, job)).queued == Queued(engine="slurm")
        attempts.submitted(tx, attempt, NativeId("48211"))
        starts = tx.now + timedelta(hours=3)
        attempts.waits(tx, [replace(attempt, queued=Wait(why="Priority", starts=starts))])
        queued = outlook(tx, jobs.fetch(tx, job)).queued
        assert queued == Queued(engine="slurm", since=tx.now, why="Priority", starts=starts)
        attempts.begun(tx, attempt, tx.now)
    assert seen(spool, job).queued is None


def test_the_gateways_own_machine_has_no_queue_of_its_own(spool: Connection) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        assert attempts.intend(tx, job, engine="local") is not None
    run = Run(engines={"local": Local(), "big": Slurm(engine="slurm")})
    here, there = seen(spool, job), jobs.fetch(spool.view, job)
    assert at_cluster(here, there, run, None).queued is None
    # Before it is given to one.
    found = at_cluster(Outlook(), there, replace(run, engine="big"), None)
    assert found.queued == Queued(engine="slurm")


def test_a_job_is_told_to_be_where_it_is_though_that_table_was_taken_away(
    spool: Connection,
) -> None:
    job = a_job(spool)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="night")
    assert attempt is not None
    here = seen(spool, job)
    run = Run(engines={"local": Local()})
    found = at_cluster(here, jobs.fetch(spool.view, job), run, None)
    assert found.queued is not None
    assert found.queued.engine == "night"


def test_an_estimate_that_has_passed_is_not_told() -> None:
    queued = Queued(engine="slurm", since=START, starts=START + MINUTE)
    facts = Outlook(queued=queued).facts(START + 2 * MINUTE)["queued"]
    assert facts == {"engine": "slurm", "had": 2 * MINUTE, "why": "", "starts": None}


def test_of_a_job_at_a_cluster_that_answers_nothing_it_is_told_since_when(
    spool: Connection,
) -> None:
    runs, waits, elsewhere = begun_attempt(spool).job, a_job(spool), a_job(spool)
    later = START + MINUTE
    with spool.transaction() as tx:
        assert attempts.intend(tx, elsewhere, engine="other") is not None
        for since in (START, later):
            # Another daemon finds it silent still.
            silences.began(tx, "local", since)
    silent = Silence(engine="local", since=START)
    assert seen(spool, runs).silence == silent
    assert seen(spool, elsewhere).silence is None
    # What no engine has is to go to one.
    assert seen(spool, waits).silence is None
    job = jobs.fetch(spool.view, waits)
    assert outlook(spool.view, job, engine="local").silence == silent
    assert silences.of_jobs(spool.view, [waits, elsewhere]) == []
    run = Run(engine="local", engines={"local": Slurm()})
    named = at_cluster(seen(spool, runs), jobs.fetch(spool.view, runs), run, None)
    assert named.silence == Silence(engine="slurm", since=START)
    with spool.transaction() as tx:
        silences.over(tx, "local")
    assert seen(spool, runs).silence is None
