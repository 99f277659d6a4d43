"""No HTCondor: what condor_submit, _q, _history, _rm, _hold, _release and _qedit are documented to do."""

import re
import signal
import sys
from xml.sax.saxutils import escape

import state
from state import ENDED, HELD, RUNNING, SUSPENDED, WAITING, Queue, Refused

NUMBERS = {WAITING: 1, HELD: 5, RUNNING: 2, SUSPENDED: 7}
HEAD = '<?xml version="1.0"?>\n<!DOCTYPE classads SYSTEM "classads.dtd">\n<classads>\n'

SAYS = {
    "condor_submit": {
        "later": (
            "\nERROR: Failed to create cluster\n"
            "Number of submitted jobs would exceed MAX_JOBS_PER_OWNER",
            1,
        ),
        "never": ("\nERROR: Failed to create cluster\nUser is disabled", 1),
        "fail": ("\nERROR: Can't find address of local schedd", 1),
    },
    "condor_q": {"fail": ("\n-- Failed to fetch ads from: <127.0.0.1:9618> : head", 1)},
    "condor_history": {"fail": ("Error: No history file is defined", 1)},
}


def do(queue: Queue, name: str, words: list[str]) -> str:
    """Be the command of that name."""
    return {
        "condor_submit": _submit, "condor_q": _q, "condor_history": _history, "condor_rm": _rm,
        "condor_hold": _hold, "condor_release": _release, "condor_qedit": _qedit,
    }[name](queue, words)  # fmt: skip


def _submit(queue: Queue, words: list[str]) -> str:
    if words[-1] != "-":
        raise Refused("ERROR: the fake takes a description from standard input", 1)
    told = {}
    for line in sys.stdin.read().splitlines():
        key, equals, value = line.partition("=")
        if equals:
            told[key.strip().lower()] = value.strip()
    arguments = told.get("arguments", "").strip('"')
    argv = [told["executable"], *_arguments(arguments)]
    rule = told.get("periodic_remove", "")
    limit = re.search(r"JobCurrentStartDate\)? > (\d+)", rule)
    job = queue.add(
        argv,
        name=told.get("batch_name", ""),
        out=told.get("output", ""),
        cwd=told.get("initialdir", ""),
        limit=int(limit[1]) if limit else None,
        stays="leave_in_queue" in told,
        told=told,
        environment={"_CONDOR_SLOT": "slot1"},
        code=0,
        state=HELD if told.get("hold") == "true" else WAITING,
    )
    if told.get("accounting_group") == "nobody":
        queue.forget(job["id"])
        raise Refused("\nERROR: Failed to create cluster\nUser is disabled", 1)
    return f"Submitting job(s).\n1 job(s) submitted to cluster {job['id']}.\n"


def _arguments(text: str) -> list[str]:
    """Take the new syntax apart: blanks divide, single quotes keep, a doubled one is itself."""
    found = re.findall(r"(?:'((?:[^']|'')*)'|(\S+))", text.replace('""', '"'))
    return [(quoted or plain).replace("''", "'") for quoted, plain in found]


def _q(queue: Queue, words: list[str]) -> str:
    jobs = [job for job in queue.jobs() if job["state"] != ENDED or job["stays"]]
    return _ads(queue, jobs, words)


def _history(queue: Queue, words: list[str]) -> str:
    idents = {word.partition(".")[0] for word in words if re.fullmatch(r"\d+(\.\d+)?", word)}
    jobs = [job for job in queue.jobs() if job["state"] == ENDED and job["id"] in idents]
    return _ads(queue, jobs, words)


def _ads(queue: Queue, jobs: list[dict], words: list[str]) -> str:
    if "-xml" not in words:
        raise Refused("the fake speaks XML alone", 1)
    wanted = words[words.index("-attributes") + 1].split(",") if "-attributes" in words else None
    text = [HEAD]
    for job in jobs:
        text.append("<c>\n")
        for name, value in _ad(queue, job).items():
            if value is not None and (wanted is None or name in wanted):
                text.append(f'    <a n="{name}">{_value(value)}</a>\n')
        text.append("</c>\n")
    return "".join([*text, "</classads>\n"])


