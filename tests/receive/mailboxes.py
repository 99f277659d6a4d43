"""A desk over a real spool with mailboxes that are read into it: what the IMAP door's tests share."""

import asyncio
import email.policy
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar

from mailgate import log
from mailgate.config import Config, ImapDoor, load
from mailgate.desk import Counter, Desk
from mailgate.receive.imap.door import ImapDoor as Door
from mailgate.receive.imap.reception import Reception
from mailgate.services import load_all
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, Spool
from tests.daemon import ECHO, request
from tests.servers import Dovecot

T = TypeVar("T")

_CONFIG = """
[gateway]
address = "jobs@gate.example.org"
min_free = "{min_free}"
[deliver.maildir]
path = "outgoing"
"""


def table(port: int, name: str = "", **keys: object) -> str:
    """A [listen.imap] or [listen.imap.NAME] as it stands in the file; None leaves a key out."""
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "user": "gateway",
        "password_file": "secret",
        "trust": True,
        "retry": ["1s"],
    } | keys
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join([f"[listen.imap{name and '.'}{name}]", *lines, ""])


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def raw(mail: EmailMessage | None = None, delivered_to: str = "gateway@mx.example.org") -> bytes:
    """A mail as a delivery agent lays it down."""
    mail = mail or request(attachments={"data": b"bytes"})
    head = f"Return-Path: <ada@example.org>\r\nDelivered-To: {delivered_to}\r\n".encode()
    return head + mail.as_bytes(policy=email.policy.SMTP)


def configured(place: Path, tables: str, min_free: str = "1 MiB") -> Config:
    """Write a configuration, the service echo and the password, and read it."""
    (place / "services").mkdir(exist_ok=True)
    (place / "services" / "echo.toml").write_text(ECHO)
    (place / "secret").write_text("secret\n")
    (place / "secret").chmod(0o600)
    (place / "mailgate.toml").write_text(_CONFIG.replace("{min_free}", min_free) + tables)
    return load(place / "mailgate.toml")


class House:
    """A spool, and the door that fills it."""

    def __init__(self, config: Config, spool: Spool, counter: Counter, logged: Path) -> None:
        self.config = config
        self.spool = spool
        self._counter = counter
        self._log = logged

    @asynccontextmanager
    async def reading(self, grace: float = 4) -> AsyncIterator[None]:
        """Read the mailboxes for as long as the block lasts."""
        door = Door(self._counter, self.config.imap)
        door.start()
        try:
            yield
        finally:
            await door.stop(timedelta(seconds=grace))

    def reception(self) -> Reception:
        """The desk as the one mailbox's thread sees it."""
        (door,) = self.config.imap
        return Reception(self._counter, door)

    def taken(self) -> list[str]:
        """The Message-IDs of what was taken, in that order, as often as it was."""
        rows = self.spool.view.all("SELECT key FROM message WHERE door = 'imap' ORDER BY id")
        return [row["key"] for row in rows]

    def logged(self, verb: str = "") -> list[str]:
        lines = self._log.read_text().splitlines()
        return [line for line in lines if line.startswith(verb)]

    async def until(self, condition: Callable[[], T], within: float = 60) -> T:
        """Wait for a condition, and return what it gave."""
        end = time.monotonic() + within
        while not (found := condition()):
            assert time.monotonic() < end, "\n".join(self.logged()[-30:])
            await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def house(place: Path, tables: str, min_free: str = "1 MiB") -> AsyncIterator[House]:
    """Open a spool in ``place``, whose mailboxes are ``tables``; the log goes to a file."""
    config = configured(place, tables, min_free)
    spool = Spool(Folder(config.gateway.spool), Site.of(config.gateway.address))
    spool.open()
    desk = Desk(config, load_all(config.gateway.services), spool.folder, lambda: spool.view)
    counter = Counter(desk, spool)
    with (place / "log").open("a") as stream:
        log.to(stream)
        try:
            yield House(config, spool, counter, place / "log")
        finally:
            log.to(None)
            counter.close()
            spool.close()


def user() -> str:
    """A mailbox's name that no other test has."""
    return f"user{os.urandom(6).hex()}"


def door_of(place: Path, tables: str) -> ImapDoor:
    """The one mailbox of these tables, as it is configured."""
    (door,) = configured(place, tables).imap
    return door


def files(server: Dovecot, user: str, name: str) -> list[str]:
    """The file names of a mailbox's mails: behind ``:2,`` stand their flags."""
    home = server.folder / "mail" / user
    place = home if name == "INBOX" else home / f".{name}"
    return sorted(path.name for part in ("new", "cur") for path in place.glob(f"{part}/*"))


def count(server: Dovecot, user: str, name: str = "INBOX") -> int:
    """How many mails lie in a mailbox, whatever moves meanwhile."""
    return len(files(server, user, name))
