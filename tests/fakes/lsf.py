"""No LSF: what bsub, bjobs, bhist, bkill, bstop, bresume and bmod are documented to do, as a fake."""

import json
import signal
import sys
import time

import state
from state import ENDED, HELD, RUNNING, SUSPENDED, WAITING, Queue, Refused

WORDS = {WAITING: "PEND", HELD: "PSUSP", RUNNING: "RUN", SUSPENDED: "USUSP"}
KILLED = {
    "limit": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
    "memory": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
    "cancelled": "TERM_OWNER: job killed by owner",
    "preempted": "TERM_PREEMPT: job killed after preemption",
    "node": "",
}

SAYS = {
    "bsub": {
        "later": ("User <gate>: Pending job threshold reached. Job not submitted.", 255),
        "never": ("User cannot use the queue. Job not submitted.", 255),
        "fail": ("LSF is down. Please wait ...", 255),
    },
    "bjobs": {"fail": ("LSF is down. Please wait ...", 255)},
    "bhist": {"fail": ("lsb.events: No such file or directory", 255)},
}


def do(queue: Queue, name: str, words: list[str]) -> str:
    """Be the command of that name."""
    return {
        "bsub": _bsub, "bjobs": _bjobs, "bhist": _bhist,
        "bkill": _bkill, "bstop": _bstop, "bresume": _bresume, "bmod": _bmod,
    }[name](queue, words)  # fmt: skip


_TAKES = {"-J", "-G", "-M", "-P", "-R", "-W", "-n", "-o", "-q", "-cwd", "-env", "-gpu"}


