"""Messages in a real database: taken, read once, held, explained."""

import pytest

from mailgate.model import How, Identity, LetterKind
from mailgate.spool import holds, letters, mail
from mailgate.spool.database import Connection, Tx
from mailgate.spool.explain import explain
from mailgate.spool.store import Folder
from mailgate.spool.tables import Errand
from tests.spool.made import ADA, accepted


def take(spool: Connection, taken: mail.Accepted) -> mail.Waiting:
    with spool.transaction() as tx:
        number = mail.accept(tx, taken)
    waiting = mail.fetch(spool.view, number)
    assert waiting is not None
    return waiting


def test_a_taken_message_waits_with_its_bytes(spool: Connection) -> None:
    waiting = take(spool, accepted())
    assert waiting.body == b"hello"
    assert [name for _, _, name in waiting.errands] == ["align"]
    assert mail.waiting(spool.view, besides=(), limit=9) == [waiting.id]
    assert mail.waiting(spool.view, besides={waiting.id}, limit=9) == []


def test_a_message_acts_once_for_each_recipient_and_identity(spool: Connection) -> None:
    first, again = take(spool, accepted()), take(spool, accepted())
    eve = Identity(address="eve@example.org", how=How.NETWORK)
    hers = take(spool, accepted(identity=eve))
    with spool.transaction() as tx:
        assert mail.first_act(tx, first, first.errands[0][0], "align", "c1") is None
        assert mail.first_act(tx, again, again.errands[0][0], "align", "c2") == (
            "<1@example.org>",
            "c1",
        )
        assert mail.first_act(tx, again, again.errands[0][0], "blast", "c2") is None
        assert mail.first_act(tx, hers, hers.errands[0][0], "align", "c3") is None


def test_an_identity_acts_once_however_its_address_is_spelled(spool: Connection) -> None:
    first = take(spool, accepted())
    loud = Identity(address="Ada@example.org", how=How.NETWORK)
    again = take(spool, accepted(identity=loud))
    assert again.identity.address == "Ada@example.org"
    with spool.transaction() as tx:
        mail.first_act(tx, first, first.errands[0][0], "align", "c1")
        assert mail.first_act(tx, again, again.errands[0][0], "align", "c2") == (
            "<1@example.org>",
            "c1",
        )


def test_the_same_errand_may_claim_its_act_again_after_a_crash(spool: Connection) -> None:
    waiting = take(spool, accepted())
    with spool.transaction() as tx:
        for _ in range(2):
            assert mail.first_act(tx, waiting, waiting.errands[0][0], "align", "c1") is None


def test_an_operation_that_fails_leaves_no_row(spool: Connection) -> None:
    def broken(tx: Tx) -> None:
        mail.accept(tx, accepted())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), spool.transaction() as tx:
        broken(tx)
    assert mail.waiting(spool.view, besides=(), limit=9) == []


def test_held_mail_is_listed_shown_and_released(spool: Connection, folder: Folder) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, accepted(held="Precedence: bulk"))
    (held,) = holds.held(spool.view)
    assert (held.sender, held.key, held.reason) == (
        ADA.address,
        "<1@example.org>",
        "Precedence: bulk",
    )
    assert b"".join(holds.raw(spool.view, folder, held.id) or ()) == b"hello"
    assert mail.waiting(spool.view, besides=(), limit=9) == []
    with spool.transaction() as tx:
        assert holds.release(tx, held.id) is None
    assert len(mail.waiting(spool.view, besides=(), limit=9)) == 1
    with spool.transaction() as tx:
        assert "is held" in (holds.release(tx, held.id) or "")


