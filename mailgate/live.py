"""`mailgate check --live`: the mailboxes, a test letter by the way out, a test job by each engine.

Both outside the queue of real letters and jobs, beside a running daemon or without one. Nothing is
left behind but the letter where it was sent to.
"""

import asyncio
import io
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from mailgate.config import Config, Courier, ImapDoor
from mailgate.daemon import courier_of, engine_of, writer_of
from mailgate.errors import MailgateError, Permanent, Transient
from mailgate.hands import Hands
from mailgate.model import (
    Attempt,
    AttemptState,
    Exit,
    JobId,
    Letter,
    LetterKind,
    Plan,
    Reason,
    Stream,
)
from mailgate.reply.compose import Draft
from mailgate.run import jobdir
from mailgate.run.engine import Denied, Ended, Engine, Gone, NotStarted, Sight, Waiting
from mailgate.run.files import remove_tree
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.run.jobdir import Start
from mailgate.services import Service
from mailgate.spool.attempts import new_token

_COMMAND = "true"
# It is over in milliseconds; a machine that takes longer than this is no place for jobs.
_LIMIT = timedelta(seconds=30)
_LOOK = 0.5
_OVER = (Denied, Ended, Gone, NotStarted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One thing that was tried: what, what came of it, and an exit status for sysexits(3)."""

    what: str
    came: str
    status: int = 0


async def live(
    config: Config, services: Mapping[str, Service], *, to: str | None = None
) -> list[Tried]:
    """Open each mailbox, send a test letter to ``to``, by default the operator, run test jobs.

    One job for each queue of each engine that the services name. Raises nothing.
    """
    mailboxes = [await _mailbox(door) for door in config.imap]
    letter = await _letter(config, to or _operator(config))
    default = config.run.engine
    queues = dict.fromkeys((s.engine or default, s.queue or "") for s in services.values())
    jobs = [await _job(config, services, *one) for one in queues or {(default, ""): None}]
    return [*mailboxes, letter, *jobs]


def _operator(config: Config) -> str:
    return f"postmaster@{config.gateway.address.rpartition('@')[2]}"


# --- the mailboxes --------------------------------------------------------------------------------


async def _mailbox(door: ImapDoor) -> Tried:
    from mailgate.receive.imap.probe import probe  # noqa: PLC0415 - an IMAP client, where needed

    what = f'mailbox "{door.mailbox}" of {door.user} at {door.host}:{door.port}'
    try:
        # It waits for a server, with a time limit of its own for each answer.
        return Tried(what=what, came=await asyncio.to_thread(probe, door))
    except MailgateError as error:
        return _failed(what, error)


# --- the letter -----------------------------------------------------------------------------------


async def _letter(config: Config, recipient: str) -> Tried:
    what = f"letter to {recipient} {_way(config)}"
    try:
        courier = courier_of(config)
        try:
            words = await courier.deliver(_composed(config, recipient))
        finally:
            courier.close()
    except MailgateError as error:
        return _failed(what, error)
    return Tried(what=what, came=f"delivered: {words}" if words else "delivered")


def _way(config: Config) -> str:
    relay = config.deliver.smtp
    if config.deliver.courier is Courier.SMTP and relay is not None:
        return f"through the relay {relay.host}:{relay.port}"
    return "into its Maildir"


def _composed(config: Config, recipient: str) -> Letter:
    """Write the letter as the composer would; it leaves with the null sender, as answers do."""
    now = datetime.now(UTC)
    domain = config.gateway.address.rpartition("@")[2]
    draft = Draft(
        kind=LetterKind.TEST,
        gateway=config.gateway.address,
        recipient=recipient,
        message_id=f"<test.{secrets.token_hex(8)}@{domain}>",
        date=now,
        now=now,
        in_reply_to=None,
        references=None,
        reply_to=None,
        job=None,
        facts={},
        limit=config.deliver.max_size,
    )
    body = io.BytesIO()
    writer_of(config).compose(draft, _no_stream, body)
    return Letter(
        id=0,
        recipient=recipient,
        sender="",
        message_id=draft.message_id,
        planned=now,
        size=body.tell(),
        body=body.getvalue(),
    )


def _no_stream(stream: Stream) -> BinaryIO:
    message = f"a test letter has no stream {stream.name}"
    raise LookupError(message)


# --- the job --------------------------------------------------------------------------------------


async def _job(config: Config, services: Mapping[str, Service], name: str, queue: str) -> Tried:
    what = f'job "{_COMMAND}" by the engine {name}'
    if queue:
        what += f', in the queue "{queue}"'
    began = time.monotonic()
    hands = Hands(1)
    try:
        with _place(config.run.folder) as jobs:
            # Not in the daemon's own places: what root left there would be in the gateway's way.
            apart = replace(config, run=replace(config.run, folder=jobs))
            engine = engine_of(apart, name, services, jobs, hands)
            end = await _ended(engine, jobs, queue)
    except MailgateError as error:
        return _failed(what, error)
    finally:
        await hands.close()
    came = f"ended with {_told(end)} after {time.monotonic() - began:.1f} s"
    worked = end.reason is Reason.EXIT and end.code == 0
    return Tried(what=what, came=came, status=0 if worked else Permanent.exit_status)


def _told(end: Exit) -> str:
    sort = "exit code " if end.reason is Reason.EXIT else ""
    return f"{sort}{end.header}{f' ({end.words})' if end.words else ''}"


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Make a folder of jobs of our own below the real one, on its disk and in nobody's way."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="live.", dir=folder))
    except OSError as error:
        message = f"the folder {folder} cannot be written: {error.strerror}"
        raise Transient(message) from error
    try:
        yield place
    finally:
        remove_tree(place)
        for made in missing:
            # A daemon that was just started may have put something there.
            if not any(made.iterdir()):
                made.rmdir()


async def _ended(engine: Engine, jobs: Path, queue: str, within: timedelta = 2 * _LIMIT) -> Exit:
    """Run the command as one attempt; raises Transient, with why, where it has no end in time."""
    folder = JobFolder(jobs, JobId("a" * 12))
    start = Start(
        job=folder.job,
        token=new_token(),
        number=1,
        plan=Plan(argv=(_COMMAND,), queue=queue),
        limit=_LIMIT,
    )
    attempt = Attempt(
        token=start.token,
        job=start.job,
        number=start.number,
        engine="",
        state=AttemptState.SUBMITTED,
    )
    # Files, on a disk that may be slow.
    await asyncio.to_thread(jobdir.prepare, folder, start.plan, ())
    try:
        # Nothing there is over that this one would know of.
        await engine.sweep(lambda _: ())
        await engine.submit(folder, start)
        sight = await _seen(engine, folder, attempt, within)
        if not isinstance(sight, _OVER):
            await engine.cancel(folder, attempt)
            why = sight.queued.why if isinstance(sight, Waiting) else ""
            raise Transient("it has not ended in time", detail=why)
        return _exit(sight)
    finally:
        await engine.close()


async def _seen(
    engine: Engine, folder: JobFolder, attempt: Attempt, within: timedelta
) -> Sight | None:
    """Wait until it is over, so long at the most; return what was seen of it last."""
    last: Sight | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            while True:
                last = (await engine.sights([(folder, attempt)])).get(attempt.token, last)
                if isinstance(last, _OVER):
                    break
                await _changed(engine)
    return last


async def _changed(engine: Engine) -> None:
    """Wait for news of it, for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOK):
            await engine.changed.wait()
        engine.changed.clear()


def _exit(sight: Sight) -> Exit:
    if isinstance(sight, Denied | Ended):
        return sight.exit
    raise Transient("it was lost without a word")


def _failed(what: str, error: MailgateError) -> Tried:
    detail = f" ({error.detail})" if error.detail else ""
    return Tried(what=what, came=f"failed: {error}{detail}", status=error.exit_status)
