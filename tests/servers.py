"""Real servers and programs for the tests: found or skipped, started on loopback, stopped at the end."""

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.witnesses import witness

# Debian keeps servers where only root's PATH looks.
PLACES = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"]
)

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = mx.mg.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
recipient_delimiter = +
virtual_mailbox_domains = mg.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
relay_domains = gate.mg.test
relay_recipient_maps =
transport_maps = inline:{{ {{ gate.mg.test=smtp:[{host}]:{port} }}, {{ jobs@mg.test=smtp:[{host}]:{port} }} }}
default_transport = error:no outside world
relay_transport = error:no outside world
alias_maps =
local_recipient_maps =
message_size_limit = 209715200
mailbox_size_limit = 0
smtputf8_enable = yes
minimal_backoff_time = 1s
maximal_backoff_time = 5s
queue_run_delay = 1s
service_throttle_time = 1s
transport_retry_time = 1s
qmgr_ipc_timeout = 10s
"""
# Its folders in the queue, which "postfix check" makes with sixty processes, and whose they are.
QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace".split()

DOVECOT_CONF = """\
{first}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = {protocols}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_verbose = yes
auth_username_format = %Ln
recipient_delimiter = +
mail_location = maildir:{folder}/mail/%n
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%n/home
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
{extra}
"""


# The locks of the ports that were given away last: a test takes a few.
_PORTS: deque[int] = deque()
_KEPT = 100


def require(name: str) -> str:
    """Return the program's path, or skip (fail, where every real server is required)."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        pytest.skip(f"not found: {name}")
    return found


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, and no connection's own meanwhile.

    The system takes those from a range: what is restarted on a port in it may find that taken. Nor
    does another test get it that asks here, in this process or in another, for as long as one lasts.
    """
    places = Path(tempfile.gettempdir(), f"mailgate-ports.{os.getuid()}")
    places.mkdir(exist_ok=True)
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    while True:
        port = random.SystemRandom().randrange(first * 2 // 3, first)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            taken = os.open(places / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(taken)
            else:
                _PORTS.append(taken)
                if len(_PORTS) > _KEPT:
                    os.close(_PORTS.popleft())
                return port


def eventually(condition: Callable[[], object], *, seconds: float = 60) -> object:
    """Wait for ``condition()`` to be true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.05)
    return found


