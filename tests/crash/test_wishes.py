"""The daemon dies while it does what was asked of a job: it is done all the same, and once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailgate.model import Job, JobId
from mailgate.phases import Phase
from mailgate.settings.units import duration
from mailgate.spool import jobs, wishes
from mailgate.spool.database import Site, Tx
from mailgate.spool.store import Folder, direct
from tests.daemon import (
    ADA,
    ADDRESS,
    ECHO,
    Gateway,
    attached,
    eventually,
    request,
    running,
    shell,
    text_of,
)

SERVICE = shell("echo run >&2; until [ -e stop ]; do sleep 0.05; done", '[limits]\nwork = "1h"')


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("wait", SERVICE)
        yield made


def the_job(gateway: Gateway) -> Job:
    with direct(Folder(gateway.spool), Site.of(ADDRESS)) as spool:
        (found,) = jobs.newest(spool.view, limit=5, active=False)
        return found


def is_in(gateway: Gateway, phase: Phase) -> Callable[[], bool]:
    return lambda: bool(gateway.jobs()) and the_job(gateway).phase is phase


def ask(gateway: Gateway, do: Callable[[Tx, Job], object]) -> None:
    """Do to the one job what a command does, beside the daemon or without one."""
    with direct(Folder(gateway.spool), Site.of(ADDRESS)) as spool, spool.transaction() as tx:
        do(tx, jobs.fetch(tx, JobId(the_job(gateway).id)))


def test_a_job_is_held_though_the_daemon_dies_between_its_claim_and_the_commit(
    gateway: Gateway,
) -> None:
    gateway.start(MAILGATE_CRASH="run:intended")
    gateway.send(request("wait"))
    gateway.died()
    # It is about to be started, as far as anybody knows.
    ask(gateway, lambda tx, job: wishes.hold(tx, job, by=ADA))
    assert the_job(gateway).phase is Phase.QUEUED
    gateway.start(wait=False, MAILGATE_CRASH="run:claimed")
    gateway.died()
    gateway.start()
    eventually(is_in(gateway, Phase.HELD), 20, gateway.logged)
    assert the_job(gateway).held_by == ADA
    ask(gateway, lambda tx, job: wishes.release(tx, job, by=ADA))
    eventually(is_in(gateway, Phase.EXECUTING), 20, gateway.logged)
    assert the_job(gateway).attempts == 2
    ask(gateway, lambda tx, job: wishes.destroy(tx, job, by=ADA))
    eventually(is_in(gateway, Phase.ARCHIVED), 90, gateway.logged)
    assert gateway.letters() == []


def test_a_limit_is_told_once_more_when_the_daemon_dies_before_it_is_noted(
    gateway: Gateway,
) -> None:
    gateway.start(MAILGATE_CRASH="run:limited")
    gateway.send(request("wait"))
    eventually(is_in(gateway, Phase.EXECUTING), 20, gateway.logged)
    ask(gateway, lambda tx, job: wishes.limit(tx, job, duration("1s"), by=ADA))
    gateway.died()
    gateway.start()
    (result,) = gateway.await_results(1)
    assert result["Mailgate-Exit"] == "work-limit"
    assert the_job(gateway).attempts == 1


@pytest.mark.parametrize("point", ["run:prepared", "run:submitted"])
def test_a_job_that_runs_once_more_has_its_inputs_whole_whatever_is_killed_when(
    gateway: Gateway, point: str
) -> None:
    content = b"x" * 300_000
    gateway.service("echo", ECHO)
    gateway.start()
    gateway.send(request("echo", attachments={"a.txt": content}))
    gateway.await_results(1)
    old = the_job(gateway)
    gateway.stop()
    assert gateway.run("rerun", old.id).returncode == 0
    # It goes at once, but for what the new one needs.
    assert gateway.run("destroy", old.id).returncode == 0
    assert gateway.run("purge").returncode == 0
    gateway.start(wait=False, MAILGATE_CRASH=point)
    gateway.died()
    assert gateway.run("purge").returncode == 0
    gateway.start()
    results = gateway.await_results(2)
    (result,) = [x for x in results if x["Mailgate-Job"] != old.id]
    assert attached(result)["stdout.txt"] == content
    assert result["Mailgate-Exit"] == "0"

    def purged() -> bool:
        gateway.run("purge")
        return {j["id"]: j["phase"] for j in gateway.jobs()}[old.id] == "ARCHIVED"

    eventually(purged, 20, gateway.logged)


def test_inputs_that_were_changed_since_are_not_taken_for_the_senders(gateway: Gateway) -> None:
    gateway.service("echo", ECHO)
    gateway.start()
    gateway.send(request("echo", attachments={"a.txt": b"x" * 300_000}))
    gateway.await_results(1)
    old = the_job(gateway)
    (kept,) = (gateway.spool / "jobs" / old.id[:2] / old.id / "in").glob("data*")
    kept.chmod(0o600)
    kept.write_bytes(b"y" * 300_000)
    assert gateway.run("rerun", old.id).returncode == 0
    results = gateway.await_results(2)
    (result,) = [x for x in results if x["Mailgate-Job"] != old.id]
    assert result["Mailgate-Exit"] == "could-not-start"
    assert "is gone, or has been changed" in " ".join(text_of(result).split())
