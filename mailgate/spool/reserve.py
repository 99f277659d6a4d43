"""Room that is set aside for the operator: on a full disk what frees room needs a little itself."""

import os
from collections.abc import Callable
from contextlib import suppress

from mailgate import log
from mailgate.errors import NoSpace, Transient
from mailgate.spool.files import durable, free
from mailgate.spool.store import Folder

SIZE = 1 << 20
"""Bytes: a hundred times what one command writes into the database's log."""

# Where so few bytes are left SQLite's other troubles are that, too.
_NOTHING = 64 << 10


def keep(folder: Folder, *, beyond: int) -> None:
    """Set it aside where it is missing, and ``beyond`` bytes more are left. Raises nothing."""
    # What cannot be had now may be at the next look.
    with suppress(OSError, Transient):
        if not folder.reserve.exists() and free(folder.root) >= SIZE + beyond:
            with durable(folder.reserve) as file:
                # Not zeros: some file systems keep no blocks for them.
                file.write(os.urandom(SIZE))


def spending(
    folder: Folder, work: Callable[[], int], *, then: Callable[[], object] = lambda: None
) -> int:
    """Do what frees room; where the disk is too full for that, once more without the reserve.

    Then room is made at once, by ``then``: somebody else may take what was given up.

    Raises
    ------
    Transient
        It cannot be done now; NoSpace where there was nothing left to give up.
    """
    try:
        return work()
    except Transient as error:
        if not _is_full(folder, error) or not folder.reserve.exists():
            raise
        folder.reserve.unlink(missing_ok=True)
        log.event("spent", file=folder.reserve.name, reason=str(error))
        status = work()
        then()
        return status


def _is_full(folder: Folder, error: Transient) -> bool:
    return isinstance(error, NoSpace) or free(folder.root) < _NOTHING
