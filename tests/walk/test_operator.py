"""The operator's commands, beside a running gateway and without one."""

import hashlib
import json
import os
import pty
import re
import smtplib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailgate.spool.database import Site
from mailgate.spool.store import Folder, direct
from tests import servers
from tests.daemon import (
    ADA,
    ADDRESS,
    ECHO,
    ROOT,
    TRUE,
    Gateway,
    attached,
    eventually,
    read,
    request,
    running,
    shell,
    text_of,
)
from tests.deliver.relay import relay_beside
from tests.disks import small_disk
from tests.servers import free_port

BOB = "bob@example.org"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("echo", ECHO)
        made.service("true", TRUE)
        yield made


def said(gateway: Gateway, *words: str) -> str:
    """What a command prints, where it works."""
    done = gateway.run(*words)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def complaint(gateway: Gateway, *words: str, status: int) -> str:
    """What a command says on standard error, where it does not."""
    done = gateway.run(*words)
    assert done.returncode == status, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    return done.stderr.decode()


def settled(gateway: Gateway) -> None:
    eventually(lambda: not gateway.unsent(), 30, gateway.logged)


# --- jobs -------------------------------------------------------------------------------------------


def test_jobs_are_told_the_same_beside_a_daemon_and_without_one(gateway: Gateway) -> None:
    gateway.service("fails", shell("echo oh no >&2; exit 3"))
    gateway.start()
    gateway.send(request(body="label: one of two\n", attachments={"data.txt": b"hello\n"}))
    gateway.await_results(1)
    gateway.send(request("fails"))
    gateway.await_results(2)
    settled(gateway)

    def told() -> list[str]:
        ids = [str(job["id"]) for job in gateway.jobs()]
        every = [said(gateway, "job", beginning[:6]) for beginning in ids]
        return [said(gateway, "jobs"), said(gateway, "jobs", "--json"), *every]

    beside = told()
    assert gateway.stop() == 0
    assert told() == beside
    heading, fails, echo = beside[0].splitlines()
    assert heading.split() == ["id", "phase", "service", "owner", "created", "exit", "label"]
    assert re.fullmatch(rf"\w+  ERROR      fails    {ADA}  [\d-]+ [\d:]+Z  3     -", fails)
    assert re.fullmatch(rf"\w+  COMPLETED  echo     {ADA}  [\d-]+ [\d:]+Z  0     one of two", echo)
    # A list of many does not look for what each has put out, and does not say that it is nothing.
    assert "streams" not in json.loads(beside[1].splitlines()[0])
    job = json.loads(beside[1].splitlines()[1])
    assert (job["phase"], job["exit"], job["label"]) == ("COMPLETED", "0", "one of two")
    assert job["created"] <= job["started"] <= job["ended"] < job["destruction"]
    told_of_echo = beside[3]
    digest = hashlib.sha256(b"hello\n").hexdigest()
    for words in ("command       cat", "input         data  data.txt", f"bytes  {digest}"):
        assert words in told_of_echo
    assert re.search(r"history .* advanced  from=EXECUTING to=COMPLETED", told_of_echo)
    assert "exit code 3" in beside[2]
    (folder,) = re.findall(r"^folder +(/.*)$", told_of_echo, re.MULTILINE)
    (path,) = re.findall(rf"^output +\S+  6 bytes  {digest}  (.*)$", told_of_echo, re.MULTILINE)
    assert (Path(folder) / path).read_bytes() == b"hello\n"


def test_a_job_is_found_by_the_beginning_of_its_name_where_that_is_one(gateway: Gateway) -> None:
    gateway.configure(paused=True)
    with closing(_spool(gateway)) as spool:
        for name in ("aaaaaaaaaaaa", "aaaabbbbbbbb"):
            spool.execute(
                "INSERT INTO job (id, service, owner, how, phase, parameters, plan, notify, reply,"
                " created, keep, message, ignored, left_out, words, progress_words, attempts)"
                " VALUES (?, 'true', ?, 'network', 'QUEUED', '{}', '{\"argv\":[\"true\"]}', '[]',"
                " 'full', 1, 1, 1, '[]', '[]', '', '', 0)",
                (name, ADA),
            )
    assert "aaaabbbbbbbb" in said(gateway, "job", "aaaab")
    assert json.loads(said(gateway, "job", "--json", "aaaaa"))["id"] == "aaaaaaaaaaaa"
    several = complaint(gateway, "job", "aaaa", status=1)
    assert several.startswith(
        "mailgate: aaaa is the beginning of several jobs: aaaaaaaaaaaa, aaaab"
    )
    assert complaint(gateway, "job", "zz\x1b[1m", status=1) == (
        "mailgate: there is no job zz\\x1b[1m\n"
    )


