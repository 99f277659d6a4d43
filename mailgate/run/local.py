"""The local engine: jobs on the gateway's own machine, which outlive it.

Nothing of a job hangs on this process. The script holds the attempt's lock, watches the work's
limit and records the end; here it is only started, seen and told to stop. Process ids are hints: an
attempt is alive while its lock is held, and a signal goes only to a process seen to hold it.
"""

import asyncio
import os
import pickle
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from signal import Signals

from mailgate import log
from mailgate.errors import Transient
from mailgate.hands import Crew
from mailgate.model import Attempt, NativeId, Token
from mailgate.run import jobdir
from mailgate.run.files import writing
from mailgate.run.jobdir import Folder, Start
from mailgate.run.process import FILES, is_child, is_locked, is_script, most_files
from mailgate.run.remains import end_remains, strays
from mailgate.run.sandbox import Confinement
from mailgate.run.script import default_signals
from mailgate.run.sight import Ended, Running, Sight, is_wiped
from mailgate.run.steps import Launch, launched, looked

# A script has written its process id within milliseconds.
_START_PATIENCE = 2.0
_PAUSE = 0.005

# A started script is looked at after this, so that its start is told.
_STARTED_AFTER = 0.05
# Attempts that no pidfd watches (too many, an old kernel) are looked at so often.
_UNWATCHED = 1.0
# Of the files that this process may have open, watches take at most one in so many.
_SHARE = 4
# What slipped through when a job ended (it was just being started): one search of /proc serves all
# of so long.
_SWEEP = 1.0


@dataclass(slots=True, kw_only=True)
class _Watch:
    """A living script: a pidfd that becomes readable when it ends.

    ``process`` was pinned after its start was told; whether it was the script still is known only
    once it is ``sure``.
    """

    pinned: int
    process: int
    sure: bool
    since: float


