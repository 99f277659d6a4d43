"""Jobs that write too much: each is ended and told so, and the disk is everybody's again."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import TRUE, Gateway, attached, eventually, request, running, shell, text_of
from tests.disks import small_disk

# Pieces of 1 MiB, so that none is too large by itself.
PIECES = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); head -c 1048576 /dev/zero >p$i || exit 1; done"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("true", TRUE)
        yield made


def words(gateway: Gateway) -> str:
    (result,) = [x for x in gateway.results() if x["Mailgate-Exit"] != "0"]
    assert (result["Mailgate-Exit"], result["Mailgate-Phase"]) == ("signal 25", "ERROR")
    return " ".join(text_of(result).split())


def test_a_job_that_writes_a_larger_file_than_it_may_is_told_so(gateway: Gateway) -> None:
    more = '[limits]\ndisk = "1 MiB"'
    gateway.service("big", shell("exec head -c 2000000 /dev/zero", more))
    gateway.start()
    gateway.send(request("big"))
    gateway.await_results(1)
    assert "It wrote more than 1 MiB, the most that it may." in words(gateway)
    assert attached(gateway.results()[0])["stdout.txt"] == bytes(1 << 20)


def test_a_job_that_writes_more_than_it_may_in_all_is_ended_across_a_restart(
    gateway: Gateway,
) -> None:
    more = '[limits]\ndisk = "3 MiB"'
    gateway.service(
        "many", shell("for i in 1 2 3 4; do head -c 1m /dev/zero >$i; done; sleep 600", more)
    )
    gateway.start()
    gateway.send(request("many"))
    eventually(lambda: list(gateway.spool.glob("jobs/*/*/work/4")))
    gateway.kill()
    gateway.start()
    gateway.await_results(1)
    assert "It wrote more than 3 MiB, the most that it may." in words(gateway)


def test_a_job_that_fills_the_disk_against_its_limit_does_not_stand_in_others_way(
    gateway: Gateway,
) -> None:
    more = '[limits]\ndisk = "8 MiB"'
    gateway.configure(min_free="0")
    go, full = gateway.folder / "go", gateway.folder / "full"
    with small_disk(gateway.spool, "12m"):
        begins = f"until [ -e {go} ]; do sleep 0.05; done"
        gateway.service("greedy", shell(f"{begins}; ({PIECES}); touch {full}; sleep 600", more))
        gateway.start()
        gateway.send(request("greedy"))
        eventually(lambda: "EXECUTING" in gateway.logged("advanced"), 30, gateway.logged)
        # Else it may be seen on its way, over its limit and before the disk is full.
        os.kill(gateway.pid, signal.SIGSTOP)
        go.touch()
        eventually(full.exists)
        os.kill(gateway.pid, signal.SIGCONT)
        eventually(lambda: gateway.logged("cleared"), 30, gateway.logged)
        gateway.await_results(1)
        assert list(gateway.spool.glob("jobs/*/*/work")) == []
        assert "removed, for they had filled the disk" in words(gateway)
        gateway.send(request("true"))
        gateway.await_results(2)
        gateway.kill()


def test_a_job_that_fails_on_a_full_disk_is_told_that_it_was_full(gateway: Gateway) -> None:
    gateway.configure(min_free="0")
    with small_disk(gateway.folder / "jobs", "4m"):
        gateway.config.write_text(
            gateway.config.read_text().replace("[run]", '[run]\nfolder = "jobs"')
        )
        gateway.service("greedy", shell(PIECES))
        gateway.start()
        gateway.send(request("greedy"))
        (result,) = gateway.await_results(1)
        said = " ".join(text_of(result).split())
        assert said.startswith(
            "The gateway's disk was full while your job ran: outputs may be missing"
        )
        assert "The disk was full when it ended." in said
        gateway.kill()
