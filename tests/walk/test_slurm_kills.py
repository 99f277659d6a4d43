"""The proof: the daemon and Slurm's controller are killed again and again, and nothing acts twice."""

import random
import re
import time
from collections import Counter, defaultdict
from email.message import EmailMessage
from itertools import cycle
from pathlib import Path

import pytest

from tests.daemon import Gateway, eventually, request, running
from tests.slurm import Slurm, slurm
from tests.walk.slurms import on

# A body says that it begins before anything else, and that it ends after all else.
SERVICE = """
summary = "Say that it begins, and end as it is told"
command = ["sh", "-c", '''
echo "$MAILGATE_JOB begins" >>{ledger}; read code; sleep 0.$((code % 10))
echo "$MAILGATE_JOB $code" >>{ledger}; exit $code''']
stdin = "data"
[input.data]
from = "body"
[access]
allow = ["*@example.org"]
"""
DRAINED = "Duplicate jobid on nodes"


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_each_job_begins_once_and_tells_its_own_code_whatever_is_killed(
    tmp_path: Path, soak: bool, seed: int
) -> None:
    jobs, kills, controllers, lost = (400, 60, 5, 5) if soak else (40, 6, 1, 2)
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
        last = mails[-lost:]
        without_controller = set(dice.sample(range(kills), controllers))
        for kill in range(kills):
            for mail in mails[kill * (jobs - lost) // kills : (kill + 1) * (jobs - lost) // kills]:
                gateway.send(mail)
            time.sleep(dice.uniform(0.0, 1.2))
            if kill in without_controller:
                cluster.kill_controller()
            gateway.kill()
            if kill in without_controller:
                cluster.start_controller()
            gateway.start()
        awaited(gateway, cluster, jobs - lost)
        lose(cluster, gateway, last)
        results = awaited(gateway, cluster, jobs)
        submitted = Counter(submissions(gateway))
    begun, ended = told(ledger)
    assert begun == Counter(str(mail["Mailgate-Job"]) for mail in results)
    assert set(begun.values()) == {1}
    answered = Counter(str(mail["In-Reply-To"]) for mail in results)
    assert answered == Counter(str(mail["Message-ID"]) for mail in mails)
    for mail in results:
        number = int(str(mail["In-Reply-To"]).strip("<>").partition("@")[0])
        check(mail, codes[number], ended[str(mail["Mailgate-Job"])])
        if number >= jobs - lost:
            # Slurm lost it before it began, and it was submitted again.
            assert submitted[str(mail["Mailgate-Job"])] > 1
            assert mail["Mailgate-Exit"] == str(codes[number])


def told(ledger: Path) -> tuple[Counter[str], dict[str, list[str]]]:
    """Return how often each job's body has begun, and the codes with which it has ended."""
    begun, ended = Counter[str](), defaultdict[str, list[str]](list)
    for line in ledger.read_text().splitlines():
        job, word = line.split()
        if word == "begins":
            begun[job] += 1
        else:
            ended[job].append(word)
    return begun, ended


def check(result: EmailMessage, code: int, ended: list[str]) -> None:
    """See that a result says how the body ended, and only of a killed one anything else."""
    phase, how = result["Mailgate-Phase"], str(result["Mailgate-Exit"])
    if how.isdigit():
        assert ended == [how] == [str(code)]
        assert phase == ("ERROR" if code else "COMPLETED")
    else:
        # By a controller that had lost it, say.
        assert ended == [], (how, code)
        assert phase == "ABORTED" or (phase, how.partition(" ")[0]) == ("ERROR", "signal")


def lose(cluster: Slurm, gateway: Gateway, mails: list[EmailMessage]) -> None:
    """Have Slurm's controller lose these jobs before they begin, for its state is an older one.

    It gives their numbers to others. Their status says why they wait, as long as the node is drained.
    """
    cluster.drain(DRAINED)
    older = cluster.saved()
    for mail in mails:
        gateway.send(mail)
    jobs = eventually(lambda: handed(gateway, mails), 120, gateway.logged)
    # Slurm says so of the first in its queue, and of the others that they wait for that one.
    status = (gateway.run("status", job).stdout for job in cycle(jobs))
    eventually(lambda: b"DRAINED" in next(status), 60, gateway.logged)
    cluster.kill_controller()
    gateway.kill()
    cluster.restore(older)
    cluster.start_controller()
    gateway.start()


def handed(gateway: Gateway, mails: list[EmailMessage]) -> list[str]:
    """Return the jobs of these mails, once Slurm has all of them; else none."""
    read = dict(re.findall(r" key=(<\S+>) outcome=say:(\w+)", gateway.logged("read")))
    jobs = [read.get(str(mail["Message-ID"]), "") for mail in mails]
    return jobs if {*jobs} <= {*submissions(gateway)} else []


def submissions(gateway: Gateway) -> list[str]:
    """Return the jobs that were handed to Slurm, each as often as it was."""
    return re.findall(r"^submitted job=(\w+)", gateway.logged(), re.MULTILINE)


def awaited(gateway: Gateway, cluster: Slurm, jobs: int) -> list[EmailMessage]:
    """Wait for every result; a node that Slurm drains over a number given twice is put back."""

    def come() -> bool:
        cluster.await_idle()
        return len(gateway.results()) >= jobs and not gateway.unsent()

    eventually(come, 600, lambda: gateway.logged()[-3000:] + str(cluster.states()))
    return gateway.results()
