"""What waited for a word of whom nothing vouches for goes on, once that has come."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mailgate.spool import attempts, confirmations
from mailgate.spool.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that came back with the word from whom it was sent to.

    ``allows``: whether that address, now confirmed, may use a service.
    """

    word: str
    allows: Callable[[str], bool]
    receipt_after: timedelta


def confirm(tx: Tx, token: Token) -> str:
    """Let it go on, and return in a word what became of it; a second time does nothing."""
    found = confirmations.find(tx, token.word, now=tx.at)
    if found is None:
        return "too-late"
    if found.done:
        return "confirmed-before"
    confirmations.answered(tx, found)
    confirmations.believe(tx, found.message)
    for job, service in confirmations.waiting_jobs(tx, found.message):
        queued = token.allows(service) and confirmations.release(
            tx, job, receipt_after=token.receipt_after
        )
        if not queued:
            attempts.cancelled(tx, job, keep_mail=timedelta())
    return "confirmed"
