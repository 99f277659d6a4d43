"""mailgate check: read the configuration, every service and every template; tell every mistake."""

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

from mailgate.cli.doubts import doubts
from mailgate.cli.machine import looked
from mailgate.cli.options import parser, services_of
from mailgate.config import Config, Examined, Tls, Trust, examine
from mailgate.desk import answers
from mailgate.errors import BadConfig, Transient
from mailgate.log import escaped
from mailgate.parse.address import mailboxes
from mailgate.receive.imap.token import missing
from mailgate.reply.compose import Writer
from mailgate.reply.dkim import Signer
from mailgate.services import Service
from mailgate.users import Users


@dataclass(slots=True, kw_only=True)
class Found:
    """What there is to say of a configuration; usable where ``mistakes`` is empty."""

    config: Config | None = None
    services: Mapping[str, Service] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def run(words: list[str]) -> int:
    """Check; mistakes and warnings go to standard error. Exit 0, or 78 if there is a mistake.

    With ``--live`` also 70 where the letter or the job fails for good, 75 where it may do later.
    """
    made = parser("check", __doc__)
    made.add_argument(
        "--live",
        action="store_true",
        help="also open each mailbox, send a test letter, and run a test job",
    )
    made.add_argument(
        "--to",
        metavar="ADDRESS",
        help="whom the test letter goes to (default: the postmaster of the gateway's domain)",
    )
    given = made.parse_args(words)
    if given.to is not None and not _is_address(given.to):
        made.error(f'--to: "{given.to}" is no mail address such as ada@example.org')
    if given.to is not None and not given.live:
        made.error("--to says whom the test letter of --live goes to: give both")
    file = given.config
    found = look(file)
    for mistake in found.mistakes:
        print(mistake, file=sys.stderr)
    for warning in found.warnings:
        print(f"{file}: warning: {warning}", file=sys.stderr)
    if found.mistakes:
        count = len(found.mistakes)
        print(f"{file}: {count} mistake{'s' if count > 1 else ''}", file=sys.stderr)
        return BadConfig.exit_status
    print(f"{file}: in order; services: {', '.join(found.services) or 'none'}")
    if given.live and found.config is not None:
        return _live(found.config, found.services, given.to)
    return 0


def _is_address(word: str) -> bool:
    return [box.address for box in mailboxes(word) if not box.flaw] == [word]


def _live(config: Config, services: Mapping[str, Service], to: str | None) -> int:
    """Try letter and job; return the graver exit status of the two."""
    from mailgate.live import live  # noqa: PLC0415 - all rooms; a plain check needs none of them

    tried = asyncio.run(live(config, services, to=to))
    for one in tried:
        print(escaped(f"{one.what}: {one.came}"), file=sys.stderr if one.status else sys.stdout)
    # What the operator must mend (70, 78) comes before what may work later (75).
    statuses = {one.status for one in tried} - {0}
    return min(statuses - {Transient.exit_status} or statuses, default=0)


def look(file: Path) -> Found:
    """Find all that can be said without changing anything outside; raises nothing.

    Services and templates are read although the configuration has mistakes, as far as it says
    where they are.
    """
    found = Found()
    try:
        examined = examine(file)
    except BadConfig as error:
        found.mistakes += str(error).splitlines()
        return found
    found.config = examined.config
    found.mistakes += examined.mistakes
    _look_at_services(found, examined.config)
    _look_at_templates(found, examined.config)
    _look_at_logins(found, examined)
    _look_at_key(found, examined)
    found.warnings += [escaped(warning) for warning in _warnings(examined.config)]
    try:
        found.warnings += [escaped(words) for words in looked(examined.config, found.services)]
    except BadConfig as error:
        found.mistakes.append(f"{file}: {escaped(str(error))}")
    return found


def _look_at_services(found: Found, config: Config) -> None:
    try:
        found.services = services_of(config)
    except BadConfig as error:
        found.mistakes += str(error).splitlines()
        return
    if not found.services:
        found.warnings.append(f"there is no service in {config.gateway.services}")
    found.warnings += _unlimited(found.services.values())
    for service in found.services.values():
        found.warnings += [f"{service.name}: {escaped(words)}" for words in doubts(service)]
        if service.network and (lists := _holding_this_machine(config.trust)):
            found.warnings.append(
                f"{service.name}: network is true, and [trust] {lists} holds this machine: its"
                " jobs can send requests in anybody's name"
            )


def _unlimited(services: Iterable[Service]) -> Iterator[str]:
    """Yield one line for all services whose jobs may fill the disk."""
    names = sorted(service.name for service in services if service.limits.disk is None)
    if names:
        yield f"[limits] disk is not set: a job of these may fill the disk: {', '.join(names)}"


