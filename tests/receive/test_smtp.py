"""The SMTP door over real sockets."""

import asyncio
import io
import os
import resource
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from ipaddress import ip_network

import pytest

from mailgate import log
from mailgate.receive.session import Session
from mailgate.receive.smtp import SmtpDoor
from tests.receive.counter import Counter, Listen, Wire, client, converse, door, over_wire, settled

HELLO = b"EHLO client.mg.test\r\n"
ENVELOPE = b"MAIL FROM:<ann@mg.test>\r\nRCPT TO:<align@mg.test>\r\nDATA\r\n"
MAIL = b"From: ann@mg.test\r\nSubject: one\r\n\r\ntree: upgma\r\n"


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def events():
    stream = io.StringIO()
    log.to(stream)
    yield stream
    log.to(None)


# --- taking -----------------------------------------------------------------------------------------


async def test_a_message_arrives_with_its_envelope_and_every_byte(counter: Counter):
    content = b"Subject: \xff\0\r\n\r\n.dot\r\n..\r\n" + bytes(range(256)) * 3000 + b"\r\n"
    async with door(counter) as port, client(port) as talk:
        assert await talk.ask(b"MAIL FROM:<ann@mg.test> BODY=8BITMIME") == "250 2.1.0 ok"
        assert await talk.ask(b"RCPT TO:<align@mg.test>") == "250 2.1.5 ok"
        assert await talk.ask(b"RCPT TO:<Jobs+BLAST@mg.test>") == "250 2.1.5 ok"
        assert (await talk.ask(b"DATA"))[:3] == "354"
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        assert await talk.ask(stuffed + b".") == "250 2.0.0 taken as 1"
        assert await talk.ask(b"QUIT") == "221 2.0.0 goodbye"
        assert await talk.reply() == ""
    (taken,) = counter.messages
    assert taken.content == content
    assert taken.envelope.sender == "ann@mg.test"
    assert taken.envelope.recipients == ("align@mg.test", "Jobs+BLAST@mg.test")
    assert taken.envelope.door == "smtp"
    assert taken.envelope.peer == "127.0.0.1"
    assert not taken.envelope.trusted


async def test_nothing_is_acknowledged_before_the_commit(counter: Counter):
    counter.go_on.clear()
    async with door(counter) as port, client(port) as talk:
        await talk.begin()
        await talk.say(MAIL + b".\r\n")
        await counter.committing.wait()
        assert not talk.reader._buffer
        counter.go_on.set()
        assert await talk.reply() == "250 2.0.0 taken as 1"


async def test_a_null_sender_is_the_desks_to_judge(counter: Counter):
    async with door(counter) as port:
        words = HELLO + ENVELOPE.replace(b"ann@mg.test", b"") + MAIL + b".\r\n"
        assert "250 2.0.0 taken as 1" in await converse(port, words)
    assert counter.messages[0].envelope.sender == ""


async def test_a_body_may_be_empty_or_only_dots(counter: Counter):
    async with door(counter) as port:
        await converse(port, HELLO + ENVELOPE + b".\r\n" + ENVELOPE + b"..\r\n...\r\n.\r\n")
    assert [taken.content for taken in counter.messages] == [b"", b".\r\n..\r\n"]


async def test_a_whole_pipelined_conversation_is_answered_in_order(counter: Counter):
    one = ENVELOPE + MAIL + b".\r\n"
    async with door(counter) as port:
        lines = await converse(port, HELLO + one + one + b"NOOP\r\nQUIT\r\nNOOP\r\n")
    assert [line[:3] for line in lines if line[3:4] == " "] == (
        ["220", "250"] + ["250", "250", "354", "250"] * 2 + ["250", "221"]
    )
    assert [taken.content for taken in counter.messages] == [MAIL, MAIL]


async def test_what_follows_a_body_is_commands_and_what_precedes_no_dot_is_not(counter: Counter):
    async with door(counter) as port:
        lines = await converse(port, HELLO + ENVELOPE + b"QUIT\r\nRSET\r\n.\r\nNOOP extra\r\n")
    assert lines[-2:] == ["250 2.0.0 taken as 1", "250 2.0.0 ok"]
    assert counter.messages[0].content == b"QUIT\r\nRSET\r\n"


# --- refusing ---------------------------------------------------------------------------------------


