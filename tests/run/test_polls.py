"""What polls say of attempts, and what is concluded of it: nothing too early, nothing from a guess."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mailgate.model import Exit, NativeId, Reason, Token
from mailgate.run import ends
from mailgate.run.polls import Known, Polls
from mailgate.run.scheduler import Seen, State

OURS = Token("mabcdefgh2345")
GRACE, LEAST, MOST = timedelta(seconds=30), timedelta(seconds=2), timedelta(seconds=60)


def seen(state: State | None, word: str = "WORD", native: str = "7", **more: object) -> Seen:
    return Seen(token=OURS, native=NativeId(native), state=state, word=word, **more)  # type: ignore[arg-type]


@pytest.fixture
def polls() -> Polls:
    made = Polls(GRACE, LEAST, MOST)
    made.known[OURS] = Known(since=100.0)
    return made


def test_a_poll_that_began_before_an_attempt_was_handed_over_does_not_miss_it(polls: Polls) -> None:
    assert polls.came([], 99.9) == []
    assert not polls.is_missed(OURS)
    assert polls.known[OURS].gone is None
    polls.known[OURS].since = None
    polls.came([], 500.0)
    assert not polls.is_missed(OURS), "it is being handed over"


def test_an_attempt_is_gone_after_the_grace_time_of_good_polls_alone(polls: Polls) -> None:
    polls.came([seen(State.RUNNING)], 101.0)
    polls.came([], 110.0)
    polls.failed()
    polls.came([], 139.9)
    assert not polls.is_gone(OURS)
    polls.came([], 140.0)
    assert polls.is_gone(OURS)


def test_one_poll_that_has_it_again_begins_the_grace_time_anew(polls: Polls) -> None:
    polls.came([], 110.0)
    polls.came([seen(State.RUNNING)], 130.0)
    polls.came([], 150.0)
    polls.came([], 170.0)
    assert not polls.is_gone(OURS)
    polls.came([], 180.0)
    assert polls.is_gone(OURS)


def test_what_is_ended_there_is_gone_after_the_grace_time_too(polls: Polls) -> None:
    polls.came([seen(State.ENDED, "COMPLETED")], 110.0)
    polls.came([seen(State.ENDED, "COMPLETED")], 140.0)
    assert polls.is_gone(OURS)
    assert polls.known[OURS].ended


def test_what_stays_there_after_its_end_does_so_until_a_poll_misses_it(polls: Polls) -> None:
    polls.came([seen(State.ENDED)], 101.0)
    assert polls.staying == {}
    failed = seen(State.ENDED, stays=True)
    polls.came([failed], 102.0)
    assert polls.staying == {OURS: failed}
    polls.came([], 103.0)
    assert polls.staying == {}


def test_a_word_that_no_table_has_is_no_end(polls: Polls) -> None:
    polls.came([seen(State.RUNNING)], 101.0)
    polls.came([], 110.0)
    assert polls.came([seen(None, "RECONSIDERED")], 150.0) == []
    polls.came([], 151.0)
    assert not polls.is_gone(OURS)
    found = polls.known[OURS].seen
    assert found is not None
    assert found.state is State.RUNNING


def test_of_two_jobs_by_one_name_the_living_one_counts(polls: Polls) -> None:
    polls.came([seen(State.RUNNING, native="8"), seen(State.ENDED, native="7")], 101.0)
    found = polls.known[OURS].seen
    assert found is not None
    assert (found.native, found.state) == ("8", State.RUNNING)


def test_polls_come_soon_while_something_changes_and_seldom_while_nothing_does(
    polls: Polls,
) -> None:
    polls.came([seen(State.WAITING, why="Priority")], 101.0)
    assert polls.pause == 2.0
    for number in range(12):
        polls.came([seen(State.WAITING, why=f"reason {number}")], 110.0 + number)
    assert polls.pause == 60.0
    polls.came([seen(State.RUNNING)], 130.0)
    assert polls.pause == 2.0


def test_a_job_that_runs_for_days_is_asked_after_once_a_minute_until_something_is_about_to_change(
    polls: Polls,
) -> None:
    now, asked = 100.0, 0
    while now < 100.0 + 3600:
        polls.came([seen(State.RUNNING)], now)
        asked, now = asked + 1, now + polls.pause
    assert asked < 70
    assert polls.pause == 60.0
    # Somebody was handed over, cancelled or dropped.
    polls.hurry()
    assert polls.pause == 2.0
    for _ in range(12):
        polls.came([seen(State.RUNNING)], now)
    # It is missed: as long as that is in doubt, and until it is back.
    for _ in range(12):
        polls.came([], now)
        assert polls.pause == 2.0
    polls.came([seen(State.RUNNING)], now)
    assert polls.pause > 2.0
    polls.came([seen(State.SUSPENDED)], now)
    assert polls.pause == 2.0


def test_one_poll_tells_of_all_jobs_and_only_what_is_new_of_them(polls: Polls) -> None:
    tokens = [Token(f"m{n:012d}".replace("0", "a").replace("1", "b")) for n in range(2)]
    for token in tokens:
        polls.known[token] = Known(since=100.0)
    ours = [seen(State.RUNNING), *(replace(seen(State.WAITING), token=t) for t in tokens)]
    assert polls.came(ours, 101.0) == [OURS, *tokens]
    assert polls.came(ours, 102.0) == []
    ours[1] = replace(ours[1], why="Priority")
    assert polls.came(ours, 103.0) == tokens[:1]


def test_a_slow_scheduler_is_asked_seldom_and_one_slow_answer_makes_none(polls: Polls) -> None:
    polls.came([seen(State.RUNNING)], 101.0, 1.5)
    assert polls.pause == 2.0
    polls.came([seen(State.WAITING)], 103.0, 2.0)
    assert polls.pause == 30.0
    polls.came([seen(State.RUNNING)], 133.0, 0.1)
    assert polls.pause == 2.0
    for number in range(2):
        polls.came([seen(State.RUNNING)], 140.0 + number, 1000.0)
    assert polls.pause == 60.0


def test_a_poll_that_fails_is_made_again_soon_and_each_that_fails_again_later(polls: Polls) -> None:
    for number in range(12):
        polls.came([seen(State.RUNNING)], 101.0 + number, 5.0)
    assert polls.pause == 60.0
    pauses = []
    for _ in range(12):
        polls.failed()
        pauses.append(polls.pause)
    assert pauses[:3] == [2.0, 3.0, 4.5]
    assert pauses[-1] == 60.0
    polls.came([seen(State.RUNNING)], 500.0)
    polls.failed()
    assert polls.pause == 2.0


@pytest.mark.parametrize(
    ("word", "said", "known", "expected"),
    [
        ("OUT_OF_MEMORY", Reason.MEMORY, Exit(reason=Reason.SIGNAL, signal=9), Reason.MEMORY),
        ("TIMEOUT", Reason.WORK_LIMIT, Exit(reason=Reason.CANCELLED), Reason.WORK_LIMIT),
        ("PREEMPTED", Reason.PREEMPTED, Exit(reason=Reason.CANCELLED), Reason.PREEMPTED),
        ("CANCELLED", Reason.CANCELLED, Exit(reason=Reason.CANCELLED), Reason.OUTSIDE),
        ("FAILED", Reason.COULD_NOT_START, Exit(reason=Reason.SIGNAL, signal=9), Reason.SIGNAL),
    ],
)
def test_the_schedulers_word_explains_an_end_that_came_from_outside(
    word: str, said: Reason, known: Exit, expected: Reason
) -> None:
    assert ends.is_doubtful(known)
    found = ends.merged(known, seen(State.ENDED, word, node="n17", end=Exit(reason=said)), "Slurm")
    assert found.reason is expected
    if expected is not Reason.SIGNAL:
        assert str(found.words) == f"Slurm called it {word} on node n17 (job 7)."


@pytest.mark.parametrize("code", [0, 1, 137])
def test_an_exit_code_of_the_folder_is_never_doubted(code: int) -> None:
    assert not ends.is_doubtful(Exit(reason=Reason.EXIT, code=code))


def test_what_ended_there_without_a_word_why_is_no_end_of_a_job_that_began() -> None:
    for end in (None, Exit(reason=Reason.EXIT, code=0), Exit(reason=Reason.COULD_NOT_START)):
        assert ends.without_record(seen(State.ENDED, end=end), "Slurm") is None
    end = ends.without_record(seen(State.ENDED, end=Exit(reason=Reason.NODE_FAILURE)), "Slurm")
    assert end is not None
    assert end.reason is Reason.NODE_FAILURE


def test_what_never_began_is_submitted_again_unless_somebody_cancelled_it_or_it_cannot_start() -> (
    None
):
    for reason in (Reason.NODE_FAILURE, Reason.PREEMPTED, Reason.WORK_LIMIT):
        assert ends.before_start(seen(State.ENDED, end=Exit(reason=reason)), "Slurm") is None
    cancelled = ends.before_start(seen(State.ENDED, end=Exit(reason=Reason.CANCELLED)), "Slurm")
    assert cancelled is not None
    assert cancelled.reason is Reason.OUTSIDE
    # A node that could not launch it, and had it cancelled.
    launched = seen(State.ENDED, node="n17", end=Exit(reason=Reason.CANCELLED))
    assert ends.before_start(launched, "Slurm") is None
    failed = ends.before_start(seen(State.ENDED, end=Exit(reason=Reason.SIGNAL, signal=9)), "Slurm")
    assert failed is not None
    assert failed.reason is Reason.COULD_NOT_START
    assert ends.before_start(None, "Slurm") is None
