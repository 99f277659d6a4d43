"""Slurm: sbatch, squeue, sacct, scancel, scontrol; tried with 22.05.

Ended jobs stay in ``squeue --states=all`` for the site's MinJobAge (300 seconds, say), and after it
sacct knows them where the site keeps accounts. The number of a job is given anew where the
controller has lost its newest state: a job is known by its name.
"""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from mailgate.model import Exit, NativeId, Reason, Token
from mailgate.run.answers import token_of
from mailgate.run.scheduler import (
    Ask,
    Command,
    Given,
    Said,
    Seen,
    State,
    UnreadableError,
    Verdict,
)
from mailgate.settings.schedulers import Slurm as Site

_ID = re.compile(r"[1-9]\d{0,18}", re.ASCII)

# squeue(1), -O: a suffix ends a field at its full length, whatever that is. Somebody else's names
# and the reasons may hold anything, the suffix included.
_POLLED = ("JobID", "State", "exit_code", "StartTime", "NodeList", "Name", "Reason")
_CUT = "|"
_END = "squeue is done"
_ACCOUNTED = ("JobIDRaw", "State", "ExitCode", "NodeList", "JobName", "Reason")
# An attempt may have ended so long ago, at the most.
_SINCE = "now-60days"
_NOTHING = frozenset({"", "None", "N/A", "(null)", "Unknown", "None assigned"})

# slurm_strerror(3): Slurm may take the job later, or the operator has something to mend.
_LATER = re.compile(
    r"unable to contact slurm controller \((connect|send)|standby mode|temporarily unable to accept"
    r"|resource temporarily unavailable|submit\w*limit|currently disabled|not available \(inactive"
    r"|node not available|nodes are busy|authentication|munge|configuration (source|file)"
    r"|error writing script|unable to resolve|(unrecognized|ambiguous|invalid) option",
    re.IGNORECASE,
)
# Its limits: one that a job alone is over is told beside this, and stays so.
_LIMITS = re.compile(r"violates accounting/qos policy", re.IGNORECASE)
_ITS_OWN = re.compile(r"\b(QOS|Assoc)\w+Limit\b")

_REFUSED = re.compile(r"batch job submission failed|invalid generic resource", re.IGNORECASE)

# Whatever else has to do with its connection may have come after the job was taken.
_PERHAPS = re.compile(
    r"timed out|receive failure|zero bytes|socket|connection|unspecified", re.IGNORECASE
)


