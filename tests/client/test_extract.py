"""--extract writes all attached streams into a folder, and nowhere else."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.replies import Output, Result, accat, command, environment, stderr, stdout, within

TREE = b"(a,b);"


@pytest.fixture
def saved(tmp_path: Path):
    def save(*outputs: Output, **how) -> Path:
        path = tmp_path / "saved.eml"
        path.write_bytes(bytes(Result(outputs=outputs, **how)))
        return path

    return save


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_attached_streams_are_written_and_told(tmp_path: Path, saved) -> None:
    path = saved(
        stdout(b"x" * 1500),
        stderr(),
        Output(name="big", content=b"?" * 5000, attached=False),
        Output(name="guide.nwk", content=TREE),
        code=3,
        phase="ERROR",
    )
    ran = within("--extract", tmp_path / "deep" / "new", path)
    assert ran.returncode == 3
    folder = tmp_path / "deep" / "new"
    expected = {"alignment.fasta": b"x" * 1500, "stderr.txt": b"", "guide.nwk": TREE}
    assert _files(folder) == expected
    assert ran.stdout.decode().splitlines() == [
        f"{folder}/alignment.fasta  1.5 KiB",
        f"{folder}/stderr.txt  0 bytes",
        f"{folder}/guide.nwk  6 bytes",
    ]
    assert ran.stderr.startswith(b"accat: big (4.9 KiB) is not in the mail: it is kept at the")


HOSTILE = [
    "../escaped", "../../escaped", "/tmp/escaped", "a/b", "a\\b", "..", ".", "", ".bashrc", "-rf",
    "--", "a\x00b", "a\nb", "\x1b[31mred", "a\u202eb", "~", "x" * 400, "\u00e4" * 300 + ".txt",
    "\ud800", "CON", "a b", "...", "a.b." + "c" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_the_folder(tmp_path: Path, saved, name: str) -> None:
    # The part's own name is another: the manifest's counts.
    path = saved(Output(name=name, content=TREE, naming="attachment"))
    top = tmp_path / "top"
    ran = within("--extract", top / "into", path)
    assert ran.stdout.count(b"\n") == 1
    assert [each.name for each in top.iterdir()] == ["into"]
    ((written, content),) = _files(top / "into").items()
    assert content == TREE
    assert written[0] not in ".-"
    assert written.isprintable()
    assert b"\x1b" not in ran.stdout


@given(name=st.text())
def test_any_name_makes_one_file_in_the_folder(tmp_path_factory, name: str) -> None:
    top = tmp_path_factory.mktemp("any")
    (top / "saved").write_bytes(
        bytes(Result(outputs=(Output(name=name, content=TREE, naming="attachment"),)))
    )
    ran = within("--extract", top / "into", top / "saved")
    assert (ran.stderr, ran.returncode) == (b"", 0)
    assert sorted(each.name for each in top.iterdir()) == ["into", "saved"]
    assert list(_files(top / "into").values()) == [TREE]


def test_nothing_is_overwritten(tmp_path: Path, saved) -> None:
    path = saved(stdout(b"new"), stderr(b"!"))
    folder = tmp_path / "into"
    folder.mkdir()
    (folder / "alignment.fasta").write_bytes(b"old")
    (folder / "stderr.txt").mkdir()
    ran = within("--extract", folder, path)
    assert (folder / "alignment.fasta").read_bytes() == b"old"
    assert (folder / "alignment-2.fasta").read_bytes() == b"new"
    assert (folder / "stderr-2.txt").read_bytes() == b"!"
    assert f"{folder}/alignment-2.fasta  3 bytes  (was alignment.fasta)" in ran.stdout.decode()
    within("--extract", folder, path)
    assert (folder / "alignment-3.fasta").read_bytes() == b"new"


def test_streams_named_alike_all_come_out(tmp_path: Path, saved) -> None:
    outputs = [Output(name="a.txt", content=bytes([each])) for each in b"123"]
    within("--extract", tmp_path / "into", saved(*outputs))
    assert _files(tmp_path / "into") == {"a.txt": b"1", "a-2.txt": b"2", "a-3.txt": b"3"}


def test_links_in_the_folder_are_not_followed(tmp_path: Path, saved) -> None:
    folder = tmp_path / "into"
    folder.mkdir()
    target = tmp_path / "target"
    (folder / "alignment.fasta").symlink_to(target)
    (folder / "stderr.txt").symlink_to(tmp_path)
    os.mkfifo(folder / "guide.nwk")
    tree = Output(name="guide.nwk", content=TREE)
    assert within("--extract", folder, saved(stdout(b"new"), stderr(b"!"), tree)).returncode == 0
    assert not target.exists()
    assert (folder / "alignment-2.fasta").read_bytes() == b"new"
    assert (folder / "guide-2.nwk").read_bytes() == TREE


def test_the_folder_itself_may_be_a_link(tmp_path: Path, saved) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    within("--extract", tmp_path / "link", saved(stdout(b"new")))
    assert _files(tmp_path / "real") == {"alignment.fasta": b"new"}


def test_of_a_damaged_stream_nothing_stays_and_the_others_come_out(tmp_path: Path, saved) -> None:
    damaged = [
        Output(name="a.txt", content=b"aaaa", sent=b"bbbb"),
        Output(name="b.bin", content=os.urandom(3_000_000), sent=bytes(3_000_000)),
    ]
    path = saved(stdout(b"new"), *damaged, Output(name="guide.nwk", content=TREE))
    ran = within("--extract", tmp_path / "into", path)
    assert ran.returncode == 65
    assert ran.stderr.count(b"\n") == 1
    assert b"a.txt is damaged" in ran.stderr
    assert b"b.bin is damaged" in ran.stderr
    assert _files(tmp_path / "into") == {"alignment.fasta": b"new", "guide.nwk": TREE}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, saved) -> None:
    path = saved(stdout(b"new"))
    ran = within("--extract", path, path)
    assert (ran.stdout, ran.returncode) == (b"", 73)
    assert ran.stderr.endswith(b"saved.eml cannot be made: File exists\n")


def test_files_get_the_rights_that_the_umask_leaves(tmp_path: Path, saved) -> None:
    old = os.umask(0o027)
    try:
        accat("--extract", tmp_path / "into", saved(stdout(b"new")))
    finally:
        os.umask(old)
    assert (tmp_path / "into" / "alignment.fasta").stat().st_mode & 0o777 == 0o640


def test_a_reader_that_stops_loses_no_file(tmp_path: Path, saved) -> None:
    names = [f"{n}.txt" for n in range(30)]
    path = saved(*(Output(name=name, content=b"x") for name in names))
    read, write = os.pipe()
    os.close(read)
    try:
        words = command("--extract", tmp_path / "out", path)
        subprocess.run(words, stdout=write, env=environment(), check=False, timeout=60)
    finally:
        os.close(write)
    assert sorted(_files(tmp_path / "out")) == sorted(names)
