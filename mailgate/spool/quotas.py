"""Quotas: what a person, and all of them together, have under way, and what came within a day.

Where no quota is set nothing is asked and nothing is written. What came within a day is counted in
a table of its own, a row for each job and mail that some quota counts, from when it was set. Of an
address all tags are one person's. Who is
known better is never kept waiting by what came in the same name, known worse.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailgate.errors import OverQuota
from mailgate.model import How, Identity
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings.quotas import Quota
from mailgate.spool.addresses import mailbox
from mailgate.spool.database import Row, Tx, View, moment

DAY = timedelta(days=1)
# As the index job_waiting has it.
_WAITING = "phase IN ('QUEUED', 'HELD')"
_WHO = mailbox("lower(owner)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One quota: of an identity or (None) of all together, for one service or (None) for every."""

    quota: Quota
    who: Identity | None
    service: str | None

    @property
    def subject(self) -> str:
        """Under which name its uses are counted; a service's name has no ``@``."""
        return subject(self.service, self.who.mailbox if self.who else None)

    @property
    def whose(self) -> str | None:
        """The address of whom it is for; None: of all together."""
        return self.who.address if self.who else None

    def is_known(self) -> str:
        """Return a condition for rows: known as well as this identity, or better."""
        if self.who is None:
            return ""
        better = [str(how) for how in How if how.strength >= self.who.how.strength]
        return f" AND how IN ({', '.join(map(repr, better))})"


def rules(quota: Quota, services: Iterable[Service], identity: Identity) -> list[Rule]:
    """Return the quotas that a mail of ``identity`` to ``services`` falls under.

    None for whom nothing vouches: a stranger uses up nobody's.
    """
    if identity.how is How.CLAIMED:
        return []
    found = [Rule(quota=quota, who=identity, service=None)]
    for service in services:
        found.append(Rule(quota=service.quota, who=identity, service=service.name))
        found.append(Rule(quota=service.quota_all, who=None, service=service.name))
    return [rule for rule in found if rule.quota != Quota()]


# --- what is refused ------------------------------------------------------------------------------


def check_jobs(view: View, those: Iterable[Rule], *, now: datetime, besides: int = 0) -> None:
    """See that one more job may be taken; ``besides`` of those that wait are that job itself.

    Raises
    ------
    OverQuota
        It may not; the sentence says the limit, the use and when it frees.
    """
    for rule in those:
        quota = rule.quota
        if quota.waiting is not None and (count := _waiting(view, rule) - besides) >= quota.waiting:
            raise OverQuota(
                Saying(
                    "quotas/waiting",
                    who=rule.whose,
                    service=rule.service,
                    count=count,
                    most=quota.waiting,
                )
            )
        if quota.jobs_a_day is not None:
            _check_day(view, rule, quota.jobs_a_day, now)


def _check_day(view: View, rule: Rule, most: int, now: datetime) -> None:
    where, values = _uses(rule, "jobs", now)
    count = view.count(f"SELECT COUNT(*) {where}", *values)
    if count < most:
        return
    row = view.one(f"SELECT at {where} ORDER BY at LIMIT 1 OFFSET ?", *values, count - most)
    frees = (moment(row["at"]) if row else now) + DAY
    raise OverQuota(
        Saying(
            "quotas/jobs-a-day",
            who=rule.whose,
            service=rule.service,
            count=count,
            most=most,
            frees=_shown(frees),
        ),
        frees=frees,
    )


def check_mail(view: View, those: Iterable[Rule], size: int, *, now: datetime) -> None:
    """See that a mail of ``size`` bytes may be taken.

    Raises
    ------
    OverQuota
        It may not; the sentence says the limit, the use and when it frees.
    """
    for rule in those:
        most = rule.quota.bytes_a_day
        if most is None:
            continue
        if size > most:
            raise OverQuota(Saying("quotas/never", service=rule.service, size=size, most=most))
        where, values = _uses(rule, "bytes", now)
        used = view.count(f"SELECT SUM(bytes) {where}", *values)
        if used + size > most:
            # Left in the middle it would keep the database open as long as the error lives.
            with closing(view.each(f"SELECT at, bytes {where} ORDER BY at", *values)) as uses:
                frees = _frees(uses, used + size - most)
            raise OverQuota(
                Saying(
                    "quotas/bytes-a-day",
                    who=rule.whose,
                    service=rule.service,
                    used=used,
                    most=most,
                    size=size,
                    frees=_shown(frees),
                ),
                frees=frees,
            )


