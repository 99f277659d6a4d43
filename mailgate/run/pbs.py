"""OpenPBS and PBS Professional: qsub, qstat, qdel, qrls, qalter, by their manual pages.

Written from their documentation and source alone: no PBS was to be had.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from mailgate.model import Exit, NativeId, Reason
from mailgate.run.answers import token_of, value
from mailgate.run.scheduler import Ask, Command, Given, Said, Seen, State, UnreadableError, Verdict
from mailgate.settings.schedulers import Pbs as Site

# PBS's own of src/include/job.h: a negative Exit_status is no command's.
_ENDS = {
    **dict.fromkeys((-29, -28), Reason.WORK_LIMIT),
    **dict.fromkeys((-27, -26), Reason.MEMORY),
    **dict.fromkeys((-25, -24), Reason.CANCELLED),
    **dict.fromkeys((-4, -5, -6, -20), Reason.NODE_FAILURE),
}
# From here on an Exit_status is a signal's number, and all below is an exit code.
_SIGNALLED = 256
# JOB_SUBSTATE_TERMINATED: somebody deleted it.
_DELETED = 91

_LATER = re.compile(
    r"per-(user|group) limit|limit of jobs|[Mm]aximum number of jobs|cannot connect to server"
    r"|No free connections|connection table full|Server shutting down|temporarily unavailable"
    r"|License unavailable|Queue is not enabled"
)
# After these the server may have it. All else that qsub says is the server's "no", or a hook's.
_DOUBT = re.compile(
    r"protocol error|time(d)? ?out|[Cc]ommunication|End of File|connection|errno|internal error"
    r"|System error"
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_WORD = re.compile(r'((?<!\\)":\s*)([-+.\d][-+.\w]*)(\s*[,}\]\n])')
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_UNKNOWN_JOB = re.compile(r"Unknown Job Id|not configured to maintain job history", re.IGNORECASE)


class Pbs:
    """PBS: jobs in JSON. Of ended jobs its history is asked, one by one; it may be off."""

    title: ClassVar[str] = "PBS"
    programs: ClassVar[tuple[str, ...]] = (
        "qsub", "qstat", "qselect", "qdel", "qrls", "qalter",
    )  # fmt: skip
    # qstat(1B). M (moved to another server) is none of these: nobody here knows what it does there.
    STATES: ClassVar[Mapping[str, State]] = {
        "Q": State.WAITING,
        "W": State.WAITING,
        "T": State.WAITING,
        "H": State.HELD,
        "R": State.RUNNING,
        "B": State.RUNNING,
        "E": State.RUNNING,
        "S": State.SUSPENDED,
        "U": State.SUSPENDED,
        "F": State.ENDED,
        "X": State.ENDED,
    }

    def __init__(self, site: Site) -> None:
        self._site = site

    def submit(self, ask: Ask) -> Command:
        """Hand over a copy of the script, which finds its folder by itself."""
        chunk = f"select=1:ncpus={ask.cores}"
        if ask.memory is not None:
            chunk += f":mem={-(-ask.memory // 1024)}kb"
        if ask.gpus:
            chunk += f":ngpus={ask.gpus}"
        # An empty -C: nothing in the script is an option. -m n: people hear of it from us.
        argv = ["qsub", "-N", ask.token, "-r", "n", "-m", "n", "-C", "", "-S", "/bin/sh"]
        argv += ["-j", "oe", "-o", ask.messages, "-l", chunk]
        if ask.limit is not None:
            argv += ["-l", f"walltime={_walltime(ask.limit)}"]
        site = self._site
        own = {"-q": ask.queue or site.queue, "-A": site.account, "-P": site.project}
        argv += [word for option, value in own.items() if value for word in (option, value)]
        return Command(argv=(*argv, *site.extra, ask.script))

    def parse_submit(self, text: str) -> NativeId:
        """Read ``SEQUENCE.SERVER``; a hook of the site's may say more, on other lines."""
        found = re.findall(r"^(\d+\.[\w.-]+)\s*$", text, re.ASCII | re.MULTILINE)
        if len(found) != 1:
            raise UnreadableError(text[:200])
        return NativeId(found[0])

    def verdict(self, said: Said) -> Verdict:
        """Go by qsub's words: its statuses are cut to a byte."""
        if _LATER.search(said.stderr):
            return Verdict.LATER
        refused = said.status > 0 and re.match(r"(qsub|usage): ", said.stderr)
        return Verdict.NEVER if refused and not _DOUBT.search(said.stderr) else Verdict.UNKNOWN

    def poll(self) -> Command:
        """Ask for what waits and runs: with what has ended (-x) it would be two weeks of jobs."""
        return Command(argv=("qstat", "-f", "-F", "json"))

    def parse_poll(self, text: str) -> Sequence[Seen]:
        """Read qstat's JSON, which has no "Jobs" where there are none."""
        return [seen for name, facts in _jobs(text).items() if (seen := self._seen(name, facts))]

    def why(self, job: Given) -> Command:
        """Ask for the job's history."""
        return Command(argv=("qstat", "-x", "-f", "-F", "json", job.native))

    def parse_why(self, said: Said, job: Given) -> Seen | None:
        """Read its history; a number that another job has says nothing of ours."""
        told = said.stdout if said.stdout.strip() else "{}"
        unknown = _UNKNOWN_JOB.search(said.stdout + said.stderr)
        if said.status and not unknown:
            raise UnreadableError(said.stderr)
        try:
            found = self.parse_poll(told)
        except UnreadableError:
            if not unknown:
                raise
            found = []
        return next((seen for seen in found if seen.token == job.token), None)

    def cancel(self, job: Given) -> Command:
        """Delete it; PBS would write a mail of its own."""
        return _to(job, "qdel", "-W", "suppress_email=-1")

    def release(self, job: Given) -> Command:
        """Take the user's hold away."""
        return _to(job, "qrls", "-h", "u")

    def limit(self, job: Given, limit: timedelta) -> Command:
        """Change the walltime, which PBS lets its operators alone raise once a job runs."""
        return _to(job, "qalter", "-l", f"walltime={_walltime(limit)}")

    def wake(self, job: Given) -> None:
        """Say that there is no way: a signal is for all of the job's session, its command too."""

    def _seen(self, native: str, facts: Mapping[str, object]) -> Seen | None:
        token = token_of(facts.get("Job_Name"))
        if token is None:
            return None
        word = str(facts.get("job_state", ""))
        state = self.STATES.get(word)
        comment = str(facts.get("comment", ""))
        host = str(facts.get("exec_host", ""))
        estimate = facts.get("estimated")
        starts = estimate.get("start_time") if isinstance(estimate, dict) else None
        return Seen(
            token=token,
            native=NativeId(native),
            state=state,
            word=word,
            # That it runs, and where, is said otherwise.
            why="" if state is State.RUNNING else comment.removeprefix("Not Running: "),
            node=host.partition("/")[0],
            starts=_local(starts) if isinstance(starts, str) else None,
            end=_end(facts) if state is State.ENDED else None,
        )


