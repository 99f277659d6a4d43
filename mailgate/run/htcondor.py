"""HTCondor: condor_submit, condor_q, condor_history, condor_rm, condor_release and condor_qedit.

Written from its manual (9.0 and later) and source alone: no HTCondor was to be had.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar
from xml.etree import ElementTree as ET

from mailgate.model import Exit, NativeId, Reason
from mailgate.run.answers import element, token_of
from mailgate.run.scheduler import Ask, Command, Given, Said, Seen, State, UnreadableError, Verdict
from mailgate.settings.schedulers import HtCondor as Site

_ATTRIBUTES = (
    "ClusterId,ProcId,JobBatchName,JobStatus,LastJobStatus,NumJobStarts,RemoteHost,LastRemoteHost"
    ",HoldReason,HoldReasonCode,RemoveReason,ExitBySignal,ExitSignal"
    ",AutoClusterId,LastMatchTime,LastRejMatchTime,LastRejMatchReason"
)

# The job ClassAd attribute JobStatus.
_STATUS = {
    1: "IDLE", 2: "RUNNING", 3: "REMOVED", 4: "COMPLETED", 5: "HELD",
    6: "TRANSFERRING_OUTPUT", 7: "SUSPENDED",
}  # fmt: skip
# HoldReasonCode: by the user, submitted on hold, waiting for input. All else is an end.
_USERS_HOLDS = frozenset({1, 15, 16})
_OUT_OF_MEMORY, _TOO_LONG = 34, frozenset({46, 47})
# Holds by the rules of a site or a machine, which are about anything.
_POLICIES = frozenset({3, 5, 21, 26, 27})

_LATER = re.compile(
    r"would exceed MAX_JOBS|[Cc]an't find address of|[Ff]ailed to connect|Connection refused"
    r"|SECMAN:2\d\d\d|CEDAR:6\d\d\d"
)
# A commit that failed for a reason was refused; one that failed may have been made.
_NEVER = re.compile(r"^(?!ERROR: Failed to commit)(ERROR: .|User is disabled)", re.MULTILINE)


class HtCondor:
    """HTCondor: XML, which says where it ends even of no jobs; JSON is then silence."""

    title: ClassVar[str] = "HTCondor"
    programs: ClassVar[tuple[str, ...]] = (
        "condor_submit", "condor_q", "condor_history", "condor_rm", "condor_release",
        "condor_qedit",
    )  # fmt: skip
    STATES: ClassVar[Mapping[str, State]] = {
        "IDLE": State.WAITING,
        "RUNNING": State.RUNNING,
        "TRANSFERRING_OUTPUT": State.RUNNING,
        "REMOVED": State.ENDED,
        "COMPLETED": State.ENDED,
        "HELD": State.HELD,
        "SUSPENDED": State.SUSPENDED,
    }

    def __init__(self, site: Site) -> None:
        self._site = site

    def submit(self, ask: Ask) -> Command:
        """Describe the job on standard input. ``extra`` are words such as ``-append``."""
        lines = {
            "universe": "vanilla",
            "executable": "/bin/sh",
            "arguments": _quoted(ask.script),
            "transfer_executable": "false",
            "should_transfer_files": "NO",
            "getenv": "false",
            "initialdir": ask.folder,
            "output": ask.messages,
            "error": ask.messages,
            "batch_name": ask.token,
            "notification": "never",
            "request_cpus": str(ask.cores),
            "request_memory": None if ask.memory is None else str(-(-ask.memory // 1024**2)),
            "request_gpus": str(ask.gpus) if ask.gpus else None,
            "accounting_group": ask.queue or self._site.accounting_group,
            # Evicted once, it is matched no more, and removed by the rule below.
            "requirements": "NumJobStarts == 0",
            # So that polls still see how it ended.
            "leave_in_queue": "JobStatus >= 3 && JobStatus <= 4"
            " && time() - EnteredCurrentStatus < 600",
            "periodic_remove": _removal(ask.limit),
        }
        text = "".join(f"{key} = {value}\n" for key, value in lines.items() if value)
        argv = ("condor_submit", *self._site.extra, "-")
        return Command(argv=argv, stdin=f"{text}queue\n")

    def parse_submit(self, text: str) -> NativeId:
        """Read ``1 job(s) submitted to cluster NUMBER.``."""
        found = re.search(
            r"^1 job\(s\) submitted to cluster (\d+)\.$", text, re.ASCII | re.MULTILINE
        )
        if found is None:
            raise UnreadableError(text[:200])
        return NativeId(f"{found[1]}.0")

    def verdict(self, said: Said) -> Verdict:
        """Go by its words: whatever went wrong, it exits 1."""
        if _LATER.search(said.stderr):
            return Verdict.LATER
        return Verdict.NEVER if _NEVER.search(said.stderr) else Verdict.UNKNOWN

    def poll(self) -> Command:
        """Ask for our user's jobs."""
        return Command(argv=("condor_q", "-xml", "-attributes", _ATTRIBUTES))

    def parse_poll(self, text: str) -> Sequence[Seen]:
        """Read the ClassAds as XML."""
        begin = text.find("<?xml")
        root = element(text[max(begin, 0) :])
        if root.tag != "classads":
            raise UnreadableError("It is no list of jobs.")
        ads = [_facts(ad) for ad in root]
        unmatched = _unmatched(ads)
        return [seen for ad in ads if (seen := self._seen(ad, unmatched))]

    def why(self, job: Given) -> Command:
        """Ask the history, whose newest stands first."""
        return Command(
            argv=("condor_history", "-xml", "-attributes", _ATTRIBUTES, "-limit", "1", job.native)
        )

    def parse_why(self, said: Said, job: Given) -> Seen | None:
        """Read the one ad."""
        if said.status:
            raise UnreadableError(said.stderr)
        found = self.parse_poll(said.stdout)
        return next((seen for seen in found if seen.token == job.token), None)

    def cancel(self, job: Given) -> Command:
        """Remove it: TERM, and KILL when the machine's own patience ends."""
        return Command(argv=("condor_rm", *_named(job)))

    def release(self, job: Given) -> Command:
        """Let it be matched again."""
        return Command(argv=("condor_release", *_named(job)))

    def limit(self, job: Given, limit: timedelta) -> Command:
        """Write the rule anew by which it is removed."""
        argv = ("condor_qedit", *_named(job), "PeriodicRemove", _removal(limit))
        return Command(argv=argv)

    def wake(self, job: Given) -> None:
        """There is no way to signal a script and nothing else."""

    def _seen(self, facts: Mapping[str, str], unmatched: Mapping[str, str]) -> Seen | None:
        token = token_of(facts.get("JobBatchName"))
        if token is None:
            return None
        number = facts.get("JobStatus", "")
        word = _STATUS.get(int(number) if number.isdecimal() else 0, f"JobStatus {number}")
        state = self.STATES.get(word)
        held = facts.get("HoldReasonCode", "")
        end, stays = None, False
        if word == "REMOVED" and "RemoteHost" in facts:
            # It is being removed from a machine that has it still.
            state = State.RUNNING
        elif word == "HELD" and held.isdecimal() and int(held) not in _USERS_HOLDS:
            state, end, stays = State.ENDED, _held(int(held), facts), True
        elif state is State.ENDED:
            end = _end(word, facts)
        if word == "IDLE":
            why = unmatched.get(_kind(facts))
        else:
            why = facts.get("HoldReason") if word == "HELD" else facts.get("RemoveReason")
        host = facts.get("RemoteHost") or facts.get("LastRemoteHost", "")
        return Seen(
            token=token,
            native=NativeId(f"{facts.get('ClusterId', '')}.{facts.get('ProcId', '')}"),
            state=state,
            word=word,
            why=why or "",
            node=host.rpartition("@")[2],
            end=end,
            stays=stays,
        )


