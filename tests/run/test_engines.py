"""Whose jobs go to which engine, where a gateway has several."""

from pathlib import Path

import pytest

from mailgate.model import Attempt, AttemptState, JobId, Token
from mailgate.run.engine import Engines
from mailgate.run.jobdir import Folder
from mailgate.spool.turns import Among


def test_a_service_that_names_the_default_engine_is_not_kept_from_it() -> None:
    named = {"align": "slurm", "count": "local"}
    engines = Engines({}, default="slurm", named=named)
    assert engines.jobs_of("slurm") == Among(services=frozenset({"count"}), inside=False)
    assert engines.jobs_of("local") == Among(services=frozenset({"count"}))


async def test_an_engine_that_was_taken_away_is_told_once_with_the_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = Engines({}, default="local", named={})
    job = JobId("tabcdefghijk")
    attempt = Attempt(
        token=Token("m" + job), job=job, number=1, engine="slurm", state=AttemptState.SUBMITTED
    )
    for _ in range(3):
        assert await engines.sights([(Folder(tmp_path, job), attempt)]) == {}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unseen engine=slurm attempts=1 ")
    assert "[run.slurm]" in line
    assert "put it back until they have ended" in line
