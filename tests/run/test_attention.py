"""Which attempts an engine is asked after: nothing that has news is passed over."""

from dataclasses import replace

from mailgate.model import Attempt, AttemptState, JobId, Token
from mailgate.run.attention import Attention, pause
from mailgate.run.opened import Opened


def attempts(count: int, engine: str = "slurm") -> list[Attempt]:
    return [
        Attempt(
            token=Token(f"{engine}{n}"),
            job=JobId(f"{engine}{n}"),
            number=1,
            engine=engine,
            state=AttemptState.SUBMITTED,
        )
        for n in range(count)
    ]


def test_all_are_asked_after_once_and_again_when_their_time_has_come() -> None:
    attention, under_way = Attention(), Opened(attempts(3))

    def asked(now: float) -> int:
        return len(attention.asked(under_way, besides=(), now=now))

    assert [asked(0.0), asked(0.5), asked(0.9), asked(1.0), asked(1.5)] == [3, 0, 0, 3, 0]


def test_an_engine_that_has_news_is_asked_at_once_and_no_other() -> None:
    attention, under_way = Attention(), Opened(attempts(3) + attempts(2, "local"))
    attention.asked(under_way, besides=(), now=0.0)
    attention.hear("local")
    asked = attention.asked(under_way, besides=(), now=0.1)
    assert {one.engine for one in asked} == {"local"}
    assert len(asked) == 2
    assert attention.asked(under_way, besides=(), now=0.2) == []


def test_what_is_new_or_was_passed_over_is_asked_after_at_once() -> None:
    attention, under_way = Attention(), Opened(attempts(3))
    busy = JobId("slurm1")
    assert len(attention.asked(under_way, besides={busy}, now=0.0)) == 2
    # It was not free before.
    assert [one.job for one in attention.asked(under_way, besides=(), now=0.1)] == [busy]
    attention.done(busy)
    assert [one.job for one in attention.asked(under_way, besides=(), now=0.2)] == [busy]
    (*_, new) = attempts(4)
    under_way[new.token] = new
    attention.done(new.job)
    assert attention.asked(under_way, besides=(), now=0.3) == [new]
    del under_way[new.token]
    attention.done(new.job)
    assert attention.asked(under_way, besides=(), now=0.4) == []


def test_an_attempt_is_found_by_its_job_and_its_engine_while_it_is_open() -> None:
    one, other = attempts(2)
    opened = Opened([one, other])
    opened[one.token] = begun = replace(one, state=AttemptState.STARTED)
    assert (opened.of(one.job), opened.started(), opened.count("slurm")) == ([begun], [begun], 2)
    assert opened.pop(one.token) == begun
    assert opened.pop(one.token, None) is None
    assert (opened.has(one.job), opened.of(one.job), opened.started()) == (False, [], [])
    assert (opened.at("slurm"), opened.engines) == ([other], ["slurm"])
    del opened[other.token]
    assert (opened.engines, opened.count("slurm")) == ([], 0)


def test_thousands_are_asked_after_less_often() -> None:
    assert [pause(n) for n in (0, 1, 500, 1000, 5000, 100_000)] == [2, 1, 1, 2, 10, 10]
