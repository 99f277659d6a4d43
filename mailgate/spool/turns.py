"""Whose turn it is to run: jobs over their quota wait, whatever else is queued goes first.

A share has a name: ``SERVICE``, all its jobs; ``WHO HOW``, a person's who is known so well, and
``SERVICE WHO HOW``. A job is in the shares of all who are known as well as its owner, or worse.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mailgate.model import How, Identity, JobId
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings.quotas import Quota
from mailgate.spool import attempts
from mailgate.spool.addresses import mailbox
from mailgate.spool.database import Row, View

_WHO = mailbox("lower(owner)")
# Of those who are known so well the shares are taken up, too.
_WEAKER = {how: [other for other in How if other.strength <= how.strength] for how in How}


@dataclass(frozen=True, slots=True, kw_only=True)
class Among:
    """Which jobs are meant: those of some services, or (not ``inside``) of all others."""

    services: frozenset[str] = frozenset()
    inside: bool = True

    @property
    def where(self) -> str:
        """A condition of SQL, with a place for each service's name."""
        if not self.services and not self.inside:
            return ""
        places = ", ".join("?" * len(self.services))
        return f" AND service {'' if self.inside else 'NOT '}IN ({places})"


EVERYBODY = Among(inside=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Whose turn it is: the job that waits longest of those whose quota lets one more run.

    ``paused``: the operator lets none start, which is the runner's to keep.
    """

    quota: Quota = field(default_factory=Quota)
    services: Mapping[str, Service] = field(default_factory=dict)
    paused: bool = False

    def next(
        self,
        view: View,
        *,
        limit: int,
        besides: Collection[JobId],
        starting: Iterable[JobId] = (),
        among: Among = EVERYBODY,
    ) -> list[JobId]:
        """Return at most ``limit`` jobs, without ``besides``; ``starting`` count as if they ran."""
        if not self._bounds():
            where, names = among.where, sorted(among.services)
            return attempts.queued(view, limit=limit, besides=besides, where=where, values=names)
        if view.one("SELECT 1 FROM job WHERE phase = 'QUEUED' AND given = 0 LIMIT 1") is None:
            return []
        running = self.running(view, starting)
        busy, picked = frozenset(besides), list[JobId]()
        while True:
            full = {name for name, count in running.items() if count >= self._most(name)}
            rows = _queued(view, full, limit + len(busy) + len(picked), among)
            news = False
            for row in rows:
                job = JobId(row["id"])
                if job in busy or job in picked:
                    continue
                if any(running[s] >= self._most(s) for s in _shares(row)):
                    news = True
                    continue
                picked.append(job)
                running.update(_counted(row))
                if len(picked) == limit:
                    return picked
            if not news:
                return picked

    def why_not(self, view: View, job: JobId) -> Saying | None:
        """Say which quota keeps a job that is QUEUED from starting, as a clause; None if none."""
        row = view.one(f"SELECT service, owner, {_WHO} AS who, how FROM job WHERE id = ?", job)
        if row is None or not self._bounds():
            return None
        running = self.running(view)
        for name in _shares(row):
            if running[name] >= self._most(name):
                service, who, _ = _parts(name)
                return Saying(
                    "quotas/running",
                    who=row["owner"] if who else None,
                    service=service or None,
                    count=running[name],
                    most=self._most(name),
                )
        return None

    def _bounds(self) -> bool:
        every = [s.quota.running or s.quota_all.running for s in self.services.values()]
        return any([self.quota.running, *every])

    def _most(self, name: str) -> float:
        of, who, _ = _parts(name)
        service = self.services.get(of)
        if not of:
            most = self.quota.running
        elif service is None:
            most = None
        else:
            most = (service.quota if who else service.quota_all).running
        return most if most is not None else float("inf")

    @staticmethod
    def share(who: Identity, service: str | None) -> str:
        """Return the name of a person's share, of one service or (None) of all."""
        return " ".join(filter(None, (service, who.mailbox, who.how)))

    @staticmethod
    def running(view: View, starting: Iterable[JobId] = ()) -> Counter[str]:
        """Count the jobs that the engine has, by each share."""
        count = Counter[str]()
        for row in view.all(
            f"SELECT service, {_WHO} AS who, how, COUNT(*) AS jobs FROM job INDEXED BY job_given"
            " WHERE given = 1 GROUP BY service, lower(owner), how"
        ):
            for share in _counted(row):
                count[share] += row["jobs"]
        for job in starting:
            found = view.one(
                f"SELECT service, {_WHO} AS who, how FROM job WHERE id = ? AND given = 0", job
            )
            count.update(_counted(found) if found is not None else ())
        return count


def _queued(view: View, full: Collection[str], limit: int, among: Among) -> list[Row]:
    """Return queued jobs, the oldest first, without those of a share that is full."""
    person = f"({_WHO}) || ' ' || how"
    columns = {1: "service", 2: person, 3: f"service || ' ' || {person}"}
    kinds = {
        column: [name for name in full if len(name.split()) == count]
        for count, column in columns.items()
    }
    wheres = "".join(
        f" AND {column} NOT IN ({', '.join('?' * len(names))})"
        for column, names in kinds.items()
        if names
    )
    return view.all(
        f"SELECT id, service, {_WHO} AS who, how FROM job WHERE phase = 'QUEUED' AND given = 0"
        f"{wheres}{among.where} ORDER BY queued LIMIT ?",
        *(name for names in kinds.values() for name in names),
        *sorted(among.services),
        limit,
    )


def _shares(row: Row) -> Iterator[str]:
    """Yield the shares that a job needs room in."""
    yield f"{row['who']} {row['how']}"
    yield f"{row['service']} {row['who']} {row['how']}"
    yield row["service"]


def _counted(row: Row) -> Iterator[str]:
    """Yield the shares that a job takes of while it runs."""
    yield row["service"]
    for how in _WEAKER[How(row["how"])]:
        yield f"{row['who']} {how}"
        yield f"{row['service']} {row['who']} {how}"


def _parts(name: str) -> tuple[str, str, str]:
    """Return the service, the person and how well known, of a share; "" for any."""
    words = name.split()
    service = words[0] if len(words) != 2 else ""
    who, how = words[-2:] if len(words) > 1 else ("", "")
    return service, who, how
