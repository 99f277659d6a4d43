"""A real spool in a temporary folder, and the values that the tests put into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailgate.spool.database import Connection, Site
from mailgate.spool.store import Folder, direct

SITE = Site.of("jobs@gate.example.org")
WRONGLY_GIVEN = (
    "SELECT COUNT(*) FROM job WHERE given <> (SELECT COUNT(*) FROM attempt WHERE attempt.job = job.id"
    " AND state IN ('INTENDED', 'SUBMITTED', 'STARTED'))"
)
"""Jobs that are not marked as an engine's though one attempt is open, or the other way round."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "spool")


@pytest.fixture
def spool(folder: Folder) -> Iterator[Connection]:
    with direct(folder, SITE) as connection:
        yield connection
        assert connection.view.count(WRONGLY_GIVEN) == 0
