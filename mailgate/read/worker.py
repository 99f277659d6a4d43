"""The process that reads mail: nothing that a mail does to it can reach the daemon.

``python -m mailgate.read.worker``: frames on standard input and output.
"""

import io
import os
import resource
import signal
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from mailgate import lasting
from mailgate.errors import Refusal, Transient
from mailgate.frames import packed, receive
from mailgate.model import Input, Reading, Request, Staged, Unclear
from mailgate.parse.bounce import read_bounce
from mailgate.parse.commands import confirms, read_commands, service_named
from mailgate.parse.header import Header
from mailgate.parse.message import decoded, read_message
from mailgate.parse.request import read_request
from mailgate.parse.signatures import signatures
from mailgate.read.orders import Delayed, Order, Setup, Unread
from mailgate.services import Service, file_name
from mailgate.spool import files

# An input up to this is kept in the job's row, past it in a file.
SMALL = 64 << 10
# The header's threading fields are read from the mail's first bytes.
HEAD = 256 << 10


def main() -> None:
    """Read mails until standard input ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    setup = receive(source)
    if not isinstance(setup, Setup):
        return
    _confine(setup)
    lasting.settle()
    target.write(packed("ready"))
    target.flush()
    while isinstance(order := receive(source), Order):
        # The daemon's own limit comes first; this one holds where the daemon is gone.
        signal.setitimer(signal.ITIMER_REAL, setup.time_limit * 2)
        target.write(packed(_read(setup, order)))
        target.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _confine(setup: Setup) -> None:
    # The door and the jobs' supervision come first.
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (setup.memory, setup.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(setup: Setup, order: Order) -> Reading | Unread | Delayed:
    try:
        with closing(_opened(order)) as source:
            return _reading(setup, order, source)
    except Transient as error:
        return Delayed(reason=error.detail or str(error))
    except Refusal as error:
        return Unread(reason=str(error))
    except (Exception, RecursionError, MemoryError) as error:  # noqa: BLE001 - any mail, any bytes
        return Unread(reason=f"reading it failed: {type(error).__name__}: {error}"[:300])


def _opened(order: Order) -> BinaryIO:
    if order.path is None:
        return io.BytesIO(order.body or b"")
    return Path(order.path).open("rb")


def _reading(setup: Setup, order: Order, source: BinaryIO) -> Reading | Unread:
    if order.returned:
        return Reading(content="", bounce=read_bounce(source))
    message = read_message(source)
    if message.automatic is not None and not order.released:
        # The door saw the header alone.
        return Unread(reason=f"a machine wrote it: {message.automatic}")
    requests: dict[str, Request | Unclear] = {}
    staged: dict[str, tuple[Staged, ...]] = {}
    named = service_named(message.lines) if order.own else None
    also = {named} if named and named in setup.services else set()
    for name in sorted({*order.services} | also):
        service = setup.services[name]
        request = read_request(message, service)
        requests[name] = request
        if isinstance(request, Request) and not request.dry_run:
            staged[name] = tuple(
                _staged(setup, order, source, service, n, item)
                for n, item in enumerate(request.inputs)
            )
    header = _header(source)
    return Reading(
        content=message.content,
        message_id=message.message_id,
        in_reply_to=header.first("in-reply-to"),
        references=header.first("references"),
        signatures=signatures(header),
        subject=message.subject,
        script=read_commands(message, setup.grammar) if order.commands and not named else None,
        service=named,
        requests={name: _light(request) for name, request in requests.items()},
        staged=staged,
        confirms=confirms(message, setup.grammar),
    )


def _light(request: Request | Unclear) -> Request | Unclear:
    """Return the request without the texts, which are staged."""
    if isinstance(request, Unclear):
        return request
    return replace(request, inputs=tuple(replace(item, text=None) for item in request.inputs))


def _header(source: BinaryIO) -> Header:
    source.seek(0)
    return Header.scan(source.read(HEAD))


def _staged(
    setup: Setup, order: Order, source: BinaryIO, service: Service, n: int, item: Input
) -> Staged:
    body, path = None, None
    if item.size <= SMALL:
        body = b"".join(_content(source, item))
    else:
        # A name made of the order: reading the mail again after a crash writes the same file.
        target = Path(setup.staged) / f"{order.message}-{service.name}-{n}"
        with files.durable(target) as file:
            for block in _content(source, item):
                file.write(block)
        path = target.name
    return Staged(
        name=item.name, file=file_name(service, item.name, item.filename), filename=item.filename,
        size=item.size, sha256=item.sha256, body=body, path=path,
    )  # fmt: skip


def _content(source: BinaryIO, item: Input) -> Iterable[bytes]:
    if item.slice is None:
        return [(item.text or "").encode()]
    return decoded(source, item.slice)


if __name__ == "__main__":
    # The daemon was killed: nobody reads the answer.
    with suppress(BrokenPipeError):
        main()
