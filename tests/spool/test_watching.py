"""Who else is told of a job: named, asked, told, and told no more."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailgate import services
from mailgate.model import Job, LetterKind, Notify
from mailgate.parse.keys import read_keys
from mailgate.services import Service
from mailgate.spool import confirmations, jobs, letters, watchers, watching, wishes
from mailgate.spool.database import Connection
from mailgate.spool.watching import Named, Rule
from tests.spool.made import a_job, begun_attempt, ended
from tests.spool.test_confirmations import TERMS, asked

BOB, EVE = "Bob@example.org", "eve@elsewhere.test"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    file = tmp_path / "align.toml"
    allow = 'allow = ["*", "*@example.org"]\ndeny = ["mallory@example.org"]'
    file.write_text(f'command = ["true"]\n[access]\n{allow}\n')
    return services.load(file)


@pytest.fixture
def by(service: Service) -> Rule:
    return Rule(terms=TERMS, services={"align"}, service=service)


def name(spool: Connection, job: Job, who: str, by: Rule) -> Named:
    with spool.transaction() as tx:
        return watching.name(tx, job, who, by)


def planned(spool: Connection) -> list[tuple[LetterKind, str]]:
    found = letters.planned(spool.view, besides=(), limit=99)
    return [(plan.kind, plan.recipient) for plan in found]


def test_only_whom_the_operators_list_names_is_told_without_being_asked(
    spool: Connection, by: Rule
) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    assert name(spool, job, BOB, by) is Named.TOLD
    assert name(spool, job, EVE, by) is Named.ASKED
    assert name(spool, job, "Mallory@example.org", by) is Named.DENIED
    assert name(spool, job, "Ada@Example.org", by) is Named.OWNER
    for ours in ("align@gate.example.org", "jobs+job.x@gate.example.org"):
        assert name(spool, job, ours, by) is Named.OURS
    assert watchers.named(spool.view, job.id) == {BOB: True, EVE: False}
    ended(spool, job.id)
    told = [one for one in planned(spool) if one[0] is LetterKind.RESULT]
    assert told == [(LetterKind.RESULT, "ada@example.org"), (LetterKind.RESULT, BOB)]


def test_a_job_has_ten_watchers_at_most(spool: Connection, by: Rule) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    for number in range(10):
        assert name(spool, job, f"b{number}@example.org", by) is Named.TOLD
    assert name(spool, job, "b10@example.org", by) is Named.MANY
    assert name(spool, job, "B9@example.org", by) is Named.ALREADY


def test_who_agrees_after_the_end_gets_the_result_and_who_left_gets_nothing(
    spool: Connection, by: Rule
) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    name(spool, job, EVE, by)
    name(spool, job, BOB, by)
    with spool.transaction() as tx:
        assert watchers.remove(tx, job.id, "bob@EXAMPLE.org")
        assert not watchers.remove(tx, job.id, "bob@example.org")
    ended(spool, job.id)
    with spool.transaction() as tx:
        watching.agreed(tx, job.id, EVE, by)
        watching.agreed(tx, job.id, EVE, by)
        watching.agreed(tx, job.id, "bob@example.org", by)
    told = [who for kind, who in planned(spool) if kind is LetterKind.RESULT]
    assert told == ["ada@example.org", EVE]


def test_who_is_denied_before_he_agrees_is_told_nothing(spool: Connection, by: Rule) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    assert name(spool, job, EVE, by) is Named.ASKED
    lists = replace(by.service.access, deny=("eve@*",))  # type: ignore[union-attr]
    wary = replace(by, service=replace(by.service, access=lists))  # type: ignore[type-var]
    with spool.transaction() as tx:
        assert not watching.agreed(tx, job.id, EVE, wary)
    assert watchers.named(spool.view, job.id) == {}


def test_who_agrees_once_the_job_is_destroyed_gets_nothing(spool: Connection, by: Rule) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    assert name(spool, job, EVE, by) is Named.ASKED
    ended(spool, job.id)
    with spool.transaction() as tx:
        wishes.destroy(tx, jobs.fetch(tx, job.id), by=job.owner.address)
        watching.agreed(tx, job.id, EVE, by)
    assert (LetterKind.RESULT, EVE) not in planned(spool)


def test_a_watcher_hears_what_notify_says_and_no_receipt(spool: Connection, by: Rule) -> None:
    attempt = begun_attempt(spool)
    job = jobs.fetch(spool.view, attempt.job)
    name(spool, job, BOB, by)
    with spool.transaction() as tx:
        letters.plan(tx, job, LetterKind.STARTED, cause="start 1")
        letters.plan(tx, job, LetterKind.STARTED, cause="start 1")
        letters.plan(tx, job, LetterKind.RECEIPT, cause="receipt")
    assert planned(spool) == [
        (LetterKind.STARTED, "ada@example.org"),
        (LetterKind.STARTED, BOB),
        (LetterKind.RECEIPT, "ada@example.org"),
    ]
    assert Notify.START not in job.notify


def test_a_letter_that_asks_in_vain_does_not_leave_any_more(spool: Connection, by: Rule) -> None:
    job = jobs.fetch(spool.view, a_job(spool))
    name(spool, job, EVE, by)
    assert asked(spool) == [EVE]
    with spool.transaction() as tx:
        tx.now += TERMS.within
        confirmations.expire(tx, TERMS)
    assert asked(spool) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("bob", "is no address"),
        ("bob@", "is no address"),
        ("bob@example.org eve", "is no address"),
        ("bøb@example.org", "is no address"),
        ("<bob@example.org", "is no address"),
        (f"{'b' * 300}@example.org", "is no address"),
        (" ".join(f"b{n}@example.org" for n in range(6)), "these are 6 addresses"),
    ],
)
def test_what_is_no_address_is_told_by_name(service: Service, line: str, fault: str) -> None:
    asked = read_keys([f"watch: {line}"], service)
    assert asked.general.watch == ()
    assert fault in str(str(asked.findings[0].told.meaning))


def test_addresses_are_read_as_mail_programs_write_them(service: Service) -> None:
    asked = read_keys(["Watch: <Bob@EXAMPLE.org.>, eve@elsewhere.test;"], service)
    assert asked.general.watch == ("Bob@example.org", EVE)
    assert not asked.findings[0].told.wrong
