"""Wiring only: configuration -> objects -> one task group; signals; drain."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mailgate import lasting, log
from mailgate.config import Cluster, Config, Courier
from mailgate.deliver import outbox
from mailgate.desk import Counter, Desk
from mailgate.errors import BadConfig, MailgateError, Permanent
from mailgate.hands import Crew, Hands
from mailgate.janitor import Janitor
from mailgate.model import Job, Stream
from mailgate.read.reader import Reader
from mailgate.receive import doors as receive
from mailgate.reply.compose import Writer
from mailgate.reply.composer import Composer, Recollect
from mailgate.reply.dkim import Signer
from mailgate.run import sandbox
from mailgate.run.collect import collect, open_stream
from mailgate.run.engine import Engine, Engines
from mailgate.run.jobdir import Folder as JobFolder
from mailgate.run.local import Local
from mailgate.run.peek import printed
from mailgate.run.place import Place
from mailgate.run.runner import Runner
from mailgate.saying import Words
from mailgate.services import Service
from mailgate.settings import argv
from mailgate.spool import appointments, attempts, denied, keep
from mailgate.spool.clock import Clock
from mailgate.spool.database import MISPLACED, Site
from mailgate.spool.store import Folder, Spool, sole
from mailgate.spool.turns import Turns

# A room's loop that fell over is started again after this, in seconds.
_AGAIN = 5.0
# Other processes' commits are noticed so often.
_NOTICE = 0.25
# So often it is looked whether somebody has set the clock.
_TICK = 1.0
# A spool whose newest time is so far ahead (seconds) was written before somebody set it back.
_STEP = 5.0
# Threads for files, connections to the relay.
_LETTERS_AT_ONCE = {Courier.MAILDIR: 8, Courier.SMTP: 4}
# Processes that start jobs and collect what they left: most of that they wait for the disk.
_HANDS = 2
# What these load at their start: the files of jobs are most of what they do.
_NEEDS = ("mailgate.run.steps",)
# What is on its way in or out may end within this at the end; all is over in under 10 s.
_GRACE = 4.0


async def serve(config: Config, services: Mapping[str, Service]) -> None:
    """Run the gateway until SIGTERM or SIGINT. Jobs live on.

    Raises
    ------
    Transient, Permanent
        It cannot start: another daemon has the spool, an address is taken, ...
    """
    try:
        log.flow()
        log.adopt_libraries()
        lasting.allow_files()
        await _alone(config, services)
        log.event("stopped")
    except RuntimeError as error:
        lasting.judge(error)
        raise
    finally:
        log.flush()


async def _alone(config: Config, services: Mapping[str, Service]) -> None:
    folder = Folder(config.gateway.spool)
    with sole(folder):
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        # Until the doors are open there is nothing to read again.
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        ending = lasting.ending()
        spool = Spool(folder, Site.of(config.gateway.address))
        spool.open()
        try:
            await _served(config, services, spool, stop, ending)
        finally:
            spool.close()


async def _served(
    config: Config,
    services: Mapping[str, Service],
    spool: Spool,
    stop: asyncio.Event,
    ending: threading.Event,
) -> None:
    place = Place(config.run.folder, spool, min_free=config.gateway.min_free)
    await place.take()
    for letter in denied.letters_to(spool.view, services):
        await spool.write(partial(denied.withdraw, letter=letter))
    desk = Desk(config, services, spool.folder, lambda: spool.view)
    counter = Counter(desk, spool)
    courier = courier_of(config)
    post = outbox.Outbox(
        config.deliver,
        spool,
        courier,
        at_once=_LETTERS_AT_ONCE[config.deliver.courier],
        one_hop=config.deliver.courier is Courier.SMTP,
    )
    hands = Hands(_HANDS, needs=_NEEDS)
    engines = engines_of(config, services, spool, hands)
    loops = _loops(config, desk, spool, post, place, hands)
    turns = Turns(quota=config.quota, services=services, paused=config.run.paused)
    loops["run"] = lambda: Runner(config, spool, engines, place, hands, turns).run()
    if under_way := attempts.open_attempts(spool.view):
        log.event("resumed", attempts=len(under_way))
    async with AsyncExitStack() as stack:
        stack.callback(counter.close)
        stack.callback(courier.close)
        stack.push_async_callback(hands.close)
        warming = asyncio.create_task(hands.warm())
        stack.callback(warming.cancel)
        stack.push_async_callback(engines.close)
        tasks = [asyncio.create_task(_kept(name, loop), name=name) for name, loop in loops.items()]
        stack.push_async_callback(_ended, tasks)
        doors = await receive.opened(config, counter)
        stack.push_async_callback(_drained, doors, post)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, receive.reload, doors)
        log.event("ready", services=",".join(sorted(services)), paused=config.run.paused or None)
        notify("READY=1")
        await stop.wait()
        log.event("stopping")
        notify("STOPPING=1")
        ending.set()
        spool.hurry()


def _loops(
    config: Config, desk: Desk, spool: Spool, post: outbox.Outbox, place: Place, crew: Crew
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Every room's loop by its name, but the runner's; each call starts it afresh."""
    writer = writer_of(config)
    writer.load()
    janitor = Janitor(config, spool.folder)
    janitor.doubt(spool.view)
    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "reply": lambda: Composer(
            config,
            desk.services,
            spool,
            writer,
            opened=_opener(config, place),
            recollect=_recollector(config, place),
            printed=lambda *asked: crew.briefly(partial(printed, config.run.folder, *asked)),
        ).run(),
        "deliver": post.run,
        "clean": lambda: janitor.run(spool, Clock()),
        "notice": lambda: _notice(spool),
        "clock": lambda: _clock(spool),
    }
    if not config.run.paused:
        loops["read"] = lambda: Reader(desk, spool).run()
    return loops


