"""Every configured door, opened."""

import errno
import socket
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from mailgate import log
from mailgate.config import Config
from mailgate.desk import Counter
from mailgate.errors import Permanent
from mailgate.receive.lmtp import LmtpDoor
from mailgate.receive.smtp import SmtpDoor

T = TypeVar("T")


class Door(Protocol):
    """A way in that is open."""

    async def stop(self, grace: timedelta) -> None:
        """Take nothing more; what is under way may end within ``grace``."""
        ...


async def opened(config: Config, counter: Counter) -> list[Door]:
    """Open the doors that the configuration names.

    Raises
    ------
    Permanent
        One cannot be opened: its address is taken, or its certificate cannot be used.
    """
    host, networks = socket.getfqdn(), (*config.trust.networks, *config.trust.hops)
    doors: list[Door] = []
    if (listen := config.smtp) is not None:
        smtp = SmtpDoor(counter, listen, host, trusted=networks)
        await _started(smtp.start(), f"{listen.host}:{listen.port}", "listen.smtp")
        log.event("listening", door="smtp", host=listen.host, port=smtp.port, tls=smtp.port_tls)
        doors.append(smtp)
    if (hand := config.lmtp) is not None:
        lmtp = LmtpDoor(counter, hand, host, trusted=networks)
        at = str(hand.socket or f"{hand.host}:{hand.port}")
        port = await _started(lmtp.start(), at, "listen.lmtp")
        at = str(hand.socket) if port is None else hand.host
        log.event("listening", door="lmtp", host=at, port=port)
        doors.append(lmtp)
    if config.imap:
        # Only what is configured is imported.
        from mailgate.receive.imap.door import ImapDoor  # noqa: PLC0415

        mailboxes = ImapDoor(counter, config.imap)
        mailboxes.start()
        doors.append(mailboxes)
    return doors


def reload(doors: Sequence[Door]) -> None:
    """Read certificates and users again, without closing a door; what is wrong is logged."""
    for door in doors:
        if isinstance(door, SmtpDoor):
            door.reload()


async def _started(starting: Awaitable[T], at: str, table: str) -> T:
    try:
        return await starting
    except OSError as error:
        at = error.filename or at
        message = f"cannot listen on {at}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            message = (
                f"cannot listen on {at}, where another program listens, perhaps a gateway that runs"
                f" already: end it, or name another address in [{table}]"
            )
        raise Permanent(message) from error
