"""What waited for a word of whom nothing vouches for goes on, once that has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from mailgate.config import Config
from mailgate.model import Identity
from mailgate.services import Service
from mailgate.spool import attempts, confirmations, watching
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
        watching.agreed(tx, found.job, found.address)
        return "agreed"
    confirmations.believe(tx, found.message)
    receipt_after = by.config.deliver.receipt_after
    for job, service in confirmations.waiting_jobs(tx, found.message):
        if by.refused(service) or not confirmations.release(tx, job, receipt_after=receipt_after):
            attempts.cancelled(tx, job, keep_mail=timedelta())
        else:
            watching.settle(tx, job, watching.rule(by.config, by.services, service))
    return "confirmed"
