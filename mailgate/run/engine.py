"""What the runner asks of an engine, local or a cluster's."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from signal import Signals
from typing import Protocol

from mailgate import log
from mailgate.errors import MailgateError, Transient
from mailgate.model import Attempt, NativeId, Token
from mailgate.run.jobdir import Folder, Start
from mailgate.run.sight import Denied, Ended, Gone, NotStarted, Running, Sight, Waiting
from mailgate.spool.turns import Among

__all__ = [
    "Denied",
    "Ended",
    "Engine",
    "Engines",
    "Gone",
    "NotStarted",
    "Running",
    "Sight",
    "Waiting",
]


class Engine(Protocol):
    """Starts attempts, sees them, ends them. It remembers nothing that a restart may lose."""

    @property
    def gate(self) -> asyncio.Semaphore | None:
        """What is held while an attempt is submitted; None for the room's own."""

    def room(self, taken: int) -> int:
        """Return how many more attempts it can be given now, with ``taken`` already its."""

    @property
    def changed(self) -> asyncio.Event:
        """Set whenever an attempt may have ended: a hint to ask. The runner clears it."""

    @property
    def silent(self) -> datetime | None:
        """Since when it answers nothing that it is asked; None while it does, or was not asked."""

    @property
    def answers(self) -> bool:
        """Whether it has answered what it was asked last."""

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

        Or nothing is new of it: that it waits is said once, as far as an attempt has it noted.

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

    async def release(self, attempt: Attempt) -> None:
        """Have an attempt go on that is held there; sights tell whether it is still.

        Raises
        ------
        Transient
            Not now.
        """

    def dropped(self, attempt: Attempt) -> None:
        """Know that an attempt is over before it began: its claim is the gateway's."""

    async def sweep(self, over: Callable[[Collection[Token]], Collection[Token]]) -> None:
        """Begin to watch; leave nothing of attempts that are over.

        ``over`` says which of some tokens are. It is called first, again after a failure.
        """

    async def close(self) -> None:
        """Let go of everything; jobs live on."""

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


class Engines:
    """Every engine in use, by the name of its [run.NAME] table; an attempt's says whose it is.

    ``default`` has the jobs of services that name none, or it; ``named`` maps services to theirs.
    """

    def __init__(
        self, engines: Mapping[str, Engine], *, default: str, named: Mapping[str, str]
    ) -> None:
        self._engines = engines
        self._default = default
        self._named = {service: name for service, name in named.items() if name != default}
        # Why nothing is seen of those that cannot be asked, as the log was told.
        self._unseen: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._engines)

    def __getitem__(self, name: str) -> Engine:
        """Return an engine.

        Raises
        ------
        Transient
            It is not in use: the operator took its table away while a job was under way.
        """
        try:
            return self._engines[name]
        except KeyError:
            message = (
                f"[run.{name}], whose jobs are under way, is not in the configuration any more:"
                " put it back until they have ended"
            )
            raise Transient(message) from None

    def jobs_of(self, name: str) -> Among:
        """Return which services' jobs go there."""
        if name == self._default:
            return Among(services=frozenset(self._named), inside=False)
        return Among(services=frozenset(s for s, e in self._named.items() if e == name))

    async def sights(self, attempts: Sequence[tuple[Folder, Attempt]]) -> dict[Token, Sight]:
        """Ask each engine for its own; one that cannot be asked says nothing of them."""
        seen: dict[Token, Sight] = {}
        shares: dict[str, list[tuple[Folder, Attempt]]] = {}
        for one in attempts:
            shares.setdefault(one[1].engine, []).append(one)
        for name, share in shares.items():
            try:
                seen.update(await self[name].sights(share))
            except MailgateError as error:
                # Unknown is not ended.
                self._tell_unseen(name, error, len(share))
            else:
                if self._unseen.pop(name, ""):
                    log.event("resumed", engine=name)
        return seen

    def _tell_unseen(self, name: str, error: MailgateError, count: int) -> None:
        """Tell it once: it is asked again each second."""
        why, detail = str(error), error.detail or None
        if self._unseen.get(name) != why:
            log.event("unseen", engine=name, attempts=count, reason=why, detail=detail)
        self._unseen[name] = why

    async def close(self) -> None:
        """Let go of everything; jobs live on."""
        for engine in self._engines.values():
            await engine.close()
