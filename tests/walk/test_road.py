"""The whole road: a real mail in, a real result out, on the embedded default."""

import hashlib
import json
import signal
import smtplib
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.daemon import (
    ADA,
    ECHO,
    TRUE,
    Gateway,
    attached,
    eventually,
    request,
    running,
    shell,
    text_of,
)
from tests.walk.hostile import jobs_of


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("echo", ECHO)
        made.service("true", TRUE)
        yield made


def refused(gateway: Gateway, mail: EmailMessage | bytes, **how: str) -> str:
    """Send what must be refused in the session; the reply's code and words."""
    try:
        gateway.send(mail, **how)
    except smtplib.SMTPRecipientsRefused as error:
        ((code, words),) = error.recipients.values()
    except smtplib.SMTPResponseException as error:
        code, words = error.smtp_code, error.smtp_error
    else:
        pytest.fail("it was taken")
    return f"{code} {words.decode() if isinstance(words, bytes) else words}"


def test_a_mail_comes_back_with_its_output_attached(house: Gateway, who: str) -> None:
    mail = request(
        attachments={"data.txt": b"hello\n"}, sender=who, References="<before@example.org>"
    )
    house.send(mail, sender=who)
    (letter,) = house.await_letters(1, who)
    assert attached(letter)["stdout.txt"] == b"hello\n"
    assert attached(letter)["stderr.txt"] == b""
    assert "\nYour mail's Subject: please\nInput: data.txt, 6 bytes\n" in text_of(letter)
    manifest = json.loads(attached(letter)["job.json"])
    assert manifest["phase"] == "COMPLETED"
    assert manifest["exit"] == {"code": 0, "signal": None}
    digest = hashlib.sha256(b"hello\n").hexdigest()
    assert manifest["streams"][0]["name"] == "stdout.txt"
    assert manifest["streams"][0]["sha256"] == digest
    assert letter["Mailgate-Exit"] == "0"
    assert letter["Mailgate-Phase"] == "COMPLETED"
    assert letter["Mailgate-Job"] == manifest["id"]
    assert letter["In-Reply-To"] == mail["Message-ID"]
    assert letter["References"].split() == ["<before@example.org>", mail["Message-ID"]]
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["X-Loop"] == "jobs@gate.example.org"
    assert letter["To"] == who
    assert letter["Reply-To"].startswith(f"jobs+job.{manifest['id']}.")


def test_a_two_second_job_gets_one_mail(gateway: Gateway) -> None:
    gateway.service("short", shell("sleep 1"))
    gateway.start()
    gateway.send(request("short"))
    gateway.await_results(1)
    assert len(gateway.letters()) == 1


def test_a_failed_job_says_so_in_the_first_line_and_sends_its_standard_error(
    house: Gateway,
    who: str,
) -> None:
    house.send(request("fails", sender=who), sender=who)
    (letter,) = house.await_results(1, who)
    assert letter["Mailgate-Exit"] == "3"
    assert "3" in text_of(letter).splitlines()[0]
    assert "no such database" in text_of(letter)
    assert attached(letter)["stderr.txt"] == b"no such database\n"
    assert attached(letter)["stdout.txt"] == b"so far\n"


def test_ends_are_told_apart_by_mail(house: Gateway, who: str) -> None:
    for service in ("killed", "slow", "absent"):
        house.send(request(service, sender=who), sender=who)
    house.await_results(3, who)
    exits = {
        x["Subject"].split("] ")[1].split(":")[0]: x["Mailgate-Exit"] for x in house.results(who)
    }
    assert exits == {"killed": "signal 9", "slow": "work-limit", "absent": "could-not-start"}
    phases = {str(job["service"]): job["phase"] for job in jobs_of(house, who)}
    assert phases == {"killed": "ERROR", "slow": "ABORTED", "absent": "ERROR"}


def test_an_unclear_request_is_answered_and_not_run(house: Gateway, who: str) -> None:
    mail = request(body="dta: 1\n", sender=who)
    house.send(mail, sender=who)
    (letter,) = house.await_letters(1, who)
    assert letter["Mailgate-Job"] is None
    assert letter["Reply-To"] is None
    assert letter["In-Reply-To"] == mail["Message-ID"]
    assert "> dta: 1" in text_of(letter)
    assert "What echo does: Give back what was sent" in text_of(letter)
    assert jobs_of(house, who) == []


