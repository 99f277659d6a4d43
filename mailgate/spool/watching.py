"""Naming those who are to be told of a job: nobody is whom the operator's lists do not name.

They are asked instead, as a sender is for whom nothing vouches, and told once they agree.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailgate.config import Config
from mailgate.model import How, Job, JobId, LetterKind
from mailgate.phases import ENDED
from mailgate.services import Service
from mailgate.spool import confirmations, jobs, letters, watchers
from mailgate.spool.addresses import is_ours
from mailgate.spool.confirmations import Terms
from mailgate.spool.database import Tx


class Named(StrEnum):
    """What became of a name: TOLD from now on, or ALREADY, ASKED first, or why none of these."""

    TOLD = "told"
    ALREADY = "already"
    ASKED = "asked"
    LATER = "later"
    OWNER = "owner"
    OURS = "ours"
    DENIED = "denied"
    MANY = "many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may be told of a job of one service without being asked, and how others are asked."""

    terms: Terms
    services: Collection[str]
    service: Service | None

    def lists(self, address: str) -> bool:
        """Whether the operator's list names the address: by more than "anybody"."""
        return self.service is not None and self.service.access.lists(address)

    def denies(self, address: str) -> bool:
        """Whether the operator's list names the address as one that gets nothing."""
        return self.service is not None and self.service.access.denies(address)


def rule(config: Config, services: Mapping[str, Service], name: str) -> Rule:
    """Return the rule for jobs of the service ``name``."""
    return Rule(terms=Terms.of(config), services=services.keys(), service=services.get(name))


def name(tx: Tx, job: Job, recipient: str, by: Rule) -> Named:
    """Do what its owner asks for: have somebody told of a job, if that may be.

    Once nothing vouches for the owner nobody is asked or told, until he has confirmed (`settle`).
    """
    if recipient.lower() == job.owner.key:
        return Named.OWNER
    if is_ours(tx.site, by.services, recipient):
        tx.note("watched", job=job.id, detail=f"{recipient} is an address of this gateway")
        return Named.OURS
    known = watchers.named(tx, job.id)
    if len(known) >= watchers.MOST and recipient.lower() not in map(str.lower, known):
        return Named.MANY
    watchers.add(tx, job.id, recipient)
    return _settled(tx, job, recipient, by)


def settle(tx: Tx, job: JobId, by: Rule) -> None:
    """Tell or ask whom the owner of a job named before he was confirmed himself."""
    found = jobs.fetch(tx, job)
    for recipient, told in watchers.named(tx, job).items():
        if not told:
            _settled(tx, found, recipient, by)


def agreed(tx: Tx, job: JobId, address: str, by: Rule) -> bool:
    """Tell somebody who was asked, and has agreed; of a job that has ended, its result.

    False for whom the operator denies by now: he is told nothing.
    """
    if by.denies(address):
        watchers.remove(tx, job, address)
        return False
    _tell(tx, job, address)
    return True


def _tell(tx: Tx, job: JobId, address: str) -> None:
    found = jobs.fetch(tx, job)
    goes = found.destruction is not None and found.destruction <= tx.now
    if watchers.tell(tx, job, address) and found.phase in ENDED and not goes:
        recipient = next(r for r in watchers.named(tx, job) if r.lower() == address)
        letters.plan(tx, found, LetterKind.RESULT, cause="result", only=recipient)


def _settled(tx: Tx, job: Job, recipient: str, by: Rule) -> Named:
    if by.denies(recipient):
        watchers.remove(tx, job.id, recipient)
        tx.note("watched", job=job.id, detail=f"{recipient} is denied")
        return Named.DENIED
    if watchers.is_told(tx, job.id, recipient):
        return Named.ALREADY
    if job.owner.how is How.CLAIMED:
        return Named.LATER
    if by.lists(recipient):
        _tell(tx, job.id, recipient.lower())
        return Named.TOLD
    confirmations.ask(tx, by.terms, message=job.message, recipient=recipient, job=job.id)
    tx.note("watched", job=job.id, detail=f"{recipient} is asked")
    return Named.ASKED