async def test_a_refused_recipient_leaves_the_others(counter: Counter):
    async with door(counter) as port, client(port) as talk:
        await talk.ask(b"MAIL FROM:<ann@mg.test>")
        assert await talk.ask(b"RCPT TO:<nobody@mg.test>") == "550 5.1.1 no service of that name"
        assert await talk.ask(b"RCPT TO:<later@mg.test>") == "451 4.3.0 the spool is locked"
        assert (await talk.ask(b"RCPT TO:<rcpt-bug@mg.test>"))[:9] == "451 4.3.0"
        assert (await talk.ask(b"DATA"))[:9] == "554 5.5.1"
        assert await talk.ask(b"RCPT TO:<align@mg.test>") == "250 2.1.5 ok"
        assert (await talk.ask(b"DATA"))[:3] == "354"
        assert (await talk.ask(MAIL + b"."))[:3] == "250"
    assert counter.messages[0].envelope.recipients == ("align@mg.test",)


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        (b"full@mg.test", "452 4.3.1 too little disk is free"),
        (b"write-bug@mg.test", "451 4.3.0 something went wrong here, try again later"),
        (b"refused@mg.test", "550 5.7.1 nothing vouches for you"),
        (b"commit-bug@mg.test", "451 4.3.0 something went wrong here, try again later"),
    ],
)
async def test_trouble_is_told_after_the_dot_and_the_session_goes_on(
    counter: Counter, events: io.StringIO, recipient: bytes, reply: str
):
    async with door(counter) as port, client(port) as talk:
        assert (await talk.begin(recipient))[:3] == "354"
        assert await talk.ask(MAIL * 20_000 + b".") == reply
        assert (await talk.begin())[:3] == "354"
        assert await talk.ask(MAIL + b".") == "250 2.0.0 taken as 1"
    assert counter.balanced
    # The desk has a log of its own; the door tells of bugs.
    assert ("failed door=smtp at=data peer=127.0.0.1" in events.getvalue()) == (b"bug" in recipient)


@pytest.mark.parametrize("recipient", [b"closed@mg.test", b"open-bug@mg.test"])
async def test_a_desk_that_takes_nothing_is_told_instead_of_354(counter: Counter, recipient: bytes):
    async with door(counter) as port, client(port) as talk:
        assert (await talk.begin(recipient))[:9] == "451 4.3.0"
        assert (await talk.begin())[:3] == "354"


async def test_a_failing_discard_does_not_turn_the_body_into_commands(counter: Counter):
    async with door(counter, max_size=1000) as port, client(port) as talk:
        await talk.begin(b"discard-bug@mg.test")
        assert (await talk.ask(b"NOOP\r\n" * 200 + b"."))[:9] == "552 5.3.4"
        assert await talk.ask(b"NOOP") == "250 2.0.0 ok"


async def test_what_the_door_itself_refuses_is_logged(counter: Counter, events: io.StringIO):
    async with door(counter, max_size=1000) as port, client(port) as talk:
        await talk.ask(b"MAIL FROM:<ann@mg.test> SIZE=1001")
        await talk.begin()
        await talk.ask(b"x" * 1500 + b"\r\n.")
    assert events.getvalue().splitlines() == [
        (
            "refused door=smtp at=mail peer=127.0.0.1 "
            'reason="552 5.3.4 the message is over 1,000 bytes, which is the most that is taken here"'
        ),
        (
            "refused door=smtp at=data peer=127.0.0.1 sender=ann@mg.test to=align@mg.test "
            'reason="over 1000 bytes"'
        ),
    ]


# --- size -------------------------------------------------------------------------------------------


async def test_a_message_of_the_greatest_size_is_taken_and_one_more_byte_is_not(counter: Counter):
    content = b"x" * 998 + b"\r\n"
    async with door(counter, max_size=1000) as port, client(port) as talk:
        await talk.begin()
        assert (await talk.ask(content + b"."))[:3] == "250"
        await talk.begin()
        assert await talk.ask(b"x" + content + b".") == (
            "552 5.3.4 the message is over 1,000 bytes, which is the most that is taken here"
        )
        assert await talk.ask(b"NOOP") == "250 2.0.0 ok"
    assert len(counter.messages) == 1
    assert counter.balanced


