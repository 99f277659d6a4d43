"""The SMTP courier and relays that do what they should not."""

import asyncio
import base64
import os
import ssl
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.config import Tls
from mailgate.errors import LetterGone, OverSize, Permanent, Transient, Unreachable
from tests.deliver.letters import MAIL, letter
from tests.deliver.relay import DROP, HANG, Script, relay
from tests.servers import certificate, free_port

SHORT = timedelta(seconds=0.1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


# --- sending ----------------------------------------------------------------------------------------


async def test_a_letter_goes_with_its_envelope_and_every_byte():
    async with relay() as script:
        words = await script.courier().deliver(letter())
    assert words == "250 2.0.0 queued as A1"
    assert script.mails == [MAIL]
    assert script.commands == [
        "EHLO gate.mg.test",
        f"MAIL FROM:<jobs+bounce.x7@gate.mg.test> SIZE={len(MAIL)}",
        "RCPT TO:<ann@mg.test>",
        "DATA",
    ]


async def test_a_null_sender_is_angle_brackets():
    async with relay() as script:
        await script.courier().deliver(letter(sender=""))
    assert f"MAIL FROM:<> SIZE={len(MAIL)}" in script.commands


async def test_a_relay_that_knows_no_ehlo_gets_helo():
    async with relay({"EHLO": "502 5.5.1 what?"}) as script:
        await script.courier().deliver(letter())
    assert script.commands[:3] == [
        "EHLO gate.mg.test",
        "HELO gate.mg.test",
        "MAIL FROM:<jobs+bounce.x7@gate.mg.test>",
    ]


async def test_bare_line_ends_leave_as_crlf():
    async with relay() as script:
        await script.courier().deliver(letter(b"a\n.\nMAIL FROM:<x@y>\r.\rb"))
    assert script.mails == [b"a\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\nb\r\n"]


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.TLS])
@pytest.mark.real("openssl")
async def test_a_big_letter_streams_in_little_memory(
    tmp_path: Path, pair: tuple[Path, Path], tls: Tls
):
    big = tmp_path / "letter"
    line = b".UJD" * 19 + b"\r\n"
    with big.open("wb") as file:
        for _ in range(200):
            file.write(line * 1000)
    received = 0

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        for answer in (b"220 x", b"250 x", b"250 x", b"250 x", b"354 x"):
            writer.write(answer + b"\r\n")
            if answer[0] == ord("3"):
                break
            await reader.readline()
        end = b""
        while not end.endswith(b"\r\n.\r\n"):
            block = await reader.read(65536)
            received += len(block)
            end = (end + block)[-5:]
        writer.write(b"250 done\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    secure = None if tls is Tls.NONE else context
    server = await asyncio.start_server(sink, "127.0.0.1", 0, ssl=secure)
    known = ssl.create_default_context(cafile=pair[0])
    way = Script(port=server.sockets[0].getsockname()[1]).courier(tls=tls, context=known)
    tracemalloc.start()
    try:
        await way.deliver(letter(big))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        way.close()
        server.close()
    await ended.wait()
    assert received == 200_000 * (len(line) + 1) + 3
    assert peak < 6_000_000


# --- connections ------------------------------------------------------------------------------------


async def test_letters_one_after_another_share_a_connection():
    async with relay() as script:
        way = script.courier()
        for number in range(3):
            await way.deliver(letter(number=number))
        way.close()
        await script.ended.wait()
    assert script.sessions == 1
    assert len(script.mails) == 3
    assert script.commands[-1] == "QUIT"


async def test_letters_at_once_have_connections_of_their_own():
    async with relay() as script:
        way = script.courier()
        await asyncio.gather(*(way.deliver(letter(number=number)) for number in range(4)))
        assert script.sessions == 4
        await asyncio.gather(*(way.deliver(letter(number=number)) for number in range(4)))
    assert script.sessions == 4
    assert len(script.mails) == 8


async def test_an_unused_connection_is_ended():
    async with relay() as script:
        way = script.courier(idle=SHORT)
        await way.deliver(letter())
        await asyncio.wait_for(script.ended.wait(), 20)
        assert script.commands[-1] == "QUIT"
        await way.deliver(letter())
    assert script.sessions == 2


@pytest.mark.parametrize("answer", ["421 4.4.2 idle too long", "500 5.5.1 what?", DROP, HANG])
async def test_a_kept_connection_that_went_bad_is_replaced(answer: str):
    async with relay({"RSET": answer}) as script:
        # Long enough for answers on a busy machine, short enough to wait for one that never comes.
        way = script.courier(timeout=timedelta(seconds=0.5))
        await way.deliver(letter())
        await way.deliver(letter())
    assert script.sessions == 2
    assert len(script.mails) == 2


async def test_a_refusal_leaves_the_connection_usable():
    async with relay({"RCPT": "550 5.1.1 no such user"}) as script:
        way = script.courier()
        for _ in range(2):
            with pytest.raises(Permanent):
                await way.deliver(letter())
    assert script.sessions == 1


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_4xx_is_transient_and_5xx_permanent_with_the_relays_words(verb: str):
    async with relay({verb: "451-4.7.1 greylisted,\r\n451 4.7.1 try later"}) as script:
        with pytest.raises(Transient) as told:
            await script.courier().deliver(letter())
    assert str(told.value) == "451 4.7.1 greylisted, 4.7.1 try later"
    assert not isinstance(told.value, Unreachable)
    async with relay({verb: "550 5.7.1 not you"}) as script:
        with pytest.raises(Permanent) as told:
            await script.courier().deliver(letter())
    assert str(told.value) == "550 5.7.1 not you"
    assert not isinstance(told.value, OverSize)
    assert script.mails == ([MAIL] if verb == "DOT" else [])


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("answer", ["552 too much", "554 5.3.4 too big", "550 5.2.3 too long"])
async def test_too_big_is_told_apart(verb: str, answer: str):
    async with relay({verb: answer}) as script:
        with pytest.raises(OverSize, match=answer) as told:
            await script.courier().deliver(letter())
    assert told.value.limit is None


async def test_a_letter_over_the_announced_size_is_not_sent():
    async with relay({"EHLO": f"250-relay\r\n250 SIZE {len(MAIL) - 1}"}) as script:
        with pytest.raises(OverSize) as told:
            await script.courier().deliver(letter())
    assert told.value.limit == len(MAIL) - 1
    assert script.commands == ["EHLO gate.mg.test"]


@pytest.mark.parametrize("size", [f"SIZE {len(MAIL)}", "SIZE 0", "SIZE", "SIZE many", "HELP"])
async def test_a_size_that_is_no_limit_is_none(size: str):
    async with relay({"EHLO": f"250-relay\r\n250 {size}"}) as script:
        await script.courier().deliver(letter())
    assert script.mails == [MAIL]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("552 5.3.4 enough", OverSize),
        ("451 4.3.0 not now", Transient),
        ("250 what?", Unreachable),
        (DROP, Unreachable),
    ],
)
async def test_an_answer_before_the_end_is_heard(answer: str, error: type[Exception]):
    async with relay({"BODY": answer}) as script:
        way = script.courier()
        with pytest.raises(error) as told:
            await way.deliver(letter(MAIL * 200_000))
        if error is not Unreachable:
            assert str(told.value) == answer
        await way.deliver(letter())
    assert script.mails == [MAIL]
    assert script.sessions == 2