def _value(value: object) -> str:
    match value:
        case bool():
            return f'<b v="{"t" if value else "f"}"/>'
        case int():
            return f"<i>{value}</i>"
        case _:
            return f"<s>{escape(str(value))}</s>"


def _ad(queue: Queue, job: dict) -> dict:
    status = job["status"]
    removed = job["killed"] in ("cancelled", "limit")
    number = (3 if removed else 4) if job["state"] == ENDED else NUMBERS[job["state"]]
    ad: dict = {
        "ClusterId": int(job["id"]),
        "ProcId": 0,
        "JobBatchName": job["name"],
        "JobStatus": 42 if queue.settings["unknown"] else number,
        "NumJobStarts": job["starts"],
        "RemoteHost": f"slot1@{job['node']}" if job["state"] == RUNNING else None,
        "LastRemoteHost": f"slot1@{job['node']}" if job.get("node") else None,
        "AutoClusterId": 1,
        "LastRejMatchTime": int(job["submitted"]) + 1 if job["state"] == WAITING else None,
        "LastRejMatchReason": f"{queue.settings['why'] or 'no match found'} "
        if job["state"] == WAITING
        else None,
        "HoldReason": job["why"] if job["state"] == HELD else None,
        "HoldReasonCode": (job["code"] or 1) if job["state"] == HELD else None,
    }
    if job["state"] == ENDED and removed:
        rule = job["told"].get("periodic_remove", "")
        ad["LastJobStatus"] = 2 if job["starts"] else 1
        ad["RemoveReason"] = (
            "via condor_rm (by user gate)"
            if job["killed"] == "cancelled"
            else f"The job attribute PeriodicRemove expression '{rule}' evaluated to TRUE"
        )
    elif job["state"] == ENDED and status is not None:
        ad["ExitBySignal"] = status < 0
        ad["ExitSignal" if status < 0 else "ExitCode"] = abs(status)
    return ad


def _each(queue: Queue, words: list[str]) -> list[dict]:
    """Find the jobs that are meant: by ``-constraint JobBatchName == "NAME"`` or by their numbers."""
    jobs = [job for job in queue.jobs() if job["state"] != ENDED or job["stays"]]
    if words[0] == "-constraint":
        name = re.fullmatch(r'JobBatchName == "(\w+)"', words[1])
        found = [job for job in jobs if name and job["name"] == name[1]]
    else:
        found = [job for job in jobs if job["id"] == words[0].partition(".")[0]]
    if not found:
        raise Refused(f"Couldn't find/remove all jobs matching constraint ({words[1:2]})", 1)
    return found


def _said(jobs: list[dict], words: str) -> str:
    return "".join(f"Job {job['id']}.0 {words}\n" for job in jobs)


def _rm(queue: Queue, words: list[str]) -> str:
    jobs = _each(queue, words)
    for job in jobs:
        queue.kill(job, "cancelled", signal.SIGTERM, signal.SIGKILL)
    return _said(jobs, "marked for removal")


def _hold(queue: Queue, words: list[str]) -> str:
    jobs = _each(queue, words)
    for job in jobs:
        if job["state"] == RUNNING:
            # What the manual says: a running job that is held is killed hard.
            queue.requeue(job)
        queue.put(job, state=HELD, why="via condor_hold (by user gate)", code=1)
    return _said(jobs, "held")


def _release(queue: Queue, words: list[str]) -> str:
    jobs = _each(queue, words)
    for job in jobs:
        if job["state"] == HELD:
            queue.put(job, state=WAITING, why="", code=0)
    return _said(jobs, "released")


def _qedit(queue: Queue, words: list[str]) -> str:
    limit = re.search(r"JobCurrentStartDate\)? > (\d+)", words[-1])
    for job in _each(queue, words):
        queue.put(job, limit=int(limit[1]) if limit else None)
    return f'Set attribute "{words[-2]}" for 1 matching jobs.\n'


if __name__ == "__main__":
    state.command(sys.argv[1], do, SAYS.get(sys.argv[1], {}))
