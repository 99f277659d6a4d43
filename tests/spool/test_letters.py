"""Letters in a real database: planned once, composed once, tried, set aside, sent."""

from datetime import UTC, datetime, timedelta

import pytest

from mailgate.model import Attempt, LetterKind, LetterState, Notify, Progress
from mailgate.spool import (
    appointments,
    attempts,
    jobs,
    keep,
    letters,
    mail,
    notices,
    returned,
    unsent,
)
from mailgate.spool import due as turns
from mailgate.spool.database import Connection, Tx
from tests.spool.made import DONE, WEEK, a_job, accepted, ended

SOON = timedelta(seconds=10)


def a_letter(spool: Connection) -> int:
    job = a_job(spool)
    ended(spool, job)
    (planned,) = letters.planned(spool.view, besides=(), limit=5)
    return planned.id


def composed(spool: Connection, *, size: int = 3) -> int:
    number = a_letter(spool)
    with spool.transaction() as tx:
        assert letters.composed(tx, number, size=size, body=b"abc", file=None)
    return number


def due(spool: Connection, **later: float) -> list[int]:
    at = datetime.now(UTC) + timedelta(**later)
    return [x.id for x in turns.due(spool.view, now=at, limit=9, besides=())]


def test_a_letter_about_a_job_leaves_with_a_tag_and_an_answer_with_none(spool: Connection) -> None:
    a_letter(spool)
    with spool.transaction() as tx:
        number = mail.accept(tx, accepted())
        for _ in range(2):
            letters.answer(
                tx, message=number, recipient="ada@example.org", kind=LetterKind.REFUSED, facts={}
            )
    rows = spool.view.all("SELECT sender, tag, kind FROM letter ORDER BY id")
    assert [row["kind"] for row in rows] == ["result", "refused"]
    assert rows[0]["sender"] == f"jobs+bounce.{rows[0]['tag']}@gate.example.org"
    assert rows[1]["sender"] == ""
    assert returned.tagged(spool.view, rows[0]["tag"]) == 1
    assert returned.tagged(spool.view, "0" * 20) is None


def test_a_letter_is_composed_once(spool: Connection) -> None:
    number = composed(spool)
    with spool.transaction() as tx:
        assert not letters.composed(tx, number, size=9, body=b"else", file=None)
    (letter,) = turns.due(spool.view, now=datetime.now(UTC), limit=9, besides=())
    assert (letter.body, letter.size) == (b"abc", 3)


def test_a_sent_letter_is_never_due_again_and_its_bytes_go(spool: Connection) -> None:
    number = composed(spool)
    with spool.transaction() as tx:
        letters.sent(tx, number, "250 ok")
    assert due(spool, days=99) == []
    assert spool.view.count("SELECT COUNT(*) FROM letter_body") == 0


def test_a_put_off_letter_is_due_at_its_time(spool: Connection) -> None:
    number = composed(spool)
    (letter,) = turns.due(spool.view, now=datetime.now(UTC), limit=9, besides=())
    with spool.transaction() as tx:
        letters.put_off(
            tx, letter, until=tx.now + SOON, words="451 later", refused=True, waited=SOON
        )
    assert due(spool) == []
    (again,) = turns.due(spool.view, now=datetime.now(UTC) + SOON, limit=9, besides=())
    assert (again.id, again.refusals, again.tries, again.waited) == (number, 1, 1, SOON)


def test_a_letter_set_aside_waits_for_the_operator(spool: Connection) -> None:
    number = composed(spool)
    with spool.transaction() as tx:
        letters.set_aside(tx, number, "550 no such user")
    assert due(spool, days=99) == []
    (queued,) = letters.queue(spool.view)
    assert (queued.state, queued.last_words) == (LetterState.HELD, "550 no such user")
    with spool.transaction() as tx:
        assert unsent.retry_now(tx, number)
    assert due(spool) == [number]


