"""Acknowledged last: what was said to be safe had been forced to the disk, as the kernel was asked."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ADA, TRUE, Gateway, eventually, request, running
from tests.servers import require

SYNCS = re.compile(r"^(\d+) +f(?:data)?sync\(\d+<(.*?)>(\) += 0)?")
RESUMED = re.compile(r"^(\d+) +<\.\.\. f(?:data)?sync resumed>\) += 0")
SAID = re.compile(r'sendto\(.*"(354|250 2\.0\.0 taken)')


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose every fsync and reply is written down."""
    strace = [require("strace"), "-D", "-f", "--seccomp-bpf", "-y", "-qq", "-e", "signal=none"]
    strace += ["-e", "trace=fsync,fdatasync,sendto"]
    if subprocess.run([*strace, "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("the kernel lets no process look into another here")
    with running(tmp_path) as made:
        made.service("true", TRUE)
        made.under = (*strace, "-o", str(tmp_path / "calls"), "--")
        yield made


def history(gateway: Gateway) -> list[str]:
    """What was forced to the disk (its path below the folder), and what was said, in order."""
    found: list[str] = []
    begun: dict[str, str] = {}
    for line in (gateway.folder / "calls").read_text(errors="replace").splitlines():
        if sync := SYNCS.match(line):
            path = sync[2].removeprefix(f"{gateway.folder}/")
            if sync[3]:
                found.append(path)
            else:
                begun[sync[1]] = path
        elif resumed := RESUMED.match(line):
            found.append(begun.pop(resumed[1]))
        elif said := SAID.search(line):
            found.append(said[1])
    return found


def between(found: list[str], number: int) -> list[str]:
    """What was forced to the disk between the question for a mail and the answer to it."""
    asked = [at for at, what in enumerate(found) if what == "354"][number]
    return found[asked : found.index("250 2.0.0 taken", asked)]


def test_what_counts_as_taken_or_sent_is_on_the_disk(gateway: Gateway) -> None:
    gateway.start()
    gateway.send(request("true"))
    # Whatever is committed for one would stand between what is done for the other.
    eventually(lambda: gateway.logged("sent"), 30, gateway.logged)
    gateway.send(request("true", attachments={"big": b"x" * (1 << 20)}))
    gateway.await_results(2)
    assert gateway.stop() == 0
    found = history(gateway)
    small, big = (between(found, number) for number in range(2))
    assert "spool/spool.db-wal" in small
    at = [bool(re.fullmatch("spool/mail/[0-9a-f]+", what)) for what in big].index(True)
    assert big.index("spool/mail", at) < big.index("spool/spool.db-wal", at)
    here = f"outgoing/{ADA}"
    at = [what.startswith(f"{here}/tmp/") for what in found].index(True)
    assert found.index("spool/spool.db-wal", found.index(f"{here}/new", at))
