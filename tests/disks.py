"""A small disk for the tests: it can be filled, emptied, made bigger and read-only, under a gateway."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import require


class Disk:
    """A tmpfs at ``place``."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all space but ``leave`` bytes."""
        with self._filler.open("ab", buffering=0) as file:
            # The last page may be somebody else's by now.
            with contextlib.suppress(OSError):
                while self.free > leave:
                    file.write(bytes(min(self.free - leave, 1 << 20)))

    def clear(self) -> None:
        """Give back what was taken."""
        self._filler.unlink()

    def grow(self, size: str) -> None:
        """Make it bigger."""
        self._mount("-o", f"remount,size={size}")

    def freeze(self, *, frozen: bool) -> None:
        """Make it read-only, or writable again."""
        self._mount("-o", f"remount,{'ro' if frozen else 'rw'}")

    def _mount(self, *words: str) -> None:
        subprocess.run([require("mount"), *words, self.place], check=True, capture_output=True)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Disk]:
    """Mount a tmpfs of that size (as mount(8) writes it) for as long as the block lasts."""
    place.mkdir()
    words = [require("mount"), "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", place]
    if subprocess.run(words, check=False, capture_output=True).returncode != 0:
        pytest.skip("not found: a tmpfs that can be mounted")
    try:
        yield Disk(place)
    finally:
        # Lazily: a job that was just killed may still be in it.
        subprocess.run([require("umount"), "-l", place], check=True)
