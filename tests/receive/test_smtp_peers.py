"""The SMTP door and programs that others wrote."""

import asyncio
import email
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from mailgate.receive.smtp import SmtpDoor
from tests.receive.counter import Counter, Listen
from tests.receive.counter import door as any_door
from tests.servers import Postfix, eventually, free_port, postfix, require


@pytest.fixture
def counter() -> Counter:
    return Counter()


def letter(recipient: str = "align@gate.mg.test", body: str = "tree: upgma\n") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = "ann@mg.test"
    message["To"] = recipient
    message["Subject"] = "one"
    message.set_content(body)
    return message


# --- clients ----------------------------------------------------------------------------------------


async def test_smtplib_delivers_every_byte(counter: Counter):
    message = letter(body=".\n..\nx\n" * 10_000)
    message.add_attachment(bytes(range(256)) * 1000, maintype="x", subtype="y", filename="a")
    content = message.as_bytes()

    def send(port: int) -> dict:
        with smtplib.SMTP("127.0.0.1", port) as client:
            return client.sendmail("ann@mg.test", ["align@mg.test", "nobody@mg.test"], content)

    async with any_door(counter) as port:
        refused = await asyncio.to_thread(send, port)
    assert refused == {"nobody@mg.test": (550, b"5.1.1 no service of that name")}
    assert counter.messages[0].content == content


async def test_smtplib_hears_of_a_limit_before_it_sends(counter: Counter):
    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.send_message(letter(body="x" * 2000))

    async with any_door(counter, max_size=1000) as port:
        with pytest.raises(smtplib.SMTPSenderRefused, match="over 1,000 bytes"):
            await asyncio.to_thread(send, port)
    assert counter.opened == 0


async def test_smtplib_knows_before_it_sends_that_an_address_beyond_ascii_is_not_taken(
    counter: Counter,
):
    def send(port: int) -> None:
        mail = letter()
        mail.replace_header("From", "jörg@mg.test")
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.send_message(mail)

    async with any_door(counter) as port:
        with pytest.raises(smtplib.SMTPNotSupportedError, match="SMTPUTF8"):
            await asyncio.to_thread(send, port)
    assert counter.opened == 0


@pytest.mark.real("swaks")
@pytest.mark.parametrize("more", [[], ["--pipeline"], ["--protocol", "SMTP"]])
async def test_swaks_delivers(counter: Counter, more: list[str]):
    async with any_door(counter) as port:
        ended = await run("swaks", *swaks(port, "align@mg.test"), *more)
    assert ended.returncode == 0, ended.stdout
    assert b"\r\nSubject: test" in counter.messages[0].content


@pytest.mark.real("swaks")
async def test_swaks_hears_of_an_unknown_recipient(counter: Counter):
    async with any_door(counter) as port:
        ended = await run("swaks", *swaks(port, "nobody@mg.test"))
    # swaks(1): 24 is an error at RCPT.
    assert ended.returncode == 24
    assert "550 5.1.1 no service of that name" in ended.stdout


def swaks(port: int, recipient: str) -> list[str]:
    return ["--server", f"127.0.0.1:{port}", "--from", "ann@mg.test", "--to", recipient]


@pytest.mark.real("smtp-source")
@pytest.mark.parametrize("more", [[], ["-d"], ["-d", "-l", "300000"], ["-N", "-r", "5"]])
async def test_smtp_source_delivers_from_many_sessions(counter: Counter, more: list[str]):
    async with any_door(counter) as port:
        sent = ["-m", "100", "-s", "20", "-f", "ann@mg.test", "-t", "align@mg.test"]
        ended = await run("smtp-source", *sent, *more, f"127.0.0.1:{port}")
    assert ended.returncode == 0, ended.stdout
    assert len(counter.messages) == 100
    assert counter.balanced


