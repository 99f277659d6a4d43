"""What every test may ask for, and what the last lines of a run say.

A test that needs a program or server that is not here skips with the reason ``not found: NAME``.
The run's last lines name them all; with ``MAILGATE_REQUIRE_REAL`` set such a skip is a failure.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import witnesses

CHECKOUT = Path(__file__).resolve().parent.parent
NOT_FOUND = "not found: "

# Tests start thousands of programs: each would compile all that it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No deadline: a machine shared with other runs is sometimes slow, which proves nothing.
settings.register_profile("short", deadline=None, print_blob=True)
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=5000)


def pytest_configure(config: pytest.Config) -> None:
    """Draw the run's seed before xdist starts its workers, which inherit it."""
    os.environ.setdefault("MAILGATE_SEED", str(random.SystemRandom().randrange(2**31)))
    settings.load_profile("soak" if os.environ.get("MAILGATE_SOAK") else "short")


def pytest_report_header() -> str:
    """Say how to repeat this run's random choices."""
    count = "full" if os.environ.get("MAILGATE_SOAK") else "reduced"
    return f"long proofs: {count} count, MAILGATE_SEED={os.environ['MAILGATE_SEED']}"


@pytest.fixture
def soak() -> bool:
    """Tell a long proof whether it runs at full count (``make soak``)."""
    return bool(os.environ.get("MAILGATE_SOAK"))


@pytest.fixture
def seed() -> int:
    """Return the run's seed: the same for all workers, printed at the top and in the last lines."""
    return int(os.environ["MAILGATE_SEED"])


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the top of the checkout that is tested."""
    return CHECKOUT


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return the folder of mails written by others; the test is skipped where there is none."""
    folder = Path(os.environ.get("MAILGATE_CORPORA", CHECKOUT.parent / "shared" / "corpora"))
    if not folder.is_dir():
        pytest.skip("no mail corpora here (MAILGATE_CORPORA names their folder)")
    return folder


# --- what was not found ---------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Fail instead of skipping, where every real server is required; tell what they logged."""
    report = _required((yield))
    if report.failed:
        report.sections += witnesses.heard()
    elif report.when == "teardown":
        # Of what a test expected to fail.
        witnesses.heard()
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Do the same for a module that skips as a whole."""
    report = yield
    return _required(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every real server or program that was not found, and the seed of a failed run."""
    missing = _missing(terminalreporter)
    terminalreporter.write_line(f"real servers not found: {', '.join(missing) or 'none'}")
    if terminalreporter.stats.get("failed") or os.environ.get("MAILGATE_SOAK"):
        terminalreporter.write_line(f"to repeat it: MAILGATE_SEED={os.environ['MAILGATE_SEED']}")


def _required(report):
    reason = _reason(report)
    if reason.startswith(NOT_FOUND) and os.environ.get("MAILGATE_REQUIRE_REAL"):
        report.outcome = "failed"
        report.longrepr = f"{reason}; MAILGATE_REQUIRE_REAL is set"
    return report


def _missing(terminal: pytest.TerminalReporter) -> list[str]:
    reports = [*terminal.stats.get("skipped", ()), *terminal.stats.get("failed", ())]
    reasons = {_reason(report) for report in [*reports, *terminal.stats.get("error", ())]}
    names = (reason.removeprefix(NOT_FOUND) for reason in reasons if reason.startswith(NOT_FOUND))
    return sorted({name.partition(";")[0] for name in names})


def _reason(report) -> str:
    """Return why a report was skipped, or the words with which it failed."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longrepr if isinstance(report.longrepr, str) else ""
