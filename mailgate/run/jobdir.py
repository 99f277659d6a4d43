"""The job folder: the contract between the gateway, the script and every engine.

::

    <jobs>/<first two characters>/<id>/
      in/          inputs under our names, read-only; manifest.json maps them to the sender's
      work/        the command's working directory
      out/         stdout, stderr; named/ is $MAILGATE_OUTPUTS
      run/<n>/     one attempt
        script     POSIX sh (script.py, script.sh)
        lock       flock held = the script is alive (local engine); takes what it complains of
        claim      made exclusively by whoever comes first: the script, with its process id, or the
                   gateway; the script's time of change is the start
        progress   $MAILGATE_PROGRESS
        limit      the work's limit in seconds, where it was changed while the attempt ran
        told       why a cluster's script is told TERM, where it is not to end the job
        messages   what a cluster's scheduler said, and the script there
        exit       how it ended; its time of change is the end
        box        bwrap's account of the sandbox, where there is one

``exit`` is made before the start, with blank lines that set its block aside, and written over in
place: a full disk cannot lose an exit code. It counts once its line ``end`` is there. The functions
block, for threads, and trust nothing that a command may have put there.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from signal import Signals
from typing import TypeVar

from mailgate.errors import Permanent
from mailgate.log import escaped
from mailgate.model import INPUTS, Attempt, JobId, Plan, Progress, Staged, Token
from mailgate.run.files import (
    copy_whole,
    make_folder,
    move_whole,
    read_little,
    remove_tree,
    reopen,
    write_whole,
    writing,
)
from mailgate.run.record import RECORD_READ, exit_of, read_record, time_of
from mailgate.run.sight import Ended, Gone, NotStarted, Running, Sight
from mailgate.saying import Saying

T = TypeVar("T")

_MANIFEST = "manifest.json"
_PROGRESS_READ = 1024
_PROGRESS = re.compile(r"\s*(\d{1,3}(?:\.\d{0,9})?)\s*%?(?:\s+(.*))?", re.ASCII)
_PROGRESS_WORDS = 200
# What the gateway's own claim says; a script's is empty.
_OURS = b"gateway\n"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where one job's files lie; ``jobs`` is absolute."""

    jobs: Path
    job: JobId

    @property
    def root(self) -> Path:
        """The job's own folder."""
        return self._within()

    @property
    def inputs(self) -> Path:
        """The command's inputs."""
        return self._within("in")

    @property
    def work(self) -> Path:
        """The command's working directory."""
        return self._within("work")

    @property
    def out(self) -> Path:
        """Standard output and error, and the named outputs."""
        return self._within("out")

    @property
    def named(self) -> Path:
        """What the command knows as $MAILGATE_OUTPUTS."""
        return self._within("out", "named")

    def attempt(self, number: int) -> Path:
        """Return the folder of attempt ``number``, counted from 1."""
        return self._within("run", str(number))

    def _within(self, *parts: str) -> Path:
        # In one step: pathlib is slow, and a job's paths are made a dozen times.
        return self.jobs.joinpath(self.job[:2], self.job, *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An attempt to be started. ``limit`` is the work's own, None for none."""

    job: JobId
    token: Token
    number: int
    plan: Plan
    limit: timedelta | None = None


# --- before the start -----------------------------------------------------------------------------


def prepare(folder: Folder, plan: Plan, staged: Sequence[Staged]) -> None:
    """Lay the folder out and put the inputs in; again, after any crash, does no harm.

    Each input is in ``in/`` whole or not at all. A big one is moved in from ``Staged.path``
    (absolute), copied where that lies on another disk, or copied from the job ``Staged.source``; an
    input that is there already is believed by its SHA-256.

    Raises
    ------
    Transient
        The folder cannot be written; NoSpace where the disk is full.
    Permanent
        An input is nowhere, or is not the one that was staged.
    """
    with writing():
        # From the top down: each is made at the first try.
        for place in (folder.root, folder.inputs, folder.work, folder.out, folder.named):
            make_folder(place)
        for one in staged:
            _put_in(folder.inputs / one.file, one, folder.jobs)
        if staged:
            write_whole(folder.inputs / _MANIFEST, _manifest(plan, staged), mode=0o400)


def lay_out(folder: Folder, start: Start, staged: Sequence[Staged]) -> None:
    """Lay the folder out; a further attempt finds the work of the one before it gone."""
    if start.number > 1:
        with writing():
            for place in (folder.work, folder.out):
                remove_tree(place)
    prepare(folder, start.plan, staged)


def located(plan: Plan, folder: Folder) -> Plan:
    """Return a kept plan with its input paths where the job's folder is now."""
    return replace(plan, argv=tuple(w.replace(INPUTS, str(folder.inputs)) for w in plan.argv))


def _put_in(place: Path, one: Staged, jobs: Path) -> None:
    if place.exists() and _digest(place) == one.sha256:
        return
    if one.body is not None:
        write_whole(place, one.body, mode=0o400)
    elif one.source is not None:
        _borrow(Folder(jobs, one.source).inputs / one.file, place, one)
    elif one.path is not None and Path(one.path).exists():
        move_whole(Path(one.path), place, mode=0o400)
    elif place.exists():
        raise Permanent(Saying("ends/input-changed", name=one.name), detail=str(place))
    else:
        raise Permanent(Saying("ends/input-missing", name=one.name), detail=str(place))


def _borrow(theirs: Path, place: Path, one: Staged) -> None:
    """Copy an input of another job, from where that has it, or will have it once it starts."""
    # Once more: it may just have been moved from the one to the other.
    for source in (theirs, Path(one.path or theirs), theirs):
        if copy_whole(source, place, sha256=one.sha256, mode=0o400):
            return
    gone = Saying("ends/input-gone", name=one.name, job=one.source)
    raise Permanent(gone, detail=str(theirs))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(plan: Plan, staged: Sequence[Staged]) -> bytes:
    entries = {
        one.file: {
            "input": one.name,
            "filename": one.filename,
            "size": one.size,
            "sha256": one.sha256,
            "stdin": one.file == plan.stdin,
        }
        for one in staged
    }
    return json.dumps(entries, indent=1).encode() + b"\n"


# --- who claims -----------------------------------------------------------------------------------


def claim(folder: Folder, number: int) -> bool:
    """Take the attempt's claim for the gateway; True: it has it, and the attempt can never start.

    Exclusive on any file system, NFS included: a link to a whole file. Asked again it says the
    same, so a crash after it loses nothing.

    Raises
    ------
    Transient
        The folder cannot be written.
    """
    attempt = folder.attempt(number)
    with writing():
        make_folder(attempt)
        ours = attempt / f".claim.{os.getpid()}"
        write_whole(ours, _OURS, mode=0o400)
        try:
            os.link(ours, attempt / "claim")
        except FileExistsError:
            return _is_ours(read_little(attempt / "claim", RECORD_READ))
        finally:
            ours.unlink()
    return True


def _is_ours(claimed: tuple[bytes, float] | None) -> bool:
    return claimed is not None and claimed[0] == _OURS


def write_limit(folder: Folder, number: int, limit: timedelta) -> None:
    """Write down the work's limit, from the start, for a script that runs and looks for it.

    Raises
    ------
    Transient
        The folder cannot be written.
    """
    seconds = math.ceil(limit.total_seconds())
    with writing():
        write_whole(folder.attempt(number) / "limit", b"%d\n" % seconds, mode=0o400)


def write_word(folder: Folder, number: int, why: Signals) -> None:
    """Write down why a script is told TERM: a scheduler may send it nothing else.

    Raises
    ------
    Transient
        The folder cannot be written.
    """
    with writing():
        write_whole(folder.attempt(number) / "told", f"{why.name}\n".encode(), mode=0o400)


# --- what can be seen -----------------------------------------------------------------------------


def look(folder: Folder, number: int, *, alive: bool) -> Sight:
    """Say what the folder shows of an attempt, which is the truth about it.

    ``alive`` is what the engine knows, and must have been asked before: an attempt that ends in
    between is then seen either way. With ``alive`` NotStarted means "waiting to start".

    Raises
    ------
    OSError
        The folder cannot be read: unknown, which is not ended.
    """
    attempt = folder.attempt(number)
    claimed = read_little(attempt / "claim", RECORD_READ)
    if claimed is None or _is_ours(claimed):
        return NotStarted()
    started = time_of(claimed[1])
    end = read_record(attempt / "exit")
    if end is not None and (how := exit_of(end[0])) is not None:
        # A clock may be stepped back while a job runs.
        return Ended(exit=how, started=started, ended=max(started, time_of(end[1])))
    return Running(started=started) if alive else Gone(started=started)


def has_begun(folder: Folder, number: int) -> bool:
    """Tell whether an attempt without a claim, which an engine was given, did begin all the same.

    Its command may have removed what tells so. The script is there before an engine has it, and
    standard output only once it has begun.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    try:
        (folder.attempt(number) / "script").lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return os.path.lexists(folder.out / "stdout")


def in_spite(look: Callable[[], T], folder: Folder, number: int) -> T:
    """Return what ``look`` says, also where the command took our rights to its folders away.

    Raises
    ------
    OSError
        The folders cannot be read all the same.
    """
    try:
        return look()
    except PermissionError:
        _reopen(folder, number)
        return look()


def _reopen(folder: Folder, number: int) -> None:
    attempt = folder.attempt(number)
    above = (folder.jobs, folder.root.parent, folder.root, attempt.parent, attempt)
    records = (attempt / "lock", attempt / "claim", attempt / "exit")
    for place in (*above, *records, folder.inputs, folder.work, folder.out, folder.named):
        with suppress(FileNotFoundError, NotADirectoryError):
            reopen(place)


def script_process(folder: Folder, number: int, which: str = "pid") -> int | None:
    """Return the process id that the script left in its claim; it may be another's by now.

    ``which``: its own, or that of the ``watch`` over the work's limit.

    Raises
    ------
    OSError
        The claim cannot be read.
    """
    start = read_record(folder.attempt(number) / "claim")
    said = start[0].get(which, "") if start else ""
    return int(said) if re.fullmatch(r"[1-9]\d{0,9}", said, re.ASCII) else None


def output_sizes(folder: Folder, number: int) -> tuple[int | None, int | None]:
    """Return how many bytes standard output and error had at the end, as the exit record says.

    None for what it does not say. Where fewer can be read, a shared file system lags.

    Raises
    ------
    OSError
        The record cannot be read.
    """
    end = read_record(folder.attempt(number) / "exit")
    said = [end[0].get(name, "") if end else "" for name in ("stdout", "stderr")]
    stdout, stderr = (
        int(one) if re.fullmatch(r"\d{1,18}", one, re.ASCII) else None for one in said
    )
    return stdout, stderr


def progress(folder: Folder, number: int) -> Progress | None:
    """Return what the command last wrote to $MAILGATE_PROGRESS; None for nothing, or nonsense.

    Of its last 1 KiB the last line counts that begins with a number from 0 to 100 (a per cent sign
    may follow): a command may write the file anew or append to it. A greater number is no progress.
    """
    try:
        found = read_little(folder.attempt(number) / "progress", _PROGRESS_READ, tail=True)
    except OSError:
        return None
    lines = found[0].decode("utf-8", "replace").splitlines() if found else []
    for line in reversed(lines):
        said = _PROGRESS.fullmatch(line)
        if said and float(said[1]) <= 100:
            words = escaped((said[2] or "").strip())[:_PROGRESS_WORDS]
            return Progress(percent=float(said[1]), words=words)
    return None


def all_progress(attempts: Sequence[tuple[Folder, Attempt]]) -> dict[JobId, Progress]:
    """Read what each attempt says of its progress, if anything."""
    said = {a.job: progress(folder, a.number) for folder, a in attempts}
    return {job: one for job, one in said.items() if one is not None}
