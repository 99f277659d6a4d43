"""Which ways to end each scheduler tells apart: the table of docs/clusters.md, cell by cell."""

import json
from xml.sax.saxutils import escape

import pytest

from mailgate.model import NativeId, Reason, Token
from mailgate.run.scheduler import Given, Said, Seen
from tests.contract.adapters import documented, made
from tests.source import CHECKOUT

NAME = Token("mabcdefgh2345")
ROWS = {
    "over the limit": Reason.WORK_LIMIT,
    "out of memory": Reason.MEMORY,
    "the node failed": Reason.NODE_FAILURE,
    "preempted": Reason.PREEMPTED,
    "cancelled there": Reason.CANCELLED,
    "a signal": Reason.SIGNAL,
    "could not start": Reason.COULD_NOT_START,
}


def slurm(said: str) -> Seen | None:
    """``squeue``: the state, and the raw wait status."""
    word, status = said.split()
    (seen,) = made("slurm").parse_poll(f"7|{word}|{status}|N/A|n1|{NAME}||\nsqueue is done\n")
    return seen


def gridengine(said: str) -> Seen | None:
    """A recorded answer of ``qacct`` or another, with another code of what failed."""
    file, name, *failed = said.split()
    text = (CHECKOUT / "tests" / "data" / "gridengine" / file).read_text(encoding="utf-8")
    for code in failed:
        text = text.replace("failed       37 ", f"failed       {code} ")
    job = Given(token=Token(name), native=NativeId("1"))
    return made("gridengine").parse_why(Said(status=0, stdout=text, stderr=""), job)


def pbs(said: str) -> Seen | None:
    """``qstat -x``: the exit status, and the substate."""
    status, substate = map(int, said.split())
    facts = {"Job_Name": NAME, "job_state": "F", "Exit_status": status, "substate": substate}
    told = json.dumps({"pbs_server": "pbs", "Jobs": {"7.pbs": facts}})
    job = Given(token=NAME, native=NativeId("7.pbs"))
    return made("pbs").parse_why(Said(status=0, stdout=told, stderr=""), job)


def lsf(said: str) -> Seen | None:
    """``bjobs``: the exit code, and the reason."""
    code, reason = said.split()
    record = {"JOBID": "7", "JOB_NAME": NAME, "STAT": "EXIT", "EXIT_CODE": code}
    told = json.dumps({"JOBS": 1, "RECORDS": [{**record, "EXIT_REASON": f"{reason}: job killed"}]})
    (seen,) = made("lsf").parse_poll(told)
    return seen


def htcondor(said: str) -> Seen | None:
    """``condor_q``: attributes."""
    facts = dict(pair.split("=") for pair in said.split())
    facts |= {"ClusterId": "7", "ProcId": "0", "JobBatchName": NAME}
    ads = "".join(f'<a n="{name}"><s>{escape(told)}</s></a>' for name, told in facts.items())
    (seen,) = made("htcondor").parse_poll(f'<?xml version="1.0"?><classads><c>{ads}</c></classads>')
    return seen


CASES = {
    ("slurm", "over the limit"): "TIMEOUT 0",
    ("slurm", "out of memory"): "OUT_OF_MEMORY 9",
    ("slurm", "the node failed"): "NODE_FAIL 0",
    ("slurm", "preempted"): "PREEMPTED 15",
    ("slurm", "cancelled there"): "CANCELLED 0",
    ("slurm", "a signal"): "FAILED 9",
    ("slurm", "could not start"): "FAILED 53",
    ("gridengine", "over the limit"): "acct-limit.out mlimitaaaaaaa",
    ("gridengine", "out of memory"): "acct-processes.out mprocessesbbb",
    ("gridengine", "the node failed"): "acct-limit.out mlimitaaaaaaa 19",
    ("gridengine", "cancelled there"): "ended.xml mdelpendaaaaa",
    ("gridengine", "a signal"): "acct-signal.out msignalaaaaaa",
    ("gridengine", "could not start"): "detail-error-folder.out merrorwdaaaaa",
    ("pbs", "over the limit"): "-29 92",
    ("pbs", "out of memory"): "-27 92",
    ("pbs", "the node failed"): "-4 93",
    ("pbs", "cancelled there"): "271 91",
    ("pbs", "a signal"): "265 93",
    ("pbs", "could not start"): "-1 93",
    ("lsf", "over the limit"): "140 TERM_RUNLIMIT",
    ("lsf", "out of memory"): "137 TERM_MEMLIMIT",
    ("lsf", "the node failed"): "143 TERM_ZOMBIE",
    ("lsf", "preempted"): "130 TERM_PREEMPT",
    ("lsf", "cancelled there"): "130 TERM_OWNER",
    ("lsf", "a signal"): "137 TERM_EXTERNAL_SIGNAL",
    ("lsf", "could not start"): "1 TERM_CWD_NOTEXIST",
    ("htcondor", "over the limit"): "JobStatus=3 RemoveReason=PeriodicRemove LastJobStatus=2",
    ("htcondor", "out of memory"): "JobStatus=5 HoldReasonCode=34",
    ("htcondor", "preempted"): "JobStatus=3 RemoveReason=PeriodicRemove LastJobStatus=1",
    ("htcondor", "cancelled there"): "JobStatus=3 RemoveReason=condor_rm",
    ("htcondor", "a signal"): "JobStatus=4 ExitBySignal=t ExitSignal=9",
    ("htcondor", "could not start"): "JobStatus=5 HoldReasonCode=6",
}
READ = {"slurm": slurm, "gridengine": gridengine, "pbs": pbs, "lsf": lsf, "htcondor": htcondor}


@pytest.mark.parametrize(("engine", "row"), CASES)
def test_a_way_to_end_is_told_from_the_others(engine: str, row: str) -> None:
    seen = READ[engine](CASES[engine, row])
    assert seen is not None
    assert seen.end is not None
    assert seen.end.reason is ROWS[row]


def test_the_table_in_the_docs_has_just_these() -> None:
    cells = documented("how it ended")
    assert list(dict.fromkeys(row for _, row in cells)) == list(ROWS)
    assert {place for place, cell in cells.items() if cell != "no"} == set(CASES)
