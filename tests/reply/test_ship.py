"""Results that no single letter carries: compressed, in parts, or kept; and put together again."""

import gzip
import io
import json
import random
import subprocess
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailgate.model import Carried, LetterKind, Method, Reply
from mailgate.model.parcel import LETTERS
from mailgate.reply.outputs import ways_to
from mailgate.reply.package import Overfull
from mailgate.reply.ship import Shipper
from tests.client.replies import within
from tests.reply.letters import DONE, attachments, err, out, read, result, stream, text
from tests.reply.shipped import WRITER, saved, ship

KIB = 1024
SOME = random.Random(7).randbytes(3 << 20)
LIMIT = {"limit": 60 * KIB}


def noise(size: int) -> bytes:
    return SOME[:size]


def manifest(letter: bytes) -> dict:
    part = next(read(letter).iter_attachments())
    return json.loads(part.get_content())


def test_what_fits_as_it_is_is_no_shipment(tmp_path):
    made = result(DONE, out(b"1\n"), err(b""), letter={"whole": True})
    assert attachments(read(made.composed()))
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_not_written_where_it_is_wanted_whole():
    made = result(DONE, out(noise(200_000)), letter={"whole": True, **LIMIT})
    with pytest.raises(Overfull):
        made.composed()
    many = [stream(f"{n}", b"x") for n in range(201)]
    with pytest.raises(Overfull):
        result(DONE, *many, letter={"whole": True}).composed()


def test_a_text_that_is_too_long_goes_as_gzip_in_one_letter(tmp_path):
    lines = b"".join(b"%d\n" % n for n in range(16_000))
    made = result(DONE, out(lines), err(b"w"), letter=LIMIT, left_out=("x: it is a link",))
    shipped = ship(made, tmp_path)
    (letter,) = shipped.letters()
    assert len(letter) <= 60 * KIB
    first = (
        "Part of what it wrote is attached, compressed where that helps; the rest is named below."
    )
    assert first in " ".join(text(read(letter)).split())
    found = dict(attachments(read(letter)))
    assert gzip.decompress(found["stdout.txt.gz"]) == lines
    assert found["stderr.txt"] == b"w"
    assert "attached as stdout.txt.gz" in text(read(letter))
    # No time and no name stand in it.
    assert found["stdout.txt.gz"][4:8] == bytes(4)


def test_what_is_compressed_already_stays_as_it_is(tmp_path):
    packed = gzip.compress(noise(300_000))
    shipped = ship(result(DONE, out(packed), letter=LIMIT), tmp_path)
    assert [parcel.file for parcel in shipped.shipment.parcels] == [None]
    assert list(tmp_path.iterdir()) == []


def test_many_files_go_in_one_zip(tmp_path):
    files = [stream(f"d/{n}.txt", b"%d\n" % n * 200) for n in range(300)]
    files += [stream("d/noise", noise(5000)), stream("../../up", b"1"), stream("empty", b"")]
    shipped = ship(result(DONE, out(b"1\n"), *files, letter={"limit": 500 * KIB}), tmp_path)
    (letter,) = shipped.letters()
    found = dict(attachments(read(letter)))
    assert set(found) == {"stdout.txt", "outputs.zip"}
    with zipfile.ZipFile(io.BytesIO(found["outputs.zip"])) as archive:
        assert archive.testzip() is None
        assert {about.date_time for about in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("d/17.txt") == b"17\n" * 200
        assert archive.getinfo("d/noise").compress_type == zipfile.ZIP_STORED
        assert "up" in archive.namelist()
        assert not any(name.startswith(("/", "..")) for name in archive.namelist())
    box = saved(tmp_path / "box", [letter])
    for made, content in files:
        if made.size:
            assert within("--name", made.name, *box).stdout == content
    done = within("--extract", tmp_path / "all", *box)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list((tmp_path / "all").iterdir())) == 304
    assert within("--raw", "--name", "d/17.txt", *box).stdout == found["outputs.zip"]


