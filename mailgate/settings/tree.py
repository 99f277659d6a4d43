"""Every table and key of the configuration; a key is a line with default, range and meaning."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mailgate.settings.engines import Run
from mailgate.settings.kinds import (
    boolean,
    duration,
    integer,
    listed,
    lower,
    network,
    path,
    size,
    text,
    word,
)
from mailgate.settings.quotas import Quota
from mailgate.settings.schema import key
from mailgate.settings.signing import Dkim

# jobs+job.ID.KEY must fit the 64 octets of a local part (RFC 5321 section 4.5.3.1.1).
_ADDRESS = re.compile(
    r"[a-z0-9](?:[a-z0-9._-]{0,22}[a-z0-9])?@(?=.{1,190}$)"
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    re.IGNORECASE,
)
_TAKEN = frozenset({"postmaster", "mailer-daemon"})
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,252}")
_PORT = 65535
# A daemon with more is a slip of the finger.
_MOST_WORKERS = 64


class Courier(StrEnum):
    """How letters leave."""

    MAILDIR = "maildir"
    SMTP = "smtp"


class Unknown(StrEnum):
    """What becomes of mail whose sender nothing vouches for."""

    REFUSE = "refuse"
    CONFIRM = "confirm"


class Tls(StrEnum):
    """How a connection to a server is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


def _is_address(value: str) -> bool:
    local = value.lower().partition("@")[0]
    return _ADDRESS.fullmatch(value) is not None and local not in _TAKEN


_address = lower(
    text(
        'an address such as "jobs@gate.example.org", its local part at most 24 letters, digits or '
        '"._-", and neither "postmaster" nor "mailer-daemon"',
        _is_address,
    )
)
_host = text("a host's name or IP address", lambda value: _HOST.fullmatch(value) is not None)
_folder = text("a mailbox's name", lambda value: bool(value) and value.isprintable())
_user = text("a user's name", lambda value: bool(value) and value.isprintable())


