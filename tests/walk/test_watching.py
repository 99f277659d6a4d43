"""Who is told of a job, changed by mail."""

import re
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.asking import answer as reply
from tests.daemon import ADA, Gateway, attached, eventually, request, running, shell, text_of
from tests.walk.test_commands import answer, write

BOB, CAROL, EVE = "bob@example.org", "carol@example.org", "eve@elsewhere.test"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("wait", shell(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"))
        made.start()
        yield made


def flat(letter: EmailMessage) -> str:
    """A letter's words on one line."""
    return " ".join(text_of(letter).split())


def test_watchers_are_named_by_reply_and_leave_by_themselves(gateway: Gateway) -> None:
    gateway.send(request("wait", "notify: start\n"))
    (letter,) = gateway.await_letters(1)
    job = str(letter["Mailgate-Job"])
    told = flat(answer(gateway, reply(letter, ADA, f"watch {BOB} {EVE} x\n")))
    assert f'Did you mean "watch {BOB} {EVE}"?' in told
    told = flat(answer(gateway, reply(letter, ADA, f"watch {BOB} {EVE} {ADA}\nwatch\n")))
    assert f"{BOB} is told of the job from now on." in told
    assert f"{EVE} is asked by a letter first" in told
    assert "it is the address of the job's owner" in told
    (asked,) = gateway.await_letters(1, EVE)
    # One who is asked, and one whom nobody named, learn nothing of the job.
    for who in (EVE, "carol@example.org"):
        assert "no job" in flat(answer(gateway, write(f"status {job}\n", sender=who), who)).lower()
    gateway.send(reply(asked, EVE, "confirm"))
    eventually(lambda: f"{EVE}  told" in gateway.run("job", job).stdout.decode(), 20)
    told = flat(answer(gateway, write(f"status {job}\nwatch {ADA} {job}\n", sender=EVE), EVE))
    assert "EXECUTING" in told
    told = flat(answer(gateway, write(f"destroy {job}\n", sender=EVE), EVE))
    assert "owner" in told
    assert gateway.jobs()[0]["phase"] == "EXECUTING"
    told = flat(answer(gateway, write(f"unwatch {BOB} {job}\n", sender=EVE), EVE))
    assert "no other address than your own" in told
    assert "told of the job no more" in flat(
        answer(gateway, write(f"unwatch {job}\n", sender=EVE), EVE)
    )
    (gateway.folder / "go").touch()
    gateway.await_results(1)
    (result,) = gateway.await_results(1, BOB)
    assert '"unwatch"' in text_of(result)
    eventually(lambda: not gateway.unsent())
    assert gateway.results(EVE) == []
    assert gateway.jobs()[0]["phase"] == "COMPLETED"


def test_who_has_a_job_cancelled_is_named_to_its_owner_and_to_no_other_watcher(
    gateway: Gateway,
) -> None:
    gateway.send(request("wait", f"notify: start\nwatch: {BOB}, {CAROL}\n"))
    (letter,) = gateway.await_letters(1, BOB)
    gateway.send(reply(letter, BOB, "cancel"))
    (own,), (bobs,), (carols,) = (gateway.await_results(1, who) for who in (ADA, BOB, CAROL))
    assert re.match(rf"Your job was cancelled after .*, by {BOB}\.", flat(own))
    assert f", by {BOB}." in flat(bobs)
    assert BOB not in flat(carols)
    assert re.match(rf"The job of {ADA} was cancelled after [\w ]+\.", flat(carols))


def test_results_come_again_to_whom_asks_alone(gateway: Gateway) -> None:
    gateway.service("seq", shell("seq 3"))
    gateway.stop()
    gateway.start()
    gateway.send(request("seq", f"watch: {BOB}\n"))
    (own,), (bobs,) = gateway.await_results(1), gateway.await_results(1, BOB)
    job = str(own["Mailgate-Job"])
    told = flat(answer(gateway, reply(bobs, BOB, "results\nresults head 1\n"), BOB))
    assert told.count(f"It comes in a mail of its own, or several, to {BOB}.") == 2
    again = gateway.await_results(3, BOB)
    assert sorted(len(attached(letter)) for letter in again) == [1, 3, 3]
    assert all("who named you to be told of it" in text_of(letter) for letter in again)
    assert "told of the job no more" in flat(answer(gateway, reply(bobs, BOB, "unwatch"), BOB))
    assert "there is no job" in flat(answer(gateway, reply(bobs, BOB, "results"), BOB))
    # The operator has them mailed to the job's owner.
    done = gateway.run("results", job)
    assert (done.returncode, b"to ada@example.org" in done.stdout) == (0, True)
    assert gateway.run("results", job, "stdout.txt").returncode == 0
    letters = gateway.await_results(3)
    assert sorted(len(attached(letter)) for letter in letters) == [2, 3, 3]
    for words, why in (
        (["tree.nwk"], "there is no output tree.nwk. There are: stdout.txt stderr.txt"),
        (["part", "2"], 'it did not come in parts. "results" mails all of it again.'),
        (["head"], '"results" does not take "head". It is written results'),
    ):
        done = gateway.run("results", job, *words)
        assert (done.returncode, done.stdout) == (1, b"")
        assert why in " ".join(done.stderr.decode().split())
    assert (len(gateway.results()), len(gateway.results(BOB))) == (3, 3)


def test_a_responder_that_does_not_say_what_it_is_gets_one_answer(gateway: Gateway) -> None:
    (gateway.folder / "go").touch()
    gateway.send(request("wait"))
    (result,) = gateway.await_results(1)
    notice = "I am on the road until Monday.\n"
    latest = answer(gateway, reply(result, ADA, f"{notice}\n> whatever\n"))
    for number in range(3):
        gateway.send(reply(latest, ADA, f"{notice}\nYou wrote, the {number} time\n"))
    # Nor one that begins with other words each time, and at another address of ours.
    for number in range(3):
        gateway.send(reply(latest, ADA, f"It is the {number} day that I am not here.\n"))
    for words in ("Write to Carol", "Help desk: Carol Example", "Status: on the road"):
        gateway.send(write(f"{words} as long as I am not here.\n"))
    eventually(lambda: gateway.logged("read").count(":unanswered") == 9, 20)
    # The result, and one answer; then a person is served, who may be mistaken.
    assert len(gateway.letters()) == 2
    assert "1 done" in answer(gateway, reply(result, ADA, "status\n"))["Subject"]
    assert 'Did you mean "status"' in flat(answer(gateway, reply(result, ADA, "statsu\n")))
    assert 'Did you mean "cancel"' in flat(answer(gateway, reply(result, ADA, "canecl\n")))
    assert "2 errors" in answer(gateway, reply(result, ADA, "cancel it\nstatus now\n"))["Subject"]
    # Whoever else writes is answered, too; and told, as the first was, that the next is not.
    said = "For 24 hours no other mail that cannot be understood is answered"
    gateway.send(write("extend the job by two weeks, please\n", sender=BOB), sender=BOB)
    (bobs,) = gateway.await_letters(1, BOB)
    assert (said in flat(bobs), said in flat(latest)) == (True, True)
    with pytest.raises(smtplib.SMTPDataError, match="automatic"):
        gateway.send(reply(latest, ADA, notice, Auto_Submitted="auto-replied"))


def test_whom_a_service_denies_hears_nothing_of_jobs_that_are_older(gateway: Gateway) -> None:
    gateway.send(request("wait", f"notify: start\nwatch: {BOB}\n"))
    (letter,) = gateway.await_letters(1)
    job = str(letter["Mailgate-Job"])
    gateway.await_letters(1, BOB)
    told = flat(answer(gateway, write(f"watch {BOB} carol@example.org {job}\n")))
    assert "carol@example.org is told" in told
    gateway.stop()
    text = (gateway.folder / "services" / "wait.toml").read_text()
    gateway.service("wait", f'{text}deny = ["{ADA}", "bob@*", "x@example.org"]\n')
    gateway.start()
    for who in (ADA, BOB):
        about = answer(gateway, write(f"status {job}\ncancel {job}\n", sender=who), who)
        assert "[job" not in str(about["Subject"])
        assert flat(about).count("there is no job") == 2
    assert job not in flat(answer(gateway, write("list\n")))
    (gateway.folder / "go").touch()
    gateway.await_results(1, "carol@example.org")
    eventually(lambda: not gateway.unsent())
    assert gateway.results(ADA) == gateway.results(BOB) == []
    assert "withdrawn" in gateway.run("job", job).stdout.decode()
