"""Results of any size, from a real daemon into a Maildir or to a relay, and out again by accat."""

import json
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.client.replies import mbox, within
from tests.daemon import (
    ADA,
    Gateway,
    attached,
    eventually,
    read,
    request,
    running,
    shell,
    text_of,
)
from tests.deliver.relay import Script, relay_beside
from tests.walk.hostile import jobs_of, rows

FILES = '[output]\nfiles = ["*.txt", "*.bin"]'
NOISE = "head -c 150000 /dev/urandom; echo words >&2; seq 60000 > seq.txt"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path) as made:
        made.service("noise", shell(NOISE, FILES))
        made.service("text", shell("seq 5000"))
        yield made


def folder_of(gateway: Gateway) -> Path:
    (folder,) = gateway.spool.glob("jobs/*/*")
    return folder


def all_sent(gateway: Gateway) -> None:
    eventually(lambda: gateway.results() and not gateway.unsent(), 60, gateway.logged)


def comes_back(gateway: Gateway, *mails: object) -> None:
    folder = folder_of(gateway)
    for name, path in (("stdout", "out/stdout"), ("seq.txt", "work/seq.txt")):
        done = within("--name", name, *mails)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == (folder / path).read_bytes()


def test_what_is_over_the_limit_comes_in_parts_and_back(gateway: Gateway, tmp_path: Path) -> None:
    gateway.configure(max_size="60 KiB")
    gateway.start()
    mail = request("noise")
    gateway.send(mail)
    all_sent(gateway)
    letters = gateway.results()
    assert 3 < len(letters) <= 20
    for letter in letters:
        assert (letter["Mailgate-Phase"], letter["Mailgate-Exit"]) == ("COMPLETED", "0")
        assert letter["In-Reply-To"] == mail["Message-ID"]
    assert len({str(x["Message-ID"]) for x in letters}) == len(letters)
    comes_back(gateway, gateway.outgoing / ADA)
    box = tmp_path / "mbox"
    box.write_bytes(mbox(*[path.read_bytes() for path in reversed(gateway.saved())]))
    comes_back(gateway, box)
    (first,) = [x for x in letters if b"part 1 of" in str(x["Subject"]).encode()]
    assert attached(first)["stderr.txt"] == b"words\n"
    # An operator's purge takes what was packed with the job.
    assert [x.name[:12] for x in (gateway.spool / "letters").iterdir()] == [folder_of(gateway).name]


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        ("", {"job.json", "stdout.txt", "stderr.txt"}),
        ("reply: inline\n", {"job.json", "stderr.txt"}),
        ("reply: attach\n", {"job.json", "stdout.txt", "stderr.txt"}),
        ("reply: brief\n", {"job.json"}),
        ("reply: parts=1MiB\n", {"job.json", "stdout.txt", "stderr.txt"}),
    ],
)
def test_a_small_result_is_one_letter_however_it_is_wanted(
    house: Gateway, who: str, wish: str, names: set[str]
) -> None:
    house.send(request("text", wish, sender=who), sender=who)
    house.await_results(1, who)
    (job,) = jobs_of(house, who)
    eventually(lambda: not unsent_of(house, job["id"]), 60, house.logged)
    (letter,) = house.results(who)
    assert json.loads(attached(letter)["job.json"])["mailgate"] == 1
    found = {name for name in attached(letter) if name in names}
    assert found == names
    if "inline" in wish:
        assert "below, as text" in text_of(letter)
    if "brief" not in wish:
        done = within(house.outgoing / who)
        folder = house.spool / "jobs" / job["id"][:2] / job["id"]
        assert done.stdout == (folder / "out/stdout").read_bytes()


def unsent_of(gateway: Gateway, job: str) -> list[object]:
    return rows(gateway, "SELECT 1 FROM letter WHERE job = ? AND state != 'SENT'", job)


def test_mails_of_a_size_are_that_small(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("noise", "reply: parts=40KiB\n"))
    all_sent(gateway)
    assert len(gateway.saved()) > 4
    assert all(path.stat().st_size <= 40 << 10 for path in gateway.saved())
    comes_back(gateway, gateway.outgoing / ADA)


