"""The IMAP door's parts: envelopes, tokens, what is remembered, and servers that misbehave."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mailgate.errors import Transient
from mailgate.model import Envelope
from mailgate.parse.header import Header
from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.envelope import envelope
from mailgate.receive.imap.errors import Lost, NoLogin, Stopped
from mailgate.receive.imap.line import Line
from mailgate.receive.imap.memory import ENOUGH, Memory
from mailgate.receive.imap.reception import Word
from mailgate.receive.imap.token import missing, token
from tests.daemon import request
from tests.receive.mailboxes import door_of, house, raw, table

# --- envelopes --------------------------------------------------------------------------------------

OURS = {
    "jobs@gate.example.org",
    "align@gate.example.org",
    "blast@gate.example.org",
    "jobs+bounce.x@gate.example.org",
}


def found(head: str, *, trusted: bool = False) -> Envelope:
    return envelope(
        Header.scan(head.encode() + b"\n\n"),
        own="jobs@gate.example.org",
        trusted=trusted,
        is_ours=lambda _, address: address.lower() in OURS,
    )


@pytest.mark.parametrize(
    ("head", "recipient"),
    [
        ("Delivered-To: align@gate.example.org\nTo: blast@gate.example.org", "align@gate.example.org"),
        ("Delivered-To: box@mx.example.org\nTo: Blast <Blast@gate.example.org>", "Blast@gate.example.org"),
        ("Delivered-To: box@mx.example.org\nDelivered-To: <align@gate.example.org>", "align@gate.example.org"),
        ("To: blast@gate.example.org\nX-Original-To: align@gate.example.org", "align@gate.example.org"),
        ("To: bob@example.org\nCc: bob@example.org, align@gate.example.org", "align@gate.example.org"),
        ("Cc: blast@gate.example.org\nTo: align@gate.example.org", "align@gate.example.org"),
        ("To: nosuch@gate.example.org, align@gate.example.org", "align@gate.example.org"),
        ("Delivered-To: jobs+bounce.x@gate.example.org\nTo: align@gate.example.org", "jobs+bounce.x@gate.example.org"),
        # The mailbox may have the gateway's own name; it counts where nothing else does.
        ("Delivered-To: jobs@gate.example.org\nX-Original-To: align@gate.example.org", "align@gate.example.org"),
        ("Delivered-To: Jobs@gate.example.org\nTo: bob@example.org, align@gate.example.org", "align@gate.example.org"),
        ("Delivered-To: jobs@gate.example.org\nTo: jobs@gate.example.org\nCc: align@gate.example.org", "jobs@gate.example.org"),
        ("Delivered-To: jobs@gate.example.org\nTo: list@example.org", "jobs@gate.example.org"),
        # Nothing is ours: what comes nearest is for the words of the refusal.
        ("To: bob@example.org, nosuch@gate.example.org, other@gate.example.org", "nosuch@gate.example.org"),
    ],
)  # fmt: skip
def test_the_recipient_is_the_first_address_of_ours(head: str, recipient: str) -> None:
    assert found(head).recipients == (recipient,)


def test_a_mail_for_others_has_no_recipient() -> None:
    assert found("To: bob@example.org\nBcc: align@gate.example.org").recipients == ()
    assert found("To: align@gate.example.org.evil.test").recipients == ()
    crowd = ", ".join(f"u{n}@example.org" for n in range(3000))
    assert found(f"To: {crowd}, align@gate.example.org").recipients == ()


@pytest.mark.parametrize(
    "value", ["() " * 80_000, "(.) " * 60_000, "x @ " * 60_000, "<" * 250_000, '"a"@' * 60_000]
)
def test_a_hostile_list_of_recipients_holds_up_nobody(value: str) -> None:
    began = time.thread_time()
    assert found(f"To: a @ b {value}\nCc: align@gate.example.org").recipients == ()
    # All doors wait meanwhile; the worst once took minutes.
    assert time.thread_time() - began < 3


@pytest.mark.parametrize(
    ("head", "sender"),
    [
        ("Return-Path: <ada@example.org>\nFrom: eve@example.org", "ada@example.org"),
        ("Return-Path: <>\nFrom: eve@example.org", ""),
        ("Return-Path: MAILER-DAEMON\nFrom: eve@example.org", ""),
        ("Return-Path: <ada@example.org>\nReturn-Path: <eve@example.org>", "ada@example.org"),
        ("From: Eve <eve@example.org>", "eve@example.org"),
        ("Subject: nobody", ""),
    ],
)
def test_the_sender_is_that_of_return_path_else_of_from(head: str, sender: str) -> None:
    assert found(head).sender == sender


def test_a_mailbox_is_a_hop_of_the_sites_own_and_trusted_only_where_the_operator_says_so() -> None:
    assert found("From: a@b").hop
    assert found("From: a@b").peer is None
    assert not found("From: a@b").trusted
    assert found("From: a@b", trusted=True).trusted


async def test_strangers_mail_that_must_wait_keeps_nobody_elses_waiting(tmp_path: Path) -> None:
    terms = '[trust]\nunknown = "confirm"\nconfirm_size = "4 KiB"\n'
    async with house(tmp_path, table(143, trust=False) + terms) as it:
        words = await it.reception().take({1: raw(), 2: raw(), 3: raw() + b"x" * 2048})
    assert words == {1: Word.TAKEN, 2: Word.LATER, 3: Word.REFUSED}


# --- tokens -----------------------------------------------------------------------------------------


def printed(script: str, folder: Path, *, limit: float = 20, bell: Bell | None = None) -> str:
    return token(["sh", "-c", script], folder, limit=limit, bell=bell or Bell())


def test_a_token_is_the_one_word_that_the_program_prints(tmp_path: Path) -> None:
    (tmp_path / "program").write_text('#!/bin/sh\necho "$1-$(pwd)"\n')
    (tmp_path / "program").chmod(0o755)
    assert token(["./program", "a;b"], tmp_path, limit=20, bell=Bell()) == f"a;b-{tmp_path}"
    assert not missing(["./program"], tmp_path)
    assert not missing(["sh"], tmp_path)
    assert missing(["./none"], tmp_path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "failed: exit status 3"),
        ("echo token; exit 1", "failed: exit status 1"),
        ("true", "printed no token"),
        ("echo two words", "printed no token"),
        ("printf 'a\\001b'", "printed no token"),
        ("printf 'a\\303\\244b'", "printed no token"),
        ("yes", "printed no token"),
    ],
)
def test_a_program_that_prints_no_token_is_told(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(NoLogin, match=re.escape(words)) as caught:
        printed(script, tmp_path)
    assert str(caught.value).startswith("token_command sh ")


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoLogin, match=r"none cannot be run: No such file"):
        token(["./none"], tmp_path, limit=1, bell=Bell())


def test_a_program_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(NoLogin, match="has not printed a token in time"):
        printed(f"sleep 1000 & echo $! > {tmp_path}/pid; wait", tmp_path, limit=0.3)
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 60
    while (
        Path(f"/proc/{pid}/stat").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    ):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_gateways_end_ends_the_program(tmp_path: Path) -> None:
    bell = Bell()
    bell.ring()
    with pytest.raises(Stopped):
        printed("sleep 1000", tmp_path, bell=bell)


# --- what is remembered -----------------------------------------------------------------------------


def test_a_mail_that_waits_is_not_wanted_before_its_time_and_the_others_are() -> None:
    memory = Memory([0.05, 1000])
    memory.hold_for(1)
    memory.begin()
    memory.put_off([3])
    assert memory.wanted([2, 3, 4]) == [2, 4]
    assert 0 < memory.next_due(60) <= 0.05
    end = time.monotonic() + 60
    while memory.wanted([3]) != [3]:
        assert time.monotonic() < end
    memory.put_off([3])
    # The second wait is the next of the list.
    assert memory.wanted([3]) == []
    assert memory.next_due(60) == 60


def test_what_is_settled_is_only_moved_and_what_has_left_is_forgotten() -> None:
    memory = Memory([1000])
    memory.hold_for(1)
    memory.settle([1, 2], "Done")
    memory.settle([3], "Failed")
    assert memory.wanted([1, 2, 3, 4]) == [4]
    assert memory.unmoved([1, 2, 3, 4]) == {"Done": [1, 2], "Failed": [3]}
    memory.forget([1])
    memory.put_off([2])
    assert memory.unmoved([1, 2, 3]) == {"Failed": [3]}
    memory.begin()
    memory.see([2])
    memory.end()
    assert memory.wanted([1, 2, 3]) == [1, 3]


def test_other_uids_mean_other_mails() -> None:
    memory = Memory([1000])
    memory.hold_for(1)
    memory.settle([1], "Done")
    memory.put_off([2])
    memory.hold_for(1)
    assert memory.wanted([1, 2]) == []
    memory.hold_for(2)
    assert memory.wanted([1, 2]) == [1, 2]
    assert memory.unmoved([1]) == {}


def test_only_failures_on_end_let_all_mails_rest() -> None:
    memory = Memory([1])
    memory.begin()
    memory.put_off(range(1, ENOUGH))
    memory.settle([100], "Done")
    memory.put_off([200])
    assert not memory.wants_rest
    memory.put_off([201], all_the_same=True)
    assert memory.wants_rest
    memory.begin()
    assert not memory.wants_rest


# --- servers that misbehave -------------------------------------------------------------------------

GREETING = b"* OK [CAPABILITY IMAP4rev1 IDLE MOVE AUTH=PLAIN] hello\r\n"
LOGIN: Sequence[tuple[bytes, bytes]] = [
    (b"CAPABILITY", b"* CAPABILITY IMAP4rev1 IDLE MOVE AUTH=PLAIN\r\nTAG OK done\r\n"),
    (b"AUTHENTICATE", b"+ \r\n"),
    (b"", b"TAG OK [CAPABILITY IMAP4rev1 IDLE MOVE] in\r\n"),
]


@contextmanager
def scripted(*script: tuple[bytes, bytes], greeting: bytes = GREETING) -> Iterator[list[bytes]]:
    """A server that answers line for line; TAG is the client's last. Yields what it heard, and port.

    Behind its script it hangs up.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    heard = [str(listener.getsockname()[1]).encode()]

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(greeting)
            tag = b""
            for wanted, answer in script:
                line = lines.readline()
                heard.append(line)
                first, _, rest = line.partition(b" ")
                tag = first if rest else tag
                assert wanted in line
                connection.sendall(answer.replace(b"TAG", tag))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        thread.join(20)
        listener.close()


