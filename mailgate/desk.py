"""The one counter: doors open a sink here and acknowledge after its receipt; readers perform here."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mailgate import crash, log
from mailgate.commands import submit
from mailgate.config import Config
from mailgate.errors import (
    Automatic,
    MailgateError,
    NoSpace,
    NotAllowed,
    Refusal,
    TooBig,
    Transient,
    UnknownRecipient,
)
from mailgate.model import Answer, Envelope, Identity, JobId, LetterKind, Request, Staged, Unclear
from mailgate.parse.automatic import judge
from mailgate.parse.header import Header
from mailgate.parse.sender import vouch
from mailgate.services import Service
from mailgate.spool import files, letters, mail
from mailgate.spool.database import Site, Tx, View
from mailgate.spool.store import Folder, Spool
from mailgate.spool.tables import Errand

# Up to here a mail is kept as a BLOB in the group-committed row, past it as a file of its own: an
# insert of 128 KiB costs about what a second fsync does.
SMALL = 128 << 10
# A header block past this is refused: nothing that a person sends comes near it.
HEADER = 256 << 10
# RFC 5321 section 6.3 counts Received fields against loops; a path of a person's mail has under ten.
HOPS = 20
# Strangers may write to the postmaster; so many unread mails, of so many bytes each, are enough.
POSTMASTER_MAILS = 1000
POSTMASTER_SIZE = 1 << 20


class Purpose(StrEnum):
    """What an address of ours is for."""

    SERVICE = "service"
    POSTMASTER = "postmaster"
    BOUNCE = "bounce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address of ours: the service's name, or the number of the letter that came back."""

    purpose: Purpose
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The message is durable, under this number."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader made of a message: what it asks of each service, with the inputs it staged."""

    content: str
    message_id: str | None
    references: str | None
    subject: str | None
    requests: Mapping[str, Request | Unclear]
    staged: Mapping[str, Sequence[Staged]]


