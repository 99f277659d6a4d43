"""The word that outputs go is said once, also where the sweep that plans it is killed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon import Gateway, eventually, request, running, shell, text_of


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("say", shell("echo hello", '[limits]\nkeep = "4d"'))
        yield made


def test_a_notice_that_a_crash_interrupts_is_sent_once(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("say"))
    gateway.await_results(1)
    eventually(lambda: gateway.unsent() == 0)
    gateway.stop()
    with closing(sqlite3.connect(gateway.spool / "spool.db")) as spool, spool:
        spool.execute("UPDATE job SET ended = ended - 273600, destruction = destruction - 273600")
    assert gateway.run("purge", MAILGATE_CRASH="notice:planned").returncode == -9
    assert gateway.run("purge").returncode == 0
    gateway.start()
    _, notice = gateway.await_letters(2)
    assert "its outputs are kept until " in str(notice["Subject"])
    assert "Mailgate-Exit" not in notice
    assert "  extend 7d\n  keep until 20" in text_of(notice)
    eventually(lambda: gateway.unsent() == 0)
    gateway.stop()
    assert gateway.run("purge").returncode == 0
    assert gateway.unsent() == 0
    assert len(gateway.letters()) == 2
