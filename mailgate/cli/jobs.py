"""mailgate jobs: list the jobs, the newest first."""

import json

from mailgate.cli.looking import job_facts, spool_of
from mailgate.cli.options import complain, parser, shown, some, table
from mailgate.config import load_places
from mailgate.model import Job
from mailgate.spool import jobs, silences, standstills

_HEADING = ("id", "phase", "service", "owner", "created", "exit", "label")


def run(words: list[str]) -> int:
    """Print one line a job, below a heading; or JSON, without errors, outputs and history."""
    made = parser("jobs", __doc__)
    made.add_argument("--json", action="store_true", help="one JSON object a line")
    made.add_argument("--active", action="store_true", help="only jobs that have not ended")
    made.add_argument("--last", type=some, default=50, metavar="N", help="at most N (default 50)")
    given = made.parse_args(words)
    config = load_places(given.config)
    with spool_of(config) as connection:
        found = jobs.newest(connection.view, limit=given.last, active=given.active)
        silent = silences.noted(connection.view)
        standstill = standstills.noted(connection.view)
    if given.json:
        for job in found:
            print(json.dumps(job_facts(job)))
    else:
        table(_HEADING, [_row(job) for job in found])
        for one in silent:
            complain(
                f"{one.engine} has not answered since {shown(one.since)}: its jobs were so then"
            )
        if standstill is not None:
            complain(f"since {shown(standstill.since)}: {standstill.why}")
    return 0


def _row(job: Job) -> tuple[object, ...]:
    return (
        job.id,
        job.phase,
        job.service,
        job.owner.address,
        job.created,
        job.exit.header if job.exit else None,
        job.label,
    )