def lined(place: Path, heard: list[bytes], **keys: object) -> Line:
    return Line(door_of(place, table(int(heard[0]), timeout="5s", **keys)), Bell())


def test_what_comes_along_with_the_answer_to_idle_is_not_waited_for(tmp_path: Path) -> None:
    # In one segment: it lies in a buffer then, and the socket has nothing to read.
    idle = [(b"IDLE", b"+ idling\r\n* 1 EXISTS\r\n"), (b"DONE", b"TAG OK done\r\n")]
    with scripted(*LOGIN, *idle) as heard:
        line = lined(tmp_path, heard)
        line.open()
        began = time.monotonic()
        line.idle(600)
        assert time.monotonic() - began < 60
        line.close()


ANSWERS = {
    b"CAPABILITY": LOGIN[0][1],
    b"AUTHENTICATE": LOGIN[1][1],
    b"LIST": b'* LIST () "/" "Done"\r\n* LIST () "/" "Failed"\r\nTAG OK done\r\n',
    b"SELECT": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\nTAG OK [READ-WRITE] done\r\n",
    b"IDLE": b"+ idling\r\n",
}


async def test_a_server_that_always_has_something_to_tell_is_not_asked_without_end(
    tmp_path: Path,
) -> None:
    answers = {
        b"CAPABILITY": LOGIN[0][1],
        b"AUTHENTICATE": LOGIN[1][1],
        b"LIST": b'* LIST () "/" "Done"\r\n* LIST () "/" "Failed"\r\nTAG OK done\r\n',
        b"SELECT": SELECTED.replace(b"1 EXISTS", b"0 EXISTS"),
        b"IDLE": b"+ idling\r\n* 0 EXISTS\r\n",
    }
    idles: list[float] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(GREETING)
            tag = b""
            for line in lines:
                first, _, rest = line.partition(b" ")
                tag = first if rest else tag
                if rest.startswith(b"IDLE"):
                    idles.append(time.monotonic())
                answer = answers.get(rest.split()[0] if rest else b"", b"TAG OK done\r\n")
                connection.sendall(answer.replace(b"TAG", tag))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        async with house(tmp_path, table(listener.getsockname()[1], timeout="5s")) as it:
            async with it.reading():
                await it.until(lambda: len(idles) > 6)
        serving.join(20)
    assert idles[6] - idles[0] > 0.9


