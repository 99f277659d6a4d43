"""What an operator says of clusters: the keys that all have, and each scheduler's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from mailgate.settings.kinds import duration, integer, listed, text
from mailgate.settings.schema import key

_name = text("a name without blanks", lambda value: value.isprintable() and " " not in value)


# More than these is a slip of the finger.
_MOST_JOBS, _MOST_AT_ONCE = 1_000_000, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What all clusters have in common: their nodes see [run] folder by the same path."""

    engine: str = key(
        text("an engine's name"), "slurm", doc="the module; default: the table's name"
    )
    jobs: int | None = key(
        integer(1, _MOST_JOBS),
        None,
        doc="how many jobs it is given at a time; the others wait in the spool",
        shown="all",
    )
    at_once: int = key(
        integer(1, _MOST_AT_ONCE), 8, doc="how many submissions are under way at once, at most"
    )
    timeout: timedelta = key(
        duration("1s", "10m"), "1m", doc="for each of the scheduler's commands"
    )
    poll_min: timedelta = key(
        duration("1s", "1h"), "2s", doc="it is asked so often while something is about to change"
    )
    poll_max: timedelta = key(duration("1s", "1h"), "60s", doc="and so often while nothing is")
    path: str = key(
        text("folders joined by colons"),
        "/usr/local/bin:/usr/bin:/bin",
        doc="the jobs' PATH on the nodes",
    )
    kill_after: timedelta = key(
        duration("0s", "1h"), "10s", doc="the time from TERM to KILL when a job's time is over"
    )
    extra: tuple[str, ...] = key(
        listed(text()),
        [],
        doc="words of the operator's that are added to each submission, such as"
        ' ["--constraint=avx2"]',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm(Cluster):
    """[run.slurm]: jobs are handed to Slurm."""

    partition: str | None = key(_name, None, doc="sbatch --partition", shown="Slurm's own")
    account: str | None = key(_name, None, doc="sbatch --account", shown="Slurm's own")
    qos: str | None = key(_name, None, doc="sbatch --qos", shown="Slurm's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbs(Cluster):
    """[run.pbs]: jobs are handed to OpenPBS or PBS Professional."""

    queue: str | None = key(_name, None, doc="qsub -q", shown="PBS's own")
    account: str | None = key(_name, None, doc="qsub -A", shown="PBS's own")
    project: str | None = key(_name, None, doc="qsub -P", shown="PBS's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lsf(Cluster):
    """[run.lsf]: jobs are handed to IBM Spectrum LSF."""

    queue: str | None = key(_name, None, doc="bsub -q", shown="LSF's own")
    project: str | None = key(_name, None, doc="bsub -P", shown="LSF's own")
    group: str | None = key(_name, None, doc="bsub -G", shown="LSF's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class HtCondor(Cluster):
    """[run.htcondor]: jobs are handed to HTCondor."""

    accounting_group: str | None = key(
        _name, None, doc="accounting_group of the submit description", shown="HTCondor's own"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GridEngine(Cluster):
    """[run.gridengine]: jobs are handed to Grid Engine."""

    queue: str | None = key(_name, None, doc="qsub -q", shown="Grid Engine's own")
    project: str | None = key(_name, None, doc="qsub -P", shown="Grid Engine's own")
    pe: str | None = key(
        _name,
        None,
        doc="the parallel environment for jobs of several cores, all of them on one node",
        shown="none: such jobs cannot start",
    )
    memory: str = key(
        _name, "h_vmem", doc="what a job's memory is asked for as: it is that of each slot"
    )
    gpus: str = key(_name, "gpu", doc="what GPUs are asked for as, of a whole job")


CLUSTERS: Mapping[str, type[Cluster]] = {
    "slurm": Slurm,
    "gridengine": GridEngine,
    "pbs": Pbs,
    "lsf": Lsf,
    "htcondor": HtCondor,
}
"""The tables of the engines that are clusters, by the names of their modules in ``run/``."""
