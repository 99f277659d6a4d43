"""Over LMTP each recipient of a mail hears what is true of him, whatever the others hear."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailgate.config import load
from mailgate.desk import Counter, Desk
from mailgate.errors import Apart, MailgateError
from mailgate.model import Envelope
from mailgate.services import load_all
from mailgate.spool import confirmations
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, Spool
from tests.daemon import TRUE
from tests.desk.made import CONFIG

TRUST = """
[trust]
networks = ["192.0.2.0/24"]
unknown = "confirm"
confirm_mails = 2
confirm_size = "1 MiB"
[quota]
bytes_a_day = "3 MiB"
"""
FRIEND, STRANGER = "192.0.2.7", "198.51.100.9"
ALIGN, TREE, CLOSED, SMALL, POSTMASTER = (
    f"{name}@gate.example.org" for name in ("align", "tree", "closed", "small", "postmaster")
)
OK, LATER, NO = "250 2.0.0", "451 4.3.0", "550 5.7.1"


@dataclass
class House:
    counter: Counter
    spool: Spool

    async def hand_over(
        self, *recipients: str, peer: str = FRIEND, size: int = 0, more: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """Hand a mail over by LMTP; what each recipient hears."""
        envelope = Envelope(sender="ada@example.org", recipients=recipients, door="lmtp", peer=peer)
        sink = await self.counter.open(envelope)
        lines = ["From: ada@example.org", *more, "", "x" * size, ""]
        await sink.write("\r\n".join(lines).encode())
        try:
            receipt = await sink.commit()
        except Apart as apart:
            return {address: error.smtp_reply for address, error in apart.each.items()}
        except MailgateError as error:
            return dict.fromkeys(recipients, error.smtp_reply)
        refused = {address: error.smtp_reply for address, error in receipt.refused.items()}
        return {**dict.fromkeys(recipients, OK), **refused}


@asynccontextmanager
async def house(place: Path) -> AsyncIterator[House]:
    (place / "services").mkdir()
    for name in ("align", "tree"):
        (place / "services" / f"{name}.toml").write_text(TRUE)
    (place / "services" / "closed.toml").write_text(TRUE.replace("*@example.org", "boss@x.org"))
    (place / "services" / "small.toml").write_text(f'{TRUE}[quota]\nbytes_a_day = "1 KiB"\n')
    (place / "mailgate.toml").write_text(CONFIG + TRUST)
    config = load(place / "mailgate.toml")
    spool = Spool(Folder(config.gateway.spool), Site.of(config.gateway.address), busy=0.05)
    spool.open()
    desk = Desk(config, load_all(config.gateway.services), spool.folder, lambda: spool.view)
    counter = Counter(desk, spool)
    try:
        yield House(counter, spool)
    finally:
        counter.close()
        spool.close()


def codes(answers: Mapping[str, str]) -> list[str]:
    return [answer[:9] for answer in answers.values()]


async def test_a_fault_of_one_recipient_is_told_to_no_other(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        told = await made.hand_over(ALIGN, CLOSED, TREE, "nobody@gate.example.org")
        assert codes(told) == [OK, NO, OK, "550 5.1.1"]
        told = await made.hand_over(SMALL, ALIGN, size=5000)
        assert codes(told) == ["552 5.2.2", OK]
        assert "it can never be taken" in told[SMALL]
        told = await made.hand_over(POSTMASTER, ALIGN, size=1 << 20)
        assert codes(told) == ["552 5.3.4", OK]
        told = await made.hand_over(ALIGN, POSTMASTER, more=["Auto-Submitted: auto-replied"])
        assert codes(told) == [NO, OK]


async def test_where_nobody_gets_it_each_hears_his_own_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        told = await made.hand_over(CLOSED, SMALL, "nobody@gate.example.org", size=5000)
        assert codes(told) == [NO, "552 5.2.2", "550 5.1.1"]
        assert 'the service "closed"' in told[CLOSED]
        assert 'the service "small"' in told[SMALL]


async def test_what_does_not_go_together_is_asked_for_once_more(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        told = await made.hand_over(ALIGN, POSTMASTER, peer=STRANGER)
        assert codes(told) == [OK, LATER]
        assert "by itself" in told[POSTMASTER]
        assert codes(await made.hand_over(POSTMASTER, peer=STRANGER)) == [OK]
        terms = confirmations.Terms.of(made.counter._desk.config)
        await made.spool.write(
            lambda tx: confirmations.ask(tx, terms, message=1, recipient="ada@example.org")
        )
        row = made.spool.view.one("SELECT token FROM confirmation")
        assert row is not None
        token = f"jobs+confirm.{row['token']}@gate.example.org"
        assert codes(await made.hand_over(token, TREE, peer=STRANGER)) == [OK, LATER]


async def test_who_is_refused_for_good_hears_so_though_others_must_wait(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        assert codes(await made.hand_over(ALIGN, CLOSED, peer=STRANGER)) == [OK, NO]
        told = await made.hand_over(ALIGN, CLOSED, peer=STRANGER)
        assert codes(told) == [LATER, NO]
        assert "too many mails" in told[ALIGN]


async def test_a_strangers_mail_has_at_most_half_of_what_strangers_have(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        told = await made.hand_over(ALIGN, peer=STRANGER, size=(1 << 19) + 1)
        assert codes(told) == ["552 5.3.4"]
        assert "nothing vouches may have at most 512 KiB" in told[ALIGN]
        assert codes(await made.hand_over(ALIGN, peer=FRIEND, size=(1 << 19) + 1)) == [OK]
        assert codes(await made.hand_over(ALIGN, peer=STRANGER, size=1 << 18)) == [OK]


async def test_who_is_refused_for_the_same_reason_has_one_line_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spelled = [POSTMASTER.replace("p", "P", 1), POSTMASTER.replace("m", "M"), POSTMASTER]
    async with house(tmp_path) as made:
        told = await made.hand_over(ALIGN, CLOSED, *spelled, peer=STRANGER)
        assert codes(told) == [OK, NO, LATER, LATER, LATER]
        told = await made.hand_over(CLOSED, CLOSED.upper(), SMALL, peer=FRIEND, size=5000)
        assert codes(told) == [NO, NO, "552 5.2.2"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "refused" in line.split()]
    assert [f"to={CLOSED} reason" in line for line in lines] == [True, False, False, False]
    assert [f"to={CLOSED},{CLOSED.upper()} recipients=2 " in line for line in lines][2:] == [
        True,
        False,
    ]
    assert f"to={','.join(spelled)} recipients=3 " in lines[1]
