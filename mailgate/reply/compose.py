"""Compose a letter: facts and a template in, the letter's bytes out.

A result streams its outputs block by block: memory stays flat whatever their size. Every stream is
checked against its recorded size and SHA-256 on the way, so that a letter never vouches for bytes
that it does not carry.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from mailgate import log
from mailgate.errors import BadConfig, Permanent
from mailgate.model import Answer, Job, LetterKind, Reply, Stream, StreamRole
from mailgate.phases import Phase
from mailgate.reply import mime
from mailgate.reply.attachments import mail_names, media_type
from mailgate.reply.dkim import SIGNATURE_MOST, Signer
from mailgate.reply.draft import Draft, checked, others_of
from mailgate.reply.excerpt import ABSENT, Excerpt, head, tail
from mailgate.reply.facts import Facts, facts_of
from mailgate.reply.manifest import manifest
from mailgate.reply.mime import BLOCK
from mailgate.reply.package import Changed, choose, part_size
from mailgate.reply.plain import plain_page
from mailgate.reply.rows import Excerpts
from mailgate.reply.samples import samples
from mailgate.reply.templates import BadTemplateError, Page, Templates
from mailgate.reply.told import say_of
from mailgate.reply.twin import Twins, words_part
from mailgate.said import counted

__all__ = ["Changed", "Draft", "Writer"]

DISPLAY = "mailgate"
"""The gateway's name beside its address: plain, so that no mail program takes it for a person's."""


class Out(Protocol):
    """Where a letter's bytes go."""

    def write(self, block: bytes, /) -> object:
        """Take the next bytes, all of them."""


