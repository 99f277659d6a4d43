"""The proof: the daemon and Slurm's controller are killed again and again, and nothing acts twice."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.daemon import eventually, request, running
from tests.slurm import Slurm, slurm
from tests.walk.slurms import on

SERVICE = """
summary = "Say that it begins, and end as it is told"
command = ["sh", "-c", 'read code; echo "$MAILGATE_JOB" >>{ledger}; sleep 0.$((code % 10)); exit $code']
stdin = "data"
[input.data]
from = "body"
[access]
allow = ["*@example.org"]
"""


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_each_job_begins_once_and_tells_its_own_code_whatever_is_killed(
    tmp_path: Path, soak: bool, seed: int
) -> None:
    jobs, kills, controllers = (400, 60, 5) if soak else (40, 6, 1)
    dice = random.Random(seed)
    ledger = tmp_path / "ledger"
    with slurm(cpus=24) as cluster, running(tmp_path / "gate") as gateway:
        on(cluster, gateway, grace="3s")
        gateway.service("say", SERVICE.replace("{ledger}", str(ledger)))
        gateway.start()
        codes = [dice.randrange(200) % 120 for _ in range(jobs)]
        mails = [
            request("say", f"\n{code}\n", message_id=f"<{n}@example.org>")
            for n, code in enumerate(codes)
        ]
        without_controller = set(dice.sample(range(kills), controllers))
        for kill in range(kills):
            for mail in mails[kill * jobs // kills : (kill + 1) * jobs // kills]:
                gateway.send(mail)
            time.sleep(dice.uniform(0.0, 1.2))
            if kill in without_controller:
                cluster.kill_controller()
            gateway.kill()
            if kill in without_controller:
                cluster.start_controller()
            gateway.start()
        results = awaited(gateway, cluster, jobs)
    begun = Counter(ledger.read_text().split())
    assert [job for job, count in begun.items() if count > 1] == []
    told = Counter(str(mail["In-Reply-To"]) for mail in results)
    assert [key for key, count in told.items() if count > 1] == []
    assert len(told) == jobs
    for mail in results:
        number = int(str(mail["In-Reply-To"]).strip("<>").partition("@")[0])
        if str(mail["Mailgate-Exit"]) != str(codes[number]):
            # Only a body that was killed: by a controller that had lost it, say.
            assert mail["Mailgate-Phase"] != "COMPLETED", mail["Mailgate-Exit"]
            assert not str(mail["Mailgate-Exit"]).isdigit(), (codes[number], mail["Mailgate-Exit"])
            assert begun[str(mail["Mailgate-Job"])] == 1, mail["Mailgate-Exit"]


def awaited(gateway, cluster: Slurm, jobs: int):
    """Wait for every result; a node that Slurm drains over a number given twice is put back."""

    def come() -> bool:
        cluster.await_idle()
        return len(gateway.results()) >= jobs

    eventually(come, 600, lambda: gateway.logged()[-3000:] + str(cluster.states()))
    return gateway.results()
