"""Compose a letter: facts and a template in, the letter's bytes out.

A result streams its outputs block by block: memory stays flat whatever their size. Every stream is
checked against its recorded size and SHA-256 on the way, so that a letter never vouches for bytes
that it does not carry.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from mailgate import log
from mailgate.errors import BadConfig
from mailgate.model import Answer, Carried, Job, LetterKind, Reply, StreamRole
from mailgate.reply import mime
from mailgate.reply.attachments import mail_names
from mailgate.reply.dkim import SIGNATURE_MOST, Signer
from mailgate.reply.draft import Draft, checked, is_result, others_of
from mailgate.reply.facts import Facts, facts_of
from mailgate.reply.manifest import carried_fates, manifest, piece_name
from mailgate.reply.pack import open_parcel
from mailgate.reply.package import PART_HEAD, Changed, Overfull, choose, part_size
from mailgate.reply.plain import plain_page
from mailgate.reply.rows import Excerpts, Say
from mailgate.reply.samples import samples
from mailgate.reply.show import excerpts_of, inline_of
from mailgate.reply.streams import (
    OpenStream,
    Out,
    blocks_of,
    write_range,
    write_stream,
)
from mailgate.reply.templates import BadTemplateError, Page, Templates
from mailgate.reply.told import say_of
from mailgate.reply.twin import Twins, words_part
from mailgate.wording import speaking

__all__ = ["Changed", "Draft", "Writer"]

DISPLAY = "mailgate"
"""The gateway's name beside its address: plain, so that no mail program takes it for a person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """A letter but for its streams: its head and text parts, and which streams follow.

    ``inline`` is standard output as a text part, where it follows as one.
    """

    front: bytes
    attached: tuple[bool, ...] = ()
    inline: bytes | None = None


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
        self._rest = self._templates.say(_REST, indent=0)
        self._html = html

    def compose(
        self, draft: Draft, open_stream: OpenStream, out: Out, *, packed: Path | None = None
    ) -> None:
        """Write the letter of ``draft``: CRLF line ends, 7-bit, at most ``draft.limit`` bytes.

        ``open_stream`` opens a stream of the draft's job for reading, from its beginning and able
        to seek. The same draft and streams give the same bytes. After an error, what ``out`` holds
        is no letter. ``packed`` is where a shipment's packed files lie.

        Raises
        ------
        Changed
            A stream cannot be opened, or its bytes are not those that were recorded.
        Overfull
            The draft wants the result whole, and one letter cannot carry it as it is.
        ValueError
            The draft lacks what its kind is about, or has what is no header's: a bug.
        """
        checked(draft)
        with speaking(self._templates.wording):
            if self._signer is None:
                self._unsigned(draft, open_stream, out, packed or Path())
                return
            shorter = replace(draft, limit=draft.limit - self.reserved)
            self._signer.write(
                lambda to: self._unsigned(shorter, open_stream, to, packed or Path()),
                out,
                at=draft.date,
            )

    @property
    def reserved(self) -> int:
        """The bytes of a letter's limit that its signature may take."""
        return SIGNATURE_MOST if self._signer else 0

    def _unsigned(self, draft: Draft, open_stream: OpenStream, out: Out, packed: Path) -> None:
        if not is_result(draft) or draft.job is None:
            page = self._answers(draft)
            out.write(_single(draft, page))
            return
        excerpts = excerpts_of(draft, draft.job, open_stream)
        if draft.carried is not None:
            out.write(self._front_of(draft, draft.job, draft.carried, excerpts))
            _write_pieces(draft, draft.job, draft.carried, packed, open_stream, out)
            return
        inline = inline_of(draft, draft.job, open_stream)
        letter = self._packed(draft, draft.job, excerpts, inline)
        out.write(letter.front)
        _write_streams(draft, draft.job, letter, open_stream, out)

    def front_size(self, draft: Draft, carried: Carried, open_stream: OpenStream) -> int:
        """Return the bytes before the pieces of such a letter of a shipment; raises Changed."""
        job = draft.job
        assert job  # noqa: S101 - a shipment is of a job
        with speaking(self._templates.wording):
            return len(self._front_of(draft, job, carried, excerpts_of(draft, job, open_stream)))

    def load(self) -> None:
        """Read every template now: one that is changed later counts from the next start."""
        self._templates.load()
        if self._html:
            self._twins.load()

    def check(self, answers: Iterable[Answer] = ()) -> None:
        """Fill in every template with made-up facts; ``answers`` are what commands may answer.

        Raises
        ------
        BadConfig
            A template is broken, asks for what it is not given, or has no proper Subject; or one
            of the operator's is of no letter. One line each, with its file and line.
        """
        with speaking(self._templates.wording):
            wrong = self._wrong(answers)
        if wrong:
            raise BadConfig("\n".join(dict.fromkeys(wrong)))

    def _wrong(self, answers: Iterable[Answer]) -> list[str]:
        wrong = [f"{self._folder}: no such folder"] if self._lacks_folder() else []
        wrong += self._templates.wording.wrong()
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
        for say in (*map(say_of, answers), _REST, _others(2)):
            try:
                said = self._templates.said(say, indent=0).strip()
                if say.words == _OTHERS and "\n" in said:
                    wrong.append(
                        f"{self._folder}/say/{_OTHERS}.txt.j2:1: gives {said!r}; expected one short"
                        " line, for the end of a Subject"
                    )
            except BadTemplateError as error:
                wrong.append(str(error))
        return wrong

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
        subject = f"{page.subject}, {self._templates.say(_others(len(others)), indent=0)}"
        whole = replace(page, subject=subject, text="".join(texts))
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
        page = replace(page, rest=self._rest)
        return self._with_twin(page, draft.kind, facts) if alone else page

    def _with_twin(self, page: Page, kind: LetterKind, facts: Facts | None) -> Page:
        # Whoever wraps HTML anew could put the one word on a line of its own that a confirming
        # reply has.
        if not self._html or kind is LetterKind.CONFIRM:
            return page
        return replace(page, html=self._twins.written(page, kind, facts))

    # --- fitting a result into its limit ----------------------------------------------------------

    def _packed(self, draft: Draft, job: Job, excerpts: Excerpts, inline: bytes | None) -> _Letter:
        """Choose as many streams as fit beside the text, which itself names what does not."""
        only = draft.only
        if job.reply is not Reply.BRIEF:
            chosen = choose(job.streams, draft.limit, job.reply, only)
            if draft.whole and chosen != tuple(not only or s.name in only for s in job.streams):
                raise Overfull
            whole = self._letter(draft, job, excerpts, chosen, inline)
            if _size(whole, job) <= draft.limit:
                return whole
            if draft.whole:
                raise Overfull
        nothing = self._letter(draft, job, excerpts, (False,) * len(job.streams), None)
        room = draft.limit - len(nothing.front)
        for _ in range(_TRIES):
            chosen = choose(job.streams, room, job.reply, only)
            some = self._letter(draft, job, excerpts, chosen, inline)
            over = _size(some, job) - draft.limit
            if over <= 0:
                return some
            room -= over
        return nothing

    def _letter(
        self,
        draft: Draft,
        job: Job,
        excerpts: Excerpts,
        attached: tuple[bool, ...],
        inline: bytes | None,
    ) -> _Letter:
        stdout = next((n for n, s in enumerate(job.streams) if s.role is StreamRole.STDOUT), None)
        if stdout is None or not attached[stdout]:
            inline = None
        if inline is not None:
            excerpts = Excerpts(stderr=excerpts.stderr, inline=True)
        page = self._page(draft, attached, excerpts)
        front = _front(draft, job, page, attached, draft.limit)
        return _Letter(front=front, attached=attached, inline=inline)

    def _front_of(self, draft: Draft, job: Job, carried: Carried, excerpts: Excerpts) -> bytes:
        """Write everything before the pieces of a letter of a shipment."""
        attached = carried_fates(job, carried) if carried.pieces else (False,) * len(job.streams)
        page = self._page(draft, attached, excerpts)
        room = draft.limit - sum(part_size(piece.size) for piece in carried.pieces)
        return _front(draft, job, page, attached, room)


