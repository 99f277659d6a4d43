"""What keeps a local job apart: bubblewrap where it works, else nothing but the user's own rights.

Inside: no network unless the plan has it, process and IPC namespaces of its own, no capabilities,
the system read-only, an own /tmp in memory, as large as the job's memory, and of the spool and all
jobs nothing but the job's own ``in/`` (read-only), ``work/``, ``out/named/`` and progress file,
under the paths they have outside.

script.sh knows two things of the argv made here: bwrap writes its account to descriptor 8, and the
command has a session of its own inside, whose group can be signalled past bwrap's outer process.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mailgate.errors import BadConfig, Permanent, Transient
from mailgate.run.jobdir import Folder, Start
from mailgate.saying import Saying

# What other programs keep for themselves while they run. /tmp and /var/tmp the job may write.
_SCRATCH = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - hidden, not used
# A backup of the spool belongs to the jobs' own user, and is as private as the spool.
_PRIVATE = (*_SCRATCH, Path("/run"), Path("/var/backups"))
_SHM = Path("/dev/shm")  # noqa: S108 - hidden, not used
# What may be written there lies in memory (bytes): as much as the plan says, else this.
_MEMORY = 1 << 30
# What is merely hidden holds mount points alone.
_EMPTY = 1 << 20
_PROBE_PATIENCE = 10  # seconds; it takes some milliseconds
# A machine that is short of something says nothing of whether bwrap works.
_SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfined:
    """No sandbox: jobs have the gateway's own rights. ``sentence`` says so, and why.

    What such a job leaves running is known by its environment alone.
    """

    sentence: str
    holds = False

    def wrap(self, folder: Folder, start: Start) -> tuple[str, ...]:  # noqa: ARG002 - as Bubblewrap
        """Return no words: the command is started as it stands."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """Jobs run under bwrap(1). ``hidden`` and ``shown`` hold real paths, without links.

    Of a path and one below it the longer wins: a services folder inside the hidden spool is shown,
    a secret file inside a shown folder hidden. ``sizes``: it can bound what lies in memory.
    """

    program: str
    hidden: tuple[Path, ...]
    shown: tuple[Path, ...]
    sizes: bool = True
    sentence: str = "Local jobs run in a bubblewrap sandbox."
    holds = True

    def wrap(self, folder: Folder, start: Start) -> tuple[str, ...]:
        """Return the argv before the command's own, for one attempt.

        Raises
        ------
        Permanent
            The path of the jobs folder leads nowhere inside: it has a link in a hidden folder.
        """
        hidden = {*_PRIVATE, *self.hidden}
        folder = _real_folder(folder, hidden)
        attempt = folder.attempt(start.number)
        network = start.plan.network
        shown = {*self.shown, *(_resolver() if network else ())}
        words = [
            *(self.program, *_FIXED, *(["--share-net"] if network else [])),
            *self._outside(hidden | {folder.jobs}, shown, start.plan.memory or _MEMORY),
            *("--ro-bind", folder.inputs, folder.inputs),
            *("--bind", folder.work, folder.work),
            *("--bind", folder.named, folder.named),
            *("--bind", attempt / "progress", attempt / "progress"),
            *("--chdir", folder.work, "--json-status-fd", "8", "--"),
        ]
        return tuple(map(str, words))

    def try_out(self) -> str | None:
        """Run ``true`` in it; None if that works, else what bwrap said.

        Raises
        ------
        Transient
            Nothing can be said of it now: the machine is short of processes, memory or time.
        """
        outside = self._outside({*_PRIVATE, *self.hidden}, {*self.shown}, _MEMORY)
        words = [self.program, *_FIXED, *outside, "--", "true"]
        try:
            tried = _tried(words)
        except subprocess.TimeoutExpired as error:
            raise Transient(_NOT_NOW, detail=str(error)) from error
        except OSError as error:
            if error.errno in _SHORTAGES:
                raise Transient(_NOT_NOW, detail=str(error)) from error
            return str(error)
        said = tried.stderr.decode("utf-8", "replace").strip()
        # A signal is nothing that bwrap says of itself: no memory was left, say.
        if tried.returncode < 0 or said.endswith(tuple(map(os.strerror, _SHORTAGES))):
            raise Transient(_NOT_NOW, detail=said or f"signal {-tried.returncode}")
        return None if tried.returncode == 0 else said or f"exit code {tried.returncode}"

    def _outside(self, hidden: set[Path], shown: set[Path], memory: int) -> Iterator[str | Path]:
        """Return the words for all but the job's own folders; ``memory`` is for each /tmp."""
        yield from _system()
        yield from self._tmpfs(_SHM, memory)
        # Its own folder would be one more place to write to; the devices stay what they are.
        yield from ("--remount-ro", "/dev")
        yield from self._places(hidden, shown, memory)

    def _places(self, hidden: set[Path], shown: set[Path], memory: int) -> Iterator[str | Path]:
        """Return the words that hide and show, shorter paths first; at the same one, hide."""
        done: dict[Path, bool] = {}
        for place in sorted(hidden | shown, key=lambda path: (len(path.parts), path)):
            hide = place in hidden
            # Each mount takes time: none is made for what is so already by the folders above.
            if hide == _state(done, place) or not _is_real(place):
                continue
            done[place] = hide
            if not hide:
                yield from ("--ro-bind", place, place)
            elif place.is_dir():
                yield from self._tmpfs(place, memory)
            else:
                yield from ("--ro-bind", "/dev/null", place)

    def _tmpfs(self, place: Path, memory: int) -> tuple[str | Path, ...]:
        scratch = place in {*_SCRATCH, _SHM}
        size = ("--size", str(memory if scratch else _EMPTY)) if self.sizes else ()
        return ("--perms", "0755" if scratch else "0555", *size, "--tmpfs", place)


