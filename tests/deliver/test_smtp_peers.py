"""The SMTP courier, a real Postfix, and our own door."""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.config import Relay, Tls
from mailgate.deliver.smtp import SmtpCourier
from mailgate.errors import OverSize, Permanent, Transient, Unreachable
from mailgate.receive.smtp import SmtpDoor
from tests.deliver.letters import MAIL, letter
from tests.receive.counter import Counter, Listen
from tests.receive.counter import door as any_door
from tests.servers import Postfix, certificate, eventually, free_port, postfix

LIMIT = 1_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def gateway_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def running(pair: tuple[Path, Path], gateway_port: int) -> Iterator[Postfix]:
    cert, key = pair
    extra = (
        f"message_size_limit = {LIMIT}\n"
        f"smtpd_tls_chain_files = {key}, {cert}\n"
        "smtpd_tls_security_level = may\n"
        "smtpd_recipient_restrictions = check_recipient_access inline:{"
        " { later@mg.test = 450 4.7.1 come back } { never@mg.test = 550 5.7.1 go away } }\n"
    )
    with postfix(gateway=("127.0.0.1", gateway_port), extra=extra) as server:
        yield server


@pytest.fixture
async def way(running: Postfix):
    courier = relay_to(running.port)
    yield courier
    courier.close()


def relay_to(
    port: int, *, tls: Tls = Tls.NONE, context: ssl.SSLContext | None = None
) -> SmtpCourier:
    table = Relay(host="127.0.0.1", port=port, timeout=timedelta(seconds=20), tls=tls)
    return SmtpCourier(table, "gate.mg.test", tls_context=context)


async def soon(condition) -> object:
    return await asyncio.to_thread(eventually, condition)


# --- Postfix ----------------------------------------------------------------------------------------


@pytest.mark.real("postfix")
async def test_postfix_takes_a_letter_whole(way: SmtpCourier, running: Postfix, tmp_path: Path):
    big = tmp_path / "letter"
    big.write_bytes(MAIL + b"..\r\n" * 200_000)
    words = await way.deliver(letter(big, recipient="whole@mg.test"))
    assert words.startswith("250 2.0.0 Ok: queued as")
    (mail,) = await soon(lambda: running.mailbox("whole@mg.test"))
    assert mail.startswith(b"Return-Path: <jobs+bounce.x7@gate.mg.test>\n")
    head, _, body = MAIL.replace(b"\r\n", b"\n").partition(b"\n\n")
    assert head in mail
    assert mail.partition(b"\n\n")[2] == body + b"..\n" * 200_000


@pytest.mark.real("postfix")
async def test_postfix_takes_many_letters_over_few_connections(way: SmtpCourier, running: Postfix):
    for _ in range(5):
        await asyncio.gather(
            *(way.deliver(letter(recipient="many@mg.test", sender="")) for _ in range(4))
        )
    await soon(lambda: len(running.mailbox("many@mg.test")) == 20)
    assert running.log().count("from=<>") >= 20


@pytest.mark.real("postfix")
async def test_postfix_refusing_is_told_in_its_words(way: SmtpCourier):
    with pytest.raises(Transient, match=r"450 4\.7\.1 <later@mg\.test>.*come back"):
        await way.deliver(letter(recipient="later@mg.test"))
    with pytest.raises(Permanent, match=r"550 5\.7\.1 <never@mg\.test>.*go away"):
        await way.deliver(letter(recipient="never@mg.test"))
    with pytest.raises(OverSize) as told:
        await way.deliver(letter(MAIL * 20_000))
    assert told.value.limit == LIMIT


@pytest.mark.real("postfix")
async def test_starttls_wants_a_certificate_that_it_knows(
    running: Postfix, pair: tuple[Path, Path]
):
    with pytest.raises(Unreachable, match="certificate verify failed"):
        await relay_to(running.port, tls=Tls.STARTTLS).deliver(letter())
    known = ssl.create_default_context(cafile=pair[0])
    courier = relay_to(running.port, tls=Tls.STARTTLS, context=known)
    await courier.deliver(letter(MAIL * 5000, recipient="safe@mg.test"))
    courier.close()
    await soon(lambda: running.mailbox("safe@mg.test"))
    await soon(lambda: "starttls=1" in running.log())


@pytest.mark.real("postfix")
async def test_postfix_restarted_between_two_letters_is_no_trouble(
    way: SmtpCourier, running: Postfix
):
    await way.deliver(letter(recipient="restart@mg.test"))
    running.stop()
    with pytest.raises(Unreachable):
        await way.deliver(letter(recipient="restart@mg.test"))
    running.start()
    await way.deliver(letter(recipient="restart@mg.test"))
    await soon(lambda: len(running.mailbox("restart@mg.test")) == 2)


@pytest.mark.real("postfix")
async def test_a_letter_goes_through_postfix_to_our_door(
    way: SmtpCourier, running: Postfix, gateway_port: int
):
    counter = Counter()
    opened = SmtpDoor(counter, Listen(port=gateway_port), "gate.mg.test")
    await opened.start()
    await way.deliver(letter(recipient="align@gate.mg.test"))
    await soon(lambda: counter.messages)
    await opened.stop()
    (taken,) = counter.messages
    assert taken.envelope.sender == "jobs+bounce.x7@gate.mg.test"
    assert taken.content.partition(b"\r\n\r\n")[2] == MAIL.partition(b"\r\n\r\n")[2]


# --- our own door -----------------------------------------------------------------------------------


async def test_courier_and_door_understand_each_other():
    counter = Counter()
    async with any_door(counter, max_size=10_000) as port:
        courier = relay_to(port)
        assert await courier.deliver(letter()) == "250 2.0.0 taken as 1"
        with pytest.raises(OverSize) as told:
            await courier.deliver(letter(MAIL * 1000))
        assert told.value.limit == 10_000
        with pytest.raises(Permanent, match=r"550 5\.1\.1 no service of that name"):
            await courier.deliver(letter(recipient="nobody@mg.test"))
        with pytest.raises(Transient, match=r"452 4\.3\.1 too little disk is free"):
            await courier.deliver(letter(recipient="full@mg.test"))
        with pytest.raises(Permanent, match="it does not offer SMTPUTF8"):
            await courier.deliver(letter(recipient="jörg@mg.test"))
        courier.close()
    assert counter.messages[0].content == MAIL
