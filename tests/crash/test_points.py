"""The daemon dies at every point where something is committed or done, and nothing is lost or doubled."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.client.replies import within
from tests.crash.proof import Sent, deliver, mail_of, prepare, prove
from tests.daemon import ROOT, Gateway, attached, eventually, request, running, shell
from tests.receive.mailboxes import count, files, table
from tests.servers import Dovecot, dovecot

POINT = re.compile(r'crash\.point\(\s*"([^"]+)"')
# Not on the road of a daemon's mail: proved by tests of their own.
ELSEWHERE = {
    "purge:files-gone", "purge:mail-gone", "pipe:before-commit", "pipe:committed", "bounce:taken", "imap:committed",
    "imap:copied", "imap:moved", "run:claimed", "run:limited", "clean:unconfirmed", "clean:asked",
    "notice:planned",
    "reply:packing", "reply:packed", "reply:split", "reply:unpacking",
}  # fmt: skip


def points() -> list[str]:
    """Every named point, out of the source: a new one is tested by being there."""
    found: set[str] = set()
    for path in (ROOT / "mailgate").rglob("*.py"):
        found.update(POINT.findall(path.read_text()))
    return sorted(found)


@pytest.fixture(scope="module")
def mailboxes() -> Iterator[Dovecot]:
    with dovecot(protocols="imap") as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, slots=3) as made:
        prepare(made)
        yield made


@pytest.mark.parametrize("point", [p for p in points() if p not in ELSEWHERE])
def test_a_crash_loses_and_doubles_nothing(gateway: Gateway, point: str) -> None:
    # Each process counts for itself: of seven, one of the daemon and its two hands has three.
    # What the first death left behind is taken up by one that dies too.
    sent = [*dying(gateway, f"{point}@1", [5]), *dying(gateway, f"{point}@3", range(6, 13))]
    if not gateway.alive:
        gateway.start()
    prove(gateway, sent)


def dying(gateway: Gateway, crash: str, numbers: Sequence[int]) -> list[Sent]:
    """Send mails to a daemon that is to die so; return them once it has."""
    gateway.kill()
    gateway.start(wait=False, MAILGATE_CRASH=crash)
    before = list(gateway.endings)
    eventually(lambda: gateway.ready() or not gateway.alive)
    sent = deliver(gateway, numbers)
    # Who sends on starts it anew once it has died.
    ended = gateway.endings[len(before) :] or [gateway.died(60)]
    assert ended == [-9], gateway.logged()
    return sent


@pytest.mark.parametrize("point", ["pipe:before-commit", "pipe:committed"])
def test_a_crash_of_the_pipe_is_mended_by_the_next_delivery(gateway: Gateway, point: str) -> None:
    sent, content = mail_of(5)
    words = ("receive", "--sender", "ada@example.org", "--recipient", "once@gate.example.org")
    assert gateway.run(*words, stdin=content, MAILGATE_CRASH=point).returncode == -9
    assert gateway.run(*words, stdin=content).returncode == 0
    gateway.start()
    prove(gateway, [sent])


def test_a_crash_in_the_middle_of_a_purge_is_mended_by_the_next(gateway: Gateway) -> None:
    text = (gateway.folder / "services" / "once.toml").read_text()
    gateway.service("once", text + '\n[limits]\nkeep = "1s"\n')
    gateway.start()
    deliver(gateway, [5])
    gateway.await_results(1)
    eventually(lambda: not gateway.unsent(), 20)
    gateway.stop()

    def purged() -> bool:
        return gateway.run("purge", MAILGATE_CRASH="purge:files-gone").returncode == -9

    eventually(purged, 20)
    assert gateway.run("purge").returncode == 0
    assert gateway.jobs()[0]["phase"] == "ARCHIVED"


@pytest.mark.parametrize(
    ("point", "time"), [("accept:committed", 3), ("imap:committed", 1), ("imap:moved", 3)]
)
def test_a_crash_on_the_way_out_of_a_mailbox_loses_and_doubles_nothing(
    mailboxes: Dovecot, gateway: Gateway, point: str, time: int
) -> None:
    dying_at_a_mailbox(mailboxes, gateway, point, time)


def test_a_crash_between_copying_and_removing_leaves_one_copy(gateway: Gateway) -> None:
    bare = "protocol imap {\n  imap_capability = IMAP4rev1 UIDPLUS IDLE AUTH=PLAIN\n}\n"
    with dovecot(extra=bare, protocols="imap") as server:
        dying_at_a_mailbox(server, gateway, "imap:copied", 3)


def dying_at_a_mailbox(mailboxes: Dovecot, gateway: Gateway, point: str, time: int) -> None:
    """Have a daemon die on the way out of a mailbox, start it again, and prove what must hold."""

    def left() -> int:
        """How many mails are not done: what is marked as deleted is, where it cannot be removed."""
        return sum("T" not in name.partition(":2,")[2] for name in files(mailboxes, user, "INBOX"))

    user = f"crash{point.replace(':', '')}{time}"
    gateway.configure(slots=3, more=table(mailboxes.imap, user=user, poll="1s"))
    (gateway.folder / "secret").write_text("secret")
    (gateway.folder / "secret").chmod(0o600)
    sent, mails = zip(*(mail_of(number) for number in range(5, 12)), strict=True)
    gateway.start(wait=False, MAILGATE_CRASH=f"{point}@{time}")
    for mail in mails:
        # One after the other, so that there is more than one batch; the dead take none.
        mailboxes.deposit(user, [returned(mail)])
        eventually(lambda: not left() or not gateway.alive, 60, gateway.logged)
    eventually(lambda: not gateway.alive, 60, gateway.logged)
    gateway.start()
    eventually(lambda: not left(), 60, gateway.logged)
    prove(gateway, sent)
    assert gateway.endings == [-9]
    assert left() == 0
    # One that was moved before it was known to be is there once all the same.
    assert count(mailboxes, user, "Done") == 7


def returned(mail: bytes) -> bytes:
    return b"Return-Path: <ada@example.org>\n" + mail


@pytest.mark.parametrize(
    "point",
    [
        "reply:packing",
        "reply:packed",
        "reply:split",
        "reply:written@4",
        "deliver:sent@3",
        "commit:after@9",
    ],
)
def test_a_crash_between_parts_loses_and_doubles_none(gateway: Gateway, point: str) -> None:
    more = 'printf "%s" "$MAILGATE_JOB"; head -c 150000 /dev/urandom; seq 90000 > seq.txt'
    gateway.service("parts", shell(more, '[output]\nfiles = ["*.txt"]'))
    gateway.configure(max_size="60 KiB")
    gateway.start(wait=False, MAILGATE_CRASH=point)
    eventually(lambda: gateway.ready() or not gateway.alive)
    gateway.send(request("parts"))
    gateway.died()
    gateway.start()
    eventually(lambda: gateway.results() and not gateway.unsent(), 60, gateway.logged)
    results = gateway.results()
    results = gateway.results()
    numbers = [json.loads(attached(x)["job.json"])["part"] for x in results]
    assert len({str(x["Message-ID"]) for x in results}) == len(results) == numbers[0]["of"]
    assert {part["number"] for part in numbers} == set(range(1, len(results) + 1))
    assert len({part["shipment"] for part in numbers}) == 1
    comes_back(gateway)
    # The packed file goes with its job; a draft of it that a crash left goes with a sweep.
    (folder,) = gateway.spool.glob("jobs/*/*")
    left = sorted((gateway.spool / "letters").iterdir())
    assert all(file.name.startswith(folder.name) for file in left)
    assert len(left) == 1 + (point == "reply:packing")


def comes_back(gateway: Gateway) -> None:
    """See that accat makes of the parts what the job wrote."""
    (folder,) = gateway.spool.glob("jobs/*/*")
    for name, path in (("stdout", "out/stdout"), ("seq.txt", "work/seq.txt")):
        done = within("--name", name, gateway.outgoing / "ada@example.org")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == (folder / path).read_bytes()


def test_a_restored_backup_mails_parts_whose_packed_file_was_lost(
    gateway: Gateway, tmp_path: Path
) -> None:
    more = "head -c 150000 /dev/urandom; seq 90000 > seq.txt"
    gateway.service("parts", shell(more, '[output]\nfiles = ["*.txt"]'))
    gateway.configure(max_size="60 KiB")
    gateway.start(wait=False, MAILGATE_CRASH="reply:split")
    eventually(lambda: gateway.ready() or not gateway.alive)
    gateway.send(request("parts"))
    gateway.died()
    assert gateway.run("backup", str(tmp_path / "copy")).returncode == 0
    (packed,) = (gateway.spool / "letters").glob("*.gz")
    assert (tmp_path / "copy/letters" / packed.name).read_bytes() == packed.read_bytes()
    gateway.spool.rename(tmp_path / "was")
    (tmp_path / "copy").rename(gateway.spool)
    packed.unlink()
    gateway.start(wait=False, MAILGATE_CRASH="reply:unpacking")
    gateway.died()
    gateway.start()
    eventually(lambda: gateway.results() and not gateway.unsent(), 60, gateway.logged)
    # What had no need of that file went as it was; then all of it was cut anew.
    parts = [json.loads(attached(x)["job.json"])["part"] for x in gateway.results()]
    assert {part["number"] for part in parts} == set(range(1, parts[0]["of"] + 1))
    comes_back(gateway)