# --- addresses --------------------------------------------------------------------------------------


async def test_an_address_beyond_ascii_needs_smtputf8():
    async with relay() as script:
        with pytest.raises(Permanent, match=r"jörg@mg\.test: it does not offer SMTPUTF8"):
            await script.courier().deliver(letter(recipient="jörg@mg.test"))
    async with relay({"EHLO": "250-relay\r\n250 SMTPUTF8"}) as script:
        await script.courier().deliver(letter(recipient="jörg@mg.test"))
    assert script.commands[1:3] == [
        "MAIL FROM:<jobs+bounce.x7@gate.mg.test> SMTPUTF8",
        "RCPT TO:<jörg@mg.test>",
    ]


@pytest.mark.parametrize(
    "address",
    [
        "a@b> SIZE=1",
        "a@b\r\nRSET",
        "a b@c",
        "",
        "ann",
        "a@b>",
        "<a@b",
        "a\0@b",
        '"a@b',
        "a@b\u2028c@d",
    ],
)
async def test_nothing_but_an_address_gets_into_a_command(address: str):
    async with relay() as script:
        with pytest.raises(Permanent, match="it is no address"):
            await script.courier().deliver(letter(recipient=address))
    assert script.commands == ["EHLO gate.mg.test"]


async def test_a_quoted_local_part_is_an_address():
    async with relay() as script:
        await script.courier().deliver(letter(recipient='"a b>"@mg.test'))
    assert 'RCPT TO:<"a b>"@mg.test>' in script.commands


# --- no relay ---------------------------------------------------------------------------------------


async def test_nobody_listening_is_unreachable():
    script = Script(port=free_port())
    with pytest.raises(
        Unreachable, match=f"relay 127.0.0.1:{script.port} cannot be used: .*refused"
    ):
        await script.courier().deliver(letter())


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("trouble", [HANG, DROP, "rubbish", "99 x", "x" * 100_000])
async def test_a_relay_that_makes_no_sense_is_unreachable(verb: str, trouble: str):
    # Who does not understand EHLO is asked with HELO.
    says = {verb: trouble, "HELO": trouble} if verb == "EHLO" else {verb: trouble}
    async with relay(says) as script:
        # A line without an end is waited for.
        with pytest.raises(Unreachable):
            await script.courier(timeout=SHORT).deliver(letter())
    assert len(script.mails) <= 1


@pytest.mark.parametrize("greeting", ["421 4.3.2 busy", "554 5.7.1 go away"])
async def test_a_greeting_is_no_refusal_of_the_letter(greeting: str):
    async with relay({"GREETING": greeting}) as script:
        with pytest.raises(Unreachable, match=greeting):
            await script.courier().deliver(letter())


