"""The mark in the folder of all jobs: a small file that names the gateway whose jobs they are."""

import os
from dataclasses import dataclass
from pathlib import Path

from mailgate.errors import Transient
from mailgate.model import MARK
from mailgate.run.files import read_little

_MARK_READ = 200


@dataclass(frozen=True, slots=True)
class Mark:
    """What the folder of all jobs, ``jobs``, has to hold to be this gateway's."""

    jobs: Path
    mark: str | None

    def check(self) -> None:
        """See that the folder is there right now; reads a small file.

        Raises
        ------
        Transient
            It is not.
        """
        try:
            there = read(self.jobs)
        except OSError as error:
            raise Transient("The folder of the jobs cannot be read.", detail=str(error)) from error
        if there is None or there != self.mark:
            raise Transient("The folder of the jobs is not there.", detail=str(self.jobs))


def read(jobs: Path) -> str | None:
    """Return the mark that is there, None for none; raises OSError."""
    found = read_little(jobs / MARK, _MARK_READ)
    return found[0].decode("utf-8", "replace").strip() if found is not None else None


def write(jobs: Path, mark: str) -> None:
    """Write the mark, whole, unless another gateway has just done so."""
    part = jobs / f".{MARK}.{os.getpid()}"
    part.write_text(f"{mark}\n", encoding="ascii")
    try:
        os.link(part, jobs / MARK)
    except FileExistsError:
        # Somebody was faster: the next look tells who.
        return
    finally:
        part.unlink()