@pytest.mark.parametrize(
    ("size", "reply"),
    [
        (b"1000", "250 2.1.0"),
        (b"1001", "552 5.3.4"),
        (b"9" * 500, "552 5.3.4"),
        (b"0", "250 2.1.0"),
        (b"-1", "555 5.5.4"),
        (b"x", "555 5.5.4"),
        ("²".encode(), "501 5.1.7"),
    ],
)
async def test_an_announced_size_is_checked(counter: Counter, size: bytes, reply: str):
    async with door(counter, max_size=1000) as port, client(port) as talk:
        assert (await talk.ask(b"MAIL FROM:<ann@mg.test> SIZE=" + size))[:9] == reply


async def test_a_client_that_sends_twice_too_much_is_sent_away(counter: Counter):
    async with door(counter, max_size=1000) as port, client(port) as talk:
        await talk.begin()
        await talk.say(b"x" * 2001 + b"\r\n")
        assert (await talk.reply())[:9] == "552 5.3.4"
        assert await talk.reply() == ""
    assert counter.balanced


async def test_a_giant_line_needs_little_memory(counter: Counter):
    class Hole(Counter):
        async def open(self, envelope):
            sink = await super().open(envelope)
            sink.blocks = type("Nothing", (list,), {"append": lambda *_: None})()
            return sink

    async with door(Hole(), max_size=50_000_000) as port, client(port) as talk:
        await talk.begin()
        block = b"x" * 100_000
        tracemalloc.start()
        try:
            for _ in range(300):
                await talk.say(block)
            assert (await talk.ask(b"\r\n."))[:3] == "250"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4_000_000


# --- smuggling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n.\0\r\n",
        b"\r\n. \r\n",
    ]
    + [b"\n.\r", b"\r.\n", b"\r\r.\r\r", b"\r\n\0.\r\n", b"\r\n.\r\r\n", b"\x85.\x85"],
)
async def test_nothing_but_crlf_dot_crlf_ends_a_message(counter: Counter, end: bytes):
    smuggled = b"MAIL FROM:<boss@mg.test>\r\nRCPT TO:<align@mg.test>\r\nDATA\r\nevil\r\n"
    async with door(counter) as port:
        lines = await converse(port, HELLO + ENVELOPE + b"good" + end + smuggled + b".\r\nQUIT\r\n")
    (taken,) = counter.messages
    assert taken.envelope.sender == "ann@mg.test"
    assert taken.content == b"good" + end.replace(b"\r\n.", b"\r\n") + smuggled
    assert [line[:3] for line in lines].count("354") == 1


# --- commands ---------------------------------------------------------------------------------------


async def test_ehlo_announces_what_is_kept(counter: Counter):
    async with door(counter, max_size=5000) as port, client(port, hello=False) as talk:
        assert await talk.reply() == "220 gate.mg.test ESMTP mailgate"
        assert (await talk.ask(b"EHLO client")).splitlines() == [
            "250-gate.mg.test",
            "250-PIPELINING",
            "250-SIZE 5000",
            "250-8BITMIME",
            "250 ENHANCEDSTATUSCODES",
        ]
        assert await talk.ask(b"HELO client") == "250 gate.mg.test"


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"NOOP", "250 2.0.0"),
        (b"noop words", "250 2.0.0"),
        (b"RSET", "250 2.0.0"),
        (b"VRFY ann", "252 2.0.0"),
        (b"EXPN list", "502 5.5.1"),
        (b"HELP", "214 2.0.0"),
        (b"EHLO", "501 5.5.4"),
        (b"HELO ", "501 5.5.4"),
        (b"RCPT TO:<align@mg.test>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"DATA now", "501 5.5.4"),
        (b"MAIL", "501 5.1.7"),
        (b"MAIL FROM:<ann@mg.test> RET=FULL", "555 5.5.4"),
        (b"MAIL FROM:<ann@mg.test> BODY=BINARYMIME", "555 5.5.4"),
        (b"MAIL FROM:<ann@mg.test> SMTPUTF8", "555 5.5.4"),
        ("MAIL FROM:<jörg@mg.test>".encode(), "553 5.6.7"),
        (b"STARTTLS", "500 5.5.1"),
        (b"AUTH PLAIN AGEAYg==", "500 5.5.1"),
        (b"", "500 5.5.1"),
        (b"\xff\xfe\0", "500 5.5.1"),
        (b"MAIL FROM:<\xff@mg.test>", "501 5.1.7"),
        (b"NOOP " + b"x" * 3000, "500 5.5.6"),
        (b"NOOP " + b"x" * 700_000, "500 5.5.6"),
    ],
)
async def test_a_command_gets_its_code_and_the_session_goes_on(
    counter: Counter, command: bytes, reply: str
):
    async with door(counter) as port, client(port) as talk:
        assert (await talk.ask(command))[:9] == reply
        assert await talk.ask(b"NOOP") == "250 2.0.0 ok"


