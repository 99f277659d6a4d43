"""A real Grid Engine for the tests: one node, on loopback, in a folder of its own, stopped at the end.

Debian compiles its places in, but SGE_ROOT and the two ports win over them: so there may be as many
of these beside each other as there are test processes, and an installed one is never touched.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers import copied, eventually, folder_for_all, free_port, require
from tests.witnesses import ends, witness

PROGRAMS = Path("/usr/lib/gridengine")
SHARED = Path("/usr/share/gridengine")
CELL = "default"

BOOTSTRAP = """\
admin_user              root
default_domain          none
ignore_fqdn             false
spooling_method         classic
spooling_lib            libspoolc
spooling_params         {spool}
binary_path             /usr/sbin
qmaster_spool_dir       {folder}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""

# What is changed of the configuration that Debian ships. Each cluster has group numbers of its own:
# by them it knows, and kills, the processes of its jobs.
GLOBAL = {
    "execd_spool_dir": "{folder}/execd",
    "min_uid": "0",
    "min_gid": "0",
    "gid_range": "{groups}",
    "load_report_time": "00:00:01",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false"
    " sharelog=00:00:00",
    "finished_jobs": "1000",
}

# A scheduler that looks each second, and at once when a job comes or ends.
SCHEDULER = {
    "schedule_interval": "0:0:1",
    "flush_submit_sec": "1",
    "flush_finish_sec": "1",
    "schedd_job_info": "true",
}