@pytest.mark.parametrize("order", ["as sent", "reversed", "shuffled"])
def test_parts_are_put_together_in_any_order(tmp_path, order):
    streams = [out(noise(150_000)), err(b"words\n"), stream("b/x.bin", noise(200_000)[::-1])]
    lines = b"".join(b"%d\n" % n for n in range(90_000))
    shipped = ship(result(DONE, *streams, stream("l.txt", lines), letter=LIMIT), tmp_path)
    letters = shipped.letters()
    assert 8 < len(letters) <= LETTERS
    assert all(len(letter) <= 60 * KIB for letter in letters)
    for number, letter in enumerate(letters, 1):
        assert read(letter)["Mailgate-Phase"] == "COMPLETED"
        assert read(letter)["Mailgate-Exit"] == "0"
        assert read(letter)["In-Reply-To"] == "<request-1@example.org>"
        assert f"part {number} of {len(letters)}" in read(letter)["Subject"]
        part = manifest(letter)["part"]
        assert (part["number"], part["of"]) == (number, len(letters))
    if order != "as sent":
        letters = letters[::-1]
    if order == "shuffled":
        random.Random(3).shuffle(letters)
    box = saved(tmp_path / "box", letters + letters[2:4])
    for name, content in (
        ("stdout", streams[0][1]),
        ("stderr", b"words\n"),
        ("b/x.bin", streams[2][1]),
        ("l.txt", lines),
    ):
        done = within("--name", name, *box)
        assert (done.returncode, done.stderr, done.stdout == content) == (0, b"", True), name
    assert gzip.decompress(within("--raw", "--name", "l.txt", *box).stdout) == lines


def test_a_person_without_accat_joins_the_pieces_by_their_names(tmp_path):
    content = noise(300_000)
    shipped = ship(result(DONE, out(content), letter=LIMIT), tmp_path)
    found = [one for letter in shipped.letters() for one in attachments(read(letter))]
    pieces = sorted((name, piece) for name, piece in found if name.startswith("stdout.txt.from-"))
    assert b"".join(piece for _, piece in pieces) == content


def test_the_letters_say_how_each_cut_file_is_joined_and_a_shell_does_it(tmp_path):
    content = {"Ada's $HOME (größer).bin": noise(150_000), "b.bin": noise(150_000)[::-1]}
    numbers = b"".join(b"%d\n" % n for n in range(90_000))
    outputs = [stream(name, data) for name, data in content.items()]
    outputs.append(stream("l.txt", numbers))
    letters = ship(result(DONE, out(b"1\n"), *outputs, letter=LIMIT), tmp_path).letters()
    folder = tmp_path / "parts"
    folder.mkdir()
    joined = []
    for letter in letters:
        words = text(read(letter))
        joined.append({line.strip() for line in words.splitlines() if line.startswith("  cat ")})
        pieces = attachments(read(letter))
        cut = {name.rpartition(".from-")[0] for name, _ in pieces if ".from-" in name}
        assert len(joined[-1]) == (3 if letter is letters[0] else len(cut))
        for name, piece in pieces:
            (folder / name).write_bytes(piece)
    assert set().union(*joined) == joined[0]
    assert "Then gunzip unpacks what ends in .gz" in " ".join(text(read(letters[0])).split())
    for line in joined[0]:
        subprocess.run(["/bin/sh", "-c", line], cwd=folder, check=True)
    subprocess.run(["gunzip", "l.txt.gz"], cwd=folder, check=True)
    for name, data in {**content, "l.txt": numbers}.items():
        assert (folder / name).read_bytes() == data


