"""The SMTP and LMTP doors against bytes that no client sends, cut where no network cuts."""

import asyncio
import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.receive.session import _TURN
from tests.receive.counter import Counter, door, over_wire

REPLY = re.compile(r"[2345]\d\d[ -][^\r\n]*")

COMMANDS = [
    b"EHLO client\r\n",
    b"HELO client\r\n",
    b"MAIL FROM:<ann@mg.test>\r\n",
    b"MAIL FROM:<> SIZE=10\r\n",
    b"RCPT TO:<align@mg.test>\r\n",
    b"RCPT TO:<nobody@mg.test>\r\n",
    b"RCPT TO:<full@mg.test>\r\n",
    b"RCPT TO:<refused@mg.test>\r\n",
    b"RCPT TO:<write-bug@mg.test>\r\n",
    b"RCPT TO:<denied@mg.test>\r\n",
    b"DATA\r\n",
    b"RSET\r\n",
    b"NOOP\n",
    b"QUIT\r\n",
    b"LHLO client\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
]
SCRAPS = [
    b"\r\n",
    b"\r",
    b"\n",
    b".",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\r\n..\r\n",
    b" ",
    b"<",
    b"a",
    b"\xff",
]
WORDS = st.one_of(st.sampled_from(COMMANDS), st.sampled_from(SCRAPS), st.binary(max_size=40))
TALK = st.lists(WORDS, max_size=40).map(b"".join)
BOTH = pytest.mark.parametrize("lmtp", [False, True])


async def outcome(pieces, *, lmtp: bool, **limits) -> tuple[list[str], list[bytes], bool]:
    counter = Counter()
    greeting = b"LHLO client\r\n" if lmtp else b"EHLO client\r\n"
    lines = await over_wire(counter, [greeting, *pieces], lmtp=lmtp, **limits)
    return lines, [taken.content for taken in counter.messages], counter.balanced


@BOTH
@given(words=TALK)
def test_any_bytes_get_replies_and_leave_nothing_open(words: bytes, lmtp: bool):
    lines, _, balanced = asyncio.run(outcome([words], lmtp=lmtp))
    assert all(REPLY.fullmatch(line) for line in lines)
    assert balanced


@BOTH
@given(words=TALK, data=st.data())
def test_a_conversation_is_the_same_however_it_is_cut(
    words: bytes, data: st.DataObject, lmtp: bool
):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=20)))
    ends = [*cuts, len(words)]
    pieces = [words[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    cut = asyncio.run(outcome(pieces, lmtp=lmtp, max_size=100))
    assert cut == asyncio.run(outcome([words], lmtp=lmtp, max_size=100))


@BOTH
@given(words=TALK)
def test_a_conversation_byte_by_byte_is_the_same(words: bytes, lmtp: bool):
    single = [bytes([byte]) for byte in words]
    assert asyncio.run(outcome(single, lmtp=lmtp)) == asyncio.run(outcome([words], lmtp=lmtp))


# What any number of recipients may be told after a dot.
_TAKEN = [b"align", b"denied", b"full", b"refused", b"write-bug", b"commit-bug", b"nobody"]


@given(st.lists(st.lists(st.sampled_from(_TAKEN), min_size=1, max_size=6), max_size=4))
def test_over_lmtp_answers_never_come_out_of_step(mails: list[list[bytes]]):
    """RFC 2033, 4.2: an answer too many or too few would be the next mail's."""
    words = b"LHLO c\r\n"
    for locals_ in mails:
        named = b"".join(b"RCPT TO:<%s@mg.test>\r\n" % local for local in locals_)
        words += b"MAIL FROM:<ann@mg.test>\r\n" + named + b"DATA\r\n"
        if set(locals_) != {b"nobody"}:
            words += b"Subject: x\r\n\r\n.\r\n"
        words += b"NOOP\r\nRSET\r\n"
    lines = asyncio.run(over_wire(Counter(), [words], lmtp=True))
    codes = [line[:3] for line in lines if line[3:4] == " "][2:]
    for locals_ in mails:
        known = [local for local in locals_ if local != b"nobody"]
        # MAIL, each RCPT, DATA, an answer for each that was taken at RCPT, NOOP, RSET.
        count = 1 + len(locals_) + 1 + len(known) + 2
        told, codes = codes[:count], codes[count:]
        assert told[1 + len(locals_)] == ("354" if known else "503")
        assert told[-2:] == ["250", "250"]
        assert all(code[0] in "245" for code in told[2 + len(locals_) : -2])
    assert not codes


@pytest.mark.soak
async def test_real_sockets_deliver_random_mail_in_random_pieces(seed: int, soak: bool):
    chance = random.Random(seed)
    counter = Counter()
    sent = []
    async with door(counter) as port:
        for _ in range(300 if soak else 30):
            content = random_content(chance)
            sent.append(content)
            await deliver(chance, port, content)
    assert [taken.content for taken in counter.messages] == sent


def random_content(chance: random.Random) -> bytes:
    words = [b"\r\n", b".", b"\r", b"\n", b"\r\n.", b"x" * chance.randrange(100_000), b"\0"]
    return b"".join(chance.choices(words, k=chance.randrange(40))) + b"\r\n"


async def deliver(chance: random.Random, port: int, content: bytes) -> None:
    stuffed = re.sub(rb"(\A|\r\n)\.", rb"\1..", content)
    talk = b"EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n" + stuffed
    talk += b".\r\nQUIT\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while talk:
        cut = chance.choice([1, 2, 3, 100, 5000, 200_000])
        writer.write(talk[:cut])
        await writer.drain()
        talk = talk[cut:]
        if chance.random() < 0.2:
            await asyncio.sleep(0)
    assert b"taken as" in await reader.read()
    writer.close()


async def test_a_flood_of_commands_leaves_other_sessions_their_turn():
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    watcher = asyncio.create_task(other())
    await over_wire(Counter(), [b"EHLO c\r\n", b"NOOP\r\n" * 10_000])
    watcher.cancel()
    assert turns > 10_000 / _TURN / 2


async def test_a_flood_of_content_leaves_other_sessions_their_turn():
    gaps: list[float] = []

    async def other() -> None:
        # This thread's own time: other programs on the machine do not count.
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            gaps.append(time.thread_time() - before)
            before = time.thread_time()

    counter = Counter()
    async with door(counter, max_size=100_000_000) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        watcher = asyncio.create_task(other())
        writer.write(b"EHLO c\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
        # The dearest content there is: every line begins with a dot.
        line = b"..\r\n" * 25_000
        for _ in range(200):
            writer.write(line)
            await writer.drain()
        writer.write(b".\r\nQUIT\r\n")
        assert b"taken as" in await reader.read()
        writer.close()
        watcher.cancel()
    # A turn on 512 KiB of it takes some milliseconds; one may hold a collection of garbage.
    assert sorted(gaps)[-2] < 0.1