_REST = Say(words="rest", facts={})
# The end of a Subject.
_OTHERS = "others"


def _others(count: int) -> Say:
    return Say(words=_OTHERS, facts={"count": count})


# What a letter says of its streams depends on which it carries, and that on the room it leaves.
# What is kept takes more words than what is attached, so that the second try fits; but a template
# of the operator's may do as it likes.
_TRIES = 4

_END = b"--\r\n"


def _size(letter: _Letter, job: Job) -> int:
    """Return the most bytes that the whole letter can have."""
    size = len(letter.front)
    for stream, goes in zip(job.streams, letter.attached, strict=True):
        if goes and stream.role is StreamRole.STDOUT and letter.inline is not None:
            size += PART_HEAD + len(letter.inline)
        elif goes:
            size += part_size(stream.size)
    return size


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
    end = job.exit if is_result(draft) else None
    return [
        ("Mailgate-Job", job.id),
        ("Mailgate-Phase", str(job.phase)),
        ("Mailgate-Exit", end.header if end else ""),
    ]


# --- several parts --------------------------------------------------------------------------------


def _front(draft: Draft, job: Job, page: Page, attached: Sequence[bool], room: int) -> bytes:
    """Write everything before the streams' headers; the last boundary line is still open.

    The text takes no more than ``room`` bytes leave of it.
    """
    border = mime.boundary(draft.message_id)
    delimiter = b"--" + border.encode("ascii")
    head = _headers(draft, page) + mime.header(
        "Content-Type", f'multipart/mixed;\r\n boundary="{border}"'
    )
    used = len(head) + 3 * len(delimiter) + 512
    machine = mime.json_part(manifest(job, attached, (room - used) // 2, draft.carried))
    text = words_part(draft, page, room - used - len(machine))
    return b"".join(
        (head, b"\r\n", delimiter, b"\r\n", text, delimiter, b"\r\n", machine, delimiter)
    )


def _write_streams(
    draft: Draft, job: Job, letter: _Letter, open_stream: OpenStream, out: Out
) -> None:
    """Write the streams' parts, after the boundary line that is still open, and end the letter."""
    delimiter = _delimiter(draft)
    going = [stream for stream, goes in zip(job.streams, letter.attached, strict=True) if goes]
    for stream, name in zip(going, mail_names(stream.name for stream in going), strict=True):
        out.write(b"\r\n")
        if letter.inline is not None and stream.role is StreamRole.STDOUT:
            out.write(mime.inline_head(name) + letter.inline)
        else:
            write_stream(stream, name, open_stream, out)
        out.write(delimiter)
    out.write(_END)


def _write_pieces(
    draft: Draft, job: Job, carried: Carried, packed: Path, open_stream: OpenStream, out: Out
) -> None:
    """Write what a letter of a shipment carries, as `_write_streams` does."""
    delimiter = _delimiter(draft)
    for piece in carried.pieces:
        parcel = carried.shipment.parcels[piece.parcel]
        stream = job.streams[parcel.members[0].stream]
        out.write(b"\r\n")
        if parcel.file is None and piece.size == parcel.size:
            write_stream(stream, parcel.name, open_stream, out)
        else:
            name = piece_name(parcel, piece.offset, piece.size)
            with closing(open_parcel(parcel, job, packed, open_stream)) as source:
                blocks = blocks_of(stream, source, piece.offset, piece.size)
                write_range(name, stream.name, blocks, piece.size, piece.sha256, out)
        out.write(delimiter)
    out.write(_END)


def _delimiter(draft: Draft) -> bytes:
    return b"--" + mime.boundary(draft.message_id).encode("ascii")
