"""Why a scheduler lets a job wait, in its own words: which sentence stands for them."""

import pytest

from mailgate.reply.layout import fact
from mailgate.reply.waits import wait_kind

SAID = {
    "": ["", "None", "(None)", "n/a", "WaitingForScheduling"],
    "priority": ["Priority", "(Priority)"],
    "resources": [
        "Resources",
        "(Resources)",
        "Not Running: Insufficient amount of resource: ncpus (R: 8 A: 2 T: 16)",
        'queue instance "all.q@n17" dropped because it is full',
        'cannot run because it exceeds the slots of "smp"',
        'cannot run in PE "smp" because it only offers 2 slots',
        "Not enough job slot(s): 3 hosts;",
    ],
    "nodes": [
        "ReqNodeNotAvail",
        "ReqNodeNotAvail, UnavailableNodes:n[1-3]",
        "NodeDown",
        "Not Running: Node is down",
        "(Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority"
        " partitions)",
    ],
    "reserved": ["Reservation", "ReqNodeNotAvail, Reserved for maintenance"],
    "queue": [
        "PartitionDown",
        "PartitionInactive",
        "Not Running: Queue not started.",
        'queue instance "all.q@n17" dropped because it is disabled',
    ],
    "limit": [
        "QOSMaxJobsPerUserLimit",
        "AssocGrpCpuLimit",
        "QOSGrpNodeLimit",
        "QOSJobLimit",
        "JobArrayTaskLimit",
        "Not Running: User has reached queue quincy running job limit.",
        "The user has reached his/her job slot limit;",
    ],
    "never": [
        "BadConstraints",
        "PartitionTimeLimit",
        "PartitionNodeLimit",
        "PartitionConfig",
        "QOSMaxWallDurationPerJobLimit",
        "AssocMaxCpuPerJobLimit",
        "InvalidAccount",
        "DependencyNeverSatisfied",
        "Can Never Run: Insufficient amount of server resource: ncpus (R: 99 A: 16 T: 16)",
    ],
    "held": [
        "JobHeldUser",
        "JobHeldAdmin",
        "Job held by user on Sun Nov 22 at 12:00",
        "Job Held",
        "Jobs dropped because of hold state",
    ],
    "dependency": ["Dependency"],
    "later": ["BeginTime", "execution time not reached: execution time is 2027"],
    "licence": ["Licenses"],
    "other": ["Cleaning", "the moon", "Prolog", "X" * 100_000],
}


@pytest.mark.parametrize(
    ("kind", "why"), [(kind, why) for kind, words in SAID.items() for why in words]
)
def test_what_schedulers_say_has_a_sentence_of_its_own(kind: str, why: str) -> None:
    assert wait_kind(why) == kind
    # In a letter its blanks are hidden.
    assert wait_kind(fact(why, 1000)) == kind
