"""The daemon dies at every point of a confirmation's way, and nothing is lost or doubled."""

from pathlib import Path

import pytest

from tests.asking import answer, asked_by, asking, letter_to, phases, send
from tests.daemon import ADA, Gateway, eventually

ASKING = ["read:before-commit", "read:committed"]
CONFIRMING = ["accept:committed", "read:before-commit", "read:committed"]


def insist(gateway: Gateway, mail: object) -> None:
    """Send as a mail server does: until 250, again after every failure."""
    while True:
        if not gateway.alive:
            gateway.start()
        try:
            send(gateway, mail)  # type: ignore[arg-type]
        except OSError:
            continue
        return


@pytest.mark.parametrize("point", ASKING)
def test_a_crash_while_it_is_asked_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    with asking(tmp_path, crash=point) as gateway:
        insist(gateway, asked_by(ADA, b"once"))
        eventually(lambda: not gateway.alive or gateway.starts > 1, 30, gateway.logged)
        if not gateway.alive:
            gateway.start()
        letter = letter_to(gateway, ADA)
        insist(gateway, answer(letter, ADA, "confirm"))
        gateway.await_results(1)
        eventually(lambda: not gateway.unsent())
        assert phases(gateway, ADA) == ["COMPLETED"]
        # The worst: the same letter twice, as the same.
        assert len({str(x["Message-ID"]) for x in gateway.letters()}) == 2


@pytest.mark.parametrize("point", CONFIRMING)
def test_a_crash_while_it_is_confirmed_runs_it_once(tmp_path: Path, point: str) -> None:
    # The first mail is the one that he is asked about.
    with asking(tmp_path, crash=f"{point}@2") as gateway:
        send(gateway, asked_by(ADA, b"once"))
        letter = letter_to(gateway, ADA)
        eventually(lambda: not gateway.unsent())
        assert gateway.alive
        insist(gateway, answer(letter, ADA, "confirm"))
        eventually(lambda: not gateway.alive or gateway.starts > 1, 30, gateway.logged)
        if not gateway.alive:
            gateway.start()
        gateway.await_results(1)
        eventually(lambda: not gateway.unsent())
        assert phases(gateway, ADA) == ["COMPLETED"]
        assert len(gateway.results()) == 1


def test_a_crash_while_what_nobody_confirmed_goes_leaves_nothing(tmp_path: Path) -> None:
    with asking(tmp_path, confirm_within='"1s"') as gateway:
        send(gateway, asked_by(ADA, b"x" * 200_000))
        letter_to(gateway, ADA)
        gateway.kill()

        def died() -> bool:
            return gateway.run("purge", MAILGATE_CRASH="clean:unconfirmed").returncode == -9

        eventually(died, 20)
        assert phases(gateway, ADA) == ["ABORTED"]
        assert gateway.run("purge", MAILGATE_CRASH="clean:asked").returncode == -9
        assert gateway.run("purge").returncode == 0
        assert phases(gateway, ADA) == ["ARCHIVED"]
        assert list((gateway.spool / "mail").iterdir()) == []
        assert len(gateway.letters()) == 1
