"""Commands by mail, and by reply, through a real gateway."""

import re
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pytest

from tests.daemon import ADA, ADDRESS, TRUE, Gateway, eventually, request, running, shell, text_of

BOB = "bob@example.org"
SLEEP = shell("printf 'round 1\\n  \\033[31mall is red\\033[0m\\n'; sleep 600")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, slots=1) as made:
        made.service("sleep", SLEEP)
        made.service("true", TRUE)
        yield made


def write(
    body: str,
    *,
    to: str = ADDRESS,
    sender: str = ADA,
    message_id: str | None = None,
    **headers: str,
) -> EmailMessage:
    """A mail to an address of the gateway's."""
    mail = request("x", body, sender=sender, message_id=message_id)
    for name, value in {"To": to, **headers}.items():
        del mail[name]
        mail[name.replace("_", "-")] = value
    return mail


def started(gateway: Gateway, *, notify: str = "start") -> tuple[str, EmailMessage]:
    """Have a job started; its id and the letter that says so."""
    gateway.send(request("sleep", f"notify: {notify}\n"))
    (letter,) = gateway.await_letters(1)
    return str(letter["Mailgate-Job"]), letter


def answer(gateway: Gateway, mail: EmailMessage, address: str = ADA) -> EmailMessage:
    """Send a mail, and await the letter that answers it."""
    gateway.send(mail, sender=address)

    def found() -> EmailMessage | None:
        return next(
            (x for x in gateway.letters(address) if x["In-Reply-To"] == mail["Message-ID"]), None
        )

    letter = eventually(found, 30, gateway.logged)
    assert letter is not None
    return letter


def said(letter: EmailMessage) -> str:
    return re.sub(r" for (less than )?\d+ seconds?", " for SOME TIME", text_of(letter))


def test_a_job_is_asked_about_and_cancelled_by_mail(gateway: Gateway, tmp_path: Path) -> None:
    gateway.start()
    job, letter = started(gateway)
    eventually(lambda: [1 for out in tmp_path.rglob("out/stdout") if out.stat().st_size], 30)
    told = answer(gateway, write(f"status {job}\n"))
    assert told["Subject"] == f"[job {job}] 1 done"
    assert said(told).rstrip() == (
        f"  > status {job}\n    EXECUTING for SOME TIME.\n"
        "    All of its standard output so far:\n      round 1\n        all is red\n"
        "    It is kept 14 days from its end."
    )
    reply_to = parseaddr(str(letter["Reply-To"]))[1]
    told = answer(
        gateway, write("status\ncancel\npause\n", to=reply_to, Subject=f"Re: {letter['Subject']}")
    )
    assert told["Subject"] == f"[job {job}] 2 done, 1 error"
    (result,) = gateway.await_results(1)
    assert result["Mailgate-Exit"] == "cancelled"


def test_a_key_vouches_for_its_own_job_and_its_own_person_alone(gateway: Gateway) -> None:
    gateway.start()
    job, letter = started(gateway)
    reply_to = parseaddr(str(letter["Reply-To"]))[1]
    gateway.kill()
    text = gateway.config.read_text()
    gateway.config.write_text(
        text.replace('networks = ["127.0.0.0/8", "::1/128"]', "networks = []")
    )
    gateway.start()
    told = answer(gateway, write("status\n", to=reply_to))
    assert told["Subject"] == f"[job {job}] 1 done"
    guessed = (
        f"{reply_to.partition('@')[0][:-1]}{'a' if reply_to[-18] != 'a' else 'b'}@gate.example.org"
    )
    for mail, why in (
        (write("cancel\n", to=guessed), "the letter went to another address: answer from there"),
        (write("cancel\n", to=reply_to, sender=BOB), "the letter went to another address"),
        (write(f"cancel {job}\n"), f"Nothing vouches for {ADA}: this gateway trusts no network"),
    ):
        with pytest.raises(smtplib.SMTPDataError, match=why):
            gateway.send(mail, to=str(mail["To"]))