@pytest.mark.parametrize(("body", "name"), [("", "please"), ("label: globins\n", "globins")])
def test_the_letter_of_an_unclear_request_names_its_label_or_its_mails_subject(
    house: Gateway, who: str, body: str, name: str
) -> None:
    house.send(request(body=f"{body}keep: soon\n", attachments={"a": b"1"}, sender=who), sender=who)
    (letter,) = house.await_letters(1, who)
    told = f'Not run: one line of your request to echo is unclear ("{name}")'
    assert " ".join(letter["Subject"].split()) == told


def test_a_dry_run_says_what_would_have_run(house: Gateway, who: str) -> None:
    attachments = {"data.txt": b"hello\n"}
    mail = request(body="dry-run: yes\n", attachments=attachments, sender=who)
    house.send(mail, sender=who)
    (letter,) = house.await_letters(1, who)
    assert hashlib.sha256(b"hello\n").hexdigest() in text_of(letter)
    assert "echo (Give back what was sent)" in text_of(letter)
    assert jobs_of(house, who) == []


def test_a_request_to_a_service_that_is_gone_since_is_told_so(gateway: Gateway) -> None:
    gateway.service("brief", TRUE)
    gateway.configure(paused=True)
    gateway.start()
    gateway.send(request("brief"))
    gateway.kill()
    (gateway.folder / "services" / "brief.toml").unlink()
    gateway.configure()
    gateway.start()
    (letter,) = gateway.await_letters(1)
    assert letter["Subject"] == 'Not run: your request to brief ("please")'
    assert 'there is no service "brief" here any more' in text_of(letter)
    # Nothing else was asked for.
    assert "not affected" not in text_of(letter)


def test_a_mail_acts_once_however_often_it_comes(house: Gateway, who: str) -> None:
    mail = request(attachments={"data.txt": b"hello\n"}, sender=who)
    for _ in range(3):
        house.send(mail, sender=who)
    words = ("receive", "--sender", who, "--recipient", "jobs+echo@gate.example.org")
    assert house.run(*words, stdin=mail.as_bytes()).returncode == 0
    house.await_results(1, who)
    key = f"key={mail['Message-ID']} "
    eventually(
        lambda: sum(key in x and "duplicate" in x for x in house.logged("read").split("\n")) == 3
    )
    assert len(jobs_of(house, who)) == 1
    assert len(house.letters(who)) == 1


def test_another_content_under_the_same_message_id_is_told_so_and_does_nothing(
    house: Gateway,
    who: str,
) -> None:
    for content in (b"one\n", b"two\n"):
        mail = request(
            attachments={"data.txt": content}, message_id="<same@example.org>", sender=who
        )
        house.send(mail, sender=who)
    letters = house.await_letters(2, who)
    assert len(jobs_of(house, who)) == 1
    assert len([x for x in letters if x["Mailgate-Job"] is None]) == 1


def test_the_same_message_id_of_another_sender_stands_in_nobodys_way(
    house: Gateway, who: str
) -> None:
    bob = f"bob.{who}"
    for sender in (bob, who):
        mail = request(
            attachments={"data.txt": b"mine\n"}, message_id="<same@example.org>", sender=sender
        )
        house.send(mail, sender=sender)
    house.await_results(1, who)
    house.await_results(1, bob)


def test_a_strangers_mail_is_refused_and_preempts_nothing(house: Gateway, who: str) -> None:
    stranger = "eve@elsewhere.test"
    mail = request(message_id="<same@example.org>", sender=stranger)
    assert "5.7.1" in refused(house, mail, sender=stranger)
    mail = request(attachments={"data.txt": b"x"}, message_id="<same@example.org>", sender=who)
    house.send(mail, sender=who)
    house.await_results(1, who)
    assert not house.maildir(stranger).exists()


def test_several_services_are_several_jobs(house: Gateway, who: str) -> None:
    mail = request(attachments={"data.txt": b"x"}, sender=who)
    house.send(mail, to=["echo@gate.example.org", "jobs+true@gate.example.org"], sender=who)
    house.await_results(2, who)
    assert sorted(str(job["service"]) for job in jobs_of(house, who)) == ["echo", "true"]


