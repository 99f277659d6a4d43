"""Commands by mail, and by reply, through a real gateway."""

import re
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest

from tests.daemon import ADA, ADDRESS, TRUE, Gateway, eventually, request, running, shell, text_of

BOB = "bob@example.org"
SLEEP = shell("sleep 600")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, slots=1) as made:
        made.service("sleep", SLEEP)
        made.service("true", TRUE)
        yield made


def write(body: str, *, to: str = ADDRESS, sender: str = ADA, **headers: str) -> EmailMessage:
    """A mail to an address of the gateway's."""
    mail = request("x", body, sender=sender)
    for name, value in {"To": to, **headers}.items():
        del mail[name]
        mail[name.replace("_", "-")] = value
    return mail


def started(gateway: Gateway, *, notify: str = "start") -> tuple[str, EmailMessage]:
    """Have a job started; its id and the letter that says so."""
    gateway.send(request("sleep", f"notify: {notify}\n"))
    (letter,) = gateway.await_letters(1)
    return str(letter["Mailgate-Job"]), letter


def answer(gateway: Gateway, mail: EmailMessage, address: str = ADA) -> EmailMessage:
    """Send a mail, and await the letter that answers it."""
    gateway.send(mail, sender=address)

    def found() -> EmailMessage | None:
        return next(
            (x for x in gateway.letters(address) if x["In-Reply-To"] == mail["Message-ID"]), None
        )

    letter = eventually(found, 30, gateway.logged)
    assert letter is not None
    return letter


def said(letter: EmailMessage) -> str:
    return re.sub(r" for (less than )?\d+ seconds?", " for SOME TIME", text_of(letter))


def test_a_job_is_asked_about_and_cancelled_by_mail(gateway: Gateway) -> None:
    gateway.start()
    job, letter = started(gateway)
    told = answer(gateway, write(f"status {job}\n"))
    assert told["Subject"] == f"[job {job}] 1 done"
    assert said(told) == f"  > status {job}\n    EXECUTING for SOME TIME.\n"
    reply_to = parseaddr(str(letter["Reply-To"]))[1]
    told = answer(
        gateway, write("status\ncancel\npause\n", to=reply_to, Subject=f"Re: {letter['Subject']}")
    )
    assert told["Subject"] == f"[job {job}] 2 done, 1 error"
    (result,) = gateway.await_results(1)
    assert result["Mailgate-Exit"] == "cancelled"


def test_a_key_vouches_for_its_own_job_and_its_own_person_alone(gateway: Gateway) -> None:
    gateway.start()
    job, letter = started(gateway)
    reply_to = parseaddr(str(letter["Reply-To"]))[1]
    gateway.kill()
    text = gateway.config.read_text()
    gateway.config.write_text(
        text.replace('networks = ["127.0.0.0/8", "::1/128"]', "networks = []")
    )
    gateway.start()
    told = answer(gateway, write("status\n", to=reply_to))
    assert told["Subject"] == f"[job {job}] 1 done"
    guessed = (
        f"{reply_to.partition('@')[0][:-1]}{'a' if reply_to[-18] != 'a' else 'b'}@gate.example.org"
    )
    for mail in (
        write("cancel\n", to=guessed),
        write("cancel\n", to=reply_to, sender=BOB),
        write(f"cancel {job}\n"),
    ):
        with pytest.raises(smtplib.SMTPDataError, match="Nothing vouches"):
            gateway.send(mail, to=str(mail["To"]))