def _spool(gateway: Gateway) -> sqlite3.Connection:
    """The database, as a start would make it."""
    with direct(Folder(gateway.spool), Site.of(ADDRESS)):
        pass
    return sqlite3.connect(gateway.spool / "spool.db", isolation_level=None, timeout=30)


# --- held mail --------------------------------------------------------------------------------------


def test_held_mail_is_listed_shown_released_and_deleted(gateway: Gateway) -> None:
    gateway.start()
    bulk = [request("true", Precedence="bulk") for _ in range(2)]
    for mail in bulk:
        gateway.send(mail)
    lines = said(gateway, "hold", "list").splitlines()
    for line, mail in zip(lines, bulk, strict=True):
        number, _, sender, key, reason = re.split(r"  +", line)
        assert f"accepted message={number} key={key} " in gateway.logged()
        assert (sender, key) == (ADA, mail["Message-ID"])
        assert "bulk" in reason
        assert str(mail["Message-ID"]) in said(gateway, "hold", "show", number)
    first, second = (line.split()[0] for line in lines)
    released = said(gateway, "hold", "release", first)
    assert released.startswith(f"mail {first} is released: ")
    gateway.await_results(1)
    # Without the daemon too: what is released then is read at the next start.
    assert gateway.stop() == 0
    deleted = said(gateway, "hold", "delete", second)
    assert deleted.startswith(f"mail {second} is deleted: ")
    assert said(gateway, "hold", "list") == ""
    for action in ("show", "release", "delete"):
        assert complaint(gateway, "hold", action, second, status=1) == (
            f"mailgate: no mail {second} is held\n"
        )
    told = said(gateway, "explain", str(bulk[1]["Message-ID"]))
    assert "deleted: " in told
    assert len(gateway.jobs()) == 1


def test_what_is_released_without_a_daemon_is_acted_on_at_the_next_start(gateway: Gateway) -> None:
    mail = request("true", Precedence="bulk").as_bytes()
    words = ("receive", "--sender", ADA, "--recipient", "true@gate.example.org")
    assert gateway.run(*words, stdin=mail).returncode == 0
    (line,) = said(gateway, "hold", "list").splitlines()
    said(gateway, "hold", "release", line.split()[0])
    gateway.start()
    gateway.await_results(1)
    (job,) = gateway.jobs()
    assert f"{'how':<12}  network (the trusted pipe)\n" in said(gateway, "job", str(job["id"]))


def test_no_mail_writes_to_the_operators_terminal(gateway: Gateway) -> None:
    gateway.start()
    key = "<\x1b[2J\x1b]0;owned\x07.\u202e\x9b1m@example.org>"
    head = f"From: {ADA}\r\nMessage-ID: {key}\r\nList-Id: \x1b[31m<l>\r\nSubject: \x1b[5m\x08\r\n"
    mail = f"{head}\r\nlabel: \x1b[1mbold\x7f\n".encode()
    gateway.send(mail, to="true@gate.example.org")
    (held,) = said(gateway, "hold", "list").splitlines()
    assert r"List-Id: \x1b[31m<l>" in held
    said(gateway, "hold", "release", held.split()[0])
    eventually(lambda: "true:" in gateway.logged("read"), 30, gateway.logged)
    settled(gateway)
    printed = [held, said(gateway, "jobs"), said(gateway, "queue"), gateway.logged()]
    printed += [said(gateway, "job", str(job["id"])) for job in gateway.jobs()]
    # What has such characters is no Message-ID: the mail goes by its digest.
    printed.append(said(gateway, "explain", held.split()[4]))
    assert complaint(gateway, "explain", key, status=1).count("\\x1b") == 2
    for text in printed:
        assert all(c.isprintable() or c == "\n" for c in text), text