HOST = """\
hostname {host}
load_scaling NONE
complex_values gpu=2
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""

HOSTS = "group_name @allhosts\nhostlist {host}\n"

PE = """\
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
qsort_args NONE
accounting_summary TRUE
"""

QUEUE = """\
qname {name}
hostlist @allhosts
seq_no {place}
load_thresholds NONE
suspend_thresholds NONE
nsuspend 1
suspend_interval 00:05:00
priority 0
min_cpu_interval 00:05:00
processors UNDEFINED
qtype BATCH
ckpt_list NONE
pe_list smp
rerun TRUE
slots {slots}
tmpdir /tmp
shell /bin/sh
prolog {prolog}
epilog NONE
shell_start_mode unix_behavior
starter_method NONE
suspend_method NONE
resume_method NONE
terminate_method NONE
notify 00:00:02
owner_list NONE
user_lists NONE
xuser_lists NONE
subordinate_list NONE
complex_values NONE
projects NONE
xprojects NONE
calendar NONE
initial_state default
""" + "".join(
    f"{kind}_{name} INFINITY\n"
    for name in "rt cpu fsize data stack core rss vmem".split()
    for kind in "sh"
)


# The queues, the first goes first, and their slots. No job gets through the prolog of broken.q.
QUEUES = {"main.q": 16, "small.q": 1, "broken.q": 1}


@dataclass
class GridEngine:
    """A running Grid Engine of one node, with ``QUEUES`` and the parallel environment ``smp``.

    ``gpu`` is a consumable, two of it on the node. ``environment`` is what its commands need.
    """

    folder: Path
    qmaster: int = field(default_factory=free_port)
    execd: int = field(default_factory=free_port)
    host: str = field(default_factory=lambda: socket.gethostname().partition(".")[0])

    @property
    def environment(self) -> Mapping[str, str]:
        """What names this cluster to qsub and the others, and to a gateway."""
        return {
            "SGE_ROOT": str(self.folder),
            "SGE_CELL": CELL,
            "SGE_QMASTER_PORT": str(self.qmaster),
            "SGE_EXECD_PORT": str(self.execd),
            "SGE_CLUSTER_NAME": "test",
        }

    @property
    def groups(self) -> range:
        """The numbers of the groups that mark the processes of its jobs, its alone."""
        return range(100_000 + 100 * self.qmaster, 100_100 + 100 * self.qmaster)

    def run(self, *words: str | Path, check: bool = True) -> str:
        """Run one of its commands, and return what it said on standard output."""
        program, *rest = words
        told = subprocess.run(
            [require(str(program)), *rest],
            env=os.environ | self.environment | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert not check or told.returncode == 0, (words, told.stdout, told.stderr)
        return told.stdout

    def listed(self) -> str:
        """Return qstat's list. Who asks again and again is slowed down: each look is a process."""
        time.sleep(0.2)
        return self.run("qstat", check=False)

    def settings(self, option: str, text: str) -> None:
        """Give qconf(1) a file with this text, as its options in capitals take one."""
        file = self.folder / "settings"
        file.write_text(text)
        self.run("qconf", option, file)

    # --- its two daemons --------------------------------------------------------------------------

    def start_master(self) -> None:
        """Start the queue master, and wait until it answers.

        A node that was there before comes back to it after half a minute, or when it is started anew.
        """
        self.run("sge_qmaster")
        eventually(lambda: self.run("qconf", "-sh", check=False))

    def start_node(self) -> None:
        """Start the node's daemon, and wait until it has reported its load."""
        self.run("sge_execd")
        eventually(self._is_up)

    def kill_master(self) -> None:
        """Kill the queue master, as a power cut would."""
        self._end(self._process("qmaster/qmaster.pid"), signal.SIGKILL)

    def saved(self) -> Path:
        """Keep what the queue master has saved so far, for `restore`."""
        kept = self.folder / f"saved{time.monotonic_ns()}"
        copied(self.folder / "qmaster", kept)
        return kept

    def restore(self, state: Path) -> None:
        """Put an older state in the place of the queue master's, which does not run."""
        shutil.rmtree(self.folder / "qmaster")
        state.rename(self.folder / "qmaster")

    def kill_node(self) -> None:
        """Kill the node's daemon; what runs on it lives on."""
        self._end(self._process("execd/*/execd.pid"), signal.SIGKILL)

    def kill_jobs(self) -> None:
        """Kill whatever runs on the node, with what watches over it, as a power cut would."""
        place = str(self.folder / "execd")
        for process in [*_of_groups(self.groups), *_working_in(place)]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _is_up(self) -> bool:
        for line in self.run("qhost", check=False).splitlines():
            words = line.split()
            # Name, architecture, processors, sockets, cores, threads, load, memory.
            if words and words[0] == self.host and words[7] != "-":
                return True
        return False

    def _process(self, pattern: str) -> int | None:
        """Return the daemon whose number that file has; None where it runs no more."""
        for file in self.folder.glob(pattern):
            with suppress(OSError, ValueError):
                number = int(file.read_text())
                # The file outlives it: another program may have its number.
                if str(self.folder).encode() in Path(f"/proc/{number}/environ").read_bytes():
                    return number
        return None

    def _end(self, process: int | None, how: signal.Signals) -> None:
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(process, how)
        eventually(lambda: not Path(f"/proc/{process}/environ").exists() or _dead(process))

    # --- all of it --------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the cluster in its empty folder, and start it."""
        self._lay_out()
        self.start_master()
        self.run("qconf", "-as", self.host)
        self.settings("-Mc", self.run("qconf", "-sc") + "gpu gpu INT <= YES YES 0 0\n")
        self.settings("-Ae", HOST.format(host=self.host))
        # It takes two seconds to say that it is up.
        node = threading.Thread(target=self.start_node)
        node.start()
        self.settings("-Ahgrp", HOSTS.format(host=self.host))
        self.settings("-Ap", PE)
        self.settings("-Msconf", _changed(self.run("qconf", "-ssconf"), SCHEDULER))
        for place, (name, slots) in enumerate(QUEUES.items()):
            prolog = self._broken() if name == "broken.q" else "NONE"
            text = QUEUE.format(name=name, place=place, slots=slots, prolog=prolog)
            self.settings("-Aq", text)
        node.join()
        eventually(self._is_up)

    def _broken(self) -> Path:
        """Make a prolog whose exit puts each job into the state of error."""
        program = self.folder / "broken"
        program.write_text("#!/bin/sh\nexit 100\n")
        program.chmod(0o755)
        return program

    def stop(self) -> None:
        """End its jobs, then its daemons."""
        if self._process("qmaster/qmaster.pid"):
            self.run("qdel", "-f", "-u", "*", check=False)
        for file in ("execd/*/execd.pid", "qmaster/qmaster.pid"):
            self._end(self._process(file), signal.SIGKILL)
        # What outlives its cluster: Grid Engine ends no process of root's by its group.
        for process in _of_groups(self.groups):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _lay_out(self) -> None:
        common = self.folder / CELL / "common"
        for place in (common, self.folder / "qmaster" / "job_scripts", self.folder / "execd"):
            place.mkdir(parents=True)
        for name in ("bin", "lib", "utilbin"):
            (self.folder / name).mkdir()
            (self.folder / name / "lx-amd64").symlink_to(PROGRAMS)
        (self.folder / "util").symlink_to(SHARED / "util")
        spool = f"{common};{self.folder / 'qmaster'}"
        (common / "bootstrap").write_text(BOOTSTRAP.format(folder=self.folder, spool=spool))
        (common / "act_qmaster").write_text(f"{self.host}\n")
        # 127.0.0.1 is "localhost" backwards, whatever the machine is called.
        (common / "host_aliases").write_text(f"{self.host} localhost\n")
        (common / "sched_configuration").touch()
        groups = f"{self.groups.start}-{self.groups.stop - 1}"
        values = {"folder": self.folder, "groups": groups}
        changes = {name: text.format_map(values) for name, text in GLOBAL.items()}
        configuration = self.folder / "configuration"
        configuration.write_text(_changed((SHARED / "default-configuration").read_text(), changes))
        self._program("spoolinit", "classic", "libspoolc", spool, "init")
        self._program("spooldefaults", "configuration", configuration)
        resources = SHARED / "util" / "resources"
        self._program("spooldefaults", "complexes", resources / "centry")
        self._program("spooldefaults", "usersets", resources / "usersets")
        self._program("spooldefaults", "managers", "root")

    def _program(self, name: str, *words: str | Path) -> None:
        self.run(PROGRAMS / name, *words)


def _changed(text: str, changes: Mapping[str, str]) -> str:
    """Put other values into lines ``name value``."""
    lines = []
    for line in text.splitlines():
        name = line.split(maxsplit=1)[0] if line.strip() else ""
        lines.append(f"{name} {changes[name]}" if name in changes else line)
    return "\n".join(lines) + "\n"


def _dead(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def _of_groups(groups: range) -> list[int]:
    """Return the processes that have one of these supplementary groups."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = re.search(r"^Groups:(.*)", (place / "status").read_text(), re.MULTILINE)
            if told and any(int(group) in groups for group in told[1].split()):
                found.append(int(place.name))
    return found


def _working_in(place: str) -> list[int]:
    """Return the processes whose working folder is there: the shepherds of jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((process / "cwd").readlink()).startswith(place):
                found.append(int(process.name))
    return found


@contextmanager
def gridengine() -> Iterator[GridEngine]:
    """Run a Grid Engine of our own for as long as the block lasts."""
    for program in ("sge_qmaster", "sge_execd", "qsub", "qstat"):
        require(program)
    if os.geteuid() != 0:
        pytest.skip("not found: gridengine (which only root can start)")
    with folder_for_all("mailgate-gridengine-") as folder:
        running = GridEngine(folder)
        try:
            with witness("Grid Engine", lambda: ends(folder.rglob("messages"))):
                running.start()
                yield running
        finally:
            running.stop()