def test_a_letter_too_big_is_composed_again_under_its_message_id(spool: Connection) -> None:
    number = composed(spool, size=900)
    before = spool.view.one("SELECT message_id FROM letter WHERE id = ?", number)
    with spool.transaction() as tx:
        letters.too_big(tx, number, limit=100, words="552")
    (plan,) = letters.planned(spool.view, besides=(), limit=5)
    assert before is not None
    assert (plan.id, plan.limit, plan.message_id) == (number, 100, before["message_id"])


# --- letters that the result overtakes ------------------------------------------------------------


def a_chatty_job(spool: Connection) -> Attempt:
    """A job that runs; its receipt is put off by a refusal, its start mail is held, 50 % planned."""
    job = a_job(spool, notify=frozenset({Notify.START, Notify.PROGRESS}))
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="local")
        assert attempt is not None
        tx.execute("UPDATE job SET receipt_due = ? WHERE id = ?", tx.at, job)
        notices.plan_due(tx, limit=9)
        attempts.begun(tx, attempt, tx.now)
        of_this = [plan.id for plan in letters.planned(tx, besides=(), limit=9) if plan.job == job]
        for number in of_this:
            letters.composed(tx, number, size=3, body=b"abc", file=None)
        jobs.progressed(tx, jobs.fetch(tx, job), Progress(percent=50, words=""))
        found = turns.due(tx, now=tx.now, limit=9, besides=())
        receipt, started = [letter for letter in found if letter.id in of_this]
        letters.put_off(tx, receipt, until=tx.now, words="451", refused=True, waited=SOON)
        letters.set_aside(tx, started.id, "550")
    return attempt


def finish(tx: Tx, attempt: Attempt) -> None:
    attempts.ended(tx, attempt, DONE, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)


def test_what_has_not_left_when_the_result_is_planned_never_leaves(spool: Connection) -> None:
    attempt = a_chatty_job(spool)
    kinds = [(queued.kind, queued.state) for queued in letters.queue(spool.view)]
    assert kinds == [("receipt", "WAITING"), ("started", "HELD"), ("progress", "PLANNED")]
    with spool.transaction() as tx:
        finish(tx, attempt)
    assert [queued.kind for queued in letters.queue(spool.view)] == [LetterKind.RESULT]
    assert spool.view.count("SELECT COUNT(*) FROM letter_body") == 0
    told = [what for _, verb, what in jobs.history(spool.view, attempt.job) if verb == "overtaken"]
    assert told == [
        "letter=1 receipt was WAITING",
        "letter=2 started was HELD",
        "letter=3 progress was PLANNED",
    ]


def test_letters_are_overtaken_only_with_the_jobs_end(spool: Connection) -> None:
    attempt = a_chatty_job(spool)
    before = letters.queue(spool.view)
    with spool.transaction() as tx:
        tx.execute(
            "CREATE TRIGGER torn AFTER INSERT ON event WHEN NEW.verb = 'overtaken'"
            " BEGIN SELECT RAISE(ABORT, 'torn'); END"
        )
    with pytest.raises(Exception, match="torn"), spool.transaction() as tx:
        finish(tx, attempt)
    assert letters.queue(spool.view) == before


def test_letters_that_left_and_other_jobs_letters_are_not_overtaken(spool: Connection) -> None:
    attempt, other = a_chatty_job(spool), a_chatty_job(spool)
    with spool.transaction() as tx:
        letters.sent(tx, 1, "250")
        finish(tx, attempt)
    rows = spool.view.all("SELECT job, kind FROM letter ORDER BY id")
    assert [row["kind"] for row in rows if row["job"] == attempt.job] == ["receipt", "result"]
    assert len([row for row in rows if row["job"] == other.job]) == 3


