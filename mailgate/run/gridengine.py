"""Grid Engine (SGE 6.2 to 8.1.9 and its kin): what qsub and the others are told, and what they say.

Jobs are named, never numbered: all of these commands take a job's name for it. sge_status(5) has
the states and the codes of what failed.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar
from xml.etree import ElementTree as ET

from mailgate.errors import Permanent
from mailgate.model import Exit, NativeId, Reason, Token
from mailgate.run.answers import element
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
from mailgate.saying import Saying
from mailgate.settings.schedulers import GridEngine as Site

# One question after the other, for what knows a job depends on where it is: one that waits is in
# qstat, one that has ended in the accounting, one that was deleted before it ran is only in the
# list of the ended ones.
_WHY = 'qstat -j "$1" 2>/dev/null || qacct -j "$1" 2>/dev/null || exec qstat -xml -s z -u "$2"'
_US = "$user"  # qstat's own word for whoever asks
# The jobs, and then why they wait: the scheduler's reasons, each with the numbers of its jobs.
_POLL = 'qstat -xml -s prs -u "$1" && exec qstat -xml -j'
_BEGIN = "<?xml "
# Some of the reasons have their jobs in a "<job ids>", which is no XML.
_BLANK = re.compile(r"<(/?\w+) (\w+)>")
# These reasons say nothing: of a queue that was not asked for, and that none are collected.
_IDLE = {"6", "83"}
_TOLD = 3

# qsub ends so where a limit of the site's on jobs (max_u_jobs, max_jobs) is reached.
_TOO_MANY = 25
_AWAY = re.compile(r"unable to (contact|send message to) qmaster|got send error|Connection refused")
_DOUBT = re.compile(r"timeout|got read error")
_REFUSED = re.compile(r"^Unable to (run job|read script file)\b", re.MULTILINE)

# What "failed" says in the accounting where the job never ran, where its node or its shepherd gave
# up, where somebody had it moved or started again, and where it was killed for a limit: its time,
# its processor time or its memory.
_NEVER_RAN = frozenset({*range(1, 12), *range(26, 30), *range(31, 37), 38})
_CRASHED = frozenset({18, 19, 21})
_PUSHED = frozenset({24, 25})
_LIMIT = 37
_RULE = re.compile(r"^=+$", re.MULTILINE)
# qacct's lines, and those of qstat -j, which may go on below.
_ACCOUNT = re.compile(r"^(\w+) +(\S.*?) *$", re.MULTILINE)
_DETAIL = re.compile(r"^(\w[^:\n]*?)(?: +\d+)?: +(.*(?:\n +.*)*)", re.MULTILINE)
_BY_SIGNAL = 128


class GridEngine:
    """The adapter, of one ``[run.NAME]`` table."""

    title: ClassVar[str] = "Grid Engine"
    programs: ClassVar[tuple[str, ...]] = ("qsub", "qstat", "qacct", "qdel", "qrls")
    # The letters of a state, strongest first: the first that a word has is what it comes down to.
    # What is deleted (d) or was restarted (R) besides is where the others say.
    STATES: ClassVar[Mapping[str, State]] = {
        "z": State.ENDED,
        "E": State.ENDED,
        "s": State.SUSPENDED,
        "S": State.SUSPENDED,
        "T": State.SUSPENDED,
        "t": State.RUNNING,
        "r": State.RUNNING,
        "h": State.HELD,
        "w": State.WAITING,
        "q": State.WAITING,
        "R": State.RUNNING,
        "d": State.RUNNING,
    }

    def __init__(self, site: Site) -> None:
        self._site = site

    def submit(self, ask: Ask) -> Command:
        """Hand over a copy of the script (``-b n``), none of whose lines is an option (``-C ""``).

        ``-notify``: before it kills, Grid Engine sends USR2, at which the script ends its command.

        Raises
        ------
        Permanent
            No parallel environment is named, and it needs several cores.
        """
        site = self._site
        words = ["qsub", "-terse", "-b", "n", "-C", "", "-S", "/bin/sh", "-notify", "-m", "n"]
        # A whole path would be read as "host:path", and as several at its commas.
        messages = os.path.relpath(ask.messages, ask.folder)
        # Behind what the operator adds, for the last word counts: by these a job is found again.
        ours = ["-r", "n", "-N", ask.token, "-wd", ask.folder, "-o", messages, "-j", "y"]
        if queue := ask.queue or site.queue:
            words += ["-q", queue]
        if site.project:
            words += ["-P", site.project]
        if ask.cores > 1:
            if site.pe is None:
                raise Permanent(Saying("ends/no-pe"))
            words += ["-pe", site.pe, str(ask.cores)]
        if requests := ",".join(self._requests(ask)):
            words += ["-l", requests]
        return Command(argv=(*words, *site.extra, *ours, ask.script))

    def _requests(self, ask: Ask) -> Iterator[str]:
        if ask.memory is not None:
            # Each slot of a job may take so much.
            yield f"{self._site.memory}={-(-ask.memory // ask.cores)}"
        if ask.limit is not None:
            yield f"h_rt={-(-ask.limit // timedelta(seconds=1))}"
        if ask.gpus:
            yield f"{self._site.gpus}={ask.gpus}"

    def parse_submit(self, text: str) -> NativeId:
        """Return the number: ``-terse`` has it alone on its line, whatever a JSV prints besides.

        Raises
        ------
        UnreadableError
            There is none.
        """
        numbers = re.findall(r"^(\d+)$", text, re.ASCII | re.MULTILINE)
        if len(numbers) != 1:
            raise UnreadableError(text[:200])
        return NativeId(numbers[0])

    def verdict(self, said: Said) -> Verdict:
        """Tell a limit on jobs (status 25) and a queue master that is away from a refusal."""
        if said.status == _TOO_MANY or _AWAY.search(said.stderr):
            return Verdict.LATER
        if _REFUSED.search(said.stderr) and not _DOUBT.search(said.stderr):
            return Verdict.NEVER
        return Verdict.UNKNOWN

    def poll(self) -> Command:
        """Ask for what waits, runs or is suspended: of what has ended there is no reason here."""
        return Command(argv=("/bin/sh", "-c", _POLL, "sh", _US))

    def parse_poll(self, text: str) -> Sequence[Seen]:
        """Read the jobs, and why those wait that do; why one has failed is not said here.

        Raises
        ------
        UnreadableError
            It is no whole list of jobs, or of reasons.
        """
        before, *documents = text.split(_BEGIN)
        if before.strip() or len(documents) != 2:
            raise UnreadableError(text[:200])
        own, everybodys = _reasons(_BLANK.sub(r"<\1_\2>", _BEGIN + documents[1]))
        found = [self._seen(job) for job in _jobs(_BEGIN + documents[0])]
        return [
            replace(one, why=_in_short(own.get(one.native) or everybodys))
            if one.state in {State.WAITING, State.HELD}
            else one
            for one in found
        ]

    def _seen(self, job: ET.Element) -> Seen:
        word = job.findtext("state", "")
        return Seen(
            token=Token(job.findtext("JB_name", "")),
            native=NativeId(job.findtext("JB_job_number", "")),
            state=self._state(word),
            word=word,
            node=(job.findtext("queue_name") or "").partition("@")[2],
            stays="E" in word,
        )

    def _state(self, word: str) -> State | None:
        if not word or not set(word) <= self.STATES.keys():
            return None
        return next(state for letter, state in self.STATES.items() if letter in word)

    def why(self, job: Given) -> Command:
        """Ask qstat for its details, else the accounting, else whether it was deleted unstarted."""
        return Command(argv=("/bin/sh", "-c", _WHY, "sh", job.token, _US))

    def parse_why(self, said: Said, job: Given) -> Seen | None:
        """Read whichever of the three has answered.

        Raises
        ------
        UnreadableError
            None has.
        """
        text = said.stdout
        if said.status != 0:
            raise UnreadableError(said.stderr[:200])
        # The accounting may have said before it that it has none.
        said_before, is_listing, listing = text.partition(_BEGIN)
        if is_listing and (not said_before or said_before.endswith("\n")):
            return self._listed(_BEGIN + listing, job)
        found = [_accounted(one, job) for one in _records(text, _ACCOUNT, "jobname", job)]
        found += [_detailed(one, job) for one in _records(text, _DETAIL, "job_name", job)]
        return found[-1] if found else None

    def _listed(self, text: str, job: Given) -> Seen | None:
        """Say of a job that is listed as ended but in no account: it was deleted as it waited."""
        for seen in map(self._seen, _jobs(text)):
            if seen.token == job.token and seen.word == "z":
                end = Exit(reason=Reason.CANCELLED)
                return replace(seen, word="deleted", end=end)
            if seen.token == job.token:
                return seen
        return None

    def cancel(self, job: Given) -> Command:
        """Delete it: USR2, and KILL after the queue's ``notify`` time."""
        return Command(argv=("qdel", job.token))

    def release(self, job: Given) -> Command:
        """Take the user's hold away; an operator's stays."""
        return Command(argv=("qrls", job.token))

    def limit(self, job: Given, limit: timedelta) -> None:
        """Say that this cannot be done: h_rt of a job that runs stays what it was."""

    def wake(self, job: Given) -> None:
        """Say that this cannot be done: no command sends a signal of one's choice."""