def _frees(uses: Iterable[Row], wanted: int) -> datetime:
    """Return when so many of the bytes used, oldest first, are a day old."""
    at = 0.0
    for row in uses:
        at, wanted = row["at"], wanted - row["bytes"]
        if wanted <= 0:
            break
    return moment(at) + DAY


def _shown(at: datetime) -> datetime:
    # Said to the minute begun: before its end nothing is promised.
    return at + timedelta(minutes=1)


def _waiting(view: View, rule: Rule) -> int:
    where = f"SELECT COUNT(*) FROM job INDEXED BY job_waiting WHERE {_WAITING}"
    if rule.who is None:
        return view.count(f"{where} AND service = ?", rule.service)
    of_service = " AND service = ?" if rule.service else ""
    local = rule.who.mailbox.partition("@")[0]
    tagged = f" AND lower(owner) > ? AND lower(owner) < ? AND {_WHO} = ?"
    service = [rule.service] if rule.service else []
    # The next character after "+" ends what begins with it.
    between = (f"{local}+", f"{local},", rule.who.mailbox)
    return view.count(
        f"{where} AND lower(owner) = ?{of_service}{rule.is_known()}", rule.who.mailbox, *service
    ) + view.count(f"{where}{tagged}{of_service}{rule.is_known()}", *between, *service)


def _uses(rule: Rule, what: str, now: datetime) -> tuple[str, tuple[str, float]]:
    """Return the end of a question for a rule's uses within a day, and its values."""
    where = f"FROM tally WHERE subject = ? AND at > ? AND {what} > 0{rule.is_known()}"
    return where, (rule.subject, (now - DAY).timestamp())


def stand(view: View, rule: Rule, *, now: datetime) -> Iterator[tuple[str, int, int]]:
    """Yield what a quota lets in, by its key, with how much of it is used and the most."""
    quota = rule.quota
    if quota.waiting is not None:
        yield "waiting", _waiting(view, rule), quota.waiting
    if quota.jobs_a_day is not None:
        where, values = _uses(rule, "jobs", now)
        yield "jobs_a_day", view.count(f"SELECT COUNT(*) {where}", *values), quota.jobs_a_day
    if quota.bytes_a_day is not None:
        where, values = _uses(rule, "bytes", now)
        yield "bytes_a_day", view.count(f"SELECT SUM(bytes) {where}", *values), quota.bytes_a_day


# --- what is counted ------------------------------------------------------------------------------


def counted_mail(those: Iterable[Rule]) -> tuple[str, ...]:
    """Return the subjects under which a mail's bytes are to be counted."""
    return tuple(rule.subject for rule in those if rule.quota.bytes_a_day is not None)


def count_mail(tx: Tx, subjects: Iterable[str], how: How, size: int) -> None:
    """Count a mail that was taken."""
    for subject in subjects:
        tx.insert("tally", subject=subject, at=tx.at, how=how, jobs=0, bytes=size)


def count_job(tx: Tx, those: Iterable[Rule], how: How) -> None:
    """Count a job that was made."""
    for rule in those:
        if rule.quota.jobs_a_day is not None:
            tx.insert("tally", subject=rule.subject, at=tx.at, how=how, jobs=1, bytes=0)


def forget_uses(tx: Tx) -> int:
    """Forget what came over a day ago. Returns how many rows."""
    return tx.execute("DELETE FROM tally WHERE at <= ?", (tx.now - DAY).timestamp())


def subject(service: str | None, who: str | None) -> str:
    """Return under which name is counted what a service gives a person, or every one."""
    return " ".join(word for word in (service, who) if word)
