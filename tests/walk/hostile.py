"""What the hostile walks share: services to attack, mails made byte by byte, letters taken apart."""

import base64
import json
import os
import smtplib
import socket
import sqlite3
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote_from_bytes

from tests.daemon import Gateway, attached, eventually, read, shell

# What links lead to: nobody's output.
SECRET = "root:x:0:0\n"

ALLOW = '[access]\nallow = ["*@example.org"]\n'

# The words as the command got them, each with a NUL behind it.
WORDS = f"""
command = ["printf", '%s\\0', "{{words}}", "{{pick}}", "{{whole}}", "{{part}}", "{{on}}"]
[parameter.words]
type = "text"
default = "none"
[parameter.pick]
type = "choice"
choices = ["one", "two"]
default = "one"
[parameter.whole]
type = "integer"
default = 1
[parameter.part]
type = "number"
default = 1.5
[parameter.on]
type = "flag"
{ALLOW}"""
DEFAULTS = ["none", "one", "1", "1.5", "no"]

# What lies in in/, and the mail's own file.
KEEP = f"""
command = ["sh", "-c", 'ls -1A "$MAILGATE_INPUTS" >&2; cat "$1"', "sh", "{{input:data}}"]
[input.data]
from = "attachment"
{ALLOW}"""

TAKE = f"""
command = ["cat"]
stdin = "text"
[input.text]
from = "body"
required = false
{ALLOW}"""

# Runs what the operator's test wrote beside it: the mail only says which.
SCRIPT = f"""
command = ["sh", "run.sh", "{{name}}"]
[parameter.name]
type = "text"
pattern = "[a-z]+"
[output]
files = ["*.out", "deep/*.out"]
[limits]
work = "40s"
{ALLOW}"""

AGAIN = '[retry]\ntimes = 1\non = ["lost"]\n'


def offer(gateway: Gateway) -> None:
    """Write the services that are attacked."""
    for name, text in (
        ("words", WORDS),
        ("keep", KEEP),
        ("take", TAKE),
        ("script", SCRIPT),
        ("again", SCRIPT + AGAIN),
    ):
        gateway.service(name, text)
    gateway.service(
        "short", shell("trap '' TERM; while :; do sleep 0.1; done", '[limits]\nwork = "1s"')
    )
    (gateway.folder / "decoy").mkdir()
    (gateway.folder / "decoy" / "passwd").write_text(SECRET)
    (gateway.folder / "services" / "run.sh").write_text('. "$(dirname "$0")/$1.sh"\n')


def script(gateway: Gateway, name: str, text: str) -> str:
    """Write what the service "script" runs under this name; the body of a mail that asks for it."""
    start = 'decoy=$(dirname "$0")/../decoy\n'
    (gateway.folder / "services" / f"{name}.sh").write_text(start + text)
    return f"name: {name}\n"


def unharmed(gateway: Gateway) -> None:
    """The daemon lives, has met nothing unforeseen, and went through no link to write or remove."""
    calm(gateway)
    decoy = gateway.folder / "decoy"
    assert [path.name for path in decoy.iterdir()] == ["passwd"]
    assert (decoy / "passwd").read_text() == SECRET


def calm(gateway: Gateway) -> None:
    """The daemon lives and has met nothing that it did not foresee."""
    assert gateway.alive, gateway.logged()[-3000:]
    assert gateway.logged("failed").splitlines() == []


# --- mails ----------------------------------------------------------------------------------------


def mail(
    to: str,
    who: str,
    body: bytes | str = b"",
    *,
    headers: bytes = b"",
    parts: tuple[bytes, ...] = (),
) -> bytes:
    """A mail byte by byte: ``headers`` and ``parts`` (with their own headers) as they stand."""
    text = body.encode() if isinstance(body, str) else body
    top = b"From: %s\r\nTo: %s\r\nMIME-Version: 1.0\r\n" % (who.encode(), to.encode())
    if b"message-id:" not in headers.lower():
        top += b"Message-ID: <%s@example.org>\r\n" % os.urandom(8).hex().encode()
    words = (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(text).replace(b"\n", b"\r\n")
    )
    if not parts:
        return top + headers + words
    top += b"Content-Type: multipart/mixed; boundary=edge\r\n"
    inner = b"".join(b"--edge\r\n" + part + b"\r\n" for part in (words, *parts))
    return top + headers + b"\r\n" + inner + b"--edge--\r\n"


def file(name: bytes | None, content: bytes) -> bytes:
    """An attachment's part; its name, whatever the bytes, as RFC 2231 has it."""
    naming = (
        b"" if name is None else b"; filename*=utf-8''" + quote_from_bytes(name, safe="").encode()
    )
    return (
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment" + naming + b"\r\n\r\n"
        + base64.encodebytes(content).replace(b"\n", b"\r\n")
    )  # fmt: skip


