"""What waited for a word of whom nothing vouches for goes on, once that has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from mailgate.config import Config
from mailgate.errors import OverQuota
from mailgate.model import Exit, Identity, JobId, Reason
from mailgate.saying import Saying, words_of
from mailgate.services import Service
from mailgate.spool import attempts, confirmations, jobs, quotas, watching
from mailgate.spool.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """A token that came back with the word, and the identity that it was sent to, confirmed now."""

    token: str
    identity: Identity
    config: Config
    services: Mapping[str, Service]

    def refused(self, name: str) -> bool:
        """Tell whether he may not use a service."""
        service = self.services.get(name)
        return service is None or bool(service.refusal(self.identity))


def confirm(tx: Tx, by: Confirming) -> str:
    """Let it go on, and return in a word what became of it; a second time does nothing."""
    found = confirmations.find(tx, by.token, now=tx.at)
    if found is None:
        return "too-late"
    if found.done:
        return "confirmed-before"
    confirmations.answered(tx, found)
    if found.job is not None:
        rule = watching.rule(by.config, by.services, jobs.service_of(tx, found.job))
        return "agreed" if watching.agreed(tx, found.job, found.address, rule) else "denied"
    size = confirmations.believe(tx, found.message)
    receipt_after = by.config.deliver.receipt_after
    waiting = confirmations.waiting_jobs(tx, found.message)
    known = [by.services[name] for _, name in waiting if name in by.services]
    counted = quotas.counted_mail(quotas.rules(by.config.quota, known, by.identity))
    quotas.count_mail(tx, counted, by.identity.how, size)
    for job, service in waiting:
        if by.refused(service) or not confirmations.release(tx, job, receipt_after=receipt_after):
            attempts.cancelled(tx, job, keep_mail=timedelta())
        else:
            watching.settle(tx, job, watching.rule(by.config, by.services, service))
            _count(tx, by, job, service)
    return "confirmed"


def _count(tx: Tx, by: Confirming, job: JobId, service: str) -> None:
    """Count a job against the quotas of whom it is now known to be from; one too many ends."""
    rules = quotas.rules(by.config.quota, [by.services[service]], by.identity)
    try:
        quotas.check_jobs(tx, rules, now=tx.now, besides=1)
    except OverQuota as over:
        end = Exit(reason=Reason.CANCELLED, words=Saying("quotas/ended", why=words_of(over.public)))
        attempts.given_up(tx, job, end, keep_mail=timedelta())
    else:
        quotas.count_job(tx, rules, by.identity.how)
