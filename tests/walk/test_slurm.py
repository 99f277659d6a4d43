"""Jobs by mail, through a real Slurm of one node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ECHO, Gateway, request, running, shell, text_of
from tests.slurm import Slurm, slurm
from tests.walk.slurms import on


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as made:
        yield made


@pytest.fixture
def gateway(cluster: Slurm, tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        yield on(cluster, made)


def test_mail_becomes_a_job_at_slurm_and_its_result_a_mail(
    cluster: Slurm, gateway: Gateway
) -> None:
    gateway.service("echo", ECHO)
    gateway.service("seven", shell('echo "$SLURM_JOB_ID$SECRET"; echo oh >&2; exit 7'))
    gateway.start(SECRET="what is the gateway's own")
    gateway.send(request("echo", attachments={"data": b"hello\n"}))
    gateway.send(request("seven"))
    done, failed = sorted(gateway.await_results(2), key=lambda mail: str(mail["Mailgate-Exit"]))
    assert done["Mailgate-Exit"] == "0"
    assert "hello" in text_of(done)
    assert failed["Mailgate-Exit"] == "7"
    assert "oh" in text_of(failed)
    tokens = {
        line.split("token=")[1].split()[0] for line in gateway.logged("submitted").split("\n")
    }
    assert tokens <= cluster.states().keys()
