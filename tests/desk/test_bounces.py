"""A bounce moves its own letter, once, while that is out; whatever it says, nothing is lost."""

from datetime import timedelta

import pytest

from mailgate import config
from mailgate.deliver.outbox import after_bounce
from mailgate.desk import Desk, bounces
from mailgate.model import Bounce, Envelope, Fate, JobId, LetterState
from mailgate.parse.header import Header
from mailgate.spool import jobs, keep, letters, mail, returned, unsent
from mailgate.spool.database import Connection, Site
from mailgate.spool.store import Folder, direct
from mailgate.spool.tables import Errand
from tests.spool.made import a_job, accepted, ended

FAILED = Bounce(fate=Fate.FAILED, status="5.1.1", words="no such user")
BIG = Bounce(fate=Fate.TOO_BIG, status="5.3.4", words="too big")
FULL = Bounce(fate=Fate.TEMPORARY, status="5.2.2", words="mailbox full")
HOUR = timedelta(hours=1)
SCHEDULE = [timedelta(seconds=10), timedelta(minutes=1), HOUR]


@pytest.fixture
def spool(tmp_path):
    with direct(Folder(tmp_path / "spool"), Site.of("jobs@gate.example.org")) as connection:
        yield connection


@pytest.fixture
def house(tmp_path) -> config.Config:
    file = tmp_path / "mailgate.toml"
    file.write_text(
        '[gateway]\naddress = "jobs@gate.example.org"\n[deliver.maildir]\npath = "out"\n'
        '[deliver]\nretry = ["10s", "1m", "1h"]\n[listen.smtp]\n'
    )
    (tmp_path / "services").mkdir()
    return config.load(file)


@pytest.fixture
def deliver(house) -> config.Deliver:
    return house.deliver


def a_letter(spool: Connection) -> tuple[int, str]:
    """A result that is composed; its number and its tag."""
    job = a_job(spool)
    ended(spool, job)
    with spool.transaction() as tx:
        number = letters.planned(tx, besides=(), limit=9)[-1].id
        letters.composed(tx, number, size=3, body=b"abc", file=None)
        row = tx.one("SELECT tag FROM letter WHERE id = ?", number)
    assert row is not None
    return number, row["tag"]


def a_sent_letter(spool: Connection) -> tuple[int, str]:
    """A result that is out; its number and its tag."""
    number, tag = a_letter(spool)
    with spool.transaction() as tx:
        letters.sent(tx, number, "250 ok")
    return number, tag


def comes_back(
    spool, deliver, tag: str, bounce: Bounce, key: str = "<b@mx>", *, released=False
) -> str:
    with spool.transaction() as tx:
        letter = returned.tagged(tx, tag)
        taken = accepted(
            key, identity=None, sender="", errands=[(Errand.BOUNCE, f"bounce.{tag}")],
            letters=[letter],
        )  # fmt: skip
        waiting = mail.fetch(tx, mail.accept(tx, taken))
        assert waiting is not None
        assert waiting.returned
        number, _, recipient = waiting.errands[0]
        return bounces.take(tx, deliver, waiting, (number, recipient), bounce)


def state(spool, letter: int) -> tuple[str, int, str]:
    row = spool.view.one("SELECT state, bounces, last_words FROM letter WHERE id = ?", letter)
    return row["state"], row["bounces"], row["last_words"]


def test_a_failure_for_good_is_told_on_the_letter_and_its_job(spool, deliver):
    letter, tag = a_sent_letter(spool)
    assert comes_back(spool, deliver, tag, FAILED) == "bounced"
    assert state(spool, letter) == ("BOUNCED", 0, "5.1.1 no such user")
    (queued,) = letters.queue(spool.view)
    assert (queued.id, queued.state) == (letter, LetterState.BOUNCED)
    history = jobs.history(spool.view, queued.job)
    assert [detail for _, verb, detail in history if verb == "bounced"] == [
        "letter=1 5.1.1 no such user"
    ]


