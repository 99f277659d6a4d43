"""Shipments: results in several letters, planned together, each then a letter like any other."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailgate.model import Carried, JobId, LetterKind, Parcel, Piece, Shipment
from mailgate.model.parcel import Pieces
from mailgate.spool import codec
from mailgate.spool.database import Row, Tx, View, moment
from mailgate.spool.letters import Planned

NONE: Pieces = ()
"""What a letter carries that says that some cannot be mailed."""

_MOST_IDS = 40


def make(tx: Tx, letter: int, shipment: Shipment, parts: Sequence[Pieces]) -> bool:
    """Make a planned letter the first of a shipment, and plan the others.

    False if the letter does not wait for its words any more, or is of a shipment already.
    """
    row = tx.one(
        "SELECT * FROM letter WHERE id = ? AND state = 'PLANNED' AND shipment IS NULL", letter
    )
    if row is None:
        return False
    tx.insert(
        "shipment",
        job=row["job"],
        recipient=row["recipient"],
        code=shipment.code,
        made=tx.at,
        size=shipment.limit,
        parts=len(parts),
        most=shipment.most,
        parcels=codec.dump(shipment.parcels),
    )
    number = tx.count("SELECT MAX(id) FROM shipment")
    tx.execute(
        "UPDATE letter SET shipment = ?, part = 1, pieces = ? WHERE id = ?",
        number,
        codec.dump(parts[0]),
        letter,
    )
    for part, pieces in enumerate(parts[1:], 2):
        _plan(tx, row, number, part, pieces)
    size = sum(parcel.size for parcel in shipment.parcels)
    detail = f"letter={letter} parts={len(parts)} limit={shipment.limit} size={size}"
    tx.note("packed", job=row["job"], detail=detail)
    tx.ring("reply")
    return True


def cut_again(tx: Tx, letter: int, parts: Sequence[Pieces]) -> bool:
    """Have a part that was refused carry ``parts[0]`` alone, and plan letters for the others.

    Without ``parts`` the letter will say that some cannot be mailed, or goes where another says it
    already. False if the letter does not wait for its words any more, or if there would be more
    letters than the shipment may have.
    """
    row = tx.one("SELECT * FROM letter WHERE id = ? AND state = 'PLANNED'", letter)
    shipment = row and tx.one("SELECT * FROM shipment WHERE id = ?", row["shipment"])
    if row is None or shipment is None:
        return False
    if not parts:
        _give_up(tx, row)
        return True
    so_far, more = shipment["parts"], len(parts) - 1
    if so_far + more > shipment["most"]:
        return False
    tx.execute("UPDATE shipment SET parts = parts + ? WHERE id = ?", more, shipment["id"])
    tx.execute("UPDATE letter SET pieces = ? WHERE id = ?", codec.dump(parts[0]), letter)
    for part, pieces in enumerate(parts[1:], so_far + 1):
        _plan(tx, row, shipment["id"], part, pieces)
    tx.note("cut", job=row["job"], detail=f"letter={letter} part={row['part']} into={len(parts)}")
    tx.ring("reply")
    return True


def _give_up(tx: Tx, row: Row) -> None:
    told = tx.one(
        "SELECT 1 FROM letter WHERE shipment = ? AND pieces = '[]' AND id <> ?",
        row["shipment"],
        row["id"],
    )
    if told and row["kind"] == LetterKind.PART:
        tx.execute("DELETE FROM letter WHERE id = ?", row["id"])
    else:
        tx.execute("UPDATE letter SET pieces = '[]' WHERE id = ?", row["id"])
    tx.note("kept", job=row["job"], detail=f"letter={row['id']} part={row['part']}")


def unmake(tx: Tx, letter: int) -> None:
    """Have a result composed from the beginning: its job's outputs are others than were packed.

    What is composed already goes all the same, beside all of the new letters. The rows stay:
    somebody may still be composing one, and its number must not be another letter's.
    """
    row = tx.one("SELECT * FROM letter WHERE id = ? AND state = 'PLANNED'", letter)
    if row is None or row["shipment"] is None:
        return
    tx.execute(
        "UPDATE letter SET state = 'WITHDRAWN', last_words = 'packed anew' WHERE shipment = ?"
        " AND state = 'PLANNED' AND id <> ?",
        row["shipment"],
        letter,
    )
    tx.execute(
        "UPDATE letter SET kind = ?, shipment = NULL, part = NULL, pieces = NULL WHERE id = ?",
        LetterKind.RESULT,
        letter,
    )
    tx.note("unpacked", job=row["job"], detail=f"letter={letter}")


def _plan(tx: Tx, like: Row, shipment: int, part: int, pieces: Pieces) -> None:
    """Plan a letter of a shipment, to the recipient and for the cause of another of it."""
    tag = secrets.token_hex(10)
    # One of an earlier shipment, which was unmade, may have the same number.
    first = like["cause"].partition(" part ")[0]
    cause = f"{first} part {part} of {shipment}"
    tx.execute(
        "INSERT INTO letter (job, message, cause, kind, recipient, sender, tag, message_id, state,"
        ' facts, phase, planned, "limit", shipment, part, pieces, tries, refusals, waited,'
        " last_words) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'PLANNED', ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '')",
        like["job"],
        like["message"],
        cause,
        LetterKind.PART,
        like["recipient"],
        f"{tx.site.local}+bounce.{tag}@{tx.site.domain}",
        tag,
        f"<{like['job']}.{cause.replace(' ', '-')}.{secrets.token_hex(8)}@{tx.site.domain}>",
        like["facts"],
        like["phase"],
        tx.at,
        like["limit"],
        shipment,
        part,
        codec.dump(pieces),
    )


# --- again ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One way in which a job's outputs came to somebody in parts; ``id`` is its last shipment.

    ``number`` counts the ways from 1 on, in the order in which they came first.
    """

    id: int
    number: int
    parts: int
    made: datetime


