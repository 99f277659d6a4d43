"""A big output streams: memory stays flat, and the processor's time is the encoding's."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SIZE = 75 * 1024 * 1024

CHILD = f"""
import hashlib, resource, sys
from mailgate.model import Exit, Reason, Stream, StreamRole
from mailgate.reply.compose import Writer
from tests.reply.letters import DONE, MIB, out, result

class Counter:
    size = 0
    def write(self, block):
        self.size += len(block)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, writer = sys.argv[1], Writer(None)
small = result(DONE, out(b"x" * 200_000))
writer.compose(small.draft, small.open, Counter())
with open(path, "rb") as source:
    digest = hashlib.file_digest(source, "sha256").hexdigest()
big = Stream(role=StreamRole.STDOUT, name="big.bin", path="big", size={SIZE}, sha256=digest)
made = result(DONE, (big, b""), letter={{"limit": 200 * MIB}})
before, counter = peak(), Counter()
writer.compose(made.draft, lambda _: open(path, "rb"), counter)
print(counter.size, peak() - before)
"""


def test_a_stream_of_75_mib_adds_less_than_10_mib(tmp_path):
    path = tmp_path / "big"
    with path.open("wb") as big:
        big.truncate(SIZE)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, path],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    size, more = map(int, child.stdout.split())
    assert size > SIZE * 4 // 3
    assert more < 10 * 1024 * 1024