def send(
    gateway: Gateway,
    raw: bytes,
    *,
    to: str,
    sender: str = "someone@example.org",
    source: str = "127.0.0.1",
) -> str:
    """Send and return the last reply's code and words, whether it is taken or refused."""
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60, source_address=(source, 0)) as session:
        session.ehlo("client")
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}@gate.example.org>"):
            code, words = session.docmd(command)
            if code != 250:
                return f"{code} {words.decode()}"
        code, words = session.data(raw)
        return f"{code} {words.decode()}"


def answer(gateway: Gateway, raw: bytes, *, to: str, who: str) -> EmailMessage:
    """Send, and return the one letter that comes back, once its header was looked at."""
    before = len(gateway.saved(who))
    said = send(gateway, raw, to=to)
    assert said.startswith("250"), said
    gateway.await_letters(before + 1, who)
    path = max(gateway.saved(who), key=lambda saved: saved.stat().st_mtime_ns)
    well_formed(path)
    return read(path.read_bytes())


def rows(gateway: Gateway, statement: str, *values: object) -> list[sqlite3.Row]:
    """Ask the spool; a hundred times faster than a process for each question."""
    place = f"file:{gateway.spool / 'spool.db'}?mode=ro"
    with closing(sqlite3.connect(place, uri=True, timeout=30)) as spool:
        spool.row_factory = sqlite3.Row
        return spool.execute(statement, values).fetchall()


def jobs_of(gateway: Gateway, who: str) -> list[sqlite3.Row]:
    return rows(gateway, "SELECT * FROM job WHERE owner = ?", who)


def at_rest(gateway: Gateway) -> bool:
    """Whether nothing waits to be read, run, written or sent."""
    waiting = (
        "SELECT 1 FROM errand WHERE state = 'WAITING'",
        "SELECT 1 FROM job WHERE phase IN ('QUEUED', 'EXECUTING')",
        "SELECT 1 FROM letter WHERE state IN ('PLANNED', 'WAITING')",
    )
    return not any(rows(gateway, f"{statement} LIMIT 1") for statement in waiting)


def words_of(letter: EmailMessage) -> list[str]:
    """What the service "words" printed."""
    return attached(letter)["stdout.txt"].decode().split("\0")[:-1]


# --- letters --------------------------------------------------------------------------------------

ALWAYS = [
    "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "Auto-Submitted", "X-Loop",
    "MIME-Version", "Content-Type",
]  # fmt: skip
RESULT = [*ALWAYS, "Reply-To", "Mailgate-Job", "Mailgate-Phase", "Mailgate-Exit"]
SINGLE = [*ALWAYS, "Content-Transfer-Encoding"]


def well_formed(path: Path) -> None:
    """A letter has the headers that it should have, each once and no others, in plain ASCII."""
    raw = path.read_bytes()
    head, _, _ = raw.partition(b"\n\n")
    assert head.isascii()
    assert b"\r" not in head
    assert b"\0" not in raw
    assert max(map(len, raw.split(b"\n"))) <= 998
    letter = read(raw)
    names = sorted(name for name in letter if name != "References")
    single = SINGLE if letter.get_content_maintype() == "text" else ALWAYS
    assert names == sorted(RESULT if letter["Mailgate-Job"] else single)
    assert len(letter.get_all("References", [])) <= 1
    assert letter["Auto-Submitted"] == "auto-replied"
    # Read again by hand: a line either begins a known header or continues one.
    for line in head.decode().split("\n"):
        assert line[0] in " \t" or line.partition(":")[0] in {*RESULT, *SINGLE, "References"}
    for part in letter.walk():
        assert not part.defects
        wanted = {"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"}
        assert part is letter or set(part.keys()) <= wanted
    if letter["Mailgate-Job"]:
        json.loads(attached(letter)["job.json"])


def talk(gateway: Gateway, *lines: bytes) -> list[bytes]:
    """Say lines to the door as they stand, one after the other; the replies' lines."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as wire:
        stream = wire.makefile("rwb")
        replies = [_reply(stream)]
        for line in lines:
            stream.write(line + b"\r\n")
            stream.flush()
            replies.append(_reply(stream))
        return replies[1:]


def _reply(stream: "socket.SocketIO") -> bytes:
    while (line := stream.readline())[3:4] == b"-":
        pass
    return line.strip()


def held(gateway: Gateway, who: str) -> list[sqlite3.Row]:
    """The mails of this sender that wait for the operator."""
    return rows(
        gateway,
        "SELECT message.id, errand.reason FROM errand JOIN message ON message.id = errand.message"
        " WHERE state = 'HELD' AND message.address = ?",
        who,
    )


def await_held(gateway: Gateway, who: str) -> tuple[str, str]:
    """Wait until a mail of this sender is held; its id, and why."""
    eventually(lambda: held(gateway, who), 30, gateway.logged)
    (row,) = held(gateway, who)
    return str(row["id"]), str(row["reason"])
