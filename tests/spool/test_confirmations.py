"""What waits for a confirmation: how much, how long, and how many letters ask."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailgate.config import Config, load
from mailgate.desk.confirming import Confirming, confirm
from mailgate.errors import Crowded, Transient
from mailgate.model import How, Identity, JobId, LetterKind, Plan, Request, Staged
from mailgate.phases import Phase
from mailgate.services import load_all
from mailgate.spool import confirmations, holds, jobs, keep, letters, mail, notices
from mailgate.spool.confirmations import Terms
from mailgate.spool.database import Connection, Tx
from mailgate.spool.mail import Room
from tests.spool.made import accepted

STRANGER = Identity(address="Ada@example.org", how=How.CLAIMED)
ROOM = Room(mails=3, size=100, origin="example.org")
TERMS = Terms(within=timedelta(days=3), letters=10)
DAY = timedelta(days=1)
STAGED = Staged(name="data", file="d", filename="d", size=9, sha256="0" * 64, path="1-align-0")


def claimed(key: str, address: str = STRANGER.address, **changes: object) -> mail.Accepted:
    identity = Identity(address=address, how=How.CLAIMED)
    # Each from elsewhere.
    room = replace(ROOM, origin=jobs.new_id())
    return accepted(key, **{"identity": identity, "room": room, **changes})


def waits(tx: Tx, key: str = "<1@example.org>", address: str = STRANGER.address) -> JobId:
    """A stranger's clear request, read: its job waits, its sender is asked."""
    message = mail.accept(tx, claimed(key, address))
    waiting = mail.fetch(tx, message)
    assert waiting is not None
    errand = waiting.errands[0][0]
    mail.first_act(tx, waiting, errand, "align", "same")
    draft = jobs.Draft(
        id=jobs.new_id(), owner=waiting.identity, plan=Plan(argv=("true",)), staged=(STAGED,),
        request=Request(service="align", parameters={}, inputs=()), work_limit=None, keep=DAY,
        message=message, subject="s", message_id=key, references=None, receipt_after=timedelta(),
    )  # fmt: skip
    jobs.create(tx, draft)
    mail.settle(tx, errand, reason="job", job=draft.id)
    confirmations.ask(tx, TERMS, message=message, recipient=address)
    return draft.id


def asked(spool: Connection) -> list[str]:
    return [plan.recipient for plan in letters.planned(spool.view, besides=(), limit=99)]


def token(spool: Connection) -> str:
    row = spool.view.one("SELECT token FROM confirmation WHERE asked IS NOT NULL")
    assert row is not None
    return str(row["token"])


