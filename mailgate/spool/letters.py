"""Letters that go out: planned with their cause, composed once, tried until somebody has them."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailgate.model import How, Job, JobId, Letter, LetterKind, LetterState
from mailgate.phases import Phase
from mailgate.saying import Words
from mailgate.spool import codec, watchers
from mailgate.spool.database import Row, Tx, View, moment

_EARLIER = (
    "kind IN ('receipt', 'started', 'progress', 'news') AND state IN ('PLANNED', 'WAITING', 'HELD')"
)


MOST = 500
"""Of what is told of a letter's last try so many characters are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A letter that waits for its words. ``facts`` is JSON that the answer's kind explains.

    ``phase`` is the job's when the letter was planned; ``limit`` a size in bytes that the next hop
    insists on. A letter of a shipment is part ``part`` of it and carries ``pieces`` (JSON).
    """

    id: int
    kind: LetterKind
    recipient: str
    message_id: str
    planned: datetime
    job: JobId | None
    message: int | None
    phase: Phase | None
    facts: str
    limit: int | None
    shipment: int | None = None
    part: int | None = None
    pieces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A letter as `mailgate queue` shows it."""

    id: int
    kind: LetterKind
    recipient: str
    state: LetterState
    job: JobId | None
    message_id: str
    tries: int
    next_try: datetime | None
    last_words: str


def plan(
    tx: Tx,
    job: Job,
    kind: LetterKind,
    *,
    cause: str,
    phase: Phase | None = None,
    facts: Mapping[str, object] | None = None,
    only: str | None = None,
) -> None:
    """Plan a letter about a job to its owner and watchers, or ``only`` to one of them.

    The same event never plans two to anybody, and none where nothing vouches for the owner.
    """
    claimed = job.owner.how is How.CLAIMED
    told = [] if claimed else [only] if only else watchers.recipients(tx, job, kind)
    for recipient in told:
        tag = secrets.token_hex(10)
        tx.execute(
            "INSERT INTO letter (job, message, cause, kind, recipient, sender, tag, message_id,"
            " state, facts, phase, planned, tries, refusals, waited, last_words)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'PLANNED', ?, ?, ?, 0, 0, 0, '')"
            " ON CONFLICT DO NOTHING",
            job.id,
            job.message,
            cause,
            kind,
            recipient,
            _return_path(tx, tag),
            tag,
            _message_id(tx, f"{job.id}.{cause.replace(' ', '-')}"),
            codec.dump(facts or {}),
            phase or job.phase,
            tx.at,
        )
    tx.ring("reply")


def answer(
    tx: Tx,
    *,
    message: int,
    recipient: str,
    kind: LetterKind,
    facts: Mapping[str, object],
    cause: str = "answer",
    job: JobId | None = None,
) -> None:
    """Plan the one answer that a message causes of its own.

    It leaves with the null sender, or, about a ``job``, with a return path of its own. Another
    ``cause`` than its words makes another letter.
    """
    tag = secrets.token_hex(10) if job else None
    tx.execute(
        "INSERT INTO letter (job, message, cause, kind, recipient, sender, tag, message_id, state,"
        " facts, planned, tries, refusals, waited, last_words)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'PLANNED', ?, ?, 0, 0, 0, '') ON CONFLICT DO NOTHING",
        job,
        message,
        f"{cause} {message}" if job else cause,
        kind,
        recipient,
        _return_path(tx, tag) if tag else "",
        tag,
        _message_id(tx, f"m{message}"),
        codec.dump(facts),
        tx.at,
    )
    tx.ring("reply")


def overtaken(tx: Tx, job: Job) -> None:
    """Let every letter about a job's beginning and progress go that has not left: it has ended.

    To be called after its result is planned, whose number is then the higher one: a letter's number
    is never given to another while somebody may still be composing or sending it. One that is just
    being sent may arrive.
    """
    for row in _unsent_of(tx, job.id, _EARLIER):
        tx.execute("DELETE FROM letter WHERE id = ?", row["id"])


def outlived(tx: Tx, job: JobId) -> None:
    """Let the notice that a job's outputs go, if it has not left, not leave any more.

    Its row stays: no letter was planned after it, and its number must not become another's while
    somebody may be sending it.
    """
    for row in _unsent_of(tx, job, "kind = 'notice' AND state <> 'SENT'"):
        tx.execute("UPDATE letter SET state = 'WITHDRAWN', next_try = NULL WHERE id = ?", row["id"])