ADAPTER = HtCondor


def _named(job: Given) -> tuple[str, str]:
    """Say which job is meant: its number may be another's by now."""
    return "-constraint", f'JobBatchName == "{job.token}"'


def _quoted(word: str) -> str:
    """Write one argument as the new syntax has it: single quotes inside of double ones."""
    inner = word.replace("'", "''").replace('"', '""')
    return f"\"'{inner}'\""


def _removal(limit: timedelta | None) -> str:
    """Say when it is removed: what began and waits again, or runs too long."""
    rules = ["(JobStatus == 1 && NumJobStarts > 0)"]
    if limit is not None:
        seconds = -(-limit // timedelta(seconds=1))
        rules.append(f"(JobStatus == 2 && time() - JobCurrentStartDate > {seconds})")
    return " || ".join(rules)


def _facts(ad: ET.Element) -> Mapping[str, str]:
    """Read ``<a n="NAME"><i>5</i></a>``; a truth value stands in an attribute."""
    return {
        found.get("n", ""): found[0].get("v") or found[0].text or "" for found in ad if len(found)
    }


def _kind(facts: Mapping[str, str]) -> str:
    """Name the jobs that are alike to the negotiator: it asks after one of them for all."""
    return facts.get("AutoClusterId") or f"job {facts.get('ClusterId')}"


def _unmatched(ads: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """Return why jobs of a kind found no machine when that was last tried, as condor_q tells it.

    That is why they wait, unless one of them was given a machine since.
    """
    last: dict[str, tuple[int, str]] = {}
    for ad in ads:
        matched, refused = _number(ad, "LastMatchTime"), _number(ad, "LastRejMatchTime")
        why = ad.get("LastRejMatchReason", "").strip() if refused > matched else ""
        last[_kind(ad)] = max(last.get(_kind(ad), (0, "")), (max(matched, refused), why))
    return {kind: why for kind, (_, why) in last.items() if why}


def _number(facts: Mapping[str, str], name: str) -> int:
    told = facts.get(name, "")
    return int(told) if told.isdecimal() else 0


def _held(code: int, facts: Mapping[str, str]) -> Exit:
    reason = facts.get("HoldReason", "").lower()
    if code == _OUT_OF_MEMORY or (code in _POLICIES and "memory" in reason):
        return Exit(reason=Reason.MEMORY)
    if code in _TOO_LONG:
        return Exit(reason=Reason.WORK_LIMIT)
    return Exit(reason=Reason.CANCELLED if code in _POLICIES else Reason.COULD_NOT_START)


def _end(word: str, facts: Mapping[str, str]) -> Exit | None:
    if word == "REMOVED":
        if "PeriodicRemove" not in facts.get("RemoveReason", ""):
            return Exit(reason=Reason.CANCELLED)
        # By our own rule: it ran then, or waited once more.
        ran = facts.get("LastJobStatus") == "2"
        return Exit(reason=Reason.WORK_LIMIT if ran else Reason.PREEMPTED)
    signal = facts.get("ExitSignal", "")
    if facts.get("ExitBySignal") == "t" and signal.isdecimal():
        return Exit(reason=Reason.SIGNAL, signal=int(signal))
    return None
