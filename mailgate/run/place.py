"""The folder of all jobs: whether it is there and is this gateway's, and whether there is room.

A file ``gateway`` in it holds a mark that the spool knows too. Where that is missing or another's
while jobs run or outputs are kept, the folder is not the one that these lie in (a disk that is not
mounted, a slip in the configuration): nothing is concluded, nothing is started, until it is back.
"""

import asyncio
import errno
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mailgate import log
from mailgate.errors import MailgateError, Permanent, Transient
from mailgate.model import MARK, JobId
from mailgate.model.outlook import Cause
from mailgate.run import jobdir
from mailgate.run.excess import FULL
from mailgate.run.files import reopen
from mailgate.run.jobdir import Folder
from mailgate.run.mark import Mark, read, write
from mailgate.settings.units import said_size
from mailgate.spool import house, standstills
from mailgate.spool.files import free
from mailgate.spool.house import House
from mailgate.spool.store import Spool

# It is looked so often (seconds), and anew before anything is concluded from what is not there.
_EVERY = 1.0


class Place:
    """The folder of jobs of one gateway. `settle` first; the rest says how that stands.

    ``away`` says why nothing may be concluded or started, ``tight`` why nothing may be started.
    """

    def __init__(self, jobs: Path, spool: Spool, *, min_free: int) -> None:
        self._jobs = jobs
        self._spool = spool
        self._min_free = min_free
        self._looked_at = 0.0
        self._mark: str | None = None
        self.away: str | None = None
        self.tight: str | None = None
        self._full_at: datetime | None = None

    async def take(self) -> None:
        """Make the folder this gateway's at its start, or go on with it.

        Raises
        ------
        Permanent
            It is another gateway's, or cannot be used, and nothing of ours goes on in it.
        """
        await self.settle()
        if self.away is not None and not house.needs_folder(self._spool.view):
            raise Permanent(self.away)

    async def settle(self, *, anew: bool = False) -> bool:
        """Look at the folder, unless that was just done (but ``anew``); True: it is ours."""
        now = time.monotonic()
        if not anew and now < self._looked_at + _EVERY:
            return self.away is None
        # Reads small files, on a disk that may be slow.
        fault, tight = await asyncio.to_thread(self._looked)
        if fault is not None:
            try:
                fault = await self._mended()
            except MailgateError as error:
                # A locked database, say.
                fault = str(error)
            if fault is None:
                tight = await asyncio.to_thread(self._crowded)
        self._looked_at = time.monotonic()
        self._tell(fault, tight)
        await self._note()
        return fault is None

    @property
    def mark(self) -> Mark:
        """What to check in a thread or a process of its own: that the folder is there right now."""
        return Mark(self._jobs, self._mark)

    async def claim(self, folder: Folder, number: int) -> bool:
        """Take an attempt's claim (`jobdir.claim`) in a folder of jobs that is there right now.

        Raises
        ------
        Transient
            It is not there: a claim in what takes its place would be none.
        """
        return await asyncio.to_thread(self._claim, folder, number)

    def _claim(self, folder: Folder, number: int) -> bool:
        self.mark.check()
        return jobdir.claim(folder, number)

    def full_since(self, moment: datetime) -> bool:
        """Tell whether the disk was seen full then or later; it is looked at once a second."""
        return self._full_at is not None and self._full_at >= moment

    # --- looking ----------------------------------------------------------------------------------

    def _looked(self) -> tuple[str | None, str | None]:
        """Say what is wrong with the mark, and that there is no room (in a thread)."""
        try:
            with suppress(OSError):
                reopen(self._jobs)
            self.mark.check()
        except Transient as error:
            return str(error), None
        return None, self._crowded()

    def _crowded(self) -> str | None:
        for place in (self._jobs, self._spool.folder.root):
            try:
                left = free(place)
            except OSError:
                continue
            if left < FULL and place == self._jobs:
                self._full_at = datetime.now(UTC)
            if left < self._min_free:
                return (
                    f"only {said_size(left)} are free on the disk of {place}, less than min_free"
                    f" ({said_size(self._min_free)}): no job is started until there is more"
                )
        return None

    def _tell(self, away: str | None, tight: str | None) -> None:
        """Say in the log what has changed."""
        if away is not None and self.away is None:
            log.event("unseen", folder=str(self._jobs), reason=away)
        if away is None and self.away is not None:
            log.event("resumed", folder=str(self._jobs))
        if tight is not None and self.tight is None:
            log.event("delayed", what="run", reason=tight)
        self.away, self.tight = away, tight

    async def _note(self) -> None:
        """Keep what has changed where people are told of it."""
        cause = Cause.AWAY if self.away else Cause.TIGHT if self.tight else None
        why = self.away or self.tight or ""
        try:
            noted = standstills.noted(self._spool.view)
            if cause != (noted.cause if noted else None):
                await self._spool.write(lambda tx: standstills.note(tx, cause, why))
        except MailgateError as error:
            # Still so at the next look.
            log.delayed("run", reason=str(error), detail=error.detail)

    # --- the mark ---------------------------------------------------------------------------------

    async def _mended(self) -> str | None:
        """Mark the folder where it may be marked; else say why not, and what to do."""
        ours = house.known(self._spool.view)
        if ours is None:
            ours = await self._spool.write(house.named)
        self._mark = ours.mark
        jobs = [JobId(job) for job in house.there(self._spool.view)]
        needed = house.needs_folder(self._spool.view)
        try:
            there, holds = await asyncio.to_thread(self._found, jobs)
            if there is not None and there == ours.mark:
                return None
            if there is not None and there.split()[:1] != [ours.name]:
                return self._anothers()
            if there is not None and not needed:
                await self._adopt(there)
            elif there is None and holds and ours.mark is not None:
                # Somebody deleted the mark alone.
                await asyncio.to_thread(write, self._jobs, ours.mark)
            elif there is None and (not needed or ours.mark is None):
                await self._mark_anew(ours)
            else:
                return self._gone(ours)
            there = await asyncio.to_thread(read, self._jobs)
        except OSError as error:
            said = error.strerror or str(error)
            mend = (
                "raise the limit of open files"
                if error.errno in {errno.EMFILE, errno.ENFILE}
                else "make [run] folder one that the gateway's user can write"
            )
            return f"the folder {self._jobs} cannot be used: {said}; {mend}"
        # Another gateway that was faster.
        return None if there == self._mark else self._anothers()

    def _found(self, jobs: Sequence[JobId]) -> tuple[str | None, bool]:
        """Return the mark that is there, and whether one of these jobs has its folder there."""
        there = read(self._jobs)
        return there, any(Folder(self._jobs, job).root.is_dir() for job in jobs)

    async def _mark_anew(self, ours: House) -> None:
        mark = house.new_mark(ours)
        await asyncio.to_thread(self._jobs.mkdir, 0o700, parents=True, exist_ok=True)
        # First the database: of a mark without its row nobody would know whose it is.
        await self._adopt(mark)
        await asyncio.to_thread(write, self._jobs, mark)

    async def _adopt(self, mark: str) -> None:
        await self._spool.write(lambda tx: house.marked(tx, mark))
        self._mark = mark

    def _anothers(self) -> str:
        return (
            f"the folder {self._jobs} holds the jobs of another gateway: give each gateway a"
            f" [run] folder of its own; where the other one is no more, delete {self._jobs / MARK}"
        )

    def _gone(self, ours: House) -> str:
        return (
            f"{self._jobs} is not the folder that holds the jobs that run and the outputs that are"
            " kept: mount or configure that one. If it is lost for good, they are given up after:"
            f" echo '{ours.mark}' > {self._jobs / MARK}"
        )


def is_marked(jobs: Path, ours: House | None) -> bool:
    """Tell whether the folder of jobs is this gateway's; raises OSError."""
    return ours is not None and ours.mark is not None and read(jobs) == ours.mark
