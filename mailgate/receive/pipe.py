"""The pipe's door: one mail on standard input, from .forward, Postfix's pipe(8) or procmail.

It writes to the spool by itself, so it works while the daemon is down, and beside it.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from mailgate import crash
from mailgate.config import Config
from mailgate.desk import HEADER, Desk, Intake, header_end, refused, told
from mailgate.errors import MailgateError, Refusal, TooBig, Transient, UnknownRecipient
from mailgate.model import Envelope
from mailgate.parse.address import mailboxes
from mailgate.parse.header import Header
from mailgate.services import Service
from mailgate.spool import mail
from mailgate.spool.database import Connection, Site
from mailgate.spool.store import Folder, direct


def take(
    config: Config, services: Mapping[str, Service], envelope: Envelope, blocks: Iterable[bytes]
) -> int:
    """Take one mail and return its number once it is durable.

    Raises
    ------
    Refusal, Transient
        It is not taken, or cannot be now; ``exit_status`` is for sysexits(3).
    """
    folder = Folder(config.gateway.spool)
    with direct(folder, Site.of(config.gateway.address)) as connection:
        desk = Desk(config, services, folder, lambda: connection.view)
        envelope = _without_unknown(desk, envelope)
        intake = Intake(desk, envelope)
        try:
            return _taken(config, connection, intake, blocks)
        except Refusal as error:
            key = intake.message_id()
            refused(envelope, error, key)
            if key is not None:
                # What is refused for good stays refused, whether it can be written down or not.
                with suppress(Transient):
                    desk.room()
                    with connection.transaction() as tx:
                        tx.note("refused", key=key, detail=str(error))
            raise


def _without_unknown(desk: Desk, envelope: Envelope) -> Envelope:
    """Leave out recipients that do not exist, unless none does: the others get their mail."""
    known: list[str] = []
    unknown: list[tuple[str, UnknownRecipient]] = []
    for address in envelope.recipients:
        try:
            desk.place(envelope, address)
        except UnknownRecipient as stranger:
            unknown.append((address, stranger))
            continue
        except MailgateError:
            pass  # told when the whole mail is judged
        known.append(address)
    if not known or not unknown:
        return envelope
    for address, error in unknown:
        refused(replace(envelope, recipients=(address,)), error, None)
    return replace(envelope, recipients=tuple(known))


def _taken(config: Config, connection: Connection, intake: Intake, blocks: Iterable[bytes]) -> int:
    left = config.pipe.max_size
    for block in blocks:
        left -= len(block)
        if left < 0:
            intake.discard()
            message = f"the message is over {config.pipe.max_size} bytes"
            raise TooBig(message)
        intake.feed(block)
    accepted = intake.seal()
    try:
        with connection.transaction() as tx:
            number = mail.accept(tx, accepted)
            crash.point("pipe:before-commit")
    except BaseException:
        intake.discard()
        raise
    crash.point("pipe:committed")
    told(accepted, number)
    return number


def addresses(
    head: bytes,
    environment: Mapping[str, str],
    *,
    sender: str | None,
    recipients: Iterable[str],
    domain: str,
) -> tuple[str, tuple[str, ...]]:
    """Return envelope sender and recipients of a mail that came without a session.

    What was given counts first, then SENDER and ORIGINAL_RECIPIENT of the environment (local(8)),
    then Return-Path and Delivered-To, then To: of several there, those in our own ``domain``.
    ``head`` is the beginning of the mail.

    Raises
    ------
    Refusal
        Nothing names a recipient.
    """
    end = header_end(head[:HEADER])
    header = Header.scan(head[: end if end >= 0 else HEADER])
    found = tuple(recipients)
    if not found and environment.get("ORIGINAL_RECIPIENT"):
        found = (environment["ORIGINAL_RECIPIENT"],)
    if not found:
        found = tuple(bare(value) for value in header.all("delivered-to")[:1])
    if not found:
        found = _addressed(header, domain)
    if not found:
        message = "no recipient: give --recipient, ORIGINAL_RECIPIENT, Delivered-To or To"
        raise Refusal(message)
    where = _sender(header, environment) if sender is None else sender
    return _text(bare(where)), tuple(map(_text, found))


def _addressed(header: Header, domain: str) -> tuple[str, ...]:
    """Return whom To names: of us and other people, us alone."""
    found = tuple(box.address for field in header.all("to") for box in mailboxes(field))
    return tuple(a for a in found if a.lower().endswith(f"@{domain}")) or found


def _text(word: str) -> str:
    """Return a word of the command line or the environment, its bad bytes marked (PEP 383)."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sender(header: Header, environment: Mapping[str, str]) -> str:
    if "SENDER" in environment:
        return environment["SENDER"]
    returned = header.first("return-path")
    if returned is not None:
        return returned
    # Nobody says where it came from: its From is all there is.
    return next(iter(header.from_addresses()), "")


def bare(address: str) -> str:
    """Return an address without angle brackets; Postfix calls the null sender MAILER-DAEMON."""
    inner = address.strip().removeprefix("<").removesuffix(">").strip()
    return "" if inner.upper() == "MAILER-DAEMON" else inner
