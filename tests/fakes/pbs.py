"""No PBS: what OpenPBS's qsub, qstat, qdel, qhold, qrls and qalter are documented to do, as a fake."""

import getopt
import json
import signal
import sys
import time
from pathlib import Path

import state
from state import ENDED, HELD, RUNNING, SUSPENDED, WAITING, Queue, Refused

SERVER = "pbs"
LETTERS = {WAITING: "Q", HELD: "H", RUNNING: "R", SUSPENDED: "S", ENDED: "F"}
SUBSTATES = {WAITING: 10, HELD: 20, RUNNING: 42, SUSPENDED: 43, ENDED: 92}
KILLED = {"limit": (-29, 92), "memory": (-27, 92), "cancelled": (271, 91), "node": (-4, 93)}

SAYS = {
    "qalter": {"fail": ("qalter: Cannot modify attribute while job running  Resource_List\n", 1)},
    "qsub": {
        "later": ("qsub: would exceed queue generic's per-user limit of jobs in 'Q' state", 38),
        "never": ("qsub: Job violates queue and/or server resource limits", 188),
        "fail": ("qsub: cannot connect to server pbs (errno=15010)", 174),
    },
    "qstat": {"fail": ("qstat: cannot connect to server pbs (errno=15010)", 174)},
}


def do(queue: Queue, name: str, words: list[str]) -> str:
    """Be the command of that name."""
    return {
        "qsub": _qsub, "qstat": _qstat, "qdel": _qdel,
        "qhold": _qhold, "qrls": _qrls, "qalter": _qalter, "qselect": _qselect,
    }[name](queue, words)  # fmt: skip


def _seconds(text: str) -> int:
    parts = [int(part) for part in text.split(":")]
    return sum(part * 60**n for n, part in enumerate(reversed(parts)))


def _qsub(queue: Queue, words: list[str]) -> str:
    options, rest = getopt.getopt(words, "A:C:N:P:S:W:e:hj:k:l:m:o:p:q:r:v:")
    told = dict(options)
    resources = {}
    for option, value in options:
        if option == "-l":
            name, _, amount = value.partition("=")
            resources[name] = amount
    if len(rest) != 1:
        raise Refused("usage: qsub [-a date_time] ... [script | -- command [arg1 ...]]", 2)
    # It keeps a copy: who changes the file later changes nothing.
    copy = queue.folder / f"script {queue.settings['next']}"
    copy.write_bytes(Path(rest[0]).read_bytes())
    if told.get("-q") == "nowhere":
        raise Refused("qsub: Unknown queue", 170)
    limit = resources.get("walltime")
    job = queue.add(
        [told.get("-S", "/bin/sh"), str(copy)],
        name=told.get("-N", "STDIN"),
        out=told.get("-o", ""),
        queue=told.get("-q", "workq"),
        select=resources.get("select", "1:ncpus=1"),
        limit=_seconds(limit) if limit else None,
        rerunnable=told.get("-r", "y"),
        account=told.get("-A", ""),
        environment={"PBS_ENVIRONMENT": "PBS_BATCH"},
        by_session=True,
        state=HELD if "-h" in told else WAITING,
    )
    return f"{job['id']}.{SERVER}\n"


def _known(queue: Queue, ident: str, command: str) -> dict:
    job = queue.job(ident.partition(".")[0])
    if job is None:
        raise Refused(f"{command}: Unknown Job Id {ident}", 153)
    return job


def _qstat(queue: Queue, words: list[str]) -> str:
    options, idents = getopt.getopt(words, "F:fx")
    told = dict(options)
    if "-f" not in told or told.get("-F") != "json":
        raise Refused("usage: qstat [-f] [-J] [-p] [-t] [-x] [-F format] ...", 2)
    jobs = queue.jobs()
    shown = {}
    if idents:
        for ident in idents:
            found = [job for job in jobs if job["id"] == ident.partition(".")[0]]
            shown[ident] = _attributes(queue, found[0]) if found else {"Error": "Unknown Job Id"}
    else:
        for job in jobs:
            if job["state"] != ENDED or "-x" in told:
                shown[f"{job['id']}.{SERVER}"] = _attributes(queue, job)
    head: dict = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": SERVER}
    if shown:
        head["Jobs"] = shown
    return json.dumps(head, indent=4, separators=(",", ":")) + "\n"