def copied(folder: Path, to: Path) -> None:
    """Copy a folder whose files somebody else writes and renames meanwhile."""

    def whole() -> bool:
        shutil.rmtree(to, ignore_errors=True)
        with suppress(OSError):
            shutil.copytree(folder, to)
            return True
        return False

    eventually(whole)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost and 127.0.0.1; return it and its key."""
    openssl = require("openssl")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    return cert, key


# --- Postfix ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Postfix:
    """A running Postfix.

    Mail to ``*@gate.mg.test`` and ``jobs[+x]@mg.test`` goes to the gateway, other ``*@mg.test`` into
    a Maildir, of which ``mailbox(address)`` shows one address's part; there is no outside world.
    """

    port: int
    folder: Path
    patience: float = 10

    def mailbox(self, address: str) -> list[bytes]:
        """Return the mails that were delivered to ``address``, in the order of their file names."""
        # virtual(8) allows no name of an address in a path: one Maildir has them all.
        told = f"Delivered-To: {address}\n".encode()
        mails = [path.read_bytes() for path in sorted(self.folder.glob("mail/box/new/*"))]
        return [mail for mail in mails if told in mail.partition(b"\n\n")[0] + b"\n"]

    def queue(self) -> list[dict[str, object]]:
        """Return the mails that wait, as postqueue(1) tells them in JSON."""
        told = self._run("postqueue", "-j").stdout
        return [json.loads(line) for line in told.splitlines()]

    def flush(self) -> None:
        """Have every waiting mail tried now."""
        self._run("postqueue", "-f")

    def log(self) -> str:
        """Return everything that it has logged."""
        return (self.folder / "mail.log").read_text(errors="replace")

    def stop(self) -> None:
        """Stop it; mails on the way stay in its queue. What does not end in time is killed.

        Not by "postfix stop", which asks by "master -t" whether it has ended: that logs, and waits
        for ever for a postlogd that has ended first.
        """
        master = self.master()
        if master is None:
            return
        os.kill(master, signal.SIGTERM)
        try:
            eventually(lambda: self.master() is None, seconds=self.patience)
        except AssertionError:
            with suppress(ProcessLookupError):
                os.killpg(master, signal.SIGKILL)
            eventually(lambda: self.master() is None)

    def master(self) -> int | None:
        """Return the process that all others are children of, None while it does not run."""
        try:
            number = int((self.folder / "queue" / "pid" / "master.pid").read_text())
            # The file outlives it: another program may have its number.
            ours = Path(f"/proc/{number}/cwd").samefile(self.folder / "queue")
        except (OSError, ValueError):
            return None
        return number if ours else None

    def start(self) -> None:
        """Start it; it listens when this returns.

        By its master alone: what "postfix start" looks at first takes seconds on a busy machine.
        """
        # What is left of the one before may be in its way for a moment.
        eventually(lambda: self._run("master", "-w", check=False).returncode == 0)

    def _run(
        self, program: str, *words: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [require(program), "-c", self.folder / "etc", *words],
            check=check,
            # Not pipes: the master process would hold them open.
            stdout=subprocess.PIPE if program != "master" else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PATH": PLACES},
            text=True,
        )


@contextmanager
def postfix(
    *, gateway: tuple[str, int] = ("127.0.0.1", 1), extra: str = "", services: str = ""
) -> Iterator[Postfix]:
    """Run a Postfix of our own for as long as the block lasts.

    ``gateway`` is the door that gate.mg.test is routed to; ``extra`` are further main.cf lines, which
    win over the others, and ``services`` further lines of master.cf.
    """
    require("postfix")
    if os.geteuid() != 0:
        pytest.skip("not found: postfix (which only root can start)")
    with folder_for_all("mailgate-postfix-") as folder:
        running = Postfix(free_port(), folder)
        try:
            _configure(running, gateway, extra, services)
            with witness("Postfix", running.log):
                running.start()
                yield running
        finally:
            running.stop()


@contextmanager
def folder_for_all(prefix: str) -> Iterator[Path]:
    """Make a folder that every user can enter, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_open_to_all()))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_to_all() -> Path:
    for folder in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if all(place.stat().st_mode & 1 for place in (folder, *folder.parents)):
            return folder
    raise AssertionError("not every user can enter a temporary folder")


def _configure(running: Postfix, gateway: tuple[str, int], extra: str, services: str) -> None:
    folder = running.folder
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir(mode=0o755)
    shutil.chown(folder / "data", "postfix")
    shutil.chown(folder / "mail", "nobody")
    (folder / "mail.log").touch(mode=0o600)
    _make_queues(folder / "queue")
    nobody = (folder / "mail").stat().st_uid
    host, port = gateway
    text = MAIN_CF.format(folder=folder, uid=nobody, gid=nobody, host=host, port=port)
    # Each of its programs logs each line that a later one overrides, at each start: with its log's
    # socket full, all of them wait for the one that empties it, which is not started yet.
    later = {line.partition("=")[0].strip() for line in extra.splitlines()}
    kept = [x for x in text.splitlines() if x.partition("=")[0].strip() not in later]
    main = folder / "etc" / "main.cf"
    main.write_text("\n".join([*kept, extra, ""]))
    # Each of its programs reads one anew until it is two seconds old.
    os.utime(main, (0, 0))
    shipped = Path("/usr/share/postfix/master.cf.dist").read_text()
    (folder / "etc" / "master.cf").write_text("".join(_services(shipped, running.port)) + services)


def _make_queues(folder: Path) -> None:
    (folder / "pid").mkdir()
    for name in QUEUES:
        (folder / name).mkdir(mode=0o700)
        shutil.chown(folder / name, "postfix")
    # What postdrop(1) writes into, and what everybody talks to.
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        (folder / name).mkdir()
        shutil.chown(folder / name, "postfix", "postdrop")
        (folder / name).chmod(mode)


def _services(shipped: str, port: int) -> Iterator[str]:
    """Rewrite Debian's master.cf: smtpd on our port, nothing in a chroot."""
    for line in shipped.splitlines(keepends=True):
        words = line.split()
        if len(words) < 8 or line[0] in "# \t":
            yield line
            continue
        if words[0] == "smtp" and words[1] == "inet":
            words[0] = f"127.0.0.1:{port}"
        words[4] = "n"
        yield " ".join(words) + "\n"


