"""The desk as the doors see it: sinks that are acknowledged after their receipt."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from mailgate import crash, log
from mailgate.desk.desk import Desk
from mailgate.desk.intake import Intake
from mailgate.errors import (
    Apart,
    MailgateError,
    Refusal,
    UnknownRecipient,
)
from mailgate.model import Envelope
from mailgate.spool import mail
from mailgate.spool.database import Tx
from mailgate.spool.store import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The message is durable, under this number, for all recipients but the ``refused``."""

    id: int
    refused: Mapping[str, MailgateError] = field(default_factory=dict)


class Sink:
    """An intake for a door in the event loop: group commit, no waiting for a disk in the loop."""

    def __init__(
        self, intake: Intake, envelope: Envelope, spool: Spool, disk: ThreadPoolExecutor
    ) -> None:
        self._intake = intake
        self._envelope = envelope
        self._spool = spool
        self._disk = disk

    async def write(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Never raises: trouble is told by commit."""
        # Into the page cache: about 0.1 ms for a block of 256 KiB, less than a thread's hand-over.
        self._intake.feed(block)

    async def commit(self) -> Receipt:
        """Make the message durable; only after this may the door say so.

        Raises
        ------
        Refusal, Transient
            It is not taken, or cannot be now. Nothing of it stays.
        """
        try:
            accepted = await self._sealed()
            number = await self._spool.write(lambda tx: self._accept(tx, accepted))
        except Refusal as error:
            await self._refused(error)
            raise
        except MailgateError as error:
            self._intake.discard()
            if apart := self._intake.refused:
                # Who is refused for good hears that, and not that it may work later.
                each = {a: apart.get(a, error) for a in self._envelope.recipients}
                await self._refused(Apart(each))
                raise Apart(each) from error
            log.event(
                "delayed",
                what="mail",
                sender=self._envelope.sender,
                reason=str(error),
                detail=error.detail or None,
            )
            raise
        except Exception:
            # A bug of ours: the door says 451 to that too.
            self._intake.discard()
            raise
        crash.point("accept:committed")
        told(accepted, number)
        refused_apart(self._envelope, self._intake.refused, accepted.key)
        return Receipt(id=number, refused=self._intake.refused)

    def _accept(self, tx: Tx, accepted: mail.Accepted) -> int:
        number = mail.accept(tx, accepted)
        for address, error in self._intake.refused.items():
            tx.note("refused", key=accepted.key, detail=f"{address}: {error}")
        return number

    async def _sealed(self) -> mail.Accepted:
        if not self._intake.big:
            return self._intake.seal()
        return await asyncio.get_running_loop().run_in_executor(self._disk, self._intake.seal)

    async def _refused(self, error: Refusal) -> None:
        key = self._intake.message_id()
        if isinstance(error, Apart):
            refused_apart(self._envelope, error.each, key)
        else:
            refused(self._envelope, error, key)
        if key is None:
            return
        try:
            self._intake.room()
            await self._spool.write(lambda tx: tx.note("refused", key=key, detail=str(error)))
        except MailgateError as trouble:
            # What is refused for good stays refused, whether it can be written down or not.
            log.event(
                "delayed", what="note", key=key, reason=str(trouble), detail=trouble.detail or None
            )

    async def refuse(self, error: Refusal) -> None:
        """Forget the message for a reason of the door's own, which is told and noted."""
        self._intake.discard()
        await self._refused(error)

    async def discard(self) -> None:
        """Forget the message: the client went away."""
        self._intake.discard()


def told(accepted: mail.Accepted, number: int) -> None:
    """Log that a message was taken."""
    log.event(
        "accepted",
        message=number,
        key=accepted.key,
        door=accepted.door,
        peer=accepted.peer,
        sender=accepted.identity.address if accepted.identity else accepted.sender,
        known=accepted.identity.how if accepted.identity else None,
        by=accepted.by or None,
        to=",".join(log.without_keys(name) for _, name in accepted.errands),
        size=accepted.size,
        held=accepted.held,
    )


def refused(envelope: Envelope, error: MailgateError, key: str | None) -> None:
    """Log that a message was refused."""
    log.event(
        "refused",
        key=key,
        door=envelope.door,
        peer=envelope.peer,
        sender=envelope.sender,
        to=",".join(map(log.without_keys, envelope.recipients[:5])),
        recipients=count if (count := len(envelope.recipients)) > 1 else None,
        reason=log.without_keys(str(error)),
    )


def refused_apart(envelope: Envelope, each: Mapping[str, MailgateError], key: str | None) -> None:
    """Log the recipients that a message was refused for, a line for each reason."""
    alike: dict[str, list[str]] = {}
    for address, error in each.items():
        alike.setdefault(str(error), []).append(address)
    for addresses in alike.values():
        refused(replace(envelope, recipients=tuple(addresses)), each[addresses[0]], key)


class Counter:
    """The desk as the doors in the event loop see it."""

    def __init__(self, desk: Desk, spool: Spool) -> None:
        self._desk = desk
        self._spool = spool
        # An fsync blocks its thread: more sessions than this end a big mail at once only seldom.
        self._disk = ThreadPoolExecutor(16, "disk")

    async def recipient(self, envelope: Envelope, address: str) -> None:
        """Check one recipient, at RCPT.

        Raises
        ------
        Refusal, Transient
            No mail of this envelope can go there.
        """
        try:
            self._desk.place(envelope, address)
        except Refusal as error:
            log.event(
                "refused",
                door=envelope.door,
                peer=envelope.peer,
                sender=envelope.sender,
                to=log.without_keys(address),
                reason=log.without_keys(str(error)),
            )
            raise

    @property
    def address(self) -> str:
        """The gateway's own address, lower-cased."""
        return self._desk.config.gateway.address

    def knows(self, envelope: Envelope, address: str) -> bool:
        """Tell whether that is an address of ours, whoever may write to it. Raises nothing."""
        try:
            self._desk.place(envelope, address)
        except UnknownRecipient:
            return False
        except MailgateError:
            return True
        return True

    async def open(self, envelope: Envelope) -> Sink:
        """Return where the message's bytes go."""
        return Sink(Intake(self._desk, envelope), envelope, self._spool, self._disk)

    def close(self) -> None:
        """End the disk's threads."""
        self._disk.shutdown(wait=False)
