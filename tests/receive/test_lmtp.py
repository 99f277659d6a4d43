"""The LMTP door: one answer a recipient, whatever becomes of the mail; and its unix socket."""

import asyncio
import smtplib
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from mailgate.receive.lmtp import LmtpDoor
from tests.receive.counter import Client, Counter, Listen, client, converse, door

HELLO = b"LHLO client.mg.test\r\n"
MAIL = b"From: ann@mg.test\r\n\r\ntree: upgma\r\n"


@pytest.fixture
def counter() -> Counter:
    return Counter()


def envelope(*locals_: bytes) -> bytes:
    named = b"".join(b"RCPT TO:<%s@mg.test>\r\n" % local for local in locals_)
    return b"MAIL FROM:<ann@mg.test>\r\n" + named + b"DATA\r\n"


async def after_the_dot(port: int, *locals_: bytes, content: bytes = MAIL) -> list[str]:
    """Return what is said after DATA's 354, at most."""
    lines = await converse(port, HELLO + envelope(*locals_) + content + b".\r\nNOOP\r\n")
    return lines[[line[:3] for line in lines].index("354") + 1 :]


async def test_each_recipient_of_a_taken_mail_has_its_own_yes(counter: Counter):
    async with door(counter, lmtp=True) as port:
        answers = await after_the_dot(port, b"align", b"tree", b"align")
    assert answers == ["250 2.0.0 taken as 1"] * 3 + ["250 2.0.0 ok"]
    (taken,) = counter.messages
    assert taken.envelope.door == "lmtp"
    assert taken.envelope.recipients == ("align@mg.test", "tree@mg.test", "align@mg.test")


async def test_who_was_refused_before_data_has_no_answer_after_it(counter: Counter):
    async with door(counter, lmtp=True) as port:
        answers = await after_the_dot(port, b"nobody", b"align", b"later", b"tree")
    assert answers == ["250 2.0.0 taken as 1"] * 2 + ["250 2.0.0 ok"]
    assert counter.messages[0].envelope.recipients == ("align@mg.test", "tree@mg.test")


async def test_a_recipient_that_is_denied_hears_it_in_its_place(counter: Counter):
    async with door(counter, lmtp=True) as port:
        answers = await after_the_dot(port, b"align", b"denied", b"tree")
    assert [answer[:9] for answer in answers[:3]] == ["250 2.0.0", "550 5.7.1", "250 2.0.0"]
    assert answers[1] == "550 5.7.1 you may not use denied@mg.test"


@pytest.mark.parametrize(
    ("trouble", "answer"),
    [
        (b"full", "452 4.3.1"),
        (b"refused", "550 5.7.1"),
        (b"write-bug", "451 4.3.0"),
        (b"commit-bug", "451 4.3.0"),
    ],
)
async def test_trouble_is_told_to_each_recipient_and_the_session_goes_on(
    counter: Counter, trouble: bytes, answer: str
):
    async with door(counter, lmtp=True) as port:
        answers = await after_the_dot(port, b"align", trouble, b"tree")
    assert [said[:9] for said in answers] == [answer] * 3 + ["250 2.0.0"]
    assert counter.balanced
    assert not counter.messages


@pytest.mark.parametrize("trouble", [b"closed", b"open-bug"])
async def test_what_is_told_instead_of_354_is_told_once(counter: Counter, trouble: bytes):
    async with door(counter, lmtp=True) as port:
        lines = await converse(port, HELLO + envelope(b"align", trouble) + b"NOOP\r\n")
    assert [line[:9] for line in lines[-2:]] == ["451 4.3.0", "250 2.0.0"]


async def test_a_body_over_the_limit_is_too_big_for_each(counter: Counter):
    async with door(counter, lmtp=True, max_size=100) as port:
        answers = await after_the_dot(port, b"align", b"tree", content=b"x" * 150 + b"\r\n")
    assert [answer[:9] for answer in answers] == ["552 5.3.4"] * 2 + ["250 2.0.0"]


async def test_a_body_that_never_ends_is_cut_off_with_an_answer_to_each(counter: Counter):
    async with door(counter, lmtp=True, max_size=100) as port:
        answers = await after_the_dot(port, b"align", b"tree", content=b"x" * 300)
    assert [answer[:9] for answer in answers] == ["552 5.3.4"] * 2
    assert counter.discarded == 1


