"""Quotas over a real spool: what is counted, for whom, what is refused, and whose turn it is."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailgate.errors import OverQuota
from mailgate.model import How, Identity, JobId
from mailgate.services import Service, load
from mailgate.settings.quotas import Quota
from mailgate.spool import attempts, mail, quotas
from mailgate.spool.addresses import mailbox
from mailgate.spool.database import Connection, View
from mailgate.spool.quotas import DAY, Rule, rules
from mailgate.spool.store import Folder
from mailgate.spool.turns import Turns
from tests.spool.made import ADA, a_job, accepted, ended

BOB = Identity(address="bob@example.org", how=How.NETWORK)
SHOUTED = Identity(address="ADA@example.org", how=How.NETWORK)
LOGGED_IN = Identity(address="ada@example.org", how=How.SMTP_AUTH)


def service(folder: Path, name: str = "align", text: str = "") -> Service:
    file = folder / f"{name}.toml"
    file.write_text(f'command = ["true"]\n{text}')
    return load(file)


def made(
    spool: Connection, those: Sequence[Rule], who: Identity = ADA, name: str = "align"
) -> JobId:
    """Make a job as a request does: refused by its quota, or counted."""
    with spool.transaction() as tx:
        quotas.check_jobs(tx, those, now=tx.now)
        quotas.count_job(tx, those, who.how)
    return a_job(spool, owner=who, service=name)


def sent(spool: Connection, those: Sequence[Rule], size: int, who: Identity = ADA) -> None:
    """Take a mail as the desk does."""
    quotas.check_mail(spool.view, those, size, now=datetime.now(UTC))
    subjects = quotas.counted_mail(those)
    with spool.transaction() as tx:
        mail.accept(tx, accepted(identity=who, size=size, counted=subjects))


def back(spool: Connection, span: timedelta) -> None:
    """Let all that was counted have happened that much earlier."""
    with spool.transaction() as tx:
        tx.execute("UPDATE tally SET at = at - ?", span.total_seconds())


def tally(spool: Connection) -> int:
    return spool.view.count("SELECT COUNT(*) FROM tally")


# --- jobs that wait -------------------------------------------------------------------------------


def test_one_job_too_many_that_waits_is_refused_until_one_starts(spool: Connection) -> None:
    those = rules(Quota(waiting=2), [], ADA)
    first = made(spool, those)
    made(spool, rules(Quota(waiting=2), [], SHOUTED), SHOUTED)
    with pytest.raises(OverQuota) as over:
        made(spool, those)
    assert str(over.value) == (
        "ada@example.org has 2 jobs waiting, and at most 2 may wait; one more is taken as soon as"
        " one of them starts or is cancelled"
    )
    assert over.value.smtp_reply.startswith("552 5.2.2 ")
    made(spool, rules(Quota(waiting=2), [], BOB), BOB)
    with spool.transaction() as tx:
        attempt = attempts.intend(tx, first, engine="local")
        assert attempt is not None
        attempts.begun(tx, attempt, tx.now)
    made(spool, those)


def test_a_services_quotas_are_for_each_and_for_all(spool: Connection, tmp_path: Path) -> None:
    align = service(tmp_path, text="[quota]\nwaiting = 1\n[quota.all]\nwaiting = 2\n")
    other = service(tmp_path, "other", "[quota.all]\nwaiting = 1\n")
    made(spool, rules(Quota(), [align], ADA))
    with pytest.raises(
        OverQuota, match=r'ada@example.org has 1 job waiting at the service "align"'
    ):
        made(spool, rules(Quota(), [align], ADA))
    made(spool, rules(Quota(), [other], ADA), name="other")
    made(spool, rules(Quota(), [align], BOB), BOB)
    eve = Identity(address="eve@example.org", how=How.SMTP_AUTH)
    with pytest.raises(OverQuota, match=r'All together have 2 jobs waiting at the service "align"'):
        made(spool, rules(Quota(), [align], eve), eve)


# --- jobs and bytes of a day ----------------------------------------------------------------------


def test_a_job_too_many_within_a_day_is_refused_until_the_first_is_a_day_old(
    spool: Connection,
) -> None:
    those = rules(Quota(jobs_a_day=2), [], ADA)
    ended(spool, made(spool, those))
    back(spool, timedelta(hours=20))
    ended(spool, made(spool, those))
    with pytest.raises(
        OverQuota, match="sent 2 jobs within 24 hours, and the most is 2; the next"
    ) as over:
        made(spool, those)
    assert over.value.frees is not None
    left = over.value.frees - datetime.now(UTC)
    assert timedelta(hours=3, minutes=59) < left <= timedelta(hours=4)
    back(spool, timedelta(hours=4))
    ended(spool, made(spool, those))
    # The second is not a day old.
    with pytest.raises(OverQuota):
        made(spool, those)


def test_the_bytes_of_a_day_are_counted_and_free_the_oldest_first(spool: Connection) -> None:
    those = rules(Quota(bytes_a_day=1000), [], ADA)
    sent(spool, those, 400)
    back(spool, timedelta(hours=10))
    sent(spool, those, 500)
    sent(spool, those, 100)
    for size, hours in ((1, 14), (400, 14), (401, 24), (900, 24)):
        with pytest.raises(
            OverQuota, match="sent 1,000 bytes within 24 hours, and the most is"
        ) as over:
            sent(spool, those, size)
        assert over.value.frees is not None
        left = over.value.frees - datetime.now(UTC)
        assert abs(left - timedelta(hours=hours)) < timedelta(minutes=1), (size, left)
    with pytest.raises(OverQuota, match="it can never be taken") as over:
        sent(spool, those, 1001)
    assert over.value.frees is None
    sent(spool, rules(Quota(bytes_a_day=1000), [], BOB), 1000, BOB)
    back(spool, timedelta(hours=14))
    sent(spool, those, 400)


def test_each_refusal_says_the_limit_the_use_and_when_it_frees(
    spool: Connection, tmp_path: Path
) -> None:
    align = service(
        tmp_path,
        text="[quota]\njobs_a_day = 1\n[quota.all]\nwaiting = 1\njobs_a_day = 2\nbytes_a_day = 1000",
    )
    small = service(tmp_path, "small", "[quota]\nbytes_a_day = 1000\n")
    ended(spool, made(spool, rules(Quota(), [align], ADA)))
    there = 'at the service "align"'
    a_day = "within 24 hours"
    with pytest.raises(OverQuota, match=f"1 job {a_day} {there}, and the most is 1; the next is"):
        made(spool, rules(Quota(), [align], ADA))
    made(spool, rules(Quota(), [align], BOB), BOB)
    eve = Identity(address="eve@example.org", how=How.NETWORK)
    with pytest.raises(OverQuota, match=f"All together have 1 job waiting {there}, and at most 1"):
        made(spool, rules(Quota(), [align], eve), eve)
    for one, where, whose in (
        (align, "align", "All together have"),
        (small, "small", f"{ADA.address} has"),
    ):
        sent(spool, rules(Quota(), [one], ADA), 900)
        with pytest.raises(OverQuota) as over:
            sent(spool, rules(Quota(), [one], ADA), 101)
        assert str(over.value).startswith(
            f'{whose} sent 900 bytes {a_day} at the service "{where}", and the most is 1,000 bytes;'
            " this mail of 101 bytes is taken after"
        )


@pytest.mark.parametrize(
    "address",
    ["ada+1@x.org", "ada@x.org", "+ada+1@x.org", '"a@b+c"@x.org', '"a+b@c"@x.org', "a@x+y.org"],
)
def test_whose_job_it_is_python_and_sql_say_alike(spool: Connection, address: str) -> None:
    who = Identity(address=address, how=How.NETWORK)
    a_job(spool, owner=who)
    row = spool.view.one(f"SELECT {mailbox('lower(owner)')} AS who FROM job")
    assert row is not None
    assert row["who"] == who.mailbox
    # Another tag of the same is the same person, in whatever way it is counted.
    local, _, domain = who.mailbox.partition("@")
    a_job(spool, owner=Identity(address=f"{local}+other@{domain}", how=How.NETWORK))
    rule = Rule(quota=Quota(waiting=9), who=who, service=None)
    same = 1 if local.startswith("+") else 2
    assert list(quotas.stand(spool.view, rule, now=datetime.now(UTC))) == [("waiting", same, 9)]


def test_the_tags_of_an_address_are_one_persons(spool: Connection) -> None:
    tags = [f"{who}@example.org" for who in ("ada", "ada+1", "ADA+2", "ada+3+x")]
    people = [Identity(address=address, how=How.NETWORK) for address in tags]
    others = [
        Identity(address=a, how=How.NETWORK) for a in ("ada+1@example.com", "adam@example.org")
    ]
    quota = Quota(waiting=2, jobs_a_day=2, bytes_a_day=100)
    for who in people[:2]:
        made(spool, rules(quota, [], who), who)
        sent(spool, rules(quota, [], who), 50, who)
    for who in people:
        with pytest.raises(OverQuota, match="has 2 jobs waiting"):
            made(spool, rules(Quota(waiting=2), [], who), who)
        with pytest.raises(OverQuota, match="sent 2 jobs"):
            made(spool, rules(Quota(jobs_a_day=2), [], who), who)
        with pytest.raises(OverQuota, match="sent 100 bytes"):
            sent(spool, rules(quota, [], who), 1, who)
    for who in others:
        made(spool, rules(quota, [], who), who)
        sent(spool, rules(quota, [], who), 50, who)
    turns = Turns(quota=Quota(running=1))
    assert len(turn(spool, turns)) == 3
    assert turns.running(spool.view)[turns.share(people[3], None)] == 0
    first, *rest = turn(spool, Turns())
    start(spool, first)
    assert turn(spool, turns, besides=[first]) == rest[1:]
    assert "1 job of ada+1@example.org runs already" in str(turns.why_not(spool.view, rest[0]))
    assert turns.running(spool.view)[turns.share(people[3], None)] == 1


def test_without_a_quota_nothing_is_counted(spool: Connection, tmp_path: Path) -> None:
    assert rules(Quota(), [service(tmp_path)], ADA) == []
    those = rules(
        Quota(waiting=5, running=5), [service(tmp_path, text="[quota]\nrunning = 1")], ADA
    )
    made(spool, those)
    sent(spool, those, 10)
    assert tally(spool) == 0


def test_what_is_a_day_old_is_forgotten(spool: Connection) -> None:
    those = rules(Quota(jobs_a_day=5, bytes_a_day=5000), [], ADA)
    made(spool, those)
    sent(spool, those, 10)
    back(spool, DAY)
    made(spool, those)
    with spool.transaction() as tx:
        assert quotas.forget_uses(tx) == 2
    assert tally(spool) == 1


@pytest.mark.parametrize("quota", [Quota(waiting=1), Quota(jobs_a_day=1), Quota(bytes_a_day=10)])
def test_who_is_known_worse_uses_up_nothing_of_who_is_known_better(
    spool: Connection, quota: Quota
) -> None:
    def use(who: Identity) -> None:
        those = rules(quota, [], who)
        made(spool, those, who)
        sent(spool, those, 10, who)

    use(ADA)
    use(LOGGED_IN)
    for who in (ADA, LOGGED_IN):
        with pytest.raises(OverQuota):
            use(who)
    # Whom nobody vouches for falls under none of it.
    assert rules(quota, [], Identity(address="ada@example.org", how=How.CLAIMED)) == []


# --- whose turn it is -----------------------------------------------------------------------------


def turn(spool: Connection, turns: Turns, limit: int = 8, **more: Sequence[JobId]) -> list[JobId]:
    return turns.next(spool.view, limit=limit, besides=more.pop("besides", ()), **more)


def start(spool: Connection, job: JobId) -> None:
    with spool.transaction() as tx:
        assert attempts.intend(tx, job, engine="local") is not None


def test_a_job_over_its_quota_waits_and_others_go_first(spool: Connection) -> None:
    hers = [a_job(spool) for _ in range(3)]
    his = [a_job(spool, owner=BOB) for _ in range(3)]
    turns = Turns(quota=Quota(running=2))
    assert turn(spool, Turns()) == hers + his
    assert turn(spool, turns) == [*hers[:2], *his[:2]]
    assert turn(spool, turns, 3) == [*hers[:2], his[0]]
    for job in hers[:2]:
        start(spool, job)
    assert turn(spool, turns, besides=hers[:2]) == his[:2]
    # What is about to start counts, and is not counted twice.
    assert turn(spool, turns, besides=[*hers[:2], his[0]], starting=[his[0], hers[0]]) == [his[1]]
    ended_one = hers[0]
    with spool.transaction() as tx:
        tx.execute("UPDATE attempt SET state = 'ENDED', ended = 1 WHERE job = ?", ended_one)
        tx.execute("UPDATE job SET phase = 'EXECUTING', given = 0 WHERE id = ?", ended_one)
    assert turn(spool, turns, 1, besides=hers[:2]) == [hers[2]]


def test_a_services_share_is_for_each_and_for_all(spool: Connection, tmp_path: Path) -> None:
    align = service(tmp_path, text="[quota]\nrunning = 1\n[quota.all]\nrunning = 2\n")
    turns = Turns(services={"align": align, "other": service(tmp_path, "other")})
    hers = [a_job(spool) for _ in range(2)]
    his = [a_job(spool, owner=BOB) for _ in range(2)]
    eves = a_job(spool, owner=Identity(address="eve@example.org", how=How.NETWORK))
    besides = a_job(spool, service="other")
    assert turn(spool, turns) == [hers[0], his[0], besides]
    assert not turns.why_not(spool.view, hers[1])
    start(spool, hers[0])
    assert str(turns.why_not(spool.view, hers[1])) == (
        '1 job of ada@example.org runs already at the service "align", and at most 1 may at once;'
        " this one starts as soon as one of them ends"
    )
    start(spool, his[0])
    assert str(turns.why_not(spool.view, eves)) == (
        '2 jobs run already at the service "align", and at most 2 may at once;'
        " this one starts as soon as one of them ends"
    )
    assert turn(spool, turns, besides=[hers[0], his[0]]) == [besides]
    assert not turns.why_not(spool.view, besides)


def test_who_is_known_better_waits_for_nobody_known_worse(spool: Connection) -> None:
    forged = [a_job(spool) for _ in range(2)]
    hers = [a_job(spool, owner=LOGGED_IN) for _ in range(2)]
    turns = Turns(quota=Quota(running=1))
    assert turn(spool, turns) == [forged[0], hers[0]]
    start(spool, forged[0])
    assert turn(spool, turns, besides=forged[:1]) == hers[:1]
    assert not turns.why_not(spool.view, hers[0])
    start(spool, hers[0])
    assert turn(spool, turns, besides=[forged[0], hers[0]]) == []
    assert "2 jobs of ada@example.org run already" in str(turns.why_not(spool.view, forged[1]))
    assert "1 job of ada@example.org runs already" in str(turns.why_not(spool.view, hers[1]))


def test_a_crowd_of_one_person_keeps_nobody_from_the_front(spool: Connection) -> None:
    with spool.transaction() as tx:
        template = a_columns(tx)
        for number in range(5000):
            tx.insert("job", **{**template, "id": f"j{number:011d}", "queued": float(number)})
    last = a_job(spool, owner=BOB)
    turns = Turns(quota=Quota(running=1))
    assert turn(spool, turns, 2) == ["j00000000000", last]
    plan = spool.view.all(
        "EXPLAIN QUERY PLAN SELECT id, service, lower(owner) AS who, how FROM job"
        " WHERE phase = 'QUEUED' AND given = 0 AND lower(owner) || ' ' || how NOT IN ('x') ORDER BY queued LIMIT 5"
    )
    assert any("job_queued" in row["detail"] for row in plan)


@pytest.mark.parametrize("turns", [Turns(), Turns(quota=Quota(running=3))], ids=["free", "quota"])
def test_thousands_that_an_engine_has_weigh_nothing_when_the_next_is_chosen(
    spool: Connection, folder: Folder, turns: Turns
) -> None:
    last = a_job(spool, owner=BOB)
    before = steps(folder, turns, [last])
    with spool.transaction() as tx:
        template = a_columns(tx)
        for number in range(2000):
            job = JobId(f"j{number:011d}")
            tx.insert("job", **{**template, "id": job, "queued": 1.0})
            assert attempts.intend(tx, job, engine="slurm") is not None
            assert attempts.intend(tx, job, engine="slurm") is None, "one at a time"
    many = steps(folder, turns, [last])
    # Of one person they are one row, and are counted.
    assert many < before + (20 * 2000 if turns.quota.running else 10)
    start(spool, last)
    assert steps(folder, turns, []) < 100, "nobody counts where nobody waits"


def steps(folder: Folder, turns: Turns, expected: Sequence[JobId]) -> int:
    """Choose, and return how many steps of SQLite's machine that took."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    with closing(sqlite3.connect(folder.database)) as raw:
        raw.row_factory = sqlite3.Row
        view = View(raw)
        # What there is, is read first.
        assert turns.next(view, limit=8, besides=()) == expected
        raw.set_progress_handler(step, 1)
        turns.next(view, limit=8, besides=())
    return taken


def a_columns(tx: mail.Tx) -> dict[str, object]:
    """The columns of a queued job of Ada's."""
    columns = {
        "service": "align", "owner": ADA.address, "how": ADA.how, "phase": "QUEUED", "parameters": "{}",
        "plan": "{}", "notify": "[]", "reply": "full", "created": tx.at, "keep": 1.0, "message": 1,
        "ignored": "[]", "left_out": "[]", "words": "", "progress_words": "", "attempts": 0,
    }  # fmt: skip
    return dict(columns)
