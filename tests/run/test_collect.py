"""Outputs are regular files of the job, never reached through a link, and named if left out."""

import hashlib
import os
import socket
import threading
from pathlib import Path

import pytest

from mailgate.errors import Permanent, Transient
from mailgate.model import Plan, Stream, StreamRole
from mailgate.run import jobdir
from mailgate.run.collect import MOST_OUTPUTS, Collected, collect, open_stream
from mailgate.saying import Saying
from tests.run.conftest import as_someone
from tests.run.yard import Handle, Yard, handle

SECRET = b"the operator's secret"


@pytest.fixture
def job(tmp_path: Path) -> Handle:
    """Return a job that has ended, with outputs of its own."""
    made = handle(tmp_path / "jobs", Plan(argv=("true",), files=("*.nwk", "sub/*.nwk")))
    jobdir.prepare(made.folder, made.plan, ())
    (made.folder.out / "stdout").write_bytes(b"output\n")
    (made.folder.out / "stderr").write_bytes(b"")
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a file outside the job."""
    (tmp_path / "outside").mkdir()
    path = tmp_path / "outside" / "tree.nwk"
    path.write_bytes(SECRET)
    return path


def collected(job: Handle) -> Collected:
    return collect(job.folder, job.plan, 1)


def told(got: Collected) -> tuple[str, ...]:
    return tuple(map(str, got.left_out))


def names(job: Handle) -> list[str]:
    return [stream.name for stream in collected(job).streams]


def read(job: Handle, stream: Stream) -> bytes:
    with open_stream(job.folder, stream) as file:
        return file.read()


def test_outputs_come_in_a_fixed_order_with_size_and_digest(job: Handle) -> None:
    for name in ("z.nwk", "a.nwk", "ignored.txt"):
        (job.folder.work / name).write_text(name)
    (job.folder.work / "sub").mkdir()
    (job.folder.work / "sub" / "b.nwk").write_text("b")
    for name in ("second", "first", ".dotted"):
        (job.folder.named / name).write_text(name)
    (job.folder.named / "deep").mkdir()
    (job.folder.named / "deep" / "third").write_text("third")
    got = collected(job)
    assert [(s.role, s.name) for s in got.streams] == [
        (StreamRole.STDOUT, "stdout.txt"),
        (StreamRole.STDERR, "stderr.txt"),
        (StreamRole.FILE, "a.nwk"),
        (StreamRole.FILE, "sub/b.nwk"),
        (StreamRole.FILE, "z.nwk"),
        (StreamRole.FILE, ".dotted"),
        (StreamRole.FILE, "deep/third"),
        (StreamRole.FILE, "first"),
        (StreamRole.FILE, "second"),
    ]
    assert got.left_out == ()
    for stream in got.streams:
        content = read(job, stream)
        assert (stream.size, stream.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_collecting_twice_gives_the_same(job: Handle) -> None:
    (job.folder.named / "x").write_text("x")
    assert collected(job) == collected(job)


async def test_what_a_real_job_leaves_is_collected(yard: Yard) -> None:
    made, end = await yard.ran(
        "sh", "-c", 'echo a; echo b >&2; echo c >c.nwk; echo d >"$MAILGATE_OUTPUTS/d e"', files=("*.nwk",)
    )  # fmt: skip
    assert end.code == 0
    got = collected(made)
    assert [(s.name, read(made, s)) for s in got.streams] == [
        ("stdout.txt", b"a\n"), ("stderr.txt", b"b\n"), ("c.nwk", b"c\n"), ("d e", b"d\n"),
    ]  # fmt: skip
    assert got.left_out == ()


# --- links ----------------------------------------------------------------------------------------


def replace(path: Path, target: Path) -> None:
    """Put a link where a file or a folder of the job was."""
    if path.is_dir():
        path.rename(path.with_name(path.name + ".away"))
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("place", "target", "said"),
    [
        ("out/stdout", "tree.nwk", "stdout.txt: it is a link"),
        ("out/stderr", "tree.nwk", "stderr.txt: it is a link"),
        ("work/tree.nwk", "tree.nwk", "tree.nwk: it is a link"),
        ("work/sub", ".", "sub: it is a link"),
        ("work", ".", "work: it is a link"),
        ("out/named/tree.nwk", "tree.nwk", "tree.nwk: it is a link"),
        ("out/named/deep", ".", "deep: it is a link"),
        ("out/named", ".", "out/named: it is a link"),
        ("out", ".", "stdout.txt: it is a link"),
    ],
)
def test_nothing_is_taken_through_a_link(
    job: Handle, secret: Path, place: str, target: str, said: str
) -> None:
    for file in ("stdout", "stderr", "x.nwk"):
        (secret.parent / file).write_bytes(SECRET)
    replace(job.folder.root / place, secret.parent / target)
    got = collected(job)
    assert all(read(job, stream) != SECRET for stream in got.streams)
    assert any(str(one).startswith(said) for one in got.left_out), got.left_out


def test_a_link_in_the_place_of_the_whole_folder_leads_nowhere(job: Handle, tmp_path: Path) -> None:
    other = handle(tmp_path / "jobs", Plan(argv=("true",)))
    jobdir.prepare(other.folder, other.plan, ())
    (other.folder.out / "stdout").write_bytes(SECRET)
    replace(job.folder.root, other.folder.root)
    assert collected(job) == Collected(streams=(), left_out=(Saying("outputs/all-gone"),))


def test_a_folder_swapped_for_a_link_during_the_walk_leads_nowhere(
    job: Handle, secret: Path
) -> None:
    # As a command's forgotten child could: for as long as the walks take, there and back.
    sub, away = job.folder.work / "sub", job.folder.work / "away"
    sub.mkdir()
    (sub / "tree.nwk").write_bytes(b"own")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            sub.rename(away)
            sub.symlink_to(secret.parent)
            sub.unlink()
            away.rename(sub)

    swapper = threading.Thread(target=swap)
    swapper.start()
    digest = hashlib.sha256(SECRET).hexdigest()
    try:
        seen = [collected(job) for _ in range(150)]
    finally:
        done.set()
        swapper.join()
    assert all(stream.sha256 != digest for got in seen for stream in got.streams)


def test_a_collected_stream_is_not_opened_through_a_link_either(job: Handle, secret: Path) -> None:
    (job.folder.work / "sub").mkdir()
    (job.folder.work / "sub" / "tree.nwk").write_bytes(b"x" * len(SECRET))
    stream = collected(job).streams[-1]
    assert stream.path == "work/sub/tree.nwk"
    replace(job.folder.work / "sub", secret.parent)
    with pytest.raises(Permanent, match="cannot be read"):
        open_stream(job.folder, stream)


def test_a_second_name_of_a_file_outside_is_left_out(job: Handle, secret: Path) -> None:
    (job.folder.work / "a.nwk").hardlink_to(secret)
    (job.folder.named / "b").hardlink_to(secret)
    (job.folder.out / "stdout").unlink()
    (job.folder.out / "stdout").hardlink_to(secret)
    got = collected(job)
    assert [stream.name for stream in got.streams] == ["stderr.txt"]
    assert [one.partition(":")[0] for one in told(got)] == ["stdout.txt", "a.nwk", "b"]


def test_second_names_within_the_job_are_taken(job: Handle) -> None:
    (job.folder.work / "a.nwk").write_text("tree")
    (job.folder.work / "scratch").hardlink_to(job.folder.work / "a.nwk")
    (job.folder.named / "b").hardlink_to(job.folder.work / "a.nwk")
    assert names(job) == ["stdout.txt", "stderr.txt", "a.nwk", "b"]


# --- odd files ------------------------------------------------------------------------------------


def test_pipes_sockets_and_devices_hold_nothing_up(job: Handle) -> None:
    os.mkfifo(job.folder.work / "pipe.nwk")
    os.mkfifo(job.folder.named / "pipe")
    (job.folder.out / "stdout").unlink()
    os.mkfifo(job.folder.out / "stdout")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(job.folder.named)  # a socket's path is short
        listening.bind("socket")
        os.chdir("/")
        got = collected(job)
    assert [stream.name for stream in got.streams] == ["stderr.txt"]
    assert told(got) == (
        "stdout.txt: it is no regular file",
        "pipe.nwk: it is no regular file",
        "pipe: it is no regular file",
        "socket: it is no regular file",
    )


def test_missing_output_is_told(job: Handle) -> None:
    (job.folder.out / "stdout").unlink()
    got = collected(job)
    assert [stream.name for stream in got.streams] == ["stderr.txt"]
    assert told(got) == ("stdout.txt: there is no such file",)


def test_a_file_that_may_not_be_read_is_told(job: Handle) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read any file")
    (job.folder.named / "locked").write_text("x")
    (job.folder.named / "locked").chmod(0)
    assert told(collected(job)) == ("locked: it may not be read",)


def test_a_folder_that_may_not_be_entered_keeps_no_other_output_back(anybodys: Path) -> None:
    job = handle(anybodys / "jobs", Plan(argv=("true",)))
    jobdir.prepare(job.folder, job.plan, ())
    (job.folder.named / "first").write_text("x")
    (job.folder.named / "second").hardlink_to(job.folder.named / "first")
    (job.folder.work / "shut").mkdir()
    (job.folder.work / "shut" / "file").touch()
    with as_someone(anybodys):
        (job.folder.work / "shut").chmod(0o400)
        assert names(job) == ["first", "second"]


def test_a_sparse_giant_is_left_out_at_once(job: Handle) -> None:
    with (job.folder.named / "giant").open("wb") as giant:
        giant.truncate(1 << 43)
    (job.folder.named / "small").write_text("x")
    got = collected(job)
    assert [stream.name for stream in got.streams][2:] == ["small"]
    assert told(got) == ("giant: with it the outputs are over 16 GiB",)


def test_too_many_outputs_are_counted(job: Handle) -> None:
    for number in range(MOST_OUTPUTS + 10):
        (job.folder.named / f"{number:04}").touch()
    got = collected(job)
    assert len(got.streams) == MOST_OUTPUTS
    assert told(got) == (f"12 more files: over the limit of {MOST_OUTPUTS}",)


def test_too_many_sentences_are_counted_too(job: Handle) -> None:
    for number in range(150):
        (job.folder.named / f"{number:04}").symlink_to("/etc/passwd")
    got = collected(job)
    assert len(got.left_out) == 101
    assert told(got)[-1].startswith("50 more")


@pytest.mark.parametrize("seen", [b"output\n", None])
def test_fewer_bytes_than_recorded_are_waited_for_and_told_in_the_end(
    job: Handle, seen: bytes | None
) -> None:
    job.run.mkdir(parents=True)
    (job.run / "exit").write_text("status 0\nstdout 70\nstderr 0\nend\n")
    stdout = job.folder.out / "stdout"
    if seen is None:
        stdout.unlink()
    with pytest.raises(Transient, match="Not all that the job wrote is to be seen yet"):
        collected(job)
    stdout.write_bytes(bytes(70))
    assert (collected(job).streams[0].size, told(collected(job))) == (70, ())
    # Whatever the file system shows later than that, it shows never.
    os.utime(job.run / "exit", (0, 0))
    stdout.unlink() if seen is None else stdout.write_bytes(seen)
    why = "there is no such file" if seen is None else "only 7 of its 70 bytes are there"
    assert told(collected(job)) == (f"stdout.txt: {why}",)


# --- names ----------------------------------------------------------------------------------------


def test_names_that_are_alike_are_told_apart(job: Handle) -> None:
    (job.folder.named / "STDOUT.txt").write_text("1")
    (job.folder.named / "stdout-2.txt").write_text("2")
    (job.folder.work / "a.nwk").write_text("3")
    (job.folder.named / "a.nwk").write_text("4")
    got = names(job)
    assert got == ["stdout.txt", "stderr.txt", "a.nwk", "STDOUT-2.txt", "a-2.nwk", "stdout-2-2.txt"]
    assert len({name.casefold() for name in got}) == len(got)


NASTY = [
    b"-rf",
    b"a b",
    b"caf\xe9",
    b"\xff\xfe",
    b"new\nline",
    b"100%",
    b"%2e%2e",
    b"\x1b[31m",
    "e\u202ed".encode(),
    "漢字".encode(),
]


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_shown_safely_and_found_again(job: Handle, name: bytes) -> None:
    (job.folder.named / os.fsdecode(name)).write_bytes(b"content")
    stream = collected(job).streams[-1]
    assert stream.name.isprintable()
    assert stream.path.isprintable()
    stream.path.encode(), stream.name.encode()
    assert read(job, stream) == b"content"


def test_the_service_names_both_outputs(job: Handle) -> None:
    plan = Plan(argv=("true",), stdout="alignment.fasta", stderr="log")
    got = collect(job.folder, plan, 1)
    assert [stream.name for stream in got.streams] == ["alignment.fasta", "log"]


# --- opening again --------------------------------------------------------------------------------


def test_a_stream_that_changed_is_told(job: Handle) -> None:
    stream = collected(job).streams[0]
    (job.folder.out / "stdout").write_bytes(b"longer than it was\n")
    with pytest.raises(Permanent, match="has changed"):
        open_stream(job.folder, stream)


def test_a_stream_that_is_gone_is_told_unless_it_was_empty(job: Handle) -> None:
    full, empty = collected(job).streams
    for file in ("stdout", "stderr"):
        (job.folder.out / file).unlink()
    with pytest.raises(Permanent, match="is gone"):
        open_stream(job.folder, full)
    assert read(job, empty) == b""


def test_no_stream_leads_out_of_the_job(job: Handle, secret: Path) -> None:
    for path in ("../../../outside/tree.nwk", str(secret), "work/../../../../outside/tree.nwk"):
        stream = Stream(role=StreamRole.FILE, name="x", path=path, size=len(SECRET), sha256="")
        with pytest.raises(Permanent):
            open_stream(job.folder, stream)


def test_no_descriptor_is_left_open(job: Handle) -> None:
    (job.folder.named / "x").write_text("x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for stream in collected(job).streams:
        open_stream(job.folder, stream).close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
