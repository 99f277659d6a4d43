"""Mail that answers mail, through a real Postfix: every such talk is over after one mail."""

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import servers
from tests.asking import answer, ask
from tests.daemon import Gateway, eventually, read, request, running, shell
from tests.servers import Postfix

A, B = "gate.mg.test", "other.mg.test"
LIST, ADA = "list@mg.test", "ada@mg.test"
# Taken by the mail server, which then finds nobody there.
GONE = "gone@mg.test"
SAY = shell("echo hello", "").replace("*@example.org", "*")
ROUTES = "gate.mg.test=smtp:[127.0.0.1]:{} }}, {{ other.mg.test=smtp:[127.0.0.1]:{} "


@contextmanager
def house(folder: Path, *, unknown: str = "confirm") -> Iterator[tuple[Gateway, Gateway, Postfix]]:
    """Two gateways behind one Postfix, which also has people's mailboxes, and a list of them."""
    ports = [servers.free_port() for _ in (A, B)]
    everybody = f"{ADA}, say@{A}, say@{B}, jobs@{A}"
    extra = (
        f"relay_domains = {A}, {B}\n"
        f"transport_maps = inline:{{ {{ {ROUTES.format(*ports)} }} }}\n"
        f"virtual_alias_maps = inline:{{ {{ {LIST} = {everybody} }}, {{ {GONE} = x@void.test }} }}\n"
        "bounce_queue_lifetime = 5s\nmaximal_queue_lifetime = 5s\n"
    )
    with ExitStack() as stack:
        relay = stack.enter_context(servers.postfix(extra=extra))
        one, other = [
            stack.enter_context(_gateway(folder, domain, port, relay, unknown))
            for domain, port in zip((A, B), ports, strict=True)
        ]
        yield one, other, relay


@contextmanager
def _gateway(
    folder: Path, domain: str, port: int, relay: Postfix, unknown: str
) -> Iterator[Gateway]:
    courier = 'courier = "smtp"\nretry = ["1s"]'
    with running(folder / domain, port=port, courier=courier) as gateway:
        text = gateway.config.read_text().replace("gate.example.org", domain)
        if unknown == "confirm":
            text = text.replace("[trust]\n", '[trust]\nunknown = "confirm"\n')
            text = text.replace('networks = ["127.0.0.0/8", "::1/128"]', "networks = []")
        text += f'[deliver.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n'
        gateway.config.write_text(text)
        gateway.service("say", SAY)
        gateway.start()
        yield gateway


def send(relay: Postfix, mail: EmailMessage, *to: str) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as session:
        session.sendmail(str(mail["From"]), list(to), mail.as_bytes())


def quiet(relay: Postfix, *gateways: Gateway) -> None:
    """Wait until nothing is on its way: read, answered, and out of every queue."""
    for _ in range(2):
        for gateway in gateways:
            eventually(lambda g=gateway: not _open(g), 60, gateway.logged)
        eventually(lambda: not relay.queue(), 60, relay.log)


def _open(gateway: Gateway) -> list[tuple[object, ...]]:
    letters = "SELECT id FROM letter WHERE state IN ('PLANNED', 'WAITING')"
    unread = "SELECT id FROM errand WHERE state = 'WAITING'"
    running = "SELECT id FROM job WHERE phase IN ('QUEUED', 'EXECUTING')"
    return ask(gateway, letters) + ask(gateway, unread) + ask(gateway, running)


def mail_of(sender: str, to: str, text: str = "\n", **headers: str) -> EmailMessage:
    mail = request("say", text, sender=sender, **headers)
    del mail["To"]
    mail["To"] = to
    return mail


def letters_to(relay: Postfix, address: str) -> list[EmailMessage]:
    """The gateways' letters, without what Postfix itself has to say."""
    found = [read(content) for content in relay.mailbox(address)]
    return [letter for letter in found if letter["X-Loop"]]


def sent(gateway: Gateway) -> int:
    return len(gateway.logged("sent").splitlines())