def test_a_missing_part_is_named_with_the_reply_that_fetches_it(tmp_path):
    shipped = ship(result(DONE, out(noise(300_000)), err(b"e"), letter=LIMIT), tmp_path)
    letters = shipped.letters()
    of = len(letters)
    box = saved(tmp_path / "box", [x for n, x in enumerate(letters, 1) if n not in (3, 5)])
    done = within(*box)
    assert (done.returncode, done.stdout) == (75, b"")
    assert done.stderr.decode().splitlines() == [
        f'part 3 of {of} is missing: reply "results part 3"',
        f'part 5 of {of} is missing: reply "results part 5"',
        f"accat: stdout.txt is not whole: 2 of {of} parts are missing;"
        f" reply to another of the {of} mails",
    ]
    box.insert(0, saved(tmp_path / "third", [letters[2]])[0])
    one = f"accat: stdout.txt is not whole: 1 of {of} parts is missing;"
    assert one in within(*box).stderr.decode()
    del box[0]
    # What is whole is to be had all the same.
    assert within("--name", "stderr", *box).stdout == b"e"
    done = within("--extract", tmp_path / "all", *box)
    assert done.returncode == 75
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["stderr.txt"]
    assert within("--no-status", *box).returncode == 75
    assert b'part 3 of %d is missing: reply "results part 3"' % of in within("--list", *box).stdout


def test_without_the_first_part_what_it_holds_is_not_known(tmp_path):
    shipped = ship(result(DONE, out(noise(200_000)), err(b"e"), letter=LIMIT), tmp_path)
    box = saved(tmp_path / "box", shipped.letters()[1:])
    done = within("--name", "stderr", *box)
    assert done.returncode == 75
    assert done.stderr.startswith(b"part 1 of ")


def test_a_damaged_part_is_named_and_a_good_copy_of_it_taken(tmp_path):
    content = noise(200_000)
    letters = ship(result(DONE, out(content), letter=LIMIT), tmp_path).letters()
    at = letters[2].rindex(b"\r\n\r\n") + 5000
    bad = letters[2][:at] + bytes([letters[2][at] ^ 1]) + letters[2][at + 1 :]
    box = saved(tmp_path / "box", [*letters[:2], bad, *letters[3:]])
    done = within(*box)
    assert done.returncode == 65
    words = f'accat: part 3 of {len(letters)} is damaged: reply "results part 3"\n'
    assert done.stderr.decode() == words
    box = saved(tmp_path / "box", [*letters[:2], bad, *letters[3:], letters[2]])
    assert within(*box).stdout == content


def test_parts_cut_for_different_sizes_are_never_joined(tmp_path):
    content = noise(300_000)
    small = ship(result(DONE, out(content), letter=LIMIT), tmp_path)
    large = ship(result(DONE, out(content), letter={"limit": 90 * KIB}), tmp_path)
    assert small.shipment.code != large.shipment.code
    # Enough bytes are there for all of it, but of two different results.
    half = [*small.letters()[:4], *large.letters()[2:]]
    done = within(*saved(tmp_path / "half", half))
    assert (done.returncode, done.stdout) == (75, b"")
    done = within(*saved(tmp_path / "both", [*small.letters()[1:], *large.letters()]))
    assert (done.returncode, done.stdout == content) == (0, True)


def test_a_part_that_is_refused_is_cut_again_and_the_others_stay_valid(tmp_path):
    content = noise(300_000)
    shipped = ship(result(DONE, out(content), letter=LIMIT), tmp_path)
    letters = shipped.letters()
    of = len(letters)
    third = replace(shipped.made.draft, limit=30 * KIB)
    carried = manifest(letters[2])
    assert carried["part"]["number"] == 3

    draft = replace(
        third,
        kind=LetterKind.PART,
        carried=Carried(shipment=shipped.shipment, part=3, of=of, pieces=shipped.parts[2]),
    )
    cuts = Shipper(WRITER, tmp_path).smaller(draft, shipped.made.open)
    assert len(cuts) in (2, 3)
    numbers = [3, *range(of + 1, of + len(cuts))]
    anew = [
        shipped.letter(number, pieces, of + len(cuts) - 1)
        for number, pieces in zip(numbers, cuts, strict=True)
    ]
    assert all(len(letter) <= 30 * KIB for letter in anew)
    box = saved(tmp_path / "box", [*letters[:2], *anew, *letters[3:]])
    assert within(*box).stdout == content
    # The refused one may have come all the same.
    assert within(*saved(tmp_path / "more", [*letters, *anew])).stdout == content
    done = within(*saved(tmp_path / "less", [*letters[:2], *anew[:-1], *letters[3:]]))
    assert done.stderr.splitlines()[0].endswith(b'reply "results part %d"' % numbers[-1])
    same = replace(draft, limit=60 * KIB)
    assert Shipper(WRITER, tmp_path).smaller(same, shipped.made.open) is None