# --- the tree -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """[gateway]: who the gateway is and where its files lie."""

    address: str = key(
        _address,
        doc="its own; services are NAME@ its domain, and jobs+NAME@ for jobs@; lower-cased",
        example="jobs@gate.example.org",
    )
    spool: Path = key(path(), "spool", doc="the folder of database and mail; on a local disk")
    services: Path = key(path(), "services", doc="the folder of services, one file NAME.toml each")
    templates: Path | None = key(
        path(), None, doc="a folder whose templates override the shipped ones, each by its name"
    )
    min_free: int = key(
        size("0"),
        "1 GiB",
        doc="with less free disk under the spool mail is answered 452, and with less under it or"
        " run.folder no job is started",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpDoor:
    """[listen.smtp]: the built-in SMTP door; without this table there is none."""

    host: str = key(_host, "127.0.0.1", doc="the address it listens at")
    port: int = key(integer(0, _PORT), 8025, doc="the port it listens at; 0 takes any free one")
    max_size: int = key(size(), "50 MiB", doc="the largest mail it takes; announced as SIZE")
    tls_cert: Path | None = key(
        path(), None, doc="the file of its certificate chain (PEM): STARTTLS is offered"
    )
    tls_key: Path | None = key(
        path(), None, doc="the file of the certificate's key (PEM); not readable by everybody"
    )
    port_tls: int | None = key(
        integer(0, _PORT), None, doc="a port beside the other, where TLS comes first, such as 465"
    )
    users: Path | None = key(
        path(),
        None,
        doc="the file of who may log in behind TLS, made by `mailgate password`; such a user may"
        " write as the addresses that the file names, from anywhere",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LmtpDoor:
    """[listen.lmtp]: the LMTP door, for the site's own mail server; without this table none."""

    host: str = key(_host, "127.0.0.1", doc="the address it listens at")
    port: int = key(integer(0, _PORT), 8024, doc="the port it listens at; 0 takes any free one")
    socket: Path | None = key(
        path(),
        None,
        doc="a unix socket instead of address and port, for the gateway's user and group; who"
        " comes by it counts as 127.0.0.1",
    )
    max_size: int = key(size(), "50 MiB", doc="the largest mail it takes; announced as SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeDoor:
    """[listen.pipe]: ``mailgate receive``."""

    trust: bool = key(
        boolean(),
        default=False,
        doc="true believes the From of every mail that whoever may run the program pipes in",
    )
    max_size: int = key(size(), "50 MiB", doc="the largest mail it takes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapDoor:
    """[listen.imap], or several [listen.imap.NAME]: a mailbox that is read.

    ``table`` is where it stands in the file; ``folder``, the file's, is where commands run.
    """

    host: str = key(
        _host,
        doc="the mail server's name or address; each [listen.imap.NAME] is one more mailbox",
        example="mail.example.org",
    )
    port: int = key(integer(1, _PORT), 993, doc="its port", shown='with tls = "tls" 993, else 143')
    tls: Tls = key(word(Tls), "tls", doc="starttls or tls: a server that cannot is not used")
    ca_file: Path | None = key(
        path(), None, doc="whose certificates are believed", shown="the system's"
    )
    user: str = key(_user, doc="the name to log in with", example="gateway")
    password_file: Path | None = key(
        path(), None, doc="the file of the password: its first line; not readable by everybody"
    )
    token_command: tuple[str, ...] | None = key(
        listed(text(), least=1),
        None,
        doc="a program and its arguments that prints an XOAUTH2 token; run at each login",
    )
    mailbox: str = key(_folder, "INBOX", doc="the mailbox that is read")
    done: str = key(_folder, "Done", doc="where mail goes that is safe in the spool")
    failed: str = key(_folder, "Failed", doc="where mail goes that is refused for good")
    max_size: int = key(size(), "50 MiB", doc="the largest mail it takes")
    trust: bool = key(
        boolean(), default=False, doc="true believes the From of every mail in the mailbox"
    )
    poll: timedelta = key(
        duration("1s", "25m"),
        "2m",
        doc="it is looked for new mail so often; a server with IDLE tells of it at once",
    )
    timeout: timedelta = key(duration("1s", "10m"), "30s", doc="for each answer of the server")
    retry: tuple[timedelta, ...] = key(
        listed(duration("1s", "1d"), least=1),
        ["5s", "30s", "2m", "10m"],
        doc="the waits after a lost connection, and for mail that cannot be taken now; the last"
        " repeats, and is the wait after a refused login",
    )
    table: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """[read]: the worker processes that read mail."""

    workers: int = key(integer(1, _MOST_WORKERS), 1, doc="how many read at once")
    time_limit: timedelta = key(
        duration(), "20s", doc="for one mail; one that takes longer twice goes to hold"
    )
    memory: int = key(size("128 MiB"), "1 GiB", doc="the most address space a worker may take")


@dataclass(frozen=True, slots=True, kw_only=True)
class Maildir:
    """[deliver.maildir]: letters are written into Maildir folders."""

    path: Path = key(
        path(),
        doc="letters go to <path>/<address>/{tmp,new,cur}",
        example="outgoing",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """[deliver.smtp]: letters go to one SMTP relay."""

    host: str = key(_host, "127.0.0.1", doc="the relay's name or address")
    port: int = key(integer(1, _PORT), 25, doc="the relay's port")
    timeout: timedelta = key(duration("1s", "10m"), "30s", doc="for each answer of the relay")
    tls: Tls = key(word(Tls), "none", doc="starttls or tls: a relay that cannot is not used")
    user: str | None = key(text("a user's name"), None, doc="the name to log in with")
    password_file: Path | None = key(
        path(), None, doc="the file of the password: its first line; not readable by everybody"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """[deliver]: how letters leave."""

    courier: Courier = key(word(Courier), "maildir", doc="which [deliver.NAME] table is used")
    max_size: int = key(
        # Below it not even the words of an answer fit.
        size("4 KiB"),
        "25 MiB",
        doc="of one letter; what does not fit is compressed, then sent in parts",
    )
    html: bool = key(
        boolean(),
        default=True,
        doc="letters say the same as HTML too, beside their text",
    )
    receipt_after: timedelta = key(
        duration("0s"), "60s", doc="a job that has not ended by then gets a receipt"
    )
    retry: tuple[timedelta, ...] = key(
        listed(duration("1s", "7d"), least=1),
        ["10s", "30s", "2m", "10m", "1h"],
        doc="the waits after refusals 4xx; the last repeats",
    )
    give_up: timedelta = key(
        duration("1s", "60d"), "5d", doc="after so long of refusals 4xx a letter is held"
    )
    letters_an_hour: int | None = key(
        integer(1, 10_000_000), None, doc="that leave within an hour, in all; more wait"
    )
    letters_an_hour_each: int | None = key(
        integer(1, 10_000_000), None, doc="that leave within an hour to one recipient; more wait"
    )
    maildir: Maildir | None = None
    smtp: Relay | None = None
    dkim: Dkim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """[trust]: whose From is believed."""

    networks: tuple[IPv4Network | IPv6Network, ...] = key(
        listed(network()),
        [],
        doc="SMTP and LMTP clients whose From is believed, for mail that started with them",
    )
    authserv_id: str | None = key(
        lower(_host),
        None,
        doc="the mail server whose Authentication-Results are believed: its name there, and after"
        " `by` in its Received header",
        example="mx.example.org",
    )
    hops: tuple[IPv4Network | IPv6Network, ...] = key(
        listed(network()),
        [],
        doc="SMTP and LMTP clients that hand on what that server took; nobody else can reach them",
    )
    unknown: Unknown = key(
        word(Unknown),
        "refuse",
        doc="mail whose sender nothing vouches for; confirm: it is taken, its sender is asked by"
        " mail, and it is acted on once he confirms",
    )
    confirm_within: timedelta = key(
        duration("1s", "30d"), "3d", doc="after so long what was not confirmed is gone"
    )
    confirm_letters: int = key(
        integer(0, 1_000_000),
        100,
        doc="letters that ask for a confirmation, at most so many in 24 hours; never more than one"
        " an address",
    )
    confirm_mails: int = key(
        integer(1, 1_000_000), 100, doc="unconfirmed mails that wait, at most; then 451 at the door"
    )
    confirm_size: int = key(
        size(),
        "100 MiB",
        doc="of the unconfirmed mails that wait, in all; then 452 at the door; one of over half of"
        " this is refused",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """[keep]: how long things stay."""

    mail: timedelta = key(duration("0s"), "7d", doc="raw mail, after its job ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration; ``path`` is the file it was read from."""

    path: Path
    gateway: Gateway
    smtp: SmtpDoor | None
    lmtp: LmtpDoor | None
    pipe: PipeDoor
    imap: tuple[ImapDoor, ...]
    read: Read
    run: Run
    deliver: Deliver
    trust: Trust
    quota: Quota
    keep: Keep
