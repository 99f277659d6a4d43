"""Held mail: taken, not acted on, for the operator to look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from mailgate.errors import Damaged
from mailgate.spool.database import Row, Tx, View, moment
from mailgate.spool.store import Folder
from mailgate.spool.tables import Errand

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A held errand of a message; ``sender`` is the From address, or the envelope's."""

    id: int
    taken: datetime
    sender: str
    key: str
    recipient: str
    reason: str


def held(view: View) -> list[Held]:
    """Return what is held, oldest first."""
    rows = view.all(
        "SELECT errand.*, taken, sender, address, key FROM errand JOIN message"
        " ON message.id = errand.message WHERE state = 'HELD' ORDER BY errand.id"
    )
    return [
        Held(
            id=row["id"],
            taken=moment(row["taken"]),
            sender=row["address"] or row["sender"] or "<>",
            key=row["key"],
            recipient=row["recipient"],
            reason=row["reason"] or "",
        )
        for row in rows
    ]


def raw(view: View, folder: Folder, errand: int) -> Iterator[bytes] | None:
    """Return the raw bytes of a held mail in blocks; None where nothing of that id is held."""
    row = view.one(
        "SELECT message.id, file FROM errand JOIN message ON message.id = errand.message"
        " WHERE errand.id = ? AND state = 'HELD'",
        errand,
    )
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


def release(tx: Tx, errand: int) -> str | None:
    """Have a held mail read and acted on; return why it cannot be, None if it is."""
    row = _held(tx, errand)
    if row is None:
        return f"no mail {errand} is held"
    if row["kind"] == Errand.POSTMASTER:
        return f"mail {errand} is for you to read: delete it when you have"
    tx.execute(
        "UPDATE errand SET state = 'WAITING', released = 1, unread = 0, reason = NULL WHERE id = ?",
        errand,
    )
    tx.note("released", key=row["key"])
    tx.ring("read")
    return None


def delete(tx: Tx, errand: int) -> str | None:
    """Let a held mail go; return why it cannot, None if it does. The sweep takes its bytes."""
    row = _held(tx, errand)
    if row is None:
        return f"no mail {errand} is held"
    tx.execute(
        "UPDATE errand SET state = 'DONE', reason = 'deleted: ' || reason, done = ? WHERE id = ?",
        tx.at,
        errand,
    )
    tx.execute("UPDATE message SET purge = ? WHERE id = ?", tx.at, row["message"])
    tx.note("deleted", key=row["key"])
    return None


def _held(view: View, errand: int) -> Row | None:
    return view.one(
        "SELECT errand.*, key FROM errand JOIN message ON message.id = errand.message"
        " WHERE errand.id = ? AND state = 'HELD'",
        errand,
    )