@pytest.fixture
def gateway(tmp_path: Path) -> Config:
    """A gateway that offers "align" to example.org."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "align.toml").write_text(
        'command = ["true"]\n[access]\nallow = ["*@example.org"]\n'
    )
    (tmp_path / "mailgate.toml").write_text(
        '[gateway]\naddress = "jobs@gate.example.org"\n[listen.smtp]\n[deliver]\n'
        'courier = "maildir"\n[deliver.maildir]\npath = "outgoing"\n'
    )
    return load(tmp_path / "mailgate.toml")


def confirmed(tx: Tx, word: str, config: Config, *, services: Path | None = None) -> str:
    offered = load_all(services or config.gateway.services)
    identity = Identity(address=STRANGER.address, how=How.CONFIRMED)
    by = Confirming(token=word, identity=identity, config=config, services=offered)
    return confirm(tx, by)


def test_strangers_hear_4xx_when_too_many_of_them_or_too_much_waits(spool: Connection) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, claimed("<1@x>", size=50))
        mail.accept(tx, claimed("<2@x>", size=25))
        with pytest.raises(Crowded) as crowded:
            mail.accept(tx, claimed("<3@x>", size=26))
        assert crowded.value.smtp_reply.startswith("452 4.3.1 ")
        mail.accept(tx, claimed("<4@x>"))
        with pytest.raises(Transient, match="too many") as raised:
            mail.accept(tx, claimed("<5@x>"))
        assert raised.value.smtp_reply.startswith("451 ")
        mail.accept(tx, accepted("<6@x>", size=1000))


def test_one_stranger_has_a_quarter_of_what_strangers_have(spool: Connection) -> None:
    room = Room(mails=8, size=100, origin="192.0.2.0/24")
    with spool.transaction() as tx:
        mail.accept(tx, claimed("<1>", room=room, size=20))
        with pytest.raises(Crowded, match=r"from 192.0.2.0/24 that wait .* take too much room"):
            mail.accept(tx, claimed("<2>", room=room, size=6))
        mail.accept(tx, claimed("<2>", room=room, size=5))
        with pytest.raises(Transient, match=r"too many mails from 192.0.2.0/24"):
            mail.accept(tx, claimed("<3>", room=room, size=0))
        # One mail of another may be bigger than its share, where as much is left.
        other = replace(room, origin="198.51.100.0/24")
        with pytest.raises(Crowded, match="too big for the room that is left"):
            mail.accept(tx, claimed("<4>", room=other, size=38))
        mail.accept(tx, claimed("<4>", room=other, size=37))
        last = replace(room, origin="203.0.113.0/24")
        with pytest.raises(Crowded, match="too big for the room that is left"):
            mail.accept(tx, claimed("<5>", room=last, size=26))
        mail.accept(tx, claimed("<5>", room=last, size=25))


def test_one_stranger_has_a_quarter_of_the_letters_that_ask(spool: Connection) -> None:
    flood = Room(mails=99, size=9999, origin="192.0.2.0/24")
    with spool.transaction() as tx:
        for number in range(9):
            who = f"u{number}@example.org"
            of = {"identity": Identity(address=who, how=How.CLAIMED), "room": flood}
            message = mail.accept(tx, accepted(f"<{number}>", **of))
            confirmations.ask(tx, TERMS, message=message, recipient=who)
        other = mail.accept(tx, claimed("<x>", room=replace(flood, origin="example.org")))
        confirmations.ask(tx, TERMS, message=other, recipient="eve@example.org")
        # So has whoever names others to be told of jobs.
        for number in range(9):
            mine = mail.accept(tx, accepted(f"<w{number}>"))
            who = f"w{number}@elsewhere.test"
            confirmations.ask(tx, TERMS, message=mine, recipient=who, job=jobs.new_id())
    flooded = ["u0@example.org", "u1@example.org"]
    named = ["w0@elsewhere.test", "w1@elsewhere.test"]
    assert asked(spool) == [*flooded, "eve@example.org", *named]
    with spool.transaction() as tx:
        tx.now += DAY
        assert confirmations.ask_due(tx, TERMS) == 4


def test_a_strangers_mail_is_read_when_no_other_waits(spool: Connection) -> None:
    with spool.transaction() as tx:
        strange = mail.accept(tx, claimed("<1@x>"))
        known = mail.accept(tx, accepted("<2@x>"))
    assert mail.waiting(spool.view, besides=(), limit=9) == [known]
    assert mail.unvouched(spool.view, besides=()) == [strange]


def test_an_address_is_asked_once_in_a_day_then_for_what_waits_still(spool: Connection) -> None:
    with spool.transaction() as tx:
        waits(tx, "<1@x>")
        waits(tx, "<2@x>", "ADA+tag@example.org")
        waits(tx, "<3@x>", "bob@example.org")
    assert asked(spool) == ["Ada@example.org", "bob@example.org"]
    with spool.transaction() as tx:
        tx.now += DAY - timedelta(seconds=1)
        assert confirmations.ask_due(tx, TERMS) == 0
        tx.now += timedelta(seconds=2)
        assert confirmations.ask_due(tx, TERMS) == 1
        assert confirmations.ask_due(tx, TERMS) == 0
    assert asked(spool) == ["Ada@example.org", "bob@example.org", "ADA+tag@example.org"]


def test_much_that_waits_in_one_name_keeps_nobody_else_waiting(spool: Connection) -> None:
    with spool.transaction() as tx:
        for number in range(keep.BATCH + 1):
            confirmations.ask(tx, TERMS, message=number, recipient="eve@example.org")
        confirmations.ask(tx, TERMS, message=keep.BATCH + 1, recipient="ada@example.org")
    assert asked(spool) == ["eve@example.org", "ada@example.org"]


def test_no_more_letters_ask_in_a_day_than_the_operator_wants(spool: Connection) -> None:
    few = Terms(within=timedelta(days=3), letters=2)
    with spool.transaction() as tx:
        for name in "abc":
            message = mail.accept(tx, claimed(f"<{name}@x>"))
            confirmations.ask(tx, few, message=message, recipient=f"{name}@example.org")
    assert len(asked(spool)) == 2
    with spool.transaction() as tx:
        tx.now += 2 * DAY
        confirmations.ask_due(tx, few)
    assert len(asked(spool)) == 3


def test_what_is_not_confirmed_in_time_is_gone_without_a_word(
    spool: Connection, gateway: Config
) -> None:
    with spool.transaction() as tx:
        job = waits(tx)
        assert confirmations.expire(tx, TERMS).mails == ()
    word = token(spool)
    with spool.transaction() as tx:
        assert confirmations.find(tx, word, now=tx.at) is not None
        tx.now += timedelta(days=3, seconds=1)
        # Whether it was swept or not.
        assert confirmed(tx, word, gateway) == "too-late"
        gone = confirmations.expire(tx, TERMS)
        assert [given.key for given in gone.mails] == ["<1@example.org>"]
        assert gone.staged == ("1-align-0",)
        assert confirmed(tx, word, gateway) == "too-late"
        # What was never confirmed has not acted.
        again = mail.accept(tx, claimed("<1@example.org>"))
        waiting = mail.fetch(tx, again)
        assert waiting is not None
        assert mail.first_act(tx, waiting, waiting.errands[0][0], "align", "same") is None
        later = tx.at
    assert jobs.fetch(spool.view, job).phase is Phase.ABORTED
    assert asked(spool) == []
    assert keep.expired_jobs(spool.view, now=later) == [job]
    assert [raw.message for raw in keep.raw_mail(spool.view, now=later)] == [1]
    assert spool.view.count("SELECT COUNT(*) FROM confirmation") == 0


def test_what_could_not_be_read_of_a_stranger_is_gone_in_time_too(spool: Connection) -> None:
    with spool.transaction() as tx:
        message = mail.accept(tx, claimed("<1@x>"))
        mail.hold(tx, message, "it cannot be read")
    assert len(holds.held(spool.view)) == 1
    with spool.transaction() as tx:
        tx.now += timedelta(days=3, seconds=1)
        assert len(confirmations.expire(tx, TERMS).mails) == 1
    assert holds.held(spool.view) == []


def test_a_confirmed_job_is_its_owners_and_confirming_twice_does_nothing(
    spool: Connection, gateway: Config
) -> None:
    with spool.transaction() as tx:
        job = waits(tx)
    with spool.transaction() as tx:
        assert confirmed(tx, token(spool).upper(), gateway) == "confirmed"
        assert confirmed(tx, token(spool), gateway) == "confirmed-before"
    found = jobs.fetch(spool.view, job)
    assert (found.phase, found.owner.how) == (Phase.QUEUED, How.CONFIRMED)
    assert notices.next_due(spool.view) is not None
    with spool.transaction() as tx:
        tx.now += timedelta(days=4)
        assert confirmations.expire(tx, TERMS).mails == ()


def test_a_mail_that_acted_as_a_stronger_identity_does_not_act_again(
    spool: Connection, gateway: Config
) -> None:
    with spool.transaction() as tx:
        job = waits(tx)
        strong = Identity(address="ada@example.org", how=How.SMTP_AUTH)
        waiting = mail.fetch(tx, mail.accept(tx, accepted(identity=strong)))
        assert waiting is not None
        assert mail.first_act(tx, waiting, waiting.errands[0][0], "align", "same") is None
    with spool.transaction() as tx:
        assert confirmed(tx, token(spool), gateway) == "confirmed"
    assert jobs.fetch(spool.view, job).phase is Phase.ABORTED
    kinds = [plan.kind for plan in letters.planned(spool.view, besides=(), limit=9)]
    assert kinds == [LetterKind.CONFIRM]


def test_whom_the_service_takes_no_more_confirms_in_vain(
    spool: Connection, gateway: Config
) -> None:
    with spool.transaction() as tx:
        job = waits(tx)
    with spool.transaction() as tx:
        nothing = gateway.gateway.services / "none"
        nothing.mkdir()
        confirmed(tx, token(spool), gateway, services=nothing)
    assert jobs.fetch(spool.view, job).phase is Phase.ABORTED
    assert asked(spool) == ["Ada@example.org"]