def test_of_several_services_those_not_allowed_are_answered_by_mail(
    house: Gateway, who: str
) -> None:
    house.send(
        request("true", sender=who),
        sender=who,
        to=["true@gate.example.org", "secret@gate.example.org"],
    )
    letters = house.await_letters(2, who)
    (answer,) = [x for x in letters if x["Mailgate-Job"] is None]
    assert 'may not use the service "secret"' in " ".join(text_of(answer).split())
    assert "What else you asked for in the same mail is not affected." in text_of(answer)
    assert [job["service"] for job in jobs_of(house, who)] == ["true"]


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("nothing@gate.example.org", "5.1.1"),
        ("echo@elsewhere.test", "5.1.1"),
        ("jobs+job.abcdefghijkl.k@gate.example.org", "5.1.1"),
        ("jobs+bounce.0123456789@gate.example.org", "5.1.1"),
    ],
)
def test_addresses_that_take_no_request_are_refused_at_rcpt(
    house: Gateway, to: str, code: str
) -> None:
    assert code in refused(house, request(), to=to)


def test_an_answer_goes_to_the_address_as_its_sender_spells_it(house: Gateway) -> None:
    mail = request("true", message_id="<once@example.org>", sender="Ann.Lee@EXAMPLE.org.")
    house.send(mail, sender="ann.lee@example.org")
    house.send(mail.as_bytes().replace(b"Ann.Lee", b"ann.lee"), to="true@gate.example.org")
    (result,) = house.await_results(1, "ann.lee@example.org")
    assert result["To"] == "Ann.Lee@example.org"
    eventually(lambda: house.logged("read").count("key=<once@example.org>") == 2, tell=house.logged)
    assert len(jobs_of(house, "Ann.Lee@example.org")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto-Submitted": "auto-replied"},
        {"X-Loop": "jobs@gate.example.org"},
        {"Content-Type": "multipart/report; boundary=x"},
    ],
)
def test_what_is_surely_automatic_is_refused(house: Gateway, headers: dict[str, str]) -> None:
    lines = {"From": ADA, "To": "echo@gate.example.org", **headers}
    mail = "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\nhello\r\n"
    assert "automatic" in refused(house, mail.encode(), to="echo@gate.example.org")
    assert "automatic" in refused(house, request(), sender="")


def test_softer_signs_are_held_unanswered_and_may_be_released(house: Gateway, who: str) -> None:
    mail = request(attachments={"data.txt": b"x"}, Precedence="bulk", sender=who)
    house.send(mail, sender=who)
    lines = house.run("hold", "list").stdout.decode().splitlines()
    (held,) = [line for line in lines if who in line]
    assert "bulk" in held
    assert jobs_of(house, who) == []
    assert house.run("hold", "release", held.split()[0]).returncode == 0
    house.await_results(1, who)


def test_two_from_addresses_are_refused(house: Gateway) -> None:
    two = b"From: ada@example.org, bob@example.org\r\nTo: true@gate.example.org\r\n\r\n\r\n"
    none = b"To: true@gate.example.org\r\n\r\n\r\n"
    for mail in (two, none):
        assert refused(house, mail, to="true@gate.example.org").startswith("5")


def test_a_header_of_which_a_part_was_not_seen_is_refused(house: Gateway) -> None:
    many = b"".join(b"X-%d: x\r\n" % n for n in range(1001))
    mail = b"From: ada@example.org\r\n" + many + b"From: eve@example.org\r\n\r\n\r\n"
    assert "too many fields" in refused(house, mail, to="true@gate.example.org")


def test_the_answer_goes_to_from_and_never_to_reply_to(house: Gateway, who: str) -> None:
    house.send(request("true", sender=who, Reply_To="victim@example.org"), sender=who)
    house.await_results(1, who)
    assert not house.maildir("victim@example.org").exists()


def test_a_mail_to_the_postmaster_waits_for_the_operator(house: Gateway, who: str) -> None:
    mail = request(sender=who)
    house.send(mail, sender="", to="postmaster@gate.example.org")
    lines = house.run("hold", "list").stdout.decode().splitlines()
    (line,) = [line for line in lines if mail["Message-ID"] in line]
    assert "for the postmaster" in line
    shown = house.run("hold", "show", line.split()[0])
    assert b"Subject: please" in shown.stdout


