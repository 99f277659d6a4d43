"""Held mail: taken, not acted on, for the operator to look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from mailgate.errors import Damaged
from mailgate.spool.database import Row, Tx, View, moment
from mailgate.spool.store import Folder
from mailgate.spool.tables import Errand

_BLOCK = 1 << 20

_HOLDS = "EXISTS (SELECT 1 FROM errand WHERE errand.message = message.id AND state = 'HELD')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A message of which something is held; ``sender`` is the From address, or the envelope's.

    ``id`` is the message's number, as the log has it. ``recipient`` and ``reason`` name each once.
    """

    id: int
    taken: datetime
    sender: str
    key: str
    recipient: str
    reason: str


def held(view: View) -> list[Held]:
    """Return what is held, oldest first."""
    rows = view.all(
        "SELECT message.*, errand.recipient, errand.reason FROM errand JOIN message"
        " ON message.id = errand.message WHERE state = 'HELD' ORDER BY message.id, errand.id"
    )
    return [_message(list(errands)) for _, errands in groupby(rows, key=lambda row: row["id"])]


def _message(errands: list[Row]) -> Held:
    row = errands[0]
    return Held(
        id=row["id"],
        taken=moment(row["taken"]),
        sender=row["address"] or row["sender"] or "<>",
        key=row["key"],
        recipient=", ".join(dict.fromkeys(row["recipient"] for row in errands)),
        reason="; ".join(dict.fromkeys(row["reason"] or "" for row in errands)),
    )


def raw(view: View, folder: Folder, message: int) -> Iterator[bytes] | None:
    """Return the raw bytes of a held mail in blocks; None where nothing of that number is held."""
    row = view.one(f"SELECT id, file FROM message WHERE id = ? AND {_HOLDS}", message)
    if row is None:
        return None
    if row["file"] is not None:
        return _blocks(folder, row["file"])
    body = view.one("SELECT bytes FROM body WHERE message = ?", row["id"])
    return iter([body["bytes"] if body else b""])


def _blocks(folder: Folder, name: str) -> Iterator[bytes]:
    try:
        with (folder.mail / name).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        message = "the mail cannot be read from the spool"
        raise Damaged(message, detail=str(error)) from error


def release(tx: Tx, message: int) -> str | None:
    """Have a held mail read and acted on; return why it cannot be, None if it is.

    What it says to the postmaster stays for the operator to read.
    """
    row = _held(tx, message)
    if row is None:
        return f"no mail {message} is held"
    released = tx.execute(
        "UPDATE errand SET state = 'WAITING', released = 1, unread = 0, reason = NULL"
        " WHERE message = ? AND state = 'HELD' AND kind <> ?",
        message,
        Errand.POSTMASTER,
    )
    if not released:
        return f"mail {message} is for you to read: delete it when you have"
    tx.note("released", key=row["key"])
    tx.ring("read")
    return None


def delete(tx: Tx, message: int) -> str | None:
    """Let a held mail go; return why it cannot, None if it does. The sweep takes its bytes."""
    row = _held(tx, message)
    if row is None:
        return f"no mail {message} is held"
    tx.execute(
        "UPDATE errand SET state = 'DONE', reason = 'deleted: ' || reason, done = ?"
        " WHERE message = ? AND state = 'HELD'",
        tx.at,
        message,
    )
    tx.execute("UPDATE message SET purge = ? WHERE id = ?", tx.at, message)
    tx.note("deleted", key=row["key"])
    return None


def _held(view: View, message: int) -> Row | None:
    return view.one(f"SELECT key FROM message WHERE id = ? AND {_HOLDS}", message)