@pytest.mark.parametrize(
    ("hello", "code"), [(b"HELO c", "500"), (b"EHLO c", "500"), (b"LHLO", "501")]
)
async def test_nothing_but_lhlo_is_a_greeting(counter: Counter, hello: bytes, code: str):
    async with door(counter, lmtp=True) as port, client(port, hello=False) as talk:
        assert (await talk.reply()).endswith("LMTP mailgate")
        assert (await talk.ask(hello))[:3] == code
        assert (await talk.ask(b"MAIL FROM:<>")) == "503 5.5.1 say LHLO first"
        told = await talk.ask(b"LHLO c")
        assert "250-PIPELINING" in told
        assert "AUTH" not in told


async def test_lhlo_is_no_greeting_over_smtp(counter: Counter):
    async with door(counter) as port, client(port, hello=False) as talk:
        await talk.reply()
        assert (await talk.ask(b"LHLO c"))[:3] == "500"


async def test_data_without_a_recipient_is_503(counter: Counter):
    async with door(counter, lmtp=True) as port, client(port, hello=False) as talk:
        await talk.reply()
        await talk.ask(b"LHLO c")
        await talk.ask(b"MAIL FROM:<ann@mg.test>")
        await talk.ask(b"RCPT TO:<nobody@mg.test>")
        assert (await talk.ask(b"DATA"))[:9] == "503 5.5.1"


async def test_a_server_of_the_site_is_not_sent_away_for_what_it_passes_on(counter: Counter):
    async with door(counter, lmtp=True) as port:
        refused = HELLO + (envelope(b"refused") + MAIL + b".\r\n") * 150 + b"QUIT\r\n"
        lines = await converse(port, refused)
    assert lines[-1] == "221 2.0.0 goodbye"


async def test_pythons_lmtp_hands_over(counter: Counter):
    def hand_over() -> dict[str, tuple[int, bytes]]:
        # It takes one answer after the dot: for one recipient it is an LMTP client.
        with smtplib.LMTP("127.0.0.1", port, timeout=20) as peer:
            return peer.sendmail("ann@mg.test", ["align@mg.test", "nobody@mg.test"], MAIL)

    async with door(counter, lmtp=True) as port:
        told = await asyncio.to_thread(hand_over)
    assert {address: code for address, (code, _) in told.items()} == {"nobody@mg.test": 550}
    assert counter.messages[0].content == MAIL


# --- the unix socket --------------------------------------------------------------------------------


@pytest.fixture
def listen(tmp_path: Path) -> Listen:
    return replace(Listen(), socket=tmp_path / "lmtp.sock")


async def taken_at(file: Path) -> str:
    reader, writer = await asyncio.open_unix_connection(str(file))
    talk = Client(reader, writer)
    await talk.reply()
    await talk.ask(b"LHLO c")
    await talk.begin()
    reply = await talk.ask(MAIL + b".")
    writer.close()
    return reply


async def test_a_socket_is_there_for_user_and_group_while_the_door_is_open(
    counter: Counter, listen: Listen
):
    opened = LmtpDoor(counter, listen, "gate.mg.test")
    assert await opened.start() is None
    assert stat.S_IMODE(listen.socket.stat().st_mode) == 0o660
    assert await taken_at(listen.socket) == "250 2.0.0 taken as 1"
    await opened.stop()
    assert not listen.socket.exists()
    assert counter.messages[0].envelope.peer == "127.0.0.1"


async def test_a_socket_that_a_crash_left_is_replaced(counter: Counter, listen: Listen):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(listen.socket))
    opened = LmtpDoor(counter, listen, "gate.mg.test")
    await opened.start()
    assert await taken_at(listen.socket) == "250 2.0.0 taken as 1"
    await opened.stop()


async def test_another_gateways_socket_is_not_taken_from_it(counter: Counter, listen: Listen):
    first, second = (LmtpDoor(counter, listen, "gate.mg.test") for _ in range(2))
    await first.start()
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.stop()
    assert await taken_at(listen.socket) == "250 2.0.0 taken as 1"
    await first.stop()


async def test_a_file_of_that_name_is_not_removed(counter: Counter, listen: Listen):
    listen.socket.write_text("somebody's")
    with pytest.raises(OSError, match="in use"):
        await LmtpDoor(counter, listen, "gate.mg.test").start()
    assert listen.socket.read_text() == "somebody's"


async def test_a_socket_that_another_gateway_made_meanwhile_stays_at_the_end(
    counter: Counter, listen: Listen, tmp_path: Path
):
    opened = LmtpDoor(counter, listen, "gate.mg.test")
    await opened.start()
    listen.socket.rename(tmp_path / "moved")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(listen.socket))
        await opened.stop()
        assert listen.socket.exists()
    listen.socket.unlink()