class Slurm:
    """Slurm's words. ``site`` is the operator's table."""

    title: ClassVar[str] = "Slurm"
    programs: ClassVar[tuple[str, ...]] = ("sbatch", "squeue", "sacct", "scancel", "scontrol")
    # squeue(1), JOB STATE CODES.
    STATES: ClassVar[Mapping[str, State]] = {
        "PENDING": State.WAITING,
        "CONFIGURING": State.WAITING,
        "REQUEUED": State.WAITING,
        "REQUEUE_FED": State.WAITING,
        "REQUEUE_HOLD": State.HELD,
        "RESV_DEL_HOLD": State.HELD,
        "SPECIAL_EXIT": State.HELD,
        "RUNNING": State.RUNNING,
        "COMPLETING": State.RUNNING,
        "RESIZING": State.RUNNING,
        "SIGNALING": State.RUNNING,
        "STAGE_OUT": State.RUNNING,
        "STOPPED": State.SUSPENDED,
        "SUSPENDED": State.SUSPENDED,
        "BOOT_FAIL": State.ENDED,
        "CANCELLED": State.ENDED,
        "COMPLETED": State.ENDED,
        "DEADLINE": State.ENDED,
        "FAILED": State.ENDED,
        "NODE_FAIL": State.ENDED,
        "OUT_OF_MEMORY": State.ENDED,
        "PREEMPTED": State.ENDED,
        "REVOKED": State.ENDED,
        "TIMEOUT": State.ENDED,
    }
    _ENDS: ClassVar[Mapping[str, Reason]] = {
        "BOOT_FAIL": Reason.NODE_FAILURE,
        "CANCELLED": Reason.CANCELLED,
        "DEADLINE": Reason.WORK_LIMIT,
        "NODE_FAIL": Reason.NODE_FAILURE,
        "OUT_OF_MEMORY": Reason.MEMORY,
        "PREEMPTED": Reason.PREEMPTED,
        "REVOKED": Reason.CANCELLED,
        "TIMEOUT": Reason.WORK_LIMIT,
    }

    def __init__(self, site: Site) -> None:
        self._site = site

    # --- submitting -------------------------------------------------------------------------------

    def submit(self, ask: Ask) -> Command:
        """Return sbatch(1). All other values of --export have the node start a login shell."""
        site = self._site
        # Behind what the operator adds, for the last word counts: by these a job is found again,
        # and is the only one.
        ours = {
            "job-name": ask.token,
            "chdir": ask.folder,
            # sbatch(1), "filename pattern".
            "output": ask.messages.replace("%", "%%"),
            "open-mode": "append",
        }
        words = {
            "nodes": "1",
            "ntasks": "1",
            "cpus-per-task": str(ask.cores),
            "mem": None if ask.memory is None else f"{math.ceil(ask.memory / 1024)}K",
            "time": None if ask.limit is None else str(_minutes(ask.limit)),
            "gres": f"gpu:{ask.gpus}" if ask.gpus else None,
            "partition": ask.queue or site.partition,
            "account": site.account,
            "qos": site.qos,
        }
        return Command(
            argv=(
                *("sbatch", "--parsable", "--export=ALL", "--input=/dev/null"),
                *(f"--{name}={word}" for name, word in words.items() if word is not None),
                *site.extra,
                "--no-requeue",
                *(f"--{name}={word}" for name, word in ours.items()),
                ask.script,
            ),
            only=("PATH", "HOME", "USER", "LOGNAME", "TZ", "SLURM_CONF", "LD_LIBRARY_PATH"),
        )

    def parse_submit(self, text: str) -> NativeId:
        """Read ``--parsable``: the number, and behind a semicolon the cluster's name."""
        number = text.strip().partition(";")[0]
        if not _ID.fullmatch(number):
            message = f"sbatch printed {text[:200]!r}"
            raise UnreadableError(message)
        return NativeId(number)

    def verdict(self, said: Said) -> Verdict:
        """Tell by its words: whatever is wrong, it exits 1, or 255 where it was called wrongly."""
        words = said.stderr
        if _LATER.search(words):
            return Verdict.LATER
        if _LIMITS.search(words):
            return Verdict.NEVER if _ITS_OWN.search(words) else Verdict.LATER
        if said.status != 1 or _PERHAPS.search(words):
            return Verdict.UNKNOWN
        return Verdict.NEVER if _REFUSED.search(words) else Verdict.UNKNOWN

    # --- polling ----------------------------------------------------------------------------------

    def poll(self) -> Command:
        """Return squeue(1). Its last line says that nothing is cut off; times are seconds."""
        form = ",".join(f"{field}:{_CUT}" for field in _POLLED)
        words = ("squeue", "--noheader", "--states=all", "--me", f"--Format={form}")
        script = f'SLURM_TIME_FORMAT=%s "$@" && echo "{_END}"'
        return Command(argv=("sh", "-c", script, "sh", *words))

    def parse_poll(self, text: str) -> Sequence[Seen]:
        """Read the lines of our jobs; those of others may look like anything."""
        body, end, rest = text.rpartition(f"{_END}\n")
        if not end or rest or (body and not body.endswith("\n")):
            message = f"squeue's answer is cut off: {text[-200:]!r}"
            raise UnreadableError(message)
        return [seen for line in body.split("\n") if (seen := self._polled(line)) is not None]

    def _polled(self, line: str) -> Seen | None:
        fields = line.rstrip().split(_CUT, len(_POLLED) - 1)
        if len(fields) != len(_POLLED) or (token := token_of(fields[5])) is None:
            return None
        number, word, status, starts, node, _, why = fields
        raw = int(status) if status.isdecimal() else 0
        return self._seen(number, token, word, why.rstrip(_CUT), node, raw & 127, starts)

    def _seen(
        self,
        number: str,
        token: Token,
        word: str,
        why: str,
        node: str,
        signal: int,
        starts: str = "",
    ) -> Seen:
        state = self.STATES.get(word)
        if state is State.WAITING and why.startswith(("JobHeld", "launch failed requeued held")):
            state = State.HELD
        return Seen(
            token=token,
            native=NativeId(number),
            state=state,
            word=word,
            # Of one that was cancelled before it began it is why it waited.
            why="" if why in _NOTHING or word == "CANCELLED" else why,
            node="" if node in _NOTHING else node,
            starts=_time(starts) if state is State.WAITING else None,
            end=self._end(word, signal) if state is State.ENDED else None,
        )

    def _end(self, word: str, signal: int) -> Exit | None:
        if word in self._ENDS:
            return Exit(reason=self._ENDS[word])
        # The script itself exits 0: it is the job folder that has the command's code. Numbers that
        # are no signals are Slurm's own ("0:53": the script could not be started).
        if word != "FAILED":
            return None
        if 0 < signal < 32:
            return Exit(reason=Reason.SIGNAL, signal=signal)
        return Exit(reason=Reason.COULD_NOT_START) if signal else None

    # --- what polls do not tell -------------------------------------------------------------------

    def why(self, job: Given) -> Command | None:
        """Return sacct(1), which knows the jobs of months where the site keeps accounts."""
        form = ",".join(_ACCOUNTED)
        words = ("--noheader", "--parsable2", "--allocations", f"--starttime={_SINCE}")
        return Command(argv=("sacct", *words, f"--name={job.token}", f"--format={form}"))

    def parse_why(self, said: Said, job: Given) -> Seen | None:
        """Read the newest line of the job by this name; most small sites keep no accounts."""
        if "accounting storage is disabled" in said.stderr + said.stdout:
            return None
        if said.status:
            message = f"sacct exits {said.status}: {said.stderr[:200]!r}"
            raise UnreadableError(message)
        lines = (line.split(_CUT, len(_ACCOUNTED) - 1) for line in said.stdout.splitlines())
        ours = [line for line in lines if len(line) == len(_ACCOUNTED) and line[4] == job.token]
        if not ours:
            return None
        number, state, status, node, _, why = ours[-1]
        signal = status.partition(":")[2]
        # "CANCELLED by 1000"
        word = state.partition(" ")[0]
        return self._seen(
            number, job.token, word, why, node, int(signal) if signal.isdecimal() else 0
        )

    # --- acting -----------------------------------------------------------------------------------

    def cancel(self, job: Given) -> Command:
        """Return scancel(1), by the name alone: the number may be another job's by now."""
        return Command(argv=("scancel", "--quiet", "--me", f"--name={job.token}"))

    def release(self, job: Given) -> Command | None:
        """Return scontrol(1), which takes a name too."""
        return Command(argv=("scontrol", "release", f"jobname={job.token}"))

    def limit(self, job: Given, limit: timedelta) -> Command | None:
        """Return scontrol(1). Only Slurm's operators may give a job more time."""
        words = (f"jobname={job.token}", f"timelimit={_minutes(limit)}")
        return Command(argv=("scontrol", "update", *words))

    def wake(self, job: Given) -> Command | None:
        """Return scancel(1) for the batch script alone."""
        words = ("--batch", "--signal=USR1", "--state=running")
        return Command(argv=("scancel", "--quiet", "--me", *words, f"--name={job.token}"))


ADAPTER = Slurm


def _minutes(span: timedelta) -> int:
    return math.ceil(span.total_seconds() / 60)


def _time(seconds: str) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(int(seconds), UTC)
    return None