def test_attachments_alone_stay_in_one_mail_and_the_rest_is_named(gateway: Gateway) -> None:
    gateway.configure(max_size="60 KiB")
    gateway.start()
    gateway.send(request("noise", "reply: attach\n"))
    all_sent(gateway)
    (letter,) = gateway.results()
    assert "stdout.txt" not in attached(letter)
    assert "\n  results stdout.txt\n  results\n" in text_of(letter)


def test_a_link_is_answered_with_what_there_is_instead(house: Gateway, who: str) -> None:
    house.send(request("true", "reply: link\n", sender=who), sender=who)
    (letter,) = house.await_letters(1, who)
    words = " ".join(text_of(letter).split())
    assert "results cannot be fetched by a link here" in words
    assert "parts=300KiB" in words
    assert jobs_of(house, who) == []


def by(gateway: Gateway, relay: Script) -> None:
    gateway.configure(
        courier='courier = "smtp"\nretry = ["1s"]',
        more=f'[deliver.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n',
        max_size="100 KiB",
    )


def saved(folder: Path, mails: list[bytes]) -> list[Path]:
    folder.mkdir()
    for number, mail in enumerate(mails):
        (folder / f"{number}.eml").write_bytes(mail)
    return sorted(folder.iterdir())


def test_a_relay_with_a_size_gets_parts_of_that_size(gateway: Gateway, tmp_path: Path) -> None:
    with relay_beside({"EHLO": "250-relay\r\n250 SIZE 50000"}) as relay:
        by(gateway, relay)
        gateway.start()
        gateway.send(request("noise"))
        eventually(lambda: relay.mails and not gateway.unsent(), 60, gateway.logged)
    assert all(len(mail) <= 50_000 for mail in relay.mails)
    # None is cut for less than it must be.
    assert len(relay.mails) <= 14
    comes_back(gateway, *saved(tmp_path / "mails", relay.mails))


@pytest.mark.parametrize("words", ["552 5.3.4 too big", "550 5.2.3 too long", "554 5.7.0 no"])
def test_a_refusal_in_the_middle_cuts_what_is_refused_and_repeats_nothing(
    gateway: Gateway, tmp_path: Path, words: str
) -> None:
    # The relay names no SIZE, takes two parts as they are, and then only smaller ones.
    with relay_beside({"EHLO": "250 relay", "BIG": words}) as relay:
        relay.most, relay.patience = 70_000, 2
        by(gateway, relay)
        gateway.start()
        gateway.send(request("noise"))
        eventually(lambda: relay.mails and not gateway.unsent(), 60, gateway.logged)
    assert relay.refused
    assert sum(len(mail) > 70_000 for mail in relay.mails) in (1, 2)
    names = [str(read(mail)["Message-ID"]) for mail in relay.mails]
    assert len(set(names)) == len(names)
    pieces = [
        (piece["parcel"], piece["offset"], piece["size"])
        for mail in relay.mails
        for piece in json.loads(attached(read(mail))["job.json"])["pieces"]
    ]
    for parcel in {name for name, _, _ in pieces}:
        at = 0
        for _, offset, size in sorted(one for one in pieces if one[0] == parcel):
            assert offset == at
            at += size
    comes_back(gateway, *saved(tmp_path / "mails", relay.mails))


def test_a_relay_that_takes_hardly_anything_gets_a_letter_that_says_what_is_kept(
    gateway: Gateway,
) -> None:
    with relay_beside({"EHLO": "250 relay", "BIG": "552 5.3.4 too big"}) as relay:
        relay.most = 18_000
        by(gateway, relay)
        gateway.start()
        gateway.send(request("noise"))
        eventually(lambda: relay.mails and not gateway.unsent(), 60, gateway.logged)
    told = [read(mail) for mail in relay.mails]
    assert any("kept" in text_of(letter) for letter in told)
    assert any("results parts=" in text_of(letter) for letter in told)
    sums = [stream["sha256"] for stream in json.loads(attached(told[0])["job.json"])["streams"]]
    for letter in told:
        if "results parts=" in text_of(letter):
            assert all(sha256 in text_of(letter) for sha256 in sums)
            assert "unpacks" not in text_of(letter)
    assert len(relay.mails) <= 20


