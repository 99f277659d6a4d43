"""Quotas through a real gateway: what is over them is refused readably, or waits while others run."""

import re
import smtplib
import sqlite3
from contextlib import closing
from email.utils import parseaddr
from pathlib import Path

import pytest

from tests.asking import CAT, INSIDE, asked_by, asking, letter_to, send
from tests.asking import answer as reply
from tests.daemon import ADA, TRUE, Gateway, eventually, request, running, shell, text_of
from tests.walk.test_commands import answer, write

QUOTA = """
[quota]
jobs_a_day = 3
bytes_a_day = "40 KiB"
"""


def used(gateway: Gateway) -> int:
    """The bytes that quotas have counted."""
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as spool:
        (size,) = spool.execute("SELECT SUM(bytes) FROM tally").fetchone()
    return int(size)


LOCKED = shell("until [ -e GO ]; do sleep 0.05; done", "[quota]\nrunning = 1")


def test_quotas_refuse_with_limit_use_and_time_and_let_others_go_first(tmp_path: Path) -> None:
    with running(tmp_path, slots=4, more=QUOTA) as gateway:
        gateway.service("locked", LOCKED.replace("GO", str(tmp_path / "go")))
        gateway.service("true", TRUE)
        gateway.service("narrow", f'{TRUE}[quota]\nbytes_a_day = "2 KiB"\n')
        gateway.start()
        gateway.send(request("locked"))
        eventually(lambda: "EXECUTING" in gateway.logged("advanced"), 30, gateway.logged)
        gateway.send(request("locked"))
        eventually(lambda: len(gateway.jobs()) == 2)
        gateway.send(request("true"))
        # There are slots: the second waits for the first all the same, the third for nobody.
        (quick,) = gateway.await_results(1)
        table = text_of(answer(gateway, write("quota\n")))
        assert re.search(r"jobs that run at locked\s+1 of 1", table), table
        assert "true" in str(quick["Subject"])
        assert sorted(str(job["phase"]) for job in gateway.jobs()) == [
            "COMPLETED",
            "EXECUTING",
            "QUEUED",
        ]
        gateway.send(request("true", "label: the fourth\n"))
        letters = gateway.await_letters(3)
        (refusal,) = [letter for letter in letters if "was not run" in text_of(letter)]
        assert refusal["Subject"] == 'Not run: your request to true ("the fourth")'
        words = " ".join(text_of(refusal).split())
        assert f"{ADA} has sent 3 jobs within 24 hours, and the most is 3; the next is" in words
        assert "Send it again then, as a new mail" in words
        # A restart forgets nothing; another person has used nothing.
        gateway.kill()
        gateway.start()
        with pytest.raises(smtplib.SMTPDataError) as refused:
            gateway.send(request("true", "x" * 38 * 1024))
        assert refused.value.smtp_code == 552
        assert b"within 24 hours, and the most is 40 KiB" in refused.value.smtp_error
        # His jobs stay his to command, in few words; those count all the same.
        reply_to = parseaddr(str(quick["Reply-To"]))[1]
        with pytest.raises(smtplib.SMTPDataError, match="102 KiB, and at most 40 KiB"):
            gateway.send(write("status\n" + "x" * 100_000, to=reply_to))
        before = used(gateway)
        assert "COMPLETED" in text_of(answer(gateway, write("status\n" * 900, to=reply_to)))
        assert used(gateway) - before > 900 * 7
        # What the gateway's own address gets for a service counts there, too.
        asked = write("service: narrow\nlabel: the fifth\n\n" + "x" * 2000)
        refusal = answer(gateway, asked, ADA)
        assert refusal["Subject"] == 'Not run: your request to narrow ("the fifth")'
        said = " ".join(text_of(refusal).split())
        assert '2 KiB may come within 24 hours at the service "narrow"' in said
        bob = "bob@example.org"
        gateway.send(request("true", sender=bob), sender=bob)
        gateway.await_results(1, bob)
        (tmp_path / "go").touch()
        gateway.await_results(3)
        assert len(gateway.jobs()) == 4


def test_a_letter_over_a_cap_waits_and_the_queue_says_why(tmp_path: Path) -> None:
    settings = 'courier = "maildir"\nletters_an_hour = 2\nletters_an_hour_each = 1'
    more = '[deliver.maildir]\npath = "outgoing"\n'
    bob, eve = "bob@example.org", "eve@example.org"
    with running(tmp_path, slots=4, courier=settings, more=more) as gateway:
        gateway.service("true", TRUE)
        gateway.start()
        gateway.send(request("true"))
        gateway.await_results(1)
        gateway.send(request("true"))
        gateway.send(request("true", sender=bob), sender=bob)
        gateway.await_results(1, bob)
        gateway.send(request("true", sender=eve), sender=eve)
        eventually(lambda: "letters_an_hour" in gateway.logged("delayed"), 30, gateway.logged)
        why = "waits: 2 letters left within an hour, the most that [deliver] letters_an_hour lets"

        def both_wait() -> bool:
            said = gateway.run("queue").stdout.decode().splitlines()
            return [line.endswith(why) and " WAITING " in line for line in said] == [True, True]

        eventually(both_wait, 30, gateway.logged)
        gateway.stop()
        text = gateway.config.read_text()
        gateway.config.write_text(text.replace("letters_an_hour = 2\n", ""))
        gateway.start()
        # Nothing is lost: what one cap keeps no more leaves, what the other does waits on.
        gateway.await_results(1, eve)
        eventually(lambda: gateway.unsent() == 1, 30, gateway.logged)
        (line,) = gateway.run("queue").stdout.decode().splitlines()
        assert f"1 letter left for {ADA} within an hour, the most" in line
        assert len(gateway.results()) == 1


def test_what_strangers_send_counts_once_it_is_confirmed_and_not_before(tmp_path: Path) -> None:
    bob = "bob@example.org"
    with asking(tmp_path) as gateway:
        gateway.kill()
        quota = 'jobs_a_day = 1\nbytes_a_day = "1 MiB"'
        gateway.service("cat", f"{CAT}[quota.all]\n{quota}\n")
        gateway.start()
        send(gateway, asked_by(ADA))
        send(gateway, asked_by(bob))
        asked = letter_to(gateway, bob)
        # Nobody vouches for the two: whom something vouches for is not kept waiting by them.
        send(gateway, asked_by("cleo@example.org"), source=INSIDE)
        gateway.await_results(1, "cleo@example.org")
        before = used(gateway)
        send(gateway, reply(asked, bob, "confirm"))
        (over,) = gateway.await_results(1, bob)
        assert over["Mailgate-Exit"] == "cancelled"
        assert used(gateway) > before > 0
        said = " ".join(text_of(over).split())
        assert 'All together have sent 1 job within 24 hours at the service "cat", and the' in said
