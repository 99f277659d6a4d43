"""Run one real job by mail on this machine, from the request to the checked reply: ``make demo``.

A gateway of its own is started on loopback, a request with sixteen globin sequences is mailed to
its service ``align``, and the reply is read back with ``accat``. All of it stays in ``demo/`` of
the checkout, or in the folder given as an argument; nothing is left running.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
HERE = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else CHECKOUT / "demo"
REPLY = HERE / "reply.eml"
LOG = HERE / "gateway.log"
GLOBINS = Path(__file__).with_name("globins.fa")

SENDER = "you@example.org"
SERVICE = "align@gate.example.org"
# The job itself takes half a second; a machine busy with other things may need far longer.
PATIENCE = 45.0
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

CONFIG = """\
[gateway]
address = "jobs@gate.example.org"
spool = "spool"
services = "{services}"
min_free = "32 MiB"

[listen.smtp]
host = "127.0.0.1"
port = 0

[run]
engine = "local"

[run.local]
slots = 2
path = "{path}"

[deliver]
courier = "maildir"

[deliver.maildir]
path = "outgoing"

[trust]
networks = ["127.0.0.0/8"]
"""


class DemoError(Exception):
    """What went wrong, in words for whoever ran the demo."""


def main() -> int:
    """Run the demo; return the exit status, 0 only if the reply's bytes are right."""
    for ending in STOPS:
        signal.signal(ending, signal.default_int_handler)
    begin = time.monotonic()
    try:
        with _alone():
            with _gateway(_prepare()) as port:
                _say(begin, f"the gateway listens on 127.0.0.1:{port}")
                request = _mail(port)
                _say(begin, f"taken: {len(_records(GLOBINS.read_text()))} sequences for {SERVICE}")
                _follow(begin, request)
            _show(begin)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        _tail(LOG)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped", file=sys.stderr)
        return 130
    return 0