class Desk:
    """Knows the house's addresses and who may use what."""

    def __init__(
        self, config: Config, services: Mapping[str, Service], folder: Folder, view: Callable[[], View]
    ) -> None:
        self.config = config
        self.services = services
        self.folder = folder
        self.site = Site.of(config.gateway.address)
        self._view = view
        self._free_at = 0.0
        self._free = 0

    # --- the envelope -----------------------------------------------------------------------------

    def place(self, envelope: Envelope, address: str) -> Place:
        """Return what ``address`` is for, if this envelope may write to it.

        Raises
        ------
        UnknownRecipient, NotAllowed, Automatic, Transient
            It may not; the sentence says why.
        """
        local, at, domain = address.lower().rpartition("@")
        if not at and domain == "postmaster":
            return self._postmaster()
        if domain != self.site.domain:
            message = f"{address} is not an address of this gateway"
            raise UnknownRecipient(message)
        if local == "postmaster":
            return self._postmaster()
        own, plus, detail = local.partition("+")
        if own == self.site.local and plus and detail.startswith("bounce."):
            return self._returned(address, detail.removeprefix("bounce."))
        if own == self.site.local and (not plus or detail.startswith("job.")):
            message = (
                f"commands by mail are not switched on at this gateway: write to a service,"
                f" as in {self._example()}"
            )
            raise NotAllowed(message)
        return self._service(envelope, address, detail if own == self.site.local else local)

    def _service(self, envelope: Envelope, address: str, name: str) -> Place:
        if name not in self.services:
            message = f"there is no service at {address}"
            raise UnknownRecipient(message)
        if not envelope.sender:
            message = "mail without a return path is automatic, and automatic mail starts no job"
            raise Automatic(message)
        return Place(purpose=Purpose.SERVICE, name=name)

    def _postmaster(self) -> Place:
        held = self._view().count(
            "SELECT COUNT(*) FROM errand WHERE state = 'HELD' AND kind = 'postmaster'"
        )
        if held >= POSTMASTER_MAILS:
            message = "the postmaster has too much unread mail; try again later"
            raise Transient(message)
        return Place(purpose=Purpose.POSTMASTER, name="postmaster")

    def _returned(self, address: str, tag: str) -> Place:
        letter = letters.tagged(self._view(), tag)
        if letter is None:
            message = f"no letter of this gateway left with the return path {address}"
            raise UnknownRecipient(message)
        return Place(purpose=Purpose.BOUNCE, name=str(letter))

    def _example(self) -> str:
        name = next(iter(sorted(self.services)), "SERVICE")
        return f"{name}@{self.site.domain}"

    # --- the message ------------------------------------------------------------------------------

    def judge(self, envelope: Envelope, header: Header, size: int) -> "Verdict":
        """Decide from envelope and header alone what is to be done with a message.

        Raises
        ------
        Refusal
            It is not taken; the sentence says why.
        """
        places = [self.place(envelope, address) for address in dict.fromkeys(envelope.recipients)]
        names = [p.name for p in places if p.purpose is Purpose.SERVICE]
        returned = [int(p.name) for p in places if p.purpose is Purpose.BOUNCE]
        errands: list[tuple[Errand, str]] = []
        if any(p.purpose is Purpose.POSTMASTER for p in places):
            if size > POSTMASTER_SIZE:
                message = f"mail to the postmaster may have {POSTMASTER_SIZE >> 20} MiB"
                raise TooBig(message)
            errands.append((Errand.POSTMASTER, "postmaster"))
        if not names:
            return Verdict(identity=None, errands=errands, letters=returned, held=None)
        identity, held = self._person(envelope, header)
        errands += self._allowed(identity, dict.fromkeys(names))
        return Verdict(identity=identity, errands=errands, letters=returned, held=held)

    def _person(self, envelope: Envelope, header: Header) -> tuple[Identity, str | None]:
        if len(header.received()) > HOPS:
            message = f"over {HOPS} Received fields: this mail goes round in circles"
            raise Refusal(message)
        automatic = judge(header, self.config.gateway.address)
        if automatic is not None and automatic.sure:
            message = f"automatic mail starts no job and is not answered: {automatic.reason}"
            raise Automatic(message)
        identity = vouch(header, envelope, self.config.trust.networks)
        return identity, automatic.reason if automatic else None

    def _allowed(self, identity: Identity, names: Mapping[str, None]) -> list[tuple[Errand, str]]:
        allowed = {name for name in names if self.services[name].allows(identity)}
        if not allowed:
            services = " or ".join(f'"{name}"' for name in names)
            message = f"{identity.address} may not use the service {services}"
            raise NotAllowed(message)
        return [(Errand.REQUEST if name in allowed else Errand.DENIED, name) for name in names]

    def room(self, more: int = 0) -> None:
        """Check that the disk has room for ``more`` bytes beside what is to stay free.

        Raises
        ------
        NoSpace
            It has not.
        """
        now = time.monotonic()
        # Asked at most ten times a second: a mail of 4 KiB should not pay for it.
        if now - self._free_at > 0.1:  # noqa: PLR2004 - seconds
            self._free, self._free_at = files.free(self.folder.root), now
        if self._free - more < self.config.gateway.min_free:
            message = "the gateway's disk is nearly full; try again later"
            raise NoSpace(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A message is taken: on whose behalf, to what end, and whether it waits for the operator."""

    identity: Identity | None
    errands: Sequence[tuple[Errand, str]]
    letters: Sequence[int]
    held: str | None


class Intake:
    """The bytes of one message on their way in: in memory while small, in a file when big.

    Blocking; a failed write is remembered and told at the end, so that a door can read on.
    """

    def __init__(self, desk: Desk, envelope: Envelope) -> None:
        self._desk = desk
        self._envelope = envelope
        self._head = bytearray()
        self._hash = hashlib.sha256()
        self._bytes = files.Growing(desk.folder.mail / secrets.token_hex(12), small=SMALL)
        self._size = 0
        self._trouble: MailgateError | None = None

    @property
    def big(self) -> bool:
        """The bytes lie in a file: sealing waits for the disk."""
        return self._bytes.big

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Never raises."""
        self._size += len(block)
        self._hash.update(block)
        if len(self._head) <= HEADER:
            self._head += block[: HEADER + 2 - len(self._head)]
        if self._trouble is not None:
            return
        try:
            self._keep(block)
        except OSError as error:
            self._trouble = files.failed(error)
        except MailgateError as error:
            self._trouble = error
        if self._trouble is not None:
            # What cannot be kept gives its space back at once.
            self.discard()

    def _keep(self, block: bytes | bytearray | memoryview) -> None:
        if self._size > SMALL:
            self._desk.room(len(block))
        self._bytes.write(block)

    def seal(self) -> mail.Accepted:
        """Judge the message and make its bytes durable; what is left is to commit its row.

        Raises
        ------
        Refusal, Transient
            It is not taken, or cannot be now. Nothing of it stays.
        """
        try:
            return self._seal()
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise files.failed(error) from error
            raise

    def _seal(self) -> mail.Accepted:
        header = self._header()
        verdict = self._desk.judge(self._envelope, header, self._size)
        if self._trouble is not None:
            raise self._trouble
        self._desk.room(self._size)
        body = self._bytes.seal()
        crash.point("accept:durable")
        digest = self._hash.hexdigest()
        return mail.Accepted(
            door=self._envelope.door,
            peer=self._envelope.peer,
            sender=self._envelope.sender,
            identity=verdict.identity,
            key=header.message_id() or f"sha256:{digest}",
            sha256=digest,
            size=self._size,
            body=body,
            file=self._bytes.path.name if body is None else None,
            errands=verdict.errands,
            letters=verdict.letters,
            held=verdict.held,
        )

    def _header(self) -> Header:
        end = header_end(self._head)
        if end > HEADER or (end < 0 and len(self._head) > HEADER):
            message = f"the header block is over {HEADER >> 10} KiB"
            raise TooBig(message)
        return Header.scan(bytes(self._head if end < 0 else self._head[:end]))

    def message_id(self) -> str | None:
        """Return the Message-ID as far as one can be read: for the log."""
        try:
            return self._header().message_id()
        except TooBig:
            return None

    def discard(self) -> None:
        """Forget the bytes."""
        self._bytes.discard()


def header_end(head: bytes | bytearray) -> int:
    """Return the offset just past the blank line that ends a header block; -1 if there is none."""
    ends = [
        at + len(mark)
        for mark in (b"\r\n\r\n", b"\n\n", b"\n\r\n")
        if (at := head.find(mark)) >= 0
    ]
    if head.startswith((b"\r\n", b"\n")):
        return head.index(b"\n") + 1
    return min(ends, default=-1)


class Sink:
    """An intake for a door in the event loop: group commit, and no waiting for a disk in the loop."""

    def __init__(self, intake: Intake, envelope: Envelope, spool: Spool, disk: ThreadPoolExecutor) -> None:
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
            number = await self._spool.write(lambda tx: mail.accept(tx, accepted))
        except Refusal as error:
            await self._refused(error)
            raise
        except Transient as error:
            self._intake.discard()
            log.event("delayed", what="mail", sender=self._envelope.sender, reason=str(error),
                      detail=error.detail or None)  # fmt: skip
            raise
        crash.point("accept:committed")
        told(accepted, number)
        return Receipt(id=number)

    async def _sealed(self) -> mail.Accepted:
        if not self._intake.big:
            return self._intake.seal()
        return await asyncio.get_running_loop().run_in_executor(self._disk, self._intake.seal)

    async def _refused(self, error: Refusal) -> None:
        key = self._intake.message_id()
        refused(self._envelope, error, key)
        if key is None:
            return
        try:
            await self._spool.write(lambda tx: tx.note("refused", key=key, detail=str(error)))
        except MailgateError as trouble:
            # What is refused for good stays refused, whether it can be written down or not.
            log.event("delayed", what="note", key=key, reason=str(trouble),
                      detail=trouble.detail or None)  # fmt: skip

    async def discard(self) -> None:
        """Forget the message: the client went away."""
        self._intake.discard()


def told(accepted: mail.Accepted, number: int) -> None:
    """Log that a message was taken."""
    log.event(
        "accepted", message=number, key=accepted.key, door=accepted.door, peer=accepted.peer,
        sender=accepted.identity.address if accepted.identity else accepted.sender,
        to=",".join(name for _, name in accepted.errands), size=accepted.size, held=accepted.held,
    )  # fmt: skip


def refused(envelope: Envelope, error: MailgateError, key: str | None) -> None:
    """Log that a message was refused."""
    log.event(
        "refused", key=key, door=envelope.door, peer=envelope.peer, sender=envelope.sender,
        to=",".join(envelope.recipients[:5]), reason=str(error),
    )  # fmt: skip


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
            log.event("refused", door=envelope.door, peer=envelope.peer, sender=envelope.sender,
                      to=address, reason=str(error))  # fmt: skip
            raise

    async def open(self, envelope: Envelope) -> Sink:
        """Return where the message's bytes go."""
        return Sink(Intake(self._desk, envelope), envelope, self._spool, self._disk)

    def close(self) -> None:
        """End the disk's threads."""
        self._disk.shutdown(wait=False)


# --- performing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one errand: a job, or a word (a duplicate, the kind of its answer)."""

    recipient: str
    word: str
    job: JobId | None = None

    def __str__(self) -> str:
        """Return it as the log shows it."""
        return f"{self.recipient}:{self.word}"


def perform(tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading) -> list[Outcome]:
    """Do what a message asks for, all its errands in this one transaction.

    Each recipient becomes a job, or a part of the one answer that the message gets.
    """
    answers: list[Answer] = []
    outcomes: list[Outcome] = []
    for errand, kind, recipient in waiting.errands:
        done = _errand(tx, desk, waiting, reading, _Errand(errand, kind, recipient))
        if isinstance(done, Answer):
            answers.append(done)
            mail.settle(tx, errand, reason=f"answered: {done.kind}")
            outcomes.append(Outcome(recipient=recipient, word=done.kind))
        else:
            outcomes.append(done)
    if answers:
        _answer(tx, waiting, reading, answers)
    mail.forget_after(tx, waiting.id, desk.config.keep.mail)
    return outcomes


def _answer(tx: Tx, waiting: mail.Waiting, reading: Reading, answers: Sequence[Answer]) -> None:
    letters.answer(
        tx, message=waiting.id, recipient=waiting.identity.address, kind=answers[0].kind,
        facts={
            "answers": [{"kind": a.kind, "facts": a.facts} for a in answers],
            "message_id": reading.message_id,
            "references": reading.references,
            "subject": reading.subject,
        },
    )  # fmt: skip


class _Errand(NamedTuple):
    id: int
    kind: Errand
    recipient: str


def _errand(
    tx: Tx, desk: Desk, waiting: mail.Waiting, reading: Reading, errand: _Errand
) -> Answer | Outcome:
    name = errand.recipient
    before = mail.first_act(tx, waiting, errand.id, name, reading.content)
    if before == reading.content:
        mail.settle(tx, errand.id, reason="duplicate")
        return Outcome(recipient=name, word="duplicate")
    if before is not None:
        return Answer(kind=LetterKind.DUPLICATE, facts={"of": waiting.key, "job": None})
    service = desk.services.get(name)
    if errand.kind is Errand.DENIED or service is None or name not in reading.requests:
        sentence = f"{waiting.identity.address} may not use this service"
        if errand.kind is not Errand.DENIED:
            sentence = "this service is no longer offered"
        return Answer(kind=LetterKind.REFUSED, facts={"service": name, "sentence": sentence})
    done = submit.execute(tx, _call(desk, waiting, reading, service))
    if isinstance(done, Answer):
        return done
    mail.settle(tx, errand.id, reason="job", job=done)
    return Outcome(recipient=name, word=done, job=done)


def _call(desk: Desk, waiting: mail.Waiting, reading: Reading, service: Service) -> submit.Call:
    return submit.Call(
        identity=waiting.identity,
        message=waiting.id,
        service=service,
        request=reading.requests[service.name],
        staged=reading.staged.get(service.name, ()),
        subject=reading.subject,
        message_id=reading.message_id,
        references=reading.references,
        receipt_after=desk.config.deliver.receipt_after,
    )
