"""A person's jobs: found by the beginning of an id, by letters about them, and listed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailgate.model import How, Identity, Job, JobId
from mailgate.phases import ACTIVE, Phase
from mailgate.saying import Words
from mailgate.spool import codec, jobs, watchers
from mailgate.spool.database import View, moment
from mailgate.spool.indexes import OPEN
from mailgate.spool.keep import NOT_ENDED

SHORTEST = 4
"""Characters of an id that are enough to look for: of a million jobs about one begins with them."""

_MOST_IDS = 40


def may_act(view: View, who: Identity, job: JobId) -> bool:
    """Tell whether the job is theirs, or its owner has named them and they are told of it."""
    return is_owner(view, who, job) or (
        who.how is not How.CLAIMED and watchers.is_told(view, job, who.key)
    )


def is_owner(view: View, who: Identity, job: JobId) -> bool:
    """Tell whether the job is theirs."""
    row = view.one("SELECT owner FROM job WHERE id = ?", job)
    return row is not None and row["owner"].lower() == who.key and who.how is not How.CLAIMED


def alike(view: View, who: Identity | None, beginning: str) -> list[JobId]:
    """Return the person's jobs (everybody's for None) whose id begins so, at most ten."""
    if len(beginning) < SHORTEST:
        return []
    theirs = who.key if who else None
    rows = view.all(
        "SELECT id FROM job WHERE id >= ? AND id < ? AND (? IS NULL OR LOWER(owner) = ?"
        " OR EXISTS (SELECT 1 FROM watcher WHERE job = job.id AND address = ? AND told = 1))"
        " ORDER BY id LIMIT 10",
        beginning,
        beginning + "\x7f",
        theirs,
        theirs,
        theirs,
    )
    return [JobId(row["id"]) for row in rows]


def written_about(view: View, who: Identity, message_ids: Sequence[str]) -> JobId | None:
    """Return the job of the last of these letters that we wrote to that person; None if none is."""
    for message_id in list(reversed(message_ids))[:_MOST_IDS]:
        row = view.one("SELECT job, recipient FROM letter WHERE message_id = ?", message_id)
        if row is not None and row["job"] and row["recipient"].lower() == who.key:
            return JobId(row["job"])
    return None


# --- lists ----------------------------------------------------------------------------------------

# So many of the newest jobs are looked through.
_NEWEST = 10_000


@dataclass(slots=True, kw_only=True)
class Wanted:
    """Which jobs are listed: at most ``limit``; each other field narrows it down.

    ``besides``: none of these services.
    """

    limit: int
    active: bool = False
    besides: Collection[str] = ()
    phases: set[Phase] = field(default_factory=set)
    service: str | None = None
    label: str | None = None
    after: datetime | None = None


def listed(view: View, who: Identity | None, wanted: Wanted) -> list[Job]:
    """Return a person's jobs (everybody's for None), newest first; one more than the limit.

    They are without errors and outputs; of very many only the newest are looked through.
    """
    whose, of = ("lower(owner) = ?", [who.key]) if who else ("1", [])
    newest = f"SELECT created FROM job WHERE {whose} ORDER BY created DESC LIMIT 1 OFFSET ?"
    phases = {*wanted.phases, *(ACTIVE if wanted.active else ())}
    among = f"phase IN ({', '.join(repr(str(p)) for p in sorted(phases))})" if phases else "1"
    others = (
        f"AND service NOT IN ({', '.join('?' * len(wanted.besides))})" if wanted.besides else ""
    )
    rows = view.all(
        f"SELECT * FROM job WHERE {whose} {others} AND created >= MAX(?, COALESCE(({newest}), 0))"
        # Found by their age: those of a phase may be a million.
        f" AND +{among} AND (? IS NULL OR service = ?)"
        " AND (? IS NULL OR instr(lower(label), ?) OR instr(label, ?))"
        " ORDER BY created DESC LIMIT ?",
        *of,
        *wanted.besides,
        wanted.after.timestamp() if wanted.after else 0.0,
        *of,
        _NEWEST,
        wanted.service,
        wanted.service,
        wanted.label,
        # SQLite folds no letters but those of ASCII: others count as they are written.
        (wanted.label or "").lower(),
        wanted.label,
        wanted.limit + 1,
    )
    return [jobs.bare(row) for row in rows]


# --- how a job stands -----------------------------------------------------------------------------


def in_phase_since(view: View, job: JobId) -> datetime | None:
    """Return when the job came to be where it is; None where nothing tells."""
    row = view.one(
        "SELECT at FROM event WHERE job = ? AND verb IN ('created', 'advanced')"
        " ORDER BY id DESC LIMIT 1",
        job,
    )
    return moment(row["at"]) if row else None


def undelivered(view: View, job: JobId, who: str) -> Words | None:
    """Return why a mail with the result is not with ``who``; None if all are.

    The words are a server's, or ours. One that was mailed again later counts no more.
    """
    row = view.one(
        "SELECT MAX(id), last_words FROM letter WHERE job = ? AND lower(recipient) = ?"
        " AND kind IN ('result', 'part') AND state IN ('HELD', 'BOUNCED') AND NOT EXISTS"
        " (SELECT 1 FROM letter AS later WHERE later.job = letter.job AND later.id > letter.id"
        "  AND later.recipient = letter.recipient AND later.kind = 'result'"
        "  AND later.state = 'SENT')",
        job,
        who,
    )
    found = row["last_words"] if row else None
    return None if found is None else codec.worded(found)


def ahead(view: View, job: JobId) -> int:
    """Count the jobs that came before this one and wait here, no engine has them: up to 1,000."""
    return view.count(
        "SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE phase = 'QUEUED' AND given = 0 AND queued <"
        " (SELECT queued FROM job WHERE id = ?) LIMIT 1000)",
        job,
    )


def taken(view: View, engine: str) -> int:
    """Count the places that are taken at an engine, by its table's name: the attempts it has."""
    return view.count(f"SELECT COUNT(*) FROM attempt WHERE {OPEN} AND engine = ?", engine)


def busy(view: View) -> int:
    """Count the jobs that run, up to 10,000."""
    return view.count(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE {NOT_ENDED}"
        " AND phase IN ('EXECUTING', 'SUSPENDED', 'UNKNOWN') LIMIT 10000)"
    )
