"""The Maildir courier."""

import hashlib
import mailbox
import os
import resource
import signal
import stat
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.deliver.maildir import Maildir, file_name, folder_name, with_lf
from mailgate.errors import LetterGone, Unreachable
from mailgate.model import Letter
from tests.deliver.letters import MAIL, letter

LONG = "x" * 190 + "@mg.test.example"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site" / "outgoing"


def files(path: Path, part: str = "new", address: str = "ann@mg.test") -> list[Path]:
    folder = path / address / part
    return sorted(folder.iterdir()) if folder.exists() else []


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("Ann@MG.test", "ann@mg.test"),
        ("jobs+a_b-c.d@mg.test", "jobs+a_b-c.d@mg.test"),
        (".ann@mg.test", "%2Eann@mg.test"),
        ("..", "%2E."),
        ("../../etc/x@mg.test", "%2E./../etc/x@mg.test".replace("/", "%2F")),
        ("a%2Fb@mg.test", "a%252fb@mg.test"),
        ("a\0\n@mg.test", "a%00%0A@mg.test"),
        ('"a b"@mg.test', "%22a%20b%22@mg.test"),
        ("JÖRG@mg.test", "j%C3%B6rg@mg.test"),
        (LONG, hashlib.sha256(LONG.encode()).hexdigest()),
        ("ö" * 67, hashlib.sha256(("ö" * 67).encode()).hexdigest()),
        ("x" * 200, "x" * 200),
    ],
)
def test_an_addresss_folder_has_its_escaped_name(address: str, name: str):
    assert folder_name(address) == name


@given(st.text(min_size=1, max_size=100))
def test_no_address_is_a_path(address: str):
    name = folder_name(address)
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert 0 < len(name.encode()) <= 200


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_addresses_share_no_folder(one: str, other: str):
    assert (folder_name(one) == folder_name(other)) == (one.lower() == other.lower())


# --- writing ----------------------------------------------------------------------------------------


async def test_a_letter_lies_in_new_with_lf_line_ends(path: Path):
    words = await Maildir(path).deliver(letter(recipient="Ann@MG.test"))
    (file,) = files(path)
    assert file.read_bytes() == MAIL.replace(b"\r\n", b"\n")
    assert words == f"ann@mg.test/new/{file.name}"
    assert files(path, "tmp") == files(path, "cur") == []


async def test_nobody_else_may_read_it(path: Path):
    await Maildir(path).deliver(letter())
    (file,) = files(path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (path, path / "ann@mg.test", file.parent, path / "ann@mg.test" / "tmp"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_pythons_mailbox_reads_it(path: Path):
    await Maildir(path).deliver(letter())
    (mail,) = mailbox.Maildir(path / "ann@mg.test")
    assert mail["Subject"] == "one"


async def test_a_big_letter_is_copied_in_little_memory(path: Path, tmp_path: Path):
    big = tmp_path / "letter"
    line = b"QUJD" * 19 + b"\r\n"
    with big.open("wb") as file:
        for _ in range(400):
            file.write(line * 1000)
    tracemalloc.start()
    try:
        await Maildir(path).deliver(letter(big))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (file,) = files(path)
    assert file.stat().st_size == 400_000 * 77
    assert peak < 3_000_000


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"", b"ab\r"]), max_size=20))
def test_line_ends_are_the_same_however_they_are_cut(pieces: list[bytes]):
    assert b"".join(with_lf(pieces)) == b"".join(pieces).replace(b"\r\n", b"\n")


# --- again ------------------------------------------------------------------------------------------


async def test_a_letter_that_is_there_is_not_written_again(path: Path):
    courier = Maildir(path)
    await courier.deliver(letter())
    before = files(path)[0].stat()
    await courier.deliver(letter())
    (file,) = files(path)
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("flags", ["", ":2,", ":2,S", ":2,FRS"])
async def test_a_letter_that_was_read_is_not_written_again(path: Path, flags: str):
    courier = Maildir(path)
    await courier.deliver(letter())
    (file,) = files(path)
    file.rename(path / "ann@mg.test" / "cur" / (file.name + flags))
    await courier.deliver(letter())
    assert files(path) == []
    assert len(files(path, "cur")) == 1