def test_a_held_mail_is_one_line_under_its_messages_number_whatever_it_asks_for(
    spool: Connection,
) -> None:
    both = [(Errand.REQUEST, "align"), (Errand.REQUEST, "blast")]
    with spool.transaction() as tx:
        mail.accept(tx, accepted("<1@x>", held="List-Id", errands=both))
        second = mail.accept(tx, accepted("<2@x>", held="List-Id", errands=both))
        third = mail.accept(
            tx,
            accepted("<3@x>", held="List-Id", errands=[(Errand.POSTMASTER, "postmaster"), *both]),
        )
    listed = [(held.id, held.recipient, held.reason) for held in holds.held(spool.view)]
    assert listed[1:] == [
        (second, "align, blast", "List-Id"),
        (third, "postmaster, align, blast", "List-Id"),
    ]
    with spool.transaction() as tx:
        assert holds.release(tx, second) is None
        assert holds.release(tx, third) is None
    assert [name for *_, name in taken(spool, second).errands] == ["align", "blast"]
    assert [name for *_, name in taken(spool, third).errands] == ["align", "blast"]
    # What it says to the postmaster is still there to read.
    assert [(held.id, held.recipient) for held in holds.held(spool.view)][1:] == [
        (third, "postmaster")
    ]
    with spool.transaction() as tx:
        assert holds.delete(tx, third) is None
    assert len(taken(spool, third).errands) == 2


def taken(spool: Connection, message: int) -> mail.Waiting:
    waiting = mail.fetch(spool.view, message)
    assert waiting is not None
    return waiting


def test_the_pipe_is_not_explained_as_a_network(spool: Connection) -> None:
    take(spool, accepted(door="pipe"))
    ((_, sentence), *_) = explain(spool.view, "<1@example.org>")
    assert sentence.endswith("known by the trusted pipe")


def test_mail_to_the_postmaster_is_held_and_not_released(spool: Connection) -> None:
    with spool.transaction() as tx:
        mail.accept(tx, accepted(errands=[(Errand.POSTMASTER, "postmaster")], identity=None))
    (held,) = holds.held(spool.view)
    with spool.transaction() as tx:
        assert "for you to read" in (holds.release(tx, held.id) or "")
        assert holds.delete(tx, held.id) is None
    assert holds.held(spool.view) == []


def test_explain_tells_every_decision_in_order(spool: Connection) -> None:
    with spool.transaction() as tx:
        tx.note("refused", key="<1@example.org>", detail="too big")
    waiting = take(spool, accepted())
    with spool.transaction() as tx:
        mail.settle(tx, waiting.errands[0][0], reason="duplicate")
    told = [sentence for _, sentence in explain(spool.view, "<1@example.org>")]
    assert told[0] == "refused: too big"
    assert told[1].startswith("accepted as message 1: through smtp, 5 bytes, from ada@example.org")
    assert told[2] == "DONE for align: duplicate"
    assert explain(spool.view, "<2@example.org>") == []


def test_a_hold_and_its_reason_are_explained_once_and_after_the_release_too(
    spool: Connection,
) -> None:
    with spool.transaction() as tx:
        number = mail.accept(tx, accepted(held="Precedence: bulk"))
    told = [words for _, words in explain(spool.view, "<1@example.org>")]
    assert told[1:] == ["held: for align: Precedence: bulk"]
    with spool.transaction() as tx:
        assert holds.release(tx, number) is None
    told = [words for _, words in explain(spool.view, "<1@example.org>")]
    assert "held: for align: Precedence: bulk" in told
    assert "released" in told


def test_mail_that_is_held_later_is_explained_with_that_time(spool: Connection) -> None:
    waiting = take(spool, accepted())
    with spool.transaction() as tx:
        mail.hold(tx, waiting.id, "it cannot be read")
    (taken, _), (held, words) = explain(spool.view, waiting.key)
    assert "it cannot be read" in words
    assert held > taken


def test_a_held_letter_is_explained_with_the_time_of_its_holding(spool: Connection) -> None:
    waiting = take(spool, accepted())
    with spool.transaction() as tx:
        letters.answer(
            tx, message=waiting.id, recipient=ADA.address, kind=LetterKind.TEST, facts={}
        )
    with spool.transaction() as tx:
        (row,) = tx.all("SELECT id FROM letter")
        number = int(row["id"])
        tx.execute(
            "UPDATE letter SET tries = 1, state = 'WAITING', size = 1, next_try = 0 WHERE id = ?",
            number,
        )
    with spool.transaction() as tx:
        letters.set_aside(tx, number, "550 no")
    (at,) = [at for at, words in explain(spool.view, waiting.key) if "HELD after" in words]
    (event,) = spool.view.all("SELECT at FROM event WHERE verb = 'held'")
    assert at.timestamp() == pytest.approx(event["at"], abs=0.001)
