"""[run] and the engines: what an operator says of where jobs run, this machine or a cluster."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from mailgate.settings.kinds import boolean, duration, integer, path, text, word
from mailgate.settings.schedulers import Cluster
from mailgate.settings.schema import key

# A daemon with more is a slip of the finger.
_MOST_SLOTS = 10_000

_engine = text("an engine's name")


class Sandbox(StrEnum):
    """What keeps local jobs apart; ``auto`` is bubblewrap where it works, else nothing."""

    AUTO = "auto"
    BWRAP = "bwrap"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """[run.local]: jobs run on the gateway's own machine."""

    engine: str = key(
        text("an engine's name"), "local", doc="the module; default: the table's name"
    )
    slots: int = key(integer(1, _MOST_SLOTS), 2, doc="how many jobs run at once")
    sandbox: Sandbox = key(
        word(Sandbox), "auto", doc="auto: bwrap where it works; the choice is said at start"
    )
    path: str = key(
        text("folders joined by colons"),
        os.defpath,
        doc="the jobs' PATH",
        shown="the daemon's own PATH",
    )
    kill_after: timedelta = key(
        duration("0s", "1h"), "10s", doc="the time from TERM to KILL when a job's time is over"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """[run]: where and whether jobs run.

    ``engines`` has every table by its name, and every engine without one, with its defaults.
    """

    engine: str = key(
        text("the name of a [run.NAME] table"),
        "local",
        doc="the [run.NAME] table that is used; its module is its own `engine` key, or NAME",
    )
    folder: Path = key(
        path(),
        "jobs",
        doc="the folder of job folders; may lie on a file system that the nodes share",
        shown="<spool>/jobs",
    )
    paused: bool = key(
        boolean(),
        default=False,
        doc="true: mail is taken and waits; nothing is read or started; letters still leave",
    )
    grace: timedelta = key(
        duration("1s", "1d"),
        "30s",
        doc="a cluster's job is given up only after so long of good polls without it",
    )
    engines: Mapping[str, Local | Cluster]

    def scheduler(self, name: str) -> str:
        """Return whose cluster the table [run.NAME] is; "" for this machine.

        The name alone where the operator took the table away: jobs may be there all the same.
        """
        found = self.engines.get(name)
        if found is None:
            return name
        return found.engine if isinstance(found, Cluster) else ""

    @property
    def local(self) -> Local:
        """The table of jobs on this machine: the default engine's, if that is one."""
        chosen = self.engines.get(self.engine)
        return chosen if isinstance(chosen, Local) else next(self._locals())

    def _locals(self) -> Iterator[Local]:
        # That of the name "local" may have become something else.
        yield from (one for one in self.engines.values() if isinstance(one, Local))
        yield Local()
