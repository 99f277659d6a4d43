"""accat: the job's standard output, byte for byte, out of its mailed result.

``cat email | accat | phyloanalyse > tree.ph`` is the sentence that it exists for.
"""

import os
import signal
import sys

from mailgate import __version__
from mailgate.client.errors import Damaged, NoReply, NotAttached, SeveralJobs
from mailgate.client.extract import Folder, writer
from mailgate.client.letter import Notice, Part, Reply, look
from mailgate.client.mailbox import mails, sources
from mailgate.client.manifest import Manifest, Stream, kept_sentence, summary, table
from mailgate.client.options import USAGE, Options
from mailgate.client.restore import Write, intact, pour
from mailgate.client.source import Source, widen
from mailgate.client.words import instant, shown, size
from mailgate.errors import MailgateError, Refusal

_BROKEN_PIPE = 128 + signal.SIGPIPE
_MOST_SHOWN = 20
"""Jobs that an error lists."""


def main() -> None:
    """Run as a program: a reader that goes away ends it as quietly as it ends cat(1)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def run(argv: list[str]) -> int:
    """Do what the words after the program's name say; return the exit status.

    Writes to descriptors 1 and 2. What is wrong is one line on the latter.
    """
    try:
        options = Options(argv)
        if options.help:
            _say(USAGE)
            return 0
        if options.version:
            _say(f"accat {__version__}\n")
            return 0
        status = _run(options)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except MailgateError as error:
        _tell(str(error))
        return error.exit_status
    return status if options.status else 0


def _run(options: Options) -> int:
    found = _Found()
    try:
        for path in options.files or ["-"]:
            for source in sources(path):
                found.search(source, options.job)
        if options.list and not options.last:
            return _list(found.best(options.job))
        job = _one_job(found.results(options.job), options)
        if options.list:
            return _list([_fullest(job)])
        if options.extract:
            return _extract(job, options.extract)
        return _write(job, options.name)
    finally:
        found.close()


class _Found:
    """What the input holds of a gateway's."""

    def __init__(self) -> None:
        self._replies: list[Reply] = []
        self._notices: list[Notice] = []
        self._sources: list[Source] = []
        self._names: list[str] = []
        self._mails = 0
        self._bytes = 0

    def search(self, source: Source, job: str) -> None:
        """Look through all mails of one source; ``job`` is how an id must begin, "" for any."""
        before = len(self._replies)
        self._names.append(source.name)
        self._bytes += source.size
        for start, end in mails(source):
            self._mails += 1
            for found in look(source, start, end):
                if isinstance(found, Notice):
                    self._notices.append(found)
                elif found.manifest.id.startswith(job):
                    self._replies.append(found)
        if len(self._replies) > before:
            source.rest()
            self._sources.append(source)
        else:
            source.close()

    def close(self) -> None:
        """Let go of the files."""
        for source in self._sources:
            source.close()

    def results(self, job: str) -> dict[str, list[Reply]]:
        """Return the results by job, in the input's order.

        Raises
        ------
        Refusal
            There is none: the nearest thing to one says why.
        """
        return self._by_job([each for each in self._replies if each.manifest.ended], job)

    def best(self, job: str) -> list[Reply]:
        """Return for every job the mail that says most: a result before a word on its progress."""
        return [
            _fullest([each for each in replies if each.manifest.ended] or replies)
            for replies in self._by_job(self._replies, job).values()
        ]

    def _by_job(self, replies: list[Reply], job: str) -> dict[str, list[Reply]]:
        grouped: dict[str, list[Reply]] = {}
        for reply in replies:
            grouped.setdefault(reply.manifest.id, []).append(reply)
        if not grouped:
            raise self._nothing(job)
        return grouped

    def _nothing(self, job: str) -> Refusal:
        whys = [each.why for each in self._notices if each.job.startswith(job) or not each.job]
        whys += [_not_ended(each.manifest) for each in self._replies]
        if whys:
            return next((why for why in whys if isinstance(why, Damaged)), whys[-1])
        if job:
            return NoReply(f"the input holds no result of job {shown(job)}")
        if not self._bytes:
            return NoReply("the input is empty: there is no mail in it")
        if self._mails > 1:
            return NoReply(f"none of the {self._mails} mails is a reply of a gateway")
        return NoReply(f"{shown(self._names[0])} is no reply of a gateway: it holds no job.json")


def _not_ended(manifest: Manifest) -> Refusal:
    phase, job = shown(manifest.phase), shown(manifest.id)
    return Refusal(f"job {job} has not ended: it was {phase} when this mail was written")


