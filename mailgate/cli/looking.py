"""What the commands that look into the spool have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from mailgate.cli.options import complain, text
from mailgate.config import Config
from mailgate.model import Job, JobId
from mailgate.phases import ACTIVE
from mailgate.spool import jobs
from mailgate.spool.database import Connection, Site, View
from mailgate.spool.store import Folder, direct


@contextmanager
def spool_of(config: Config) -> Iterator[Connection]:
    """Work on the spool beside a running daemon, or without one.

    Raises
    ------
    Permanent
        There is none: a slip in a path must not make an empty one that nobody looks into.
    """
    folder, site = Folder(config.gateway.spool), Site.of(config.gateway.address)
    with direct(folder, site, make=False) as connection:
        yield connection


def the_job(view: View, word: str, *, shortest: int = 1) -> JobId | None:
    """Return the one job whose id begins so; complain and return None where there is not one."""
    beginning = text(word).lower()
    if len(beginning) < shortest:
        least = "characters" if shortest == 1 else f"{shortest} characters"
        complain(f"name a job, or at least its first {least}")
        return None
    found = jobs.alike(view, beginning)
    if len(found) == 1:
        return found[0]
    if found:
        complain(f"{beginning} is the beginning of several jobs: {', '.join(found)}")
    else:
        complain(f"there is no job {beginning}")
    return None


def job_facts(job: Job) -> dict[str, object]:
    """Return what `--json` says of a job in a list of many; times are ISO 8601 UTC."""
    return {
        "id": job.id,
        "phase": job.phase,
        "service": job.service,
        "owner": job.owner.address,
        "how": job.owner.how,
        "label": job.label,
        "parameters": dict(job.parameters),
        "created": iso(job.created),
        "started": iso(job.started),
        "ended": iso(job.ended),
        "destruction": iso(job.destruction),
        "exit": job.exit.header if job.exit else None,
        "reason": job.exit.reason if job.exit else None,
        "words": str(job.exit.words) if job.exit else None,
        "progress": job.progress.percent if job.progress and job.phase in ACTIVE else None,
        "attempts": job.attempts,
        "held_by": job.held_by,
        "wish": job.wish,
    }


def iso(moment: datetime | None) -> str | None:
    """Return a time as ISO 8601 with Z, to the millisecond."""
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
