"""The IMAP door on a real Dovecot: what is taken is moved, what is refused too, the rest waits."""

import imaplib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.errors import Declined, Lost
from mailgate.receive.imap.line import Line
from tests.daemon import request
from tests.receive.mailboxes import count, door_of, files, house, raw, table, user
from tests.servers import Dovecot, dovecot, folder_for_all

BARE = "protocol imap {\n  imap_capability = IMAP4rev1 AUTH=PLAIN\n}\n"
UIDPLUS = BARE.replace("AUTH", "UIDPLUS AUTH")


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with dovecot() as made:
        yield made


class Provider(BaseHTTPRequestHandler):
    """Tells Dovecot whose a token is: only a fresh one is anybody's."""

    def do_GET(self) -> None:
        known = "fresh" in self.path
        words = b'{"user": "gateway"}' if known else b'{"error": "invalid_token"}'
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *_: object) -> None:
        pass


# Dovecot lets whoever fails wait for long: not so here.
STRICT = """
auth_mechanisms = plain xoauth2
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = oauth2
  mechanisms = xoauth2
  args = PLACE/oauth2
}
"""


@pytest.fixture(scope="module")
def strict() -> Iterator[Dovecot]:
    """A Dovecot that also takes tokens, and asks a provider of our own whose they are."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Provider) as provider,
        folder_for_all("oauth-") as at,
    ):
        serving = threading.Thread(target=provider.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{provider.server_port}/?access_token="
        (at / "oauth2").write_text(f"tokeninfo_url = {url}\nusername_attribute = user\n")
        (at / "oauth2").chmod(0o644)
        try:
            with dovecot(extra=STRICT.replace("PLACE", str(at)), protocols="imap") as made:
                yield made
        finally:
            provider.shutdown()
            serving.join()


def number(count: int) -> list[bytes]:
    return [raw(request(message_id=f"<{n}@example.org>")) for n in range(count)]


async def test_what_is_durable_lies_in_done_and_what_is_refused_in_failed(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    stranger = raw(request(message_id="<s@example.org>", sender="eve@elsewhere.test"))
    nowhere = raw(request("nosuch", message_id="<n@example.org>"))
    others = raw(request(message_id="<o@example.org>")).replace(b"To: echo@gate", b"To: bob@mx")
    server.deposit(name, [stranger, *number(1), nowhere, others])
    async with house(tmp_path, table(server.imap, user=name)) as it, it.reading():
        await it.until(lambda: count(server, name, "Failed") == 3)
        await it.until(lambda: count(server, name, "Done") == 1)
        await it.until(lambda: not count(server, name))
        assert it.taken() == ["<0@example.org>"]
        refused = it.spool.view.all("SELECT key, detail FROM event WHERE verb = 'refused'")
        assert {row["key"]: row["detail"] for row in refused} == {
            "<s@example.org>": 'eve@elsewhere.test may not use the service "echo"',
            "<n@example.org>": "there is no service at nosuch@gate.example.org",
            "<o@example.org>": "no address of this gateway stands in Delivered-To,"
            " X-Original-To, To, Cc",
        }
        # Nothing was marked as read, neither here nor there.
        names = files(server, name, "Failed") + files(server, name, "Done")
        assert len(names) == 4
        assert not any("S" in one.partition(":2,")[2] for one in names)


RESULTS = b"""\
Received: from mx.example.org (mx [10.0.0.1]) by imap.example.org with LMTP id 7; now\r
Authentication-Results: mx.example.org; dmarc=pass header.from=example.org\r
Received: from out.example.org (out [192.0.2.9]) by mx.example.org (Postfix) with ESMTPS id 4; now\r
"""


async def test_a_sender_is_believed_by_what_the_border_wrote_on_the_mail_and_not_without(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    fine, bare = number(2)
    below = RESULTS.replace(
        b"Received: from out", b"Received: by elsewhere.test\r\nReceived: from out"
    )
    forged = raw(request(message_id="<forged@example.org>"))
    forged = below.replace(b"mx.example.org;", b"evil.example.org;") + forged
    server.deposit(name, [RESULTS + fine, bare, forged])
    border = '[trust]\nauthserv_id = "mx.example.org"\n'
    tables = table(server.imap, user=name, trust=False) + border
    async with house(tmp_path, tables) as it, it.reading():
        await it.until(lambda: count(server, name, "Failed") == 2)
        await it.until(lambda: count(server, name, "Done") == 1)
        assert it.taken() == ["<0@example.org>"]
        (row,) = it.spool.view.all("SELECT how FROM message")
        assert row["how"] == "authentication-results"
        assert all("Nothing vouches for ada@example.org" in line for line in it.logged("refused"))


async def test_without_a_border_that_is_believed_no_mailbox_vouches_for_anybody(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    server.deposit(name, [RESULTS + raw()])
    networks = '[trust]\nnetworks = ["0.0.0.0/0", "::/0"]\n'
    tables = table(server.imap, user=name, trust=False) + networks
    async with house(tmp_path, tables) as it, it.reading():
        await it.until(lambda: count(server, name, "Failed"))
        assert "no [trust] authserv_id says whose word counts there" in it.logged("refused")[0]
        assert it.taken() == []


@pytest.mark.parametrize("capability", [BARE, UIDPLUS], ids=["neither", "uidplus"])
async def test_without_move_or_idle_mail_is_done_and_what_others_marked_stays(
    tmp_path: Path, capability: str
) -> None:
    with dovecot(extra=capability, protocols="imap") as plain:
        plain.deposit("gateway", number(3))
        place = plain.folder / "mail" / "gateway"
        marked = min((place / "new").iterdir())
        marked.rename(place / "cur" / f"{marked.name}:2,T")
        # One was copied by somebody who came no further.
        with imaplib.IMAP4("127.0.0.1", plain.imap) as session:
            session.login("gateway", "secret")
            session.create("Done")
            session.select()
            session.uid("COPY", "2", "Done")
        async with house(tmp_path, table(plain.imap, poll="1s")) as it:
            async with it.reading():
                await it.until(lambda: count(plain, "gateway", "Done") == 2)
                plain.deposit("gateway", [raw(request(message_id="<late@example.org>"))])
                await it.until(lambda: count(plain, "gateway", "Done") == 3)
            assert it.taken() == [f"<{n}@example.org>" for n in (1, 2, "late")]
            assert "idle=no move=no" in it.logged("listening")[0]
        left = files(plain, "gateway", "INBOX")
        # Without UIDPLUS ours stay, too, marked as deleted, for whoever may remove them.
        assert len(left) == (1 if capability is UIDPLUS else 4)
        assert all("T" in one.partition(":2,")[2] for one in left)


async def test_new_mail_is_noticed_at_once_where_the_server_has_idle(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    async with house(tmp_path, table(server.imap, user=name, poll="25m")) as it, it.reading():
        await it.until(lambda: it.logged("listening"))
        for mail in number(3):
            server.deposit(name, [mail])
            await it.until(lambda: not count(server, name))
        assert count(server, name, "Done") == 3


async def test_a_mail_of_many_blocks_arrives_byte_for_byte_and_one_too_big_is_refused(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    data = os.urandom(3 << 20)
    big = raw(request(attachments={"data": data}, message_id="<big@example.org>"))
    # As long as whole blocks are, so that the last one is empty.
    even = raw(request(message_id="<even@example.org>"))
    even += b"x" * ((512 << 10) - len(even) - 2) + b"\r\n"
    huge = raw(request(attachments={"data": b"x" * (6 << 20)}, message_id="<huge@example.org>"))
    server.deposit(name, [big, even, huge])
    tables = table(server.imap, user=name, max_size="5 MiB")
    async with house(tmp_path, tables) as it, it.reading():
        await it.until(lambda: count(server, name, "Failed") == 1)
        await it.until(lambda: count(server, name, "Done") == 2)
        rows = it.spool.view.all("SELECT key, file, size FROM message ORDER BY size")
        assert [row["key"] for row in rows] == ["<even@example.org>", "<big@example.org>"]
        kept = [(it.spool.folder.mail / row["file"]).read_bytes() for row in rows]
        assert kept == [even, big]
        assert "<huge@example.org>" in it.logged("refused")[0]
        assert "5 MiB" in it.logged("refused")[0]


async def test_an_end_in_the_middle_of_a_mail_leaves_it_to_the_next_start(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    server.deposit(name, [raw(request(attachments={"data": b"x" * (30 << 20)}))])
    async with house(tmp_path, table(server.imap, user=name)) as it:
        async with it.reading():
            await it.until(lambda: any(it.spool.folder.mail.iterdir()))
        assert it.taken() == []
        assert not any(it.spool.folder.mail.iterdir())
        assert count(server, name) == 1
        async with it.reading():
            await it.until(lambda: count(server, name, "Done"))
        assert len(it.taken()) == 1


async def test_a_full_disk_leaves_every_mail_where_it_is(server: Dovecot, tmp_path: Path) -> None:
    name = user()
    server.deposit(name, number(40))
    tables = table(server.imap, user=name)
    async with house(tmp_path, tables, min_free="100000 TiB") as it, it.reading():
        await it.until(lambda: it.logged("delayed what=mail"))
        # Not one try a mail: the others would fare no better.
        assert len(it.logged("delayed what=mail")) < 40
        assert count(server, name) == 40
    async with house(tmp_path, tables) as it, it.reading():
        await it.until(lambda: count(server, name, "Done") == 40)
        assert sorted(it.taken()) == sorted(f"<{n}@example.org>" for n in range(40))


async def test_a_folder_that_cannot_be_made_is_told_once_and_made_later(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    server.deposit(name, number(1))
    place = server.folder / "mail" / name
    place.chmod(0o500)
    async with house(tmp_path, table(server.imap, user=name, done="Later")) as it, it.reading():
        (told,) = await it.until(lambda: it.logged("delayed"))
        assert 'the folder \\"Later\\" cannot be made' in told
        knocks = server.log().count(f"user=<{name}>")
        await it.until(lambda: server.log().count(f"user=<{name}>") > knocks + 1)
        assert it.logged("delayed") == [told]
        assert it.taken() == []
        place.chmod(0o700)
        await it.until(lambda: count(server, name, "Later"))
        assert it.taken() == ["<0@example.org>"]


async def test_what_cannot_be_moved_is_taken_once_and_moved_later(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    tables = table(server.imap, user=name, done="Shut", poll="1s")
    async with house(tmp_path, tables) as it, it.reading():
        await it.until(lambda: it.logged("listening"))
        shut = server.folder / "mail" / name / ".Shut"
        for part in ("tmp", "new", "cur"):
            (shut / part).chmod(0o500)
        server.deposit(name, number(1))
        await it.until(lambda: len(it.logged("delayed what=listen.imap uid=1")) > 1)
        assert it.taken() == ["<0@example.org>"]
        for part in ("tmp", "new", "cur"):
            (shut / part).chmod(0o700)
        await it.until(lambda: count(server, name, "Shut"))
        assert it.taken() == ["<0@example.org>"]


async def test_a_server_killed_in_the_middle_of_a_fetch_and_back_with_other_uids_loses_nothing(
    tmp_path: Path,
) -> None:
    with dovecot(protocols="imap") as fragile:
        big = raw(request(attachments={"data": b"x" * (30 << 20)}, message_id="<big@example.org>"))
        fragile.deposit("gateway", [*number(2), big, *number(4)[2:]])
        async with house(tmp_path, table(fragile.imap)) as it, it.reading():
            # Past the border of what is kept in memory a mail lies in a file.
            await it.until(lambda: any(it.spool.folder.mail.iterdir()))
            fragile.kill()
            await it.until(lambda: it.logged("delayed what=listen.imap "))
            assert it.taken() == ["<0@example.org>", "<1@example.org>"]
            assert not any(it.spool.folder.mail.iterdir())
            # UIDs begin at 1 again, under another UIDVALIDITY.
            for index in (fragile.folder / "mail" / "gateway").glob("dovecot*"):
                index.unlink()
            fragile.start()
            await it.until(lambda: count(fragile, "gateway", "Done") == 5)
            assert it.taken() == [f"<{n}@example.org>" for n in (0, 1, "big", 2, 3)]
            assert len(it.logged("listening")) == 2


async def test_a_mail_that_is_deleted_meanwhile_is_passed_over(
    server: Dovecot, tmp_path: Path
) -> None:
    name = user()
    server.deposit(name, number(3))
    door = door_of(tmp_path, table(server.imap, user=name))
    ours, theirs = Line(door, Bell()), Line(door, Bell())
    ours.open()
    theirs.open()
    try:
        assert ours.select().exists == 3
        uids = ours.uids(1, 3)
        theirs.select()
        theirs.move(uids[:1], "Elsewhere")
        with suppress(Declined):
            assert set(ours.sizes(uids)) <= set(uids)
        assert set(ours.blocks(uids[1:], 0, 1000)) == set(uids[1:])
        with suppress(Declined):
            assert ours.blocks(uids[:1], 0, 1000) == {}
        ours.move(uids, "Done")
        assert count(server, name, "Done") == 2
        assert ours.select().exists == 0
    finally:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("folder", ["Prüfung & mehr", "INBOX.Done", '100% "so*so"', "1234"])
def test_a_folder_may_have_any_name_that_the_server_takes(
    server: Dovecot, tmp_path: Path, folder: str
) -> None:
    name = user()
    server.deposit(name, number(1))
    line = Line(door_of(tmp_path, table(server.imap, user=name)), Bell())
    line.open()
    line.ensure(folder)
    assert line.has(folder)
    line.select()
    line.move(line.uids(1, 1), folder)
    assert line.select().exists == 0
    line.close()


def test_a_folder_that_cannot_be_made_is_told_with_the_servers_words(
    server: Dovecot, tmp_path: Path
) -> None:
    line = Line(door_of(tmp_path, table(server.imap, user=user())), Bell())
    line.open()
    with pytest.raises(Declined, match='the folder "a/b" cannot be made') as caught:
        line.ensure("a/b")
    line.close()
    assert "Invalid mailbox name" in caught.value.detail


async def test_a_mailbox_that_hangs_holds_up_no_other_and_no_end(
    server: Dovecot, tmp_path: Path
) -> None:
    first, second = user(), user()
    # The kernel connects whoever comes, and nobody ever says a word.
    hanging = socket.create_server(("127.0.0.1", 0))
    port = hanging.getsockname()[1]
    tables = (
        table(server.imap, "one", user=first)
        + table(port, "hangs", user="x")
        + table(server.imap, "two", user=second)
    )
    server.deposit(first, number(2))
    server.deposit(second, number(2))
    with hanging:
        async with house(tmp_path, tables) as it:
            async with it.reading(grace=0.5):
                await it.until(lambda: count(server, first, "Done") == 2)
                await it.until(lambda: count(server, second, "Done") == 2)
                began = time.monotonic()
            assert time.monotonic() - began < 20
            # The same mails out of two mailboxes are taken twice, and act once.
            assert sorted(it.taken()) == sorted(2 * ["<0@example.org>", "<1@example.org>"])


async def test_a_refused_login_is_told_in_words_once_and_tried_again(
    strict: Dovecot, tmp_path: Path
) -> None:
    strict.deposit("ada", number(1))
    async with house(tmp_path, table(strict.imap, user="ada")) as it:
        (tmp_path / "secret").write_text("wrong")
        async with it.reading():
            (told,) = await it.until(lambda: it.logged("delayed"))
            assert 'reason="127.0.0.1 refused the login of ada"' in told
            assert "AUTHENTICATIONFAILED" in told
            assert "wrong" not in told
            await it.until(lambda: strict.log().count("mismatch") > 1)
            assert it.logged("delayed") == [told]
            (tmp_path / "secret").write_text("secret\n")
            await it.until(lambda: count(strict, "ada", "Done"))


async def test_a_token_is_got_anew_for_each_login(strict: Dovecot, tmp_path: Path) -> None:
    strict.deposit("gateway", number(1))
    (tmp_path / "token").write_text("expired")
    tables = table(strict.imap, password_file=None, token_command=["cat", "token"])
    async with house(tmp_path, tables) as it, it.reading():
        (told,) = await it.until(lambda: it.logged("delayed"))
        assert 'reason="127.0.0.1 refused the login of gateway"' in told
        assert "expired" not in told
        (tmp_path / "token").write_text("fresh")
        await it.until(lambda: count(strict, "gateway", "Done"))


@pytest.mark.parametrize("tls", ["tls", "starttls"])
async def test_over_tls_a_server_is_believed_by_its_certificate_alone(
    server: Dovecot, tmp_path: Path, tls: str
) -> None:
    name = user()
    server.deposit(name, number(1))
    port = server.imaps if tls == "tls" else server.imap
    line = Line(door_of(tmp_path, table(port, user=name, tls=tls)), Bell())
    with pytest.raises(Lost) as caught:
        line.open()
    line.close()
    assert "certificate verify failed" in f"{caught.value} {caught.value.detail}"
    tables = table(port, user=name, tls=tls, ca_file=str(server.certificate))
    async with house(tmp_path, tables) as it, it.reading():
        await it.until(lambda: count(server, name, "Done"))
        server.deposit(name, [raw()])
        await it.until(lambda: count(server, name, "Done") == 2)