def test_a_held_mail_is_shown_byte_for_byte_but_to_a_terminal_only_as_words(
    gateway: Gateway,
) -> None:
    mail = f"From: {ADA}\r\nList-Id: <l>\r\n\r\n\x1b[2J\xe9 \u20ac\r\n".encode()
    words = ("receive", "--sender", ADA, "--recipient", "true@gate.example.org")
    assert gateway.run(*words, stdin=mail).returncode == 0
    (line,) = said(gateway, "hold", "list").splitlines()
    assert gateway.run("hold", "show", line.split()[0]).stdout == mail
    seen, terminal = pty.openpty()
    show = [sys.executable, "-m", "mailgate.cli.main", "hold", "-c", gateway.config, "show"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*show, line.split()[0]], stdout=terminal, env=environment, check=True)
    os.close(terminal)
    shown = os.read(seen, 10_000).decode()
    os.close(seen)
    assert "List-Id: <l>\r\n\r\n\\x1b[2Jé €\r\n" in shown


# --- decisions --------------------------------------------------------------------------------------


def test_every_decision_about_a_mail_is_explained_in_order(gateway: Gateway) -> None:
    gateway.service("dies", shell("kill -9 $$", '[retry]\ntimes = 1\non = ["signal"]'))
    gateway.start()
    mail = request("dies", Precedence="bulk")
    key = str(mail["Message-ID"])
    with pytest.raises(smtplib.SMTPException):
        gateway.send(mail, to="nothing@gate.example.org")
    with pytest.raises(smtplib.SMTPException):
        gateway.send(request("dies", message_id=key, sender="eve@elsewhere.test"))
    gateway.send(mail)
    (held,) = said(gateway, "hold", "list").splitlines()
    said(gateway, "hold", "release", held.split()[0])
    gateway.await_results(1)
    gateway.send(request("dies", message_id=key))
    eventually(lambda: "duplicate" in gateway.logged("read"), 30, gateway.logged)
    settled(gateway)
    told = said(gateway, "explain", key)
    expected = (
        r"refused: eve@elsewhere\.test may not use",
        r"accepted as message 1: through smtp, \d+ bytes, from ada@example\.org, known by network",
        r"held: for dies: Precedence: bulk",
        r"released",
        r"DONE for dies: job",
        r"job \w+ created",
        r"job \w+ advanced from=QUEUED to=EXECUTING",
        r"job \w+ retried reason=signal attempt=1",
        r"job \w+ advanced from=EXECUTING to=ERROR exit=signal 9",
        r"letter 1 \(result\) to ada@example\.org planned as <",
        r"letter 1 \(result\) to ada@example\.org sent: ",
        r"accepted as message 2",
        r"DONE for dies: duplicate",
    )
    for words in expected:
        assert re.search(rf"^[\d-]+ [\d:]+Z  {words}", told, re.MULTILINE), (words, told)
    assert told.splitlines() == sorted(told.splitlines(), key=lambda line: line[:20])
    # With its brackets, without them, and by its bytes where it has none.
    assert said(gateway, "explain", key.strip("<>")) == told
    bare = b"From: ada@example.org\r\n\r\n\r\n"
    gateway.send(bare, to="true@gate.example.org")
    eventually(lambda: len(gateway.results()) == 2, 30, gateway.logged)
    by_bytes = said(gateway, "explain", hashlib.sha256(bare).hexdigest())
    assert "accepted as message 3" in by_bytes
    unknown = complaint(gateway, "explain", "<no@such>", status=1)
    assert unknown == "mailgate: nothing is known of a mail <no@such>\n"


def test_why_letters_wait_is_explained(gateway: Gateway) -> None:
    with relay_beside({"RCPT": "450 4.2.0 greylisted"}) as relay:
        _by(gateway, relay.port)
        gateway.start()
        mail = request("true")
        gateway.send(mail)
        eventually(lambda: gateway.logged("refused").count("greylisted") >= 2, 30, gateway.logged)
        told = said(gateway, "explain", str(mail["Message-ID"]))
        assert told.count("deferred letter=1 450 4.2.0 greylisted") >= 2
        (line,) = said(gateway, "queue").splitlines()
    assert re.fullmatch(
        rf"1  WAITING  {ADA}  result  \w+  \d+ tr(?:y|ies)  [\d-]+ [\d:]+Z  450 4\.2\.0 greylisted",
        line,
    )


def _by(gateway: Gateway, port: int) -> None:
    gateway.configure(
        courier='courier = "smtp"\nretry = ["1s"]',
        more=f'[deliver.smtp]\nhost = "127.0.0.1"\nport = {port}\n',
    )


# --- purge ------------------------------------------------------------------------------------------


