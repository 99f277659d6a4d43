"""Whose jobs go to which engine, where a gateway has several."""

from mailgate.run.engine import Engines
from mailgate.spool.turns import Among


def test_a_service_that_names_the_default_engine_is_not_kept_from_it() -> None:
    named = {"align": "slurm", "count": "local"}
    engines = Engines({}, default="slurm", named=named)
    assert engines.jobs_of("slurm") == Among(services=frozenset({"count"}), inside=False)
    assert engines.jobs_of("local") == Among(services=frozenset({"count"}))
