"""Ends that nobody asked the gateway for, and what jobs leave behind them."""

import os
import signal
from pathlib import Path

import pytest

from tests.daemon import TRUE, eventually, request, running, shell, text_of

STAYS = 'echo "$MAILGATE_TOKEN" >token; exec sleep 600'
LEAVES = 'setsid sh -c "echo \\$\\$ >$0/left; exec sleep 600" >/dev/null 2>&1 & sleep 0.3'


def runs(process: int) -> bool:
    """Whether a process lives: one that nobody fetches does not."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_a_job_that_somebody_else_told_to_end_is_lost_and_not_cancelled(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.service("stays", shell(STAYS))
        gateway.start()
        gateway.send(request("stays"))
        (claim,) = eventually(
            lambda: [
                path
                for token in gateway.spool.glob("jobs/*/*/work/token")
                for path in token.parent.parent.glob("run/1/claim")
            ]
        )
        script = int(claim.read_text().split()[1])
        assert gateway.stop() == 0
        os.kill(script, signal.SIGTERM)
        gateway.start()
        (letter,) = gateway.await_results(1)
        assert letter["Mailgate-Exit"] == "lost"
        assert "ended by SIGTERM" in text_of(letter)


def test_jobs_whose_folder_is_not_mounted_are_not_lost_and_not_run_twice(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        more = '[retry]\ntimes = 3\non = ["lost"]'
        gateway.service("stays", shell(f'echo >>"{tmp_path}/ran"; cat "{tmp_path}/gate"', more))
        os.mkfifo(tmp_path / "gate")
        gateway.start()
        gateway.send(request("stays"))
        eventually(lambda: "EXECUTING" in gateway.logged("advanced"), tell=gateway.logged)
        assert gateway.stop() == 0
        jobs = gateway.spool / "jobs"
        jobs.rename(gateway.spool / "unmounted")
        gateway.start()
        gateway.send(request("stays"))
        (said,) = eventually(lambda: gateway.logged("unseen").splitlines(), tell=gateway.logged)
        assert "mount or configure that one" in said
        eventually(lambda: len(gateway.jobs()) == 2)
        (gateway.spool / "unmounted").rename(jobs)
        for count in (1, 2):
            (tmp_path / "gate").write_text("")
            results = gateway.await_results(count)
        assert [x["Mailgate-Exit"] for x in results] == ["0", "0"]
        assert (tmp_path / "ran").read_text() == "\n\n"
        assert [job["attempts"] for job in gateway.jobs()] == [1, 1]


@pytest.mark.parametrize(
    ("script", "end"),
    [("rm -rf ../run; exit 3", "lost"), ("sleep 0.3; rm -rf ../run; exec sleep 600", "cancelled")],
)
def test_a_job_that_removes_its_own_record_has_an_end_and_is_not_run_again(
    tmp_path: Path, script: str, end: str
) -> None:
    with running(tmp_path) as gateway:
        gateway.service("wipes", shell(f'echo >>"{tmp_path}/ran"; {script}'))
        gateway.start()
        gateway.send(request("wipes"))
        if end == "cancelled":
            (run,) = eventually(lambda: list(gateway.spool.glob("jobs/*/*/run")))
            eventually(lambda: not run.exists())
            assert gateway.run("cancel", run.parent.name).returncode == 0
        (letter,) = gateway.await_results(1)
        assert letter["Mailgate-Exit"] == end
        words = " ".join(text_of(letter).split())
        assert "The files in which its end is recorded are gone" in words
        assert (tmp_path / "ran").read_text() == "\n"


def test_what_a_job_left_running_is_gone_before_its_result_is_there(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.service("leaves", shell(LEAVES.replace("$0", str(tmp_path))))
        gateway.start()
        gateway.send(request("leaves"))
        (letter,) = gateway.await_results(1)
        assert letter["Mailgate-Exit"] == "0"
        assert not runs(int((tmp_path / "left").read_text()))


def test_what_an_ended_job_left_running_is_ended_by_the_next_start(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.service("leaves", shell('echo "$MAILGATE_TOKEN"'))
        gateway.start()
        gateway.send(request("leaves"))
        (letter,) = gateway.await_results(1)
        (stdout,) = gateway.spool.glob("jobs/*/*/out/stdout")
        gateway.kill()
        token = stdout.read_text().strip()
        left = os.posix_spawnp("sleep", ["sleep", "600"], {**os.environ, "MAILGATE_TOKEN": token})
        gateway.start()
        _, status = os.waitpid(left, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert letter["Mailgate-Exit"] == "0"


def test_one_jobs_own_trouble_holds_up_no_other(tmp_path: Path) -> None:
    with running(tmp_path, paused=True) as gateway:
        gateway.service("waits", shell("true"))
        gateway.service("true", TRUE)
        gateway.start()
        gateway.send(request("waits"))
        assert gateway.stop() == 0
        gateway.configure()
        # A file stands where the first job's folder would be made.
        gateway.start(MAILGATE_CRASH="read:committed", wait=False)
        gateway.died()
        (job,) = gateway.jobs()
        place = gateway.spool / "jobs" / str(job["id"])[:2]
        place.write_text("")
        gateway.start()
        eventually(lambda: "what=run" in gateway.logged("delayed"), tell=gateway.logged)
        gateway.send(request("true"))
        (letter,) = gateway.await_results(1)
        assert letter["Subject"].endswith("true: completed")
        # Sooner than the first is tried again.
        before, _, _ = gateway.logged().partition("\nsubmitted ")
        assert before.count("delayed what=run") == 1
