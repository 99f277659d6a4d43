"""Whose turn it is to run: jobs over their quota wait, whatever else is queued goes first."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mailgate import said
from mailgate.model import JobId
from mailgate.services import Service
from mailgate.settings.quotas import Quota
from mailgate.spool import attempts
from mailgate.spool.database import Row, View
from mailgate.spool.quotas import subject

_OPEN = "attempt.state IN ('INTENDED', 'SUBMITTED', 'STARTED')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Whose turn it is: the job that waits longest of those whose quota lets one more run."""

    quota: Quota = field(default_factory=Quota)
    services: Mapping[str, Service] = field(default_factory=dict)

    def next(
        self, view: View, *, limit: int, besides: Collection[JobId], starting: Iterable[JobId] = ()
    ) -> list[JobId]:
        """Return at most ``limit`` jobs, without ``besides``; ``starting`` count as if they ran."""
        if not self._bounds():
            return attempts.queued(view, limit=limit, besides=besides)
        running = self.running(view, starting)
        busy, picked = frozenset(besides), list[JobId]()
        while True:
            full = {name for name, count in running.items() if count >= self._most(name)}
            rows = _queued(view, full, limit + len(busy) + len(picked))
            news = False
            for row in rows:
                job = JobId(row["id"])
                if job in busy or job in picked:
                    continue
                if any(running[s] >= self._most(s) for s in _subjects(row)):
                    news = True
                    continue
                picked.append(job)
                running.update(_subjects(row))
                if len(picked) == limit:
                    return picked
            if not news:
                return picked

    def why_not(self, view: View, job: JobId) -> str:
        """Say which quota keeps a job that is QUEUED from starting, as a clause; "" if none."""
        row = view.one("SELECT service, owner, lower(owner) AS who FROM job WHERE id = ?", job)
        if row is None or not self._bounds():
            return ""
        running = self.running(view)
        for name in _subjects(row):
            if running[name] >= self._most(name):
                of = f" of {row['owner']}" if row["who"] in name else ""
                there = f' at the service "{row["service"]}"' if name != row["who"] else ""
                most = self._most(name)
                jobs = said.counted(running[name], f"job{of} runs", f"jobs{of} run")
                return f"{jobs} already{there}, and at most {most} may at once"
        return ""

    def _bounds(self) -> bool:
        every = [s.quota.running or s.quota_all.running for s in self.services.values()]
        return any([self.quota.running, *every])

    def _most(self, name: str) -> float:
        of, _, who = name.rpartition(" ")
        service = self.services.get(of or name)
        if "@" not in who:
            most = service.quota_all.running if service else None
        elif of:
            most = service.quota.running if service else None
        else:
            most = self.quota.running
        return most if most is not None else float("inf")

    @staticmethod
    def running(view: View, starting: Iterable[JobId] = ()) -> Counter[str]:
        """Count the jobs that the engine has, by each subject."""
        count = Counter[str]()
        for row in view.all(
            "SELECT job.id, service, lower(owner) AS who FROM attempt JOIN job"
            f" ON job.id = attempt.job WHERE {_OPEN}"
        ):
            count.update(_subjects(row))
        for job in starting:
            found = view.one(
                "SELECT service, lower(owner) AS who FROM job WHERE id = ? AND NOT EXISTS"
                f" (SELECT 1 FROM attempt WHERE attempt.job = job.id AND {_OPEN})",
                job,
            )
            count.update(_subjects(found) if found is not None else ())
        return count


def _queued(view: View, full: Collection[str], limit: int) -> list[Row]:
    """Return queued jobs, the oldest first, without those of a subject that has its share."""
    kinds = {
        "service": [s for s in full if "@" not in s],
        "lower(owner)": [s for s in full if "@" in s and " " not in s],
        "service || ' ' || lower(owner)": [s for s in full if "@" in s and " " in s],
    }
    wheres = "".join(
        f" AND {column} NOT IN ({', '.join('?' * len(subjects))})"
        for column, subjects in kinds.items()
        if subjects
    )
    return view.all(
        f"SELECT id, service, lower(owner) AS who FROM job WHERE phase = 'QUEUED'{wheres}"
        " ORDER BY queued LIMIT ?",
        *(subject for subjects in kinds.values() for subject in subjects),
        limit,
    )


def _subjects(row: Row) -> Iterator[str]:
    """Yield under which names a job counts."""
    yield row["who"]
    yield subject(row["service"], row["who"])
    yield row["service"]
