"""What keeps a local job apart: bubblewrap where it works, else nothing but the user's own rights.

Inside: no network unless the plan has it, process and IPC namespaces of its own, no capabilities,
the system read-only, an own /tmp, and of the spool and all jobs nothing but the job's own ``in/``
(read-only), ``work/``, ``out/named/`` and progress file, under the paths they have outside.

script.sh knows two things of the argv made here: bwrap writes its account to descriptor 8, and the
command has a session of its own inside, whose group can be signalled past bwrap's outer process.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mailgate.errors import BadConfig, Permanent
from mailgate.run.jobdir import Folder, Start

# What other programs keep for themselves while they run. /tmp and /var/tmp the job may write.
_SCRATCH = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - hidden, not used
_PRIVATE = (*_SCRATCH, Path("/run"))
_PROBE_PATIENCE = 10  # seconds; it takes some milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfined:
    """No sandbox: jobs have the gateway's own rights. ``sentence`` says so, and why."""

    sentence: str
    holds = False

    def wrap(self, folder: Folder, start: Start) -> tuple[str, ...]:  # noqa: ARG002 - as Bubblewrap
        """Return no words: the command is started as it stands."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """Jobs run under bwrap(1). ``hidden`` and ``shown`` hold real paths, without links.

    Of a path and one below it the longer wins: a services folder inside the hidden spool is shown,
    a secret file inside a shown folder hidden.
    """

    program: str
    hidden: tuple[Path, ...]
    shown: tuple[Path, ...]
    sentence: str = "Local jobs run in a bubblewrap sandbox."
    holds = True

    def wrap(self, folder: Folder, start: Start) -> tuple[str, ...]:
        """Return the argv before the command's own, for one attempt.

        Raises
        ------
        Permanent
            The folder goes through a symbolic link, so that its path would lead nowhere inside.
        """
        if os.path.realpath(folder.root) != str(folder.root):
            raise Permanent(
                "The jobs folder goes through a symbolic link.", detail=str(folder.root)
            )
        attempt = folder.attempt(start.number)
        own = [
            *("--ro-bind", folder.inputs, folder.inputs),
            *("--bind", folder.work, folder.work),
            *("--bind", folder.named, folder.named),
            *("--bind", attempt / "progress", attempt / "progress"),
        ]
        network = ["--share-net"] if start.plan.network else []
        places = list(self._places(folder.jobs, resolver=start.plan.network))
        sealed = [w for place in self._sealed(folder.jobs) for w in ("--remount-ro", place)]
        words = [
            *(self.program, *_FIXED, *network, *_SYSTEM, *places, *own, *sealed),
            *("--chdir", folder.work, "--json-status-fd", "8", "--"),
        ]
        return tuple(map(str, words))

    def try_out(self) -> str | None:
        """Run ``true`` in it; None if that works, else what bwrap said."""
        words = [self.program, *_FIXED, *_SYSTEM, *self._places(None, resolver=False), "--", "true"]
        try:
            tried = subprocess.run(words, check=False, capture_output=True, timeout=_PROBE_PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        said = tried.stderr.decode("utf-8", "replace").strip()
        return None if tried.returncode == 0 else said or f"exit code {tried.returncode}"

    def _places(self, jobs: Path | None, *, resolver: bool) -> Iterator[str | Path]:
        """Return the words that hide and show, shorter paths first."""
        hidden = self._hidden(jobs)
        shown = {*self.shown, *(_resolver() if resolver else ())} - hidden
        for place in sorted(hidden | shown, key=lambda path: (len(path.parts), path)):
            if place in hidden:
                yield from ("--tmpfs", place) if place.is_dir() else _nothing(place)
            elif any(place.is_relative_to(above) for above in hidden):
                yield from ("--ro-bind-try", place, place)

    def _hidden(self, jobs: Path | None) -> set[Path]:
        places = {*_PRIVATE, *self.hidden, *(() if jobs is None else (jobs,))}
        return {place for place in places if _is_real(place)}

    def _sealed(self, jobs: Path) -> list[Path]:
        """Return the hidden folders, which the command may not write either."""
        return sorted(place for place in self._hidden(jobs) - {*_SCRATCH} if place.is_dir())


Confinement = Bubblewrap | Unconfined

_FIXED = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
_SYSTEM = (
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
    # The kernel asks for no capability here where the user is root.
    *("--ro-bind-try", "/proc/sys", "/proc/sys"),
    *("--ro-bind-try", "/proc/sysrq-trigger", "/proc/sysrq-trigger"),
)


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
    """
    if setting == "none":
        return Unconfined(sentence="Local jobs share the gateway's rights: sandbox is none.")
    program = shutil.which("bwrap")
    if program is None:
        return _without(setting, "bwrap is not installed")
    box = Bubblewrap(
        program=program,
        hidden=tuple(_real(place) for place in hidden),
        shown=tuple({_real(place) for place in (*shown, *_prefixes(path))}),
    )
    fault = box.try_out()
    return box if fault is None else _without(setting, f"bwrap does not work here ({fault})")


def _without(setting: str, fault: str) -> Unconfined:
    if setting == "bwrap":
        raise BadConfig(f'run.local.sandbox is "bwrap", but {fault}.')
    return Unconfined(sentence=f"Local jobs share the gateway's rights: {fault}.")


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


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _is_real(path: Path) -> bool:
    """Whether something is there, not by way of a link (/var/tmp may be one to /tmp)."""
    return path.exists() and _real(path) == path


def _nothing(file: Path) -> tuple[str | Path, ...]:
    return ("--ro-bind", "/dev/null", file)