def cuts(view: View, job: JobId, recipient: str) -> list[Cut]:
    """Return the ways in which a job's outputs came to somebody in parts: each fits itself alone.

    The same outputs cut once more for the same size are no other way.
    """
    rows = view.all(
        "SELECT id, code, parts, made FROM shipment WHERE job = ? AND lower(recipient) = ?"
        " AND EXISTS (SELECT 1 FROM letter WHERE letter.shipment = shipment.id"
        " AND letter.state <> 'WITHDRAWN') ORDER BY id",
        job,
        recipient.lower(),
    )
    found = {row["code"]: row for row in rows}
    return [
        Cut(id=row["id"], number=number, parts=row["parts"], made=moment(row["made"]))
        for number, row in enumerate(found.values(), 1)
    ]


def answered(view: View, job: JobId, recipient: str, message_ids: Sequence[str]) -> Cut | None:
    """Return the shipment of the first of these letters that is of one of a job to somebody."""
    for message_id in message_ids[:_MOST_IDS]:
        row = view.one(
            "SELECT shipment.id, parts, made FROM letter JOIN shipment"
            " ON shipment.id = letter.shipment WHERE message_id = ? AND letter.job = ?"
            " AND lower(letter.recipient) = ?",
            message_id,
            job,
            recipient.lower(),
        )
        if row is not None:
            return Cut(id=row["id"], number=0, parts=row["parts"], made=moment(row["made"]))
    return None


def pieces_of(view: View, shipment: int, part: int) -> Pieces:
    """Return what a part of a shipment carries; nothing where it cannot be mailed."""
    row = view.one(
        "SELECT pieces FROM letter WHERE shipment = ? AND part = ? ORDER BY id DESC LIMIT 1",
        shipment,
        part,
    )
    return codec.load(tuple[Piece, ...], row["pieces"]) if row else NONE


def wanted_of(view: View, shipment: int) -> dict[str, object]:
    """Return the facts of a shipment's letters: how it was wanted, if that was asked for."""
    row = view.one("SELECT facts FROM letter WHERE shipment = ? ORDER BY id LIMIT 1", shipment)
    return codec.load(dict, row["facts"]) if row else {}


def again(tx: Tx, job: JobId, cause: str, *, shipment: int, part: int, pieces: Pieces) -> None:
    """Make the letter that was just planned for ``cause`` a copy of a part of a shipment."""
    tx.execute(
        "UPDATE letter SET shipment = ?, part = ?, pieces = ?, kind = ? WHERE job = ?"
        " AND cause = ? AND state = 'PLANNED' AND shipment IS NULL",
        shipment,
        part,
        codec.dump(pieces),
        LetterKind.RESULT if part == 1 else LetterKind.PART,
        job,
        cause,
    )


# --- composing ------------------------------------------------------------------------------------


def carried(view: View, planned: Planned) -> Carried | None:
    """Return what a letter of a shipment is to carry; None for a letter of none."""
    if planned.shipment is None or planned.part is None or planned.pieces is None:
        return None
    row = view.one("SELECT * FROM shipment WHERE id = ?", planned.shipment)
    if row is None:
        return None
    return Carried(
        shipment=Shipment(
            code=row["code"],
            limit=row["size"],
            most=row["most"],
            parcels=codec.load(tuple[Parcel, ...], row["parcels"]),
        ),
        part=planned.part,
        of=row["parts"],
        pieces=codec.load(tuple[Piece, ...], planned.pieces),
    )


# --- what lies beside the letters -----------------------------------------------------------------


def files(view: View, job: JobId) -> set[str]:
    """Return the files that the parcels of a job lie in."""
    rows = view.all("SELECT parcels FROM shipment WHERE job = ?", job)
    packed = (codec.load(tuple[Parcel, ...], row["parcels"]) for row in rows)
    return {parcel.file for parcels in packed for parcel in parcels if parcel.file}


def unknown(view: View, names: Collection[str]) -> list[str]:
    """Return those packed files that no shipment of a job knows; they begin with the job's id."""
    return [name for name in names if name not in files(view, JobId(name.partition(".")[0]))]
