"""The daemon dies while others are named, asked, and agree; while quotas count; while a job goes."""

from pathlib import Path

import pytest

from tests.asking import EVE, ask, letter_to
from tests.asking import answer as reply
from tests.crash.test_confirming import insist
from tests.daemon import ECHO, TRUE, Gateway, eventually, request, running

QUOTA = '[quota]\njobs_a_day = 5\nbytes_a_day = "10 MiB"\n'


def dying(gateway: Gateway, point: str, mail: object) -> None:
    """Hand a mail over to a daemon that dies at the point, and start it again."""
    gateway.kill()
    gateway.start(MAILGATE_CRASH=point)
    starts = gateway.starts
    insist(gateway, mail)
    eventually(lambda: not gateway.alive or gateway.starts > starts, 30, gateway.logged)
    if not gateway.alive:
        gateway.start()


BEFORE, AFTER = "read:before-commit", "read:committed"


@pytest.mark.parametrize(("asking", "agreeing"), [(BEFORE, AFTER), (AFTER, BEFORE)])
def test_a_crash_while_somebody_is_asked_or_agrees_asks_and_tells_once(
    tmp_path: Path, asking: str, agreeing: str
) -> None:
    with running(tmp_path, more=QUOTA) as gateway:
        gateway.service("true", TRUE)
        dying(gateway, asking, request("true", f"watch: {EVE}\n"))
        gateway.await_results(1)
        asked = letter_to(gateway, EVE)
        eventually(lambda: not gateway.unsent())
        dying(gateway, agreeing, reply(asked, EVE, "confirm"))
        gateway.await_results(1, EVE)
        eventually(lambda: not gateway.unsent())
        assert len(gateway.letters(EVE)) == 2
        assert ask(gateway, "SELECT told FROM watcher") == [(1,)]
        # Every mail that was taken is counted, and the one job.
        sizes = ask(gateway, "SELECT size FROM message WHERE how = 'network'")
        assert ask(gateway, "SELECT bytes FROM tally WHERE bytes > 0") == sizes
        assert ask(gateway, "SELECT SUM(jobs) FROM tally") == [(1,)]


def test_a_job_that_goes_at_once_goes_wholly_whatever_dies_when(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.service("echo", ECHO)
        gateway.start()
        gateway.send(request("echo", attachments={"data": b"SECRET" * 50_000}))
        (result,) = gateway.await_results(1)
        eventually(lambda: not gateway.unsent())
        gateway.stop()
        assert gateway.run("destroy", str(result["Mailgate-Job"])).returncode == 0
        for point in ("purge:files-gone", "purge:mail-gone"):
            assert gateway.run("purge", MAILGATE_CRASH=point).returncode == -9
        assert gateway.run("purge").returncode == 0
        assert [job["phase"] for job in gateway.jobs()] == ["ARCHIVED"]
        gone = ask(gateway, "SELECT gone, file FROM message")
        assert gone == [(1, None)]
        for path in gateway.spool.rglob("*"):
            assert not path.is_file() or b"SECRET" not in path.read_bytes(), path