async def test_commands_are_wanted_in_their_order(counter: Counter):
    async with door(counter) as port, client(port, hello=False) as talk:
        await talk.reply()
        assert (await talk.ask(b"MAIL FROM:<ann@mg.test>"))[:9] == "503 5.5.1"
        await talk.ask(b"HELO client")
        assert (await talk.ask(b"MAIL FROM:<ann@mg.test>"))[:9] == "250 2.1.0"
        assert (await talk.ask(b"MAIL FROM:<ann@mg.test>"))[:9] == "503 5.5.1"
        assert (await talk.ask(b"RCPT TO:<>"))[:9] == "501 5.1.3"
        assert (await talk.ask(b"RCPT TO:<align@mg.test> NOTIFY=NEVER"))[:9] == "555 5.5.4"
        assert (await talk.ask("RCPT TO:<jörg@mg.test>".encode()))[:9] == "553 5.6.7"
        await talk.ask(b"RCPT TO:<align@mg.test>")
        await talk.ask(b"RSET")
        assert (await talk.ask(b"DATA"))[:9] == "503 5.5.1"


# --- limits -----------------------------------------------------------------------------------------


async def test_recipients_have_a_limit(counter: Counter):
    async with door(counter, max_recipients=2) as port, client(port) as talk:
        await talk.ask(b"MAIL FROM:<ann@mg.test>")
        replies = [await talk.ask(b"RCPT TO:<align@mg.test>") for _ in range(3)]
        assert [reply[:9] for reply in replies] == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
        assert (await talk.ask(b"DATA"))[:3] == "354"


async def test_sessions_have_a_limit_and_a_place_becomes_free(counter: Counter):
    async with door(counter, max_sessions=2) as port:
        async with client(port), client(port) as second:
            async with client(port, hello=False) as third:
                assert (await third.reply())[:9] == "421 4.3.2"
                assert await third.reply() == ""
            await second.ask(b"QUIT")
            async with client(port, hello=False) as fourth:
                assert (await fourth.reply())[:3] == "220"


@pytest.mark.parametrize(
    ("peers", "admitted"),
    [
        (["192.0.2.7"] * 5, 2),
        (["192.0.2.7", "192.0.2.8", "192.0.2.7"], 3),
        ([f"2001:db8::{n}" for n in range(1, 6)], 2),
        ([f"2001:db8:0:{n}::1" for n in range(5)], 5),
        (["::ffff:192.0.2.7"] * 3 + ["192.0.2.7"], 2),
        (["127.0.0.1"] * 5, 5),
        (["::1"] * 5, 5),
        (["198.51.100.9"] * 5, 5),
    ],
)
async def test_one_client_has_a_quarter_of_the_sessions_unless_it_is_trusted(
    counter: Counter, peers: list[str], admitted: int
):
    limited = SmtpDoor(
        counter,
        Listen(),
        "gate.mg.test",
        trusted=[ip_network("198.51.100.0/24")],
        max_sessions=8,
    )
    wires = [await entered(limited, peer) for peer in peers]
    heard = [wire.heard.decode().splitlines()[0] for wire in wires]
    assert [line[:3] for line in heard].count("220") == admitted
    for line in heard:
        assert line[:3] == "220" or "too many sessions at once from your address" in line
    for wire in wires:
        wire.close()
        await wire.session.talk
    again = await entered(limited, peers[0])
    assert again.heard.startswith(b"220")
    again.close()
    await again.session.talk