async def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = require(program)
    return await asyncio.to_thread(
        subprocess.run,
        [path, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
    )


# --- Postfix in front of the door -------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def relay(gateway_port: int) -> Iterator[Postfix]:
    with postfix(gateway=("127.0.0.1", gateway_port)) as running:
        yield running


@asynccontextmanager
async def door(counter: Counter, port: int, *, max_size: int = 1_000_000):
    opened = SmtpDoor(counter, Listen(port=port, max_size=max_size), "gate.mg.test")
    await opened.start()
    try:
        yield
    finally:
        await opened.stop()


async def soon(condition) -> object:
    return await asyncio.to_thread(eventually, condition)


def hand_over(relay: Postfix, message: EmailMessage, *, sender: str = "ann@mg.test") -> None:
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        client.send_message(message, from_addr=sender)


@pytest.mark.real("postfix")
async def test_postfix_relays_to_the_door(counter: Counter, relay: Postfix, gateway_port: int):
    message = letter("jobs+align@mg.test", ".\n..\n" * 5000)
    async with door(counter, gateway_port):
        await asyncio.to_thread(hand_over, relay, message)
        await soon(lambda: counter.messages)
    (taken,) = counter.messages
    assert taken.envelope.sender == "ann@mg.test"
    assert taken.envelope.recipients == ("jobs+align@mg.test",)
    assert taken.content.startswith(b"Received: ")
    assert taken.content.partition(b"\r\n\r\n")[2] == b".\r\n..\r\n" * 5000


@pytest.mark.real("postfix")
async def test_mail_waits_in_postfix_while_the_door_is_away_or_defers(
    counter: Counter, relay: Postfix, gateway_port: int
):
    await asyncio.to_thread(hand_over, relay, letter())
    await soon(lambda: "Connection refused" in reason(relay))
    counter.go_on.clear()
    async with door(counter, gateway_port):
        await asyncio.to_thread(hand_over, relay, letter("full@gate.mg.test"))
        await soon(lambda: "452 4.3.1 too little disk is free" in reason(relay))
        counter.go_on.set()
        relay.flush()
        await soon(lambda: counter.messages)
    assert counter.messages[0].envelope.recipients == ("align@gate.mg.test",)
    await run("postsuper", "-c", str(relay.folder / "etc"), "-d", "ALL")


def reason(relay: Postfix) -> str:
    return str([mail["recipients"] for mail in relay.queue()])


@pytest.mark.real("postfix")
@pytest.mark.parametrize(
    ("recipient", "size", "words"),
    [
        ("nobody", 10, "550 5.1.1 no service of that name"),
        ("refused", 10, "550 5.7.1 nothing vouches for you"),
        ("align", 30_000, "message size 3"),
    ],
)
async def test_a_refusal_reaches_the_sender_through_postfix(
    counter: Counter, relay: Postfix, gateway_port: int, recipient: str, size: int, words: str
):
    sender = f"{recipient}-{size}@mg.test"
    async with door(counter, gateway_port, max_size=20_000):
        message = letter(f"{recipient}@gate.mg.test", "line\n" * (size // 5))
        await asyncio.to_thread(hand_over, relay, message, sender=sender)
        (bounce,) = await soon(lambda: relay.mailbox(sender))
    text = email.message_from_bytes(bounce).get_payload(0).get_payload()
    assert words in " ".join(text.split())
    assert not counter.messages


@pytest.mark.real("postfix")
@pytest.mark.parametrize("end", [b"\r.\r", b"\r\n.\r", b"\r.\r\n"])
async def test_what_is_content_to_postfix_is_content_to_the_door(
    counter: Counter, relay: Postfix, gateway_port: int, end: bytes
):
    smuggled = b"MAIL FROM:<boss@mg.test>\r\nRCPT TO:<align@gate.mg.test>\r\nDATA\r\nevil\r\n"
    async with door(counter, gateway_port):
        await asyncio.to_thread(hand_over_raw, relay, b"Subject: x\r\n\r\ngood" + end + smuggled)
        await soon(lambda: counter.messages and not relay.queue())
    (taken,) = counter.messages
    assert taken.envelope.sender == "ann@mg.test"
    assert b"evil" in taken.content


def hand_over_raw(relay: Postfix, content: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        client.ehlo()
        client.mail("ann@mg.test")
        client.rcpt("align@gate.mg.test")
        client.docmd("DATA")
        client.send(content + b".\r\n")
        assert client.getreply()[0] == 250