Confinement = Bubblewrap | Unconfined

_NOT_NOW = "Whether bwrap works cannot be told now, and no job runs without its sandbox for that"

_FIXED = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
_SYSTEM = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
# What root may write there without any capability.
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger")


def probe(
    setting: str, *, path: str, hidden: Sequence[Path] = (), shown: Sequence[Path] = ()
) -> Confinement:
    """Choose as ``setting`` (``auto``, ``bwrap``, ``none``) wishes, after really running bwrap.

    ``hidden`` are folders and files that no job may see: spool, outgoing mail, secrets. ``shown``
    are folders that commands need even where they lie under /tmp or a hidden one: the services'.
    What the jobs' PATH (``path``) leads to is shown by itself.

    Raises
    ------
    BadConfig
        bubblewrap is asked for and does not work.
    Transient
        Whether it works cannot be told now.
    """
    if setting == "none":
        return _unconfined("sandbox is none")
    program = shutil.which("bwrap")
    if program is None:
        return _without(setting, "bwrap is not installed")
    sizes = _knows_sizes(program)
    more = "" if sizes else " This bwrap cannot bound what they write to /tmp: 0.7.0 can."
    box = Bubblewrap(
        program=program,
        sizes=sizes,
        sentence=f"Local jobs run in a bubblewrap sandbox.{more}",
        hidden=tuple(_real(place) for place in hidden),
        shown=tuple({_real(place) for place in (*shown, *_prefixes(path))}),
    )
    fault = box.try_out()
    return box if fault is None else _without(setting, f"bwrap does not work here ({fault})")


def _without(setting: str, fault: str) -> Unconfined:
    if setting == "bwrap":
        raise BadConfig(f'run.local.sandbox is "bwrap", but {fault}.')
    return _unconfined(fault)


def _unconfined(why: str) -> Unconfined:
    escape = "What one leaves running without its environment, nobody ends."
    return Unconfined(sentence=f"Local jobs share the gateway's rights: {why}. {escape}")


def _prefixes(path: str) -> Iterator[Path]:
    """Return the trees that programs on PATH need: /x for /x/bin, and what a venv rests on."""
    for entry in filter(os.path.isabs, path.split(os.pathsep)):
        prefix = _prefix(Path(entry))
        yield prefix
        with suppress(OSError, UnicodeDecodeError):
            for line in (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "home":
                    yield _prefix(Path(value.strip()))


def _prefix(entry: Path) -> Path:
    whole = entry.name not in {"bin", "sbin"} or entry.parent in {*_PRIVATE, Path("/")}
    return entry if whole else entry.parent


def _resolver() -> tuple[Path, ...]:
    """Where /etc/resolv.conf leads to: often below /run, which is hidden."""
    return (_real(Path("/etc/resolv.conf")),)


def _real_folder(folder: Folder, hidden: set[Path]) -> Folder:
    """Return the folder by its real path, to which its own path must still lead inside."""
    jobs = _real(folder.jobs)
    if jobs != folder.jobs:
        for link in filter(Path.is_symlink, (folder.jobs, *folder.jobs.parents)):
            if any(link.is_relative_to(place) for place in hidden):
                raise Permanent(Saying("ends/no-real-path"), detail=str(link))
    return Folder(jobs, folder.job)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _is_real(path: Path) -> bool:
    """Whether something is there, not by way of a link (/var/tmp may be one to /tmp)."""
    return path.exists() and _real(path) == path


def _system() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return _SYSTEM
    return (*_SYSTEM, *(word for place in _KERNEL for word in ("--ro-bind-try", place, place)))


def _state(done: Mapping[Path, bool], place: Path) -> bool:
    """Tell whether the nearest folder above is hidden, among those of which it is known."""
    return next((done[above] for above in place.parents if above in done), False)


def _knows_sizes(program: str) -> bool:
    """Tell whether bwrap can bound a tmpfs: from 0.7.0 on."""
    try:
        told = _tried([program, "--help"])
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"--size " in told.stdout + told.stderr


def _tried(words: Sequence[str | Path]) -> subprocess.CompletedProcess[bytes]:
    # In English: what it says is read.
    english = os.environ | {"LC_ALL": "C"}
    return subprocess.run(
        words, check=False, capture_output=True, timeout=_PROBE_PATIENCE, env=english
    )
