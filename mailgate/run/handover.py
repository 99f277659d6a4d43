"""Jobs handed to a scheduler: each under a lock, a few at once, and none while it takes none.

A daemon that is killed leaves submissions under way: whoever comes after it must know that the last
of them is over before he asks by name which were taken. So each holds a lock that its programs
inherit, and recovery waits for all of them. The programs are a shell and timeout(1), which wait for
the scheduler's own: those may close what they inherit, and nobody else ends them if they hang.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailgate import log
from mailgate.errors import Permanent, Transient
from mailgate.log import escaped
from mailgate.model import NativeId
from mailgate.run import programs
from mailgate.run.bundles import Bundles
from mailgate.run.scheduler import Ask, Command, Said, Scheduler, UnreadableError, Verdict
from mailgate.saying import Saying
from mailgate.settings.schedulers import Cluster

# As a shell tells it: the program cannot be executed, is not there.
_NOT_EXECUTED, _NOT_FOUND = 126, 127
# The waits after "not now" (seconds), the last repeats.
_PAUSES = (2.0, 5.0, 15.0, 60.0, 300.0)
# So often it is looked whether a lock is free (seconds), and after so long that is told.
_LOOK, _PATIENCE = 0.1, 2.0
_SHOWN = 500
AHEAD = 4
"""For each submission that may be under way so many jobs are taken up at a time."""


class Handover:
    """Hands jobs to one scheduler, that of the table [run.``name``]; ``lock``: on a local disk.

    ``gate``: who holds it may prepare one and hand it over: others are written down and laid out
    while as many as the site allows are under way. Nothing is handed over before `recover`.
    """

    def __init__(self, name: str, scheduler: Scheduler, site: Cluster, lock: Path) -> None:
        self._not_now = f"[run.{name}] takes no job now"
        self._perhaps = f"[run.{name}] did not say clearly whether it took a job"
        self._scheduler = scheduler
        self._limit = site.timeout
        self._lock = lock
        self.gate = asyncio.Semaphore(site.at_once * AHEAD)
        # While one bundle is on its way, the next one is made up.
        places = min(2, site.at_once)
        self._bundles = Bundles(self._run, at_once=places, most=site.at_once // places)
        self._ready = False
        self._failures = 0
        self._words = ""
        self._under_way = 0
        self._rests_until = 0.0
        self._asked = True

    # --- when -------------------------------------------------------------------------------------

    def room(self, wanted: int) -> int:
        """Return how many jobs may be given to `hand` now, of so many.

        After "not now" none, until the wait is over and the scheduler has answered something; then
        one, and the others once that was taken.
        """
        if not self._ready or not self._asked or _now() < self._rests_until:
            return 0
        return wanted if not self._failures else min(wanted, 1 - self._under_way)

    @property
    def rests(self) -> bool:
        """Whether the scheduler has to answer something before it is given more."""
        return not self._asked

    def answered(self) -> None:
        """Know that the scheduler has answered a question."""
        self._asked = True

    # --- recovery ---------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Wait until no submission is under way that somebody before us began."""
        self._ready = False
        told, began = False, _now()
        while busy := self._busy():
            if not told and _now() > began + _PATIENCE:
                log.event("delayed", what="run", reason=busy)
                told = True
            await asyncio.sleep(_LOOK)
        self._ready = True

    def _busy(self) -> str:
        """Say why a submission may be under way; "" where none is."""
        try:
            with self._opened() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "a submission of before is still under way"
        except Transient as error:
            return f"{error} {error.detail}"
        return ""

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            lock = os.open(self._lock, flags, 0o600)
        except OSError as error:
            raise Transient(
                "The lock of submissions cannot be opened.", detail=str(error)
            ) from error
        try:
            yield lock
        finally:
            os.close(lock)

    # --- handing over -----------------------------------------------------------------------------

    async def hand(self, ask: Ask) -> NativeId:
        """Give the scheduler one job, and return its number there.

        Raises
        ------
        Transient
            Not now; whether it was taken, only the scheduler knows.
        Permanent
            It was refused for good, in the scheduler's words.
        """
        self._under_way += 1
        try:
            native = await self._handed(ask)
        except Transient:
            self._rest()
            raise
        finally:
            self._under_way -= 1
        self._failures = 0
        return native

    async def _handed(self, ask: Ask) -> NativeId:
        said = await self._bundles.do(self._scheduler.submit(ask))
        if said.status == 0:
            try:
                return self._scheduler.parse_submit(said.stdout)
            except UnreadableError as error:
                raise Transient(self._perhaps, detail=str(error)) from error
        lines = (" ".join(line.split()) for line in (said.stderr or said.stdout).splitlines())
        words = self._words = "; ".join(filter(None, lines))[:_SHOWN]
        if said.status in {_NOT_EXECUTED, _NOT_FOUND}:
            raise Transient(self._not_now, detail=words)
        match self._scheduler.verdict(said):
            case Verdict.NEVER:
                title = self._scheduler.title
                raise Permanent(Saying("ends/refused", title=title, words=escaped(words)))
            case Verdict.LATER:
                raise Transient(self._not_now, detail=words)
            case Verdict.UNKNOWN:
                raise Transient(self._perhaps, detail=f"status {said.status}: {words}")

    async def _run(self, commands: Sequence[Command]) -> Sequence[Said]:
        if _now() < self._rests_until:
            # Others that were before them have heard so.
            raise Transient(self._not_now, detail=self._words)
        with self._opened() as lock:
            # Nobody holds it alone once we are ready.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return await programs.together(commands, limit=self._limit, lock=lock)

    def _rest(self) -> None:
        if _now() < self._rests_until:
            # Several that were under way together fail together.
            return
        self._rests_until = _now() + _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        self._asked = False


def _now() -> float:
    return asyncio.get_running_loop().time()
