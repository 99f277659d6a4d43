"""Gateways that a module's tests share, each with a sender of its own."""

import secrets
from collections.abc import Iterator

import pytest

from tests.daemon import ECHO, TRUE, Gateway, running, shell
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


@pytest.fixture(scope="session")
def _plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for whoever only sends a mail and waits for what comes."""
    with running(tmp_path_factory.mktemp("plain"), slots=8) as gateway:
        gateway.service("echo", ECHO)
        gateway.service("true", TRUE)
        gateway.service("secret", TRUE.replace("*@example.org", "boss@example.org"))
        gateway.service("fails", shell("echo so far; echo no such database >&2; exit 3"))
        gateway.service("killed", shell("kill -9 $$"))
        gateway.service("slow", shell("sleep 60", '[limits]\nwork = "1s"'))
        gateway.service("absent", TRUE.replace('"true"', '"no-such-program"'))
        gateway.service("text", shell("seq 5000"))
        gateway.service("waits", shell("sleep 100"))
        gateway.start()
        yield gateway


@pytest.fixture
def house(_plain: Gateway) -> Iterator[Gateway]:
    """The shared gateway, which nothing unforeseen may have happened to."""
    yield _plain
    hostile.calm(_plain)


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
