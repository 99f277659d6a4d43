"""Where a measurement runs, and how often."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import load
from tests.daemon import Gateway

ROUNDS = int(os.environ.get("MAILGATE_BENCH_ROUNDS", "3"))
MIB = 1 << 20


@contextmanager
def place(name: str) -> Iterator[Path]:
    """A folder on the same disk for both sides, that other users can enter.

    It goes when all is measured: ext4 looks at each inode that was freed within the last minutes
    before it takes one, so that a round would pay for the files of the round before.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"mailgate-bench-{name}-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yield folder


@contextmanager
def started(folder: Path, **settings: object) -> Iterator[Gateway]:
    gateway = load.gateway(folder, **settings)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()