def writer_of(config: Config) -> Writer:
    """Return who writes the letters; raises BadConfig where the key that signs them is none."""
    deliver = config.deliver
    signer = Signer(deliver.dkim) if deliver.dkim else None
    return Writer(config.gateway.templates, html=deliver.html, signer=signer)


def _opener(config: Config, place: Place) -> Callable[[Job, Stream], BinaryIO]:
    def opened(job: Job, stream: Stream) -> BinaryIO:
        try:
            return open_stream(JobFolder(config.run.folder, job.id), stream)
        except Permanent:
            # Gone only where the folder of all jobs is there.
            place.mark.check()
            raise

    return opened


def _recollector(config: Config, place: Place) -> Recollect:
    def recollect(job: Job) -> tuple[tuple[Stream, ...], tuple[Words, ...]]:
        found = collect(JobFolder(config.run.folder, job.id), job.plan, job.attempts)
        place.mark.check()
        return found.streams, found.left_out

    return recollect


def courier_of(config: Config) -> outbox.Courier:
    """Return the configured way out."""
    match config.deliver.courier:
        # Only what is configured is imported: an SMTP client costs 10 MiB.
        case Courier.MAILDIR if config.deliver.maildir is not None:
            from mailgate.deliver.maildir import Maildir  # noqa: PLC0415

            return Maildir(config.deliver.maildir.path)
        case Courier.SMTP if config.deliver.smtp is not None:
            from mailgate.deliver.smtp import SmtpCourier  # noqa: PLC0415

            return SmtpCourier(config.deliver.smtp)
        case _:
            message = f"deliver.courier {config.deliver.courier} has no table of its own"
            raise BadConfig(message)


def engines_of(
    config: Config, services: Mapping[str, Service], spool: Spool, crew: Crew
) -> Engines:
    """Return every engine that is in use; what keeps local jobs apart is said."""
    named = {s.name: s.engine for s in services.values() if s.engine is not None}
    # New jobs may go elsewhere by now.
    left = {one.engine for one in attempts.open_attempts(spool.view)} & config.run.engines.keys()
    used = dict.fromkeys((config.run.engine, *named.values(), *sorted(left)))
    engines = {name: engine_of(config, name, services, spool.folder.root, crew) for name in used}
    return Engines(engines, default=config.run.engine, named=named)


