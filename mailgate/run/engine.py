"""What the runner asks of an engine, local or a cluster's."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from signal import Signals
from typing import Protocol

from mailgate.model import Attempt, NativeId, Token
from mailgate.run.jobdir import Folder, Start
from mailgate.run.sight import Ended, Gone, NotStarted, Running, Sight

__all__ = ["Ended", "Engine", "Gone", "NotStarted", "Running", "Sight"]


class Engine(Protocol):
    """Starts attempts, sees them, ends them. It remembers nothing that a restart may lose."""

    @property
    def slots(self) -> int | None:
        """How many attempts it runs at once; None where its own queue sees to that."""

    @property
    def changed(self) -> asyncio.Event:
        """Set whenever an attempt may have ended: a hint to ask. The runner clears it."""

    async def submit(
        self, folder: Folder, start: Start, lay_out: Callable[[], None] = ...
    ) -> NativeId:
        """Start the attempt, whose row is there; twice starts it once.

        ``lay_out`` blocks, and is called in a thread just before: it prepares the job's folder.

        Raises
        ------
        Transient
            Not now; whether it began, sights tell.
        Permanent
            Never; it has not begun.
        """

    async def sights(self, attempts: Sequence[tuple[Folder, Attempt]]) -> Mapping[Token, Sight]:
        """Say what is seen of these attempts. One that is missing from the answer is unknown.

        An attempt that is Gone or was ended has left no process behind. NotStarted is said only
        of one that is not on its way either.

        Raises
        ------
        Transient
            Nothing can be seen now.
        """

    async def limit(self, folder: Folder, attempt: Attempt, limit: timedelta) -> bool:
        """Have an attempt that runs end ``limit`` after its start, whatever it was started with.

        It holds while the gateway is gone, too. False: it cannot be told any more.

        Raises
        ------
        Transient
            Not now.
        """

    async def sweep(self, over: Callable[[Collection[Token]], Collection[Token]]) -> None:
        """Leave no process of attempts that are over; ``over`` says which of some tokens are."""

    async def cancel(
        self, folder: Folder, attempt: Attempt, why: Signals = Signals.SIGTERM
    ) -> None:
        """Have the attempt ended, TERM first; sights tell when it has. None such is no error.

        ``why`` is what its script is told: SIGXFSZ for what it has written, else SIGTERM.

        Raises
        ------
        Transient
            Not now.
        """