def test_a_failure_is_heard_that_comes_before_it_is_noted_that_the_letter_left(spool, house):
    letter, tag = a_letter(spool)
    desk = Desk(house, {}, Folder(house.gateway.spool), lambda: spool.view)
    to = (f"jobs+bounce.{tag}@gate.example.org",)
    envelope = Envelope(door="smtp", peer="127.0.0.1", sender="", recipients=to)
    verdict = desk.judge(envelope, Header.scan(b"From: MAILER-DAEMON@mx.example.org\r\n\r\n"), 9)
    with spool.transaction() as tx:
        letters.sent(tx, letter, "250 ok")
        came = accepted(
            "<b@mx>", identity=None, sender="", errands=verdict.errands, letters=verdict.letters
        )
        waiting = mail.fetch(tx, mail.accept(tx, came))
        assert waiting is not None
        number, _, recipient = waiting.errands[0]
        assert bounces.take(tx, house.deliver, waiting, (number, recipient), FAILED) == "bounced"
    assert state(spool, letter)[0] == "BOUNCED"


def test_a_letter_that_was_too_big_for_a_later_server_is_composed_smaller(spool, deliver):
    letter, tag = a_sent_letter(spool)
    limits = []
    message_id = spool.view.one("SELECT message_id FROM letter")["message_id"]
    for size in (100_000, 50_000, 25_000, 12_500):
        with spool.transaction() as tx:
            tx.execute("UPDATE letter SET size = ?", size)
        comes_back(spool, deliver, tag, BIG, f"<{size}@mx>")
        for plan in letters.planned(spool.view, besides=(), limit=9):
            assert (plan.id, plan.message_id) == (letter, message_id)
            limits.append(plan.limit)
            with spool.transaction() as tx:
                letters.composed(tx, letter, size=3, body=b"abc", file=None)
                letters.sent(tx, letter, "250 ok")
    assert limits == [50_000, 25_000, 12_500]
    # Its words alone are more.
    assert state(spool, letter) == ("BOUNCED", 3, "5.3.4 too big")


def test_the_operator_sends_a_bounced_letter_again_under_its_message_id(spool, deliver):
    letter, tag = a_sent_letter(spool)
    before = spool.view.one("SELECT message_id, tag FROM letter")
    comes_back(spool, deliver, tag, FAILED)
    with spool.transaction() as tx:
        assert unsent.retry_now(tx, letter)
    (plan,) = letters.planned(spool.view, besides=(), limit=9)
    assert (plan.id, plan.message_id) == (letter, before["message_id"])


def test_a_full_mailbox_is_tried_for_days_and_then_the_result_is_held(spool, deliver):
    letter, tag = a_sent_letter(spool)
    waits = []
    for number in range(99):
        comes_back(spool, deliver, tag, FULL, f"<{number}@mx>")
        if state(spool, letter)[0] == "BOUNCED":
            break
        with spool.transaction() as tx:
            row = tx.one("SELECT next_try, bounces FROM letter")
            waits.append(row["next_try"] - tx.at)
            assert row["bounces"] == number + 1
            assert keep.expired_jobs(tx, now=tx.at + 9e9) == [], "an unsent letter keeps its job"
            letters.lost(tx, letter)
            letters.composed(tx, letter, size=3, body=b"abc", file=None)
            letters.sent(tx, letter, "250 ok")
    assert [round(wait) for wait in waits[:5]] == [10, 60, 3600, 7200, 14400]
    assert max(waits) <= 86400 + 1
    assert 4 * 86400 < sum(waits) <= 5 * 86400 + len(waits)
    assert len(letters.queue(spool.view)) == 1


def test_the_waits_after_bounces_end(deliver):
    assert after_bounce(SCHEDULE, 1, within=HOUR) == SCHEDULE[0]
    assert after_bounce(SCHEDULE, 3, within=HOUR) is None
    assert after_bounce(SCHEDULE, 10_000, within=HOUR) is None