def engine_of(
    config: Config, name: str, services: Mapping[str, Service], locks: Path, crew: Crew
) -> Engine:
    """Return the engine of one [run.NAME] table; its lock lies in ``locks``."""
    table = config.run.engines[name]
    if isinstance(table, Cluster):
        # Only what is configured is imported.
        from mailgate.run import cluster  # noqa: PLC0415

        return cluster.made(
            name,
            table,
            grace=config.run.grace,
            crew=crew,
            jobs=config.run.folder,
            lock=locks / f"handover.{name}",
        )
    box = sandbox.probe(
        table.sandbox, path=table.path, hidden=_hidden(config), shown=_shown(services)
    )
    log.event("sandbox", holds=box.holds, note=box.sentence)
    return Local(
        slots=table.slots,
        crew=crew,
        path=table.path,
        kill_after=table.kill_after,
        confinement=box,
    )


def _hidden(config: Config) -> list[Path]:
    """Return what no job may see: others' mail and letters, secrets, a door that it could use."""
    relay, maildir = config.deliver.smtp, config.deliver.maildir
    private = [relay.password_file if relay else None, *(one.password_file for one in config.imap)]
    if config.smtp is not None:
        private += [config.smtp.tls_key, config.smtp.users]
    if config.lmtp is not None:
        private.append(config.lmtp.socket)
    if config.deliver.dkim is not None:
        private.append(config.deliver.dkim.key_file)
    return [
        config.gateway.spool,
        *([maildir.path] if maildir else []),
        *(place for place in private if place is not None),
    ]


def _shown(services: Mapping[str, Service]) -> list[Path]:
    """Return the services' folder, and the folders of the files that their commands name."""
    folders = {service.file.parent for service in services.values()}
    for service in services.values():
        words = [argv.literal(element) for _, element in argv.elements(service.command)]
        folders |= {Path(word).parent for word in words if word and _is_file(word)}
    return sorted(folders)


def _is_file(word: str) -> bool:
    return Path(word).is_absolute() and Path(word).is_file()


async def _drained(doors: list[receive.Door], post: outbox.Outbox) -> None:
    """Let what is on its way in or out come to its end, for a while."""
    stops = [door.stop(timedelta(seconds=_GRACE)) for door in doors]
    await asyncio.gather(*stops, post.drain(_GRACE))


async def _kept(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Keep a room's loop going, whatever fells it."""
    while True:
        try:
            await loop()
        except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - the other rooms go on
            log.event("failed", what=name, reason=_reason(error))
        await asyncio.sleep(_AGAIN)


def _reason(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reason(inner) for inner in error.exceptions)
    return repr(error) if not isinstance(error, MailgateError) else f"{error} {error.detail}"


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _notice(spool: Spool) -> None:
    """Wake the rooms when another process has written: the pipe, an operator's command.

    And tell the operator when the database has gone from its place, and when it is back.
    """
    misplaced = False
    while True:
        if spool.changed_by_others():
            spool.ring()
            # A sweep is more than a look, and its own writes are another's, too.
            if keep.destroyed_jobs(spool.view):
                spool.ring("clean")
        if misplaced != spool.misplaced():
            misplaced = not misplaced
            file = str(spool.folder.database)
            if misplaced:
                log.event("unseen", file=file, reason=f"it {MISPLACED}; no mail is taken meanwhile")
            else:
                log.event("resumed", file=file)
        await asyncio.sleep(_NOTICE)


async def _clock(spool: Spool) -> None:
    """Keep intervals what they were when somebody sets the clock."""
    back = appointments.back(spool.view, now=time.time())
    if back > _STEP and not spool.clock.step:
        # It was set back while nobody looked, by so much at least.
        await _stepped(spool, -back, since=time.time())
    while True:
        await asyncio.sleep(_TICK)
        seen = time.monotonic()
        if step := spool.clock.step:
            # It may be set again while this is written.
            await _stepped(spool, step, since=spool.clock.since)
        spool.clock.settle(step, seen=seen)


async def _stepped(spool: Spool, step: float, *, since: float) -> None:
    log.event("clock", stepped=round(step, 1))
    await spool.write(lambda tx: appointments.shift(tx, step, since=since))
    spool.ring()


def notify(state: str) -> None:
    """Tell the service manager (sd_notify(3)), where there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talk:
        try:
            talk.connect(address)
            talk.send(state.encode())
        except OSError as error:
            log.event("failed", what="notify", reason=str(error))
