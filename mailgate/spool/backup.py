"""A consistent copy of a live spool.

The database is copied last-but-first: a snapshot of one instant, then the files that its rows name.
A file that vanished since belongs to something that moved on; the copy's rows that name such files
are put right, so that the copy can be served as it stands.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mailgate.errors import Permanent
from mailgate.spool import files
from mailgate.spool.database import Connection
from mailgate.spool.store import Folder


class _Taken(Permanent):
    exit_status = 73


def backup(connection: Connection, spool: Folder, jobs: Path, target: Path) -> None:
    """Copy the spool and the jobs' folders to ``target``.

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
        copy.make()
        # Jobs first: what a job wrote before the snapshot's instant is then in the copy; files that
        # are newer than their rows do no harm.
        _copy_links(spool, copy)
        connection.snapshot(copy.database)
        _copy_links(spool, copy)
        _copy_jobs(jobs, target / "jobs")
        shutil.copy2(spool.secret, copy.secret)
        files.sync_folder(target)
    except OSError as error:
        message = f"cannot write {target}: {error.strerror or error}"
        raise _Taken(message) from error


def _copy_links(spool: Folder, copy: Folder) -> None:
    """Copy what never changes once written: mail, letters and staged inputs."""
    for name in ("mail", "letters", "staged"):
        for path in _files(spool.root / name):
            target = copy.root / name / path.name
            if not target.exists():
                _copied(path, target)


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _copied(source: Path, target: Path) -> None:
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)


def _copy_jobs(jobs: Path, target: Path) -> None:
    for path in sorted(jobs.rglob("*")) if jobs.is_dir() else ():
        place = target / path.relative_to(jobs)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        if path.is_dir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copied(path, place)
