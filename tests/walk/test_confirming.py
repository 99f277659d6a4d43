"""Mail that nothing vouches for, where its sender may confirm it: what is asked, what runs, what not."""

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.asking import (
    EVE,
    INSIDE,
    answer,
    ask,
    asked_by,
    asking,
    letter_to,
    phases,
    read_all,
    send,
    token_of,
)
from tests.daemon import Gateway, attached, eventually, request, text_of
from tests.walk import hostile


@pytest.fixture(scope="module")
def _asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with asking(tmp_path_factory.mktemp("asking")) as gateway:
        yield gateway


@pytest.fixture
def gate(_asking: Gateway) -> Iterator[Gateway]:
    yield _asking
    hostile.calm(_asking)


def test_a_strangers_request_runs_once_he_has_confirmed_it(gate: Gateway, who: str) -> None:
    send(gate, asked_by(who, b"words of mine", Subject="buy pills", Message_ID="<x.y@z.test>"))
    letter = letter_to(gate, who)
    assert phases(gate, who) == ["PENDING"]
    assert letter["Auto-Submitted"] == "auto-replied"
    assert (letter["In-Reply-To"], letter["References"]) == (None, None)
    said = letter.as_string()
    for stranger in ("pills", "words of mine", "x.y@z", "data"):
        assert stranger not in said
    assert not [line for line in text_of(letter).splitlines() if line.strip() == "confirm"]
    (sender,) = ask(gate, f"SELECT sender FROM letter WHERE recipient = '{who}'")
    assert sender == ("",)

    send(gate, answer(letter, who, "  Confirm \n\nBest wishes\n\n> " + text_of(letter)))
    (result,) = gate.await_results(1, who)
    assert attached(result)["stdout.txt"] == b"words of mine"
    send(gate, answer(letter, who, "confirm"))
    read_all(gate)
    assert phases(gate, who) == ["COMPLETED"]
    assert len(gate.letters(who)) == 2
    (job,) = [job for job in gate.jobs() if job["owner"] == who]
    assert job["how"] == "confirmed"


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("I am on the road until Monday.\n\n> confirm\n> confirm\n", {}),
        ("", {"Subject": "confirm"}),
        ("please do not confirm\n", {}),
        ("I am away.\n\n-----Original Message-----\nFrom: jobs@gate.example.org\n\nconfirm\n", {}),
    ],
)
def test_what_is_not_the_line_alone_starts_nothing(
    gate: Gateway, who: str, text: str, headers: dict[str, str]
) -> None:
    send(gate, asked_by(who))
    letter = letter_to(gate, who)
    quoted = "\n".join(f"> {line}" for line in text_of(letter).splitlines())
    send(gate, answer(letter, who, f"{text}\n{quoted}", **headers))
    # Some quote a letter whole, with no mark at all.
    send(gate, answer(letter, who, f"I am not there.\n\n{text_of(letter)}"))
    read_all(gate)
    assert phases(gate, who) == ["PENDING"]
    assert len(gate.letters(who)) == 1


def test_the_operator_sees_why_an_answer_did_not_confirm(gate: Gateway, who: str) -> None:
    send(gate, asked_by(who))
    letter = letter_to(gate, who)
    missed = answer(letter, who, "yes please\n")
    send(gate, missed)
    read_all(gate)
    why = 'unanswered: no line of its writer\'s own is the word "confirm" alone'
    assert why in gate.run("explain", str(missed["Message-ID"])).stdout.decode()
    eventually(lambda: why.replace('"', '\\"') in gate.logged("read"))
    assert phases(gate, who) == ["PENDING"]
    assert len(gate.letters(who)) == 1


def test_only_whom_the_letter_went_to_can_confirm_and_no_machine(gate: Gateway, who: str) -> None:
    send(gate, asked_by(who))
    letter = letter_to(gate, who)
    for sender, headers in (
        (EVE, {}),
        (who, {"Auto-Submitted": "auto-replied"}),
        (who, {"Precedence": "bulk"}),
    ):
        with pytest.raises(smtplib.SMTPDataError, match=r"5\.7\.1"):
            send(gate, answer(letter, sender, "confirm", **headers))
    guessed = answer(letter, who, "confirm")
    for token in ("", "a" * 20, token_of(letter)[:-1]):
        with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"5\.1\.1"):
            send(gate, guessed, to=f"jobs+confirm.{token}@gate.example.org")
    both = [str(letter["Reply-To"]), "cat@gate.example.org"]
    with pytest.raises(smtplib.SMTPDataError, match="alone"):
        send(gate, guessed, to=both)
    assert phases(gate, who) == ["PENDING"]
    assert f"{token_of(letter)}@" not in gate.logged()


def test_an_address_is_asked_once_a_day_whatever_comes(gate: Gateway, who: str) -> None:
    for number in range(3):
        send(gate, asked_by(who, b"%d" % number))
    read_all(gate)
    assert phases(gate, who) == ["PENDING"] * 3
    letter = letter_to(gate, who)
    send(gate, answer(letter, who.replace("ada", "Ada"), "confirm"))
    (result,) = gate.await_results(1, who)
    assert attached(result)["stdout.txt"] == b"0"
    assert sorted(map(str, phases(gate, who))) == ["COMPLETED", "PENDING", "PENDING"]
    assert len(gate.letters(who)) == 2