# --- Dovecot ----------------------------------------------------------------------------------------


@dataclass
class Dovecot:
    """A running Dovecot: IMAP and LMTP for users of any name, whose password is ``secret``.

    A user's name is the local part without its extension, lower-cased; ``certificate`` (self-signed)
    is what ``imaps``, and STARTTLS on ``imap``, show.
    """

    folder: Path
    certificate: Path
    protocols: str = "imap lmtp"
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    lmtp: int = field(default_factory=free_port)
    _master: subprocess.Popen[bytes] | None = None

    def mailbox(self, user: str, name: str = "INBOX") -> list[bytes]:
        """Return the mails in one of a user's mailboxes, in the order of their file names."""
        place = self._maildir(user, name)
        return [path.read_bytes() for path in sorted([*place.glob("new/*"), *place.glob("cur/*")])]

    def deposit(self, user: str, mails: Iterable[bytes], name: str = "INBOX") -> None:
        """Lay mails into a user's mailbox, thousands at once, beside the server."""
        place = self._maildir(user, name)
        home = self.folder / "mail" / user
        for folder in (home, place, *(place / part for part in ("tmp", "new", "cur"))):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.chown(folder, "nobody", "nogroup")
        owner = home.stat()
        for number, mail in enumerate(mails):
            # It numbers them in the order of their times, as far as it can read these.
            seconds, rest = divmod(time.time_ns(), 10**9)
            unique = f"{seconds}.M{rest // 1000:06}P{os.getpid()}Q{number}.localhost"
            (place / "tmp" / unique).write_bytes(mail)
            # Once it is in new the server may have moved it on at any moment.
            os.chown(place / "tmp" / unique, owner.st_uid, owner.st_gid)
            (place / "tmp" / unique).rename(place / "new" / unique)

    def log(self) -> str:
        """Return everything that it has logged."""
        return (self.folder / "dovecot.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it listens on each of its ports."""
        words = [require("dovecot"), "-F", "-c", self.folder / "dovecot.conf"]
        quiet = subprocess.DEVNULL
        # A group of its own: all its processes can be killed at once.
        self._master = subprocess.Popen(
            words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        # Where it cannot have one of them it ends, a moment after it had the others.
        ports = {"imap": (self.imap, self.imaps), "lmtp": (self.lmtp,)}
        ours = [port for name in self.protocols.split() for port in ports[name]]
        eventually(lambda: all(map(_listens, ours)))

    def stop(self) -> None:
        """Stop it; clients are told."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all its processes, as a power cut would."""
        self._end(signal.SIGKILL)

    def _maildir(self, user: str, name: str) -> Path:
        home = self.folder / "mail" / user
        return home if name == "INBOX" else home / f".{name}"

    def _end(self, number: signal.Signals) -> None:
        if self._master is None:
            return
        if number == signal.SIGTERM:
            self._master.terminate()
            self._master.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self._master.pid, signal.SIGKILL)
        self._master.wait(30)
        self._master = None


@contextmanager
def dovecot(*, extra: str = "", first: str = "", protocols: str = "imap lmtp") -> Iterator[Dovecot]:
    """Run a Dovecot of our own for as long as the block lasts.

    ``extra`` are further lines of dovecot.conf, which win over the others; a passdb of ``first`` is
    asked before ours.
    """
    require("dovecot")
    if os.geteuid() != 0:
        pytest.skip("not found: dovecot (which only root can start)")
    with folder_for_all("mailgate-dovecot-") as folder:
        cert, key = certificate(folder)
        running = Dovecot(folder, cert, protocols)
        for name in ("run", "state", "mail"):
            (folder / name).mkdir(mode=0o755)
        shutil.chown(folder / "mail", "nobody", "nogroup")
        text = DOVECOT_CONF.format(
            folder=folder,
            certificate=cert,
            key=key,
            imap=running.imap,
            imaps=running.imaps,
            lmtp=running.lmtp,
            protocols=protocols,
            first=first,
            extra=extra,
        )
        (folder / "dovecot.conf").write_text(text)
        try:
            with witness("Dovecot", running.log):
                running.start()
                yield running
        finally:
            # Its leisurely end, a second, would be every test's.
            running.kill()
