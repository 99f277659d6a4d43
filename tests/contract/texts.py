"""How each scheduler's poll looks: a new engine gets a function here, and the contract tests it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One job of a poll; ``word`` is the scheduler's own, ``why`` what it says of a job that waits.

    ``besides``: so much more is told of it that nobody asked for, where the scheduler tells all.
    """

    number: int
    name: str
    word: str
    why: str = ""
    besides: int = 0


def pbs(jobs: Sequence[Listed]) -> str:
    """``qstat -f -F json``."""
    told: dict[str, object] = {"timestamp": 1, "pbs_version": "23.06.06", "pbs_server": "pbs"}
    if jobs:
        told["Jobs"] = {
            f"{job.number}.pbs": {
                "Job_Name": job.name,
                "job_state": job.word,
                "comment": f"Not Running: {job.why}",
                "Variable_List": {
                    "PBS_O_HOME": "/home/gate",
                    "PBS_O_WORKDIR": "/",
                    **{f"PBS_O_{number}": number for number in range(job.besides)},
                },
            }
            for job in jobs
        }
    return json.dumps(told, indent=4, separators=(",", ":")) + "\n"


def lsf(jobs: Sequence[Listed]) -> str:
    """``bjobs -json``."""
    names = ("EXIT_CODE", "EXIT_REASON", "EXEC_HOST", "ESTIMATED_START_TIME")
    records = [
        {
            "JOBID": str(job.number),
            "JOB_NAME": job.name,
            "STAT": job.word,
            "PEND_REASON": job.why,
            **dict.fromkeys(names, ""),
        }
        for job in jobs
    ]
    told = {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}
    return json.dumps(told, indent=2, separators=(",", ":")) + "\n"


_STATUS = {"IDLE": 1, "RUNNING": 2, "REMOVED": 3, "COMPLETED": 4, "HELD": 5, "SUSPENDED": 7}
_STATUS["TRANSFERRING_OUTPUT"] = 6


def htcondor(jobs: Sequence[Listed]) -> str:
    """``condor_q -xml``; an idle job says why it was not matched, one on hold why it is."""
    text = ['<?xml version="1.0"?>\n<!DOCTYPE classads SYSTEM "classads.dtd">\n<classads>\n']
    for job in jobs:
        said = "HoldReason" if job.word == "HELD" else "LastRejMatchReason"
        strings = {"JobBatchName": job.name, said: job.why}
        numbers = {"ClusterId": job.number, "ProcId": 0, "JobStatus": _STATUS.get(job.word, 42)}
        numbers["LastRejMatchTime"] = 1_795_000_000
        text.append("<c>\n")
        text += [f'    <a n="{name}"><i>{value}</i></a>\n' for name, value in numbers.items()]
        text += [f'    <a n="{name}"><s>{escape(v)}</s></a>\n' for name, v in strings.items() if v]
        text.append("</c>\n")
    return "".join([*text, "</classads>\n"])


def gridengine(jobs: Sequence[Listed]) -> str:
    """``qstat -xml``, and ``qstat -xml -j``, which has the reasons."""
    lists = "".join(
        f'    <job_list state="pending">\n      <JB_job_number>{job.number}</JB_job_number>\n'
        f"      <JB_name>{escape(job.name)}</JB_name>\n      <state>{job.word}</state>\n"
        f"      <queue_name></queue_name>\n    </job_list>\n"
        for job in jobs
    )
    reasons = "".join(
        "      <element>\n        <MES_job_number_list>\n          <ulong_sublist>\n"
        f"            <ULNG_value>{job.number}</ULNG_value>\n          </ulong_sublist>\n"
        "        </MES_job_number_list>\n        <MES_message_number>0</MES_message_number>\n"
        f"        <MES_message>{escape(job.why)}</MES_message>\n      </element>\n"
        for job in jobs
        if job.why
    )
    return (
        "<?xml version='1.0'?>\n<job_info  xmlns:xsd=\"http://arc.liv.ac.uk/qstat.xsd\">\n"
        f"  <queue_info>\n  </queue_info>\n  <job_info>\n{lists}  </job_info>\n</job_info>\n"
        f"<?xml version='1.0'?>\n<message>\n  <element>\n    <SME_message_list>\n{reasons}"
        "    </SME_message_list>\n  </element>\n</message>\n"
    )


def slurm(jobs: Sequence[Listed]) -> str:
    """``squeue --Format``, each field with its end, and a last line."""
    lines = [f"{job.number}|{job.word}|0|N/A|n1|{job.name}|{job.why or 'None'}|\n" for job in jobs]
    return "".join([*lines, "squeue is done\n"])


POLLS: dict[str, Callable[[Sequence[Listed]], str]] = {
    "slurm": slurm,
    "gridengine": gridengine,
    "pbs": pbs,
    "lsf": lsf,
    "htcondor": htcondor,
}
