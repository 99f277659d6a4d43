"""What the event loop does for a mailbox's thread: mail goes to the desk, and the desk's word back.

The one writer commits it, together with what the other doors take at that moment.
"""

import asyncio
from collections.abc import Mapping
from enum import Enum

from mailgate import log
from mailgate.config import ImapDoor
from mailgate.desk import HEADER, Counter, Sink, header_end
from mailgate.errors import MailgateError, NoSpace, Refusal, UnknownRecipient
from mailgate.parse.header import Header
from mailgate.receive.imap.envelope import envelope
from mailgate.receive.terms import too_big


class Word(Enum):
    """What became of a mail: it is durable, refused for good, or has to wait; FULL: as all do."""

    TAKEN = "taken"
    REFUSED = "refused"
    LATER = "later"
    FULL = "full"


def is_cut_short(size: int, told: int) -> bool:
    """Tell whether so few bytes cannot be all of a mail: what is told may be wrong by a little."""
    return size * 2 < told


class Intake:
    """One mail that comes in several blocks; ends with exactly one of ``end`` and ``drop``.

    ``size`` is what the server says of it, which alone can be too much.
    """

    def __init__(self, sink: Sink, limit: int, size: int) -> None:
        self._sink = sink
        self._limit = limit
        self._told = size
        self._size = 0

    @property
    def _over(self) -> bool:
        return max(self._size, self._told) > self._limit

    async def write(self, block: bytes) -> bool:
        """Take the next block, and tell whether more of the mail is wanted."""
        # The first one holds the header, which the refusal is noted by.
        if self._size == 0 or not self._over:
            await self._sink.write(block)
        self._size += len(block)
        return not self._over

    async def end(self) -> Word:
        """Make the mail durable. Raises nothing: what goes wrong is in the log."""
        try:
            if self._over:
                await self._sink.refuse(too_big(self._limit))
                return Word.REFUSED
            if is_cut_short(self._size, self._told):
                await self._sink.discard()
                return Word.LATER
            await self._sink.commit()
        except Refusal:
            return Word.REFUSED
        except NoSpace:
            return Word.FULL
        except MailgateError:
            return Word.LATER
        except Exception as error:  # noqa: BLE001 - the top of a door
            log.event("failed", what="mail", door="imap", reason=repr(error))
            return Word.LATER
        return Word.TAKEN

    async def drop(self) -> None:
        """Forget the mail: it could not be fetched to its end."""
        await self._sink.discard()


class Reception:
    """The desk as one mailbox's thread sees it; its methods run in the event loop."""

    def __init__(self, counter: Counter, door: ImapDoor) -> None:
        self._counter = counter
        self._door = door

    async def take(self, mails: Mapping[int, bytes]) -> dict[int, Word]:
        """Take whole mails, each by its UID, in one commit as far as that goes."""
        words = await asyncio.gather(*(self._taken(mail) for mail in mails.values()))
        return dict(zip(mails, words, strict=True))

    async def _taken(self, mail: bytes) -> Word:
        intake = await self.open(mail, len(mail))
        if isinstance(intake, Word):
            return intake
        await intake.write(mail)
        return await intake.end()

    async def open(self, head: bytes, size: int) -> Intake | Word:
        """Begin a mail by its first block, which is not written yet; or say what became of it."""
        end = header_end(head[:HEADER])
        header = Header.scan(head[: end if end >= 0 else HEADER])
        try:
            found = envelope(
                header,
                own=self._counter.address,
                trusted=self._door.trust,
                is_ours=self._counter.knows,
            )
            sink = await self._counter.open(found)
            if not found.recipients:
                await sink.write(head)
                message = "no address of this gateway stands in Delivered-To, X-Original-To, To, Cc"
                await sink.refuse(UnknownRecipient(message))
                return Word.REFUSED
        except MailgateError:
            return Word.LATER
        except Exception as error:  # noqa: BLE001 - the top of a door
            log.event("failed", what="mail", door="imap", reason=repr(error))
            return Word.LATER
        return Intake(sink, self._door.max_size, size)