def test_purge_leaves_a_tombstone_and_spares_what_has_an_unsent_letter(gateway: Gateway) -> None:
    gateway.service("brief", shell("echo done", '[limits]\nkeep = "1s"'))
    gateway.outgoing.mkdir()
    (gateway.outgoing / BOB).write_text("in the way")
    gateway.start()
    gateway.send(request("brief"))
    gateway.send(request("brief", sender=BOB), sender=BOB)
    gateway.await_results(1)
    eventually(lambda: BOB in gateway.logged("unreachable"), 30, gateway.logged)

    def phases() -> dict[object, object]:
        return {job["owner"]: job["phase"] for job in gateway.jobs()}

    # Beside the daemon, whose own sweep may come first.
    eventually(lambda: said(gateway, "purge") and phases()[ADA] == "ARCHIVED", 30, gateway.logged)
    assert phases() == {ADA: "ARCHIVED", BOB: "COMPLETED"}
    ids = {job["owner"]: str(job["id"]) for job in gateway.jobs()}
    folders = {path.name for path in (gateway.spool / "jobs").glob("*/*")}
    assert folders == {ids[BOB]}
    assert "advanced  from=COMPLETED to=ARCHIVED" in said(gateway, "job", ids[ADA])
    (gateway.outgoing / BOB).unlink()
    gateway.await_results(1, BOB)
    settled(gateway)
    assert gateway.stop() == 0
    assert said(gateway, "purge").startswith("1 expired jobs, ")
    assert said(gateway, "purge").startswith("0 expired jobs, ")
    assert phases() == {ADA: "ARCHIVED", BOB: "ARCHIVED"}


# --- backup -----------------------------------------------------------------------------------------


def _content(number: int) -> bytes:
    return b"%d\n" % number * (30_000 if number % 3 == 0 else 1)


def _request(number: int) -> bytes:
    """Some are big enough to be files all the way: mail, input, output, letter."""
    sender = BOB if number % 4 == 0 else ADA
    mail = request("slow", attachments={"data": _content(number)}, sender=sender)
    mail.replace_header("Message-ID", f"<{number}@example.org>")
    return mail.as_bytes()


def _load(gateway: Gateway, over: threading.Event) -> None:
    number = 0
    while not over.is_set() and number < 60:
        sender = BOB if number % 4 == 0 else ADA
        gateway.send(_request(number), sender=sender, to="slow@gate.example.org")
        number += 1