def _unsent_of(tx: Tx, job: JobId, which: str) -> list[Row]:
    """Return such letters, whose bytes go; that they were overtaken is noted."""
    rows = tx.all(f"SELECT id, kind, state FROM letter WHERE job = ? AND {which} ORDER BY id", job)
    for row in rows:
        tx.execute("DELETE FROM letter_body WHERE letter = ?", row["id"])
        tx.note("overtaken", job=job, detail=f"letter={row['id']} {row['kind']} was {row['state']}")
    return rows


def _return_path(tx: Tx, tag: str) -> str:
    return f"{tx.site.local}+bounce.{tag}@{tx.site.domain}"


def _message_id(tx: Tx, name: str) -> str:
    return f"<{name}.{secrets.token_hex(8)}@{tx.site.domain}>"


# --- composing ------------------------------------------------------------------------------------


def newest(view: View) -> int:
    """Return the highest number that a letter has; 0 where there is none."""
    return view.count("SELECT MAX(id) FROM letter")


def planned(view: View, *, besides: Collection[int], limit: int) -> list[Planned]:
    """Return letters that wait for their words, oldest first, without ``besides``."""
    rows = view.all(
        "SELECT * FROM letter WHERE state = 'PLANNED' ORDER BY id LIMIT ?", limit + len(besides)
    )
    rows = [row for row in rows if row["id"] not in besides][:limit]
    return [
        Planned(
            id=row["id"],
            kind=LetterKind(row["kind"]),
            recipient=row["recipient"],
            message_id=row["message_id"],
            planned=moment(row["planned"]),
            job=JobId(row["job"]) if row["job"] else None,
            message=row["message"],
            phase=Phase(row["phase"]) if row["phase"] else None,
            facts=row["facts"],
            limit=row["limit"],
            shipment=row["shipment"],
            part=row["part"],
            pieces=row["pieces"],
        )
        for row in rows
    ]


def unwritten(tx: Tx, letter: int, *, until: datetime, words: str) -> None:
    """Note that a letter cannot be composed, why, and until when it rests."""
    tx.execute(
        "UPDATE letter SET next_try = ?, tries = tries + 1, last_words = ?"
        " WHERE id = ? AND state = 'PLANNED'",
        until.timestamp(),
        codec.words(words, most=MOST),
        letter,
    )


def composed(tx: Tx, letter: int, *, size: int, body: bytes | None, file: str | None) -> bool:
    """Keep a letter's bytes: from now on they never change. False if it was composed already."""
    hit = tx.execute(
        "UPDATE letter SET state = 'WAITING', composed = ?, next_try = ?, size = ?, file = ?"
        " WHERE id = ? AND state = 'PLANNED'",
        tx.at,
        tx.at,
        size,
        file,
        letter,
    )
    if hit and body is not None:
        tx.insert("letter_body", letter=letter, bytes=body)
    tx.ring("deliver")
    return bool(hit)


# --- delivering -----------------------------------------------------------------------------------


def sent(tx: Tx, letter: int, words: str) -> None:
    """Note that the next hop has the letter; its bytes are not needed any more."""
    tx.execute(
        "UPDATE letter SET state = 'SENT', sent = ?, next_try = NULL, tries = tries + 1,"
        " last_words = ? WHERE id = ? AND state = 'WAITING'",
        tx.at,
        codec.words(words, most=MOST),
        letter,
    )
    tx.execute("DELETE FROM letter_body WHERE letter = ?", letter)


def put_off(
    tx: Tx, letter: Letter, *, until: datetime, words: str, refused: bool, waited: timedelta
) -> None:
    """Try again at ``until``. Only a refusal counts towards giving up; so does only ``waited``."""
    hit = tx.execute(
        "UPDATE letter SET next_try = ?, tries = tries + 1, refusals = refusals + ?, waited = ?,"
        " last_words = ? WHERE id = ? AND state = 'WAITING'",
        until.timestamp(),
        int(refused),
        waited.total_seconds(),
        codec.words(words, most=MOST),
        letter.id,
    )
    if hit and refused:
        tx.note("deferred", **cause_of(tx, letter.id), detail=f"letter={letter.id} {words}")


