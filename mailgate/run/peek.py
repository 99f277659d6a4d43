"""What a job that runs has printed so far: its own file, on whatever machine it runs."""

from mailgate.run.files import read_little
from mailgate.run.jobdir import Folder


def printed(folder: Folder, most: int) -> bytes:
    """Return the last ``most`` bytes of standard output; none where it cannot be read."""
    try:
        found = read_little(folder.out / "stdout", most, tail=True)
    except OSError:
        return b""
    return found[0] if found else b""