def test_a_backup_under_load_is_a_spool_that_serves_on_elsewhere(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.service(
        "slow", shell("cat; sleep 0.2", 'stdin = "data"\n[input.data]\nfrom = "attachment"')
    )
    # Bob's letters wait.
    gateway.outgoing.mkdir()
    (gateway.outgoing / BOB).write_text("in the way")
    gateway.start()
    over = threading.Event()
    sending = threading.Thread(target=_load, args=(gateway, over))
    sending.start()
    gateway.await_results(2)
    (tmp_path / "new").mkdir()
    told = said(gateway, "backup", str(tmp_path / "new" / "spool"))
    assert "holds a copy of the spool" in told
    taken = complaint(gateway, "backup", str(tmp_path / "new" / "spool"), status=73)
    assert "is not empty: name a folder that is empty or not there" in taken
    over.set()
    sending.join(60)
    gateway.kill()
    with closing(sqlite3.connect(tmp_path / "new" / "spool" / "spool.db")) as copy:
        phases = dict(copy.execute("SELECT id, phase FROM job"))
        messages = {key for (key,) in copy.execute("SELECT key FROM message")}
        sent = {key for (key,) in copy.execute(
            "SELECT in_reply_to FROM job JOIN letter ON job = job.id WHERE state = 'SENT'"
        )}  # fmt: skip
    assert {"COMPLETED", "QUEUED"} <= set(phases.values())
    with running(tmp_path / "new") as restored:
        restored.service("slow", (gateway.folder / "services" / "slow.toml").read_text())
        assert restored.spool == tmp_path / "new" / "spool"
        restored.start()
        eventually(lambda: not restored.run("jobs", "--active").stdout, 60, restored.logged)
        settled(restored)
        letters = [*restored.results(ADA), *restored.results(BOB)]
        answered = [str(letter["In-Reply-To"]) for letter in letters]
        assert len(answered) == len(set(answered))
        assert set(answered) == messages - sent
        after = {str(job["id"]): job for job in restored.jobs()}
        for name, phase in phases.items():
            assert after[name]["phase"] == "COMPLETED" or (
                # What ran on the old machine cannot be found on the new one.
                phase not in {"QUEUED", "COMPLETED"} and after[name]["reason"] == "lost"
            ), (name, phase, after[name])
        for letter in letters:
            if letter["Mailgate-Exit"] != "lost":
                number = int(str(letter["In-Reply-To"]).strip("<>").partition("@")[0])
                assert attached(letter)["stdout.txt"] == _content(number)
        done = next(name for name, phase in phases.items() if phase == "COMPLETED")
        assert "output        stdout.txt" in said(restored, "job", done)
        restored.send(_request(1001), to="slow@gate.example.org")
        eventually(lambda: b"In-Reply-To: <1001@" in b"".join(map(bytes, restored.results(ADA))))


def test_a_backup_that_cannot_be_written_says_so(gateway: Gateway, tmp_path: Path) -> None:
    _spool(gateway).close()
    (tmp_path / "file").write_text("")
    told = complaint(gateway, "backup", str(tmp_path / "file" / "copy"), status=73)
    assert told == f"mailgate: cannot write {tmp_path / 'file' / 'copy'}: Not a directory\n"
    with small_disk(tmp_path / "small", "64k"):
        told = complaint(gateway, "backup", str(tmp_path / "small"), status=73)
    assert told == f"mailgate: cannot write {tmp_path / 'small'}: database or disk is full\n"


# --- what is wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["jobs"], ["serve"], ["check"]], ids=lambda words: words[0])
def test_a_bad_configuration_is_told_with_file_and_line(gateway: Gateway, words: list[str]) -> None:
    gateway.config.write_text("[gateway]\nadress = 3\n")
    told = complaint(gateway, *words, status=78)
    assert f"{gateway.config}:2: gateway.adress: there is no such key" in told
    assert f"{gateway.config}:1: gateway.address: is missing" in told


def test_a_mail_is_not_lost_by_a_bad_configuration(gateway: Gateway) -> None:
    gateway.config.write_text("[gateway]\nadress = 3\n")
    done = gateway.run("receive", "--recipient", "true@gate.example.org", stdin=b"From: a@b\n\n")
    assert done.returncode == 75
    assert b"gateway.adress: there is no such key" in done.stderr


def test_a_spool_that_is_no_folder_is_told(gateway: Gateway) -> None:
    gateway.spool.symlink_to("/proc/version")
    assert "is a file; expected a folder" in complaint(gateway, "jobs", status=78)


def test_a_spool_that_cannot_be_made_is_told(gateway: Gateway) -> None:
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('spool = "spool"', 'spool = "/proc/no/spool"'))
    told = complaint(gateway, "jobs", status=70)
    assert told.startswith("mailgate: the spool /proc/no/spool cannot be used: ")
    piped = gateway.run("receive", "--recipient", "true@gate.example.org", stdin=b"From: a@b\n\n")
    assert piped.returncode == 75


@pytest.mark.parametrize("words", [["hold", "list"], ["purge"], ["serve"]], ids=lambda w: w[0])
def test_a_damaged_database_is_told_and_costs_no_mail(gateway: Gateway, words: list[str]) -> None:
    gateway.spool.mkdir(exist_ok=True)
    (gateway.spool / "spool.db").write_bytes(b"this is no database, whatever it is called " * 200)
    told = complaint(gateway, *words, status=70)
    assert "the spool's database is damaged: stop the gateway and restore the last backup" in told
    piped = gateway.run("receive", "--recipient", "true@gate.example.org", stdin=b"From: a@b\n\n")
    assert (piped.returncode, b"is damaged" in piped.stderr) == (75, True)


def test_a_database_damaged_under_the_daemon_leaves_mail_with_its_senders(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("true"))
    gateway.await_results(1)
    settled(gateway)
    with (gateway.spool / "spool.db").open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(200_000))
    with smtplib.SMTP("127.0.0.1", gateway.port) as session:
        session.ehlo()
        session.mail(ADA)
        session.rcpt("true@gate.example.org")
        code, words = session.data(request("true").as_bytes())
        # What SQLite still holds in memory may carry it: then it was taken, and is no lie yet.
        assert code in {250, 451}, words
        assert session.noop()[0] == 250
    assert gateway.alive


def test_a_command_that_is_none_is_told(gateway: Gateway) -> None:
    told = gateway.run("jbos\x1b")
    assert told.returncode == 64
    assert b"there is no command jbos\\x1b; 'mailgate --help' lists them" in told.stderr


# --- check --live -----------------------------------------------------------------------------------


