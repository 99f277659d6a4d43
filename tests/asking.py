"""A gateway that asks strangers to confirm their mail, and the mails that tests send it."""

import os
import re
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from pathlib import Path

from tests.daemon import ADA, Gateway, eventually, request, running, shell

# The one client that the gateway believes; 127.0.0.1 is anybody.
INSIDE = "127.0.0.5"
CAT = shell("cat", 'stdin = "data"\n[input.data]\nfrom = "attachment"')
EVE = "eve@elsewhere.test"


@contextmanager
def asking(folder: Path, *, crash: str = "", **keys: object) -> Iterator[Gateway]:
    """Run one that offers "cat" to example.org; ``keys`` are further ones of [trust].

    ``crash``: the point at which it is to die.
    """
    with running(folder) as gateway:
        trust = "".join(
            f"{key} = {value}\n" for key, value in {"unknown": '"confirm"', **keys}.items()
        )
        text = gateway.config.read_text().replace('"127.0.0.0/8", "::1/128"', f'"{INSIDE}/32"')
        gateway.config.write_text(text.replace("[trust]\n", f"[trust]\n{trust}"))
        gateway.service("cat", CAT)
        gateway.start(**({"MAILGATE_CRASH": crash} if crash else {}))
        yield gateway


def asked_by(who: str, content: bytes = b"hello", **headers: str) -> EmailMessage:
    """A clear request of ``who``."""
    mail = request("cat", attachments={"data": content}, sender=who)
    for name, value in headers.items():
        del mail[name.replace("_", "-")]
        mail[name.replace("_", "-")] = value
    return mail


def send(
    gateway: Gateway,
    mail: EmailMessage | bytes,
    *,
    to: str | list[str] = "",
    source: str = "",
) -> None:
    """Send a mail as itself says it is from; raises smtplib's errors when refused."""
    content = mail if isinstance(mail, bytes) else mail.as_bytes()
    to = to or str(mail["To"])  # type: ignore[index]
    with smtplib.SMTP("127.0.0.1", gateway.port, 60, source_address=(source, 0)) as session:
        session.sendmail(ADA, to, content)


def letter_to(gateway: Gateway, who: str) -> EmailMessage:
    """The one letter that has come for ``who``."""
    (letter,) = gateway.await_letters(1, who)
    return letter


def answer(letter: EmailMessage, who: str, text: str, **headers: str) -> EmailMessage:
    """What ``who`` answers a letter."""
    mail = EmailMessage()
    mail["From"], mail["To"] = who, str(letter["Reply-To"])
    mail["Subject"] = headers.pop("Subject", f"Re: {letter['Subject']}")
    mail["Message-ID"] = f"<{os.urandom(8).hex()}@example.org>"
    mail["In-Reply-To"] = str(letter["Message-ID"])
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def token_of(letter: EmailMessage) -> str:
    """The token of a letter that asks."""
    found = re.fullmatch(r"jobs\+confirm\.(\w+)@gate\.example\.org", str(letter["Reply-To"]))
    assert found is not None, letter["Reply-To"]
    return found[1]


def phases(gateway: Gateway, who: str) -> list[object]:
    """The phases of somebody's jobs, the newest first."""
    return [job["phase"] for job in gateway.jobs() if job["owner"] == who]


def read_all(gateway: Gateway) -> None:
    """Wait until every mail that was taken has been read."""
    eventually(lambda: not ask(gateway, "SELECT 1 FROM errand WHERE state = 'WAITING'"), 30)


def ask(gateway: Gateway, question: str) -> list[tuple[object, ...]]:
    """Ask the gateway's database."""
    with closing(sqlite3.connect(f"file:{gateway.spool / 'spool.db'}?mode=ro", uri=True)) as spool:
        return list(spool.execute(question))