async def test_letters_are_told_apart_by_number_and_message_id(path: Path):
    courier = Maildir(path)
    for number in (1, 11, 111):
        await courier.deliver(letter(number=number))
    assert len(files(path)) == 3


async def test_what_a_crash_left_in_tmp_is_cleaned(path: Path):
    courier = Maildir(path)
    await courier.deliver(letter(number=1))
    tmp = path / "ann@mg.test" / "tmp"
    (tmp / f"{file_name(letter())}.4711").write_bytes(b"half")
    fresh = tmp / f"{file_name(letter(number=8))}.4711"
    old = tmp / f"{file_name(letter(number=9))}.4711"
    foreign = tmp / "1.M2P3.host"
    for file in (fresh, old, foreign):
        file.write_bytes(b"half")
    for file in (old, foreign):
        os.utime(file, (0, 0))
    await courier.deliver(letter())
    assert files(path, "tmp") == sorted([fresh, foreign])
    assert len(files(path)) == 2


async def test_a_first_try_does_not_read_what_is_in_the_mailbox(path: Path):
    courier = Maildir(path)
    await courier.deliver(letter(number=1))
    (path / "ann@mg.test" / "tmp" / f"{file_name(letter())}.4711").write_bytes(b"half")
    await courier.deliver(letter(), again=False)
    assert len(files(path)) == 2
    assert len(files(path, "tmp")) == 1


# --- what cannot be written -------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "tmp", "new", "cur"])
async def test_no_link_leads_out_of_the_path(path: Path, tmp_path: Path, part: str):
    outside = tmp_path / "outside"
    for name in ("tmp", "new", "cur"):
        (outside / name).mkdir(parents=True)
    link = path / "ann@mg.test" / part if part else path / "ann@mg.test"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / part if part else outside)
    with pytest.raises(Unreachable, match=r"the Maildir of ann@mg\.test cannot be written"):
        await Maildir(path).deliver(letter())
    assert [file for file in outside.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("blocked", ["site", "site/outgoing", "site/outgoing/ann@mg.test"])
async def test_a_file_in_the_way_is_no_loss(path: Path, tmp_path: Path, blocked: str):
    obstacle = tmp_path / blocked
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.write_bytes(b"")
    with pytest.raises(Unreachable) as told:
        await Maildir(path).deliver(letter())
    assert str(path) not in str(told.value)
    assert str(path) in told.value.detail
    obstacle.unlink()
    await Maildir(path).deliver(letter())
    assert len(files(path)) == 1


async def test_a_write_that_fails_leaves_nothing(path: Path):
    courier = Maildir(path)
    await courier.deliver(letter(number=1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(Unreachable, match="File too large"):
            await courier.deliver(letter(MAIL * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(files(path)) == 1
    assert files(path, "tmp") == []
    await courier.deliver(letter(MAIL * 100))
    assert len(files(path)) == 2


async def test_a_letter_that_the_spool_has_lost_is_named(path: Path, tmp_path: Path):
    there = tmp_path / "letter"
    there.write_bytes(MAIL)
    lost = letter(there)
    there.unlink()
    with pytest.raises(LetterGone, match="letter 7 is gone"):
        await Maildir(path).deliver(lost)
    assert files(path) == files(path, "tmp") == []


# --- a disk that does not answer --------------------------------------------------------------------


async def test_a_disk_that_hangs_is_away_and_the_letter_comes_once_when_it_answers(
    path: Path,
) -> None:
    # Opening a pipe waits for its other end, as a network's file system does for its server.
    pipe = path.parent / "letter.eml"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    courier = Maildir(path, longest=0.05)
    hanging = Letter(
        id=7, recipient="ann@mg.test", sender="", message_id="<7@gate.mg.test>",
        planned=datetime(2026, 11, 21, tzinfo=UTC), size=len(MAIL), file=str(pipe),
    )  # fmt: skip
    for _ in range(2):
        with pytest.raises(Unreachable, match="does not answer"):
            await courier.deliver(hanging)
    # From here on it answers; whenever that is.
    courier._longest = 60.0
    await courier.deliver(letter(recipient="bob@mg.test", number=8))
    with pipe.open("wb") as end:
        end.write(MAIL)
    await courier.deliver(hanging)
    (came,) = files(path)
    assert came.read_bytes() == MAIL.replace(b"\r\n", b"\n")
    assert not files(path, "tmp")
    courier.close()