async def test_a_relay_that_stops_reading_is_unreachable(tmp_path: Path):
    big = tmp_path / "letter"
    big.write_bytes(MAIL * 300_000)
    async with relay({"BODY": HANG}) as script:
        with pytest.raises(Unreachable, match="no answer in time"):
            await script.courier(timeout=SHORT).deliver(letter(big))


async def test_a_letter_that_the_spool_cannot_give_ends_no_data(tmp_path: Path):
    async with relay() as script:
        file = tmp_path / "letter"
        file.write_bytes(MAIL)
        lost = letter(file)
        file.unlink()
        with pytest.raises(LetterGone, match="is gone"):
            await script.courier().deliver(lost)
        await asyncio.wait_for(script.ended.wait(), 20)
    assert script.mails == []


async def test_a_disk_that_hangs_holds_up_neither_the_relay_nor_other_rooms(tmp_path: Path):
    # Nobody writes into it: whoever opens it hangs.
    hanging = tmp_path / "letter"
    os.mkfifo(hanging)
    lost = letter(hanging)
    async with relay() as script:
        # Enough for the relay to say all that comes before.
        way = script.courier(timeout=timedelta(seconds=2))
        tries = [way.deliver(lost) for _ in range(2 * way.at_once)]
        found = await asyncio.gather(*tries, return_exceptions=True)
        assert {str(each) for each in found} == {
            "letter 7 cannot be read from the spool: no answer in time"
        }
        assert all(isinstance(each, Unreachable) for each in found)
        await way.deliver(letter())
        async with asyncio.timeout(20):
            await asyncio.to_thread(os.getpid)
        os.close(os.open(hanging, os.O_RDWR | os.O_NONBLOCK))
    assert script.mails == [MAIL]


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.TLS])
@pytest.mark.real("openssl")
async def test_other_rooms_threads_are_not_used(tmp_path: Path, pair: tuple[Path, Path], tls: Tls):
    nobody = ThreadPoolExecutor(1)
    nobody.shutdown()
    asyncio.get_running_loop().set_default_executor(nobody)
    stored, password = tmp_path / "letter", tmp_path / "password"
    stored.write_bytes(MAIL)
    password.write_text("s3cret")
    says = {"EHLO": "250-relay\r\n250 AUTH PLAIN"}
    async with relay(says, certificate=pair if tls is Tls.TLS else None) as script:
        way = script.courier(host="localhost", tls=tls, user="x", password_file=password)
        if tls is Tls.TLS:
            # The system's certificates were read; ours is none of them.
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await way.deliver(letter(stored))
        else:
            await way.deliver(letter(stored))
            assert script.mails == [MAIL]


async def test_a_relay_whose_name_nobody_knows_is_unreachable():
    with pytest.raises(Unreachable, match=r"relay nowhere\.invalid:25 cannot be used: "):
        await Script(port=25).courier(host="nowhere.invalid").deliver(letter())


async def test_a_cancelled_delivery_leaves_no_connection():
    async with relay({"DOT": HANG}) as script:
        delivery = asyncio.create_task(script.courier().deliver(letter()))
        async with asyncio.timeout(20):
            while not script.mails:
                await asyncio.sleep(0)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery


# --- TLS and passwords ------------------------------------------------------------------------------


@pytest.mark.real("openssl")
async def test_tls_wants_a_certificate_that_it_knows(pair: tuple[Path, Path]):
    async with relay(certificate=pair) as script:
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await script.courier(tls=Tls.TLS).deliver(letter())
        known = ssl.create_default_context(cafile=pair[0])
        way = script.courier(tls=Tls.TLS, context=known)
        await way.deliver(letter())
        way.close()
        await asyncio.sleep(0)
    assert script.mails == [MAIL]


async def test_a_relay_without_the_wanted_starttls_is_not_used():
    async with relay() as script:
        with pytest.raises(Unreachable, match="STARTTLS"):
            await script.courier(tls=Tls.STARTTLS).deliver(letter())
    assert script.commands == ["EHLO gate.mg.test"]


async def test_the_password_is_read_at_each_connection(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("s3cret ü\nsecond line\n")
    says = {"EHLO": "250-relay\r\n250 AUTH PLAIN"}
    async with relay(says) as script:
        way = script.courier(user="gateway", password_file=file)
        await way.deliver(letter())
        file.unlink()
        await way.deliver(letter())
        says["RSET"] = "421 4.4.2 idle too long"
        with pytest.raises(Unreachable) as told:
            await way.deliver(letter())
    assert str(told.value) == "the file of the relay's password cannot be read"
    assert str(file) in told.value.detail
    word = base64.b64encode("\0gateway\0s3cret ü".encode()).decode()
    assert script.commands.count(f"AUTH PLAIN {word}") == 1


async def test_a_refused_password_is_no_refusal_of_the_letter(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("wrong")
    says = {"EHLO": "250-relay\r\n250 AUTH PLAIN", "AUTH": "535 5.7.8 who are you?"}
    async with relay(says) as script:
        with pytest.raises(Unreachable, match=r"535 5\.7\.8 who are you\?") as told:
            await script.courier(user="gateway", password_file=file).deliver(letter())
    assert "wrong" not in str(told.value)
