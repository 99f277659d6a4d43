"""The sites' own words for Grid Engine, PBS, LSF and HTCondor: their tables, one a scheduler."""

from dataclasses import dataclass

from mailgate.settings.kinds import listed, text
from mailgate.settings.schema import key

_name = text("a name without blanks", lambda value: value.isprintable() and " " not in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    extra: tuple[str, ...] = key(
        listed(text()), [], doc="words of the operator's that are added to each submission"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbs(_Cluster):
    """[run.pbs]: jobs are handed to OpenPBS or PBS Professional."""

    queue: str | None = key(_name, None, doc="qsub -q", shown="PBS's own")
    account: str | None = key(_name, None, doc="qsub -A", shown="PBS's own")
    project: str | None = key(_name, None, doc="qsub -P", shown="PBS's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lsf(_Cluster):
    """[run.lsf]: jobs are handed to IBM Spectrum LSF."""

    queue: str | None = key(_name, None, doc="bsub -q", shown="LSF's own")
    project: str | None = key(_name, None, doc="bsub -P", shown="LSF's own")
    group: str | None = key(_name, None, doc="bsub -G", shown="LSF's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class HtCondor(_Cluster):
    """[run.htcondor]: jobs are handed to HTCondor."""

    accounting_group: str | None = key(
        _name, None, doc="accounting_group of the submit description", shown="HTCondor's own"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GridEngine(_Cluster):
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
