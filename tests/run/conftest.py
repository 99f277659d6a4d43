"""The yards in which this room's tests run their jobs: bare, and in a sandbox."""

import concurrent.futures.thread  # noqa: F401 - now: not every user may read it later
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailgate.run.sandbox import Confinement, Unconfined, probe
from tests.conftest import NOT_FOUND
from tests.run.yard import PATH, Yard

BARE = Unconfined(sentence="none, for a test")
SOMEONE = 54_321


@contextmanager
def as_someone(top: Path) -> Iterator[None]:
    """Give everything below ``top`` to an ordinary user, and work as that one: root may anything."""
    if os.geteuid() != 0:
        yield
        return
    for path in [top, *top.rglob("*")]:
        os.lchown(path, SOMEONE, SOMEONE)
    os.seteuid(SOMEONE)
    try:
        yield
    finally:
        os.seteuid(0)


def boxed(**more: object) -> Confinement:
    """Make a sandbox; the test is skipped where there is none to be had."""
    if shutil.which("bwrap") is None:
        pytest.skip(f"{NOT_FOUND}bwrap")
    return probe("bwrap", path=PATH, **more)


@pytest.fixture(params=["bare", "boxed"])
def box(request: pytest.FixtureRequest) -> Confinement:
    """Return no sandbox, then one."""
    return BARE if request.param == "bare" else boxed()


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """Return a folder that any user reaches; pytest's own is closed, again by each run that starts."""
    with tempfile.TemporaryDirectory(prefix="mailgate-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
async def open_yard(tmp_path: Path) -> AsyncIterator[Callable[..., Yard]]:
    """Return what opens yards over the same jobs folder; all are closed at the end."""
    yards: list[Yard] = []

    def opened(box: Confinement = BARE, **how: object) -> Yard:
        yards.append(Yard(tmp_path / "jobs", box, **how))
        return yards[-1]

    yield opened
    for yard in yards:
        await yard.close()


@pytest.fixture
def yard(open_yard: Callable[..., Yard], box: Confinement) -> Yard:
    """Return a yard, bare or boxed."""
    return open_yard(box)


@pytest.fixture
def bare(open_yard: Callable[..., Yard]) -> Yard:
    """Return a yard without a sandbox."""
    return open_yard()
