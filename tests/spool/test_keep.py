"""What may go and what may not, in a real database."""

from datetime import UTC, datetime, timedelta

from mailgate.model import LetterKind
from mailgate.phases import Phase
from mailgate.spool import holds, jobs, keep, letters, mail
from mailgate.spool.database import Connection
from mailgate.spool.tables import Errand
from tests.spool.made import a_job, accepted, ended

HOUR = timedelta(hours=1)
LATER = (datetime.now(UTC) + timedelta(days=30)).timestamp()
YEARS = (datetime.now(UTC) + timedelta(days=800)).timestamp()


def sent(spool: Connection) -> None:
    for plan in letters.planned(spool.view, besides=(), limit=99):
        with spool.transaction() as tx:
            letters.composed(tx, plan.id, size=1, body=b"x", file=None)
            letters.sent(tx, plan.id, "")


def test_a_job_whose_letter_is_unsent_is_never_purged(spool: Connection) -> None:
    job = a_job(spool, keep=HOUR)
    ended(spool, job)
    assert keep.expired_jobs(spool.view, now=LATER) == []
    sent(spool)
    assert keep.expired_jobs(spool.view, now=LATER) == [job]
    assert keep.expired_jobs(spool.view, now=datetime.now(UTC).timestamp()) == []


def test_a_job_whose_letter_waits_or_is_held_is_never_purged(spool: Connection) -> None:
    job = a_job(spool, keep=HOUR)
    ended(spool, job)
    (plan,) = letters.planned(spool.view, besides=(), limit=99)
    with spool.transaction() as tx:
        letters.composed(tx, plan.id, size=1, body=b"x", file=None)
    assert keep.expired_jobs(spool.view, now=LATER) == []
    with spool.transaction() as tx:
        assert letters.set_aside(tx, plan.id, "550 no such user")
    assert keep.expired_jobs(spool.view, now=LATER) == []


def test_an_active_job_never_expires(spool: Connection) -> None:
    a_job(spool, keep=HOUR)
    assert keep.expired_jobs(spool.view, now=LATER) == []


def test_an_expired_job_leaves_a_tombstone_for_a_year(spool: Connection) -> None:
    job = a_job(spool, keep=HOUR)
    ended(spool, job)
    sent(spool)
    with spool.transaction() as tx:
        keep.archive(tx, [job])
    assert jobs.fetch(spool.view, job).phase is Phase.ARCHIVED
    with spool.transaction() as tx:
        assert keep.bury(tx) == 0
    with spool.transaction() as tx:
        tx.now = datetime.fromtimestamp(YEARS, UTC)
        assert keep.bury(tx) == 1
    assert spool.view.count("SELECT COUNT(*) FROM job") == 0
    assert spool.view.count("SELECT COUNT(*) FROM letter") == 0


def test_a_tombstone_stays_a_year_from_when_it_is_one_however_long_the_job_was_kept(
    spool: Connection,
) -> None:
    job = a_job(spool, keep=timedelta(days=500))
    ended(spool, job)
    sent(spool)
    archived = datetime.now(UTC) + timedelta(days=600)
    for days, buried in ((0, 0), (364, 0), (366, 1)):
        with spool.transaction() as tx:
            tx.now = archived + timedelta(days=days)
            if not days:
                assert keep.archive(tx, keep.expired_jobs(tx, now=tx.at)) == 1
            assert keep.bury(tx) == buried


def test_raw_mail_stays_while_its_job_is_active(spool: Connection) -> None:
    job = a_job(spool)
    assert keep.raw_mail(spool.view, now=LATER) == []
    ended(spool, job)
    assert keep.raw_mail(spool.view, now=datetime.now(UTC).timestamp()) == []
    (raw,) = keep.raw_mail(spool.view, now=LATER)
    with spool.transaction() as tx:
        keep.forget(tx, [raw])
    assert spool.view.count("SELECT COUNT(*) FROM body") == 0
    assert keep.raw_mail(spool.view, now=LATER) == []


def test_held_mail_goes_after_two_weeks(spool: Connection) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, accepted(held="List-Id"))
        assert keep.give_up_held(tx) == []
    with spool.transaction() as tx:
        tx.now += timedelta(days=15)
        (given,) = keep.give_up_held(tx)
        assert (given.key, given.reason) == ("<1@example.org>", "List-Id")
    assert holds.held(spool.view) == []
    assert len(keep.raw_mail(spool.view, now=LATER)) == 1


