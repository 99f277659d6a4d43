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
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailgate.errors import Permanent, Transient
from mailgate.model import MARK
from mailgate.spool import shipments
from mailgate.spool.database import Connection, Row, View
from mailgate.spool.keep import NOT_ENDED
from mailgate.spool.store import Folder, direct


class _Taken(Permanent):
    exit_status = 73


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What is not in a copy.

    ``missing`` are paths of mails and inputs that the spool still needs: without them the copy is
    not whole. ``of_jobs`` counts files that jobs left and that nobody could read or name.
    """

    missing: tuple[Path, ...]
    of_jobs: int


def backup(connection: Connection, spool: Folder, jobs: Path, target: Path) -> LeftOut:
    """Copy the spool and the jobs' folders to ``target``, durably.

    Returns what could not be copied.

    Raises
    ------
    Permanent
        ``target`` holds something already, lies in what is copied, or cannot be written.
    """
    copy = Folder(target)
    for place in (spool.root, jobs):
        if target.resolve().is_relative_to(place.resolve()):
            message = f"{target} lies in {place}, which is copied: name a folder elsewhere"
            raise _Taken(message)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        message = f"{target} is not empty: name a folder that is empty or not there"
        raise _Taken(message)
    try:
        # First of all nobody else may enter: the folder may have been there.
        copy.make_places()
        connection.snapshot(copy.database)
        shutil.copy2(spool.secret, copy.secret)
        with direct(copy, connection.site) as copied:
            mails = _copy_mails(connection.view, copied.view, spool, copy)
            gone = _copy_staged(copied.view, spool, copy)
            _copy_letters(copied.view, spool, copy)
            _copy_mark(jobs, target / "jobs")
            of_jobs = _copy_jobs(copied.view, jobs, target / "jobs")
            inputs = _still_missing(connection.view, gone, spool, target / "jobs")
            _put_right(copied, copy)
        # One call for all of them: nobody is waiting for a single file.
        os.sync()
    except Transient as error:
        message = f"cannot write {target}: {error.detail or error}"
        raise _Taken(message) from error
    except OSError as error:
        message = f"cannot write {target}: {error.strerror or error}"
        raise _Taken(message) from error
    return LeftOut(missing=(*mails, *inputs), of_jobs=of_jobs)


def _copy_mails(live: View, view: View, spool: Folder, copy: Folder) -> list[Path]:
    """Copy the big mails; return those that are not to be had although they are still needed."""
    missing = []
    for row in view.each("SELECT id, file FROM message WHERE file IS NOT NULL"):
        if _copied(spool.mail / row["file"], copy.mail / row["file"]):
            continue
        # The sweep removes the file first.
        if live.one("SELECT 1 FROM message WHERE id = ? AND purge <= ?", row["id"], time.time()):
            continue
        if live.one("SELECT 1 FROM message WHERE id = ? AND file IS NOT NULL", row["id"]):
            missing.append(spool.mail / row["file"])
    return missing


def _copy_staged(view: View, spool: Folder, copy: Folder) -> list[Row]:
    """Copy the big inputs of jobs that have not ended; return the rows of those not to be had."""
    rows = view.each(
        "SELECT job, file, path FROM input JOIN job ON job.id = job WHERE path IS NOT NULL"
        f" AND {NOT_ENDED}"
    )
    return [r for r in rows if not _copied(spool.staged / r["path"], copy.staged / r["path"])]


def _still_missing(live: View, gone: Iterable[Row], spool: Folder, jobs: Path) -> list[Path]:
    """Of inputs that were not staged any more, return those that no job's folder has either."""
    return [
        spool.staged / row["path"]
        for row in gone
        if not (jobs / row["job"][:2] / row["job"] / "in" / row["file"]).exists()
        and live.one(f"SELECT 1 FROM job WHERE id = ? AND {NOT_ENDED}", row["job"])
    ]


def _copy_letters(view: View, spool: Folder, copy: Folder) -> None:
    for row in view.each("SELECT file FROM letter WHERE file IS NOT NULL"):
        _copied(spool.letters / row["file"], copy.letters / row["file"])
    # One that has gone is packed again.
    for row in view.each("SELECT DISTINCT job FROM shipment"):
        for name in shipments.files(view, row["job"]):
            _copied(spool.letters / name, copy.letters / name)


def _put_right(copied: Connection, copy: Folder) -> None:
    """Have the copy say of itself what is so of it.

    Letters are composed again whose bytes have gone or changed since the snapshot: those that have
    gone were sent; those that are shorter were too big for the next hop. An attempt that had not
    begun has no folder there, and no engine knows of it.
    """
    kept = copied.view.all(
        "SELECT id, file, size FROM letter WHERE state IN ('WAITING', 'HELD') AND file IS NOT NULL"
    )
    changed = [row["id"] for row in kept if _size(copy.letters / row["file"]) != row["size"]]
    with copied.transaction() as tx:
        for letter in changed:
            tx.execute(
                "UPDATE letter SET state = 'PLANNED', size = NULL, file = NULL, next_try = NULL"
                " WHERE id = ?",
                letter,
            )
        tx.execute(
            "UPDATE attempt SET state = 'INTENDED', native = NULL, submitted = NULL"
            " WHERE state = 'SUBMITTED'"
        )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


# --- the jobs' folders ----------------------------------------------------------------------------


def _copy_mark(jobs: Path, target: Path) -> None:
    """Copy what tells that the folder is this gateway's."""
    if (jobs / MARK).exists():
        target.mkdir(mode=0o700)
        _copied(jobs / MARK, target / MARK)


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
