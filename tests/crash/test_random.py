"""Kill -9 at random moments under load: `make test` at a reduced count, `make soak` at 200."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.proof import Sent, mail_of, prepare, prove
from tests.daemon import Gateway, running

KILLS, REDUCED = 200, 12
MAILS_A_KILL = 4


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, slots=4) as made:
        prepare(made)
        yield made


class Sender(threading.Thread):
    """Sends as a mail server does, whatever happens to the other side, until told to stop."""

    def __init__(self, gateway: Gateway, total: int) -> None:
        super().__init__()
        self.gateway = gateway
        self.total = total
        self.sent: list[Sent] = []

    def run(self) -> None:
        for number in range(self.total):
            expected, content = mail_of(number)
            while True:
                try:
                    self.gateway.send(content, to="once@gate.example.org")
                    break
                except OSError:
                    # What smtplib raises is one: the server is away, or was in the middle.
                    time.sleep(0.02)
            self.sent.append(expected)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_kills_at_random_moments_lose_and_double_nothing(
    gateway: Gateway, seed: int, soak: bool
) -> None:
    chance = random.Random(seed)
    kills = KILLS if soak else REDUCED
    sender = Sender(gateway, kills * MAILS_A_KILL)
    gateway.start()
    sender.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.9))
        gateway.kill()
        gateway.start()
    sender.join(600)
    assert not sender.is_alive()
    prove(gateway, sender.sent, within=600)
