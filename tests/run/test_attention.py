"""Which attempts an engine is asked after: nothing that has news is passed over."""

from mailgate.model import Attempt, AttemptState, JobId, Token
from mailgate.run.attention import Attention, pause


def attempts(count: int, engine: str = "slurm") -> dict[Token, Attempt]:
    made = (
        Attempt(
            token=Token(f"{engine}{n}"),
            job=JobId(f"{engine}{n}"),
            number=1,
            engine=engine,
            state=AttemptState.SUBMITTED,
        )
        for n in range(count)
    )
    return {one.token: one for one in made}


def test_all_are_asked_after_once_and_again_when_their_time_has_come() -> None:
    attention, under_way = Attention(), attempts(3)

    def asked(now: float) -> int:
        return len(attention.asked(under_way, besides=(), now=now))

    assert [asked(0.0), asked(0.5), asked(0.9), asked(1.0), asked(1.5)] == [3, 0, 0, 3, 0]


def test_an_engine_that_has_news_is_asked_at_once_and_no_other() -> None:
    attention, under_way = Attention(), attempts(3) | attempts(2, "local")
    attention.asked(under_way, besides=(), now=0.0)
    attention.hear("local")
    asked = attention.asked(under_way, besides=(), now=0.1)
    assert {one.engine for one in asked} == {"local"}
    assert len(asked) == 2
    assert attention.asked(under_way, besides=(), now=0.2) == []


def test_what_is_new_or_was_passed_over_is_asked_after_at_once() -> None:
    attention, under_way = Attention(), attempts(3)
    busy = JobId("slurm1")
    assert len(attention.asked(under_way, besides={busy}, now=0.0)) == 2
    # It was not free before.
    assert [one.job for one in attention.asked(under_way, besides=(), now=0.1)] == [busy]
    attention.done(busy)
    assert [one.job for one in attention.asked(under_way, besides=(), now=0.2)] == [busy]
    more = attempts(4)
    assert [one.job for one in attention.asked(more, besides=(), now=0.3)] == ["slurm3"]


def test_thousands_are_asked_after_less_often() -> None:
    assert [pause(n) for n in (0, 1, 500, 1000, 5000, 100_000)] == [2, 1, 1, 2, 10, 10]