def test_held_mail_that_could_not_be_read_never_goes_by_itself(spool: Connection) -> None:
    with spool.transaction() as tx:
        mail.hold(tx, mail.accept(tx, accepted()), "it cannot be read")
        tx.now += timedelta(days=500)
        assert keep.give_up_held(tx) == []
        (held,) = holds.held(tx)
        assert holds.release(tx, held.id) is None
        assert mail.waiting(tx, besides=(), limit=9) != []


def test_a_held_answer_takes_its_bytes_with_it(spool: Connection) -> None:
    with spool.transaction() as tx:
        number = mail.accept(tx, accepted(errands=[], identity=None))
        letters.answer(tx, message=number, recipient="a@b", kind=LetterKind.UNCLEAR, facts={})
        letters.composed(tx, 1, size=1, body=b"x", file=None)
        letters.set_aside(tx, 1, "no")
        keep.forget(tx, keep.raw_mail(tx, now=LATER))
    with spool.transaction() as tx:
        tx.now = datetime.fromtimestamp(YEARS, UTC)
        keep.bury(tx)
        assert tx.count("SELECT COUNT(*) FROM letter") == 0
        assert tx.count("SELECT COUNT(*) FROM letter_body") == 0


def test_two_sweeps_at_once_bury_a_job_once(spool: Connection) -> None:
    job = a_job(spool, keep=HOUR)
    ended(spool, job)
    sent(spool)
    with spool.transaction() as tx:
        assert keep.archive(tx, [job]) == 1
        assert keep.archive(tx, [job]) == 0


def test_a_job_with_a_long_history_costs_the_sweep_of_refusals_nothing(spool: Connection) -> None:
    plan = spool.view.all(
        "EXPLAIN QUERY PLAN SELECT id FROM event INDEXED BY event_loose"
        " WHERE at <= 1 AND job IS NULL LIMIT 9"
    )
    assert "event_loose" in " ".join(str(row["detail"]) for row in plan)
    a_job(spool)
    with spool.transaction() as tx:
        tx.note("refused", key="<1@x>")
        tx.now += timedelta(days=15)
        assert keep.forget_refusals(tx) == 1


def test_of_many_refusals_the_newest_are_remembered(spool: Connection) -> None:
    with spool.transaction() as tx:
        for number in range(5):
            tx.now += timedelta(seconds=1)
            tx.note("refused", key=f"<{number}@x>")
        assert keep.forget_refusals(tx, most=2) == 3
        assert keep.forget_refusals(tx, most=2) == 0
        left = [row["key"] for row in tx.all("SELECT key FROM event ORDER BY id")]
    assert left == ["<3@x>", "<4@x>"]


def test_a_message_that_acted_is_remembered_for_a_year(spool: Connection) -> None:
    with spool.transaction() as tx:
        number = mail.accept(tx, accepted())
    waiting = mail.fetch(spool.view, number)
    assert waiting is not None
    with spool.transaction() as tx:
        mail.first_act(tx, waiting, waiting.errands[0][0], "align", "c")
        mail.settle(tx, waiting.errands[0][0], reason="answered")
        mail.forget_after(tx, number, HOUR)
        keep.forget(tx, keep.raw_mail(tx, now=LATER))
        assert keep.bury(tx) == 0
        assert tx.count("SELECT COUNT(*) FROM act") == 1
    with spool.transaction() as tx:
        tx.now = datetime.fromtimestamp(YEARS, UTC)
        assert keep.bury(tx) == 1
        assert tx.count("SELECT COUNT(*) FROM act") == 0


def test_mail_that_came_back_for_a_letter_goes_by_itself(spool: Connection) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, accepted(errands=[(Errand.POSTMASTER, "postmaster")], identity=None))
        mail.accept(tx, accepted(errands=[], identity=None))
    assert [raw.message for raw in keep.raw_mail(spool.view, now=LATER)] == [2]


def test_strays_are_what_no_row_names(spool: Connection) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, accepted(body=None, file="known"))
    assert keep.unknown_mail(spool.view, ["known", "stray"]) == ["stray"]
    assert keep.unknown_letters(spool.view, [77]) == [77]
    assert keep.unknown_staged(spool.view, ["1-align-0"]) == ["1-align-0"]
    job = a_job(spool)
    assert keep.unknown_jobs(spool.view, [job, "gone"]) == ["gone"]
