"""The loop that turns planned letters into bytes, once; from then on they never change."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import BinaryIO, TypeVar

from mailgate import crash, log
from mailgate.config import Config
from mailgate.errors import MailgateError, Transient
from mailgate.model import (
    Carried,
    Job,
    LetterKind,
    Reason,
    Reply,
    Stream,
    Wanted,
)
from mailgate.model.parcel import Pieces
from mailgate.reply.compose import Draft, Writer
from mailgate.reply.live import LOOKED_AT, Printed, Read
from mailgate.reply.package import Changed, Overfull
from mailgate.reply.ship import Shipper
from mailgate.reply.stored import answers_of, asked, outlook_of
from mailgate.reply.streams import OpenStream
from mailgate.saying import Saying, Words
from mailgate.services import Service
from mailgate.spool import codec, files, jobs, letters, shipments, wishes
from mailgate.spool.addresses import reply_address
from mailgate.spool.database import Site, Tx
from mailgate.spool.denied import is_denied, withdraw
from mailgate.spool.letters import Planned
from mailgate.spool.outlook import at_cluster
from mailgate.spool.store import Spool

# The composer looks by itself so often, in seconds.
_LOOK = 2.0
# So many letters are composed at the same time, each in a thread.
_AT_ONCE = 4
# A letter up to this is kept in the database, past it as a file.
SMALL = 64 << 10
# Outputs that change while they are mailed are collected again so many times; then the letter
# rests, and so many rests later it goes without them.
_PATIENCE = 3
_RESTS = 3
# A letter that cannot be composed rests so long at first, and at most, in seconds.
_AGAIN = 5.0
_LONGEST = 300.0
# Nobody waits longer for what jobs have printed (seconds): their disk may hang.
_PRINTED = 2.0

_TELL_INPUTS = {LetterKind.RESULT, LetterKind.RECEIPT, LetterKind.STARTED}

T = TypeVar("T")
Inputs = tuple[tuple[str, int], ...]

Open = Callable[[Job, Stream], BinaryIO]
# What there is now, and what is left out and why.
Recollect = Callable[[Job], tuple[tuple[Stream, ...], tuple[Words, ...]]]


class Composer:
    """Composes what is planned.

    ``opened``, ``recollect`` and ``printed`` reach into the jobs' folders.
    """

    def __init__(
        self,
        config: Config,
        services: Mapping[str, Service],
        spool: Spool,
        writer: Writer,
        *,
        opened: Open,
        recollect: Recollect,
        printed: Read,
    ) -> None:
        self._config = config
        self._services = services
        self._spool = spool
        self._writer = writer
        self._shipper = Shipper(writer, spool.folder.letters)
        self._opened = opened
        self._recollect = recollect
        self._printed = printed
        self._secret = spool.folder.secret.read_bytes()
        self._busy: set[int] = set()
        self._rests: dict[int, float] = {}
        # How often a letter has failed.
        self._failures: dict[int, int] = {}
        # Of its own: another room's threads may all hang on their disk.
        self._threads = ThreadPoolExecutor(_AT_ONCE, "reply")

    async def run(self) -> None:
        """Compose until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for plan in self._next():
                        self._busy.add(plan.id)
                        group.create_task(self._compose(plan))
                    await self._spool.wait("reply", longest=_LOOK)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> list[Planned]:
        """Return what can be begun; letters that failed rest, and take nobody's place meanwhile."""
        now = asyncio.get_running_loop().time()
        self._rests = {letter: until for letter, until in self._rests.items() if until > now}
        room = _AT_ONCE - len(self._busy)
        if room <= 0:
            return []
        besides = self._busy | self._rests.keys()
        return letters.planned(self._spool.view, besides=besides, limit=room)

    async def _compose(self, plan: Planned) -> None:
        """Compose, at the top of the room's loop: what goes wrong stays with that letter."""
        try:
            await self._composed(plan)
            self._failures.pop(plan.id, None)
        except MailgateError as error:
            log.delayed("reply", letter=plan.id, reason=str(error), detail=error.detail)
            await self._rest(plan, str(error))
        except Exception as error:  # noqa: BLE001 - a letter that cannot be written stays PLANNED
            log.event("failed", what="reply", letter=plan.id, reason=repr(error))
            await self._rest(plan, f"it cannot be composed: {error!r}")
        self._busy.discard(plan.id)
        self._spool.ring("reply")

    async def _rest(self, plan: Planned, words: str) -> None:
        failures = self._failures[plan.id] = self._failures.get(plan.id, 0) + 1
        pause = min(_AGAIN * 2 ** min(max(failures - _RESTS, 0), 10), _LONGEST)
        until = datetime.now(UTC) + timedelta(seconds=pause)
        self._rests[plan.id] = asyncio.get_running_loop().time() + pause
        try:
            await self._spool.write(
                lambda tx: letters.unwritten(tx, plan.id, until=until, words=words)
            )
        except MailgateError as error:
            log.delayed("reply", letter=plan.id, reason=str(error), detail=error.detail)
        except Exception as error:  # noqa: BLE001 - it rests all the same
            log.delayed("reply", letter=plan.id, reason=repr(error))

    async def _composed(self, plan: Planned) -> None:
        # An answer about a job tells what came of a mail; the job may have moved since.
        has_job = plan.job and plan.kind is not LetterKind.COMMANDS
        job = jobs.fetch(self._spool.view, plan.job) if plan.job and has_job else None
        if job is not None and is_denied(self._services, job.service, plan.recipient):
            await self._spool.write(lambda tx: withdraw(tx, plan.id))
            return
        made = await self._made(plan, job)
        if isinstance(made, _Bytes):
            crash.point("reply:written")
            await self._spool.write(
                lambda tx: letters.composed(
                    tx, plan.id, size=made.size, body=made.body, file=made.file
                )
            )
            crash.point("reply:composed")
            return
        # The letter stays PLANNED, and is composed in its turn as what it has become.
        crash.point("reply:packed")
        if await self._spool.write(made):
            crash.point("reply:split")

    async def _made(self, plan: Planned, job: Job | None) -> "_Bytes | _Step":
        """Build the letter; outputs that are not what was collected are collected again."""
        tries = 0
        inputs = jobs.sent(self._spool.view, job.id) if job and plan.kind in _TELL_INPUTS else ()
        by = wishes.ended_by(self._spool.view, job.id) if job and _is_cancelled(job) else ""
        printed = await self._read(plan)
        while True:
            carried = shipments.carried(self._spool.view, plan)
            try:
                # Building MIME costs tens of milliseconds a MiB.
                draft = partial(self._draft, plan, job, carried, inputs, printed, by)
                return await self._in_thread(partial(self._written, plan, job, draft))
            except Changed as error:
                if job is None:
                    raise
                if carried is not None:
                    await self._unmade(plan, carried, str(error))
                    plan = replace(
                        plan, kind=LetterKind.RESULT, shipment=None, part=None, pieces=None
                    )
                tries += 1
                if tries <= _PATIENCE:
                    job = await self._collected_again(plan, job, error)
                elif self._hopes(plan):
                    raise
                else:
                    job = await self._without(job, error)

    async def _read(self, plan: Planned) -> Printed:
        """Read what the jobs that it tells of have printed; nothing where that takes long."""
        running = asked(plan)
        if not running:
            return {}
        try:
            async with asyncio.timeout(_PRINTED):
                return await self._printed(running, LOOKED_AT)
        except (TimeoutError, Transient) as error:
            reason = "what running jobs have printed cannot be read in time; an answer goes without"
            log.delayed("reply", letter=plan.id, reason=reason, detail=repr(error))
            return {}

    async def _unmade(self, plan: Planned, carried: Carried, reason: str) -> None:
        """Give a shipment up whose outputs or packed files are not what they were."""
        log.event("unpacked", letter=plan.id, job=plan.job, reason=reason)
        await self._in_thread(partial(self._shipper.forget, carried.shipment))
        crash.point("reply:unpacking")
        await self._spool.write(lambda tx: shipments.unmake(tx, plan.id))

    def _hopes(self, plan: Planned) -> bool:
        """Tell whether it is too early to send the letter without what it should carry."""
        return self._failures.get(plan.id, 0) < _RESTS

    async def _collected_again(self, plan: Planned, job: Job, error: Changed) -> Job:
        streams, left_out = await self._in_thread(lambda: self._recollect(job))
        if len(streams) < len(job.streams) and self._hopes(plan):
            # What is gone may come back: a disk that is not there yet, say.
            raise error
        return await self._restreamed(job, streams, left_out, str(error))

    async def _without(self, job: Job, error: Changed) -> Job:
        streams = tuple(stream for stream in job.streams if stream.name != error.stream)
        why = Saying("outputs/left-out", name=error.stream, why=error.why)
        left_out = (*job.left_out, why)
        return await self._restreamed(job, streams, left_out, str(error))

    async def _restreamed(
        self, job: Job, streams: tuple[Stream, ...], left_out: tuple[Words, ...], reason: str
    ) -> Job:
        log.event("recollected", job=job.id, reason=reason)
        if letters.has_left(self._spool.view, job.id):
            # Nobody may take them for what the job wrote.
            left_out = (*left_out, *_changed(job.streams, streams))
        await self._spool.write(lambda tx: jobs.restream(tx, job.id, streams, left_out))
        return jobs.fetch(self._spool.view, job.id)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _written(
        self, plan: Planned, job: Job | None, drafted: Callable[[], Draft]
    ) -> "_Bytes | _Step":
        """Write the letter, or say what is to become of it first: parts."""
        draft, stream = drafted(), self._stream(job)
        carried = draft.carried
        try:
            if carried is not None and draft.limit < carried.shipment.limit:
                cuts = self._shipper.smaller(draft, stream)
                if cuts is not None:
                    return partial(_cut_again, letter=plan.id, cuts=cuts)
            try:
                return self._laid(plan, draft, stream)
            except Overfull:
                shipped = self._shipper.make(draft, stream)
            if shipped is not None:
                shipment, parts = shipped
                return lambda tx: shipments.make(tx, plan.id, shipment, parts)
            return self._laid(plan, replace(draft, whole=False), stream)
        except OSError as error:
            raise files.failed(error) from error

    def _laid(self, plan: Planned, draft: Draft, stream: OpenStream) -> "_Bytes":
        folder = self._spool.folder.letters
        path = folder / f"{plan.id}.eml"
        out = files.Growing(path, small=SMALL)
        try:
            # Composed again, it is a new file: the old one may be a big letter for a small relay.
            path.unlink(missing_ok=True)
            self._writer.compose(draft, stream, out, packed=folder)
            body = out.seal()
        except BaseException:
            out.discard()
            raise
        return _Bytes(body=body, size=out.size, file=path.name if body is None else None)

    def _stream(self, job: Job | None) -> OpenStream:
        def opened(stream: Stream) -> BinaryIO:
            if job is None:
                message = "a letter without a job has no streams"
                raise LookupError(message)
            return self._opened(job, stream)

        return opened

    def _draft(
        self,
        plan: Planned,
        job: Job | None,
        carried: Carried | None,
        inputs: Inputs,
        printed: Printed,
        by: str,
    ) -> Draft:
        thread, facts = answers_of(plan, printed)
        wanted = Wanted()
        if job is not None:
            thread = (job.in_reply_to, job.references)
            # The phase when it was planned: a start mail says EXECUTING whatever came since.
            wanted = _wanted(plan, job)
            job = replace(job, phase=plan.phase or job.phase, reply=wanted.reply, part=wanted.part)
            facts = self._about(plan, job, by)
        limits = (self._config.deliver.max_size, plan.limit, wanted.part)
        return Draft(
            kind=plan.kind,
            gateway=self._config.gateway.address,
            recipient=plan.recipient,
            message_id=plan.message_id,
            date=plan.planned,
            now=datetime.now(UTC),
            in_reply_to=thread[0],
            references=thread[1],
            reply_to=self._reply_to(plan, facts),
            job=job,
            facts=facts,
            limit=min(limit for limit in limits if limit is not None),
            only=wanted.names,
            head=wanted.head or 0,
            whole=wanted.reply not in {Reply.BRIEF, Reply.ATTACH},
            carried=carried,
            inputs=inputs,
        )

    def _reply_to(self, plan: Planned, facts: Mapping[str, object]) -> str | None:
        if plan.kind is LetterKind.CONFIRM:
            return str(facts["address"])
        if plan.job is None:
            return None
        site = Site.of(self._config.gateway.address)
        return reply_address(site, self._secret, plan.job, plan.recipient)

    def _about(self, plan: Planned, job: Job, by: str) -> Mapping[str, object]:
        """Return what a letter may say beyond the job, such as what may be asked for next."""
        service = self._services.get(job.service)
        if plan.kind in {LetterKind.NEWS, LetterKind.RECEIPT, LetterKind.STARTED}:
            facts, found = outlook_of(plan)
            return {**facts, "outlook": at_cluster(found, job, self._config.run, service)}
        if plan.kind is LetterKind.NOTICE and service is not None:
            return {"keep_max": service.limits.keep_max}
        if plan.kind not in {LetterKind.RESULT, LetterKind.PART}:
            return {}
        limits = service.limits if service else None
        more = {
            "by": by or None,
            "work_limit_max": limits and limits.work,
            "memory_max": limits and limits.most_memory,
        }
        return {name: value for name, value in more.items() if value is not None}


