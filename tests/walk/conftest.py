"""Gateways that a module's tests share, each with a sender of its own."""

import secrets
from collections.abc import Iterator

import pytest

from tests.daemon import Gateway, running
from tests.servers import require
from tests.walk import hostile


@pytest.fixture(scope="session")
def _open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose jobs share its rights."""
    with running(tmp_path_factory.mktemp("open"), sandbox="none", slots=12) as gateway:
        hostile.offer(gateway)
        gateway.start()
        yield gateway


@pytest.fixture(scope="session")
def _boxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose jobs run in bubblewrap."""
    require("bwrap")
    with running(tmp_path_factory.mktemp("boxed"), sandbox="bwrap", slots=12) as gateway:
        hostile.offer(gateway)
        gateway.start()
        yield gateway


@pytest.fixture
def gate(_open: Gateway) -> Iterator[Gateway]:
    """The shared gateway, which has to outlive the test without a word of failure."""
    yield _open
    hostile.unharmed(_open)


@pytest.fixture(params=["none", "bwrap"])
def either(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """The shared gateway without a sandbox, then the one with it."""
    gateway: Gateway = request.getfixturevalue("_boxed" if request.param == "bwrap" else "_open")
    yield gateway
    hostile.unharmed(gateway)


@pytest.fixture
def boxed(_boxed: Gateway) -> Iterator[Gateway]:
    """The shared gateway with bubblewrap."""
    yield _boxed
    hostile.unharmed(_boxed)


@pytest.fixture
def who() -> str:
    """A sender that no other test has."""
    return f"ada.{secrets.token_hex(6)}@example.org"
