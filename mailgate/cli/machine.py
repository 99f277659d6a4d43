"""What `mailgate check` sees of the machine: what would run, and often not as it was meant."""

import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mailgate.config import Cluster, Config
from mailgate.errors import Permanent
from mailgate.model import Reason, Token
from mailgate.run import sandbox
from mailgate.run.cluster import load as adapter
from mailgate.run.scheduler import Ask, Scheduler
from mailgate.services import Service
from mailgate.settings import argv
from mailgate.settings.units import said_size

_MOUNTS = Path("/proc/self/mounts")
# One word as a script is called; an option is none, nor what is itself a program's text.
_SCRIPT = re.compile(r"(?!-)\S+\.(?:py|sh|pl|R|rb|jar|jl|awk)")
# SQLite's log needs memory that all its users share, which no network gives.
_NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs ncpfs afs 9p ceph lustre gpfs beegfs orangefs glusterfs fuse.sshfs"
    " fuse.glusterfs fuse.ceph fuse.s3fs fuse.davfs2 davfs".split()
)


def looked(config: Config, services: Mapping[str, Service]) -> Iterator[str]:
    """Yield what an operator should know before the gateway starts on this machine, as this user.

    Runs bubblewrap once, as the start does; looks at disks, changes nothing.

    Raises
    ------
    BadConfig
        bubblewrap is asked for and does not work: the gateway would not start.
    """
    if os.geteuid() == 0:
        yield (
            "you are root: started like this, the gateway and its jobs have every right there is;"
            " start it as a user of its own"
        )
    here = {s.name: s for s in services.values() if not _is_there(config, s.engine)}
    local = config.run.local
    if here or not _is_there(config, None):
        box = sandbox.probe(local.sandbox, path=local.path)
        if not box.holds:
            yield f"[run.local] sandbox: {box.sentence}"
    yield from _schedulers(config, services)
    yield from _not_here(here.values())
    yield from _programs(here, local.path)
    yield from _scripts(services)
    yield from _out_of_reach(here, local.path)
    yield from _folders(config)
    yield from _disk(config)


# --- clusters -------------------------------------------------------------------------------------


def _is_there(config: Config, engine: str | None) -> bool:
    """Whether jobs of that engine (None: the default) run on a cluster's nodes, not here."""
    return isinstance(config.run.engines.get(engine or config.run.engine), Cluster)


def _schedulers(config: Config, services: Mapping[str, Service]) -> Iterator[str]:
    for name in sorted({config.run.engine, *(s.engine for s in services.values() if s.engine)}):
        table = config.run.engines.get(name)
        if isinstance(table, Cluster):
            scheduler = adapter(table.engine)(table)
            missing = [p for p in (*scheduler.programs, "timeout") if shutil.which(p) is None]
            if missing:
                yield (
                    f"[run.{name}]: not in your PATH: {', '.join(missing)}; the gateway needs"
                    f" {scheduler.title}'s commands on its own"
                )
            yield (
                f"[run.{name}]: its jobs are in no sandbox: each may read what the gateway's user"
                " may on the nodes, other people's jobs too"
            )
            if _on_one_disk(config.run.folder, config.gateway.spool):
                yield (
                    f"[run.{name}]: its nodes must see {config.run.folder} by that path, and it is"
                    " on the spool's own disk: give [run] folder a place on a file system that they"
                    " share with the gateway, and have that mounted before the gateway starts"
                )
            given = (s for s in services.values() if (s.engine or config.run.engine) == name)
            yield from _not_submitted(scheduler, given)


def _not_submitted(scheduler: Scheduler, services: Iterable[Service]) -> Iterator[str]:
    """Yield what of the most that requests may ask for has no words in the engine's table."""
    for service in services:
        ask = Ask(
            token=Token("check"),
            script="/script",
            folder="/",
            messages="/messages",
            cores=service.limits.most_cores,
        )
        try:
            scheduler.submit(ask)
        except Permanent as error:
            yield f"{service.name}: [limits] cores: {error}"


def _on_one_disk(one: Path, other: Path) -> bool:
    try:
        return _nearest(one).stat().st_dev == _nearest(other).stat().st_dev
    except OSError:
        return False


# --- what the engine local has not ----------------------------------------------------------------


def _not_here(services: Iterable[Service]) -> Iterator[str]:
    for service in services:
        if service.queue is not None:
            yield f"{service.name}: queue: the engine local has none; engine names a cluster's"
        if service.limits.gpus:
            yield f"{service.name}: [limits] gpus: the engine local gives none"
        if service.retry.times and Reason.MEMORY in service.retry.on:
            yield (
                f'{service.name}: [retry] on: the engine local never tells "memory"; there it is'
                " an exit or a signal"
            )


# --- programs -------------------------------------------------------------------------------------


def _programs(services: Mapping[str, Service], path: str) -> Iterator[str]:
    for service in services.values():
        # A part of it that a request chooses is not known yet.
        program = argv.literal(service.command[0][0])
        if program and not _is_found(program, path):
            where = "is no program that can be started"
            if "/" not in program:
                where = f"is in no folder of the jobs' PATH, {path}"
            yield f'{service.name}: "{program}" {where}: its jobs will end in error'