def set_aside(tx: Tx, letter: int, words: Words) -> bool:
    """Give up trying: the letter is HELD with the server's words, for the operator.

    False if it does not wait any more: the result of its job has overtaken it.
    """
    hit = tx.execute(
        "UPDATE letter SET state = 'HELD', next_try = NULL, tries = tries + 1, last_words = ?"
        " WHERE id = ? AND state = 'WAITING'",
        codec.words(words, most=MOST),
        letter,
    )
    if hit:
        tx.note("held", **cause_of(tx, letter), detail=f"letter={letter} {words}")
    return bool(hit)


def too_big(tx: Tx, letter: int, *, limit: int, words: str) -> bool:
    """Have the letter composed again within ``limit`` bytes, under the same Message-ID.

    False, and nothing is done, where it was composed for as little already: its words alone are
    more.
    """
    hit = tx.execute(
        "UPDATE letter SET state = 'PLANNED', \"limit\" = ?, size = NULL, file = NULL,"
        " next_try = NULL, tries = tries + 1, last_words = ? WHERE id = ? AND state = 'WAITING'"
        ' AND ("limit" IS NULL OR "limit" > ?)',
        limit,
        codec.words(words, most=MOST),
        letter,
        limit,
    )
    if not hit:
        return False
    tx.note("shortened", **cause_of(tx, letter), detail=f"letter={letter} limit={limit} {words}")
    tx.execute("DELETE FROM letter_body WHERE letter = ?", letter)
    tx.ring("reply")
    return True


def lost(tx: Tx, letter: int, words: str | None = None) -> None:
    """Have a letter composed again whose bytes are gone, under the same Message-ID.

    Without ``words`` its last ones stay.
    """
    tx.execute(
        "UPDATE letter SET state = 'PLANNED', size = NULL, file = NULL, next_try = NULL,"
        " last_words = COALESCE(?, last_words) WHERE id = ? AND state = 'WAITING'",
        words,
        letter,
    )
    tx.ring("reply")


def cause_of(view: View, letter: int) -> dict[str, str | None]:
    """Return where a decision about a letter is shown: its job, else the mail it answers."""
    row = view.one(
        "SELECT job, key FROM letter LEFT JOIN message ON message.id = message WHERE letter.id = ?",
        letter,
    )
    if row is None or row["job"] is not None:
        return {"job": row["job"] if row else None}
    return {"key": row["key"]}


def queue(view: View) -> list[Queued]:
    """Return letters that are WAITING, HELD or BOUNCED (or about to be composed), oldest first.

    A BOUNCED one of a job whose outputs are gone is told no more.
    """
    # One question each: for several states at once every letter that was ever sent is looked at.
    rows = [
        row
        for state in ("PLANNED", "WAITING", "HELD")
        for row in view.all(f"SELECT * FROM letter WHERE state = '{state}'")
    ]
    rows += view.all(
        "SELECT * FROM letter WHERE state = 'BOUNCED'"
        " AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = letter.job AND phase = 'ARCHIVED')"
    )
    return _queued(sorted(rows, key=lambda row: row["id"]))


def unsent(view: View, job: JobId) -> list[Queued]:
    """Return the letters about a job that nobody has, or that came back, oldest first."""
    return _queued(
        view.all("SELECT * FROM letter WHERE job = ? AND state <> 'SENT' ORDER BY id", job)
    )


def has_left(view: View, job: JobId) -> bool:
    """Tell whether somebody was sent what the job wrote."""
    return bool(
        view.count(
            "SELECT COUNT(*) FROM letter WHERE job = ? AND kind IN ('result', 'part')"
            " AND sent IS NOT NULL",
            job,
        )
    )


def withdrawn(view: View, job: JobId) -> list[str]:
    """Return the files, in the spool's folder of letters, of those that may not leave any more."""
    rows = view.all(
        "SELECT file FROM letter WHERE job = ? AND state = 'WITHDRAWN' AND file IS NOT NULL", job
    )
    return [row["file"] for row in rows]


def _queued(rows: Sequence[Row]) -> list[Queued]:
    return [
        Queued(
            id=row["id"],
            kind=LetterKind(row["kind"]),
            recipient=row["recipient"],
            state=LetterState(row["state"]),
            job=JobId(row["job"]) if row["job"] else None,
            message_id=row["message_id"],
            tries=row["tries"],
            next_try=moment(row["next_try"]) if row["next_try"] is not None else None,
            last_words=str(codec.worded(row["last_words"])),
        )
        for row in rows
    ]
