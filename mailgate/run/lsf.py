"""IBM Spectrum LSF 10.1: bsub, bjobs, bhist, bkill, bresume and bmod, by IBM's command reference.

Written from that documentation and what users of LSF report: no LSF was to be had.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from mailgate.model import Exit, NativeId, Reason
from mailgate.run.answers import token_of, value
from mailgate.run.scheduler import Ask, Command, Given, Said, Seen, State, UnreadableError, Verdict
from mailgate.settings.schedulers import Lsf as Site

_FIELDS = "jobid job_name stat exit_code exit_reason pend_reason exec_host estimated_start_time"
_NONE = re.compile(r"^No (unfinished )?job found", re.MULTILINE)

# bacct(1), "Termination reasons displayed by bacct"; bjobs and bhist have the same words.
_ENDS = {
    **dict.fromkeys(("RUNLIMIT", "CPULIMIT", "DEADLINE", "WINDOW"), Reason.WORK_LIMIT),
    **dict.fromkeys(("MEMLIMIT", "SWAP"), Reason.MEMORY),
    **dict.fromkeys(("PREEMPT", "LOAD", "RC", "RC_RECLAIM"), Reason.PREEMPTED),
    **dict.fromkeys(("OWNER", "FORCE_OWNER", "ADMIN", "FORCE_ADMIN"), Reason.CANCELLED),
    **dict.fromkeys(("BUCKET_KILL", "ORPHAN_SYSTEM", "MC_RECALL"), Reason.CANCELLED),
    **dict.fromkeys(("CWD_NOTEXIST", "PRE_EXEC_FAIL", "DATA"), Reason.COULD_NOT_START),
    # A job hangs, to LSF, whose host is away.
    **dict.fromkeys(("ZOMBIE", "REMOVE_HUNG_JOB", "RMS", "SLURM"), Reason.NODE_FAILURE),
}
_REASON = re.compile(r"\bTERM_([A-Z_]+)")

_LATER = re.compile(
    r"threshold|[Rr]etrying|LSF is down|Please wait|not responding|try (again )?later|too busy"
    r"|job limit|limit of jobs|Too many|not ready|Cannot connect|Communication time out"
)


class Lsf:
    """LSF: jobs in JSON; those that ended lately (CLEAN_PERIOD, an hour) are still listed."""

    title: ClassVar[str] = "LSF"
    programs: ClassVar[tuple[str, ...]] = ("bsub", "bjobs", "bhist", "bkill", "bresume", "bmod")
    # bjobs(1). UNKWN and ZOMBI are none of these: its host does not answer, and nobody knows.
    STATES: ClassVar[Mapping[str, State]] = {
        "PEND": State.WAITING,
        "FWD_PEND": State.WAITING,
        "PROV": State.WAITING,
        "WAIT": State.WAITING,
        "PSUSP": State.HELD,
        "RUN": State.RUNNING,
        "USUSP": State.SUSPENDED,
        "SSUSP": State.SUSPENDED,
        "DONE": State.ENDED,
        "EXIT": State.ENDED,
    }

    def __init__(self, site: Site) -> None:
        self._site = site

    def submit(self, ask: Ask) -> Command:
        """Hand bsub one word for its shell; with an output file it sends no mail."""
        argv = ["bsub", "-J", ask.token, "-rn", "-cwd", ask.folder, "-o", ask.messages]
        need = "span[hosts=1]"
        if ask.memory is not None:
            # -M alone ends what takes more; without the other it would run where there is less.
            kilobytes = -(-ask.memory // 1024)
            argv += ["-M", f"{kilobytes}KB"]
            need += f" rusage[mem={kilobytes}KB]"
        argv += ["-n", str(ask.cores), "-R", need]
        if ask.gpus:
            argv += ["-gpu", f"num={ask.gpus}"]
        if ask.limit is not None:
            argv += ["-W", _minutes(ask.limit)]
        site = self._site
        own = {"-q": ask.queue or site.queue, "-P": site.project, "-G": site.group}
        argv += [word for option, value in own.items() if value for word in (option, value)]
        line = shlex.join(("/bin/sh", ask.script))
        # What bsub is run with is what the job gets.
        only = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "LD_LIBRARY_PATH", "LSF_*", "LSB_*")
        return Command(argv=(*argv, *site.extra, line), only=only)

    def parse_submit(self, text: str) -> NativeId:
        """Read ``Job <NUMBER> is submitted``; an esub of the site's may say more."""
        found = re.search(r"^Job <(\d+)> is submitted", text, re.ASCII | re.MULTILINE)
        if found is None:
            raise UnreadableError(text[:200])
        return NativeId(found[1])

    def verdict(self, said: Said) -> Verdict:
        """Go by bsub's words: a plain refusal ends in "Job not submitted."."""
        words = said.stdout + said.stderr
        if _LATER.search(words):
            return Verdict.LATER
        return Verdict.NEVER if "not submitted" in words else Verdict.UNKNOWN

    def poll(self) -> Command:
        """Ask for our user's jobs; that there is none it says on standard error."""
        return _both("bjobs", "-a", "-json", "-o", _FIELDS)

    def parse_poll(self, text: str) -> Sequence[Seen]:
        """Read the records, behind what else was said ("Please wait ...")."""
        return [seen for record in _records(text) if (seen := self._seen(record))]

    def why(self, job: Given) -> Command:
        """Ask the event logs, all of them, without line breaks inside of a sentence."""
        return _both("bhist", "-l", "-UF", "-n", "0", job.native)

    def parse_why(self, said: Said, job: Given) -> Seen | None:
        """Find the job by number and name in a text for people."""
        head = rf"^Job <{re.escape(job.native)}>, Job Name <{re.escape(job.token)}>,"
        begin = re.search(head, said.stdout, re.MULTILINE)
        if begin is None:
            if "No matching job found" in said.stdout or not said.status:
                return None
            raise UnreadableError(said.stdout)
        text = said.stdout[begin.start() :].partition("\n-----")[0]
        done = "Done successfully" in text
        over = re.search(r"Completed <exit>(?:; (.*?))?[.;]*$", text, re.MULTILINE)
        # What was cut off may hold its end, but never a start that was none.
        word = "RUN" if re.search(r"Dispatched|Starting", text) else "PEND"
        code = re.search(r"Exited with exit code (\d+)", text)
        signal = re.search(r"Exited by signal (\d+)", text)
        record = {
            "JOBID": job.native,
            "JOB_NAME": job.token,
            "STAT": "DONE" if done else "EXIT" if over else word,
            "EXIT_CODE": code[1] if code else str(128 + int(signal[1])) if signal else "",
            "EXIT_REASON": (over and over[1]) or "",
        }
        return self._seen(record)

    def cancel(self, job: Given) -> Command:
        """Kill it by its name: INT, TERM, KILL, at the site's own pace."""
        return Command(argv=("bkill", "-J", job.token, "0"))

    def release(self, job: Given) -> Command:
        """Let it be dispatched."""
        return Command(argv=("bresume", "-J", job.token, "0"))

    def limit(self, job: Given, limit: timedelta) -> Command:
        """Change the run limit; of a job that runs only where the site allows that."""
        words = ("-W", _minutes(limit))
        return Command(argv=("sh", "-c", _MODIFY, job.token, *words))

    def wake(self, job: Given) -> None:
        """There is no way: LSF signals all of a job's processes, its command's too."""

    def _seen(self, record: Mapping[str, object]) -> Seen | None:
        told = {name: "" if value == "-" else str(value) for name, value in record.items()}
        token = token_of(told.get("JOB_NAME"))
        if token is None:
            return None
        word = told.get("STAT", "")
        state = self.STATES.get(word)
        reason = (
            told.get("EXIT_REASON", "") if state is State.ENDED else told.get("PEND_REASON", "")
        )
        return Seen(
            token=token,
            native=NativeId(told.get("JOBID", "")),
            state=state,
            word=word,
            why=reason.strip(" ;"),
            node=told.get("EXEC_HOST", "").partition(":")[0].rpartition("*")[2],
            starts=_local(told.get("ESTIMATED_START_TIME", "")),
            end=_end(reason, told.get("EXIT_CODE", "")) if word == "EXIT" else None,
        )


