"""Files that hold a secret: who may read them."""

import stat
from pathlib import Path

EXPECTED = "a file that only the gateway's user can read (chmod 600)"
"""What a mistake says that it should be."""


def fault(file: Path) -> str:
    """Say why a file cannot keep a secret, or cannot be read; "" where nothing is wrong."""
    try:
        status = file.stat()
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return f"{file} is no file"
    if status.st_mode & stat.S_IROTH:
        return f"everybody can read {file}"
    return ""