def _read(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Read options as LSF does: each is a word of its own, and so is its value."""
    told, rest = {}, list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in _TAKES:
            told[word] = rest.pop(0)
        elif word in {"-rn", "-H"}:
            told[word] = ""
        else:
            raise Refused(f"{word}: Illegal option. Job not submitted.", 255)
    return told, rest


def _bsub(queue: Queue, words: list[str]) -> str:
    told, rest = _read(words)
    if told.get("-q") == "nowhere":
        raise Refused("nowhere: No such queue. Job not submitted.", 255)
    hours, _, minutes = told.get("-W", "").rpartition(":")
    limit = (int(hours or 0) * 60 + int(minutes)) * 60 if "-W" in told else None
    job = queue.add(
        ["/bin/sh", "-c", " ".join(rest)],
        name=told.get("-J", rest[0]),
        out=told.get("-o", ""),
        cwd=told.get("-cwd", ""),
        queue=told.get("-q", "normal"),
        cores=int(told.get("-n", "1")),
        memory=told.get("-M", ""),
        limit=limit,
        environment={"LSB_BATCH_JID": "1"},
        state=HELD if "-H" in told else WAITING,
    )
    queue.put(job, command=" ".join(rest))
    which = "queue" if "-q" in told else "default queue"
    return f"Job <{job['id']}> is submitted to {which} <{job['queue']}>.\n"


def _bjobs(queue: Queue, words: list[str]) -> str:
    told: dict[str, str] = {}
    idents = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in {"-o", "-J"}:
            told[word] = rest.pop(0)
        elif word.startswith("-"):
            told[word] = ""
        else:
            idents.append(word)
    if "-J" in told:
        found = [job for job in queue.jobs() if job["name"] == told["-J"]]
        return "".join(f"{job['id']}\n" for job in found if job["state"] != ENDED)
    if "-json" not in told:
        raise Refused("bjobs: the fake speaks JSON alone", 255)
    fields = told["-o"].split()
    jobs = queue.jobs()
    records = []
    if idents:
        for ident in idents:
            found = [job for job in jobs if job["id"] == ident]
            shown = _record(queue, found[0], fields) if found else None
            records.append(shown or {"JOBID": ident, "ERROR": f"Job <{ident}> is not found"})
    else:
        shown = [job for job in jobs if job["state"] != ENDED or "-a" in told]
        records = [_record(queue, job, fields) for job in shown]
    told_all = {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}
    return json.dumps(told_all, indent=2, separators=(",", ":")) + "\n"


def _exit_code(job: dict) -> str:
    status = job["status"]
    if status is None:
        return "1"
    return str(128 - status if status < 0 else status)


def _word(job: dict) -> str:
    if job["state"] != ENDED:
        return WORDS[job["state"]]
    return "DONE" if job["status"] == 0 and not job["killed"] else "EXIT"


def _record(queue: Queue, job: dict, fields: list[str]) -> dict[str, str]:
    word = _word(job)
    estimate = queue.settings.get("estimate")
    values = {
        "jobid": job["id"],
        "job_name": job["name"],
        "stat": "WOBBLY" if queue.settings["unknown"] else word,
        "exit_code": _exit_code(job) if word == "EXIT" else "",
        "exit_reason": KILLED.get(job["killed"], "") if word == "EXIT" else "",
        "pend_reason": (job["why"] or queue.settings["why"] or "New job is waiting for scheduling;")
        if word == "PEND"
        else "",
        "exec_host": job.get("node", ""),
        "estimated_start_time": time.strftime("%b %e %H:%M:%S %Y", time.localtime(estimate))
        if estimate and word == "PEND"
        else "",
    }
    return {field.upper(): values[field] for field in fields}


def _bhist(queue: Queue, words: list[str]) -> str:
    ident = words[-1]
    job = queue.job(ident)
    if job is None:
        raise Refused("No matching job found", 255)
    lines = [
        f"Job <{job['id']}>, Job Name <{job['name']}>, User <gate>, Project <default>, "
        f"Command <{job['command']}>",
        f"Sun Nov 22 12:00:00: Submitted from host <head>, to Queue <{job['queue']}>, CWD <$HOME>;",
    ]
    if job["starts"]:
        lines.append(f"Sun Nov 22 12:00:01: Dispatched 1 Task(s) on Host(s) <{job['node']}>;")
    if job["state"] == ENDED:
        if job["status"] == 0 and not job["killed"]:
            lines.append(
                "Sun Nov 22 12:00:02: Done successfully. The CPU time used is 0.1 seconds;"
            )
        else:
            code = f"Exited with exit code {_exit_code(job)}. The CPU time used is 0.1 seconds;"
            lines.append(f"Sun Nov 22 12:00:02: {code}")
            reason = f"; {KILLED[job['killed']]}" if KILLED.get(job["killed"]) else ""
            lines.append(f"Sun Nov 22 12:00:02: Completed <exit>{reason};")
    return "\n" + "\n".join(lines) + "\n\nSummary of time in seconds spent in various states\n"


def _each(queue: Queue, words: list[str]) -> list[dict]:
    if words[:1] == ["-J"]:
        named = [job for job in queue.jobs() if job["name"] == words[1]]
        found = [job for job in named if job["state"] != ENDED]
        if words[2:] != ["0"] or not found:
            raise Refused("No matching job found", 255)
        return found
    jobs = []
    for ident in words:
        job = queue.job(ident)
        if job is None:
            raise Refused(f"Job <{ident}>: No matching job found", 255)
        if job["state"] == ENDED:
            raise Refused(f"Job <{ident}>: Job has already finished", 255)
        jobs.append(job)
    return jobs


def _bkill(queue: Queue, words: list[str]) -> str:
    jobs = _each(queue, words)
    for job in jobs:
        queue.kill(job, "cancelled", signal.SIGTERM, signal.SIGKILL)
    return "".join(f"Job <{job['id']}> is being terminated\n" for job in jobs)


def _bstop(queue: Queue, words: list[str]) -> str:
    jobs = _each(queue, words)
    for job in jobs:
        if job["state"] == RUNNING:
            queue.suspend(job)
        elif job["state"] == WAITING:
            queue.put(job, state=HELD)
    return "".join(f"Job <{job['id']}> is being stopped\n" for job in jobs)


def _bresume(queue: Queue, words: list[str]) -> str:
    jobs = _each(queue, words)
    for job in jobs:
        if job["state"] == SUSPENDED:
            queue.suspend(job, resume=True)
        elif job["state"] == HELD:
            queue.put(job, state=WAITING)
    return "".join(f"Job <{job['id']}> is being resumed\n" for job in jobs)


def _bmod(queue: Queue, words: list[str]) -> str:
    hours, _, minutes = words[words.index("-W") + 1].rpartition(":")
    for job in _each(queue, words[-1:]):
        queue.put(job, limit=(int(hours or 0) * 60 + int(minutes)) * 60)
    return f"Parameters of job <{words[-1]}> are being changed\n"


if __name__ == "__main__":
    state.command(sys.argv[1], do, SAYS.get(sys.argv[1], {}))