def test_a_bounce_is_taken_noted_and_never_answered(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("true"))
    (letter,) = gateway.await_results(1)
    with sqlite3.connect(gateway.spool / "spool.db") as database:
        ((path,),) = database.execute("SELECT sender FROM letter").fetchall()
    bounce = (
        f"From: MAILER-DAEMON@example.org\r\nTo: {path}\r\nAuto-Submitted: auto-replied\r\n"
        "Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n\r\nno such user\r\n--x--\r\n"
    )
    gateway.send(bounce.encode(), sender="", to=path)
    job = gateway.run("job", str(letter["Mailgate-Job"])).stdout.decode()
    assert "returned" in job
    gateway.send(request("true"))
    gateway.await_results(2)
    assert [str(x["To"]) for x in gateway.letters()] == [ADA, ADA]
    assert len(list(gateway.outgoing.iterdir())) == 1


def test_paused_takes_mail_and_starts_nothing(gateway: Gateway) -> None:
    gateway.configure(paused=True)
    gateway.start()
    gateway.send(request("true"))
    assert gateway.stop() == 0
    assert gateway.jobs() == []
    gateway.configure(paused=False)
    gateway.start()
    gateway.await_results(1)


def test_a_receipt_comes_when_a_job_takes_long_or_when_asked_for(gateway: Gateway) -> None:
    gateway.configure(receipt_after="1s")
    gateway.service("waits", shell("while [ ! -e ../../../../../go ]; do sleep 0.1; done"))
    gateway.start()
    gateway.send(request("waits"))
    (receipt,) = gateway.await_letters(1)
    assert receipt["Mailgate-Exit"] is None
    assert receipt["Mailgate-Phase"] == "EXECUTING"
    (gateway.folder / "go").touch()
    gateway.await_results(1)
    (gateway.folder / "go").unlink()
    gateway.send(request("waits", "notify: receipt, start\n"))
    gateway.await_letters(4)
    (gateway.folder / "go").touch()
    gateway.await_letters(5)


def test_a_job_that_ended_while_the_daemon_was_down_gets_no_receipt(gateway: Gateway) -> None:
    until = "while [ ! -e ../../../../../{} ]; do sleep 0.1; done"
    # Much to read: who runs on is told meanwhile.
    gateway.service("waits", shell(f"{until.format('go')}; truncate -s 128M /dev/stdout"))
    gateway.service("stays", shell(until.format("home")))
    gateway.start()
    gateway.send(request("waits", "reply: brief\n"))
    gateway.send(request("stays"))
    eventually(lambda: gateway.logged().count("to=EXECUTING") == 2)
    assert gateway.stop() == 0
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as database, database:
        assert database.execute("UPDATE job SET receipt_due = 0").rowcount == 2
    (gateway.folder / "go").touch()
    ends = list(gateway.spool.glob("jobs/*/*/run/1/exit"))
    eventually(lambda: any(b"\nend" in end.read_bytes() for end in ends))
    gateway.start()
    (letter,) = gateway.await_results(1)
    assert letter["Mailgate-Exit"] == "0"
    # Nor was one planned that would have left, had the end been collected a moment later.
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as database:
        told = "SELECT service, kind FROM letter JOIN job ON job.id = job ORDER BY letter.id"
        assert database.execute(told).fetchall() == [("stays", "receipt"), ("waits", "result")]
        assert not database.execute("SELECT * FROM event WHERE verb = 'overtaken'").fetchall()
    (gateway.folder / "home").touch()


def test_a_job_outlives_the_daemon_and_is_found_again_with_its_exit_code(
    gateway: Gateway,
) -> None:
    gateway.service("waits", shell("while [ ! -e ../../../../../go ]; do sleep 0.1; done; exit 7"))
    gateway.start()
    gateway.send(request("waits"))
    eventually(lambda: "to=EXECUTING" in gateway.logged())
    gateway.kill()
    (gateway.folder / "go").touch()
    gateway.start()
    (letter,) = gateway.await_results(1)
    assert letter["Mailgate-Exit"] == "7"


def test_sigterm_ends_within_ten_seconds_while_jobs_live_on(gateway: Gateway) -> None:
    gateway.service("waits", shell("while [ ! -e ../../../../../go ]; do sleep 0.1; done"))
    gateway.start()
    gateway.send(request("waits"))
    eventually(lambda: "to=EXECUTING" in gateway.logged())
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 10
    (gateway.folder / "go").touch()
    gateway.start()
    gateway.await_results(1)


