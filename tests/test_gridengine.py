"""The cluster that the tests start, and the adapter's own commands against it."""

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.model import Exit, Reason, Token
from mailgate.run.gridengine import GridEngine as Adapter
from mailgate.run.scheduler import (
    Ask,
    Command,
    Given,
    Said,
    Seen,
    State,
    UnreadableError,
    Verdict,
)
from mailgate.settings.schedulers import GridEngine as Site
from tests.daemon import eventually
from tests.gridengine import GridEngine, gridengine

ADAPTER = Adapter(Site(pe="smp"))

# The script of a job, with words of a mail in it that are lines of their own.
SCRIPT = """\
#!/bin/sh
set -- 'a parameter
#$ -N hijacked -h
'
trap 'echo "told to end"; exit 0' USR2
echo "begun with $NSLOTS"
sleep "${1#*/}" 2>/dev/null || sleep 60 &
wait
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[GridEngine]:
    with gridengine() as running:
        yield running


def said(cluster: GridEngine, command: Command) -> Said:
    """Run a command as the gateway would."""
    run = subprocess.run(
        command.argv,
        env=os.environ | cluster.environment | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(status=run.returncode, stdout=run.stdout, stderr=run.stderr)


def submitted(cluster: GridEngine, place: Path, token: str, **more: object) -> Given:
    (place / "script").write_text(SCRIPT)
    paths = {"script": f"{place}/script", "folder": f"{place}", "messages": f"{place}/messages"}
    ask = Ask(token=Token(token), **(paths | more))  # type: ignore[arg-type]
    told = said(cluster, ADAPTER.submit(ask))
    assert told.status == 0, told
    return Given(token=Token(token), native=ADAPTER.parse_submit(told.stdout))


def polled(cluster: GridEngine, job: Given) -> Seen | None:
    # Asked again and again: each look is two processes.
    time.sleep(0.2)
    told = said(cluster, ADAPTER.poll())
    seen = [one for one in ADAPTER.parse_poll(told.stdout) if one.token == job.token]
    return seen[0] if seen else None


def awaited(cluster: GridEngine, job: Given, state: State) -> Seen:
    def there() -> Seen | None:
        seen = polled(cluster, job)
        return seen if seen is not None and seen.state is state else None

    found = eventually(there)
    assert isinstance(found, Seen)
    return found


def why(cluster: GridEngine, job: Given) -> Seen | None:
    return ADAPTER.parse_why(said(cluster, ADAPTER.why(job)), job)


def test_a_job_runs_under_its_name_is_deleted_by_it_and_told_first(
    cluster: GridEngine, tmp_path: Path
) -> None:
    # As a path it would be a host's file, or two.
    place = tmp_path / "a:b, c"
    place.mkdir()
    job = submitted(cluster, place, "mrunnerunner1", cores=2)
    assert awaited(cluster, job, State.RUNNING).native == job.native
    begun = place / "messages"
    eventually(lambda: begun.is_file() and begun.read_text() == "begun with 2\n")
    assert said(cluster, ADAPTER.cancel(job)).status == 0
    eventually(lambda: polled(cluster, job) is None)
    assert "told to end" in (place / "messages").read_text()
    seen = eventually(lambda: _ended(why(cluster, job)))
    assert isinstance(seen, Seen)
    assert (seen.word, seen.end) == ("exit status 0", None)


def _ended(seen: Seen | None) -> Seen | None:
    """The accounting is written a second after the end."""
    return seen if seen is not None and seen.word != "deleted" else None


def test_a_job_that_waits_says_for_what_and_can_be_held_released_and_deleted(
    cluster: GridEngine, tmp_path: Path
) -> None:
    job = submitted(cluster, tmp_path, "mwaiterwaiter", gpus=99)
    awaited(cluster, job, State.WAITING)
    told = eventually(lambda: getattr(why(cluster, job), "why", ""))
    assert "cannot run" in str(told)
    cluster.run("qhold", job.token)
    awaited(cluster, job, State.HELD)
    assert said(cluster, ADAPTER.release(job)).status == 0
    awaited(cluster, job, State.WAITING)
    assert said(cluster, ADAPTER.cancel(job)).status == 0
    seen = eventually(lambda: why(cluster, job))
    assert isinstance(seen, Seen)
    assert (seen.native, seen.end) == (job.native, Exit(reason=Reason.CANCELLED))


def test_a_job_that_cannot_be_started_says_why(cluster: GridEngine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = f"{tmp_path}/file/below"
    job = submitted(cluster, tmp_path, "mfolderfolder", folder=below, messages=f"{below}/m")
    assert awaited(cluster, job, State.ENDED).word == "Eqw"
    seen = why(cluster, job)
    assert seen is not None
    assert seen.end == Exit(reason=Reason.COULD_NOT_START)
    assert seen.why == f'can\'t stat() "{below}/m" as stdout_path: Not a directory'


def test_a_job_over_its_limit_is_told_to_end(cluster: GridEngine, tmp_path: Path) -> None:
    job = submitted(cluster, tmp_path, "mlimitmlimitm", limit=timedelta(seconds=2))
    eventually(lambda: polled(cluster, job) is None)
    assert "told to end" in (tmp_path / "messages").read_text()
    seen = eventually(lambda: _ended(why(cluster, job)))
    assert isinstance(seen, Seen)
    assert seen.end == Exit(reason=Reason.WORK_LIMIT)


def test_a_queue_master_that_was_killed_is_away_and_then_has_its_jobs_still(
    cluster: GridEngine, tmp_path: Path
) -> None:
    job = submitted(cluster, tmp_path, "mkeptkeptkept")
    awaited(cluster, job, State.RUNNING)
    cluster.kill_master()
    paths = {"script": f"{tmp_path}/script", "folder": "/", "messages": "/dev/null"}
    told = said(cluster, ADAPTER.submit(Ask(token=Token("mlaterlaterla"), **paths)))
    assert ADAPTER.verdict(told) is Verdict.LATER
    assert said(cluster, ADAPTER.poll()).status != 0
    with pytest.raises(UnreadableError):
        why(cluster, job)
    cluster.start_master()
    cluster.kill_node()
    cluster.start_node()
    assert awaited(cluster, job, State.RUNNING).native == job.native
    cluster.run("qdel", job.token)