@pytest.mark.parametrize("unknown", ["confirm", "refuse"])
def test_two_gateways_that_write_to_each_other_stop_at_the_first_letter(
    tmp_path: Path, unknown: str
) -> None:
    with house(tmp_path, unknown=unknown) as (one, other, relay):
        for sender in (f"jobs@{B}", f"say@{B}", f"jobs+job.abcdefghijkl.x@{B}"):
            send(relay, mail_of(sender, f"say@{A}"), f"say@{A}")
        quiet(relay, one, other)
        assert sent(one) <= 3
        assert sent(other) == 0


def test_a_responder_that_says_what_it_is_not_gets_no_second_letter(tmp_path: Path) -> None:
    with house(tmp_path) as (one, other, relay):
        send(relay, mail_of(ADA, f"say@{A}"), f"say@{A}")
        (asked,) = eventually(lambda: letters_to(relay, ADA), 60, one.logged)
        notice = "I am on the road until Monday.\n"
        token = str(asked["Reply-To"])
        send(relay, answer(asked, ADA, notice, Auto_Submitted="auto-replied"), token)
        quoted = "".join(f"> {line}\n" for line in asked.get_content().splitlines())
        send(relay, answer(asked, ADA, f"{notice}\n{quoted}"), token)
        send(relay, answer(asked, ADA, f"{notice}\n{asked.get_content()}"), token)
        send(relay, answer(asked, ADA, notice), f"jobs@{A}")
        quiet(relay, one, other)
        assert [job["phase"] for job in one.jobs()] == ["PENDING"]
        assert sent(one) == 1
        # Confirmed at last, the job's result is answered by the same responder.
        send(relay, answer(asked, ADA, "confirm\n"), token)
        result = eventually(
            lambda: [x for x in letters_to(relay, ADA) if x["Mailgate-Exit"]], 60, one.logged
        )[0]
        address = str(result["Reply-To"])
        send(relay, answer(result, ADA, notice, Auto_Submitted="auto-replied"), address)
        send(relay, answer(result, ADA, f"{notice}\n{quoted}"), address)
        quiet(relay, one, other)
        for letter in [x for x in letters_to(relay, ADA) if x["Mailgate-Exit"] is None]:
            back = str(letter["Reply-To"] or letter["From"])
            send(relay, answer(letter, ADA, notice), address if "confirm" in back else back)
        quiet(relay, one, other)
        # The letter that asked, the result, and one that helps.
        assert sent(one) == 3


def test_a_list_with_gateways_among_its_members_gets_no_mail_of_theirs(tmp_path: Path) -> None:
    with house(tmp_path, unknown="refuse") as (one, other, relay):
        send(relay, mail_of(ADA, LIST), LIST)
        eventually(lambda: one.jobs() and other.jobs(), 60, one.logged)
        marked = mail_of(ADA, LIST, List_Id="<list.mg.test>", Precedence="list")
        send(relay, marked, LIST)
        send(relay, mail_of(LIST, LIST), LIST)
        quiet(relay, one, other)
        assert letters_to(relay, LIST) == []
        # To her request: the two results, and what jobs@ says to it.
        assert sent(one) + sent(other) <= 6
        before = sent(one) + sent(other)
        quiet(relay, one, other)
        assert sent(one) + sent(other) == before


def test_a_bounce_of_a_letter_and_a_bounce_of_that_are_answered_by_nobody(tmp_path: Path) -> None:
    with house(tmp_path, unknown="refuse") as (one, other, relay):
        send(relay, mail_of(GONE, f"say@{A}"), f"say@{A}")
        states = "SELECT state FROM letter"
        eventually(lambda: ask(one, states) == [("BOUNCED",)], 60, one.logged)
        quiet(relay, one, other)
        assert sent(one) == 1
        # A bounce to the token's or the job's address is refused, and its own bounce goes nowhere.
        for to in (f"jobs@{A}", f"say@{A}", f"jobs+confirm.abc@{A}"):
            with (
                smtplib.SMTP("127.0.0.1", one.port) as session,
                pytest.raises(smtplib.SMTPException),
            ):
                session.sendmail("", to, mail_of("mailer-daemon@void.test", to).as_bytes())
        quiet(relay, one, other)
        assert sent(one) == 1