def test_what_a_mail_of_commands_comes_to(gateway: Gateway) -> None:
    gateway.service("secret", TRUE.replace("*@example.org", "boss@example.org"))
    gateway.start()
    job, letter = started(gateway)
    reply_to = parseaddr(str(letter["Reply-To"]))[1]

    # Nobody else learns that there is such a job: both answers say the same.
    texts = {
        text_of(answer(gateway, write(f"cancel {name}\n", sender=BOB), BOB)).replace(name, "ID")
        for name in (job, "zzzzzzzzzzzz")
    }
    (told,) = texts
    assert "there is no job ID of yours here" in told
    forged = {
        text_of(answer(gateway, write("cancel\n", to=place, sender=BOB), BOB)).replace(name, "ID")
        for name in (job, "zzzzzzzzzzzz")
        for place in [f"jobs+job.{name}.aaaaaaaaaaaaaaaa@gate.example.org"]
    }
    assert len(forged) == 1
    # Nor of which job a letter was that somebody else has forwarded.
    told = answer(
        gateway, write("cancel\n", sender=BOB, In_Reply_To=str(letter["Message-ID"])), BOB
    )
    assert job not in told.as_string()

    # By what it answers, its Subject, a prefix: the job is found; a contradiction does nothing.
    for mail in (
        write("status\n", In_Reply_To=str(letter["Message-ID"])),
        write("status\n", References=f"<x@y.z> {letter['Message-ID']}"),
        write("status\n", Subject=f"Re: [job {job}] sleep: started"),
        write(f"status {job[:6]}\n"),
        write("\n", Subject=f"Re: [job {job}] status"),
    ):
        assert answer(gateway, mail)["Subject"] == f"[job {job}] 1 done"
    for mail in (
        write("cancel\n", to=reply_to, Subject="Re: [job zzzzzzzzzzzz] x"),
        write(f"status\ncancel {job}\n", Subject="Re: [job zzzzzzzzzzzz] x"),
    ):
        told = answer(gateway, mail)
        assert told["Subject"] == "nothing done: your mail names more than one job"
        assert "not done." in text_of(told)

    # Nothing is guessed; what is not known is asked about, and a quote never acts.
    told = answer(gateway, write("please cancel it\n\n> cancel\n", to=reply_to))
    assert told["Subject"] == f"[job {job}] nothing done: no command in your mail"
    assert 'Did you mean "cancel"?' in text_of(told)
    assert "The commands, one a line:" in text_of(told)

    # To the gateway's own address; the job's takes what is about the job.
    told = answer(gateway, write("list\nservices\nquota\nhelp sleep\nwait\n"))
    assert told["Subject"] == "4 done, 1 error"
    assert all(word in text_of(told) for word in (job, "sleep", "You have no quota", "which job?"))
    assert "secret" not in text_of(told)
    assert "this address is for one job" in text_of(
        answer(gateway, write("notify every 7d\nhelp notify\nlist\n", to=reply_to))
    )

    # A request, for whom may run it.
    told = answer(gateway, write("service: secret\n"))
    assert 'may not use the service "secret"' in text_of(told)
    told = answer(gateway, write("service: tru\n"))
    assert 'there is no service "tru" (did you mean "true"?)' in text_of(told)
    assert "with the line\n  service: true\n" in text_of(told)
    mail = write("service: true\nlabel: by the front door\n")
    gateway.send(mail, to=ADDRESS)
    eventually(lambda: len(gateway.jobs()) == 2)
    assert gateway.jobs()[0]["label"] == "by the front door"

    # The same mail twice, and to the job too, acts once.
    mail = write("cancel\n", message_id="<once@example.org>", In_Reply_To=str(letter["Message-ID"]))
    for to in (ADDRESS, reply_to, ADDRESS):
        gateway.send(mail, to=to)
    eventually(lambda: gateway.logged("read").count("<once@example.org>") == 3)
    # Each of the mail's answer, the result of `true` once its slot is free, and the cancelled one's.
    gateway.await_results(2)
    answers = [x for x in gateway.letters() if x["In-Reply-To"] == "<once@example.org>"]
    assert [x["Subject"] for x in answers] == [f"[job {job}] 1 done"]
    history = gateway.run("job", job).stdout.decode()
    assert history.count("cancel by ada@example.org") == 1


def test_automatic_mail_gives_no_commands(gateway: Gateway) -> None:
    gateway.start()
    for mail, sender in (
        (write("list\n", Auto_Submitted="auto-replied"), ADA),
        (write("list\n"), ""),
        (write("list\n", X_Loop=ADDRESS), ADA),
    ):
        with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused)):
            gateway.send(mail, sender=sender)
    gateway.send(write("list\n", Precedence="bulk"))
    eventually(lambda: gateway.run("hold", "list").stdout)
    assert gateway.letters() == []


def test_the_operator_gives_the_same_commands(gateway: Gateway) -> None:
    gateway.configure(paused=True)
    gateway.start()
    gateway.send(request("true"))
    assert gateway.run("status", "zzzz").returncode == 1
    gateway.kill()
    gateway.configure(slots=1)
    gateway.service("true", SLEEP)
    gateway.start()
    eventually(lambda: "to=EXECUTING" in gateway.logged())
    job = str(gateway.jobs()[0]["id"])
    assert gateway.run("status", job[:5]).stdout.startswith(b"EXECUTING for ")
    assert gateway.run("status", job, "please").returncode == 64
    assert b"every 7 days" in gateway.run("notify", job, "every", "7d").stdout
