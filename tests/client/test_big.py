"""A reply with a 100 MiB attachment streams through in flat memory, from wherever it comes."""

import base64
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.replies import OTHER, Result, command, environment, ordinary, stdout

CHUNK = 57 * 18_396  # whole lines of base64; 100 of them are 100 MiB
COUNT = 100
LIMIT = 60 * 1024  # KiB

# One after another: they share the mail and the disk.
pytestmark = pytest.mark.xdist_group("big")


@pytest.fixture(scope="module")
def reply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("big") / "reply.eml"
    write(path, encoded=lambda chunk: base64.encodebytes(chunk).replace(b"\n", b"\r\n"))
    yield path
    path.unlink()


def write(path: Path, *, encoded, encoding: str = "base64", text: bool = False, count=COUNT):
    """Write a result of ``count`` MiB, piece by piece."""
    chunk = (b"ACGT" * 14 + b"\n") * 18_396 if text else os.urandom(CHUNK)
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(chunk)
    told = {"name": "alignment.fasta", "role": "stdout", "size": CHUNK * count, "attached": True}
    document = {"streams": [{**told, "sha256": digest.hexdigest()}]}
    small = bytes(Result(outputs=(stdout(b"@@", encoding=encoding),), document=document))
    start, end = small.split({"base64": b"QEA="}.get(encoding, b"@@"))
    piece = encoded(chunk)
    with path.open("wb") as mail:
        mail.write(start)
        for _ in range(count):
            mail.write(piece)
        mail.write(end)


def measured(script: str, path: Path, digest: str) -> int:
    """Run a shell script that pipes accat into sha256sum; return accat's peak memory in KiB."""
    peak = path.with_suffix(".peak")
    watch = (
        "import os, resource, subprocess, sys;"
        "status = subprocess.call(sys.argv[2:]);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
        "open(sys.argv[1], 'w').write(str(used)); sys.exit(status)"
    )
    accat = f"{command()[0]} -c \"{watch}\" '{peak}' {' '.join(command())}"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script.replace('accat', accat)} | sha256sum"],
        capture_output=True,
        check=False,
        env={**environment(), "MAIL": str(path), "PATH": os.environ["PATH"]},
        cwd=path.parent,
    )
    assert (ran.stderr, ran.returncode) == (b"", 0)
    assert ran.stdout.split()[0].decode() == digest
    used = int(peak.read_text())
    peak.unlink()
    return used


def digest_in(path: Path) -> str:
    """Return the SHA-256 that the mail's job.json tells."""
    with path.open("rb") as mail:
        head = mail.read(20_000)
    written = head.split(b"Content-Transfer-Encoding: base64\r\n\r\n")[1].split(b"\r\n--")[0]
    return base64.b64decode(written).split(b'"sha256": "')[1][:64].decode()


@pytest.mark.parametrize("script", ['accat "$MAIL"', 'cat "$MAIL" | accat', 'accat < "$MAIL"'])
def test_100_mib_stream_in_under_60_mib(reply: Path, script: str) -> None:
    assert measured(script, reply, digest_in(reply)) < LIMIT


def test_100_mib_stream_out_of_an_mbox_through_a_pipe(reply: Path, tmp_path: Path) -> None:
    box = tmp_path / "mbox"
    with box.open("wb") as written, reply.open("rb") as mail:
        postmark = b"From x Mon Nov 23 09:00:00 2026\n"
        older = Result(
            outputs=(stdout(b"1"),), job=OTHER, document={"times": {"ended": "2026-11-22"}}
        )
        for earlier in (ordinary(), bytes(older)):
            written.write(postmark + earlier + b"\n")
        written.write(postmark)
        while block := mail.read(1 << 20):
            written.write(block)
        written.write(b"\n" + postmark + ordinary())
    assert measured('cat "$MAIL" | accat --last', box, digest_in(reply)) < LIMIT
    box.unlink()


@pytest.mark.parametrize(
    ("encoding", "line_end"), [("8bit", b"\r\n"), ("quoted-printable", b"\r\n"), ("base64", b" \n")]
)
def test_more_than_60_mib_stream_in_less_when_they_were_encoded_anew(
    tmp_path: Path, encoding: str, line_end: bytes
) -> None:
    path = tmp_path / "rewritten.eml"

    def encoded(chunk: bytes) -> bytes:
        plain = base64.encodebytes(chunk) if encoding == "base64" else chunk
        return plain.replace(b"\n", line_end)

    write(path, encoded=encoded, encoding=encoding, text=True, count=64)
    assert measured('accat "$MAIL"', path, digest_in(path)) < LIMIT
    path.unlink()


def write_parts(folder: Path, count: int) -> str:
    """Write a result in that many parts of 14 MiB each; return the SHA-256 of all."""
    chunk = os.urandom(CHUNK * 14)
    piece, whole = hashlib.sha256(chunk).hexdigest(), hashlib.sha256()
    for _ in range(count):
        whole.update(chunk)
    about = {"name": "x.bin", "size": len(chunk) * count, "sha256": whole.hexdigest()}
    place = {"parcel": "x.bin", "offset": 0, "packed": about["size"], "method": "stored"}
    sent = base64.encodebytes(chunk).replace(b"\n", b"\r\n")
    for number in range(count):
        document = {
            "mailgate": 2,
            "part": {"number": number + 1, "of": count, "shipment": "0" * 16},
            "parcels": [about],
            "pieces": [
                {
                    "parcel": "x.bin",
                    "name": "alignment.fasta",
                    "offset": number * len(chunk),
                    "size": len(chunk),
                    "sha256": piece,
                }
            ],
            "streams": [{**about, "role": "stdout", "attached": True, **place}],
        }
        mail = bytes(Result(outputs=(stdout(b"@@"),), document=document))
        (folder / f"{number:03}.eml").write_bytes(mail.replace(b"QEA=", sent))
    return whole.hexdigest()


def test_parts_in_any_order_are_put_together_in_under_60_mib(tmp_path: Path, soak: bool) -> None:
    # Even the fewest are more than may be held at once.
    box = tmp_path / "box"
    for name in ("new", "cur", "tmp"):
        (box / name).mkdir(parents=True)
    digest = write_parts(box / "new", 8 if soak else 5)
    backwards = "$(ls -r box/new/*)"
    postmark = "From x Mon Nov 23 09:00:00 2026"
    mbox = f'(for x in {backwards}; do echo "{postmark}"; cat $x; echo; done) | accat'
    for script in (f"accat {backwards}", "accat box", mbox) if soak else (mbox,):
        assert measured(script, box, digest) < LIMIT
    shutil.rmtree(box)


def test_a_big_stream_goes_into_a_file(reply: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        command("--extract", tmp_path, reply), capture_output=True, check=False, env=environment()
    )
    assert (ran.stderr, ran.returncode) == (b"", 0)
    written = tmp_path / "alignment.fasta"
    with written.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest_in(reply)
    written.unlink()


def test_a_pipe_too_big_for_the_disk_says_where_it_was_kept(reply: Path, tmp_path: Path) -> None:
    limited = f"ulimit -f 1000; cat '{reply}' | {' '.join(command())}"
    ran = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {limited}; echo ${{PIPESTATUS[1]}}"],
        capture_output=True,
        check=False,
        env={**environment(), "TMPDIR": str(tmp_path)},
    )
    assert ran.stdout == b"74\n"
    assert ran.stderr.startswith(
        b"accat: standard input cannot be kept for reading: File too large"
    )
    assert b"TMPDIR may name a folder with room" in ran.stderr
