"""Confirmations: the letters that ask somebody for a word, what waits for it, and when it is gone.

What waits are the mails of senders for whom nothing vouches, with the jobs made of them, and people
whom a job's owner wants to be told of it. Nothing of what a stranger wrote is in a letter.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from mailgate.config import Config
from mailgate.model import How, JobId, LetterKind
from mailgate.phases import Event, Phase
from mailgate.spool import attempts, jobs, letters, mail
from mailgate.spool.addresses import mailbox
from mailgate.spool.database import Row, Tx, View
from mailgate.spool.keep import BATCH, Given

_DAY = timedelta(days=1).total_seconds()
_MAILBOX = mailbox("address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a confirmation is waited for, and how many letters may ask in 24 hours, in all."""

    within: timedelta
    letters: int

    @classmethod
    def of(cls, config: Config) -> "Terms":
        """Return the operator's."""
        return cls(within=config.trust.confirm_within, letters=config.trust.confirm_letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What somebody was asked: with ``job``, to be told of it. ``done``: he has confirmed it."""

    token: str
    address: str
    message: int
    job: JobId | None
    until: float
    done: bool


def find(view: View, token: str, *, now: float) -> Confirmation | None:
    """Return what a token stands for, while it is waited for; None for any other word."""
    row = view.one("SELECT * FROM confirmation WHERE token = ? AND until > ?", token.lower(), now)
    if row is None or row["asked"] is None:
        return None
    return Confirmation(
        token=row["token"],
        address=row["address"],
        message=row["message"],
        job=JobId(row["job"]) if row["job"] else None,
        until=row["until"],
        done=row["answered"] is not None,
    )


# --- asking ---------------------------------------------------------------------------------------


def ask(tx: Tx, terms: Terms, *, message: int, recipient: str, job: JobId | None = None) -> None:
    """Ask for a confirmation: at once if a letter may go out, else as soon as one may.

    An address is sent one such letter in 24 hours, whatever its ``+tag``; asking the same twice
    does nothing.
    """
    tx.execute(
        "INSERT INTO confirmation (token, address, recipient, message, job, made, until)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        # 100 bits.
        jobs.base32(secrets.randbits(100), 20),
        recipient.lower(),
        recipient,
        message,
        job,
        tx.at,
        tx.at + terms.within.total_seconds(),
    )
    ask_due(tx, terms)


def ask_due(tx: Tx, terms: Terms) -> int:
    """Plan the letters that may go out by now. Returns how many."""
    since = tx.at - _DAY
    left = terms.letters - tx.count("SELECT COUNT(*) FROM confirmation WHERE asked > ?", since)
    if left <= 0:
        return 0
    # One an address, and a part of all for one origin: what waits for its next day keeps nobody
    # else waiting, however much it is. Whoever has others asked is the origin of that.
    rows = tx.all(
        "WITH origins AS (SELECT confirmation.*, COALESCE(origin, lower(message.address), '')"
        "  AS origin FROM confirmation LEFT JOIN message ON message.id = confirmation.message),"
        f" lately AS (SELECT {_MAILBOX} AS mailbox FROM confirmation WHERE asked > ?),"
        " waiting AS (SELECT *, MIN(made) FROM origins WHERE asked IS NULL AND answered IS NULL"
        f"  AND until > ? AND {_MAILBOX} NOT IN (SELECT mailbox FROM lately) GROUP BY {_MAILBOX}),"
        " ranked AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY origin ORDER BY made) AS place"
        "  FROM waiting),"
        " used AS (SELECT origin, COUNT(*) AS letters FROM origins WHERE asked > ? GROUP BY origin)"
        " SELECT ranked.* FROM ranked LEFT JOIN used ON used.origin = ranked.origin"
        " WHERE place + COALESCE(letters, 0) <= ? ORDER BY made LIMIT ?",
        since,
        tx.at,
        since,
        mail.share(terms.letters),
        min(left, BATCH),
    )
    for row in rows:
        _ask(tx, terms, row)
    return len(rows)


def _ask(tx: Tx, terms: Terms, row: Row) -> None:
    until = tx.at + terms.within.total_seconds()
    tx.execute(
        "UPDATE confirmation SET asked = ?, until = ? WHERE token = ?", tx.at, until, row["token"]
    )
    facts = {"address": _address(tx, row["token"]), "until": until, **_about(tx, row)}
    letters.answer(
        tx,
        message=row["message"],
        recipient=row["recipient"],
        kind=LetterKind.CONFIRM,
        cause=f"confirm {row['job']}" if row["job"] else "confirm",
        # No thread: a Message-ID is the stranger's words.
        facts={"answers": [{"kind": LetterKind.CONFIRM, "facts": facts}]},
    )


def _address(tx: Tx, token: str) -> str:
    return f"{tx.site.local}+confirm.{token}@{tx.site.domain}"


def _about(tx: Tx, row: Row) -> Mapping[str, object]:
    """Return what may be said: names that are the operator's or ours, and times."""
    if row["job"]:
        job = tx.one("SELECT id, service FROM job WHERE id = ?", row["job"])
        return {"job": row["job"], "services": [job["service"]] if job else []}
    taken = tx.one("SELECT taken FROM message WHERE id = ?", row["message"])
    names = tx.all(
        "SELECT DISTINCT recipient FROM errand WHERE message = ? ORDER BY id", row["message"]
    )
    return {"services": [r["recipient"] for r in names], "taken": taken["taken"] if taken else 0}


# --- confirmed ------------------------------------------------------------------------------------


def answered(tx: Tx, found: Confirmation) -> None:
    """Note that it was confirmed."""
    tx.execute("UPDATE confirmation SET answered = ? WHERE token = ?", tx.at, found.token)


def waiting_jobs(view: View, message: int) -> list[tuple[JobId, str]]:
    """Return the jobs of a message that wait for its sender, each with its service."""
    rows = view.all(
        "SELECT id, service FROM job WHERE message = ? AND phase = 'PENDING' ORDER BY rowid",
        message,
    )
    return [(JobId(row["id"]), row["service"]) for row in rows]


def believe(tx: Tx, message: int) -> int:
    """From now on the sender of a message counts as confirmed; what is to be read again is.

    Returns the message's bytes.
    """
    tx.execute(
        "UPDATE message SET how = ? WHERE id = ? AND how = ?", How.CONFIRMED, message, How.CLAIMED
    )
    tx.execute(
        "UPDATE errand SET state = 'WAITING', later = 0, reason = NULL"
        " WHERE message = ? AND state = 'PENDING'",
        message,
    )
    row = tx.one("SELECT key, size FROM message WHERE id = ?", message)
    tx.note("confirmed", key=row["key"] if row else None)
    tx.ring("read")
    return row["size"] if row else 0


def release(tx: Tx, job: JobId, *, receipt_after: timedelta) -> bool:
    """Queue a job whose sender has confirmed it; False where the same mail has acted meanwhile."""
    if not _acts(tx, job):
        return False
    jobs.advance(tx, job, Event.CONFIRM, before=Phase.PENDING)
    after = jobs.receipt_after(jobs.fetch(tx, job).notify, receipt_after)
    tx.execute(
        "UPDATE job SET how = ?, receipt_due = ? WHERE id = ?",
        How.CONFIRMED,
        tx.at + after.total_seconds() if after is not None else None,
        job,
    )
    tx.ring("run")
    return True


def _acts(tx: Tx, job: JobId) -> bool:
    """Claim the right to act as somebody who is confirmed, for the errand that became the job."""
    row = tx.one(
        "SELECT act.* FROM errand CROSS JOIN act ON act.errand = errand.id WHERE errand.message ="
        " (SELECT message FROM job WHERE id = ?) AND errand.job = ? AND act.how = ?",
        job,
        job,
        How.CLAIMED,
    )
    if row is None:
        return True
    others = tx.all(
        "SELECT how FROM act WHERE recipient = ? AND address = ? AND key = ?",
        row["recipient"],
        row["address"],
        row["key"],
    )
    if any(How(other["how"]).strength >= How.CONFIRMED.strength for other in others):
        return False
    tx.insert("act", **{**dict(row), "how": How.CONFIRMED})
    return True


# --- never confirmed ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Mails that were never confirmed, and the files of the staged inputs that waited with them."""

    mails: tuple[Given, ...]
    staged: tuple[str, ...]


def expire(tx: Tx, terms: Terms) -> Gone:
    """Give up what was not confirmed in time, without a word to anybody; its bytes go next."""
    rows = tx.all(
        "SELECT id, key FROM message WHERE how = 'claimed' AND gone = 0 AND COALESCE((SELECT until"
        "  FROM confirmation WHERE message = message.id AND job IS NULL), taken + ?) <= ?"
        " AND NOT EXISTS (SELECT 1 FROM errand WHERE message = message.id AND state = 'WAITING')"
        " AND (EXISTS (SELECT 1 FROM errand WHERE message = message.id AND state <> 'DONE')"
        "  OR EXISTS (SELECT 1 FROM job WHERE message = message.id AND phase = 'PENDING'))"
        " ORDER BY taken LIMIT ?",
        terms.within.total_seconds(),
        tx.at,
        BATCH,
    )
    staged = [name for row in rows for name in _expire(tx, row)]
    _unsent(tx)
    tx.execute(
        "DELETE FROM confirmation WHERE until <= ? AND (asked IS NULL OR asked <= ?)",
        tx.at,
        tx.at - _DAY,
    )
    given = (Given(key=row["key"], reason="never confirmed") for row in rows)
    return Gone(mails=tuple(given), staged=tuple(staged))


def _unsent(tx: Tx) -> None:
    """Let letters go that have asked in vain whether somebody wants to be told of a job."""
    of = (
        # Few wait for a word; the letters that were ever sent are many.
        "SELECT letter.id FROM confirmation AS c CROSS JOIN letter ON letter.job IS NULL"
        " AND letter.message = c.message AND letter.recipient = c.recipient"
        " WHERE c.until <= ? AND cause LIKE 'confirm %' AND state <> 'SENT'"
    )
    tx.execute(f"DELETE FROM letter_body WHERE letter IN ({of})", tx.at)
    tx.execute(f"DELETE FROM letter WHERE id IN ({of})", tx.at)


def _expire(tx: Tx, row: Row) -> list[str]:
    message = row["id"]
    staged: list[str] = []
    for job, _ in waiting_jobs(tx, message):
        staged += [item.path for item in jobs.inputs(tx, job) if item.path is not None]
        attempts.cancelled(tx, job, keep_mail=timedelta())
    tx.execute(
        "UPDATE errand SET state = 'DONE', reason = 'never confirmed', done = ?"
        " WHERE message = ? AND state <> 'DONE'",
        tx.at,
        message,
    )
    # What was never confirmed has not acted: it may be sent again.
    tx.execute(
        "DELETE FROM act WHERE how = ? AND errand IN (SELECT id FROM errand WHERE message = ?)",
        How.CLAIMED,
        message,
    )
    tx.execute("UPDATE message SET purge = ? WHERE id = ?", tx.at, message)
    unsent = "job IS NULL AND message = ? AND cause = 'confirm' AND state <> 'SENT'"
    tx.execute(
        f"DELETE FROM letter_body WHERE letter IN (SELECT id FROM letter WHERE {unsent})", message
    )
    tx.execute(f"DELETE FROM letter WHERE {unsent}", message)
    tx.note("expired", key=row["key"], detail="never confirmed")
    return staged
