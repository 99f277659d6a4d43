"""The loop that turns planned letters into bytes, once; from then on they never change."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from mailgate import crash, log
from mailgate.config import Config
from mailgate.errors import Transient
from mailgate.model import Job, JobId, LetterKind, Request, Stream, Unclear
from mailgate.reply.compose import Draft, Writer
from mailgate.reply.package import Changed
from mailgate.services import Service
from mailgate.spool import codec, files, jobs, letters
from mailgate.spool.letters import Planned
from mailgate.spool.store import Spool

# The composer looks by itself so often, in seconds.
_LOOK = 2.0
# So many letters are composed at the same time, each in a thread.
_AT_ONCE = 4
# A letter up to this is kept in the database, past it as a file.
SMALL = 64 << 10
# Outputs that change while they are mailed are collected again so many times.
_PATIENCE = 3
_AGAIN = 5.0

Open = Callable[[Job, Stream], BinaryIO]
Recollect = Callable[[Job], tuple[Stream, ...]]


class Composer:
    """Composes what is planned; ``opened`` and ``recollect`` reach into the jobs' folders."""

    def __init__(
        self,
        config: Config,
        services: Mapping[str, Service],
        spool: Spool,
        writer: Writer,
        *,
        opened: Open,
        recollect: Recollect,
    ) -> None:
        self._config = config
        self._services = services
        self._spool = spool
        self._writer = writer
        self._opened = opened
        self._recollect = recollect
        self._secret = spool.folder.secret.read_bytes()
        self._busy: set[int] = set()

    async def run(self) -> None:
        """Compose until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                room = _AT_ONCE - len(self._busy)
                if room > 0:
                    for plan in letters.planned(self._spool.view, besides=self._busy, limit=room):
                        self._busy.add(plan.id)
                        group.create_task(self._compose(plan))
                await self._spool.wait("reply", longest=_LOOK)

    async def _compose(self, plan: Planned) -> None:
        """Compose, at the top of the room's loop: what goes wrong stays with that letter."""
        try:
            await self._composed(plan)
        except Transient as error:
            log.event(
                "delayed",
                what="reply",
                letter=plan.id,
                reason=str(error),
                detail=error.detail or None,
            )
            await asyncio.sleep(_AGAIN)
        except Exception as error:  # noqa: BLE001 - a letter that cannot be written stays PLANNED
            log.event("failed", what="reply", letter=plan.id, reason=repr(error))
            await asyncio.sleep(_AGAIN)
        self._busy.discard(plan.id)
        self._spool.ring("reply")

    async def _composed(self, plan: Planned) -> None:
        job = jobs.fetch(self._spool.view, plan.job) if plan.job else None
        for _ in range(_PATIENCE):
            try:
                # Building MIME costs tens of milliseconds a MiB.
                body, size, file = await asyncio.to_thread(self._written, plan, job)
                break
            except Changed as error:
                if job is None:
                    raise
                log.event("recollected", job=job.id, reason=str(error))
                job = await self._collected_again(job)
        else:
            message = "its outputs change while they are read"
            raise Transient(message)
        crash.point("reply:written")
        await self._spool.write(
            lambda tx: letters.composed(tx, plan.id, size=size, body=body, file=file)
        )
        crash.point("reply:composed")

    async def _collected_again(self, job: Job) -> Job:
        streams = await asyncio.to_thread(self._recollect, job)
        await self._spool.write(lambda tx: jobs.restream(tx, job.id, streams))
        return jobs.fetch(self._spool.view, job.id)

    def _written(self, plan: Planned, job: Job | None) -> tuple[bytes | None, int, str | None]:
        path = self._spool.folder.letters / f"{plan.id}.eml"
        out = files.Growing(path, small=SMALL)
        try:
            # Composed again, it is a new file: the old one may be a big letter for a small relay.
            path.unlink(missing_ok=True)
            self._writer.compose(self._draft(plan, job), self._stream(job), out)
            body = out.seal()
        except BaseException as error:
            out.discard()
            if isinstance(error, OSError):
                raise files.failed(error) from error
            raise
        return body, out.size, path.name if body is None else None

    def _stream(self, job: Job | None) -> Callable[[Stream], BinaryIO]:
        def opened(stream: Stream) -> BinaryIO:
            if job is None:
                message = "a letter without a job has no streams"
                raise LookupError(message)
            return self._opened(job, stream)

        return opened

    def _draft(self, plan: Planned, job: Job | None) -> Draft:
        thread, facts = _facts(plan)
        if job is not None:
            thread = (job.in_reply_to, job.references)
            # The phase when it was planned: a start mail says EXECUTING whatever came since.
            job = replace(job, phase=plan.phase or job.phase)
            facts = self._about(plan.kind, job)
        return Draft(
            kind=plan.kind,
            gateway=self._config.gateway.address,
            recipient=plan.recipient,
            message_id=plan.message_id,
            date=plan.planned,
            now=datetime.now(UTC),
            in_reply_to=thread[0],
            references=thread[1],
            reply_to=self._reply_to(job.id, plan.recipient) if job else None,
            job=job,
            facts=facts,
            limit=min(self._config.deliver.max_size, plan.limit or self._config.deliver.max_size),
        )

    def _about(self, kind: LetterKind, job: Job) -> Mapping[str, object]:
        """Return what a result may say beyond the job: how long another try may ask for."""
        service = self._services.get(job.service)
        if kind is not LetterKind.RESULT or service is None or service.limits.work is None:
            return {}
        return {"work_limit_max": service.limits.work}

    def _reply_to(self, job: JobId, recipient: str) -> str:
        """``jobs+job.ID.KEY@...``: the KEY shows that we gave the address to this recipient."""
        proof = hmac.digest(self._secret, f"{job}\0{recipient}".encode(), "sha256")
        key = base64.b32encode(proof[:10]).decode().lower()
        local, _, domain = self._config.gateway.address.rpartition("@")
        return f"{local}+job.{job}.{key}@{domain}"


def _facts(plan: Planned) -> tuple[tuple[str | None, str | None], Mapping[str, object]]:
    """Return the request's Message-ID and References, and the facts of its answers."""
    stored = codec.load(dict, plan.facts)
    thread = (stored.get("message_id"), stored.get("references"))
    answers = [(LetterKind(a["kind"]), a["facts"]) for a in stored.get("answers", [])]
    if not answers:
        return thread, {}
    first, *others = [(kind, _rich(kind, facts)) for kind, facts in answers]
    return thread, {**first[1], "others": tuple(others)} if others else first[1]


def _rich(kind: LetterKind, facts: Mapping[str, object]) -> Mapping[str, object]:
    """Return the model's values behind an answer's JSON."""
    match kind:
        case LetterKind.UNCLEAR:
            return {"unclear": codec.load(Unclear, json.dumps(facts["unclear"]))}
        case LetterKind.DRY_RUN:
            return {
                "request": codec.load(Request, json.dumps(facts["request"])),
                "argv": codec.load(tuple[str, ...], json.dumps(facts["argv"])),
                **{
                    name: timedelta(seconds=seconds)
                    for name in ("work_limit", "keep")
                    if isinstance(seconds := facts.get(name), int | float)
                },
            }
        case _:
            return facts