def test_an_unclear_request_or_a_dry_run_is_answered_once_it_is_confirmed(
    gate: Gateway, who: str
) -> None:
    send(gate, request("cat", "nonsense: 1\n", sender=who))
    other = f"other.{who}"
    send(gate, request("cat", "dry-run: yes\n", attachments={"data": b"x"}, sender=other))
    for address, subject in ((who, "Not run"), (other, "Dry run")):
        letter = letter_to(gate, address)
        assert "nonsense" not in letter.as_string()
        assert phases(gate, address) == []
        send(gate, answer(letter, address, "confirm"))
        gate.await_letters(2, address)
        assert [x for x in gate.letters(address) if str(x["Subject"]).startswith(subject)]


def test_a_stranger_preempts_no_mail_of_whom_something_vouches_for(gate: Gateway, who: str) -> None:
    name = "<same@example.org>"
    send(gate, asked_by(who, b"forged", Message_ID=name).as_bytes(), to="cat@gate.example.org")
    letter = letter_to(gate, who)
    send(gate, asked_by(who, b"mine", Message_ID=name), source=INSIDE)
    (result,) = gate.await_results(1, who)
    assert attached(result)["stdout.txt"] == b"mine"
    send(gate, asked_by(who, b"mine", Message_ID=name))
    read_all(gate)
    assert sorted(map(str, phases(gate, who))) == ["COMPLETED", "PENDING"]
    assert token_of(letter)


def test_whom_no_service_would_take_is_refused_and_what_looks_automatic_is_not_asked(
    gate: Gateway, who: str
) -> None:
    with pytest.raises(smtplib.SMTPDataError, match="may not use"):
        send(gate, asked_by(EVE))
    with pytest.raises(smtplib.SMTPDataError, match="vouches"):
        send(gate, asked_by(who, Precedence="list"))
    with pytest.raises(smtplib.SMTPDataError, match="automatic"):
        send(gate, asked_by(who, Auto_Submitted="auto-generated"))
    absent = "I am out of the office until Monday.\n"
    send(gate, request("cat", absent, sender=who, attachments={"data": b"x"}))
    read_all(gate)
    assert gate.letters(who) == gate.letters(EVE) == []


def test_an_operator_ends_what_waits_without_a_word_to_the_stranger(
    gate: Gateway, who: str
) -> None:
    send(gate, asked_by(who))
    letter = letter_to(gate, who)
    (job,) = [job for job in gate.jobs() if job["owner"] == who]
    assert gate.run("cancel", str(job["id"])).returncode == 0
    eventually(lambda: phases(gate, who) == ["ABORTED"], 20)
    send(gate, answer(letter, who, "confirm"))
    read_all(gate)
    assert len(gate.letters(who)) == 1
    assert phases(gate, who) == ["ABORTED"]


# --- others who are told --------------------------------------------------------------------------


def watched(who: str, *others: str) -> EmailMessage:
    """A clear request of somebody who names others."""
    body = f"label: secret words\nwatch: {', '.join(others)}\n"
    return request("cat", body, attachments={"data": b"x"}, sender=who)


def test_a_watcher_whom_the_list_names_gets_the_result_and_a_stranger_only_once_he_agrees(
    gate: Gateway, who: str
) -> None:
    bob, zoe = f"bob.{who}", f"zoe.{who.partition('@')[0]}@elsewhere.test"
    send(gate, watched(who, bob, zoe, who), source=INSIDE)
    (own,), (bobs,) = gate.await_results(1, who), gate.await_results(1, bob)
    asked = letter_to(gate, zoe)
    assert "secret words" not in asked.as_string()
    assert str(own["Mailgate-Job"]) in str(asked["Subject"])
    assert len({own["Reply-To"], bobs["Reply-To"], asked["Reply-To"]}) == 3
    assert who in text_of(bobs)
    assert "named you" not in text_of(own)
    job = str(own["Mailgate-Job"])
    told = gate.run("job", job).stdout.decode()
    assert f"{bob}  told" in told
    assert f"{zoe}  asked" in told
    (tags,) = ask(gate, f"SELECT COUNT(DISTINCT tag) FROM letter WHERE job = '{job}'")
    assert tags == (2,)

    send(gate, answer(asked, zoe, "no\n\n> confirm"))
    send(gate, answer(asked, zoe, "confirm"))
    gate.await_results(1, zoe)
    send(gate, answer(asked, zoe, "confirm"))
    read_all(gate)
    eventually(lambda: not gate.unsent())
    assert [len(gate.letters(x)) for x in (who, bob, zoe)] == [1, 1, 2]


def test_nobody_is_asked_for_a_stranger_until_he_has_confirmed(gate: Gateway, who: str) -> None:
    bob, zoe = f"bob.{who}", f"zoe.{who.partition('@')[0]}@elsewhere.test"
    send(gate, watched(who, bob, zoe))
    letter = letter_to(gate, who)
    assert gate.letters(bob) == gate.letters(zoe) == []
    send(gate, answer(letter, who, "confirm"))
    gate.await_results(1, who)
    gate.await_results(1, bob)
    letter_to(gate, zoe)


def test_a_stranger_is_not_mailed_twice_a_day_whoever_names_him(gate: Gateway, who: str) -> None:
    zoe = f"zoe.{who.partition('@')[0]}@elsewhere.test"
    for _ in range(3):
        send(gate, watched(who, zoe, zoe.upper()), source=INSIDE)
    gate.await_results(3, who)
    eventually(lambda: not gate.unsent())
    assert len(gate.letters(zoe)) + len(gate.letters(zoe.upper())) == 1