def test_what_becomes_of_an_overtaken_letter_on_its_way_touches_no_other(spool: Connection) -> None:
    attempt = a_chatty_job(spool)
    (receipt,) = turns.due(spool.view, now=datetime.now(UTC), limit=9, besides=())
    with spool.transaction() as tx:
        finish(tx, attempt)
        history = len(tx.all("SELECT * FROM event"))
        letters.put_off(tx, receipt, until=tx.now, words="451", refused=True, waited=SOON)
        assert not letters.set_aside(tx, receipt.id, "550")
        assert not letters.too_big(tx, receipt.id, limit=1, words="552")
        assert not letters.composed(tx, receipt.id, size=3, body=b"abc", file=None)
        letters.sent(tx, receipt.id, "250")
        assert len(tx.all("SELECT * FROM event")) == history
    (result,) = letters.queue(spool.view)
    assert (result.kind, result.state, result.tries) == ("result", "PLANNED", 0)
    assert result.id > receipt.id


def appointment(spool: Connection) -> float:
    row = spool.view.one("SELECT next_try FROM letter")
    assert row is not None
    return float(row["next_try"])


def put_off(spool: Connection, wait: timedelta) -> None:
    (letter,) = turns.due(spool.view, now=datetime.now(UTC), limit=9, besides=())
    with spool.transaction() as tx:
        letters.put_off(tx, letter, until=tx.now + wait, words="", refused=True, waited=wait)


def test_a_clock_set_back_leaves_intervals_as_they_were(spool: Connection) -> None:
    composed(spool)
    put_off(spool, timedelta(hours=2))
    before = appointment(spool)
    with spool.transaction() as tx:
        appointments.shift(tx, -3600, since=tx.at - 3600)
    assert appointment(spool) == before - 3600


def test_a_clock_set_forward_leaves_intervals_as_they_were(spool: Connection) -> None:
    composed(spool)
    put_off(spool, timedelta(hours=2))
    before = appointment(spool)
    with spool.transaction() as tx:
        appointments.shift(tx, 86400, since=tx.at + 86400)
    assert appointment(spool) == before + 86400


def test_what_was_appointed_after_the_clock_went_forward_is_not_put_off(spool: Connection) -> None:
    composed(spool)
    put_off(spool, SOON)
    before = appointment(spool)
    with spool.transaction() as tx:
        # The clock went forward a second ago; the letter was put off since.
        appointments.shift(tx, 86400, since=tx.at - 1)
    assert appointment(spool) == before


def test_the_spool_knows_how_late_it_is(spool: Connection) -> None:
    assert appointments.latest(spool.view) == 0
    before = datetime.now(UTC).timestamp()
    composed(spool)
    assert before <= appointments.latest(spool.view) <= datetime.now(UTC).timestamp()


def test_a_bounce_is_noted_on_its_letter_and_its_job(spool: Connection) -> None:
    number = composed(spool)
    with spool.transaction() as tx:
        message = mail.accept(tx, accepted(errands=[], letters=[number], identity=None))
    row = spool.view.one("SELECT noted, job FROM letter WHERE id = ?", number)
    assert row is not None
    assert row["noted"] is not None
    history = jobs.history(spool.view, row["job"])
    assert history[-1][1:] == ("returned", f"letter={number} message={message}")


def test_of_bounces_that_come_all_the_time_only_the_first_is_kept(spool: Connection) -> None:
    number = composed(spool)
    with spool.transaction() as tx:
        kept, flood = (
            mail.accept(tx, accepted(errands=[], letters=[number], identity=None)) for _ in range(2)
        )
    now = datetime.now(UTC).timestamp()
    assert [raw.message for raw in keep.raw_mail(spool.view, now=now)] == [flood]
    assert kept != flood


def test_ten_bounces_of_a_letter_are_worth_keeping(spool: Connection) -> None:
    number = composed(spool)
    wanted = []
    for hour in range(12):
        with spool.transaction() as tx:
            tx.now += timedelta(hours=2 * hour)
            wanted.append(returned.is_wanted(tx, number, now=tx.at))
            mail.accept(tx, accepted(errands=[], letters=[number], identity=None))
    assert wanted == [True] * 10 + [False] * 2
