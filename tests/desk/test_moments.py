"""Commands that come at the moment when something else happens to their job, on a real spool."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailgate.commands.call import Origin
from mailgate.config import load
from mailgate.desk import Desk, grammar
from mailgate.desk.dialogue import Dialogue, Thread, find
from mailgate.janitor import Janitor, committing
from mailgate.model import (
    Answer,
    JobId,
    NativeId,
    Parcel,
    Piece,
    Shipment,
    Staged,
    Stream,
    StreamRole,
    Wait,
)
from mailgate.model.outlook import Cause
from mailgate.parse.commands import read_commands
from mailgate.parse.message import read_message
from mailgate.phases import Phase
from mailgate.reply.templates import Templates
from mailgate.reply.told import say_of
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.said import moment
from mailgate.services import load_all
from mailgate.spool import attempts, jobs, letters, shipments, silences, standstills
from mailgate.spool.codec import untagged
from mailgate.spool.database import Connection, Site, Tx
from mailgate.spool.store import Folder, direct
from tests.daemon import request, shell
from tests.desk.made import CONFIG
from tests.spool.made import ADA, a_job, begun_attempt, ended

_CAT = shell("cat", 'stdin = "data"\n[input.data]\nfrom = "attachment"')
_BIG = Staged(name="data", file="data", filename="x", size=5, sha256="0" * 64, path="gone")


@dataclass(frozen=True)
class Place:
    """A spool, and the desk at it."""

    spool: Connection
    desk: Desk

    def told(
        self,
        body: str,
        *,
        answers: str | None = None,
        attachments: Mapping[str, bytes] | None = None,
    ) -> list[str]:
        """What each line of a mail gets; ``answers`` is its In-Reply-To."""
        found = self.answers(body, answers=answers, attachments=attachments)
        return [Templates(None).said(say_of(one)) for one in found]

    def answers(
        self,
        body: str,
        *,
        answers: str | None = None,
        attachments: Mapping[str, bytes] | None = None,
    ) -> list[Answer]:
        """The same, before it is said."""
        mail = request("x", body, attachments=attachments)
        message = read_message(io.BytesIO(mail.as_bytes()))
        script = read_commands(message, grammar())
        thread = Thread(in_reply_to=answers, references=None)
        origin = Origin(
            message=1, message_id="<1@b.c>", references=None, subject="", answered=thread.answered
        )
        with self.spool.transaction() as tx:
            answer = Dialogue(
                desk=self.desk,
                who=ADA,
                recipient="jobs",
                script=script,
                found=find(tx, ADA, "jobs", script, thread),
                origin=origin,
            ).perform(tx)
        entries = answer.facts["entries"]
        assert isinstance(entries, list)
        return [Answer(kind=one["say"], facts=untagged(one["facts"])) for one in entries]  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "align.toml").write_text(_CAT)
    (tmp_path / "mailgate.toml").write_text(CONFIG)
    config = load(tmp_path / "mailgate.toml")
    folder = Folder(config.gateway.spool)
    with direct(folder, Site.of(config.gateway.address)) as spool:
        services = load_all(config.gateway.services)
        yield Place(spool, Desk(config, services, folder, lambda: spool.view))


def with_a_file(place: Place) -> JobId:
    """An ended job whose input lies in its folder."""
    job = a_job(place.spool, staged=(_BIG,))
    ended(place.spool, job)
    inputs = JobFolder(place.desk.config.run.folder, job).inputs
    inputs.mkdir(parents=True)
    (inputs / "data").write_bytes(b"hello")
    return job


def due(place: Place, job: JobId, *, ago: float) -> None:
    with place.spool.transaction() as tx:
        tx.execute("DELETE FROM letter")
        tx.execute("UPDATE job SET destruction = ? WHERE id = ?", tx.at - ago, job)


def test_a_job_whose_files_are_just_being_removed_is_not_run_once_more(place: Place) -> None:
    job = with_a_file(place)
    assert "It runs once more" in place.told(f"rerun {job}")[0]
    due(place, job, ago=0)
    said = " ".join(place.told(f"rerun {job}")[0].split())
    assert "the job is not kept any more, and its inputs are gone" in said
    assert "send the request as a new mail to align@gate.example.org, with its inputs" in said


def test_who_runs_a_job_once_more_is_told_which_input_is_gone(place: Place) -> None:
    job = with_a_file(place)
    (JobFolder(place.desk.config.run.folder, job).inputs / "data").unlink()
    said = " ".join(place.told(f"rerun {job}")[0].split())
    assert said.startswith("not done: x is not kept any more. To run the job again, send")


ROOMY = """
[limits]
memory = "1 GiB"
cores_max = 8
memory_max = "16 GiB"
"""


def limited(place: Place, limits: str) -> None:
    """Give the service other limits, as a restart with another file does."""
    file = place.desk.config.gateway.services / "align.toml"
    file.write_text(_CAT + limits)
    place.desk.services = load_all(file.parent)


def rerun(place: Place, job: JobId, *lines: str) -> JobId:
    (said,) = place.told("\n".join([f"rerun {job}", *lines]))
    found = re.search(r"as the job (\w+)", said)
    assert found, said
    return JobId(found[1])


def test_what_a_rerun_asks_for_of_the_machine_stays_as_far_as_the_service_still_allows_it(
    place: Place,
) -> None:
    limited(place, ROOMY)
    usual = rerun(place, with_a_file(place))
    larger = rerun(place, usual, "cores: 4", "memory: 8 GiB")
    again = rerun(place, larger, "cores: 2")
    limited(place, ROOMY.replace("16 GiB", "4 GiB").replace("1 GiB", "2 GiB"))
    less = rerun(place, larger)
    of_now = rerun(place, usual)
    plans = [jobs.fetch(place.spool.view, job).plan for job in (usual, larger, again, less, of_now)]
    assert [(plan.cores, (plan.memory or 0) >> 30) for plan in plans] == [
        (1, 1), (4, 8), (2, 8), (4, 4), (1, 2)
    ]  # fmt: skip


def test_a_rerun_with_more_than_the_service_allows_is_told_the_limit(place: Place) -> None:
    limited(place, ROOMY)
    said = " ".join(place.told(f"rerun {with_a_file(place)}\nmemory: 32 GiB")[0].split())
    assert "32 GiB is over the service's limit of 16 GiB" in said
    assert 'Give it again with another value for "memory": a size such as "16 GiB"' in said


def test_who_asks_hears_why_a_job_still_stands_in_a_clusters_queue(place: Place) -> None:
    job = a_job(place.spool)
    with place.spool.transaction() as tx:
        attempt = attempts.intend(tx, job, engine="slurm")
        assert attempt is not None
        attempts.submitted(tx, attempt, NativeId("48211"))
        tx.execute("UPDATE attempt SET submitted = submitted - 7200")
        tx.execute("UPDATE job SET created = created - 7200")
    assert "Slurm has had it for 2 hours.\nIt is kept" in told_of(place, job)
    for why, said in (
        ("Priority", "It is still queued because other jobs go first (Slurm: Priority)."),
        ("Strange,  \x1b[2Jthings", "It is still queued; Slurm says: Strange,  \\x1b[2Jthings."),
    ):
        starts = datetime.now(UTC) + timedelta(days=400)
        with place.spool.transaction() as tx:
            attempts.waits(tx, [replace(attempt, queued=Wait(why=why, starts=starts))])
        shown = told_of(place, job)
        assert said in shown
        assert f"Slurm expects to start it on {moment(starts)}." in shown


def test_who_asks_hears_that_a_cluster_answers_nothing_and_since_when(place: Place) -> None:
    job, since = a_job(place.spool), datetime.now(UTC) - timedelta(hours=2)
    with place.spool.transaction() as tx:
        assert attempts.intend(tx, job, engine="slurm") is not None
        silences.began(tx, "slurm", since)
    for line, rest in (
        (f"status {job}", "What is known of the job was so then; its end is seen all the same."),
        ("list", "What is known of its jobs was so then; their end is seen all the same."),
    ):
        said = " ".join(place.told(line)[0].split())
        assert f"Slurm has not answered since {moment(since)}. {rest}" in said
    with place.spool.transaction() as tx:
        silences.over(tx, "slurm")
    assert "not answered" not in place.told(f"status {job}\nlist")[0]


def test_who_asks_hears_that_no_job_can_start_and_since_when(place: Place) -> None:
    waits, runs = a_job(place.spool), begun_attempt(place.spool).job
    away = "The folder with the files of all jobs has been out of the gateway's reach since "
    tight = "The gateway's disk has been nearly full since "
    for cause, line, said, concerned in (
        (Cause.TIGHT, f"status {waits}", tight, True),
        (Cause.TIGHT, f"status {runs}", tight, False),
        (Cause.TIGHT, "list queued", tight, True),
        (Cause.TIGHT, "list executing", tight, False),
        (Cause.AWAY, f"status {waits}", away, True),
        (Cause.AWAY, f"status {runs}", away, True),
        (Cause.AWAY, "list", away, True),
    ):
        with place.spool.transaction() as tx:
            standstills.note(tx, cause, "there is no room")
            since = moment(tx.now)
        shown = " ".join(place.told(line)[0].split())
        assert (f"{said}{since}." in shown) is concerned, shown
        assert "It is the next" not in shown
    with place.spool.transaction() as tx:
        standstills.note(tx, None, "")
    assert "It is the next" in told_of(place, waits)


def test_a_job_that_no_engine_has_yet_waits_for_its_cluster_or_for_a_place(place: Place) -> None:
    job, run = a_job(place.spool), place.desk.config.run
    assert "It is the next" in told_of(place, job)
    for engine, said in (
        ("slurm", "It waits to be handed to the cluster's scheduler Slurm."),
        ("far", "It waits to be handed to the cluster's scheduler Grid Engine."),
    ):
        tables = {**run.engines, "far": run.engines["gridengine"]}
        there = replace(run, engine=engine, engines=tables)
        place.desk.config = replace(place.desk.config, run=there)
        shown = told_of(place, job)
        assert said in shown
        assert "It is the next" not in shown
    place.desk.config = replace(place.desk.config, run=replace(there, paused=True))
    assert "handed" not in told_of(place, job)


def test_the_places_of_this_machine_are_not_taken_by_the_jobs_of_a_cluster(place: Place) -> None:
    job, run = a_job(place.spool), place.desk.config.run
    local = replace(run.local, slots=1)
    place.desk.config = replace(
        place.desk.config, run=replace(run, engines={**run.engines, "local": local})
    )
    for engine, said in (
        ("slurm", "It is the next, and starts as soon as it can."),
        ("local", "It is the next: the only place is taken."),
    ):
        other = a_job(place.spool)
        with place.spool.transaction() as tx:
            attempt = attempts.intend(tx, other, engine=engine)
            assert attempt is not None
            attempts.begun(tx, attempt, tx.now)
        assert said in told_of(place, job)


def told_of(place: Place, job: JobId) -> str:
    """What `status` says, its lines as long as they are."""
    said = [line.strip() for line in place.told(f"status {job}")[0].splitlines()]
    return re.sub(r"(?<![.:])\n", " ", "\n".join(said))


def test_a_job_that_was_just_destroyed_takes_no_wish_as_if_it_were_there(place: Place) -> None:
    job = with_a_file(place)
    lines = ["destroy", "status", "rerun", "watch bob@example.org", "keep 3d"]
    _, status, *others = place.told("".join(f"{line} {job}\n" for line in lines))
    assert "kept until" not in status
    assert "It is not kept any more: its inputs and outputs are just being" in status
    for said in others:
        assert said.strip().startswith("not done: the job")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list after yesterday", 'It takes a date as in "list after 2026-11-30".'),
        ("list since", 'It takes a date as in "list after 2026-11-30".'),
        ("list last 1000", 'It takes a number from 1 to 100 as in "list last 50".'),
        ("list foo", "It is written list list executing list service NAME"),
        ("rerun tre: x JOB", 'Give it again with the line "tre: x" left out.'),
        ("rerun later JOB", 'not done: "rerun" does not take "later".'),
        ("cancel zzzz", 'not done: which job? None of yours begins with "zzzz". Reply to a'),
        ("extend later", "not done: which job? Reply to a letter about it"),
        ("help xyzzy", 'for you here. "help" lists all commands, "services" what can be run'),
        ("help confirm", 'the line "confirm", in an answer to the letter that asks for it.'),
        ("hold JOB", "not done: the job has ended already."),
        ("extend JOB", 'not done: "extend" alone says too little. It takes a time as in "ext'),
    ],
)
def test_what_a_command_does_not_take_is_told_with_what_it_takes(
    place: Place, line: str, said: str
) -> None:
    assert said in " ".join(place.told(line.replace("JOB", with_a_file(place)))[0].split())


def test_who_keeps_a_job_longer_at_its_last_moment_has_it_kept(place: Place) -> None:
    job = with_a_file(place)
    due(place, job, ago=1)
    janitor = Janitor(place.desk.config, place.desk.folder)
    writes = committing(place.spool)

    def kept_first(operation: Callable[[Tx], object]) -> object:
        def both(tx: Tx) -> object:
            if operation(tx) == [job]:
                # Its writer had the lock before the sweep.
                tx.execute("UPDATE job SET destruction = ? WHERE id = ?", tx.at + 3600, job)
            return operation(tx)

        return writes(both)

    janitor.sweep(place.spool.view, kept_first, strays=False)  # type: ignore[arg-type]
    assert jobs.fetch(place.spool.view, job).phase is Phase.COMPLETED
    assert (JobFolder(place.desk.config.run.folder, job).inputs / "data").exists()


def test_a_letter_that_was_written_goes_with_its_destroyed_job(place: Place) -> None:
    job = a_job(place.spool)
    ended(place.spool, job)
    with place.spool.transaction() as tx:
        (plan,) = letters.planned(tx, besides=(), limit=9)
        letters.composed(tx, plan.id, size=99, body=None, file="1.eml")
    place.desk.folder.make()
    file = place.desk.folder.letters / "1.eml"
    file.write_bytes(b"outputs")
    place.told(f"destroy {job}")
    Janitor(place.desk.config, place.desk.folder).sweep(
        place.spool.view, committing(place.spool), strays=False
    )
    assert jobs.fetch(place.spool.view, job).phase is Phase.ARCHIVED
    assert not file.exists()


def test_a_part_comes_again_to_its_owner_however_the_address_is_spelled(place: Place) -> None:
    job = a_job(place.spool, owner=replace(ADA, address="Ada@example.org"))
    ended(place.spool, job)
    shipped(place, code="0" * 16, parts=2)
    assert "Part 2 of 2 comes again" in place.told(f"results part 2 {job}")[0]
    packed = [detail for _, verb, detail in jobs.history(place.spool.view, job) if verb == "packed"]
    assert [detail.partition(" ")[2] for detail in packed] == ["parts=2 limit=9 size=2"]


def shipped(place: Place, *, code: str, parts: int) -> str:
    """Make a shipment of the result that waits for its words; the Message-ID of one of its mails.

    A byte each, so that what a letter carries tells of how many it is one.
    """
    parcel = Parcel(name="x", size=parts, sha256="0" * 64, members=())
    pieces = [(Piece(parcel=0, offset=n, size=parts, sha256="0" * 64),) for n in range(parts)]
    with place.spool.transaction() as tx:
        (plan,) = letters.planned(tx, besides=(), limit=9)
        shipment = Shipment(code=code, limit=9, most=20, parcels=(parcel,))
        shipments.make(tx, plan.id, shipment, pieces)
        found = tx.all("SELECT id, message_id FROM letter WHERE state = 'PLANNED'")
        for row in found:
            letters.composed(tx, row["id"], size=9, body=b"", file=None)
    return str(found[-1]["message_id"])


def again(place: Place) -> list[int]:
    """Of how many parts those are one that come again; they are composed."""
    with place.spool.transaction() as tx:
        plans = letters.planned(tx, besides=(), limit=99)
        for plan in plans:
            letters.composed(tx, plan.id, size=9, body=b"", file=None)
    return [json.loads(str(plan.pieces))[0]["size"] for plan in plans]


def test_the_part_comes_again_that_fits_the_mails_that_are_answered(place: Place) -> None:
    job = a_job(place.spool)
    ended(place.spool, job)
    seven = shipped(place, code="7" * 16, parts=7)
    place.told(f"results {job}")
    twelve = shipped(place, code="c" * 16, parts=12)
    for answers, parts in ((seven, 7), (twelve, 12)):
        place.told(f"results part {parts - 4} {job}", answers=answers)
        assert again(place) == [parts]
    assert "there are 7" in place.told(f"results part 9 {job}", answers=seven)[0]


def test_a_part_of_which_mails_is_asked_where_nothing_tells(place: Place) -> None:
    job = a_job(place.spool)
    ended(place.spool, job)
    shipped(place, code="7" * 16, parts=7)
    place.told(f"results {job}")
    shipped(place, code="c" * 16, parts=12)
    (asked,) = place.told(f"results part 3 {job}")
    assert "results part 3 of mailing 2" in asked
    assert again(place) == []
    place.told(f"results part 3 of mailing 1 {job}\nresults part 3 of 12 {job}")
    assert again(place) == [7, 12]
    # Only one of them has so many.
    assert "Part 9 of 12" in place.told(f"results part 9 {job}")[0]
    told = " ".join(place.told(f"results part 3 of 8 {job}")[0].split())
    assert "there is no part 3 of 8. What it wrote came to you in 7 and in 12 parts." in told
    assert "there is no part 3" in place.told(f"results part 3 of mailing 3 {job}")[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'results "tree one.nwk"',
            "It comes in a mail of its own, or several, to ada@example.org.",
        ),
        (
            "results 'TREE one.nwk'.",
            "It comes in a mail of its own, or several, to ada@example.org.",
        ),
        ("results link", "not done: results cannot be fetched by a link here."),
        ("results parts=9", "not done: a part has at least 32 KiB."),
        ("results tree", "not done: there is no output tree. There is: tree one.nwk"),
    ],
)
def test_an_output_may_be_named_in_quotes_and_a_way_that_cannot_be_is_told(
    place: Place, line: str, said: str
) -> None:
    job = a_job(place.spool)
    ended(place.spool, job)
    with place.spool.transaction() as tx:
        kept = Stream(role=StreamRole.FILE, name="tree one.nwk", path="x", size=3, sha256="0" * 64)
        jobs.put_streams(tx, job, [kept])
    (told,) = place.told(line.replace("results", f"results {job}", 1))
    assert " ".join(told.split()) == said


def test_a_job_that_is_to_be_destroyed_promises_no_result_when_cancelled(place: Place) -> None:
    job = a_job(place.spool, staged=())
    first, second = place.told(f"destroy {job}\ncancel {job}")
    assert "Then its inputs and outputs go" in first
    assert "and then destroyed, as was asked before" in second
