"""The configuration: one TOML file, one frozen tree; every mistake is told at once.

`mailgate.settings.tree` declares the tables and keys. Relative paths start from the file's folder;
in the tree all are absolute.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeVar

from mailgate.errors import BadConfig
from mailgate.settings import mailboxes, secret, toml
from mailgate.settings.engines import Local, Run, Sandbox
from mailgate.settings.kinds import one_of, said
from mailgate.settings.quotas import Quota
from mailgate.settings.schedulers import CLUSTERS, Cluster
from mailgate.settings.schema import Described, Sheet, describe_table
from mailgate.settings.signing import Dkim
from mailgate.settings.toml import Place
from mailgate.settings.tree import (
    Config,
    Courier,
    Deliver,
    Gateway,
    ImapDoor,
    Keep,
    LmtpDoor,
    Maildir,
    PipeDoor,
    Read,
    Relay,
    SmtpDoor,
    Tls,
    Trust,
)

__all__ = [
    "ENGINES",
    "TABLES",
    "Cluster",
    "Config",
    "Courier",
    "Deliver",
    "Dkim",
    "Examined",
    "Gateway",
    "ImapDoor",
    "Keep",
    "LmtpDoor",
    "Local",
    "Maildir",
    "PipeDoor",
    "Quota",
    "Read",
    "Relay",
    "Run",
    "Sandbox",
    "SmtpDoor",
    "Tls",
    "Trust",
    "describe",
    "examine",
    "load",
    "load_places",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Root:
    """The file's top: it has tables only."""


TABLES: Mapping[str, type] = {
    "gateway": Gateway,
    "listen.smtp": SmtpDoor,
    "listen.lmtp": LmtpDoor,
    "listen.pipe": PipeDoor,
    "listen.imap": ImapDoor,
    "read": Read,
    "run": Run,
    "run.local": Local,
    "run.NAME": Cluster,
    **{f"run.{name}": shape for name, shape in CLUSTERS.items()},
    "deliver": Deliver,
    "deliver.maildir": Maildir,
    "deliver.smtp": Relay,
    "deliver.dkim": Dkim,
    "trust": Trust,
    "quota": Quota,
    "keep": Keep,
}

ENGINES = ("local", *CLUSTERS)
"""The modules that a [run.NAME] table may name."""


