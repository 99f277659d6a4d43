"""A real Slurm of one node for the tests: munge, controller and node, with ports and state of its own."""

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.servers import PLACES, copied, eventually, free_port, require
from tests.witnesses import ends, witness

_CONF = """
ClusterName=mini
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=10000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters={select}
FirstJobId={first}
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
MaxJobCount=20000
MinJobAge={age}
KillWait=10
InactiveLimit=0
CompleteWait=0
MessageTimeout=5
SlurmdTimeout=30
SlurmctldDebug=info
SlurmdDebug=info
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=DEFAULT Nodes=ALL State=UP PreemptMode=OFF
PartitionName=main Default=YES MaxTime=INFINITE DefaultTime=10 OverSubscribe=NO
PartitionName=short MaxTime=1
PartitionName=low PreemptMode=CANCEL
PartitionName=high PriorityTier=5
"""
_MEMORY = Path("/sys/fs/cgroup/memory")
_CGROUP = f"""
CgroupPlugin=cgroup/v1
CgroupMountpoint={_MEMORY.parent}
CgroupAutomount=no
ConstrainRAMSpace=yes
"""


class Slurm:
    """A cluster: ``environment`` is what its commands need; ``host`` is its one node's name."""

    def __init__(self, folder: Path, *, cpus: int, age: int, bounds_memory: bool) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.conf = folder / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self.conf), "PATH": PLACES}
        for name in ("state", "node"):
            (folder / name).mkdir()
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        self.conf.write_text(
            _CONF.format(
                host=self.host, user=getpass.getuser(), folder=folder,
                controller=free_port(), node=free_port(), cpus=cpus, age=age,
                # Its control groups have the numbers of jobs in their names, whosever they are.
                first=random.randrange(1, 60_000_000) if bounds_memory else 1,
                task="task/cgroup" if bounds_memory else "task/none",
                select="CR_CPU_Memory\nDefMemPerCPU=1000" if bounds_memory else "CR_CPU",
            )
        )  # fmt: skip
        (folder / "cgroup.conf").write_text(_CGROUP if bounds_memory else "CgroupAutomount=no\n")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    # --- its daemons ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until its node takes jobs."""
        munge = {"key-file": "key", "socket": "munge.socket", "pid-file": "munged.pid"}
        munge |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        words = [f"--{name}={self.folder / file}" for name, file in munge.items()]
        self._spawn("munged", "--foreground", "--force", *words)
        eventually((self.folder / "munge.socket").exists)
        self.start_controller()
        self._spawn("slurmd", "-D")
        self.await_idle()

    def start_controller(self) -> None:
        self._spawn("slurmctld", "-D")

    def stop_controller(self) -> None:
        """Politely: all that it knows is in ``state`` then."""
        controller = self._running.pop("slurmctld")
        controller.terminate()
        controller.wait()

    def kill_controller(self) -> None:
        """As a power cut would: what it has not saved yet is lost."""
        controller = self._running.pop("slurmctld")
        controller.kill()
        controller.wait()

    def saved(self) -> Path:
        """Keep what the controller has saved so far, for `restore`."""
        kept = Path(tempfile.mkdtemp(prefix="saved-", dir=self.folder))
        copied(self.folder / "state", kept / "state")
        return kept / "state"

    def restore(self, state: Path) -> None:
        """Put an older state in the place of the controller's, which does not run."""
        shutil.rmtree(self.folder / "state")
        state.rename(self.folder / "state")

    def drain(self, reason: str) -> None:
        """Have the node take no more jobs, until `await_idle` puts it back."""
        node = f"nodename={self.host}"
        assert not self.run(
            "scontrol", "update", node, "state=drain", f"reason={reason}"
        ).returncode

    def await_idle(self) -> None:
        """Wait until the node takes jobs; a node that was drained is put back, as an operator does."""
        eventually(self._takes_jobs, seconds=60)

    def _takes_jobs(self) -> bool:
        state = self.said("sinfo", "-h", "-p", "main", "-o", "%T").rstrip("*")
        if state.startswith(("down", "drain")):
            self.run("scontrol", "update", f"nodename={self.host}", "state=resume")
        return state in {"idle", "mixed", "allocated"}

    def _spawn(self, program: str, *words: str) -> None:
        quiet = subprocess.DEVNULL
        with (self.folder / f"{program}.out").open("ab") as log:
            self._running[program] = subprocess.Popen(
                [require(program), *words], stdin=quiet, stdout=log, stderr=log,
                env=os.environ | self.environment, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """End it, and whatever it has started: its jobs are none of anybody's any more."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
        # Jobs, and those that watch over them, know it by its configuration.
        ours = f"SLURM_CONF={self.conf}".encode()
        eventually(lambda: not _ended(_under(ours)))
        for process in self._running.values():
            process.wait()

    # --- its commands -----------------------------------------------------------------------------

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one of its commands, as somebody at the cluster would."""
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=timeout,
            env=os.environ | self.environment,
        )  # fmt: skip

    def said(self, *words: str) -> str:
        return self.run(*words).stdout.strip()

    def states(self) -> dict[str, str]:
        """Every job's state by its name."""
        lines = self.said("squeue", "-h", "-t", "all", "-o", "%j %T").splitlines()
        return dict(line.split(" ", 1) for line in lines)


def _under(ours: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and ours in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [process for process in found if process != os.getpid()]


def _ended(processes: list[int]) -> list[int]:
    """Kill these; what was there is returned."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return processes


@contextmanager
def slurm(*, cpus: int = 16, age: int = 300, bounds_memory: bool = False) -> Iterator[Slurm]:
    """Run a Slurm of our own for as long as the block lasts.

    ``age``: how long (seconds) it tells of jobs that have ended. ``bounds_memory``: by control
    groups, in which it alone sees that a job took too much; the test is skipped where there are none.
    """
    if bounds_memory and not os.access(_MEMORY / "memory.limit_in_bytes", os.W_OK):
        pytest.skip("no control groups (version 1) here that bound memory")
    for program in ("munged", "slurmctld", "slurmd", "sbatch"):
        require(program)
    with tempfile.TemporaryDirectory(prefix="mailgate-slurm-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)
        cluster = Slurm(Path(place), cpus=cpus, age=age, bounds_memory=bounds_memory)
        try:
            logs = [Path(place) / f"{name}.log" for name in ("munged", "slurmctld", "slurmd")]
            with witness("Slurm", lambda: ends(x for x in logs if x.exists())):
                cluster.start()
                yield cluster
        finally:
            cluster.stop()
