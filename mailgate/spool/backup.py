"""A consistent copy of a live spool.

The database first: a snapshot of one instant. Then the files that its rows name, none of which
changes once a row names it. One that has gone since belonged to something that moved on: a letter
that was sent (it is to be composed again), an input that was moved into its job's folder (which is
copied after it). Of a job's folder only what the snapshot knows of is copied: a job that waited
then waits in the copy too.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from mailgate.errors import Permanent, Transient
from mailgate.spool.database import Connection, View
from mailgate.spool.store import Folder, direct


class _Taken(Permanent):
    exit_status = 73


def backup(connection: Connection, spool: Folder, jobs: Path, target: Path) -> int:
    """Copy the spool and the jobs' folders to ``target``, durably.

    Returns how many of the files that jobs left could not be read, or not be named in the copy.

    Raises
    ------
    Permanent
        ``target`` holds something already, or cannot be written.
    """
    copy = Folder(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        message = f"{target} is not empty: name a folder that is empty or not there"
        raise _Taken(message)
    try:
        for place in (target, copy.mail, copy.staged, copy.letters):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection.snapshot(copy.database)
        shutil.copy2(spool.secret, copy.secret)
        with direct(copy, connection.site) as copied:
            _copy_named(copied.view, spool, copy)
            left_out = _copy_jobs(copied.view, jobs, target / "jobs")
            _put_right(copied, copy)
        # One call for all of them: nobody is waiting for a single file.
        os.sync()
    except Transient as error:
        message = f"cannot write {target}: {error.detail or error}"
        raise _Taken(message) from error
    except OSError as error:
        message = f"cannot write {target}: {error.strerror or error}"
        raise _Taken(message) from error
    return left_out


def _copy_named(view: View, spool: Folder, copy: Folder) -> None:
    for place, target, statement in (
        (spool.mail, copy.mail, "SELECT file FROM message WHERE file IS NOT NULL"),
        (spool.staged, copy.staged, "SELECT path AS file FROM input WHERE path IS NOT NULL"),
        (spool.letters, copy.letters, "SELECT file FROM letter WHERE file IS NOT NULL"),
    ):
        for row in view.each(statement):
            _copied(place / row["file"], target / row["file"])


def _put_right(copied: Connection, copy: Folder) -> None:
    """Have letters composed again whose bytes have gone: they were sent since the snapshot."""
    waiting = copied.view.all(
        "SELECT id, file FROM letter WHERE state = 'WAITING' AND file IS NOT NULL"
    )
    gone = [row["id"] for row in waiting if not (copy.letters / row["file"]).exists()]
    with copied.transaction() as tx:
        for letter in gone:
            tx.execute(
                "UPDATE letter SET state = 'PLANNED', size = NULL, file = NULL, next_try = NULL"
                " WHERE id = ?",
                letter,
            )


# --- the jobs' folders ----------------------------------------------------------------------------


def _copy_jobs(view: View, jobs: Path, target: Path) -> int:
    left_out = 0
    for folder in (found for place in _folders(jobs) for found in _folders(place)):
        if view.one("SELECT 1 FROM job WHERE id = ? AND phase <> 'ARCHIVED'", folder.name):
            place = target / folder.parent.name / folder.name
            left_out += _copy_trees(_trees(view, folder), folder, place)
    return left_out


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            return [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _trees(view: View, folder: Path) -> Iterator[Path]:
    """Yield what of a job's folder the snapshot knows of: no attempt that began after it."""
    begun = view.all(
        "SELECT number FROM attempt WHERE job = ? AND state NOT IN ('INTENDED', 'SUBMITTED')",
        folder.name,
    )
    yield folder / "in"
    if begun:
        yield from (folder / "work", folder / "out")
    yield from (folder / "run" / str(row["number"]) for row in begun)


def _copy_trees(trees: Iterable[Path], root: Path, target: Path) -> int:
    """Copy files and folders, whatever a command made of them; how many could not be copied."""
    left_out = 0
    pending = list(trees)
    while pending:
        folder = pending.pop()
        try:
            found = list(_entries(folder))
            place = target / folder.relative_to(root)
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, is_folder in found:
                if is_folder:
                    pending.append(folder / name)
                else:
                    left_out += not _copied(folder / name, place / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in _THEIRS:
                raise
            left_out += 1
    return left_out


# A command may nest folders deeper than a path can be long, or take its own rights away.
_THEIRS = frozenset({errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP, errno.ENOTDIR})


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Names of files and folders; a link, pipe or device is no output."""
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder or entry.is_file(follow_symlinks=False):
                yield entry.name, is_folder


def _copied(source: Path, target: Path) -> bool:
    """Copy one regular file, with its time of change; False if it has gone or cannot be read."""
    try:
        opened = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode):
        os.close(opened)
        return False
    with os.fdopen(opened, "rb") as reading:
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, found.st_mode & 0o700)
        with os.fdopen(made, "wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
    # A record's time of change is the time that it tells of.
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    return True