def describe() -> list[Described]:
    """List every key of every table, for the docs and the test that keeps them complete."""
    rows = [row for table, shape in TABLES.items() for row in describe_table(table, shape)]
    # What all clusters have is told once.
    common = {row.key for row in rows if row.table == "run.NAME"}
    clusters = {f"run.{name}" for name in CLUSTERS}
    return [row for row in rows if row.table not in clusters or row.key not in common]


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A file as far as it could be read: defaults stand in ``config`` for what is wrong.

    ``misplaced`` are those of the mistakes that leave it open where the spool and the jobs lie.
    """

    config: Config
    mistakes: tuple[str, ...]
    misplaced: tuple[str, ...]


def load(file: Path) -> Config:
    """Read and check a configuration.

    Raises
    ------
    BadConfig
        With every mistake, one a line: ``FILE:LINE: table.key: what; expected ...``.
    """
    examined = examine(file)
    if examined.mistakes:
        raise BadConfig("\n".join(examined.mistakes))
    return examined.config


def load_places(file: Path) -> Config:
    """Read a configuration for [gateway] and [run] folder alone; what else is in it may be wrong.

    An operator looks into the spool also while a relay's password file cannot be read, say.

    Raises
    ------
    BadConfig
        With every mistake that matters here, one a line.
    """
    examined = examine(file)
    if examined.misplaced:
        raise BadConfig("\n".join(examined.misplaced))
    return examined.config


def examine(file: Path) -> Examined:
    """Read a configuration as far as it goes, for a check that also looks at what it names.

    Raises
    ------
    BadConfig
        The file cannot be read or is not TOML.
    """
    sheet = Sheet(toml.read(file))
    config = _tree(sheet)
    _check_folders(sheet, config)
    if config.deliver.smtp is not None:
        _check_relay(sheet, config.deliver.smtp)
    if config.deliver.dkim is not None:
        _check_dkim(sheet, config.gateway, config.deliver.dkim)
    if config.smtp is not None:
        _check_tls(sheet, config.smtp)
    if config.lmtp is not None:
        _check_lmtp(sheet, config.lmtp)
    _check_ports(sheet, config)
    return Examined(
        config=config, mistakes=sheet.mistakes, misplaced=sheet.mistakes_at(_tells_a_place)
    )


def _tells_a_place(place: Place) -> bool:
    """Whether it may be a key of [gateway] or [run], or a table that was meant to be one."""
    return len(place) <= 1 or place[0] == "gateway" or (place[0] == "run" and len(place) == 2)


def _tree(sheet: Sheet) -> Config:
    tops = {name.partition(".")[0] for name in TABLES}
    sheet.table((), _Root, tables=tops | {"listen"})
    sheet.table(("listen",), _Root, tables=("smtp", "lmtp", "pipe", "imap"))
    gateway = sheet.table(("gateway",), Gateway)
    return Config(
        path=sheet.document.path.absolute(),
        gateway=gateway,
        smtp=_table(sheet, ("listen", "smtp"), SmtpDoor, wanted=False),
        lmtp=_table(sheet, ("listen", "lmtp"), LmtpDoor, wanted=False),
        pipe=sheet.table(("listen", "pipe"), PipeDoor),
        imap=mailboxes.read(sheet),
        read=sheet.table(("read",), Read),
        run=_run(sheet, gateway.spool / "jobs"),
        deliver=_deliver(sheet),
        trust=sheet.table(("trust",), Trust),
        quota=sheet.table(("quota",), Quota),
        keep=sheet.table(("keep",), Keep),
    )


def _run(sheet: Sheet, folder: Path) -> Run:
    chosen = sheet.word(("run", "engine"), "local")
    tables = sheet.names(("run",))
    if chosen not in tables and chosen not in ENGINES:
        what = f"there is no engine {said(chosen)} and no table [run.{chosen}]"
        sheet.wrong(("run", "engine"), what, f"{one_of(ENGINES)}, or the NAME of a [run.NAME]")
        chosen = "local"
    names = dict.fromkeys((*tables, chosen, *ENGINES))
    return sheet.table(
        ("run",),
        Run,
        tables=tables,
        folder=folder,
        engines={name: _engine(sheet, name) for name in names},
    )


def _engine(sheet: Sheet, name: str) -> Local | Cluster:
    place = ("run", name)
    module = sheet.word((*place, "engine"), name)
    if module in CLUSTERS:
        return sheet.table(place, CLUSTERS[module], engine=module)
    path_of_daemon = os.environ.get("PATH") or os.defpath
    if module not in ENGINES:
        at = (*place, "engine") if sheet.has((*place, "engine")) else place
        sheet.wrong(at, f"there is no engine {said(module)}", one_of(ENGINES))
        return Local()
    return sheet.table(place, Local, engine=module, path=path_of_daemon)


def _deliver(sheet: Sheet) -> Deliver:
    deliver, maildir, smtp = ("deliver",), ("deliver", "maildir"), ("deliver", "smtp")
    courier = sheet.word((*deliver, "courier"), Courier.MAILDIR)
    return sheet.table(
        deliver,
        Deliver,
        tables=("maildir", "smtp", "dkim"),
        # The chosen courier's table is read even where it is absent: it may miss a required key.
        maildir=_table(sheet, maildir, Maildir, wanted=courier == Courier.MAILDIR),
        smtp=_table(sheet, smtp, Relay, wanted=courier == Courier.SMTP),
        dkim=_table(sheet, (*deliver, "dkim"), Dkim, wanted=False),
    )


def _table(sheet: Sheet, place: Place, shape: type[T], *, wanted: bool) -> T | None:
    return sheet.table(place, shape) if wanted or sheet.has(place) else None


# --- what no key alone can tell -------------------------------------------------------------------


def _check_folders(sheet: Sheet, config: Config) -> None:
    seen: dict[str, Place] = {}
    for place, folder in _folders(config):
        first = seen.setdefault(os.path.realpath(folder), place)
        if first != place:
            sheet.wrong(place, f"is the same folder as {'.'.join(first)}", "a folder of its own")
        if os.path.realpath(folder) == "/":
            sheet.wrong(place, "is the root of the file system", "a folder of its own")
        if fault := _folder_fault(folder, needed=place == ("gateway", "templates")):
            sheet.wrong(place, f"{folder} {fault}", "a folder")


def _folder_fault(folder: Path, *, needed: bool) -> str:
    """Say why it is no folder that can be used.

    One that is not needed may be made later; whoever may not enter it is told by what wants to.
    """
    try:
        return "" if stat.S_ISDIR(folder.stat().st_mode) else "is a file"
    except FileNotFoundError:
        return "does not exist" if needed else ""
    except OSError as error:
        return f"cannot be reached ({error.strerror})" if needed else ""


def _folders(config: Config) -> Iterator[tuple[Place, Path]]:
    gateway = config.gateway
    yield ("gateway", "spool"), gateway.spool
    yield ("gateway", "services"), gateway.services
    if gateway.templates is not None:
        yield ("gateway", "templates"), gateway.templates
    yield ("run", "folder"), config.run.folder
    if config.deliver.maildir is not None:
        yield ("deliver", "maildir", "path"), config.deliver.maildir.path


def _check_relay(sheet: Sheet, relay: Relay) -> None:
    place = ("deliver", "smtp")
    if relay.user is None and relay.password_file is not None:
        sheet.wrong((*place, "user"), "is missing", "the user whose password the file holds")
    if relay.user is not None and relay.password_file is None:
        sheet.wrong((*place, "password_file"), "is missing", "the file of the user's password")
    if relay.password_file is not None and (fault := secret.fault(relay.password_file)):
        sheet.wrong((*place, "password_file"), fault, secret.EXPECTED)


def _check_dkim(sheet: Sheet, gateway: Gateway, dkim: Dkim) -> None:
    place = ("deliver", "dkim")
    own = gateway.address.rpartition("@")[2]
    if own and not f".{own}".endswith(f".{dkim.domain}"):
        sheet.wrong((*place, "domain"), f"is not {own}, nor above it", f'"{own}"')
    if fault := secret.fault(dkim.key_file):
        sheet.wrong((*place, "key_file"), fault, secret.EXPECTED)


def _check_tls(sheet: Sheet, door: SmtpDoor) -> None:
    place = ("listen", "smtp")
    pair = {"tls_cert": door.tls_cert, "tls_key": door.tls_key}
    if any(pair.values()) and not all(pair.values()):
        name = next(name for name, file in pair.items() if file is None)
        sheet.wrong((*place, name), "is missing", "both tls_cert and tls_key, or neither")
    for name in ("port_tls", "users"):
        if getattr(door, name) is not None and not any(pair.values()):
            sheet.wrong((*place, name), "needs TLS", "tls_cert and tls_key beside it")
    if door.tls_key is not None and (fault := secret.fault(door.tls_key)):
        sheet.wrong((*place, "tls_key"), fault, secret.EXPECTED)
    # Before the first `mailgate password` there is none, and nobody can log in.
    if door.users and os.path.lexists(door.users) and (fault := secret.fault(door.users)):
        sheet.wrong((*place, "users"), fault, secret.EXPECTED)


def _check_lmtp(sheet: Sheet, door: LmtpDoor) -> None:
    place = ("listen", "lmtp")
    if door.socket is None:
        return
    for name in ("host", "port"):
        if sheet.has((*place, name)):
            sheet.wrong((*place, name), "stands beside socket", "a socket, or host and port")
    # sun_path of unix(7), with the NUL at its end.
    if len(os.fsencode(door.socket)) > 107:
        sheet.wrong((*place, "socket"), "is too long a path", "at most 107 bytes")


def _check_ports(sheet: Sheet, config: Config) -> None:
    listening = list(_ports(config))
    for number, (place, host, port) in enumerate(listening):
        for first, its_host, its_port in listening[:number]:
            if port and port == its_port and _meet(host, its_host):
                at = host if host == its_host else f"{its_host} and at {host}"
                what = f"is the same port as {'.'.join(first)} ({port} at {at})"
                sheet.wrong(place, what, "a port of its own")
                break


def _ports(config: Config) -> Iterator[tuple[Place, str, int]]:
    if config.smtp is not None:
        yield ("listen", "smtp", "port"), config.smtp.host, config.smtp.port
        if config.smtp.port_tls is not None:
            yield ("listen", "smtp", "port_tls"), config.smtp.host, config.smtp.port_tls
    if config.lmtp is not None and config.lmtp.socket is None:
        yield ("listen", "lmtp", "port"), config.lmtp.host, config.lmtp.port


def _meet(host: str, other: str) -> bool:
    """Whether nobody can listen at both on one port. What another name means only the DNS knows."""
    return host.lower() == other.lower() or any(
        # asyncio has "::" listen on IPv6 alone.
        a == b or (a.version == b.version and (a.is_unspecified or b.is_unspecified))
        for a in _addresses(host)
        for b in _addresses(other)
    )


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    try:
        names = ("127.0.0.1", "::1") if host.lower() == "localhost" else (host,)
        return [ip_address(name) for name in names]
    except ValueError:
        return []
