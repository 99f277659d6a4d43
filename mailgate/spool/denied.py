"""Whom a service denies: no letter about a job of it goes there, however old the job is."""

from collections.abc import Mapping

from mailgate.model import JobId
from mailgate.services import Service
from mailgate.spool.database import Tx, View


def is_denied(services: Mapping[str, Service], name: str, address: str) -> bool:
    """Tell whether the service ``name``, if it is there, denies a bare address."""
    service = services.get(name)
    return service is not None and service.access.denies(address)


def letters_to(view: View, services: Mapping[str, Service]) -> list[int]:
    """Return the letters about jobs that are not out, and are to somebody denied by now."""
    if not any(service.access.deny for service in services.values()):
        return []
    return [
        row["id"]
        # One state a question: each has an index of its own.
        for state in ("PLANNED", "WAITING", "HELD")
        for row in view.all(
            "SELECT letter.id, recipient, service FROM letter JOIN job ON job.id = letter.job"
            f" WHERE letter.state = '{state}' AND letter.kind <> 'commands'"
        )
        if is_denied(services, row["service"], row["recipient"])
    ]


def withdraw(tx: Tx, letter: int) -> None:
    """Let a letter that is not out never leave; its row stays, with its bytes gone."""
    row = tx.one("SELECT job, recipient FROM letter WHERE id = ?", letter)
    hit = tx.execute(
        "UPDATE letter SET state = 'WITHDRAWN', next_try = NULL WHERE id = ?"
        " AND state IN ('PLANNED', 'WAITING', 'HELD')",
        letter,
    )
    tx.execute("DELETE FROM letter_body WHERE letter = ?", letter)
    if hit and row is not None:
        detail = f"letter={letter} to {row['recipient']}, who is denied"
        tx.note("withdrawn", job=JobId(row["job"]), detail=detail)