ADAPTER = Pbs

# Of all commands qselect alone knows names, and the number may be another job's by now.
_BY_NAME = 'ids=$(qselect -N "$0") && { [ -z "$ids" ] || "$@" $ids; }'


def _to(job: Given, *argv: str) -> Command:
    return Command(argv=("sh", "-c", _BY_NAME, job.token, *argv))


def _jobs(text: str) -> Mapping[str, Mapping[str, object]]:
    text = text[max(text.find("{"), 0) :]
    try:
        told = value(text)
    except UnreadableError:
        told = value(_mended(text))
    jobs = told.get("Jobs", {}) if isinstance(told, dict) and "pbs_server" in told else None
    if not isinstance(jobs, dict):
        raise UnreadableError("It is no list of jobs.")
    return {name: facts for name, facts in jobs.items() if isinstance(facts, dict)}


def _mended(text: str) -> str:
    """Mend what PBS writes of anybody's environment: ``007`` and ``.5``, escapes that are none.

    In OpenPBS 14 to 23 (mended by its pull requests 2049 and 2603) one such job hides all others.
    """
    text = _ESCAPE.sub(lambda one: one[0] if _is_escape(one[1]) else f"\\{one[0]}", text)
    return _WORD.sub(lambda one: one[0] if _NUMBER.fullmatch(one[2]) else _as_text(one), text)


def _as_text(one: re.Match[str]) -> str:
    return f'{one[1]}"{one[2]}"{one[3]}'


def _is_escape(told: str) -> bool:
    return told in set('"\\/bfnrt') or len(told) > 1


def _end(facts: Mapping[str, object]) -> Exit | None:
    status, substate = facts.get("Exit_status"), facts.get("substate")
    if not isinstance(status, int):
        return Exit(reason=Reason.CANCELLED) if substate == _DELETED else None
    if status < 0:
        return Exit(reason=_ENDS.get(status, Reason.COULD_NOT_START))
    if substate == _DELETED:
        return Exit(reason=Reason.CANCELLED)
    if status >= _SIGNALLED:
        return Exit(reason=Reason.SIGNAL, signal=status - _SIGNALLED)
    return None


def _walltime(limit: timedelta) -> str:
    minutes, seconds = divmod(-(-limit // timedelta(seconds=1)), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _local(text: str) -> datetime | None:
    """Read a time as ctime(3) writes it: the machine's own, and no year's but its own."""
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").astimezone()
    except ValueError:
        return None