# --- the gateway ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold demo/ against a second demo in the same checkout, and begin with an empty one."""
    HERE.mkdir(parents=True, exist_ok=True)
    with (HERE / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "another demo is running in this checkout; wait until it has ended"
            raise DemoError(message) from None
        for path in HERE.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        yield


def _prepare() -> Path:
    # The jobs' python3 must be the one that has the aligner.
    path = f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin"
    config = HERE / "mailgate.toml"
    services = os.path.relpath(CHECKOUT / "etc" / "services", HERE)
    config.write_text(CONFIG.format(path=path, services=services), encoding="utf-8")
    return config


@contextlib.contextmanager
def _gateway(config: Path) -> Iterator[int]:
    """Run the gateway, and give the port it listens on; nothing of it outlives the block."""
    command = [str(PROGRAMS / "mailgate"), "serve", "-c", str(config)]
    with LOG.open("wb") as log:
        # A session of its own: Ctrl-C is ours to handle, in order.
        daemon = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _until(lambda: _ready(daemon), "the gateway was not ready")
        yield int(_facts("listening")[0]["port"])
    finally:
        with _stops_put_off():
            daemon.terminate()
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
            _let_jobs_end()


@contextlib.contextmanager
def _stops_put_off() -> Iterator[None]:
    """Let a Ctrl-C count only behind the block: the impatient would leave the gateway behind."""
    stopped: list[int] = []
    for ending in STOPS:
        signal.signal(ending, lambda number, _: stopped.append(number))
    try:
        yield
    finally:
        for ending in STOPS:
            signal.signal(ending, signal.default_int_handler)
        if stopped:
            raise KeyboardInterrupt


def _ready(daemon: subprocess.Popen[bytes]) -> bool:
    if daemon.poll() is not None:
        message = f"the gateway ended at once, with status {daemon.returncode}"
        raise DemoError(message)
    return bool(_facts("ready"))


def _facts(*verbs: str) -> list[dict[str, str]]:
    """Return the log's lines of these verbs, as ``key=value``; the verb itself is kept as ""."""
    text = LOG.read_text(encoding="utf-8", errors="replace")
    # Behind the time.
    lines = [line.partition(" ")[2] for line in text.splitlines()]
    return [
        {"": line.partition(" ")[0], **dict(re.findall(r'(\w+)=("[^"]*"|\S*)', line))}
        for line in lines
        if line.partition(" ")[0] in verbs
    ]


def _let_jobs_end() -> None:
    """Wait for a job that outlives an interrupted demo: jobs do not end with their gateway."""
    records = [run.with_name("exit") for run in (HERE / "spool/jobs").glob("*/*/run/*/script")]
    with contextlib.suppress(DemoError, OSError):
        _until(lambda: all("\nend\n" in r.read_text() for r in records), "a job did not end", 10)


# --- the mail -------------------------------------------------------------------------------------


def _mail(port: int) -> str:
    """Mail the request; return its Message-ID once the gateway has it durably."""
    request = EmailMessage()
    request["From"] = SENDER
    request["To"] = SERVICE
    request["Subject"] = "globins, please"
    request["Message-ID"] = f"<globins.{time.time_ns()}@example.org>"
    request.set_content("label: globins\nnotify: start\ntree: upgma\n")
    request.add_attachment(
        GLOBINS.read_bytes(), maintype="text", subtype="x-fasta", filename=GLOBINS.name
    )
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as session:
            session.send_message(request)
    except (OSError, smtplib.SMTPException) as error:
        message = f"the gateway did not take the mail: {error}"
        raise DemoError(message) from error
    return str(request["Message-ID"])


def _follow(begin: float, request: str) -> None:
    """Tell each step as the gateway's log tells it, until the result is in the Maildir."""
    told: set[str] = set()

    def arrived() -> bool:
        for facts in _facts("read", "advanced"):
            step = _step(facts)
            if step not in told:
                told.add(step)
                _say(begin, step)
        return _saved(request)

    _until(arrived, "no result came")
    _say(begin, f"reply: {_shown(REPLY)} (from the Maildir {_shown(HERE / 'outgoing')})")


def _step(facts: dict[str, str]) -> str:
    """Return what a line of the log means to a newcomer."""
    if facts[""] == "read":
        service, _, job = facts["outcome"].partition(":")
        return f"queued: job {job} of the service {service}"
    if facts["to"] == "EXECUTING":
        return "running"
    return f"finished: {facts['to']}, exit code {facts.get('exit', 'unknown')}"


def _saved(request: str) -> bool:
    """Copy the result from the Maildir to where the reader finds it; False while there is none."""
    for path in (HERE / "outgoing").glob("*/new/*"):
        content = path.read_bytes()
        letter = message_from_bytes(content, policy=policy.default)
        if letter["In-Reply-To"] != request:
            continue
        if "Mailgate-Exit" in letter:
            REPLY.write_bytes(content)
            return True
        if letter["Mailgate-Phase"] is None:
            message = f"the request was not run: {letter['Subject']} ({path})"
            raise DemoError(message)
    return False


# --- the proof ------------------------------------------------------------------------------------


def _show(begin: float) -> None:
    """Check the reply's bytes, then pipe them into a local tool as a reader would."""
    _check(_accat())
    _say(begin, "checked: all sequences are there, aligned, their letters unchanged")
    command = f"{_shown(PROGRAMS / 'accat')} {_shown(REPLY)} | paste - - | cut -c 1-100"
    print(f"\nThe result goes into any local tool:\n\n  {command}\n")
    shown = subprocess.run(
        ["sh", "-c", command], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if shown.returncode or not shown.stdout:
        message = f"the command failed: {shown.stderr.strip() or 'no output'}"
        raise DemoError(message)
    for line in shown.stdout.splitlines()[:6]:
        print(f"  {line}")
    print(f"  ...\n\nDone in {time.monotonic() - begin:.1f} s; nothing is left running.")


def _accat() -> str:
    run = subprocess.run(
        [PROGRAMS / "accat", REPLY], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    if run.returncode:
        message = f"accat ended with {run.returncode}: {run.stderr.strip()}"
        raise DemoError(message)
    return run.stdout


def _check(alignment: str) -> None:
    sent, aligned = _records(GLOBINS.read_text(encoding="utf-8")), _records(alignment)
    if list(aligned) != list(sent):
        message = f"the reply has the sequences {list(aligned)}, not {list(sent)}"
        raise DemoError(message)
    if len({len(row) for row in aligned.values()}) != 1:
        message = "the aligned sequences are not equally long"
        raise DemoError(message)
    for name, row in aligned.items():
        if row.replace("-", "") != sent[name]:
            message = f"the letters of {name} changed on the way"
            raise DemoError(message)


def _records(fasta: str) -> dict[str, str]:
    """Sequences by name, without line ends."""
    records = (record.partition("\n") for record in f"\n{fasta}".split("\n>")[1:])
    return {head.split()[0]: "".join(letters.split()) for head, _, letters in records}


# --- talking --------------------------------------------------------------------------------------


def _until(done: Callable[[], bool], complaint: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            message = f"{complaint} within {seconds:.0f} s"
            raise DemoError(message)
        time.sleep(0.05)


def _say(begin: float, words: str) -> None:
    print(f"{time.monotonic() - begin:5.1f} s  {words}", flush=True)


def _shown(path: Path) -> str:
    """Return a path as it can be typed at the top of the checkout."""
    return os.path.relpath(path, CHECKOUT)


def _tail(log: Path) -> None:
    if log.is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        print(f"The last lines of {_shown(log)}:", file=sys.stderr)
        for line in lines:
            print(f"  {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
