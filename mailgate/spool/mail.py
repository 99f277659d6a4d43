"""Messages that came in: taken, read once, settled, forgotten."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from mailgate.errors import Crowded, Transient
from mailgate.model import How, Identity, JobId
from mailgate.spool import quotas, returned
from mailgate.spool.database import Row, Tx, View, moment
from mailgate.spool.tables import Errand, ErrandState

RETURNED = timedelta(days=14)
"""So long a mail is kept that only came back for a letter of ours."""


NOT_UNDERSTOOD = "not understood: "
"""Begins the reason of an errand that was answered with help, before the mail's first line."""

SLIP = f"{NOT_UNDERSTOOD}a slip: "
"""Begins it where the mail was nearly a command; a first line itself stands in quotation marks."""

_DAY = timedelta(days=1).total_seconds()
# So many mails a day are answered that seem to be a command misspelt.
_SLIPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many unconfirmed mails may wait, and of how many bytes in all; a part from one origin."""

    mails: int
    size: int
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a door hands over: the raw mail is ``body``, or a durable file of that name in mail/.

    Neither: its bytes are not kept; that it came is.

    ``by``: what vouches for the identity, in words; ``counted``: the quotas that count its bytes.

    ``errands``: what each recipient of ours is to do, in the order of the envelope; ``letters`` of
    ours that it comes back for; ``held`` the reason why nothing is acted on before the operator
    says so. ``room`` is what unconfirmed mails may take, where this is one.
    """

    door: str
    peer: str | None
    sender: str
    identity: Identity | None
    key: str
    sha256: str
    size: int
    body: bytes | None
    file: str | None
    errands: Sequence[tuple[Errand, str]]
    letters: Sequence[int] = ()
    held: str | None = None
    by: str = ""
    room: Room | None = None

    @property
    def claimed(self) -> bool:
        """Nothing vouches for its sender."""
        return self.identity is not None and self.identity.how is How.CLAIMED

    counted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits to be read, with those of its errands that do.

    The identity of mail that only comes back for a letter has no address: nobody is answered.
    ``released``: the operator wants it acted on, whatever it looks like.
    """

    id: int
    identity: Identity
    key: str
    taken: datetime
    size: int
    body: bytes | None
    file: str | None
    errands: tuple[tuple[int, Errand, str], ...]
    released: bool = False

    @property
    def returned(self) -> bool:
        """It only came back for letters of ours."""
        return all(kind is Errand.BOUNCE for _, kind, _ in self.errands)


def accept(tx: Tx, mail: Accepted) -> int:
    """Take a message: its bytes, its row and its errands at once. Returns its number.

    Raises
    ------
    Transient, Crowded
        It is unconfirmed, and too much waits to be confirmed already.
    """
    if mail.room is not None:
        _check_room(tx, mail.room, mail.size)
    gone = mail.body is None and mail.file is None
    # It cannot act again: that it came is told for so long, and then forgotten.
    passed = tx.at + RETURNED.total_seconds() if gone else tx.at
    message = tx.insert(
        "message",
        taken=tx.at,
        door=mail.door,
        peer=mail.peer,
        sender=mail.sender,
        address=mail.identity.address if mail.identity else None,
        how=mail.identity.how if mail.identity else None,
        vouched=mail.by[:500] or None,
        key=mail.key,
        sha256=mail.sha256,
        size=mail.size,
        origin=mail.room.origin if mail.room else None,
        file=mail.file,
        gone=int(gone),
        purge=None if mail.errands else passed,
    )
    if mail.body is not None:
        tx.insert("body", message=message, bytes=mail.body)
    for kind, recipient in mail.errands:
        held = mail.held or ("for the postmaster" if kind is Errand.POSTMASTER else None)
        tx.insert(
            "errand",
            message=message,
            kind=kind,
            recipient=recipient,
            released=0,
            later=int(mail.claimed),
            state=ErrandState.HELD if held else ErrandState.WAITING,
            reason=held,
        )
        if held:
            tx.note("held", key=mail.key, detail=f"for {recipient}: {held}")
    if mail.counted and mail.identity:
        quotas.count_mail(tx, mail.counted, mail.identity.how, mail.size)
    wanted = [returned.noted(tx, letter, message) for letter in mail.letters]
    if any(wanted) and mail.size <= returned.KEPT:
        # Else the next sweep takes its bytes, once it is read.
        forget_after(tx, message, RETURNED)
    tx.ring("read")
    return message


def _check_room(view: View, room: Room, size: int) -> None:
    every = "SELECT COUNT(*) AS mails, COALESCE(SUM(size), 0) AS size FROM message WHERE"
    every += " how = 'claimed' AND gone = 0"
    waiting = "that wait here for their senders to confirm them"
    row = view.one(every)
    _check_within(row, room.mails, room.size - size, f"mails {waiting}")
    left = room.size - (row["size"] if row is not None else 0)
    row = view.one(f"{every} AND origin = ?", room.origin)
    if row is not None and row["mails"]:
        those = f"mails from {room.origin} {waiting}"
        _check_within(row, share(room.mails), share(room.size) - size, those)
    elif size > max(share(room.size), left // 2):
        # One alone may be bigger than that, where as much is left for others.
        message = f"this mail is too big for the room that is left for mails {waiting}"
        raise Crowded(f"{message}; try again later")


def _check_within(row: Row | None, mails: int, size: int, those: str) -> None:
    if row is not None and row["mails"] >= mails:
        message = f"there are too many {those}; try again later"
        raise Transient(message)
    if row is not None and row["size"] > size:
        message = f"the {those} take too much room; try again later"
        raise Crowded(message)


def share(most: int) -> int:
    """Return how much of what all strangers may have is one origin's at most: a quarter."""
    return max(most // 4, 1)


def waiting(view: View, *, besides: Collection[int], limit: int) -> list[int]:
    """Return the numbers of messages with something to read, oldest first, without ``besides``.

    Those for whose senders nothing vouches are not among them (`unvouched`).
    """
    rows = view.all(
        "SELECT DISTINCT message FROM errand WHERE state = 'WAITING' AND later = 0"
        " ORDER BY message LIMIT ?",
        limit + len(besides),
    )
    return [row["message"] for row in rows if row["message"] not in besides][:limit]


def unvouched(view: View, *, besides: Collection[int]) -> list[int]:
    """Return the oldest message to read for whose sender nothing vouches, without ``besides``."""
    rows = view.all(
        "SELECT DISTINCT message FROM errand WHERE state = 'WAITING' AND later = 1"
        " ORDER BY message LIMIT ?",
        1 + len(besides),
    )
    return [row["message"] for row in rows if row["message"] not in besides][:1]


def fetch(view: View, message: int) -> Waiting | None:
    """Return a message that waits to be read; None when nothing of it waits any more."""
    errands = view.all(
        "SELECT id, kind, recipient, released FROM errand WHERE message = ? AND state = 'WAITING'"
        " ORDER BY id",
        message,
    )
    row = view.one("SELECT * FROM message WHERE id = ?", message)
    if not errands or row is None:
        return None
    body = view.one("SELECT bytes FROM body WHERE message = ?", message)
    return Waiting(
        id=message,
        # Mail that comes back is nobody's: only who writes to a service is known.
        identity=Identity(address=row["address"] or "", how=How(row["how"] or How.CLAIMED)),
        key=row["key"],
        taken=moment(row["taken"]),
        size=row["size"],
        body=body["bytes"] if body else None,
        file=row["file"],
        released=any(e["released"] for e in errands),
        errands=tuple((e["id"], Errand(e["kind"]), e["recipient"]) for e in errands),
    )


class Before(NamedTuple):
    """What a message that acted before had in common with another, and its content's digest."""

    key: str
    content: str


def first_act(
    tx: Tx,
    waiting: Waiting,
    errand: int,
    recipient: str,
    content: str,
    *,
    signatures: Sequence[str] = (),
) -> Before | None:
    """Claim the right to act, once for each (recipient, identity, key), whatever the door.

    Returns None when it is ours, else what acted before. One that was known by a weaker way never
    stands in the way of a stronger. Of signed mail each of its ``signatures`` is a key, too.
    """
    address, how = waiting.identity.key, waiting.identity.how
    for key in (waiting.key, *signatures):
        rows = tx.all(
            "SELECT how, content, errand FROM act WHERE recipient = ? AND address = ? AND key = ?",
            recipient,
            address,
            key,
        )
        before = [row for row in rows if How(row["how"]).strength >= how.strength]
        if before:
            ours = before[0]["errand"] == errand
            return None if ours else Before(key, str(before[0]["content"]))
    for key in (waiting.key, *signatures):
        tx.insert(
            "act",
            recipient=recipient,
            address=address,
            key=key,
            how=how,
            content=content,
            errand=errand,
        )
    return None


def has_acted(view: View, waiting: Waiting, recipient: str, content: str, *, least: How) -> bool:
    """Tell whether a mail of these words acted, whose sender was known so well, or better."""
    rows = view.all(
        "SELECT how FROM act WHERE recipient = ? AND address = ? AND key = ? AND content = ?",
        recipient,
        waiting.identity.key,
        waiting.key,
        content,
    )
    return any(How(row["how"]).strength >= least.strength for row in rows)


def acted(view: View, waiting: Waiting, recipient: str, key: str) -> JobId | None:
    """Return the job that a mail of that key has become at the recipient, if it became one."""
    row = view.one(
        "SELECT errand.job FROM act JOIN errand ON errand.id = act.errand WHERE act.recipient = ?"
        " AND address = ? AND key = ? AND errand.job IS NOT NULL ORDER BY errand.id LIMIT 1",
        recipient,
        waiting.identity.key,
        key,
    )
    return JobId(row["job"]) if row else None


def goes_round(view: View, waiting: Waiting, reason: str) -> bool:
    """Whether a mail that was not understood may be a machine's, which answers what we answer.

    So it is where another of its sender's, known so well or better, was answered within 24 hours.
    Slips do not count against other mail; one of them (``reason`` says so) goes round where one
    began with the same words, or there were five mails.
    """
    # The condition of the index errand_puzzling, to the letter.
    rows = view.all(
        "SELECT reason, how FROM errand JOIN message ON message.id = errand.message"
        " WHERE done > ? AND reason GLOB 'not understood: *' AND lower(address) = ?",
        waiting.taken.timestamp() - _DAY,
        waiting.identity.key,
    )
    strength = waiting.identity.how.strength
    before = [row["reason"] for row in rows if How(row["how"]).strength >= strength]
    if reason.startswith(SLIP):
        return len(before) >= _SLIPS or reason in before
    return not all(one.startswith(SLIP) for one in before)


def settle(tx: Tx, errand: int, *, reason: str, job: JobId | None = None) -> None:
    """Mark an errand as done: it became ``job``, or was answered, or needs nothing."""
    tx.execute(
        "UPDATE errand SET state = 'DONE', reason = ?, job = ?, done = ? WHERE id = ?"
        " AND state = 'WAITING'",
        reason,
        job,
        tx.at,
        errand,
    )


def pend(tx: Tx, errand: int, *, reason: str) -> None:
    """Leave an errand until the message's sender has confirmed it; then it is read again."""
    tx.execute(
        "UPDATE errand SET state = 'PENDING', reason = ?, done = ? WHERE id = ?"
        " AND state = 'WAITING'",
        reason,
        tx.at,
        errand,
    )


def hold(tx: Tx, message: int, reason: str) -> None:
    """Put what still waits of a message, and cannot be read, on hold for the operator.

    What cannot be read is no confirmation, and nothing else; strangers' mail goes in time.
    """
    given_up = tx.execute(
        "UPDATE errand SET state = 'DONE', reason = ?, done = ? WHERE message = ?"
        " AND state = 'WAITING' AND kind = ?",
        reason,
        tx.at,
        message,
        Errand.CONFIRM,
    )
    if given_up:
        forget_after(tx, message, timedelta())
    for row in tx.all(
        "SELECT recipient, key FROM errand JOIN message ON message.id = errand.message"
        " WHERE message = ? AND state = 'WAITING' ORDER BY errand.id",
        message,
    ):
        tx.note("held", key=row["key"], detail=f"for {row['recipient']}: {reason}")
    tx.execute(
        "UPDATE errand SET state = 'HELD', unread = 1 - later, reason = ?, done = ?"
        " WHERE message = ? AND state = 'WAITING'",
        reason,
        tx.at,
        message,
    )


def keep_for_operator(tx: Tx, errand: int, reason: str) -> None:
    """Put an errand that was read, and that only a person understands, on hold for two weeks."""
    row = tx.one(
        "SELECT recipient, key FROM errand JOIN message ON message.id = errand.message"
        " WHERE errand.id = ?",
        errand,
    )
    if row is not None:
        tx.note("held", key=row["key"], detail=f"for {row['recipient']}: {reason}")
    tx.execute(
        "UPDATE errand SET state = 'HELD', reason = ?, done = ? WHERE id = ?",
        reason,
        tx.at,
        errand,
    )


def forget_after(tx: Tx, message: int, keep: timedelta) -> None:
    """Let the raw bytes go ``keep`` from now; a later wish for later wins."""
    tx.execute(
        "UPDATE message SET purge = MAX(COALESCE(purge, 0), ?) WHERE id = ? AND gone = 0",
        tx.at + keep.total_seconds(),
        message,
    )
