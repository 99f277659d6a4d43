"""A whole site on loopback: people with mailboxes in Dovecot, behind a Postfix, and a gateway."""

import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path

from tests import servers
from tests.daemon import Gateway, eventually, read, running

ADA = "ada@mg.test"


@dataclass(frozen=True)
class Site:
    """People are NAME@mg.test, whose mail lies in Dovecot; services are at gate.mg.test."""

    post: servers.Postfix
    boxes: servers.Dovecot
    gateway: Gateway

    def send(self, mail: EmailMessage, sender: str = ADA) -> None:
        """Hand a person's mail to the site's server, as a mail program does."""
        with smtplib.SMTP("127.0.0.1", self.post.port, timeout=30) as session:
            session.send_message(mail, sender)

    def inbox(self, user: str = "ada") -> list[EmailMessage]:
        """What has come for a person, oldest first."""
        return [read(mail) for mail in self.boxes.mailbox(user)]

    def await_letter(
        self, fits: Callable[[EmailMessage], bool], within: float = 60, user: str = "ada"
    ) -> EmailMessage:
        """Wait for a mail to a person; return it."""

        def found() -> EmailMessage | None:
            return next((mail for mail in self.inbox(user) if fits(mail)), None)

        return eventually(found, within, self.told)  # type: ignore[return-value]

    def await_letters(
        self, count: int, fits: Callable[[EmailMessage], bool], within: float = 60
    ) -> list[EmailMessage]:
        """Wait for so many mails to Ada; return all that fit."""

        def found() -> list[EmailMessage]:
            fitting = [mail for mail in self.inbox() if fits(mail)]
            return fitting if len(fitting) >= count else []

        return eventually(found, within, self.told)

    def told(self) -> str:
        """What gateway and Postfix have logged, and which mails have come."""
        subjects = [str(mail["Subject"]) for mail in self.inbox()]
        return f"{self.gateway.logged()[-3000:]}\n{self.post.log()[-1500:]}\n{subjects}"

    def talk(self, letter: EmailMessage, *lines: str) -> EmailMessage:
        """Reply to a letter as a person does, its text quoted below; return the answer's mail."""
        mail = reply_to(letter, *lines)
        self.send(mail)
        return self.await_letter(lambda came: came["In-Reply-To"] == mail["Message-ID"])


def reply_to(letter: EmailMessage, *lines: str, sender: str = ADA) -> EmailMessage:
    """Write a reply: threaded, with the letter's own text quoted, and a signature."""
    body = letter.get_body(("plain",))
    assert body is not None
    quoted = [f"> {line}" for line in body.get_content().splitlines()]
    mail = EmailMessage()
    mail["From"] = f"Ada Lovelace <{sender}>"
    mail["To"] = letter["Reply-To"] or letter["From"]
    mail["Subject"] = f"Re: {letter['Subject']}"
    mail["Message-ID"] = make_msgid(domain="mg.test")
    mail["In-Reply-To"] = letter["Message-ID"]
    mail["References"] = f"{letter['References'] or ''} {letter['Message-ID']}".strip()
    text = [*lines, "", "On Monday, the gateway wrote:", *quoted, "-- ", "Ada", "status"]
    mail.set_content("\n".join(text) + "\n")
    return mail


@contextmanager
def site(
    folder: Path, services: dict[str, str], more: str = "", **settings: object
) -> Iterator[Site]:
    """Run Postfix, Dovecot and a gateway whose letters leave through that Postfix."""
    door = servers.free_port()
    courier = 'courier = "smtp"\nretry = ["1s"]'
    with servers.dovecot() as boxes:
        extra = (
            f"virtual_transport = lmtp:inet:127.0.0.1:{boxes.lmtp}\nlmtp_tls_security_level = none"
        )
        with (
            servers.postfix(gateway=("127.0.0.1", door), extra=extra) as post,
            running(folder, port=door, courier=courier, **settings) as gateway,
        ):
            text = gateway.config.read_text().replace("gate.example.org", "gate.mg.test")
            relay = f'[deliver.smtp]\nhost = "127.0.0.1"\nport = {post.port}\n'
            gateway.config.write_text(f"{text}{relay}{more}")
            for name, service in services.items():
                gateway.service(name, service)
            gateway.start()
            yield Site(post=post, boxes=boxes, gateway=gateway)
