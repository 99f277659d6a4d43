"""What the spool tells of a job's prospects: why it waits with an engine, and what others took."""

from dataclasses import replace
from datetime import timedelta

from mailgate.model import Job, JobId
from mailgate.model.outlook import Outlook, Queued, Silence, Usual
from mailgate.phases import ACTIVE, Phase
from mailgate.services import Service
from mailgate.settings.engines import Run
from mailgate.spool import silences, standstills
from mailgate.spool.database import View, moment

# So many of the newest jobs that ended well tell how long those of a service take; fewer than that
# tell nothing.
_LOOKED_AT, _FEW = 20, 5
# Nobody wants to know it more exactly (seconds): from a time on it is told in steps of another.
_STEPS = (
    (864000, 86400),
    (36000, 3600),
    (3600, 600),
    (600, 60),
    (60, 10),
)


def outlook(view: View, job: Job, *, engine: str = "") -> Outlook:
    """Return what may be expected of a job that waits or runs; nothing of any other.

    ``queued`` and ``silence`` have the name of its [run.NAME] table, that of this machine too.
    ``engine``: the table of a job that no engine has yet.
    """
    if job.phase not in ACTIVE:
        return Outlook()
    silence = _silence(view, job, engine)
    if job.phase not in {Phase.QUEUED, Phase.EXECUTING, Phase.SUSPENDED}:
        return Outlook(silence=silence)
    queued = _queued(view, job.id) if job.phase is Phase.QUEUED else None
    return Outlook(
        usual=_usual(view, job.service),
        queued=queued,
        silence=silence,
        standstill=standstills.of_jobs(view, [job.id]),
    )


def engine_of(run: Run, service: Service | None) -> str:
    """Return the table of the engine that gets jobs of a service."""
    return service.engine if service is not None and service.engine else run.engine


def at_cluster(found: Outlook, job: Job, run: Run, service: Service | None) -> Outlook:
    """Return it with the scheduler's name for its table's; on this machine there is no queue.

    A job that no engine has yet waits to be handed over.
    """
    found = replace(found, silence=at(found.silence, run))
    if job.phase is not Phase.QUEUED:
        return found
    queued = found.queued or Queued(engine=engine_of(run, service))
    scheduler = run.scheduler(queued.engine)
    return replace(found, queued=replace(queued, engine=scheduler) if scheduler else None)


def at(silence: Silence | None, run: Run) -> Silence | None:
    """Return it with the scheduler's name for its table's; None at this machine."""
    scheduler = run.scheduler(silence.engine) if silence is not None else ""
    return replace(silence, engine=scheduler) if silence is not None and scheduler else None


def _silence(view: View, job: Job, engine: str) -> Silence | None:
    found = silences.of_jobs(view, [job.id])
    if not found and job.phase is Phase.QUEUED:
        found = [one for one in silences.noted(view) if one.engine == engine]
    return found[0] if found else None


def _queued(view: View, job: JobId) -> Queued | None:
    row = view.one(
        "SELECT engine, submitted, why, starts FROM attempt WHERE job = ?"
        " AND state IN ('INTENDED', 'SUBMITTED') ORDER BY number DESC LIMIT 1",
        job,
    )
    if row is None:
        return None
    return Queued(
        engine=row["engine"],
        since=moment(row["submitted"]) if row["submitted"] else None,
        why=row["why"],
        starts=moment(row["starts"]) if row["starts"] else None,
    )


def _usual(view: View, service: str) -> Usual | None:
    rows = view.all(
        "SELECT ended - started AS took FROM job WHERE service = ? AND code = 0"
        " AND started IS NOT NULL ORDER BY ended DESC LIMIT ?",
        service,
        _LOOKED_AT,
    )
    took = sorted(row["took"] for row in rows)
    if len(took) < _FEW:
        return None
    quarter = len(took) // 4
    least, median, most = (took[n] for n in (quarter, len(took) // 2, -1 - quarter))
    return Usual(least=_about(least), median=_about(median), most=_about(most))


def _about(seconds: float) -> timedelta:
    step = next((step for least, step in _STEPS if seconds >= least), 1)
    return timedelta(seconds=round(seconds / step) * step)
