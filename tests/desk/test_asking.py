"""What commands come to, word by word, on a real spool."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest

from mailgate.commands import registry
from mailgate.model import How, Identity, JobId, Notify
from mailgate.phases import Event, Phase
from mailgate.saying import Saying
from mailgate.spool import codec, jobs, letters
from tests.desk.test_moments import Place, place, with_a_file  # noqa: F401 - a fixture
from tests.spool.made import ADA, a_job, ended

BOB = Identity(address="bob@example.org", how=How.NETWORK)


@pytest.fixture
def four(place: Place) -> dict[str, JobId]:  # noqa: F811
    """Four jobs of Ada's, the newest last, and one of Bob's."""
    found = {
        "old": a_job(place.spool),
        "other": a_job(place.spool, service="blast"),
        "held": a_job(place.spool),
        "done": a_job(place.spool),
        "bobs": a_job(place.spool, owner=BOB),
    }
    ended(place.spool, found["done"])
    labels = {"old": "Globins, \u00dcbung 1", "other": "globins"}
    with place.spool.transaction() as tx:
        for age, job in enumerate(reversed(found.values())):
            tx.execute("UPDATE job SET created = created - ? WHERE id = ?", age, job)
        for name, label in labels.items():
            tx.execute("UPDATE job SET label = ? WHERE id = ?", label, found[name])
        tx.execute("UPDATE job SET created = 0 WHERE id = ?", found["old"])
        jobs.advance(tx, found["held"], Event.HOLD, before=Phase.QUEUED)
    return found


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("list", ["done", "held", "other", "old"]),
        ("list completed", ["done"]),
        ("list queued held", ["held", "other", "old"]),
        ("list active", ["held", "other", "old"]),
        ("list phase completed", ["done"]),
        ("list service blast", ["other"]),
        ("list label GLOB", ["other", "old"]),
        ("list label \u00dcbung", ["old"]),
        ("list after 1999-12-31", ["done", "held", "other"]),
        ("list last 2", ["done", "held"]),
        ("list queued, service Align, last 1", ["old"]),
        ("list error", []),
    ],
)
def test_a_list_has_what_each_word_says_and_nobody_elses(
    place: Place,  # noqa: F811
    four: dict[str, JobId],
    line: str,
    names: list[str],
) -> None:
    (told,) = place.told(line)
    found = [word for word in told.split() if word in four.values()]
    assert found == [four[name] for name in names]
    assert ("There are more" in told) == (line == "list last 2")


@pytest.mark.parametrize(
    ("line", "chosen", "every"),
    [
        ("notify progress", {Notify.PROGRESS}, None),
        ("notify start and progress", {Notify.START, Notify.PROGRESS}, None),
        ("notify end", {Notify.END}, None),
        ("notify every 7d", set(), timedelta(days=7)),
        ("notify every 2 days, start", {Notify.START}, timedelta(days=2)),
        ("notify none", set(), None),
        ("notify none start", None, None),
        ("notify every 5m", None, None),
        ("wait", {Notify.START, Notify.END}, timedelta(days=1)),
    ],
)
def test_what_is_chosen_takes_the_place_of_what_was(
    place: Place,  # noqa: F811
    line: str,
    chosen: set[Notify] | None,
    every: timedelta | None,
) -> None:
    job = a_job(place.spool)
    place.told(f"notify start every 1d {job}")
    (told,) = place.told(f"{line} {job}")
    after = jobs.fetch(place.spool.view, job)
    if chosen is None:
        assert "not done" in told
        chosen, every = {Notify.START}, timedelta(days=1)
    assert (after.notify, after.every) == (chosen, every)
    # Who has chosen knows that the job was taken.
    due = place.spool.view.count("SELECT COUNT(*) FROM job WHERE receipt_due IS NOT NULL")
    assert due == 0


def test_a_result_that_came_back_is_told_to_whom_it_went_until_it_is_mailed_again(
    place: Place,  # noqa: F811
) -> None:
    job = a_job(place.spool)
    ended(place.spool, job)
    assert "did not reach you" not in place.told(f"status {job}")[0]
    with place.spool.transaction() as tx:
        words = "5.1.1 no such user"
        tx.execute("UPDATE letter SET state = 'BOUNCED', last_words = ?", words)
    told = place.told(f"status {job}")[0]
    assert "A mail with its result did not reach you: 5.1.1 no such user" in told
    with place.spool.transaction() as tx:
        ours = Saying("mailing/refused-for", span=timedelta(days=5), words="452 over quota")
        tx.execute("UPDATE letter SET state = 'HELD', last_words = ?", codec.words(ours))
    told = place.told(f"status {job}")[0]
    assert "did not reach you: refused for 5 days: 452" in told
    with place.spool.transaction() as tx:
        tx.execute("UPDATE letter SET last_words = ''")
    told = place.told(f"status {job}")[0]
    assert "A mail with its result did not reach you.\n" in told
    place.told(f"results {job}")
    with place.spool.transaction() as tx:
        tx.execute("UPDATE letter SET state = 'SENT' WHERE state = 'PLANNED'")
    assert "did not reach you" not in place.told(f"status {job}")[0]


def test_who_brings_an_input_along_has_nothing_run_on_the_old_one(place: Place) -> None:  # noqa: F811
    job = with_a_file(place)
    (told,) = place.told(f"rerun {job}", attachments={"new.fa": b">x", "logo": b"GIF89a"})
    assert "your mail brings new.fa and logo, and" in " ".join(told.split())
    assert place.spool.view.count("SELECT COUNT(*) FROM job") == 1
    assert "It runs once more" in place.told(f"rerun {job}")[0]


def test_a_beginning_names_the_one_job_of_the_askers_that_has_it(place: Place) -> None:  # noqa: F811
    names = {"aaaabbbbbbbb": ADA, "aaaacccccccc": ADA, "aaaddddddddd": BOB, "aaadeeeeeeee": ADA}
    for name, owner in names.items():
        job = a_job(place.spool, owner=owner)
        with place.spool.transaction() as tx:
            tx.execute("UPDATE job SET id = ? WHERE id = ?", name, job)
    told = place.told("status aaaab\nstatus AAAD\nstatus aaaa\nstatus aaa\nstatus aaaddd\n")
    assert ["QUEUED" in one for one in told] == [True, True, False, False, False]
    assert "aaaabbbbbbbb" in told[2]
    assert "aaaacccccccc" in told[2]
    assert not any("aaaddddddddd" in one for one in told)


LINES = (
    *("status", "cancel", "hold", "release", "wait", "destroy", "results", "rerun"),
    *("extend", "extend soon", "extend 7d", "keep", "keep until soon", "keep 9999d", "keep 3d"),
    *("limit", "limit 9999d", "limit 1h", "notify", "notify x", "notify every 1s", "notify start"),
    *("watch", "watch x", "watch b@b.c", "watch jobs@gate.example.org", "unwatch", "unwatch x"),
    *("results x", "results part 3", "results parts=1", "results link", "results head 5000"),
    *("rerun x", "rerun x: y", "rerun keep: 9999d", "rerun notify: x", "rerun dry-run: yes"),
)
OF_NO_JOB = (
    *("list", "list after x", "list last 900", "quota", "quota x", "services", "services x"),
    *("help", "help hold", "help align", "help xyzzy", "confirm", "pause", "hello there"),
)


def texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from texts(item)
        case tuple() | list():
            for item in value:
                yield from texts(item)


def test_what_a_command_answers_holds_no_sentence_that_a_language_could_not_say(
    place: Place,  # noqa: F811
) -> None:
    about = [a_job(place.spool), a_job(place.spool)]
    ended(place.spool, about[1])
    asked = [f"{line.replace(' ', f' {job} ', 1)}" if " " in line else f"{line} {job}"
             for line in LINES for job in about]  # fmt: skip
    summaries = {service.summary for service in place.desk.services.values()}
    for line in (*asked, *OF_NO_JOB):
        (answer,) = place.answers(line)
        # By its name a language says it itself.
        help_text = set(texts(answer.facts)) if answer.kind in {"help", "help-command"} else set()
        usage = [line for one in registry.every() for line in one.usage]
        for told in texts(answer.facts):
            theirs = told in line or told in usage or told in summaries or told in help_text
            assert theirs or len(told.split()) < 2, (line, told)


@pytest.mark.parametrize(
    "line", ["results", "results part 3", "results head 50", "results as attachments"]
)
def test_who_asks_for_results_before_the_end_is_told_so_and_nothing_is_mailed(
    place: Place,  # noqa: F811
    line: str,
) -> None:
    job = a_job(place.spool)
    (told,) = place.told(f"{line} {job}")
    assert "not done: the job has not ended" in " ".join(told.split())
    assert letters.planned(place.spool.view, besides=(), limit=9) == []
