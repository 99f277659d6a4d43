"""Shipments as the gateway makes them, their letters in a folder."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

from mailgate.model import Carried, LetterKind, Shipment
from mailgate.model.parcel import Pieces
from mailgate.reply.compose import Writer
from mailgate.reply.ship import Shipper
from tests.reply.letters import Written

WRITER = Writer(None)


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A shipment, what each letter carries, and the letters."""

    made: Written
    packed: Path
    shipment: Shipment
    parts: list[Pieces]

    def letter(self, number: int, pieces: Pieces | None = None, of: int = 0) -> bytes:
        """Compose the part of that number."""
        carried = Carried(
            shipment=self.shipment,
            part=number,
            of=of or len(self.parts),
            pieces=self.parts[number - 1] if pieces is None else pieces,
        )
        kind = LetterKind.RESULT if number == 1 else LetterKind.PART
        name = f"<part.{number}@gate.example.org>"
        draft = replace(self.made.draft, kind=kind, carried=carried, message_id=name)
        out = io.BytesIO()
        WRITER.compose(draft, self.made.open, out, packed=self.packed)
        return out.getvalue()

    def letters(self) -> list[bytes]:
        return [self.letter(number) for number in range(1, len(self.parts) + 1)]


def ship(made: Written, packed: Path) -> Shipped | None:
    """Make a shipment of a result; None where nothing of it fits."""
    found = Shipper(WRITER, packed).make(made.draft, made.open)
    if found is None:
        return None
    return Shipped(made=made, packed=packed, shipment=found[0], parts=found[1])


def saved(folder: Path, letters: list[bytes]) -> list[Path]:
    """Save letters as mails of that folder, in that order."""
    folder.mkdir(exist_ok=True)
    for number, letter in enumerate(letters):
        (folder / f"{number:03}.eml").write_bytes(letter)
    return sorted(folder.iterdir())