def _one_job(results: dict[str, list[Reply]], options: Options) -> list[Reply]:
    """Return the replies of the one job there is, or of the one that was chosen."""
    if options.job in results:
        return results[options.job]
    if len(results) == 1:
        return next(iter(results.values()))
    latest = sorted(results.values(), key=_over)[::-1]
    if options.last:
        return latest[0]
    lines = [f"  {summary(replies[0].manifest)}" for replies in latest]
    if len(lines) > _MOST_SHOWN:
        lines[_MOST_SHOWN:] = [f"  and {len(lines) - _MOST_SHOWN} more"]
    listed = "\n".join(lines)
    many = f"the mails hold {len(results)} jobs"
    if options.job:
        many += f" that begin with {shown(options.job)}"
    raise SeveralJobs(f"{many}: choose one by --job ID, or by --last the first of these\n{listed}")


def _over(replies: list[Reply]) -> float:
    """Return when a job ended; by the mail's Date where its job.json does not tell."""
    return max(instant(each.manifest.over, each.date) for each in replies)


def _fullest(replies: list[Reply]) -> Reply:
    """Return the first of the replies with the most attached streams."""
    return max(replies, key=lambda reply: sum(s.attached for s in reply.manifest.streams))


def _list(replies: list[Reply]) -> int:
    _say("\n".join(table(reply.manifest) for reply in replies))
    first = replies[0].manifest
    return first.status if len(replies) == 1 and first.ended else 0


def _write(replies: list[Reply], name: str) -> int:
    manifest = _fullest(replies).manifest
    stream = _stream(manifest, name)
    if not stream:
        if not name and manifest.status:
            _tell(f"job {shown(manifest.id)} wrote nothing: {shown(manifest.end)}")
            return manifest.status
        names = ", ".join(shown(each.name) for each in manifest.streams) or "none"
        wanted = shown(name) if name else "standard output"
        raise NotAttached(f"job {shown(manifest.id)} has no stream {wanted}; it has {names}")
    if not stream.attached:
        raise NotAttached(kept_sentence(manifest, stream))
    widen(1)
    _deliver(replies, stream, writer(1, "standard output"))
    return manifest.status


def _stream(manifest: Manifest, name: str) -> Stream | None:
    """Return the stream of that name, else of that role; "" is standard output."""
    named = [each for each in manifest.streams if each.name == name] if name else []
    role = name or "stdout"
    alike = [each for each in manifest.streams if each.role == role and role != "file"]
    return next(iter(named + alike), None)


def _extract(replies: list[Reply], path: str) -> int:
    manifest = _fullest(replies).manifest
    folder = Folder(path)
    damaged: list[str] = []
    try:
        for stream in manifest.streams:
            try:
                _extract_one(replies, stream, folder)
            except NotAttached:
                _tell(kept_sentence(manifest, stream))
            except Damaged as error:
                damaged.append(str(error))
    finally:
        folder.close()
    if damaged:
        raise Damaged("; ".join(damaged))
    return manifest.status


def _extract_one(replies: list[Reply], stream: Stream, folder: Folder) -> None:
    if not stream.attached:
        raise NotAttached(stream.name)
    file = folder.create(stream.name)
    with file as write:
        _deliver(replies, stream, write)
    original = "" if file.name == stream.name else f"  (was {shown(stream.name)})"
    _say(f"{shown(folder.path)}/{shown(file.name)}  {size(stream.size)}{original}\n")


def _deliver(replies: list[Reply], stream: Stream, write: Write) -> None:
    """Write a stream from the first mail that holds it whole."""
    copies = _copies(replies, stream)
    if not copies:
        words = "the mail was cut off, or an attachment taken out of it"
        raise Damaged(f"{shown(stream.name)} is missing: {words}")
    for copy in copies[:-1]:
        if intact(copy, stream):
            pour(copy, stream, write)
            return
    pour(copies[-1], stream, write)


def _copies(replies: list[Reply], stream: Stream) -> list[Part]:
    """Return the parts that should hold a stream: a result may have come twice."""
    return [
        part
        for reply in replies
        for each in reply.manifest.streams
        if each.attached and (each.name, each.sha256) == (stream.name, stream.sha256)
        if (part := reply.part(each))
    ]


def _say(text: str) -> None:
    writer(1, "standard output")(text.encode())


def _tell(text: str) -> None:
    try:
        os.write(2, f"accat: {text}\n".encode())
    except OSError:
        return


if __name__ == "__main__":
    main()
