"""The outbox: a real spool, the real courier, and relays that refuse, vanish and come back."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailgate.config import Courier, Deliver
from mailgate.deliver.outbox import Outbox, next_try
from mailgate.model import LetterKind
from mailgate.spool import codec, due, letters, mail, notices, unsent
from mailgate.spool.database import Row, Site
from mailgate.spool.store import Folder, Spool, direct
from tests.deliver.relay import AND_DROP, DROP, HANG, Script, relay
from tests.servers import free_port
from tests.spool.made import a_job, accepted, ended

MOMENT = timedelta(milliseconds=20)
ANN = "ann@mg.test"
SITE = Site.of("jobs@gate.mg.test")


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = Spool(Folder(tmp_path / "spool"), SITE, busy=0.2)
    opened.open()
    yield opened
    opened.close()


@asynccontextmanager
async def outbox(
    spool: Spool, script: Script, *, retry: tuple[timedelta, ...] = (MOMENT,), **keys: object
) -> AsyncIterator[Outbox]:
    """Run an outbox for as long as the block lasts; ``give_up``, ``soon`` and ``timeout`` are keys."""
    give_up, soon = keys.pop("give_up", timedelta(days=5)), keys.pop("soon", 0.1)
    each, in_all = keys.pop("each", None), keys.pop("in_all", None)
    deliver = Deliver(
        courier=Courier.SMTP, max_size=25 << 20, receipt_after=timedelta(seconds=60), retry=retry,
        give_up=give_up, letters_an_hour=in_all, letters_an_hour_each=each,
    )  # fmt: skip
    post = Outbox(
        deliver, spool, script.courier(**keys), at_once=4, one_hop=True, soon=soon, again=0.1
    )
    running = asyncio.create_task(post.run())
    try:
        yield post
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def posted(spool: Spool, recipient: str = ANN, *, size: int = 300) -> int:
    """Lay a composed letter into the spool."""

    def answer(tx) -> int:
        message = mail.accept(tx, accepted(f"<{recipient}@mg.test>"))
        letters.answer(tx, message=message, recipient=recipient, kind=LetterKind.REFUSED, facts={})
        return letters.planned(tx, besides=(), limit=1000)[-1].id

    number = await spool.write(answer)
    await composed(spool, number, size)
    return number


async def composed(spool: Spool, number: int, size: int) -> None:
    body = f"Message-ID: {row(spool, number)['message_id']}\r\n\r\n".encode()
    body += b"x" * 76 + b"\r\n"
    body = (body * (size // len(body) + 1))[: size - 2] + b"\r\n"
    await spool.write(lambda tx: letters.composed(tx, number, size=size, body=body, file=None))
    spool.ring("deliver")


def row(spool: Spool, number: int) -> Row:
    found = spool.view.one("SELECT * FROM letter WHERE id = ?", number)
    assert found is not None
    return found


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def decisions(spool: Spool) -> list[str]:
    """What `mailgate explain` shows of the letters."""
    return [found["verb"] for found in spool.view.all("SELECT verb FROM event ORDER BY id")]


# --- refusals ---------------------------------------------------------------------------------------


def test_the_schedules_last_wait_repeats() -> None:
    waits = [timedelta(seconds=n) for n in (10, 30, 120)]
    assert [next_try(waits, n).seconds for n in (1, 2, 3, 4, 99)] == [10, 30, 120, 120, 120]


async def test_a_refusal_4xx_is_tried_again_by_the_schedule_until_it_is_taken(spool: Spool) -> None:
    says = {"RCPT": "451 4.7.1 greylisted"}
    async with relay(says) as script, outbox(spool, script, retry=(MOMENT, 2 * MOMENT)):
        number = await posted(spool)
        await until(lambda: row(spool, number)["refusals"] >= 3)
        found = row(spool, number)
        assert found["waited"] == pytest.approx(0.02 + 0.04 * (found["refusals"] - 1))
        assert found["last_words"] == "451 4.7.1 greylisted"
        says.clear()
        await until(lambda: row(spool, number)["state"] == "SENT")
    assert len(script.mails) == 1
    assert decisions(spool).count("deferred") == row(spool, number)["refusals"]


async def test_a_letter_refused_for_too_long_is_held_with_the_servers_words(spool: Spool) -> None:
    async with relay({"DOT": "452 4.2.2 over quota"}) as script:
        async with outbox(spool, script, give_up=3 * MOMENT):
            number = await posted(spool)
            await until(lambda: row(spool, number)["state"] == "HELD")
    assert row(spool, number)["refusals"] == 3
    said = str(codec.worded(row(spool, number)["last_words"]))
    assert said == "refused for less than 1 second: 452 4.2.2 over quota"


async def test_an_operators_retry_gives_a_held_letter_its_patience_back(spool: Spool) -> None:
    says = {"DOT": "452 4.2.2 over quota"}
    async with relay(says) as script, outbox(spool, script, give_up=MOMENT):
        number = await posted(spool)
        await until(lambda: row(spool, number)["state"] == "HELD")
        await spool.write(lambda tx: unsent.retry_now(tx, number))
        await until(lambda: row(spool, number)["tries"] >= 4)
        await until(lambda: row(spool, number)["state"] == "HELD")
        says.clear()
        await spool.write(lambda tx: unsent.retry_now(tx, number))
        await until(lambda: row(spool, number)["state"] == "SENT")
    assert decisions(spool).count("held") == decisions(spool).count("requeued") == 2


async def test_a_refusal_5xx_is_held_at_once_and_keeps_nobody_waiting(spool: Spool) -> None:
    says = {"RCPT TO:<gone@mg.test>": "550 5.1.1 no such user"}
    async with relay(says) as script, outbox(spool, script):
        gone, there = await posted(spool, "gone@mg.test"), await posted(spool)
        await until(lambda: row(spool, there)["state"] == "SENT")
        await until(lambda: row(spool, gone)["state"] == "HELD")
    assert row(spool, gone)["tries"] == 1
    assert row(spool, gone)["last_words"] == "550 5.1.1 no such user"


async def test_a_receipt_that_was_put_off_does_not_follow_its_result(spool: Spool) -> None:
    says = {"RCPT": "451 4.7.1 greylisted"}
    with direct(spool.folder, SITE) as connection:
        job = a_job(connection)
        with connection.transaction() as tx:
            tx.execute("UPDATE job SET receipt_due = ?", tx.at)
            notices.plan_due(tx, limit=1)
    async with relay(says) as script, outbox(spool, script, retry=(timedelta(seconds=1),)):
        await composed(spool, 1, 300)
        await until(lambda: row(spool, 1)["refusals"])
        says.clear()
        with direct(spool.folder, SITE) as connection:
            ended(connection, job)
        await composed(spool, 2, 300)
        await until(lambda: row(spool, 2)["state"] == "SENT")
        assert due.next_due(spool.view, besides=()) is None
    (sent,) = script.mails
    assert row(spool, 2)["message_id"].encode() in sent


# --- a relay that is away ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "says",
    [
        {"GREETING": DROP},
        {"GREETING": "554 5.3.2 not today"},
        {"GREETING": "421 4.3.2 too many"},
        {"GREETING": "220 welcome" + AND_DROP},
        {"EHLO": "421 4.3.2 not today"},
        {"MAIL": "421 4.3.2 shutting down"},
        {"MAIL": "250 2.1.0 ok" + AND_DROP},
        {"RCPT": "421 4.3.2 shutting down" + AND_DROP},
        {"DATA": "421 4.3.2 shutting down"},
        {"DATA": "354 go on" + AND_DROP},
        {"DOT": "421 4.3.2 shutting down"},
        {"MAIL": HANG},
        {"DATA": DROP},
        {"BODY": DROP},
        {"DOT": DROP},
        {"DOT": HANG},
    ],
    ids=lambda says: "-".join(next(iter(says.items()))).replace(" ", "_"),
)
async def test_time_without_our_relay_does_not_count(spool: Spool, says: dict[str, str]) -> None:
    # A give_up that any counted time would be over.
    keys = {"give_up": timedelta(0), "timeout": timedelta(seconds=0.3)}
    async with relay(says) as script, outbox(spool, script, **keys):
        number = await posted(spool, size=200_000)
        await until(lambda: row(spool, number)["tries"] >= 2)
        assert (row(spool, number)["refusals"], row(spool, number)["waited"]) == (0, 0)
        says.clear()
        await until(lambda: row(spool, number)["state"] == "SENT")
    ids = {re.search(rb"Message-ID: (\S+)", sent)[1].decode() for sent in script.mails}
    assert ids == {row(spool, number)["message_id"]}
    assert len(set(script.mails)) == 1


async def test_a_letter_that_was_taken_is_sent_though_the_relay_leaves_with_its_answer(
    spool: Spool,
) -> None:
    async with relay({"DOT": "250 2.0.0 mine" + AND_DROP}) as script, outbox(spool, script):
        for count in (1, 2):
            number = await posted(spool, f"ann{count}@mg.test")
            await until(lambda number=number: row(spool, number)["state"] == "SENT")
            assert row(spool, number)["last_words"] == "250 2.0.0 mine"
            assert row(spool, number)["tries"] == 1
    assert (len(script.mails), script.sessions) == (2, 2)


async def test_a_relay_that_is_away_is_tried_at_least_every_thirty_seconds(spool: Spool) -> None:
    script = Script(port=free_port())
    number = await posted(spool)
    # As after a night without it.
    await spool.write(lambda tx: tx.execute("UPDATE letter SET tries = 1000"))
    async with outbox(spool, script) as post:
        await until(lambda: row(spool, number)["tries"] == 1001)
        post._away, post._away_until = 30.0, 0.0
        await spool.write(lambda tx: unsent.retry_now(tx, number))
        await until(lambda: row(spool, number)["tries"] == 1002)
        wait = row(spool, number)["next_try"] - datetime.now(UTC).timestamp()
        assert 20 < wait <= 30
        assert post._away_until - asyncio.get_running_loop().time() <= 30


async def test_a_relay_that_lets_us_wait_is_tried_as_often(spool: Spool) -> None:
    async with relay({"GREETING": HANG}) as script:
        number = await posted(spool)
        await spool.write(lambda tx: tx.execute("UPDATE letter SET tries = 1000"))
        async with outbox(spool, script, timeout=timedelta(seconds=1.5), soon=2.0) as post:
            began = asyncio.get_running_loop().time()
            await until(lambda: row(spool, number)["tries"] == 1001)
            wait = row(spool, number)["next_try"] - datetime.now(UTC).timestamp()
            # From one beginning to the next, not from the end of our patience.
            assert wait <= 30 - 1.4
            assert post._away_until <= began + 3.4


async def test_while_the_relay_is_away_one_letter_asks_for_all(spool: Spool) -> None:
    says = {"GREETING": DROP}
    async with relay(says) as script:
        numbers = [await posted(spool, f"n{n}@mg.test") for n in range(20)]
        async with outbox(spool, script, soon=1.0) as post:
            await until(lambda: script.sessions >= 4 and not post._busy)
            first = script.sessions
            await until(lambda: script.sessions > first)
            await until(lambda: not post._busy)
            assert first <= 4
            assert script.sessions <= first + 1
            says.clear()
            await until(lambda: all(row(spool, n)["state"] == "SENT" for n in numbers))
    assert len(script.mails) == 20


async def test_a_letter_that_alone_makes_the_relay_hang_up_does_not_hold_up_the_others(
    spool: Spool,
) -> None:
    async with relay({"RCPT TO:<poison@mg.test>": DROP}) as script, outbox(spool, script):
        poison = await posted(spool, "poison@mg.test")
        await until(lambda: row(spool, poison)["tries"] >= 2)
        numbers = [await posted(spool, f"n{n}@mg.test") for n in range(30)]
        await until(lambda: all(row(spool, n)["state"] == "SENT" for n in numbers))
    assert row(spool, poison)["state"] == "WAITING"
    assert len(script.mails) == 30


# --- sizes ------------------------------------------------------------------------------------------


async def test_an_announced_size_has_the_letter_composed_again_under_its_message_id(
    spool: Spool,
) -> None:
    async with relay({"EHLO": "250-relay\r\n250 SIZE 5000"}) as script, outbox(spool, script):
        number = await posted(spool, size=9000)
        before = row(spool, number)["message_id"]
        await until(lambda: row(spool, number)["state"] == "PLANNED")
        assert row(spool, number)["limit"] == 5000
        await composed(spool, number, 4000)
        await until(lambda: row(spool, number)["state"] == "SENT")
    assert before.encode() in script.mails[0]
    assert len(script.mails) == 1
    assert "shortened" in decisions(spool)


async def test_a_letter_that_gets_no_smaller_is_held_and_not_composed_for_ever(
    spool: Spool,
) -> None:
    async with relay({"EHLO": "250-relay\r\n250 SIZE 1000"}) as script, outbox(spool, script):
        number = await posted(spool, size=90_000)
        await until(lambda: row(spool, number)["state"] == "PLANNED")
        await composed(spool, number, 80_000)
        await until(lambda: row(spool, number)["state"] == "HELD")
    said = str(codec.worded(row(spool, number)["last_words"]))
    assert "takes mails of at most 1,000 bytes" in said


async def test_a_552_without_a_number_halves_the_letter_until_it_is_small(spool: Spool) -> None:
    async with relay({"DOT": "552 too much"}) as script, outbox(spool, script):
        number = await posted(spool, size=60_000)
        limits = []
        while row(spool, number)["state"] != "HELD":
            await until(lambda: row(spool, number)["state"] in {"PLANNED", "HELD"})
            if row(spool, number)["state"] == "PLANNED":
                limits.append(row(spool, number)["limit"])
                await composed(spool, number, limits[-1])
    assert limits == [30_000, 15_000]
    assert row(spool, number)["last_words"] == "552 too much"


async def test_a_full_mailbox_is_no_question_of_the_letters_size(spool: Spool) -> None:
    async with relay({"DOT": "552 5.2.2 mailbox full"}) as script, outbox(spool, script):
        number = await posted(spool, size=60_000)
        await until(lambda: row(spool, number)["state"] == "HELD")
    assert row(spool, number)["limit"] is None


# --- what cannot be written down --------------------------------------------------------------------


async def test_a_letter_that_left_while_the_spool_was_locked_does_not_leave_again(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with relay({"DOT": HANG}) as script:
        number = await posted(spool)
        async with outbox(spool, script):
            await until(lambda: script.commands[-1:] == ["DATA"] and script.mails)
            with closing(sqlite3.connect(spool.folder.database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                script.go_on("250 2.0.0 at last")
                told = ""
                while "delayed what=deliver" not in told:
                    await asyncio.sleep(0.05)
                    told += capsys.readouterr().err
                other.execute("ROLLBACK")
            await until(lambda: row(spool, number)["state"] == "SENT")
    assert len(script.mails) == 1
    assert row(spool, number)["last_words"] == "250 2.0.0 at last"


async def test_draining_lets_a_delivery_come_to_its_end_and_begins_none(spool: Spool) -> None:
    async with relay({"DOT": HANG}) as script:
        first = await posted(spool)
        async with outbox(spool, script) as post:
            await until(lambda: script.mails)
            drained = asyncio.create_task(post.drain(20))
            await asyncio.sleep(0)
            second = await posted(spool, "bob@mg.test")
            script.go_on("250 2.0.0 ok")
            await drained
    assert row(spool, first)["state"] == "SENT"
    assert row(spool, second)["state"] == "WAITING"


async def test_draining_waits_no_longer_than_it_may(spool: Spool) -> None:
    async with relay({"DOT": HANG}) as script:
        await posted(spool)
        async with outbox(spool, script) as post:
            await until(lambda: script.mails)
            async with asyncio.timeout(60):
                await post.drain(0.1)


# --- what goes wrong at home ------------------------------------------------------------------------


async def test_a_letter_that_is_out_never_goes_again_because_the_spool_cannot_note_it(
    spool: Spool,
) -> None:
    trigger = (
        "CREATE TRIGGER torn BEFORE UPDATE ON letter WHEN NEW.state = 'SENT'"
        " BEGIN SELECT RAISE(ABORT, 'torn'); END"
    )
    await spool.write(lambda tx: tx.execute(trigger))
    async with relay({}) as script, outbox(spool, script):
        first = await posted(spool)
        await until(lambda: script.mails)
        second = await posted(spool, "bob@mg.test")
        await asyncio.sleep(0.5)
        assert len(script.mails) == 1
        assert row(spool, second)["tries"] == 0
        await spool.write(lambda tx: tx.execute("DROP TRIGGER torn"))
        await until(lambda: row(spool, second)["state"] == "SENT")
        assert row(spool, first)["state"] == "SENT"
    assert len(script.mails) == 2


async def test_a_letter_whose_file_is_gone_is_composed_again_and_the_relay_is_not_away(
    spool: Spool,
) -> None:
    async with relay({}) as script, outbox(spool, script):

        def answer(tx) -> int:
            message = mail.accept(tx, accepted("<gone@mg.test>"))
            letters.answer(tx, message=message, recipient=ANN, kind=LetterKind.REFUSED, facts={})
            (plan,) = letters.planned(tx, besides=(), limit=1000)
            letters.composed(tx, plan.id, size=100, body=None, file="gone.eml")
            return plan.id

        number = await spool.write(answer)
        spool.ring("deliver")
        await until(lambda: row(spool, number)["state"] == "PLANNED")
        assert "is gone" in row(spool, number)["last_words"]
        await composed(spool, number, 300)
        await until(lambda: row(spool, number)["state"] == "SENT")
    assert len(script.mails) == 1


async def test_the_operator_drops_a_held_letter_and_no_other(spool: Spool) -> None:
    async with relay({"RCPT": "550 5.1.1 unknown"}) as script, outbox(spool, script):
        number = await posted(spool)
        await until(lambda: row(spool, number)["state"] == "HELD")
    waits = await posted(spool, "bob@mg.test")
    assert not await spool.write(lambda tx: unsent.drop(tx, waits))
    assert await spool.write(lambda tx: unsent.drop(tx, number))
    assert [letter.id for letter in letters.queue(spool.view)] == [waits]
    assert "dropped" in decisions(spool)


# --- caps -------------------------------------------------------------------------------------------

BOB = "bob@mg.test"


def states(post: Spool, numbers: list[int]) -> list[str]:
    return [row(post, number)["state"] for number in numbers]


async def test_letters_over_the_caps_wait_over_a_restart_and_none_is_lost(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with relay({}) as script:
        async with outbox(spool, script, each=2, in_all=4):
            anns = [await posted(spool) for _ in range(4)]
            bobs = [await posted(spool, BOB) for _ in range(3)]
            await until(lambda: states(spool, [*anns, *bobs]).count("SENT") == 4)
        assert states(spool, anns) == ["SENT", "SENT", "WAITING", "WAITING"]
        assert states(spool, bobs) == ["SENT", "SENT", "WAITING"]
        assert row(spool, anns[2])["tries"] == 0
        async with outbox(spool, script, each=2, in_all=4):
            await until(lambda: "delayed what=deliver" in capsys.readouterr().err)
            assert len(script.mails) == 4
        await spool.write(lambda tx: tx.execute("UPDATE letter SET sent = sent - 3601"))
        async with outbox(spool, script, each=2, in_all=4):
            await until(lambda: set(states(spool, [*anns, *bobs])) == {"SENT"})
    assert len(script.mails) == 7


async def test_what_was_refused_has_not_left(spool: Spool) -> None:
    says = {"RCPT": "451 4.7.1 later"}
    async with relay(says) as script:
        async with outbox(spool, script, in_all=1):
            number = await posted(spool)
            await until(lambda: row(spool, number)["refusals"] >= 3)
            says.clear()
            await until(lambda: row(spool, number)["state"] == "SENT")


async def test_results_leave_before_receipts(spool: Spool) -> None:
    async with relay({}) as script:
        answers = [await posted(spool, ANN) for _ in range(2)]
        kinds = {answers[0]: "receipt", answers[1]: "result"}
        for number, kind in kinds.items():
            await spool.write(
                lambda tx, n=number, k=kind: tx.execute(
                    "UPDATE letter SET kind = ? WHERE id = ?", k, n
                )
            )
        async with outbox(spool, script, each=1):
            await until(lambda: row(spool, answers[1])["state"] == "SENT")
            assert row(spool, answers[0])["state"] == "WAITING"