OpenStream = Callable[[Stream], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """A letter but for its streams: its head and text parts, and which streams follow."""

    front: bytes
    attached: tuple[bool, ...] = ()


class Writer:
    """Writes the letters of one gateway; may be used by several threads at once."""

    def __init__(
        self, templates: Path | None, *, html: bool = False, signer: Signer | None = None
    ) -> None:
        """``html``: letters have a twin of their text as HTML; ``signer`` signs each."""
        self._signer = signer
        self._templates = Templates(templates)
        self._folder = templates
        self._twins = Twins(templates)
        self._html = html

    def compose(self, draft: Draft, open_stream: OpenStream, out: Out) -> None:
        """Write the letter of ``draft``: CRLF line ends, 7-bit, at most ``draft.limit`` bytes.

        ``open_stream`` opens a stream of the draft's job for reading, from its beginning and able
        to seek. The same draft and streams give the same bytes. After an error, what ``out`` holds
        is no letter.

        Raises
        ------
        Changed
            A stream cannot be opened, or its bytes are not those that were recorded.
        ValueError
            The draft lacks what its kind is about, or has what is no header's: a bug.
        """
        checked(draft)
        if self._signer is None:
            self._unsigned(draft, open_stream, out)
            return
        shorter = replace(draft, limit=draft.limit - SIGNATURE_MOST)
        self._signer.write(lambda to: self._unsigned(shorter, open_stream, to), out, at=draft.date)

    def _unsigned(self, draft: Draft, open_stream: OpenStream, out: Out) -> None:
        if draft.kind is not LetterKind.RESULT or draft.job is None:
            page = self._answers(draft)
            out.write(_single(draft, page))
            return
        letter = self._packed(draft, draft.job, _excerpts(draft.job, open_stream))
        out.write(letter.front)
        _write_streams(draft, draft.job, letter.attached, open_stream, out)

    def check(self, answers: Iterable[Answer] = ()) -> None:
        """Fill in every template with made-up facts; ``answers`` are what commands may answer.

        Raises
        ------
        BadConfig
            A template is broken, asks for what it is not given, or has no proper Subject; or one
            of the operator's is of no letter. One line each, with its file and line.
        """
        wrong = [f"{self._folder}: no such folder"] if self._lacks_folder() else []
        wrong += [
            f"{self._folder}/{name}:1: no letter has this template; expected one of "
            + ", ".join(f"{kind}.txt.j2" for kind in LetterKind)
            for name in (*self._templates.unknown(), *self._twins.unknown())
        ]
        for sample in samples():
            try:
                facts = facts_of(sample.draft, sample.attached, sample.excerpts)
                page = self._templates.page(sample.draft.kind, facts)
                wrong += filter(None, [self._twins.trouble(page, sample.draft.kind, facts)])
            except BadTemplateError as error:
                wrong.append(str(error))
        for answer in answers:
            try:
                self._templates.said(say_of(answer))
            except BadTemplateError as error:
                wrong.append(str(error))
        if wrong:
            raise BadConfig("\n".join(dict.fromkeys(wrong)))

    def _lacks_folder(self) -> bool:
        return self._folder is not None and not self._folder.is_dir()

    def _answers(self, draft: Draft) -> Page:
        """Say what a message came to; each further answer under a heading of its own."""
        others = others_of(draft)
        page = self._page(draft, (), Excerpts(), alone=not others)
        if not others:
            return page
        texts = [page.text]
        for other in others:
            more = self._page(other, (), Excerpts(), alone=False)
            texts.append(f"\n{more.subject}\n{'=' * len(more.subject)}\n\n{more.text}")
        subject = f"{page.subject}, and {counted(len(others), 'other answer')}"
        whole = Page(subject=subject, text="".join(texts))
        return self._with_twin(whole, draft.kind, None)

    def _page(
        self, draft: Draft, attached: Sequence[bool], excerpts: Excerpts, *, alone: bool = True
    ) -> Page:
        """Say one thing; ``alone``: it is the whole letter, and has its twin."""
        facts = facts_of(draft, attached, excerpts)
        try:
            page = self._templates.page(draft.kind, facts)
        except BadTemplateError as error:
            log.event("fell-back", letter=draft.message_id, to="the built-in text", why=str(error))
            page = plain_page(draft.kind, facts)
        return self._with_twin(page, draft.kind, facts) if alone else page

    def _with_twin(self, page: Page, kind: LetterKind, facts: Facts | None) -> Page:
        # Whoever wraps HTML anew could put the one word on a line of its own that a confirming
        # reply has.
        if not self._html or kind is LetterKind.CONFIRM:
            return page
        return replace(page, html=self._twins.written(page, kind, facts))

    # --- fitting a result into its limit ----------------------------------------------------------

    def _packed(self, draft: Draft, job: Job, excerpts: Excerpts) -> _Letter:
        """Choose as many streams as fit beside the text, which itself names what does not."""
        if job.reply is not Reply.BRIEF:
            whole = self._letter(draft, job, excerpts, choose(job.streams, draft.limit, job.reply))
            if _size(whole, job) <= draft.limit:
                return whole
        nothing = self._letter(draft, job, excerpts, (False,) * len(job.streams))
        room = draft.limit - len(nothing.front)
        for _ in range(_TRIES):
            chosen = choose(job.streams, room, job.reply)
            some = self._letter(draft, job, excerpts, chosen)
            over = _size(some, job) - draft.limit
            if over <= 0:
                return some
            room -= over
        return nothing

    def _letter(
        self, draft: Draft, job: Job, excerpts: Excerpts, attached: tuple[bool, ...]
    ) -> _Letter:
        page = self._page(draft, attached, excerpts)
        return _Letter(front=_front(draft, job, page, attached), attached=attached)


# What a letter says of its streams depends on which it carries, and that on the room it leaves.
# What is kept takes more words than what is attached, so that the second try fits; but a template
# of the operator's may do as it likes.
_TRIES = 4

_END = b"--\r\n"


def _size(letter: _Letter, job: Job) -> int:
    """Return the most bytes that the whole letter can have."""
    chosen = zip(job.streams, letter.attached, strict=True)
    return len(letter.front) + sum(part_size(stream.size) for stream, goes in chosen if goes)


# --- one part -------------------------------------------------------------------------------------


def _single(draft: Draft, page: Page) -> bytes:
    headers = _headers(draft, page)
    room = draft.limit - len(headers)
    return headers + words_part(draft, page, room)


def _headers(draft: Draft, page: Page) -> bytes:
    """Write the headers that every letter has, each once."""
    gateway = mime.plain_address(draft.gateway)
    answered = mime.message_ids(draft.in_reply_to)[:1]
    references = mime.references(draft.references, answered[0] if answered else None)
    lines = [
        ("From", mime.address(gateway, DISPLAY)),
        ("To", mime.address(draft.recipient)),
        ("Subject", mime.subject(page.subject)),
        ("Date", mime.date(draft.date)),
        ("Message-ID", mime.message_id(draft.message_id)),
        ("In-Reply-To", "".join(answered)),
        ("References", references),
        ("Auto-Submitted", "auto-replied"),
        ("X-Loop", gateway),
        ("Reply-To", mime.address(draft.reply_to) if draft.reply_to else ""),
        *_job_headers(draft),
        ("MIME-Version", "1.0"),
    ]
    return b"".join(mime.header(name, value) for name, value in lines if value)


def _job_headers(draft: Draft) -> list[tuple[str, str]]:
    job = draft.job
    if job is None:
        return []
    end = job.exit if draft.kind is LetterKind.RESULT else None
    return [
        ("Mailgate-Job", job.id),
        ("Mailgate-Phase", str(job.phase)),
        ("Mailgate-Exit", end.header if end else ""),
    ]


# --- several parts --------------------------------------------------------------------------------


def _front(draft: Draft, job: Job, page: Page, attached: Sequence[bool]) -> bytes:
    """Write everything before the streams' headers; the last boundary line is still open."""
    border = mime.boundary(draft.message_id)
    delimiter = b"--" + border.encode("ascii")
    head = _headers(draft, page) + mime.header(
        "Content-Type", f'multipart/mixed;\r\n boundary="{border}"'
    )
    used = len(head) + 3 * len(delimiter) + 512
    machine = mime.json_part(manifest(job, attached, (draft.limit - used) // 2))
    text = words_part(draft, page, draft.limit - used - len(machine))
    return b"".join(
        (head, b"\r\n", delimiter, b"\r\n", text, delimiter, b"\r\n", machine, delimiter)
    )


def _write_streams(
    draft: Draft, job: Job, attached: Sequence[bool], open_stream: OpenStream, out: Out
) -> None:
    """Write the streams' parts, after the boundary line that is still open, and end the letter."""
    delimiter = b"--" + mime.boundary(draft.message_id).encode("ascii")
    going = [stream for stream, goes in zip(job.streams, attached, strict=True) if goes]
    for stream, name in zip(going, mail_names(stream.name for stream in going), strict=True):
        out.write(b"\r\n")
        with closing(_opened(stream, open_stream)) as source:
            _write_stream(stream, name, source, out)
        out.write(delimiter)
    out.write(_END)


def _write_stream(stream: Stream, name: str, source: BinaryIO, out: Out) -> None:
    digest, size = hashlib.sha256(), 0
    block = _block(stream, source)
    out.write(mime.stream_head(media_type(stream.name, block), name))
    if not block:
        # An empty body is a line, so that every reader finds the end of the header.
        out.write(b"\r\n")
    while block:
        size += len(block)
        if size > stream.size:
            break
        digest.update(block)
        out.write(mime.base64_lines(block))
        block = _block(stream, source)
    if size != stream.size or digest.hexdigest() != stream.sha256:
        message = f"the output {stream.name!r} has changed since the job ended"
        raise Changed(message, stream=stream.name, why="changed while it was read")


def _block(stream: Stream, source: BinaryIO) -> bytes:
    """Read a whole block, shorter only at the end: a raw file may give less at a time."""
    try:
        block = source.read(BLOCK)
        while 0 < len(block) < BLOCK and (more := source.read(BLOCK - len(block))):
            block += more
    except OSError as error:
        raise _unreadable(stream, error) from error
    return block


def _opened(stream: Stream, open_stream: OpenStream) -> BinaryIO:
    try:
        return open_stream(stream)
    except Permanent as error:
        # The job's folder has another file there, or none.
        why = str(error)
        raise Changed(why, stream=stream.name, why=why, detail=error.detail) from error
    except OSError as error:
        raise _unreadable(stream, error) from error


def _unreadable(stream: Stream, error: OSError) -> Changed:
    message = f"the output {stream.name!r} cannot be read"
    return Changed(message, stream=stream.name, why="it cannot be read", detail=str(error))


# --- excerpts -------------------------------------------------------------------------------------


def _excerpts(job: Job, opener: OpenStream) -> Excerpts:
    """Read the few lines that the letter shows: of a success its output, else its last errors."""
    done, brief = job.phase is Phase.COMPLETED, job.reply is Reply.BRIEF
    if done:
        return Excerpts() if brief else Excerpts(stdout=_read(job, StreamRole.STDOUT, head, opener))
    stderr = _read(job, StreamRole.STDERR, tail, opener)
    if stderr.lines:
        return Excerpts(stderr=stderr)
    # Many programs complain where they print their results.
    return Excerpts(stderr=stderr, stdout=_read(job, StreamRole.STDOUT, tail, opener))


def _read(
    job: Job, role: StreamRole, look: Callable[[BinaryIO], Excerpt], open_stream: OpenStream
) -> Excerpt:
    stream = next((stream for stream in job.streams if stream.role is role), None)
    if stream is None:
        return ABSENT
    with closing(_opened(stream, open_stream)) as source:
        try:
            return look(source)
        except OSError as error:
            raise _unreadable(stream, error) from error
