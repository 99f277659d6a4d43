"""The phases of a job: whatever happens in whatever order, a job walks by the table alone.

First the table and `step` by themselves, then the spool's own verbs over a real database: whoever
calls them in any order leaves a history that is one walk through the table, and one result.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailgate.model import Attempt, Exit, Plan, Reason
from mailgate.phases import (
    ACTIVE,
    ENDED,
    TRANSITIONS,
    Event,
    IllegalStepError,
    Phase,
    step,
)
from mailgate.spool import attempts, jobs, keep, wishes
from mailgate.spool.database import Connection
from tests.spool.made import WEEK, a_job

ENDS = st.one_of(
    st.builds(Exit, reason=st.just(Reason.EXIT), code=st.integers(0, 128)),
    st.builds(Exit, reason=st.just(Reason.SIGNAL), signal=st.integers(1, 64)),
    st.sampled_from(sorted(set(Reason) - {Reason.EXIT, Reason.SIGNAL})).map(
        lambda reason: Exit(reason=reason)
    ),
)

RETRIED = [frozenset(Reason), frozenset({Reason.LOST, Reason.EXIT}), frozenset[Reason]()]


@given(st.sampled_from(Phase), st.lists(st.sampled_from(Event)))
def test_whatever_happens_no_job_runs_again_that_has_ended(phase: Phase, events: list[Event]):
    walk = [phase]
    for event in events:
        try:
            walk.append(step(walk[-1], event))
        except IllegalStepError:
            assert event not in TRANSITIONS[walk[-1]]
    ended = [number for number, one in enumerate(walk) if one not in ACTIVE]
    assert all(set(walk[number + 1 :]) <= {Phase.ARCHIVED} for number in ended)
    # What is not confirmed or is held never runs but by the queue.
    for before, after in pairwise(walk):
        assert after is not Phase.PENDING
        assert after is not Phase.EXECUTING or before not in {Phase.PENDING, Phase.HELD}


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_leads_to_the_tombstone_and_what_has_ended_to_nothing_else(phase: Phase):
    reached: set[Phase] = set()
    left = [phase]
    while left:
        after = set(TRANSITIONS[left.pop()].values()) - reached
        reached |= after
        left += after
    assert Phase.ARCHIVED in {phase, *reached}
    assert phase in ACTIVE or reached <= {Phase.ARCHIVED}


@given(ENDS)
def test_every_end_is_a_phase_that_has_ended(end: Exit):
    assert end.phase in ENDED
    assert (end.phase is Phase.COMPLETED) == (end.reason is Reason.EXIT and end.code == 0)


class OneJob:
    """A job in a real spool, and all that the rooms and commands can do to it."""

    def __init__(self, spool: Connection, times: int, on: frozenset[Reason]) -> None:
        self.spool = spool
        self.times = times
        plan = Plan(argv=("true",), retry_times=times, retry_on=on)
        self.job = a_job(spool, plan=plan, keep=timedelta())
        self.open: Attempt | None = None
        self.past: list[tuple[Attempt, Exit]] = []

    @property
    def phase(self) -> Phase:
        return jobs.phase_of(self.spool.view, self.job)

    def go_on(self, end: Exit) -> None:
        """Take the run room's next step: intend an attempt, see it begin, end it."""
        waits = self.phase is Phase.QUEUED
        if self.open is not None and not waits:
            self.end(end)
            return
        with self.spool.transaction() as tx:
            if self.open is not None:
                attempts.begun(tx, self.open, tx.now)
            else:
                self.open = attempts.intend(tx, self.job, engine="local")
                assert (self.open is not None) == waits

    def end(self, end: Exit) -> None:
        """End the attempt, seen to begin or not."""
        if self.open is not None:
            self.past.append((self.open, end))
            self._end(self.open, end)
            self.open = None

    def end_again(self, end: Exit) -> None:
        """End what has ended, as after a crash between the commit and what follows it."""
        phase = self.phase
        for attempt, before in self.past:
            self._end(attempt, before)
            self._end(attempt, end)
        assert self.phase is phase

    def _end(self, attempt: Attempt, end: Exit) -> None:
        with self.spool.transaction() as tx:
            attempts.ended(tx, attempt, end, at=tx.now, streams=(), left_out=(), keep_mail=WEEK)

    def drop(self, _: Exit) -> None:
        """Replace an attempt that never began."""
        if self.open is not None and self.phase is Phase.QUEUED:
            with self.spool.transaction() as tx:
                attempts.dropped(tx, self.open)
            self.open = None

    def hold_or_release(self, _: Exit) -> None:
        """Hold what waits, release what is held."""
        phase = self.phase
        with self.spool.transaction() as tx:
            job = jobs.fetch(tx, self.job)
            if phase is Phase.HELD:
                wishes.release(tx, job, by="ada@example.org")
            elif phase is Phase.QUEUED:
                assert wishes.hold(tx, job, by="ada@example.org") == (self.open is None)

    def cancel(self, _: Exit) -> None:
        """Cancel what no attempt runs."""
        lives = self.phase in ACTIVE
        if self.open is None:
            with self.spool.transaction() as tx:
                assert attempts.cancelled(tx, self.job, keep_mail=WEEK) == lives

    def sweep(self, _: Exit) -> None:
        """Archive what has ended, and nothing else."""
        over = self.phase in ENDED
        with self.spool.transaction() as tx:
            assert keep.archive(tx, [self.job]) == over

    def try_all_else(self, _: Exit) -> None:
        """Take each step that the table has not."""
        for event in set(Event) - TRANSITIONS[self.phase].keys():
            with self.spool.transaction() as tx, pytest.raises(IllegalStepError):
                jobs.advance(tx, self.job, event)

    def look(self) -> None:
        """Check what always holds: a walk through the table, one result, no try too many."""
        view, here = self.spool.view, Phase.QUEUED
        rows = view.all("SELECT verb, detail FROM event WHERE job = ? ORDER BY id", self.job)
        for row in rows:
            if row["verb"] == "advanced":
                taken = re.match(r"from=(\w+) to=(\w+)", row["detail"])
                assert taken is not None
                assert Phase(taken[1]) is here
                here = Phase(taken[2])
                assert here in TRANSITIONS[Phase(taken[1])].values()
        assert self.phase is here
        results = "SELECT COUNT(*) FROM letter WHERE job = ? AND kind = 'result'"
        assert view.count(results, self.job) == (here not in ACTIVE)
        assert sum(row["verb"] == "retried" for row in rows) <= self.times
        found = [one.token for one in attempts.open_attempts(view) if one.job == self.job]
        assert found == ([self.open.token] if self.open else [])


# The more often it stands here, the more often it happens.
DEEDS = [OneJob.go_on] * 6 + [OneJob.end, OneJob.end_again, OneJob.end_again, OneJob.drop]
DEEDS += [OneJob.hold_or_release, OneJob.cancel, OneJob.sweep, OneJob.try_all_else]


def test_in_whatever_order_things_happen_to_a_job_it_walks_by_the_table(
    spool: Connection, soak: bool
) -> None:
    @settings(max_examples=5000 if soak else 60)
    @given(
        times=st.integers(0, 2),
        on=st.sampled_from(RETRIED),
        deeds=st.lists(st.tuples(st.sampled_from(DEEDS), ENDS), min_size=8, max_size=25),
    )
    def walks(
        times: int, on: frozenset[Reason], deeds: list[tuple[Callable[[OneJob, Exit], None], Exit]]
    ) -> None:
        job = OneJob(spool, times, on)
        for deed, end in deeds:
            deed(job, end)
            job.look()

    walks()