def _is_found(program: str, path: str) -> bool:
    # A relative path leads nowhere from a job's own folder; one beside the service is absolute.
    wanted = "/" not in program or os.path.isabs(program)  # noqa: PTH117 - it is text
    return wanted and shutil.which(program, path=path) is not None


def _scripts(services: Mapping[str, Service]) -> Iterator[str]:
    """Yield the words of commands that look like a script's name where there is no such file."""
    for service in services.values():
        for at, element in argv.elements(service.command):
            word = argv.literal(element) or ""
            # The program itself is looked at above. What lies beside the service is absolute here.
            if at == ("0",) or not _SCRIPT.fullmatch(word):
                continue
            is_absolute = word.startswith("/")
            if is_absolute and os.path.exists(word):  # noqa: PTH110 - it raises nothing
                continue
            where = "" if is_absolute else f" in {service.file.parent}"
            yield (
                f'{service.name}: command: there is no file "{word}"{where}: if it is a script of'
                " the service, its jobs will fail"
            )


def _out_of_reach(services: Mapping[str, Service], path: str) -> Iterator[str]:
    """Yield the folders that the gateway's user may not enter, on the way to what jobs run.

    A shell in a job says "Permission denied" of that, and no more. Root may enter all: there it is
    those that only their owner may.
    """
    found: dict[Path, Path] = {}
    for place in _needed(services, path):
        real = Path(os.path.realpath(place))
        way = (*reversed(real.parents), real)
        closed = next((above for above in way if not _is_open(above)), None)
        if closed is not None:
            found.setdefault(closed, place)
    who = "others than its owner" if os.geteuid() == 0 else "you"
    for folder, place in found.items():
        yield (
            f"{folder} is closed to {who}, and {place} leads there: a job that runs as"
            ' another user gets "Permission denied"; install it where all may read, as below /opt'
        )


def _needed(services: Mapping[str, Service], path: str) -> Iterator[Path]:
    """Yield the folders of PATH, the services' programs and what runs these (``#!``)."""
    if path != os.environ.get("PATH"):
        # Else it is the PATH of whoever asks, and the daemon's may be another.
        yield from map(Path, filter(os.path.isabs, path.split(os.pathsep)))
    for service in services.values():
        program = shutil.which(argv.literal(service.command[0][0]) or "", path=path)
        if program is None:
            continue
        yield Path(program)
        if interpreter := _interpreter(Path(program)):
            yield interpreter


def _interpreter(program: Path) -> Path | None:
    """Return what runs a script, as its first line names it (``#!``); None of any other program."""
    try:
        with program.open("rb") as file:
            line = file.readline(200)
    except OSError:
        return None
    words = line[2:].split() if line.startswith(b"#!") else []
    return Path(os.fsdecode(words[0])) if words else None


def _is_open(place: Path) -> bool:
    """Tell whether a folder may be entered, or a program started; true of what is not there."""
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if os.geteuid() == 0:
        return bool(mode & stat.S_IXOTH)
    return os.access(place, os.X_OK, effective_ids=True)


# --- folders --------------------------------------------------------------------------------------


def _folders(config: Config) -> Iterator[str]:
    maildir = config.deliver.maildir
    named = {"[gateway] spool": config.gateway.spool, "[run] folder": config.run.folder}
    for key, folder in (
        named | ({"[deliver.maildir] path": maildir.path} if maildir else {})
    ).items():
        place = _nearest(folder)
        if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
            yield f"{key}: {place} cannot be written by you, and must be by the gateway's user"
    sort = file_system(_nearest(config.gateway.spool), _mounts())
    if sort in _NETWORK:
        yield (
            f"[gateway] spool is on a network file system ({sort}), where its database is not"
            " safe; name a folder on a local disk, and let [run] folder alone lie there"
        )


def _nearest(folder: Path) -> Path:
    """Return the folder, or the one above it in which it would be made."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def _mounts() -> str:
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def file_system(place: Path, mounts: str) -> str:
    """Return the type of the file system of ``place``, "" where ``mounts`` (proc(5)) has none."""
    real, best, found = Path(os.path.realpath(place)), -1, ""
    for line in mounts.splitlines():
        _, point, sort, *_ = line.split(" ")
        at = Path(point.replace("\\040", " "))
        # Of two at the same place the later one is seen.
        if real.is_relative_to(at) and len(at.parts) >= best:
            best, found = len(at.parts), sort
    return found


def _disk(config: Config) -> Iterator[str]:
    wanted = config.gateway.min_free
    try:
        figures = os.statvfs(_nearest(config.gateway.spool))
    except OSError:
        return
    whole, free = (count * figures.f_frsize for count in (figures.f_blocks, figures.f_bavail))
    if wanted > whole:
        rest = f"is more than the whole disk of the spool, {said_size(whole)}"
    elif wanted > free:
        rest = f"is more than the {said_size(free)} that are free now"
    else:
        return
    yield f"[gateway] min_free, {said_size(wanted)}, {rest}: mail is answered 452, no job starts"