def _holding_this_machine(trust: Trust) -> str:
    """Name the lists by which who connects from here, a job say, can be believed as anybody."""
    lists = {"networks": trust.networks, "hops": trust.hops if trust.authserv_id else ()}
    here = [ip_address("127.0.0.1"), ip_address("::1")]
    holding = (
        name
        for name, networks in lists.items()
        if any(network.is_loopback or h in network for network in networks for h in here)
    )
    return " and ".join(holding)


def _look_at_templates(found: Found, config: Config) -> None:
    folder = config.gateway.templates
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 - it raises nothing
        return  # told already
    try:
        Writer(folder).check(answers())
    except BadConfig as error:
        found.mistakes += str(error).splitlines()


def _look_at_key(found: Found, examined: Examined) -> None:
    """Sign with the key that letters are signed with."""
    dkim = examined.config.deliver.dkim
    if dkim is None or examined.mistakes:
        return
    try:
        Signer(dkim)
    except BadConfig as error:
        found.mistakes += [escaped(line) for line in str(error).splitlines()]


def _look_at_logins(found: Found, examined: Examined) -> None:
    """Look into the certificate and the users as the door would; a file that is wrong is told."""
    door = examined.config.smtp
    if door is None or examined.mistakes:
        return
    try:
        if door.tls_cert is not None and door.tls_key is not None:
            from mailgate.receive.smtp import context  # noqa: PLC0415 - most have none

            context(door.tls_cert, door.tls_key)
        if door.users is not None and not Users.read(door.users):
            found.warnings.append(
                "[listen.smtp] users: nobody can log in yet; 'mailgate password' makes a user"
            )
    except BadConfig as error:
        found.mistakes += [escaped(line) for line in str(error).splitlines()]


def _warnings(config: Config) -> Iterator[str]:
    for network in config.trust.networks:
        yield (
            f"[trust] networks: whoever can send mail from {network}{_width(network)} can send"
            " requests in anybody's name: name your own mail server only"
        )
    yield from _results_warnings(config.trust, mailboxes=bool(config.imap))
    if config.pipe.trust:
        yield (
            "[listen.pipe] trust: whoever may run 'mailgate receive' with this file can send"
            " requests in anybody's name; let only the mail server run it"
        )
    yield from _mailbox_warnings(config)
    trusted = config.pipe.trust or any(one.trust for one in config.imap)
    trusted = trusted or (config.smtp is not None and config.smtp.users is not None)
    if not config.trust.networks and not config.trust.authserv_id and not trusted:
        yield "nothing vouches for any sender, so that no request is taken: see [trust]"
    if config.lmtp is not None and config.lmtp.socket is None and not _is_here(config.lmtp.host):
        yield (
            f"[listen.lmtp] host: whoever reaches {config.lmtp.host} is taken for a mail server of"
            " the site, and may have all sessions: let nobody else in"
        )
    relay = config.deliver.smtp
    if relay is not None and relay.user is not None and relay.tls is Tls.NONE:
        yield '[deliver.smtp] tls is "none": the password goes over the network as it stands'


def _mailbox_warnings(config: Config) -> Iterator[str]:
    for one in config.imap:
        if one.trust:
            yield (
                f"[{one.table}] trust: whoever can send mail to the mailbox can send requests in"
                " anybody's name"
            )
        if one.tls is Tls.NONE and not _is_here(one.host):
            yield f'[{one.table}] tls is "none": the password goes over the network as it stands'
        if one.token_command is not None and missing(one.token_command, one.folder):
            yield f"[{one.table}] token_command: there is no program {one.token_command[0]}"


def _is_here(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _results_warnings(trust: Trust, *, mailboxes: bool) -> Iterator[str]:
    for network in trust.hops:
        yield (
            f"[trust] hops: whoever can send mail from {network}{_width(network)} can write"
            " Authentication-Results, and so send requests in anybody's name: name only the hosts"
            " that hand on what your own mail server took"
        )
    if trust.authserv_id is None:
        if trust.hops:
            yield (
                "[trust] hops: without authserv_id nobody's Authentication-Results are believed:"
                ' name the server that adds them, as in authserv_id = "mx.example.org"'
            )
        return
    if not trust.hops and not mailboxes:
        yield (
            "[trust] authserv_id: it is believed from nobody: name in hops the hosts that hand its"
            " mail to the gateway, or read it from a mailbox ([listen.imap])"
        )
    yield (
        f"[trust] authserv_id: {trust.authserv_id} must remove every Authentication-Results header"
        " that claims to be its own from mail that it takes (RFC 8601, section 5), and have that"
        " very name in its Received header; else anybody can send requests in anybody's name"
    )


def _width(network: IPv4Network | IPv6Network) -> str:
    if network.prefixlen == 0:
        return " (the whole internet)"
    return "" if network.is_private or network.is_loopback else " (public addresses)"