def parts_of(size: int, folder: Path) -> int:
    shipped = ship(result(DONE, out(noise(size)), letter={"limit": 40 * KIB}), folder)
    return len(shipped.parts) if shipped else 0


def test_twenty_letters_go_and_twenty_one_do_not(tmp_path):
    # The greatest sizes that so many letters carry, found by halving.
    def most(letters: int) -> int:
        fits, over = 10_000, 3 << 20
        while over - fits > 1:
            middle = (fits + over) // 2
            fits, over = (
                (middle, over) if 0 < parts_of(middle, tmp_path) <= letters else (fits, middle)
            )
        return fits

    size = most(20)
    assert parts_of(size, tmp_path) == 20
    assert parts_of(size - 30_000, tmp_path) == 19
    assert parts_of(size + 1, tmp_path) == 0
    asked = result(DONE, out(noise(size + 1)), letter={"limit": 40 * KIB}, reply=Reply.PARTS)
    assert len(ship(asked, tmp_path).parts) == 21


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(-2, 2),
    st.integers(33, 80),
    st.booleans(),
)
def test_every_size_comes_back_whatever_the_border(parts, border, limit, text_too):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        room = limit * KIB * 57 // 78
        content = noise(max(0, room * parts + border * 57))
        streams = [out(content), err(b"e" * abs(border))]
        streams += [stream("t.txt", b"ACGT\n" * 40_000)] if text_too else []
        shipped = ship(result(DONE, *streams, letter={"limit": limit * KIB}), folder)
        letters = shipped.letters()
        assert all(len(letter) <= limit * KIB for letter in letters)
        box = saved(folder / "box", letters)
        assert within(*box).stdout == content
        if text_too:
            assert within("--name", "t.txt", *box).stdout == b"ACGT\n" * 40_000


def test_composed_again_every_part_has_the_same_bytes(tmp_path):
    lines = b"".join(b"%d %d\n" % (n, n * n) for n in range(60_000))
    files = [stream(f"{n}.txt", lines[n:]) for n in range(12)]
    made = result(DONE, out(lines), *files, letter={"limit": 400 * KIB})
    (tmp_path / "again").mkdir()
    first, again = (ship(made, folder) for folder in (tmp_path, tmp_path / "again"))
    assert {parcel.members[0].method for parcel in first.shipment.parcels} == {
        Method.GZIP,
        Method.DEFLATE,
    }
    assert first.letters() == again.letters()


def test_a_zip_of_too_much_holds_the_small_ones(tmp_path):
    files = [stream(f"{n}.bin", SOME[n * 1000 : n * 1000 + 1000]) for n in range(20)]
    files += [stream(f"big{n}.bin", noise(1_500_000)) for n in range(2)]
    shipped = ship(result(DONE, out(b"1\n"), *files, letter={"limit": 60 * KIB}), tmp_path)
    letters = shipped.letters()
    assert len(letters) <= LETTERS
    listed = within("--list", *saved(tmp_path / "box", letters)).stdout.decode().splitlines()
    assert sum("kept at the gateway" in line for line in listed) == 2
    assert "big0.bin" in text(read(letters[0]))
    # Twenty mails of 60 KiB cannot hold it, whoever asks for it by its name.
    assert "  results parts=60KiB\n" in text(read(letters[0]))
    assert "  results big0.bin\n" not in text(read(letters[0]))