def test_a_cancelled_job_ends_and_its_sender_hears_of_it(house: Gateway, who: str) -> None:
    house.send(request("waits", sender=who), sender=who)
    eventually(lambda: [job["phase"] for job in jobs_of(house, who)] == ["EXECUTING"])
    name = str(jobs_of(house, who)[0]["id"])
    assert house.run("cancel", name[:6]).returncode == 0
    (letter,) = house.await_results(1, who)
    assert letter["Mailgate-Exit"] == "cancelled"
    assert letter["Mailgate-Phase"] == "ABORTED"
    late = house.run("cancel", name)
    assert late.returncode == 1
    assert late.stderr.startswith(b"mailgate: not done: the job has ended already, ")


def test_a_queued_job_can_be_cancelled(gateway: Gateway) -> None:
    gateway.configure(slots=1)
    gateway.service("waits", shell("sleep 100"))
    gateway.start()
    gateway.send(request("waits"))
    eventually(lambda: "to=EXECUTING" in gateway.logged())
    gateway.send(request("true"))
    eventually(lambda: len(gateway.jobs()) == 2)
    name = str(gateway.jobs()[0]["id"])
    assert gateway.run("cancel", name).returncode == 0
    (letter,) = gateway.await_results(1)
    assert (letter["Mailgate-Job"], letter["Mailgate-Exit"]) == (name, "cancelled")


def test_nothing_is_cancelled_by_no_name(gateway: Gateway) -> None:
    gateway.configure(paused=True)
    gateway.start()
    done = gateway.run("cancel", "")
    assert (done.returncode, b"name a job" in done.stderr) == (1, True)


def test_a_second_daemon_on_the_same_spool_is_refused(gateway: Gateway) -> None:
    gateway.start()
    second = gateway.run("serve")
    assert second.returncode == 75
    assert b"another daemon works on the spool" in second.stderr


def test_little_free_disk_is_answered_452_and_the_session_stays_open(gateway: Gateway) -> None:
    gateway.configure(min_free="900 TiB")
    gateway.start()
    with smtplib.SMTP("127.0.0.1", gateway.port) as session:
        for _ in range(2):
            with pytest.raises(smtplib.SMTPDataError, match="452"):
                session.sendmail(ADA, "true@gate.example.org", request("true").as_bytes())
        assert session.noop()[0] == 250


def test_outputs_too_big_to_mail_are_kept_and_named(gateway: Gateway) -> None:
    gateway.configure(max_size="40 KiB")
    gateway.service("big", shell("head -c 1000000 /dev/urandom | tee copy"))
    gateway.start()
    gateway.send(request("big"))
    (letter,) = gateway.await_results(1)
    assert "stdout.txt" not in attached(letter)
    assert "stdout.txt" in text_of(letter)
    (copy,) = gateway.spool.glob("jobs/*/*/work/copy")
    assert hashlib.sha256(copy.read_bytes()).hexdigest() in text_of(letter)
    # More than twenty mails of that size: only by a size of its own can it be had.
    assert "\n  results parts=40KiB\n" in text_of(letter)
    gateway.send(request("", "results parts=40KiB\n"), to=str(letter["Reply-To"]))
    job = letter["Mailgate-Job"]
    eventually(lambda: [one["Mailgate-Job"] for one in gateway.letters()].count(job) > 21)


def test_progress_is_kept_and_mailed_to_who_asked(gateway: Gateway) -> None:
    script = (
        'echo "62 round 31 of 50" > "$MAILGATE_PROGRESS";'
        " while [ ! -e ../../../../../go ]; do sleep 0.1; done"
    )
    gateway.service("steps", shell(script))
    gateway.start()
    gateway.send(request("steps", "notify: progress\n"))
    (letter,) = gateway.await_letters(1)
    assert "62" in text_of(letter)
    (gateway.folder / "go").touch()
    gateway.await_results(1)


def test_the_daemon_tells_its_service_manager(gateway: Gateway, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        gateway.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(100) == b"READY=1"


def test_an_interrupt_ends_it_as_sigterm_does(gateway: Gateway) -> None:
    gateway.start()
    assert gateway._process is not None
    gateway._process.send_signal(signal.SIGINT)
    assert gateway.died() == 0
