"""Drafts with real bytes behind them, and letters read back as a mail program reads them."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import BinaryIO

from mailgate.model import (
    Exit,
    How,
    Identity,
    Job,
    JobId,
    LetterKind,
    Plan,
    Reason,
    Reply,
    Stream,
    StreamRole,
)
from mailgate.phases import Phase
from mailgate.reply.compose import Draft, Writer

CREATED = datetime(2026, 11, 21, 13, 50, tzinfo=UTC)
ENDED = CREATED + timedelta(minutes=4, seconds=13)
ID = JobId("k7q2m5xzab3c")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A draft and the bytes of its job's streams, by path."""

    draft: Draft
    contents: Mapping[str, bytes] = field(default_factory=dict)

    def open(self, stream: Stream) -> BinaryIO:
        return io.BytesIO(self.contents[stream.path])

    def composed(self, writer: Writer | None = None) -> bytes:
        out = io.BytesIO()
        (writer or Writer(None)).compose(self.draft, self.open, out)
        return out.getvalue()


def stream(
    name: str, content: bytes, role: StreamRole = StreamRole.FILE, path: str = ""
) -> tuple[Stream, bytes]:
    digest = hashlib.sha256(content).hexdigest()
    made = Stream(role=role, name=name, path=path or f"x/{name}", size=len(content), sha256=digest)
    return made, content


def out(content: bytes, name: str = "stdout.txt") -> tuple[Stream, bytes]:
    return stream(name, content, StreamRole.STDOUT, "out/stdout")


def err(content: bytes, name: str = "stderr.txt") -> tuple[Stream, bytes]:
    return stream(name, content, StreamRole.STDERR, "out/stderr")


def job(**changed) -> Job:
    made = Job(
        id=ID,
        service="align",
        owner=Identity(address="ada@example.org", how=How.NETWORK),
        label=None,
        phase=Phase.QUEUED,
        parameters={"tree": "upgma"},
        plan=Plan(argv=("align",)),
        notify=frozenset(),
        reply=Reply.FULL,
        created=CREATED,
        work_limit=timedelta(hours=1),
        keep=timedelta(days=14),
        message=1,
        in_reply_to="<request-1@example.org>",
        started=None,
        attempts=1,
    )
    return replace(made, **changed)


def draft(kind: LetterKind, about: Job | None = None, **changed) -> Draft:
    facts = changed.pop("facts", {})
    made = Draft(
        kind=kind,
        gateway="jobs@gate.example.org",
        recipient="ada@example.org",
        message_id=f"<{kind}.1@gate.example.org>",
        date=ENDED,
        now=ENDED,
        in_reply_to="<request-1@example.org>",
        references="<thread-1@example.org> <thread-2@example.org>",
        reply_to=f"jobs+job.{ID}.mfrggzdfmztwq2lk@gate.example.org" if about else None,
        job=about,
        facts=facts,
        limit=25 * MIB,
    )
    return replace(made, **changed)


def result(
    end: Exit, *streams: tuple[Stream, bytes], letter=None, facts=None, **changed
) -> Written:
    """A result letter; ``changed`` is about its job, ``letter`` about its draft."""
    about = job(
        phase=end.phase,
        exit=end,
        started=CREATED + timedelta(seconds=1),
        ended=ENDED,
        destruction=ENDED + timedelta(days=14),
        streams=tuple(made for made, _ in streams),
    )
    about = replace(about, **changed)
    made = draft(LetterKind.RESULT, about, facts=facts or {}, **(letter or {}))
    return Written(draft=made, contents={one.path: content for one, content in streams})


DONE = Exit(reason=Reason.EXIT, code=0)


def read(letter: bytes) -> EmailMessage:
    """Parse a letter and see that nothing in it is out of order."""
    message = message_from_bytes(letter, policy=default)
    assert isinstance(message, EmailMessage)
    defects = [defect for part in message.walk() for defect in part.defects]
    for part in message.walk():
        for name, value in part.items():
            defects += value.defects
            assert str(value).isprintable(), (name, value)
    assert defects == []
    return message


def text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def attachments(message: EmailMessage) -> list[tuple[str, bytes]]:
    """Return the names and bytes after job.json."""
    parts = list(message.iter_attachments())
    return [(part.get_filename() or "", part.get_payload(decode=True)) for part in parts[1:]]


Opener = Callable[[Stream], BinaryIO]