@pytest.mark.parametrize(
    ("limit", "sizes", "reply", "ways"),
    [
        (25 << 20, [250 << 20, 9 << 30], Reply.FULL, ("a", False, "")),
        (25 << 20, [600 << 20], Reply.FULL, ("", False, "25600KiB")),
        (25 << 20, [9 << 30], Reply.FULL, ("", False, "")),
        (20 << 10, [100 << 10, 1 << 20], Reply.ATTACH, ("a", False, "32KiB")),
        (20 << 10, [100 << 10], Reply.ATTACH, ("a", True, "32KiB")),
        # Smaller mails were asked for than there can be.
        (40 << 10, [20 << 20], Reply.PARTS, ("", False, "176KiB")),
    ],
)
def test_only_a_reply_is_named_that_can_fetch_what_is_kept(limit, sizes, reply, ways):
    streams = tuple(
        replace(stream(name, b"")[0], size=size) for name, size in zip("ab", sizes, strict=False)
    )
    about = replace(result(DONE).draft.job, streams=streams, reply=reply, part=40 << 10)
    found = ways_to(about, [False] * len(sizes), limit)
    assert (found["by_name"], found["by_all"], found["part_size"]) == ways


def test_what_no_mails_carry_names_whom_to_ask():
    made = result(DONE, stream("huge.bin", b"x"))
    job = replace(made.draft.job, streams=(replace(made.draft.job.streams[0], size=9 << 40),))
    words = text(read(replace(made, draft=replace(made.draft, job=job)).composed()))
    assert "write to postmaster@gate.example.org" in " ".join(words.split())
    assert "results huge.bin" not in words


def test_inline_text_stands_in_the_mail_and_comes_back_byte_for_byte(tmp_path):
    for content in (b"a\nb\n", b"no end", b"\n\n", "größe\t= 1\n.\nFrom x\n--\n".encode()):
        made = result(DONE, out(content), err(b""), reply=Reply.INLINE)
        letter = made.composed()
        part = next(p for p in read(letter).walk() if p.get_filename() == "stdout.txt")
        assert part.get_content_disposition() == "inline"
        assert part.get_payload(decode=True).replace(b"\r\n", b"\n") == content
        (path,) = saved(tmp_path / "box", [letter])
        assert within(path).stdout == content


@pytest.mark.parametrize("content", [b"\x1b[2J", b"a\r\nb", b"\xff", b"", b"x\n" * 40_000])
def test_what_is_no_small_text_is_attached(content):
    letter = read(result(DONE, out(content), reply=Reply.INLINE).composed())
    part = next(p for p in letter.walk() if p.get_filename() == "stdout.txt")
    assert part.get_content_disposition() == "attachment"


def test_a_packed_stream_that_unpacks_to_more_than_was_said_is_cut_off(tmp_path):
    lines = bytes(500_000)
    (letter,) = ship(result(DONE, out(lines), letter=LIMIT), tmp_path).letters()
    bomb = letter.replace(b'"size": 500000', b'"size": 4000')
    (path,) = saved(tmp_path / "box", [bomb])
    done = within(path)
    assert done.returncode == 65
    assert len(done.stdout) <= 4000
    done = within("--extract", tmp_path / "all", path)
    assert done.returncode == 65
    assert list((tmp_path / "all").iterdir()) == []


def test_packed_names_lead_out_of_no_folder(tmp_path):
    files = [stream("../../../evil", b"1" * 60_000), stream("/etc/x", b"2" * 60_000)]
    shipped = ship(result(DONE, out(b""), *files, letter={"limit": 20 * KIB}), tmp_path)
    box = saved(tmp_path / "box", shipped.letters())
    for words in ((), ("--raw",)):
        target = tmp_path / f"all{len(words)}"
        assert within(*words, "--extract", target, *box).returncode == 0
        assert len(list(target.iterdir())) == 3
        assert all(path.is_file() for path in target.iterdir())
    assert not (tmp_path.parent / "evil").exists()