def files(gateway: Gateway) -> set[Path]:
    return {path for path in gateway.spool.rglob("*") if not path.name.startswith("spool.db")}


@pytest.mark.parametrize("beside", [True, False], ids=["beside the daemon", "without one"])
def test_a_live_check_delivers_a_letter_runs_a_job_and_leaves_nothing(
    gateway: Gateway, beside: bool
) -> None:
    if beside:
        gateway.start()
        gateway.send(request("true"))
        gateway.await_results(1)
        settled(gateway)
    before = files(gateway)
    told = said(gateway, "check", "--live").splitlines()
    assert re.fullmatch(
        r"letter to postmaster@gate\.example\.org into its Maildir: delivered: \S+", told[1]
    )
    assert re.fullmatch(
        r'job "true" by the engine local: ended with exit code 0 after \d+\.\d s', told[2]
    )
    (letter,) = gateway.letters("postmaster@gate.example.org")
    assert "This is a test letter" in text_of(letter)
    assert letter["Mailgate-Job"] is None
    assert files(gateway) == before
    if beside:
        assert len(gateway.jobs()) == 1
        assert said(gateway, "queue") == ""
    else:
        assert not gateway.spool.exists()


def test_a_live_check_goes_through_a_real_relay(gateway: Gateway) -> None:
    with servers.postfix() as relay:
        _by(gateway, relay.port)
        text = gateway.config.read_text().replace("gate.example.org", "gate.mg.test")
        gateway.config.write_text(text.replace('sandbox = "none"', 'sandbox = "auto"'))
        told = said(gateway, "check", "--live", "--to", "ann@mg.test")
        eventually(lambda: relay.mailbox("ann@mg.test"), 30, relay.log)
        (mail,) = relay.mailbox("ann@mg.test")
    assert f"letter to ann@mg.test through the relay 127.0.0.1:{relay.port}: delivered: 250" in told
    letter = read(mail)
    assert letter["Return-Path"] == "<>"
    assert letter["Auto-Submitted"] == "auto-replied"


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ({"RCPT": "450 4.2.0 later"}, 75),
        ({"RCPT": "550 5.7.1 no"}, 70),
        ({"GREETING": "drop"}, 75),
        (None, 75),
    ],
    ids=["4xx", "5xx", "drop", "away"],
)
def test_a_live_check_tells_what_the_relay_says(
    gateway: Gateway, says: dict[str, str] | None, status: int
) -> None:
    if says is None:
        _by(gateway, free_port())
        done = gateway.run("check", "--live")
        words = "Connection refused"
    else:
        with relay_beside(says) as relay:
            _by(gateway, relay.port)
            done = gateway.run("check", "--live")
            assert relay.mails == []
        words = next(iter(says.values())) if "drop" not in says.values() else "cannot be used"
    assert done.returncode == status
    assert f"failed: {words}" in done.stderr.decode() or words in done.stderr.decode()
    # The other one is tried all the same.
    assert "ended with exit code 0" in done.stdout.decode()


def test_a_live_check_tells_when_no_job_can_run(gateway: Gateway, tmp_path: Path) -> None:
    gateway.configure(path="/nowhere")
    done = gateway.run("check", "--live")
    assert done.returncode == 70
    assert 'job "true" by the engine local: ended with could-not-start' in done.stderr.decode()
    text = gateway.config.read_text().replace("[run]", '[run]\nfolder = "/proc/no/jobs"')
    gateway.config.write_text(text)
    done = gateway.run("check", "--live")
    assert done.returncode == 75
    assert "the folder /proc/no/jobs cannot be written" in done.stderr.decode()


def test_a_live_check_tries_each_engine_and_queue_that_services_name(gateway: Gateway) -> None:
    gateway.configure(more='[run.other]\nengine = "local"\nsandbox = "none"\npath = "/nowhere"\n')
    gateway.service("there", 'command = ["true"]\nengine = "other"\nqueue = "night"\n')
    done = gateway.run("check", "--live")
    assert done.returncode == 70
    assert 'job "true" by the engine local: ended with exit code 0' in done.stdout.decode()
    wrong = 'job "true" by the engine other, in the queue "night": ended with could-not-start'
    assert wrong in done.stderr.decode()


def test_a_live_check_of_a_bad_configuration_tries_nothing(gateway: Gateway) -> None:
    gateway.config.write_text(gateway.config.read_text() + "\n[nothing]\n")
    assert "there is no such" in complaint(gateway, "check", "--live", status=78)
    assert not gateway.outgoing.exists()
