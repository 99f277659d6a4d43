"""TLS and logging in at the SMTP door, over real sockets, with real passwords."""

import asyncio
import base64
import os
import smtplib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from mailgate import users
from mailgate.errors import BadConfig
from mailgate.model import User
from mailgate.receive.login import BadExchangeError, exchange
from mailgate.receive.smtp import SmtpDoor
from tests.receive.counter import Client, Counter, Listen, converse
from tests.servers import certificate, require

ANN = User(name="ann", addresses=("ann@mg.test", "lab@mg.test"))
BOB = User(name="bob", addresses=("bob@mg.test",))
MAIL = b"From: ann@mg.test\r\n\r\ntree: upgma\r\n"
HASHED = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("another")
PLAIN = base64.b64encode(b"\0ann\0s\xc3\xa9cret")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Make a folder of a certificate, its key and two users."""
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder)
    # Cheap ones: what they cost is not what most tests are about.
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    lines = [
        f"ann {hasher.hash('sécret')} ann@mg.test lab@mg.test",
        # smtplib sends ASCII alone.
        f"bob {hasher.hash('other')} bob@mg.test",
    ]
    (folder / "users").write_text("\n".join(lines))
    return folder


@pytest.fixture
def counter() -> Counter:
    return Counter()


@asynccontextmanager
async def door(counter: Counter, files: Path, **limits) -> AsyncIterator[SmtpDoor]:
    listen = Listen(
        tls_cert=files / "cert.pem", tls_key=files / "key.pem", port_tls=0, users=files / "users"
    )
    opened = SmtpDoor(counter, listen, "localhost", **limits)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.stop(timedelta(seconds=2))


def trusting(files: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files / "cert.pem")


@asynccontextmanager
async def client(
    opened: SmtpDoor, files: Path, *, tls: str = "tls", hello: bool = True
) -> AsyncIterator[Client]:
    """Talk behind TLS that was there at once, or that STARTTLS has brought."""
    if tls == "tls":
        reader, writer = await asyncio.open_connection(
            "localhost", opened.port_tls, ssl=trusting(files)
        )
        talk = Client(reader, writer)
        await talk.reply()
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        talk = Client(reader, writer)
        await talk.reply()
        assert "250-STARTTLS" in await talk.ask(b"EHLO c")
        assert (await talk.ask(b"STARTTLS"))[:3] == "220"
        await writer.start_tls(trusting(files), server_hostname="localhost")
    if hello:
        await talk.ask(b"EHLO c")
    try:
        yield talk
    finally:
        writer.close()


# --- TLS --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["tls", "starttls"])
async def test_mail_comes_through_tls_and_login_is_offered_there_alone(
    counter: Counter, files: Path, tls: str
):
    content = bytes(range(256)) * 3500 + b"\r\n"
    async with door(counter, files) as opened, client(opened, files, tls=tls) as talk:
        told = await talk.ask(b"EHLO c")
        assert "250-AUTH PLAIN LOGIN" in told
        assert "STARTTLS" not in told
        await talk.begin()
        reply = await talk.ask(content.replace(b"\r\n.", b"\r\n..") + b".")
        assert reply == "250 2.0.0 taken as 1"
        assert (await talk.ask(b"STARTTLS"))[:3] == "503"
    assert counter.messages[0].content == content
    assert counter.messages[0].envelope.user is None


async def test_what_was_said_before_tls_is_forgotten(counter: Counter, files: Path):
    async with door(counter, files) as opened:
        async with client(opened, files, tls="starttls", hello=False) as talk:
            assert (await talk.ask(b"MAIL FROM:<ann@mg.test>"))[:3] == "503"
            assert (await talk.ask(b"AUTH PLAIN " + PLAIN))[:3] == "503"


@pytest.mark.parametrize("words", [b"RSET\r\n", b"\x16\x03\x01", b"\n"])
async def test_nothing_that_was_sent_in_the_clear_is_heard_after_the_handshake(
    counter: Counter, files: Path, words: bytes
):
    async with door(counter, files) as opened:
        lines = await converse(opened.port, b"EHLO c\r\nSTARTTLS\r\n" + words)
        assert lines[-1] == ("421 4.7.0 localhost nothing may follow STARTTLS before the handshake")


async def test_an_injected_command_that_comes_a_moment_later_ends_the_connection(
    counter: Counter, files: Path
):
    async with door(counter, files) as opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        talk = Client(reader, writer)
        await talk.reply()
        await talk.ask(b"EHLO c")
        await talk.ask(b"STARTTLS")
        await talk.say(b"MAIL FROM:<eve@mg.test>\r\n")
        heard = await asyncio.wait_for(reader.read(), 60)
        assert b"250" not in heard
        writer.close()


async def test_starttls_takes_no_argument(counter: Counter, files: Path):
    async with door(counter, files) as opened:
        lines = await converse(opened.port, b"EHLO c\r\nSTARTTLS now\r\n")
        assert lines[-1][:9] == "501 5.5.4"


async def test_a_client_that_shakes_no_hands_loses_its_place(counter: Counter, files: Path):
    async with door(counter, files, max_sessions=2, handshake=timedelta(seconds=0.3)) as opened:
        silent = [await asyncio.open_connection("127.0.0.1", opened.port_tls) for _ in range(2)]
        for reader, writer in silent:
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
        async with client(opened, files) as talk:
            assert (await talk.ask(b"NOOP"))[:3] == "250"


async def test_clients_in_a_handshake_count_as_sessions(counter: Counter, files: Path):
    async with door(counter, files, max_sessions=1) as opened:
        _, writer = await asyncio.open_connection("127.0.0.1", opened.port_tls)
        while not opened._sessions:
            await asyncio.sleep(0)
        assert (await converse(opened.port, b""))[0][:3] == "421"
        writer.close()


async def test_what_breaks_tls_is_no_failure_of_ours(
    counter: Counter, files: Path, capsys: pytest.CaptureFixture[str]
):
    async with door(counter, files) as opened:
        async with client(opened, files) as talk:
            wire = talk.writer.get_extra_info("socket")
            os.write(wire.fileno(), b"this is no TLS\r\n")
            assert await talk.reply() == ""
        while opened._sessions:
            await asyncio.sleep(0)
    assert "failed" not in capsys.readouterr().err


async def test_stopping_waits_for_no_handshake(counter: Counter, files: Path):
    async with door(counter, files) as opened:
        _, writer = await asyncio.open_connection("127.0.0.1", opened.port_tls)
        while not opened._sessions:
            await asyncio.sleep(0)
        began = time.monotonic()
        await opened.stop(timedelta(seconds=20))
        assert time.monotonic() - began < 10
        writer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_newer_is_spoken(counter: Counter, files: Path, version: ssl.TLSVersion):
    context = trusting(files)
    context.minimum_version = context.maximum_version = version
    async with door(counter, files) as opened:
        reader, writer = await asyncio.open_connection("localhost", opened.port_tls, ssl=context)
        assert (await reader.readline())[:3] == b"220"
        writer.close()


# --- logging in -------------------------------------------------------------------------------------


def word(text: bytes) -> bytes:
    return base64.b64encode(text)


def login(name: str, password: str) -> bytes:
    return b"AUTH PLAIN " + word(f"\0{name}\0{password}".encode())


@pytest.mark.parametrize(
    "words",
    [
        [b"AUTH PLAIN " + PLAIN],
        [b"auth plain " + word(b"ann\0ann\0s\xc3\xa9cret")],
        [b"AUTH PLAIN", PLAIN],
        [b"AUTH LOGIN", word(b"ann"), word("sécret".encode())],
        [b"AUTH LOGIN " + word(b"Ann"), word("se\u0301cret".encode())],
    ],
)
async def test_the_right_password_is_taken_in_every_way_to_say_it(
    counter: Counter, files: Path, words: list[bytes]
):
    async with door(counter, files) as opened, client(opened, files) as talk:
        *first, last = words
        for said in first:
            assert (await talk.ask(said))[:4] == "334 "
        assert await talk.ask(last) == "235 2.7.0 welcome"
        assert (await talk.ask(b"AUTH PLAIN " + PLAIN))[:3] == "503"
        await talk.ask(b"RSET")
        await talk.begin()
        await talk.ask(MAIL + b".")
    assert counter.messages[0].envelope.user == ANN


async def test_login_asks_in_the_words_that_clients_know(counter: Counter, files: Path):
    async with door(counter, files) as opened, client(opened, files) as talk:
        assert await talk.ask(b"AUTH LOGIN") == "334 " + word(b"Username:").decode()
        assert await talk.ask(word(b"ann")) == "334 " + word(b"Password:").decode()
        assert (await talk.ask(b"*")) == "501 5.7.0 cancelled"


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ([b"AUTH"], "504 5.5.4"),
        ([b"AUTH CRAM-MD5"], "504 5.5.4"),
        ([b"AUTH PLAIN", b"*"], "501 5.7.0"),
        ([b"AUTH PLAIN ="], "501 5.5.2"),
        ([b"AUTH PLAIN !!!!"], "501 5.5.2"),
        ([b"AUTH PLAIN " + PLAIN + b" more"], "501 5.5.2"),
        ([b"AUTH PLAIN " + word(b"ann\0secret")], "501 5.5.2"),
        ([b"AUTH PLAIN " + word(b"\0ann\0\xff")], "501 5.5.2"),
        ([b"AUTH PLAIN " + word(b"bob\0ann\0" + "sécret".encode())], "535 5.7.8"),
        ([b"AUTH PLAIN", b"A" * 5000], "500 5.5.6"),
        ([b"AUTH PLAIN " + b"A" * 100_000], "500 5.5.6"),
        ([b"AUTH LOGIN", word(b"ann"), b"\xff\0"], "501 5.5.2"),
        ([b"AUTH PLAIN " + word(b"\0ann\0secret")], "535 5.7.8"),
        ([b"AUTH PLAIN " + word(b"\0eve\0" + "sécret".encode())], "535 5.7.8"),
        ([b"AUTH PLAIN " + word(b"\0\0")], "535 5.7.8"),
        ([b"AUTH LOGIN", b"", b""], "535 5.7.8"),
    ],
)
async def test_what_is_no_right_login_is_told_so_and_lets_nobody_in(
    counter: Counter, files: Path, words: list[bytes], reply: str
):
    async with door(counter, files) as opened, client(opened, files) as talk:
        for said in words[:-1]:
            assert (await talk.ask(said))[:4] == "334 "
        assert (await talk.ask(words[-1]))[:9] == reply
        await talk.begin()
        await talk.ask(MAIL + b".")
    assert counter.messages[0].envelope.user is None


@given(
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda way, said: way + b" " + said,
            st.sampled_from([b"PLAIN", b"LOGIN"]),
            st.binary(max_size=40).map(base64.b64encode),
        ),
    ),
    st.lists(st.one_of(st.none(), st.binary(max_size=40), st.just(b"*")), min_size=2, max_size=2),
)
def test_any_words_in_auth_are_a_name_and_a_password_or_a_reply(
    argument: bytes, lines: list[bytes | None]
):
    answers = iter(lines)

    async def challenge(words: str) -> bytes | None:
        assert base64.b64decode(words, validate=True) in {b"", b"Username:", b"Password:"}
        return next(answers)

    reply = ""
    try:
        name, password = asyncio.run(exchange(argument, challenge))
        # No half characters, which nothing could hash.
        assert isinstance(f"{name}{password}".encode(), bytes)
    except BadExchangeError as bad:
        reply = bad.reply
    assert reply[:3] in {"", "500", "501", "504", "535"}


async def test_three_wrong_passwords_end_the_session(counter: Counter, files: Path):
    wrong = b"AUTH PLAIN " + word(b"\0ann\0wrong")
    async with door(counter, files) as opened, client(opened, files) as talk:
        for _ in range(3):
            assert (await talk.ask(wrong))[:3] == "535"
        assert await talk.reply() == "421 4.7.0 localhost too many failed logins"
        assert await talk.reply() == ""


async def test_whoever_guesses_is_sent_away_and_who_logged_in_from_there_is_not(
    counter: Counter, files: Path
):
    async def said(name: str, password: str) -> list[str]:
        async with client(opened, files) as talk:
            replies = [await talk.ask(login(name, password))]
            while len(replies) < 3 and replies[-1][:3] == "535":
                replies.append(await talk.ask(login(name, password)))
            return replies

    loop = asyncio.get_running_loop()
    async with door(counter, files) as opened:
        assert (await said("ann", "sécret"))[0][:3] == "235"
        began = loop.time()
        for name in ("bob", "eve"):
            first, second = await said(name, "guess"), await said(name, "guess")
            assert [reply[:3] for reply in first + second] == ["535"] * 5 + ["421"]
            assert "try again in" in second[2]
        # The right password is not even looked at.
        assert (await said("bob", "other"))[0][:3] == "421"
        codes, number = ["535"], 0
        while codes[-1] == "535":
            codes += [reply[:3] for reply in await said(f"u{number}", "guess")]
            number += 1
        # Twenty in all, and one more for each six seconds that this has taken.
        assert 10 <= codes[1:].count("535") <= 11 + (loop.time() - began) / 6
        assert codes[-1] == "421"
        assert (await said("ann", "sécret"))[0][:3] == "235"


async def test_no_password_is_taken_in_the_clear(counter: Counter, files: Path):
    async with door(counter, files) as opened:
        lines = await converse(
            opened.port, b"EHLO c\r\nAUTH PLAIN " + PLAIN + b"\r\nAUTH LOGIN\r\n"
        )
        assert [line[:10] for line in lines[-2:]] == ["538 5.7.11"] * 2
        assert not [line for line in lines if line.startswith("250-AUTH")]


async def test_nobody_logs_in_in_the_middle_of_a_mail(counter: Counter, files: Path):
    async with door(counter, files) as opened, client(opened, files) as talk:
        await talk.ask(b"MAIL FROM:<ann@mg.test> AUTH=<>")
        assert (await talk.ask(b"AUTH PLAIN " + PLAIN))[:3] == "503"


def test_a_name_that_nobody_has_takes_as_long_as_a_wrong_password(tmp_path: Path):
    users.put(tmp_path / "users", ANN, "sécret", owner=tmp_path)
    known = users.Users.read(tmp_path / "users")

    def spent(name: str) -> float:
        before = time.thread_time()
        for _ in range(5):
            assert known.check(name, "wrong") is None
        return time.thread_time() - before

    ours, nobodys = spent("ann"), spent("nobody")
    assert 0.5 < ours / nobodys < 2


async def test_many_who_log_in_at_once_all_get_in_and_others_have_their_turn(
    counter: Counter, files: Path
):
    async def login() -> str:
        async with client(opened, files) as talk:
            return await talk.ask(b"AUTH PLAIN " + PLAIN)

    async with door(counter, files) as opened:
        logins = [asyncio.create_task(login()) for _ in range(8)]
        while not any(task.done() for task in logins):
            lines = await converse(opened.port, b"EHLO c\r\nQUIT\r\n")
            assert lines[-1][:3] == "221"
        assert set(await asyncio.gather(*logins)) == {"235 2.7.0 welcome"}


# --- other people's clients -------------------------------------------------------------------------


async def test_smtplib_logs_in_over_both_kinds_of_tls(counter: Counter, files: Path):
    def by_starttls() -> None:
        with smtplib.SMTP("localhost", opened.port, timeout=20) as peer:
            peer.starttls(context=trusting(files))
            peer.login("bob", "other")
            peer.sendmail("ann@mg.test", ["align@mg.test"], MAIL)

    def by_tls() -> None:
        with smtplib.SMTP_SSL("localhost", opened.port_tls, context=trusting(files)) as peer:
            peer.login("bob", "other")
            peer.sendmail("ann@mg.test", ["align@mg.test"], MAIL)

    async with door(counter, files) as opened:
        await asyncio.to_thread(by_starttls)
        await asyncio.to_thread(by_tls)
    assert [taken.envelope.user for taken in counter.messages] == [BOB, BOB]


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("how", ["--tls", "--tls-on-connect"])
async def test_swaks_logs_in(counter: Counter, files: Path, how: str, method: str):
    swaks = require("swaks")
    perl = subprocess.run(
        [require("perl"), "-MNet::SSLeay", "-e1"], check=False, stderr=subprocess.DEVNULL
    )
    if perl.returncode:
        pytest.skip("not found: libnet-ssleay-perl")
    async with door(counter, files) as opened:
        port = opened.port if how == "--tls" else opened.port_tls
        words = [swaks, how, "--server", "127.0.0.1", "--port", str(port)]
        words += ["--auth", method, "--auth-user", "ann", "--auth-password", "sécret"]
        words += ["--from", "ann@mg.test", "--to", "align@mg.test"]
        run = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        told, _ = await run.communicate()
    assert run.returncode == 0, told.decode()
    assert counter.messages[0].envelope.user == ANN


# --- reading the files again ------------------------------------------------------------------------


async def test_a_new_certificate_and_new_users_count_without_a_restart(
    counter: Counter, files: Path, tmp_path: Path
):
    for name in ("cert.pem", "key.pem", "users"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    async with door(counter, tmp_path) as opened:
        async with client(opened, files) as before:
            certificate(tmp_path)
            users.put(tmp_path / "users", replace(BOB, name="eve"), "new", owner=tmp_path)
            opened.reload()
            async with client(opened, tmp_path) as talk:
                assert (await talk.ask(b"AUTH PLAIN " + word(b"\0eve\0new")))[:3] == "235"
            with pytest.raises(ssl.SSLCertVerificationError):
                async with client(opened, files):
                    pass
            assert (await before.ask(b"NOOP"))[:3] == "250"


@pytest.mark.parametrize("line", ["", "ann {} lab@mg.test", "ann {} ann@mg.test lab@mg.test"])
async def test_who_logged_in_and_may_not_any_more_hands_no_further_mail_over(
    counter: Counter, files: Path, tmp_path: Path, line: str
):
    for file in files.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    kept = (files / "users").read_text().split()[1]
    async with door(counter, tmp_path) as opened, client(opened, files) as talk:
        assert (await talk.ask(b"AUTH PLAIN " + PLAIN))[:3] == "235"
        opened.reload()
        await talk.begin()
        assert (await talk.ask(MAIL + b"."))[:3] == "250"
        # Removed; other addresses; another password.
        (tmp_path / "users").write_text(line.format(HASHED if "ann@" in line else kept))
        opened.reload()
        assert await talk.ask(b"MAIL FROM:<ann@mg.test>") == "421 4.7.0 localhost log in again"
        assert await talk.reply() == ""
    assert len(counter.messages) == 1


async def test_a_file_that_cannot_be_used_leaves_the_old_one(
    counter: Counter, files: Path, tmp_path: Path
):
    for name in ("cert.pem", "key.pem", "users"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    async with door(counter, tmp_path) as opened:
        (tmp_path / "key.pem").write_text("no key")
        (tmp_path / "users").write_text("ann secret ann@mg.test\n")
        opened.reload()
        async with client(opened, files) as talk:
            assert (await talk.ask(b"AUTH PLAIN " + PLAIN))[:3] == "235"
        # What can be used of two counts.
        (tmp_path / "users").write_text("")
        opened.reload()
        async with client(opened, files) as talk:
            assert (await talk.ask(b"AUTH PLAIN " + PLAIN))[:3] == "535"


def test_a_locked_key_is_refused_instead_of_waiting_at_the_terminal(files: Path, tmp_path: Path):
    locked = tmp_path / "key.pem"
    words = ["pkey", "-in", files / "key.pem", "-aes128", "-passout", "pass:x", "-out", locked]
    subprocess.run([require("openssl"), *words], check=True)
    listen = Listen(tls_cert=files / "cert.pem", tls_key=locked)
    with pytest.raises(BadConfig, match="locked by a passphrase"):
        SmtpDoor(Counter(), listen, "localhost")
