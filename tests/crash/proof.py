"""What must hold after any crash: each accepted mail ran once, has its one result, and nothing is left over."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailgate.config import load
from mailgate.janitor import Janitor, committing
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, direct
from tests.daemon import Gateway, attached, eventually, request, shell
from tests.spool.conftest import WRONGLY_GIVEN

# Each start of a body leaves a line, whatever became of it; the input says how it is to end (under
# 129: the numbers above are signals to every shell).
SERVICE = """\
read code
echo "$code $MAILGATE_JOB" >> {folder}/ran
printf 'ran %s' "$code"
exit $code
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that the gateway said 250 to; the number is also its exit code."""

    number: int
    message_id: str


def prepare(gateway: Gateway) -> None:
    more = 'stdin = "data"\n[input.data]\nfrom = "attachment"'
    gateway.service("once", shell(SERVICE.replace("{folder}", str(gateway.folder)), more))


def mail_of(number: int) -> tuple[Sent, bytes]:
    """The mail number so and so; the same again is the same mail."""
    # Some are big enough to be kept in files: message, staged input and letter.
    padding = b"x" * (200_000 if number % 5 == 0 else 10)
    message = request(
        "once", attachments={"data": f"{number % 100}\n".encode() + padding},
        message_id=f"<mail{number}@example.org>",
    )  # fmt: skip
    return Sent(number, f"<mail{number}@example.org>"), message.as_bytes()


def deliver(gateway: Gateway, numbers: Sequence[int]) -> list[Sent]:
    """Send as a mail server does: until 250, again after every failure."""
    sent = []
    for number in numbers:
        expected, content = mail_of(number)
        while True:
            if not gateway.alive:
                gateway.start()
            try:
                gateway.send(content, to="once@gate.example.org")
            except OSError:
                continue
            break
        sent.append(expected)
    return sent


def prove(gateway: Gateway, sent: Sequence[Sent], within: float = 120) -> None:
    """Wait for every result, then check what must hold."""
    eventually(lambda: len(_answered(gateway)) >= len(sent), within, gateway.logged)
    eventually(lambda: not gateway.unsent(), within, gateway.logged)
    _check_results(gateway, sent)
    _check_runs(gateway, sent)
    gateway.kill()
    check_no_orphans(gateway)


def _answered(gateway: Gateway) -> set[str]:
    return {str(x["In-Reply-To"]) for x in gateway.results()}


def _check_results(gateway: Gateway, sent: Sequence[Sent]) -> None:
    results = gateway.results()
    by_request = {str(x["In-Reply-To"]): x for x in results}
    one_each = {str(x["In-Reply-To"]): str(x["Message-ID"]) for x in results}
    assert all(one_each[str(x["In-Reply-To"])] == str(x["Message-ID"]) for x in results)
    assert set(by_request) == {mail.message_id for mail in sent}
    for mail in sent:
        result = by_request[mail.message_id]
        assert str(result["Mailgate-Exit"]) == str(mail.number % 100), result["Mailgate-Exit"]
        assert attached(result)["stdout.txt"] == f"ran {mail.number % 100}".encode()


def _check_runs(gateway: Gateway, sent: Sequence[Sent]) -> None:
    ran = Counter(line.split()[1] for line in (gateway.folder / "ran").read_text().splitlines())
    assert max(ran.values()) == 1, ran
    assert len(ran) == len(sent)


def check_no_orphans(gateway: Gateway) -> None:
    """After the janitor every file of the spool is named by a row, and every row finds its file."""
    config = load(gateway.config)
    folder = Folder(gateway.spool)
    with direct(folder, Site.of(config.gateway.address)) as connection:
        janitor = Janitor(config, folder, young=0)
        janitor.sweep(connection.view, committing(connection), strays=True)
    with sqlite3.connect(folder.database) as database:
        named = {row[0] for row in database.execute("SELECT file FROM message WHERE file NOT NULL")}
        jobs = {row[0] for row in database.execute("SELECT id FROM job")}
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute(WRONGLY_GIVEN).fetchone() == (0,)
    assert _names(folder.mail) == named
    assert _names(folder.letters) == set()
    assert _names(folder.staged) == set()
    assert {p.name for p in config.run.folder.glob("*/*")} == jobs
    assert not list((gateway.outgoing).glob("*/tmp/*"))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