@contextmanager
def talking(answer: Callable[[int, bytes], bytes | None]) -> Iterator[int]:
    """A server that says to each line of its nth client what ``answer`` returns; yields its port.

    TAG is the client's last; None is what a server would say whose mailbox is empty.
    """
    ends: list[socket.socket] = []

    def serve(number: int, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            connection.sendall(GREETING)
            tag = b""
            for line in lines:
                first, _, rest = line.partition(b" ")
                tag = first if rest else tag
                said = answer(number, rest or line)
                if said is None:
                    said = ANSWERS.get(rest.split()[0] if rest else b"", b"TAG OK done\r\n")
                connection.sendall(said.replace(b"TAG", tag))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                ends.append(connection)
                threading.Thread(target=serve, args=(len(ends), connection), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(20)


async def test_an_idle_that_nobody_listens_to_any_more_is_found_out_and_begun_anew(
    tmp_path: Path,
) -> None:
    idles: list[int] = []

    def answer(number: int, words: bytes) -> bytes | None:
        if words.startswith(b"IDLE"):
            idles.append(number)
            return b"+ idling\r\n"
        # As behind a router that has forgotten the connection: DONE comes nowhere.
        return b"" if words.startswith(b"DONE") else None

    with talking(answer) as port:
        keys = {"poll": "1s", "timeout": "1s"}
        async with house(tmp_path, table(port, **keys)) as it, it.reading():
            await it.until(lambda: idles[-1:] == [2])
            (told,) = it.logged("delayed")
            assert "is lost" in told


async def test_a_login_that_is_refused_for_long_is_told_once_whatever_the_servers_words(
    tmp_path: Path,
) -> None:
    knocks: list[int] = []

    def answer(number: int, words: bytes) -> bytes | None:
        if words.startswith(b"AUTHENTICATE"):
            knocks.append(number)
            return b"TAG NO [AUTHENTICATIONFAILED] Invalid credentials (%d)\r\n" % number
        return None

    with talking(answer) as port:
        async with house(tmp_path, table(port)) as it, it.reading():
            await it.until(lambda: len(knocks) > 2)
            (told,) = it.logged("delayed")
            assert "Invalid credentials (1)" in told


async def test_a_mail_that_the_server_cuts_short_is_not_taken_for_all_of_it(
    tmp_path: Path,
) -> None:
    mail = raw(request(message_id="<whole@example.org>"))
    sent: list[int] = []

    def answer(_: int, words: bytes) -> bytes | None:
        match words.split():
            case [b"SELECT", *_]:
                return SELECTED
            case [b"UID", b"SEARCH", *_]:
                return b"* SEARCH 5\r\nTAG OK done\r\n"
            case [b"UID", b"FETCH", *_] if b"SIZE" in words:
                return b"* 1 FETCH (UID 5 RFC822.SIZE %d)\r\nTAG OK done\r\n" % len(mail)
            case [b"UID", b"FETCH", *_]:
                sent.append(min(len(mail), len(sent) * 100000))
                head = mail[: sent[-1]]
                body = b"{%d}\r\n%s" % (len(head), head) if head else b"NIL"
                return b"* 1 FETCH (UID 5 BODY[]<0> %s)\r\nTAG OK done\r\n" % body
        return None

    with talking(answer) as port:
        async with house(tmp_path, table(port, poll="1s")) as it, it.reading():
            await it.until(it.taken)
            assert it.taken() == ["<whole@example.org>"]
            (told,) = it.logged("delayed")
            assert "uid=5" in told
            assert "cut short" in told


def test_a_mailbox_whose_uids_may_mean_other_mails_is_not_read(tmp_path: Path) -> None:
    bare = b"* 1 EXISTS\r\nTAG OK [READ-WRITE] done\r\n"
    with scripted(*LOGIN, (b"SELECT", bare)) as heard:
        line = lined(tmp_path, heard)
        line.open()
        with pytest.raises(Transient, match="no lasting UIDs"):
            line.select()
        line.close()


async def test_a_server_that_hangs_in_the_middle_is_hung_up_on_at_the_end(tmp_path: Path) -> None:
    folders = b'* LIST () "/" "Done"\r\n* LIST () "/" "Failed"\r\nTAG OK done\r\n'
    start = [*LOGIN, (b"LIST", folders), (b"LIST", folders), (b"SELECT", SELECTED)]
    # The last line is the client's hanging up.
    with scripted(*start, LOGIN[0], (b"SELECT", b""), (b"", b"")) as heard:
        async with house(tmp_path, table(int(heard[0]), timeout="5m")) as it:
            async with it.reading(grace=1):
                await it.until(lambda: len(heard) == 9)
                began = time.monotonic()
            assert time.monotonic() - began < 60
    assert heard[9:] == [b""]


def test_a_server_that_says_bye_in_idle_is_lost_and_not_asked_without_end(tmp_path: Path) -> None:
    with scripted(*LOGIN, (b"IDLE", b"+ idling\r\n* BYE going down\r\n")) as heard:
        line = lined(tmp_path, heard)
        line.open()
        with pytest.raises(Lost):
            line.idle(60)
        line.close()


def test_no_password_is_shown_to_a_server_that_offers_no_starttls(tmp_path: Path) -> None:
    capability = (b"CAPABILITY", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done\r\n")
    with scripted(capability) as heard:
        line = lined(tmp_path, heard, tls="starttls")
        with pytest.raises(Lost, match="offers no STARTTLS; it is not used without"):
            line.open()
        line.close()
    assert not any(b"LOGIN" in words or b"AUTHENTICATE" in words for words in heard)


def test_a_server_that_lets_us_in_unasked_gets_no_password_either(tmp_path: Path) -> None:
    # PREAUTH, by whoever sits in between, would have STARTTLS left out.
    capability = (b"CAPABILITY", b"* CAPABILITY IMAP4rev1 STARTTLS\r\nTAG OK done\r\n")
    with scripted(capability, greeting=b"* PREAUTH come in\r\n") as heard:
        line = lined(tmp_path, heard, tls="starttls")
        with pytest.raises(Transient):
            line.open()
        line.close()
    assert not any(b"AUTHENTICATE" in words for words in heard)


def test_a_login_that_may_be_taken_later_is_no_wrong_password(tmp_path: Path) -> None:
    later = [*LOGIN[:2], (b"", b"TAG NO [UNAVAILABLE] the directory is away\r\n")]
    with scripted(*later) as heard:
        line = lined(tmp_path, heard)
        with pytest.raises(Transient, match="refused the login") as caught:
            line.open()
        assert "the directory is away" in caught.value.detail
        assert not isinstance(caught.value, NoLogin)
        line.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"* 1 FETCH (UID 1 BODY[]<0> {9}\r\nabcdefghi)\r\nTAG OK done\r\n",
        b"* 1 FETCH (UID 1 BODY[]<0> 7)\r\nTAG OK done\r\n",
        b"* 1 FETCH (UID x BODY[]<0> {1}\r\na)\r\nTAG OK done\r\n",
        b"* 1 FETCH (UID 1 BODY[]<0> {1}\r\na\r\nTAG OK done\r\n",
        b"* 1 FETCH UID\r\nTAG OK done\r\n",
        b"what is this\r\n",
        b"* 1 FETCH (UID 1 BODY[]<0> {100}\r\nabc",
        b"* BYE\r\n",
    ],
)
def test_an_answer_that_is_no_imap_is_a_lost_connection(tmp_path: Path, answer: bytes) -> None:
    with scripted(*LOGIN, (b"SELECT", SELECTED), (b"FETCH", answer)) as heard:
        line = lined(tmp_path, heard)
        line.open()
        line.select()
        with pytest.raises(Lost):
            line.blocks([1], 0, 8)
        line.close()


SELECTED = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\nTAG OK [READ-WRITE] done\r\n"


def test_a_mailbox_that_can_only_be_read_is_not_read(tmp_path: Path) -> None:
    shut = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\nTAG OK [READ-ONLY] done\r\n"
    with scripted(*LOGIN, (b"SELECT", shut)) as heard:
        line = lined(tmp_path, heard)
        line.open()
        with pytest.raises(Transient, match='"INBOX" cannot be opened') as caught:
            line.select()
        assert caught.value.detail == "it can only be read"
        line.close()


def test_a_password_of_any_letters_is_shown_as_it_is(tmp_path: Path) -> None:
    with scripted(*LOGIN) as heard:
        line = lined(tmp_path, heard, user="gäte way")
        (tmp_path / "secret").write_text('pass wörd" \\\nand a comment\n', encoding="utf-8")
        line.open()
        line.close()
    from base64 import b64decode

    assert b64decode(heard[-1]).decode() == '\0gäte way\0pass wörd" \\'
