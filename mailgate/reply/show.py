"""What a letter shows of a job's outputs: a few lines, or all of a small text."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import BinaryIO

from mailgate.model import Job, LetterKind, Reply, StreamRole
from mailgate.phases import Phase
from mailgate.reply import mime
from mailgate.reply.draft import Draft
from mailgate.reply.excerpt import ABSENT, Excerpt, head, tail
from mailgate.reply.package import INLINE
from mailgate.reply.rows import Excerpts
from mailgate.reply.streams import OpenStream, blocks_of, changed, opened, unreadable


def inline_of(draft: Draft, job: Job, open_stream: OpenStream) -> bytes | None:
    """Return standard output as a text part's body; None where it is not asked for, or no text."""
    stream = next((one for one in job.streams if one.role is StreamRole.STDOUT), None)
    if job.reply is not Reply.INLINE or stream is None or not 0 < stream.size <= INLINE:
        return None
    if draft.only and stream.name not in draft.only:
        return None
    with closing(opened(stream, open_stream)) as source:
        content = b"".join(blocks_of(stream, source))
    if len(content) != stream.size or hashlib.sha256(content).hexdigest() != stream.sha256:
        raise changed(stream.name)
    return mime.inline_body(content)


def excerpts_of(draft: Draft, job: Job, opener: OpenStream) -> Excerpts:
    """Read the few lines that the letter shows: of a success its output, else its last errors.

    A success that wrote nothing else may well say there why.
    """
    if draft.kind is LetterKind.PART:
        return Excerpts()
    done, brief = job.phase is Phase.COMPLETED, job.reply is Reply.BRIEF
    if draft.head:
        first = partial(head, lines=draft.head)
        return Excerpts(stdout=_read(job, StreamRole.STDOUT, first, opener))
    if done and brief:
        return Excerpts()
    if done and (draft.only or not _only_errors(job)):
        return Excerpts(stdout=_read(job, StreamRole.STDOUT, head, opener))
    stderr = _read(job, StreamRole.STDERR, tail, opener)
    if stderr.lines:
        return Excerpts(stderr=stderr)
    # Many programs complain where they print their results.
    return Excerpts(stderr=stderr, stdout=_read(job, StreamRole.STDOUT, tail, opener))


def _only_errors(job: Job) -> bool:
    """Whether standard error is all that it wrote."""
    wrote = {stream.role for stream in job.streams if stream.size}
    return wrote == {StreamRole.STDERR} and not job.left_out


def _read(
    job: Job, role: StreamRole, look: Callable[[BinaryIO], Excerpt], open_stream: OpenStream
) -> Excerpt:
    stream = next((stream for stream in job.streams if stream.role is role), None)
    if stream is None:
        return ABSENT
    with closing(opened(stream, open_stream)) as source:
        try:
            return look(source)
        except OSError as error:
            raise unreadable(stream, error) from error