@pytest.mark.parametrize(
    ("name", "peer", "near"),
    [("127.0.0.1", "127.0.0.1", True), ("", "127.0.0.1", True), (None, None, False)],
)
async def test_a_client_that_no_address_is_known_of_is_not_this_machine(
    counter: Counter, name: str | None, peer: str | None, near: bool
):
    wire = await entered(SmtpDoor(counter, Listen(), "gate.mg.test"), name)
    assert (wire.session.peer, wire.session.near) == (peer, near)
    wire.close()
    await wire.session.talk


async def entered(opened: SmtpDoor, peer: str | None) -> Wire:
    """A client from another machine, as the door meets it."""
    loop = asyncio.get_running_loop()
    wire = Wire(peer)
    wire.session = Session(opened.terms, loop, admit=opened._admit, ended=opened._left)
    wire.session.connection_made(wire)
    await settled(wire.session)
    return wire


async def test_clients_wait_outside_while_no_file_can_be_opened(
    counter: Counter, events: io.StringIO
):
    async with door(counter) as port, AsyncExitStack() as stack:
        outside = [socket.socket() for _ in range(5)]
        for one in outside:
            stack.callback(one.close)
        with files_at_most(max(one.fileno() for one in outside) + 1):
            for one in outside:
                one.settimeout(60)
                one.connect(("127.0.0.1", port))
            async with asyncio.timeout(60):
                while not events.getvalue():
                    await asyncio.sleep(0.01)
        heard = await asyncio.gather(*(asyncio.to_thread(one.recv, 4) for one in outside))
    assert heard == [b"220 "] * 5
    (line,) = events.getvalue().splitlines()
    assert line.startswith("delayed what=accept door=smtp ")