ADAPTER = Lsf

# To bmod a name is something to change, and the number may be another job's by now.
_MODIFY = 'id=$(bjobs -noheader -o jobid -J "$0") && { [ -z "$id" ] || bmod "$@" $id; }'


def _both(*argv: str) -> Command:
    return Command(argv=("sh", "-c", '"$@" 2>&1', "sh", *argv))


def _records(text: str) -> Sequence[Mapping[str, object]]:
    begin = text.find("{")
    if begin < 0 and _NONE.search(text):
        return ()
    told = value(text, max(begin, 0))
    records = told.get("RECORDS") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(records, list):
        raise UnreadableError("It is no list of jobs.")
    if told.get("JOBS") != len(records):
        raise UnreadableError("Some of the jobs are missing.")
    return [record for record in records if isinstance(record, dict)]


def _end(reason: str, code: str) -> Exit | None:
    found = _REASON.search(reason)
    if found is not None and found[1] in _ENDS:
        return Exit(reason=_ENDS[found[1]])
    # As a shell tells it. What the script itself ends with is small.
    number = int(code) - 128 if code.isascii() and code.isdigit() else 0
    return Exit(reason=Reason.SIGNAL, signal=number) if 0 < number < 65 else None


def _minutes(limit: timedelta) -> str:
    hours, minutes = divmod(-(-limit // timedelta(minutes=1)), 60)
    return f"{hours}:{minutes:02}"


def _local(text: str) -> datetime | None:
    """Read a time of the machine's own; None where the site has LSF leave out the year."""
    try:
        return datetime.strptime(text.rstrip(" LEX"), "%b %d %H:%M:%S %Y").astimezone()
    except ValueError:
        return None
