"""A real gateway in a process of its own, as an operator would start it, for the tests to talk to."""

import email
import email.policy
import json
import os
import re
import signal
import smtplib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar

from mailgate.cli import looking
from mailgate.config import load_places
from mailgate.model import Token
from mailgate.run.remains import end_remains
from mailgate.spool import jobs
from tests.witnesses import witness

T = TypeVar("T")

# Whoever waits for what comes waits so long at least (seconds): that costs nothing where it comes,
# and on a busy machine anything may take half a minute.
_LEAST = 60.0

ROOT = Path(__file__).parents[1]
ADDRESS = "jobs@gate.example.org"
ADA = "ada@example.org"

_CONFIG = """
[gateway]
address = "jobs@gate.example.org"
spool = "spool"
services = "services"
min_free = "{min_free}"
[listen.smtp]
port = {port}
[listen.pipe]
trust = true
[run]
paused = {paused}
[run.local]
slots = {slots}
sandbox = "{sandbox}"
kill_after = "1s"
path = "{path}"
[deliver]
{courier}
receipt_after = "{receipt_after}"
max_size = "{max_size}"
[trust]
networks = ["127.0.0.0/8", "::1/128"]
{more}
"""


_TIMES = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", re.MULTILINE)


class Gateway:
    """One gateway's folder, and its daemon while it runs."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.config = folder / "mailgate.toml"
        self.outgoing = folder / "outgoing"
        self.spool = folder / "spool"
        self.log = folder / "log"
        self.port = 0
        self.starts = 0
        self.endings: list[int] = []
        self._at = 0
        self._read: dict[tuple[Path, int, int], EmailMessage] = {}
        self.environment: dict[str, str] = {}
        # The words of a program that starts the daemon and becomes it, as strace -D does.
        self.under: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "services").mkdir(parents=True, exist_ok=True)
        self.configure(**settings)

    def configure(self, **settings: object) -> None:
        """Write the configuration; it counts from the next start."""
        values: dict[str, object] = {
            "min_free": "1 MiB",
            "paused": False,
            "port": 0,
            "slots": 2,
            "sandbox": "none",
            "courier": None,
            "receipt_after": "10m",
            "max_size": "25 MiB",
            "more": "",
            "path": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        } | settings
        courier = values.pop("courier")
        values["paused"] = str(values["paused"]).lower()
        text = _CONFIG.replace("{courier}", str(courier or 'courier = "maildir"\nretry = ["1s"]'))
        if courier is None:
            text += '[deliver.maildir]\npath = "outgoing"\n'
        more = str(values.pop("more"))
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        self.config.write_text(text.replace("{more}", "") + more)

    def service(self, name: str, text: str) -> None:
        """Write a service; it counts from the next start."""
        (self.folder / "services" / f"{name}.toml").write_text(text)

    # --- the daemon -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True, **environment: str) -> None:
        """Start the daemon, and wait until it is ready."""
        self._at = self.log.stat().st_size if self.log.exists() else 0
        self.starts += 1
        if self._process is not None:
            self.endings.append(self._process.wait(0))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.under,
                    *(sys.executable, "-m", "mailgate.cli.main", "serve", "-c", str(self.config)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment(environment),
                start_new_session=True,
            )
        if wait:
            eventually(self._ready_or_dead, 60, lambda: self.logged()[-2000:])

    def _ready_or_dead(self) -> bool:
        ready = self.ready()
        assert self.alive, self.logged()[-2000:]
        return ready

    def ready(self) -> bool:
        """Whether the daemon that was started last has said so."""
        text = _TIMES.sub("", self.log.read_bytes()[self._at :].decode())
        port = re.search(r"listening door=smtp .*port=(\d+)", text)
        if port:
            self.port = int(port[1])
        return "\nready " in "\n" + text

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **more}

    def kill(self) -> None:
        """As a power cut would: no word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end_jobs(self) -> None:
        """Kill what still runs of its jobs: they outlive their gateway, and would the tests."""
        # Its database may be gone, or no database.
        with suppress(sqlite3.Error), closing(self._database()) as spool:
            unended = (
                "SELECT token FROM attempt WHERE state IN ('INTENDED', 'SUBMITTED', 'STARTED')"
            )
            tokens = [Token(token) for (token,) in spool.execute(unended)]
            if tokens:
                end_remains(tokens)

    def _database(self) -> sqlite3.Connection:
        file = f"file:{self.spool / 'spool.db'}?mode=ro"
        return sqlite3.connect(file, uri=True, timeout=30)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_LEAST)

    def died(self, within: float = _LEAST) -> int:
        """Wait until the daemon has died by itself."""
        assert self._process is not None
        return self._process.wait(max(within, _LEAST))

    def logged(self, verb: str = "") -> str:
        """The log's lines without their times, or only those of one verb."""
        text = _TIMES.sub("", self.log.read_text()) if self.log.exists() else ""
        if not verb:
            return text
        return "\n".join(x for x in text.splitlines() if x.startswith(f"{verb} "))

    def run(
        self, *words: str, stdin: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run an operator's command beside the daemon."""
        command, *rest = words
        return subprocess.run(
            [sys.executable, "-m", "mailgate.cli.main", command, "-c", str(self.config), *rest],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=self._environment(more),
            timeout=240,
            check=False,
        )

    def jobs(self) -> list[dict[str, object]]:
        """Every job, newest first, as `mailgate jobs --json` tells it.

        This and what follows are asked often: a process for each would be most of a test's time.
        """
        with looking.spool_of(load_places(self.config)) as spool:
            found = jobs.newest(spool.view, limit=100_000, active=False)
            return [looking.job_facts(job) for job in found]

    def unsent(self, *, besides: str = "") -> int:
        """How many letters `mailgate queue` would list, but those of one state."""
        with closing(self._database()) as spool:
            (count,) = spool.execute(
                "SELECT COUNT(*) FROM letter WHERE state IN ('PLANNED', 'WAITING', 'HELD')"
                " AND state <> ?",
                (besides,),
            ).fetchone()
            return int(count)

    # --- mail -------------------------------------------------------------------------------------

    def send(
        self, mail: EmailMessage | bytes, *, sender: str = ADA, to: str | list[str] = ""
    ) -> None:
        """Send over SMTP; raises smtplib's errors when refused."""
        content = mail if isinstance(mail, bytes) else mail.as_bytes(policy=email.policy.SMTP)
        to = to or (str(mail["To"]) if isinstance(mail, EmailMessage) else "")
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as session:
            session.sendmail(sender, to, content)

    def maildir(self, address: str = ADA) -> Path:
        return self.outgoing / address / "new"

    def saved(self, address: str = ADA) -> list[Path]:
        """The files of every letter that has come."""
        folder = self.maildir(address)
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def letters(self, address: str = ADA) -> list[EmailMessage]:
        """Every letter that has come; each file is read once, however often it is asked for."""
        return [self._letter(path) for path in self.saved(address)]

    def _letter(self, path: Path) -> EmailMessage:
        stat = path.stat()
        key = (path, stat.st_ino, stat.st_mtime_ns)
        if key not in self._read:
            self._read[key] = read(path.read_bytes())
        return self._read[key]

    def results(self, address: str = ADA) -> list[EmailMessage]:
        return [x for x in self.letters(address) if x["Mailgate-Exit"] is not None]

    def await_letters(
        self, count: int, address: str = ADA, within: float = 60
    ) -> list[EmailMessage]:
        """Wait until that many letters have come, and return them."""
        eventually(lambda: len(self.saved(address)) >= count, within, self.logged)
        return self.letters(address)

    def await_results(
        self, count: int, address: str = ADA, within: float = 60
    ) -> list[EmailMessage]:
        eventually(lambda: len(self.results(address)) >= count, within, self.logged)
        return self.results(address)


@contextmanager
def running(folder: Path, **settings: object) -> Iterator[Gateway]:
    """A gateway that is always killed in the end; its services are written before it starts."""
    gateway = Gateway(folder, **settings)
    try:
        with witness(f"the gateway in {folder}", gateway.log.read_text):
            yield gateway
    finally:
        gateway.kill()
        gateway.end_jobs()


def request(
    service: str = "echo",
    body: str = "",
    *,
    attachments: Mapping[str, bytes] | None = None,
    message_id: str | None = None,
    sender: str = ADA,
    **headers: str,
) -> EmailMessage:
    """A mail as a person would send it."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = f"{service}@gate.example.org"
    mail["Subject"] = "please"
    mail["Message-ID"] = message_id or f"<{os.urandom(8).hex()}@example.org>"
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(body or "\n")
    for name, content in (attachments or {}).items():
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail


def read(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)  # type: ignore[return-value]


def text_of(letter: EmailMessage) -> str:
    """The words of a letter."""
    part = letter.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def attached(letter: EmailMessage) -> dict[str, bytes]:
    """A letter's attachments by name."""
    return {str(p.get_filename()): p.get_payload(decode=True) for p in letter.iter_attachments()}  # type: ignore[misc]


def eventually(
    condition: Callable[[], T], within: float = 0, tell: Callable[[], str] = lambda: ""
) -> T:
    """Wait until ``condition`` is true, and return what it gave; for ``within`` seconds, or more."""
    within = max(within, _LEAST)
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {tell()[-3000:]}"
        time.sleep(0.02)


ECHO = """
summary = "Give back what was sent"
command = ["cat"]
stdin = "data"
[input.data]
from = "attachment"
[access]
allow = ["*@example.org"]
"""

TRUE = """
summary = "Do nothing"
command = ["true"]
[access]
allow = ["*@example.org"]
"""


def shell(script: str, more: str = "") -> str:
    """A service that runs a script of the test's own."""
    quoted = json.dumps(script.replace("{", "{{").replace("}", "}}"))
    return (
        f'summary = "A test\'s script"\ncommand = ["sh", "-c", {quoted}]\n{more}\n'
        '[access]\nallow = ["*@example.org"]\n'
    )