@contextmanager
def files_at_most(number: int) -> Iterator[None]:
    """Have every place below ``number`` taken, and none above it to be had."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = []
    try:
        while not fillers or fillers[-1] < number - 1:
            fillers.append(os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for filler in fillers:
            os.close(filler)


async def test_a_client_that_only_errs_is_sent_away(counter: Counter):
    async with door(counter) as port, client(port) as talk:
        replies = [(await talk.ask(b"NONSENSE"))[:3] for _ in range(21)]
        assert replies == ["500"] * 21
        assert (await talk.reply())[:9] == "421 4.7.0"
        assert await talk.reply() == ""


REFUSED = b"MAIL FROM:<ann@mg.test>\r\nRCPT TO:<refused@mg.test>\r\nDATA\r\n"


async def test_a_stranger_with_only_refused_mail_is_sent_away_after_the_reply(counter: Counter):
    taken = ENVELOPE + MAIL + b".\r\n"
    refused = [REFUSED, b"x: y\r\n\r\n.\r\n"]
    lines = await over_wire(
        counter, [b"EHLO c\r\n", *(20 * refused), taken, *(21 * refused), b"NOOP\r\n"]
    )
    assert [line[:9] for line in lines].count("550 5.7.1") == 41
    assert lines[-1].startswith("421 4.7.0")
    assert counter.balanced


async def test_a_relay_on_this_machine_is_not_sent_away_for_what_it_passes_on(counter: Counter):
    async with door(counter) as port, client(port) as talk:
        for _ in range(150):
            assert (await talk.begin(b"refused@mg.test"))[:3] == "354"
            assert (await talk.ask(b"."))[:9] == "550 5.7.1"
        await talk.begin()
        assert (await talk.ask(b"."))[:3] == "250"
    assert counter.balanced


async def test_senders_that_are_refused_cost_patience(counter: Counter):
    async with door(counter, max_size=1000) as port, client(port) as talk:
        replies = [await talk.ask(b"MAIL FROM:<ann@mg.test> SIZE=1001") for _ in range(101)]
        assert {reply[:3] for reply in replies} == {"552"}
        assert (await talk.reply())[:9] == "421 4.7.0"


@pytest.mark.parametrize("trouble", [b"full@mg.test", b"closed@mg.test", b"later@mg.test"])
async def test_what_may_work_later_costs_the_client_nothing(counter: Counter, trouble: bytes):
    words = ENVELOPE.replace(b"align@mg.test", trouble) + b".\r\n"
    if trouble == b"full@mg.test":
        words = words[:-3] + MAIL + b".\r\n"
    else:
        words = b"MAIL FROM:<ann@mg.test>\r\nRCPT TO:<%s>\r\nDATA\r\nRSET\r\n" % trouble
    async with door(counter) as port:
        lines = await converse(port, HELLO + words * 150 + b"NOOP\r\nQUIT\r\n")
    assert lines[-2:] == ["250 2.0.0 ok", "221 2.0.0 goodbye"]
    assert not [line for line in lines if line.startswith("421")]


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"BDAT 5 LAST"])
async def test_another_protocol_is_cut_off_at_once(counter: Counter, request_line: bytes):
    async with door(counter) as port:
        words = request_line + b"\r\nHost: localhost\r\n\r\n" + HELLO + ENVELOPE + MAIL + b".\r\n"
        lines = await converse(port, words)
    assert lines[-1][:9] == "421 4.7.0"
    assert not counter.messages


@pytest.mark.parametrize("before", [b"", b"NOO", ENVELOPE, ENVELOPE + MAIL])
async def test_a_silent_client_is_sent_away(counter: Counter, before: bytes):
    async with door(counter, idle=timedelta(seconds=0.3)) as port, client(port) as talk:
        await talk.say(before)
        replies = iter([await talk.reply() for _ in range(5)])
        assert any(reply.startswith("421 4.4.2") for reply in replies)
        assert next(replies, "") == ""
    assert counter.balanced


async def test_a_slow_commit_is_no_silence(counter: Counter):
    counter.go_on.clear()
    async with door(counter, idle=timedelta(seconds=0.3)) as port, client(port) as talk:
        await talk.begin()
        await talk.say(MAIL + b".\r\n")
        await counter.committing.wait()
        # Twice as long as the client may be silent.
        asyncio.get_running_loop().call_later(0.6, counter.go_on.set)
        assert await talk.reply() == "250 2.0.0 taken as 1"


async def test_a_client_that_never_reads_holds_no_place(counter: Counter):
    limits = {"idle": timedelta(seconds=0.1), "max_sessions": 1}
    async with door(counter, **limits) as port, client(port) as deaf:
        deaf.writer.transport.pause_reading()
        deaf.writer.write(b"EHLO client\r\n" * 200_000)
        async with asyncio.timeout(20):
            while not await admitted(port):
                await asyncio.sleep(0.02)


async def admitted(port: int) -> bool:
    async with client(port, hello=False) as talk:
        return (await talk.reply()).startswith("220")


# --- leaving ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", range(0, len(HELLO + ENVELOPE + MAIL) + 3, 3))
async def test_a_client_may_go_at_any_moment(counter: Counter, end: int):
    words = (HELLO + ENVELOPE + MAIL + b".\r\n")[:end]
    async with door(counter) as port:
        await converse(port, words)
        async with client(port, hello=False) as talk:
            await talk.say(words)
            talk.writer.transport.abort()
        async with client(port) as talk:
            assert await talk.ask(b"NOOP") == "250 2.0.0 ok"
    assert counter.balanced
    assert not counter.messages


async def test_a_commit_goes_on_when_its_client_is_gone(counter: Counter):
    counter.go_on.clear()
    async with door(counter) as port:
        async with client(port) as talk:
            await talk.begin()
            await talk.say(MAIL + b".\r\n")
            await counter.committing.wait()
            talk.writer.transport.abort()
        counter.go_on.set()
    assert len(counter.messages) == 1
    assert counter.balanced


async def test_stopping_lets_a_body_end_and_sends_the_others_away(counter: Counter):
    opened = SmtpDoor(counter, Listen(), "gate.mg.test")
    port = await opened.start()
    async with client(port) as busy, client(port) as idle:
        await busy.begin()
        stopping = asyncio.create_task(opened.stop(timedelta(seconds=20)))
        assert (await idle.reply())[:9] == "421 4.3.2"
        assert await busy.ask(MAIL + b".") == "250 2.0.0 taken as 1"
        assert (await busy.reply())[:9] == "421 4.3.2"
        await stopping
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", port)
    assert len(counter.messages) == 1


async def test_a_body_that_outlasts_the_grace_is_not_taken(counter: Counter):
    opened = SmtpDoor(counter, Listen(), "gate.mg.test")
    port = await opened.start()
    async with client(port) as busy:
        await busy.begin()
        await busy.say(MAIL)
        await opened.stop(timedelta(seconds=0.05))
        assert await busy.reply() == ""
    assert counter.discarded == 1
    assert not counter.messages
