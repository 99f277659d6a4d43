"""What a test holds of a fake scheduler: its commands for PATH, and the strings that it is pulled by."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes import state

HERE = Path(__file__).parent

COMMANDS = {
    "pbs": ("qsub", "qstat", "qdel", "qhold", "qrls", "qalter", "qselect"),
    "lsf": ("bsub", "bjobs", "bhist", "bkill", "bstop", "bresume", "bmod"),
    "htcondor": (
        "condor_submit", "condor_q", "condor_history", "condor_rm", "condor_hold",
        "condor_release", "condor_qedit",
    ),
}  # fmt: skip


class Cluster:
    """A fake scheduler in a folder: ``bin`` for PATH, its queue beside it."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.bin = folder / "bin"
        for part in (self.bin, folder / "jobs", folder / "lies"):
            part.mkdir(parents=True)
        python = shlex.quote(sys._base_executable)  # a virtual environment's takes longer to start
        program = shlex.quote(str(HERE / f"{engine}.py"))
        for name in COMMANDS[engine]:
            wrapper = self.bin / name
            wrapper.write_text(
                # A clock that a test moves is the gateway's alone.
                f"#!/bin/sh\nunset LD_PRELOAD\nFAKE_CLUSTER={shlex.quote(str(folder))} "
                f'exec {python} -S -E {program} {name} "$@"\n'
            )
            wrapper.chmod(0o755)

    def set(self, **settings: object) -> None:
        """Change how the queue behaves (``state.SETTINGS``), and let it act on that."""
        with state.locked(self.folder) as queue:
            queue.save(**settings)

    def lie(self, command: str, how: str, *, times: int = 1, seconds: float = 0) -> None:
        """Have a command lie at its next ``times`` calls."""
        assert how in state.LIES
        lie = {"how": how, "times": times, "seconds": seconds}
        state._write(self.folder / "lies" / command, lie)

    def honest(self) -> None:
        """Lie no more; a command that hangs goes on."""
        for path in (self.folder / "lies").iterdir():
            path.unlink()

    def calls(self, command: str = "") -> list[dict]:
        """Every call of a command, oldest first: its argv, its locale, when, and how it lied."""
        path = self.folder / "calls"
        found = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        return [call for call in found if command in ("", call["command"])]

    def count(self, command: str) -> int:
        """How often a command was called; asked for again and again it costs little."""
        path = self.folder / "calls"
        return path.read_bytes().count(f'"command": "{command}"'.encode()) if path.exists() else 0

    def jobs(self) -> list[dict]:
        with state.locked(self.folder) as queue:
            return queue.jobs()

    def put(self, ident: str, **changes: object) -> None:
        """Change what the queue believes of a job."""
        with state.locked(self.folder) as queue:
            job = queue.job(ident)
            assert job is not None
            queue.put(job, **changes)

    def forget(self, ident: str) -> None:
        """Know nothing of a job any more, whether it runs or not."""
        with state.locked(self.folder) as queue:
            queue.forget(ident)

    def requeue(self, ident: str) -> None:
        """Start a job over, under its old id."""
        with state.locked(self.folder) as queue:
            job = queue.job(ident)
            assert job is not None
            queue.requeue(job)

    def fail_node(self, ident: str) -> None:
        """Lose the machine that a job runs on."""
        with state.locked(self.folder) as queue:
            job = queue.job(ident)
            assert job is not None
            queue.fail_node(job)

    def overrun(self, ident: str) -> None:
        """End a job as if its time were over."""
        with state.locked(self.folder) as queue:
            job = queue.job(ident)
            assert job is not None
            queue.kill(job, "limit")

    def kill(self, ident: str) -> None:
        """End a job as somebody else than the gateway would."""
        with state.locked(self.folder) as queue:
            job = queue.job(ident)
            assert job is not None
            queue.kill(job, "cancelled")

    def suspend(self, ident: str, *, resume: bool = False) -> None:
        """Stop a job for a while, or let it go on."""
        with state.locked(self.folder) as queue:
            job = queue.job(ident)
            assert job is not None
            queue.suspend(job, resume=resume)

    def lose(self, ident: str) -> None:
        """Lose a job with the machine that it runs on, and know nothing of it."""
        self.fail_node(ident)
        self.forget(ident)

    def lose_newest(self, count: int) -> None:
        """Be restored from an older state: the newest jobs never were, and their ids are free again."""
        with state.locked(self.folder) as queue:
            for job in queue.jobs()[-count:]:
                queue.forget(job["id"])
                queue.save(next=min(int(job["id"]), int(queue.settings["next"])))

    def step(self) -> None:
        """Start what may run, without a command that would."""
        with state.locked(self.folder) as queue:
            queue.step()

    def close(self) -> None:
        """End what still runs."""
        self.set(started=False, patience=0.0)
        for job in self.jobs():
            state._tell(job, 9)


@contextmanager
def fake(engine: str, folder: Path) -> Iterator[Cluster]:
    """A fake scheduler whose jobs end with the test."""
    cluster = Cluster(engine, folder)
    try:
        yield cluster
    finally:
        cluster.close()