def _is_cancelled(job: Job) -> bool:
    return job.exit is not None and job.exit.reason is Reason.CANCELLED


def _changed(before: Sequence[Stream], now: Sequence[Stream]) -> list[Saying]:
    """Say which streams have other bytes now."""
    sums = {stream.name: stream.sha256 for stream in before}
    other = [s.name for s in now if sums.get(s.name, s.sha256) != s.sha256]
    return [Saying("outputs/as-mailed", name=name) for name in other]


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A letter's bytes: small ones as they are, bigger ones in a file of that name."""

    body: bytes | None
    size: int
    file: str | None


_Step = Callable[[Tx], bool]
"""What a letter that cannot be written as it stands waits for."""


def _cut_again(tx: Tx, *, letter: int, cuts: Sequence[Pieces]) -> bool:
    """Have smaller parts take a part's place, or say that they would be too many."""
    return shipments.cut_again(tx, letter, cuts) or shipments.cut_again(tx, letter, ())


def _wanted(plan: Planned, job: Job) -> Wanted:
    """Return how a job's result is wanted: as it was asked for again, else as in the request."""
    asked = codec.load(dict, plan.facts).get("wanted")
    return (
        codec.load(Wanted, json.dumps(asked)) if asked else Wanted(reply=job.reply, part=job.part)
    )
