"""What is done to a job's files around its start and end: plain functions, which a hand can do.

They block, remember nothing, and say nothing in the log: all they know they are given, all they
find they return.
"""

import os
import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path

from mailgate import crash
from mailgate.errors import Transient
from mailgate.model import Attempt, AttemptState, Exit, Plan, Staged, Token
from mailgate.phases import Phase
from mailgate.run import jobdir
from mailgate.run.collect import Collected, collect
from mailgate.run.excess import CLEARED, FULL, doubts, is_over, told, was_cleared
from mailgate.run.files import make_folder, writing
from mailgate.run.jobdir import Folder, Start
from mailgate.run.mark import Mark
from mailgate.run.process import is_locked, locked, start_script
from mailgate.run.remains import end_recent, end_remains
from mailgate.run.sandbox import Confinement
from mailgate.run.script import write_attempt
from mailgate.run.sight import Ended, Gone, NotStarted, Running, Sight, is_wiped
from mailgate.saying import Saying


def laid_out(mark: Mark, folder: Folder, start: Start, staged: Sequence[Staged]) -> None:
    """Lay the job's folder out, in a folder of jobs that is there.

    Raises
    ------
    Transient, Permanent
        As :func:`jobdir.prepare`; also where the folder of jobs is not there.
    """
    mark.check()
    jobdir.lay_out(folder, start, staged)
    crash.point("run:prepared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How this machine starts scripts. ``files`` is how many files a job may have open."""

    path: str
    kill_after: timedelta
    confinement: Confinement
    default_signals: str
    files: int


def launched(
    launch: bytes, folder: Folder, start: Start, lay_out: Callable[[], None] | None
) -> tuple[int, bool]:
    """Start the attempt's script; return its process id, and whether it was started just now.

    ``launch`` is a pickled :class:`Launch`, which is the same each time.

    Raises
    ------
    Transient, Permanent
        It cannot be started, now or ever.
    """
    how = _unpickled(launch)
    if lay_out is not None:
        lay_out()
    attempt = folder.attempt(start.number)
    sandbox = how.confinement.wrap(folder, start)
    with writing():
        make_folder(attempt)
        with locked(attempt) as lock:
            if lock is None:
                return _already(folder, start), False
            write_attempt(
                folder,
                start,
                path=how.path,
                sandbox=sandbox,
                kill_after=how.kill_after,
                default_signals=how.default_signals,
            )
            return start_script(attempt, lock=lock, token=start.token, files=how.files), True


def written(
    folder: Folder,
    start: Start,
    lay_out: Callable[[], None] | None,
    *,
    path: str,
    kill_after: timedelta,
    default_signals: str,
    bell: str,
) -> None:
    """Lay out what a cluster's attempt needs, and write its script.

    Raises
    ------
    Transient, Permanent
        It cannot be written now, or ever.
    """
    if lay_out is not None:
        lay_out()
    with writing():
        make_folder(folder.attempt(start.number))
        make_folder(Path(bell))
    write_attempt(
        folder,
        start,
        path=path,
        sandbox=(),
        kill_after=kill_after,
        default_signals=default_signals,
        bell=bell,
    )


def seen_in(attempts: Sequence[tuple[Folder, Attempt]]) -> tuple[dict[Token, Sight], list[str]]:
    """Look into the folders of attempts whose engine is a cluster; nothing there says "alive".

    Returns what is seen, and what cannot be read: of that nothing is known.
    """
    seen: dict[Token, Sight] = {}
    unread = []
    for folder, attempt in attempts:
        try:
            look = partial(jobdir.look, folder, attempt.number, alive=True)
            seen[attempt.token] = jobdir.in_spite(look, folder, attempt.number)
        except OSError as error:
            unread.append(f"{attempt.job}: {error}")
    return seen, unread


def seen_anew(mark: Mark, folder: Folder, attempt: Attempt) -> Sight:
    """Look into the folder of an attempt that was seen without its claim, perhaps a while ago.

    Gone: it has begun all the same, and nothing is left that tells how it ended.

    Raises
    ------
    Transient
        It cannot be read, or the folder of jobs is not there: that says nothing.
    """
    number = attempt.number
    try:
        look = partial(jobdir.look, folder, number, alive=True)
        sight = jobdir.in_spite(look, folder, number)
        if isinstance(sight, NotStarted) and _has_begun(folder, attempt):
            sight = Gone(started=attempt.started or datetime.now(UTC))
    except OSError as error:
        raise Transient("A job folder cannot be read now.", detail=str(error)) from error
    # What is missing is so only where the folder itself is there.
    mark.check()
    return sight


def _has_begun(folder: Folder, attempt: Attempt) -> bool:
    match attempt.state:
        case AttemptState.STARTED:
            # It was seen to run: what it did with its claim since does not undo that.
            return True
        case AttemptState.INTENDED:
            return False
        case _:
            return jobdir.has_begun(folder, attempt.number)


def rung(bell: Path) -> set[Token]:
    """Return for which attempts the bell was rung, once each."""
    try:
        names = os.listdir(bell)  # noqa: PTH208 - as many as there are
    except FileNotFoundError:
        return set()
    for name in names:
        with suppress(OSError):
            (bell / name).unlink()
    return {Token(name) for name in names}


@lru_cache(1)
def _unpickled(launch: bytes) -> Launch:
    how: Launch = pickle.loads(launch)  # noqa: S301 - our own
    return how


def _already(folder: Folder, start: Start) -> int:
    process = jobdir.script_process(folder, start.number)
    if process is None:
        raise Transient("The job is just being started.")
    return process


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen of attempts; ``unread``: whose folders cannot be read, and why.

    ``lingering``: those of which a process is left that cannot be ended.
    """

    sights: Mapping[Token, Sight]
    unread: Mapping[Token, str]
    lingering: Collection[Token]


def looked(
    attempts: Sequence[tuple[Folder, Attempt]],
    starts: Mapping[Token, datetime],
    *,
    confined: bool,
) -> Looked:
    """Look into the attempts' folders; leave no process of what is over.

    ``starts``: when those began that were seen to run already; ``confined``: the sandbox lets no
    process escape.
    """
    seen: dict[Token, Sight] = {}
    unread = {}
    for folder, attempt in attempts:
        try:
            look = partial(_seen, folder, attempt, starts.get(attempt.token))
            alive, sight = jobdir.in_spite(look, folder, attempt.number)
        except OSError as error:
            unread[attempt.token] = str(error)
            continue
        if not (alive and isinstance(sight, NotStarted)):  # on its way
            seen[attempt.token] = sight
    wiped = {token for token, sight in seen.items() if is_wiped(sight)}
    if not confined:
        wiped |= _left_behind(attempts, seen)
    lingering = wiped if wiped and not end_remains(wiped) else frozenset()
    return Looked(sights=seen, unread=unread, lingering=lingering)


def _seen(folder: Folder, attempt: Attempt, started: datetime | None) -> tuple[bool, Sight]:
    alive = is_locked(folder, attempt.number)
    if alive and started is not None:
        return True, Running(started=started)
    return alive, jobdir.look(folder, attempt.number, alive=alive)


def _left_behind(
    attempts: Sequence[tuple[Folder, Attempt]], seen: Mapping[Token, Sight]
) -> set[Token]:
    """End what short jobs left running; return those for which all of /proc has to be read."""
    unsure = set()
    for folder, attempt in attempts:
        if isinstance(seen.get(attempt.token), Ended):
            with suppress(OSError):
                process = jobdir.script_process(folder, attempt.number)
                if process is not None and end_recent(attempt.token, process):
                    continue
            unsure.add(attempt.token)
    return unsure


def collected(
    mark: Mark, folder: Folder, plan: Plan, number: int, end: Exit, *, full: bool
) -> tuple[Collected, Exit]:
    """Collect what attempt ``number`` left when it ended as ``end``, and put that into words.

    ``full``: the disk was seen full while it ran.

    Raises
    ------
    Transient
        The disk or the machine failed, or the folder of jobs is not there: nothing is known yet.
    """
    found = collect(folder, plan, number)
    last = told(end, plan)
    full_now = last.phase is not Phase.COMPLETED and not last.words and _is_full(folder)
    more = doubts(found.streams, plan, full=full or full_now)
    if is_over(end, plan) and was_cleared(folder):
        more = [CLEARED]
    found = replace(found, left_out=(*found.left_out, *more))
    # What is missing is so only where the folder itself is there.
    mark.check()
    return found, replace(last, words=_FULL) if full_now else last


_FULL = Saying("ends/disk-was-full")


def _is_full(folder: Folder) -> bool:
    try:
        disk = os.statvfs(folder.jobs)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < FULL
