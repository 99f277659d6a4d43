"""What jobs that run have printed so far: their own files, on whatever machine they run."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mailgate.model import JobId
from mailgate.run.collect import open_file
from mailgate.run.jobdir import Folder


def printed(jobs: Path, asked: Iterable[JobId], most: int) -> dict[JobId, bytes]:
    """Return the last ``most`` bytes of each job's standard output; no job whose cannot be read.

    ``jobs`` is the folder of all jobs. Blocks for as long as its disk hangs.
    """
    found = {}
    for job in asked:
        with suppress(OSError):
            found[job] = _tail(Folder(jobs, job), most)
    return found


def _tail(folder: Folder, most: int) -> bytes:
    try:
        opened = open_file(folder, ("out", "stdout"))
    except FileNotFoundError:
        if not folder.root.is_dir():
            raise
        # It has not begun to print.
        return b""
    with os.fdopen(opened, "rb") as file:
        file.seek(max(os.fstat(opened).st_size - most, 0))
        return file.read(most)