@pytest.mark.parametrize("moved", ["again", "failed", "unsent"])
def test_a_bounce_touches_no_letter_that_is_not_out(spool, deliver, moved):
    letter, tag = a_sent_letter(spool)
    match moved:
        case "again":
            comes_back(spool, deliver, tag, FULL, "<first@mx>")
        case "failed":
            comes_back(spool, deliver, tag, FAILED, "<first@mx>")
        case _:
            with spool.transaction() as tx:
                tx.execute("UPDATE letter SET state = 'HELD' WHERE id = ?", letter)
    before = state(spool, letter)
    assert comes_back(spool, deliver, tag, FAILED, "<second@mx>") == "noted: its letter is not out"
    assert comes_back(spool, deliver, tag, FULL, "<third@mx>") == "noted: its letter is not out"
    assert state(spool, letter) == before


def test_the_same_bounce_acts_once(spool, deliver):
    letter, tag = a_sent_letter(spool)
    comes_back(spool, deliver, tag, FULL)
    with spool.transaction() as tx:
        letters.lost(tx, letter)
        letters.composed(tx, letter, size=3, body=b"abc", file=None)
        letters.sent(tx, letter, "250 ok")
    assert comes_back(spool, deliver, tag, FULL) == "duplicate"
    assert state(spool, letter)[:2] == ("SENT", 1)


def test_what_is_only_noted_leaves_the_letter_as_it_is(spool, deliver):
    letter, tag = a_sent_letter(spool)
    assert (
        comes_back(spool, deliver, tag, Bounce(fate=Fate.NOTED, words="it is delayed")) == "noted"
    )
    assert state(spool, letter)[:2] == ("SENT", 0)


def test_what_nobody_understands_is_held_for_the_operator_and_touches_nothing(spool, deliver):
    letter, tag = a_sent_letter(spool)
    unclear = Bounce(fate=Fate.UNKNOWN, words="what it says is not clear")
    assert comes_back(spool, deliver, tag, unclear) == "held"
    assert state(spool, letter)[:2] == ("SENT", 0)
    row = spool.view.one("SELECT state, unread, reason FROM errand WHERE kind = 'bounce'")
    assert (row["state"], row["unread"]) == ("HELD", 0)
    assert row["reason"] == "came back for letter 1: what it says is not clear"


def test_a_receipt_of_a_job_that_has_ended_is_not_sent_again(spool, deliver):
    letter, tag = a_sent_letter(spool)
    with spool.transaction() as tx:
        tx.execute("UPDATE letter SET kind = 'receipt'")
    assert comes_back(spool, deliver, tag, FULL) == "bounced"
    assert state(spool, letter)[0] == "BOUNCED"


def test_a_bounced_letter_does_not_keep_its_job_beyond_its_time(spool, deliver):
    letter, tag = a_sent_letter(spool)
    comes_back(spool, deliver, tag, FAILED)
    with spool.transaction() as tx:
        (job,) = keep.expired_jobs(tx, now=tx.at + 8 * 86400)
        keep.archive(tx, [job])
        assert letters.queue(tx) == []
        assert not unsent.retry_now(tx, letter), "its outputs are gone"


def test_of_mail_without_end_for_one_letter_no_more_is_read(spool, deliver):
    letter, tag = a_sent_letter(spool)
    noted = Bounce(fate=Fate.NOTED)
    for number in range(100):
        assert returned.is_read(spool.view, letter)
        comes_back(spool, deliver, tag, noted, f"<{number}@mx>")
    assert not returned.is_read(spool.view, letter)
    job = JobId(spool.view.one("SELECT job FROM letter")["job"])
    for number in range(5):
        with spool.transaction() as tx:
            mail.accept(tx, accepted(f"<more{number}@mx>", errands=[], letters=[letter], body=None))
    told = [detail for _, verb, detail in jobs.history(spool.view, job) if verb == "returned"]
    assert len(told) == 101
    assert told[-1].endswith("what comes from now on is not told")
    with spool.transaction() as tx:
        tx.now += timedelta(days=15)
        assert keep.bury(tx) == 5