def _reasons(text: str) -> tuple[Mapping[str, Sequence[str]], Sequence[str]]:
    """Return why jobs wait: by their numbers, and what is in everybody's way."""
    top = element(text)
    if top.tag != "message":
        raise UnreadableError(f"<{top.tag}>")
    own: dict[str, list[str]] = {}
    everybodys: list[str] = []
    for one in top.iter("element"):
        reason = one.findtext("MES_message")
        if reason is None or one.findtext("MES_message_number") in _IDLE:
            continue
        jobs = [job.text or "" for job in one.iterfind("MES_job_number_list/*/ULNG_value")]
        for place in [own.setdefault(job, []) for job in jobs] or [everybodys]:
            place.append(reason)
    return own, everybodys


def _in_short(reasons: Sequence[str]) -> str:
    told = list(dict.fromkeys(reasons))
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return "; ".join([*told[:_TOLD], *more])


def _jobs(text: str) -> list[ET.Element]:
    top = element(text)
    if top.tag != "job_info" or top.find("queue_info") is None or top.find("job_info") is None:
        raise UnreadableError(f"<{top.tag}>")
    return list(top.iter("job_list"))


def _records(text: str, line: re.Pattern[str], name: str, job: Given) -> list[dict[str, str]]:
    """Return the records of a job; one that was started again has several."""
    records = [dict(line.findall(one)) for one in _RULE.split(text)]
    return [record for record in records if record.get(name) == job.token]