class Local:
    """Run attempts on this machine; make and use it in one event loop."""

    def __init__(
        self,
        *,
        slots: int,
        crew: Crew,
        path: str,
        kill_after: timedelta,
        confinement: Confinement,
        pin: Callable[[int], int] = os.pidfd_open,
    ) -> None:
        self._slots = slots
        self._crew = crew
        self._confined = confinement.holds
        launch = Launch(
            path=path,
            kill_after=kill_after,
            confinement=confinement,
            default_signals=default_signals(),
            files=FILES,
        )
        self._launch = pickle.dumps(launch)
        self._pin = pin
        self._changed = asyncio.Event()
        self._watches: dict[Token, _Watch] = {}
        self._starts: dict[Token, datetime] = {}
        self._swept: set[Token] = set()
        self._unseen: set[Token] = set()
        self._most_watched = most_files() // _SHARE
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sweeping: set[asyncio.Task[None]] = set()

    gate = None

    def room(self, taken: int) -> int:
        """Return how many more attempts it can be given now, with ``taken`` already its."""
        return self._slots - taken

    async def release(self, attempt: Attempt) -> None:
        """Do nothing: this machine holds none."""

    def dropped(self, attempt: Attempt) -> None:
        """Do nothing: what has not begun is nowhere but in the spool."""

    @property
    def changed(self) -> asyncio.Event:
        """Set when an attempt may have ended, or was just started."""
        return self._changed

    @property
    def silent(self) -> None:
        """Always None: nobody else is asked."""

    @property
    def answers(self) -> bool:
        """Always true: nobody else is asked."""
        return True

    async def submit(
        self, folder: Folder, start: Start, lay_out: Callable[[], None] | None = None
    ) -> NativeId:
        """Start the attempt's script in a session of its own; its process id is the native id.

        Raises
        ------
        Transient
            No process or no space now, or it is being started by somebody else.
        Permanent
            The command cannot be given to a program, or there is no shell.
        """
        # Writes files and waits for a lock.
        process, ours = await self._crew.do(launched, self._launch, folder, start, lay_out)
        if ours:
            full = len(self._watches) >= self._most_watched
            pinned = -1 if full else self._pinned(process)
            self._watch(start.token, pinned, process, sure=False)
            # A little later than due.
            self._later("started", _STARTED_AFTER * 1.1)
        return NativeId(str(process))

    async def sights(self, attempts: Sequence[tuple[Folder, Attempt]]) -> Mapping[Token, Sight]:
        """Say what is seen; a living attempt that is watched costs a look into a table."""
        now = time.monotonic()
        seen: dict[Token, Sight] = {}
        unsure = []
        for folder, attempt in attempts:
            watch, started = self._watches.get(attempt.token), self._starts.get(attempt.token)
            if watch is None:
                unsure.append((folder, attempt))
            elif started is not None:
                seen[attempt.token] = Running(started=started)
            elif now >= watch.since + _STARTED_AFTER:
                unsure.append((folder, attempt))
        if unsure:
            seen |= await self._look(unsure)
        return seen

    async def cancel(
        self, folder: Folder, attempt: Attempt, why: Signals = Signals.SIGTERM
    ) -> None:
        """Tell the attempt's script to end its command; what is left without a script is killed.

        Raises
        ------
        Transient
            The script is just starting, or cannot be told.
        """
        watch = self._watches.get(attempt.token)
        if watch is not None and not watch.sure:
            # Looks into /proc.
            watch.sure = await asyncio.to_thread(is_script, watch.process, folder, attempt.number)
            # It may have ended meanwhile, and its descriptor be another's.
            watch = self._watches.get(attempt.token)
            if watch is not None and not watch.sure:
                self._gone(attempt.token)
                watch = None
        if watch is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(watch.pinned, why)
            return
        # Reads files, and waits for what it kills.
        await asyncio.to_thread(self._stop, folder, attempt, why)

    async def limit(self, folder: Folder, attempt: Attempt, limit: timedelta) -> bool:
        """Write the limit beside the script, and wake its watch; again does no harm.

        Raises
        ------
        Transient
            The folder cannot be written now.
        """
        # Writes a file.
        return await asyncio.to_thread(self._limit, folder, attempt.number, limit)

    async def sweep(self, over: Callable[[Collection[Token]], Collection[Token]]) -> None:
        """End what attempts that are over left running, as a gateway that was killed could not."""
        # Reads /proc.
        found = await asyncio.to_thread(strays)
        ended = over(found) if found else ()
        if ended and not await asyncio.to_thread(end_remains, ended):
            log.event("lingers", attempts=" ".join(sorted(ended)))

    async def close(self) -> None:
        """Let go of everything; jobs live on."""
        for timer in self._timers.values():
            timer.cancel()
        for token in list(self._watches):
            self._unwatch(token)
        await asyncio.gather(*self._sweeping)
        if self._swept:
            # What was to be swept soon; nobody would know of it later.
            await asyncio.to_thread(end_remains, self._swept)

    # --- seeing -----------------------------------------------------------------------------------

    async def _look(self, attempts: Sequence[tuple[Folder, Attempt]]) -> Mapping[Token, Sight]:
        """Look into the folders, and watch what lives."""
        starts = {a.token: self._starts[a.token] for _, a in attempts if a.token in self._starts}
        # Reads some small files of each, and /proc.
        found = await self._crew.do(looked, attempts, starts, confined=self._confined)
        for _, attempt in attempts:
            why = found.unread.get(attempt.token)
            if why is None:
                self._unseen.discard(attempt.token)
            elif attempt.token not in self._unseen:
                # Told once.
                self._unseen.add(attempt.token)
                log.event("unseen", job=attempt.job, token=attempt.token, detail=why)
        if found.lingering:
            log.event("lingers", attempts=" ".join(sorted(found.lingering)))
        await self._follow(attempts, found.sights)
        return found.sights

    async def _follow(
        self, attempts: Sequence[tuple[Folder, Attempt]], seen: Mapping[Token, Sight]
    ) -> None:
        """Watch what lives, let go of what has ended."""
        strange = []
        for folder, attempt in attempts:
            match seen.get(attempt.token):
                case Running(started=started):
                    self._starts[attempt.token] = started
                    if attempt.token not in self._watches:
                        strange.append((folder, attempt))
                case Ended() as sight if not is_wiped(sight):
                    self._starts.pop(attempt.token, None)
                    self._sweep_later(attempt.token)
                case None:
                    self._later("unwatched", _UNWATCHED)
                case _:
                    self._starts.pop(attempt.token, None)
        free = self._most_watched - len(self._watches)
        if len(strange) > free:
            self._later("unwatched", _UNWATCHED)
        if strange[:free]:
            # Found after a restart: reads a small file of each.
            for token, pinned, process in await asyncio.to_thread(self._find, strange[:free]):
                self._watch(token, pinned, process, sure=True)

    def _find(self, attempts: Sequence[tuple[Folder, Attempt]]) -> list[tuple[Token, int, int]]:
        """Pin the scripts of attempts that somebody else started (in a thread)."""
        found = []
        for folder, attempt in attempts:
            process = None
            with suppress(OSError):
                process = jobdir.script_process(folder, attempt.number)
            pinned = -1 if process is None else self._pinned(process)
            if pinned >= 0 and not is_script(process, folder, attempt.number):
                os.close(pinned)
                pinned = -1
            found.append((attempt.token, pinned, process or 0))
        return found

    def _pinned(self, process: int) -> int:
        """Return a pidfd of the process; -1 where there is none to be had."""
        try:
            return self._pin(process)
        except ProcessLookupError:
            # It was quick.
            self._changed.set()
        except OSError:
            pass
        return -1

    def _watch(self, token: Token, pinned: int, process: int, *, sure: bool) -> None:
        if pinned < 0:
            self._later("unwatched", _UNWATCHED)
            return
        if token in self._watches:
            os.close(pinned)
            return
        since = time.monotonic()
        self._watches[token] = _Watch(pinned=pinned, process=process, sure=sure, since=since)
        asyncio.get_running_loop().add_reader(pinned, self._gone, token)

    def _unwatch(self, token: Token) -> None:
        watch = self._watches.pop(token)
        asyncio.get_running_loop().remove_reader(watch.pinned)
        os.close(watch.pinned)

    def _gone(self, token: Token) -> None:
        """Let go of a watched script, which has ended."""
        self._unwatch(token)
        self._changed.set()

    # --- ending (in a thread) ---------------------------------------------------------------------

    def _stop(self, folder: Folder, attempt: Attempt, why: Signals) -> None:
        deadline = time.monotonic() + _START_PATIENCE
        while True:
            with writing():
                if not is_locked(folder, attempt.number):
                    break
                process = jobdir.script_process(folder, attempt.number)
            if process is not None and self._tell(process, folder, attempt.number, why):
                return
            if time.monotonic() > deadline:
                raise Transient("The job is just starting and cannot be stopped yet.")
            time.sleep(_PAUSE)
        end_remains({attempt.token})

    def _limit(self, folder: Folder, number: int, limit: timedelta) -> bool:
        jobdir.write_limit(folder, number, limit)
        with writing():
            script = jobdir.script_process(folder, number)
            watch = jobdir.script_process(folder, number, "watch")
        if script is None or watch is None:
            return False
        return self._tell(script, folder, number, Signals.SIGUSR1, watch=watch)

    def _tell(
        self, process: int, folder: Folder, number: int, why: Signals, *, watch: int | None = None
    ) -> bool:
        """Send ``why`` to the script, if that is what the process is, or to the watch it started.

        A script that has no watch names itself.
        """
        told = watch or process
        pinned = self._pinned(told)
        try:
            if not is_script(process, folder, number):
                return False
            if told != process and not is_child(told, process):
                return False
            with suppress(ProcessLookupError):
                if pinned >= 0:
                    signal.pidfd_send_signal(pinned, why)
                else:
                    os.kill(told, why)
        finally:
            if pinned >= 0:
                os.close(pinned)
        return True

    # --- later ------------------------------------------------------------------------------------

    def _later(self, name: str, seconds: float) -> None:
        """Hint after a while that something may have changed."""
        if name not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[name] = loop.call_later(seconds, self._hint, name)

    def _hint(self, name: str) -> None:
        del self._timers[name]
        if name != "started" or self._watches.keys() - self._starts.keys():
            self._changed.set()

    def _sweep_later(self, token: Token) -> None:
        """Have what an ended attempt left behind killed soon; a sandbox leaves nothing."""
        if self._confined:
            return
        self._swept.add(token)
        if "sweep" not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers["sweep"] = loop.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        del self._timers["sweep"]
        tokens, self._swept = self._swept, set()
        # Reads /proc. Kept, so that close() can wait for it.
        sweeping = asyncio.ensure_future(self._end_remains(tokens))
        self._sweeping.add(sweeping)
        sweeping.add_done_callback(self._sweeping.discard)

    async def _end_remains(self, tokens: Collection[Token]) -> None:
        with suppress(Transient):
            await self._crew.do(end_remains, tokens)