def _attributes(queue: Queue, job: dict) -> dict:
    letter = "Y" if queue.settings["unknown"] else LETTERS[job["state"]]
    shown = {
        "Job_Name": job["name"],
        "Job_Owner": "gate@head",
        "job_state": letter,
        "queue": job["queue"],
        "server": SERVER,
        "Hold_Types": "u" if job["state"] == HELD else "n",
        "Rerunable": "True" if job["rerunnable"] == "y" else "False",
        "Resource_List": {"select": job["select"], "place": "pack"},
        "substate": SUBSTATES[job["state"]],
    }
    where = f"({job.get('node', '')}:ncpus=1)"
    match job["state"]:
        case "waiting":
            shown["comment"] = f"Not Running: {job['why'] or queue.settings['why'] or 'Not yet'}"
            if queue.settings.get("estimate"):
                estimate = time.localtime(queue.settings["estimate"])
                shown["estimated"] = {
                    "exec_vnode": "(node-9:ncpus=1)",
                    "start_time": time.strftime("%a %b %e %H:%M:%S %Y", estimate),
                }
        case "running" | "suspended":
            shown |= {"exec_host": f"{job['node']}/0", "exec_vnode": where}
            shown["comment"] = f"Job run at Sun Nov 22 at 12:00 on {where}"
        case "ended":
            status, substate = KILLED.get(job["killed"], (job["status"], 92))
            if status is not None and status < 0 and not job["killed"]:
                status = 256 - status
            if job["starts"]:
                shown |= {"exec_host": f"{job['node']}/0", "Exit_status": status}
            shown["substate"] = substate
            shown["comment"] = "and terminated" if substate == 91 else "and finished"
    return shown


def _each(queue: Queue, command: str, idents: list[str]) -> list[dict]:
    jobs = [_known(queue, ident, command) for ident in idents]
    for job in jobs:
        if job["state"] == ENDED:
            raise Refused(f"{command}: Job has finished {job['id']}.{SERVER}", 35)
    return jobs


def _qdel(queue: Queue, words: list[str]) -> str:
    _, idents = getopt.getopt(words, "W:x")
    for job in _each(queue, "qdel", idents):
        queue.kill(job, "cancelled", signal.SIGTERM, signal.SIGKILL)
    return ""


def _qselect(queue: Queue, words: list[str]) -> str:
    options, _ = getopt.getopt(words, "N:")
    name = dict(options)["-N"]
    found = [job for job in queue.jobs() if job["name"] == name and job["state"] != ENDED]
    return "".join(f"{job['id']}.{SERVER}\n" for job in found)


def _qhold(queue: Queue, words: list[str]) -> str:
    _, idents = getopt.getopt(words, "h:")
    for job in _each(queue, "qhold", idents):
        if job["state"] == RUNNING:
            raise Refused(f"qhold: Request invalid for state of job {job['id']}.{SERVER}", 168)
        queue.put(job, state=HELD)
    return ""


def _qrls(queue: Queue, words: list[str]) -> str:
    _, idents = getopt.getopt(words, "h:")
    for job in _each(queue, "qrls", idents):
        if job["state"] == HELD:
            queue.put(job, state=WAITING)
    return ""


def _qalter(queue: Queue, words: list[str]) -> str:
    options, idents = getopt.getopt(words, "l:")
    limit = dict(options)["-l"].removeprefix("walltime=")
    for job in _each(queue, "qalter", idents):
        queue.put(job, limit=_seconds(limit))
    return ""


if __name__ == "__main__":
    state.command(sys.argv[1], do, SAYS.get(sys.argv[1], {}))
