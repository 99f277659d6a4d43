"""Confirm: what waited for a word of whom nothing vouches for goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mailgate.spool import attempts, confirmations
from mailgate.spool.database import Tx

usage = 'a line "confirm", sent to the address that the letter came from which asked for it'


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A token that came back with the word from whom it was sent to.

    ``allows``: whether that address, now confirmed, may use a service.
    """

    token: str
    allows: Callable[[str], bool]
    receipt_after: timedelta


def execute(tx: Tx, call: Call) -> str:
    """Let it go on, and return in a word what became of it; a second time does nothing."""
    found = confirmations.find(tx, call.token, now=tx.at)
    if found is None:
        return "too-late"
    if found.done:
        return "confirmed-before"
    confirmations.answered(tx, found)
    confirmations.believe(tx, found.message)
    for job, service in confirmations.waiting_jobs(tx, found.message):
        queued = call.allows(service) and confirmations.release(
            tx, job, receipt_after=call.receipt_after
        )
        if not queued:
            attempts.cancelled(tx, job, keep_mail=timedelta())
    return "confirmed"
