"""Running jobs are weighed beside the runner: it neither waits for that nor falls with it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailgate.model import Attempt, Plan
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.run.weights import Weights
from mailgate.spool import attempts
from mailgate.spool.store import Folder, Spool, direct
from tests.run.yard import PATIENCE
from tests.spool.conftest import SITE
from tests.spool.made import a_job


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = Spool(Folder(tmp_path / "spool"), SITE)
    opened.open()
    yield opened
    opened.close()


def running(spool: Spool, jobs: Path, *, limit: int | None) -> tuple[JobFolder, Attempt]:
    """Make a job that has written 100,000 bytes."""
    with direct(spool.folder, SITE) as connection:
        job = a_job(connection, plan=Plan(argv=("true",), disk=limit))
        with connection.transaction() as tx:
            attempt = attempts.intend(tx, job, engine="local")
    assert attempt is not None
    folder = JobFolder(jobs, job)
    folder.work.mkdir(parents=True)
    (folder.work / "file").write_bytes(b"x" * 100_000)
    return folder, attempt


async def test_who_is_over_is_told_by_a_ring_and_nobody_waits_for_the_scales(
    spool: Spool, tmp_path: Path
) -> None:
    all_of_them = [running(spool, tmp_path / "jobs", limit=n) for n in (10_000, 1 << 20, None)]
    weights = Weights(spool)
    free = threading.Event()
    with ThreadPoolExecutor(1) as only:
        asyncio.get_running_loop().set_default_executor(only)
        only.submit(free.wait)
        try:
            async with asyncio.TaskGroup() as group:
                weights.weigh(group, all_of_them)
                # No folder can be walked now, and the loop goes round all the same.
                for _ in range(10):
                    await asyncio.sleep(0)
                assert weights.over == frozenset()
                free.set()
                await spool.wait("run", longest=PATIENCE)
                assert weights.over == {all_of_them[0][1].token}
        finally:
            free.set()


async def test_scales_that_fail_are_logged_and_bring_nobody_down(
    spool: Spool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, attempt = running(spool, tmp_path / "jobs", limit=10_000)
    with direct(spool.folder, SITE) as connection, connection.transaction() as tx:
        tx.execute("UPDATE job SET plan = ?", "no plan")
    weights = Weights(spool)
    async with asyncio.TaskGroup() as group:
        weights.weigh(group, [(folder, attempt)])
    assert "failed what=weigh" in capsys.readouterr().err
    assert weights.over == frozenset()


async def test_folders_are_not_walked_again_at_once(spool: Spool, tmp_path: Path) -> None:
    job = running(spool, tmp_path / "jobs", limit=10_000)
    weights = Weights(spool)
    async with asyncio.TaskGroup() as group:
        weights.weigh(group, [job])
    (job[0].work / "file").unlink()
    async with asyncio.TaskGroup() as group:
        weights.weigh(group, [job])
    assert weights.over == {job[1].token}