def _detailed(facts: Mapping[str, str], job: Given) -> Seen:
    """Read ``qstat -j``: why it waits, or why it could not be started."""
    error = facts.get("error reason", "")
    waits = "; ".join(x.strip() for x in facts.get("scheduling info", "").splitlines())
    state = State.ENDED if error else State.RUNNING if "usage" in facts else State.WAITING
    return Seen(
        token=job.token,
        native=NativeId(facts.get("job_number", job.native)),
        state=state,
        word="Eqw" if error else "",
        why=_reason(error) or ("" if state is State.RUNNING else waits),
        end=Exit(reason=Reason.COULD_NOT_START) if error else None,
        stays=bool(error),
    )


def _reason(error: str) -> str:
    """Leave the time and the shepherd's numbers away, and what it knows of its own environment."""
    told = re.sub(r"^\S+ \S+ \[\d+:\d+\]: (error: )?", "", error)
    return told.partition(" KRB5CCNAME=")[0]


def _accounted(facts: Mapping[str, str], job: Given) -> Seen:
    """Read ``qacct -j``: "failed" and "exit_status"."""
    failed, status = _number(facts.get("failed", "")), _number(facts.get("exit_status", ""))
    told = facts["failed"].partition(":")[2].strip()
    return Seen(
        token=job.token,
        native=NativeId(facts.get("jobnumber", job.native)),
        state=State.ENDED,
        word=f"failed {failed}" if failed else f"exit status {status}",
        why=f"{told} (failed {failed}, exit status {status})" if failed else "",
        node=facts.get("hostname", ""),
        end=_end(failed, status, facts),
    )


def _number(text: str) -> int:
    found = re.match(r"\d+", text, re.ASCII)
    if found is None:
        raise UnreadableError(text)
    return int(found[0])


def _end(failed: int, status: int, facts: Mapping[str, str]) -> Exit | None:
    if failed == _LIMIT:
        return Exit(reason=Reason.MEMORY if _too_much(facts) else Reason.WORK_LIMIT)
    if failed in _NEVER_RAN:
        return Exit(reason=Reason.COULD_NOT_START)
    if failed in _CRASHED:
        return Exit(reason=Reason.NODE_FAILURE)
    if failed in _PUSHED:
        return Exit(reason=Reason.CANCELLED)
    if failed and status > _BY_SIGNAL:
        return Exit(reason=Reason.SIGNAL, signal=status - _BY_SIGNAL)
    return None


def _too_much(facts: Mapping[str, str]) -> bool:
    """Tell whether it took as much memory as it might: the code is the same for a limit in time."""
    asked = re.search(r"\bh_vmem=([\d.]+[KMGkmg]?)", facts.get("category", ""))
    taken = _bytes(facts.get("maxvmem", ""))
    return asked is not None and taken >= _bytes(asked[1]) * _number(facts.get("slots", "1"))


def _bytes(text: str) -> float:
    """Read sizes as "50M" (in requests) and "3.023MB" (in accounts); k, m and g are thousands."""
    found = re.match(r"([\d.]+) *([KMGTkmg]?)", text)
    if found is None:
        return 0
    powers = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
    powers |= {letter: 1024 ** (1 + place) for place, letter in enumerate("KMGT")}
    return float(found[1]) * powers[found[2]]


ADAPTER = GridEngine