def test_what_is_too_big_however_small_is_held_and_told_and_comes_once_it_may(
    gateway: Gateway, tmp_path: Path
) -> None:
    with relay_beside({"EHLO": "250 relay", "BIG": "552 5.3.4 too big"}) as relay:
        relay.most = 9_000
        by(gateway, relay)
        gateway.start()
        gateway.send(request("noise", "reply: parts=32KiB\n"))
        eventually(lambda: relay.mails and not gateway.unsent(besides="HELD"), 60, gateway.logged)
        job = str(gateway.jobs()[0]["id"])
        told = gateway.run("job", job).stdout.decode()
        held = [line for line in told.splitlines() if " HELD  552 5.3.4 too big" in line]
        assert held
        assert len(gateway.run("queue").stdout.decode().splitlines()) == len(held)
        assert f"held  letter={held[0].split()[1]} 552 5.3.4 too big" in told
        relay.most, so_far = 1 << 40, len(relay.mails)
        ask(gateway, read(relay.mails[0]), "results parts=60KiB")
        eventually(
            lambda: len(relay.mails) > so_far + 3 and not gateway.unsent(besides="HELD"),
            60,
            gateway.logged,
        )
    comes_back(gateway, *saved(tmp_path / "mails", relay.mails))


def ask(gateway: Gateway, letter: EmailMessage, *lines: str) -> None:
    """Answer a letter about a job, as a person would."""
    mail = request("x", "\n".join(lines) + "\n")
    del mail["To"]
    mail["To"] = str(letter["Reply-To"])
    mail["In-Reply-To"] = str(letter["Message-ID"])
    gateway.send(mail)


def test_results_come_again_as_they_are_asked_for(gateway: Gateway, tmp_path: Path) -> None:
    gateway.configure(max_size="60 KiB")
    gateway.start()
    gateway.send(request("noise"))
    all_sent(gateway)
    first = gateway.results()[0]
    of = len(gateway.results())
    third = next(x for x in gateway.saved() if b"part 3 of" in x.read_bytes())
    third.unlink()
    assert b"part 3 of" in within(gateway.outgoing / ADA).stderr
    lines = ["results part 3", "results stderr.txt", "results head 4", "results as attachments"]
    ask(gateway, first, *lines, "results nothing.txt", "results part 99")
    eventually(lambda: len(gateway.saved()) == of + 4 and not gateway.unsent(), 60, gateway.logged)
    comes_back(gateway, gateway.outgoing / ADA)
    answer = next(x for x in gateway.letters() if x["Mailgate-Exit"] is None)
    assert "4 done, 2 errors" in str(answer["Subject"])
    assert "there is no output nothing.txt" in " ".join(text_of(answer).split())
    texts = [text_of(x) for x in gateway.results()]
    assert any("is not text, so none of it is shown" in " ".join(x.split()) for x in texts)
    assert len({str(x["Message-ID"]) for x in gateway.letters()}) == len(gateway.letters())
    # Cut otherwise by now: the part comes that fits the mails that are answered.
    ask(gateway, first, "results parts=40KiB")
    eventually(lambda: len(gateway.saved()) > of + 8 and not gateway.unsent(), 60, gateway.logged)
    before = set(gateway.saved())
    ask(gateway, first, "results part 3")
    eventually(lambda: len(gateway.saved()) == len(before) + 2, 60, gateway.logged)
    subjects = [str(read(x.read_bytes())["Subject"]) for x in {*gateway.saved()} - before]
    assert any(f"part 3 of {of}" in subject for subject in subjects)
    # What nobody else may see nobody else is sent.
    assert not (gateway.outgoing / "bob@example.org").exists()


def test_results_are_not_mailed_once_they_are_gone(gateway: Gateway) -> None:
    gateway.service("text", shell("seq 5000", '[limits]\nkeep = "1s"'))
    gateway.start()
    gateway.send(request("text"))
    all_sent(gateway)
    (result,) = gateway.results()
    eventually(
        lambda: gateway.run("purge").returncode == 0 and gateway.jobs()[0]["phase"] == "ARCHIVED"
    )
    ask(gateway, result, "results")
    (answer,) = [x for x in gateway.await_letters(2) if x["Mailgate-Exit"] is None]
    assert "outputs are gone" in text_of(answer)
