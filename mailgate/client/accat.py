"""accat: the job's standard output, byte for byte, out of its mailed result.

``cat email | accat | phyloanalyse > tree.ph`` is the sentence that it exists for.
"""

import os
import signal
import sys

from mailgate import __version__
from mailgate.client.errors import Damaged, Missing, NoReply, NotAttached, SeveralJobs
from mailgate.client.extract import File, Folder, Kept, Making, writer
from mailgate.client.letter import Notice, Part, Reply, look
from mailgate.client.mailbox import mails, sources
from mailgate.client.manifest import Manifest, Stream, summary, table
from mailgate.client.options import USAGE, Options
from mailgate.client.outputs import Outputs
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
        if isinstance(error, Missing):
            _say_missing(error.lines)
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
            return _list([job])
        if options.extract:
            return _extract(job, options.extract, raw=options.raw)
        return _write(job, options.name, raw=options.raw)
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

    def best(self, job: str) -> list[list[Reply]]:
        """Return for every job its mails: the results, else what says a word on its progress."""
        return [
            [each for each in replies if each.manifest.ended] or replies
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


def _list(jobs: list[list[Reply]]) -> int:
    found = [_outputs(job) for job in jobs]
    _say("\n".join(_listed(job) for job in found))
    first = found[0].manifest
    return first.status if len(jobs) == 1 and first.ended else 0


def _outputs(replies: list[Reply]) -> Outputs:
    """Return what the mails of one job hold; results that differ are told."""
    found = Outputs(replies)
    # What a job says on its way differs each time.
    if found.told and found.manifest.ended:
        _tell(found.told)
    return found


def _listed(found: Outputs) -> str:
    lines = [f"  {line}\n" for each in found.shipments[:1] for line in each.missing]
    if found.whole:
        lines = []
    return table(found.manifest, found.streams) + "".join(lines)


def _write(replies: list[Reply], name: str, *, raw: bool) -> int:
    outputs = _outputs(replies)
    manifest = outputs.manifest
    stream = _stream(outputs.streams, name)
    if not stream:
        return _no_stream(outputs, name)
    write = writer(1, "standard output")
    copies = outputs.copies(stream)
    if outputs.is_plain(stream):
        widen(1)
        _deliver(copies, stream, write)
        return manifest.status
    held = outputs.holder(stream)
    if not held:
        raise outputs.absent(stream)
    widen(1)
    shipment, own = held
    if raw and own.place and own.place.parcel in shipment.parcels:
        shipment.pour_raw(shipment.parcels[own.place.parcel], lambda: Kept(write))
    else:
        shipment.pour([(own, lambda: Kept(write))])
    return manifest.status


def _no_stream(outputs: Outputs, name: str) -> int:
    """Say why there is no such stream; return the status of a job that wrote nothing."""
    manifest = outputs.manifest
    if lines := [line for each in outputs.shipments[:1] for line in each.missing]:
        raise Missing("what the missing parts hold is not known", lines)
    if not name and manifest.status:
        _tell(f"job {shown(manifest.id)} wrote nothing: {shown(manifest.end)}")
        return manifest.status
    names = ", ".join(shown(each.name) for each in outputs.streams) or "none"
    wanted = shown(name) if name else "standard output"
    raise NotAttached(f"job {shown(manifest.id)} has no stream {wanted}; it has {names}")


def _stream(streams: list[Stream], name: str) -> Stream | None:
    """Return the stream of that name, else of that role; "" is standard output."""
    named = [each for each in streams if each.name == name] if name else []
    role = name or "stdout"
    alike = [each for each in streams if each.role == role and role != "file"]
    return next(iter(named + alike), None)


def _extract(replies: list[Reply], path: str, *, raw: bool) -> int:
    # Whoever reads what is told may stop (head): that ends no file in the middle.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    outputs = _outputs(replies)
    folder = Folder(path)
    wrong: list[MailgateError] = []
    try:
        for stream in outputs.streams:
            try:
                _extract_one(outputs, stream, folder)
            except NotAttached as error:
                _tell(str(error))
            except (Damaged, Missing) as error:
                wrong.append(error)
        wrong += _extract_held(outputs, folder, raw=raw)
    finally:
        folder.close()
    if wrong:
        raise _together(wrong)
    return outputs.manifest.status


def _together(wrong: list[MailgateError]) -> MailgateError:
    """Return one error for several: damage outweighs parts that may still come."""
    text = "; ".join(str(error) for error in wrong)
    lines = [line for error in wrong if isinstance(error, Missing) for line in error.lines]
    if any(isinstance(error, Damaged) for error in wrong):
        _say_missing(lines)
        return Damaged(text)
    return Missing(text, lines)


def _extract_one(outputs: Outputs, stream: Stream, folder: Folder) -> None:
    """Write a stream that a letter carries as it is, or raise why there is none."""
    copies = outputs.copies(stream)
    if not outputs.is_plain(stream):
        if outputs.holder(stream):
            return
        raise outputs.absent(stream)
    file = folder.create(stream.name)
    with file as write:
        _deliver(copies, stream, write)
    _say_made(folder, file, stream.name, stream.size)


def _extract_held(outputs: Outputs, folder: Folder, *, raw: bool) -> list[MailgateError]:
    """Write what shipments have whole, each parcel in one pass; return what was wrong."""
    wrong: list[MailgateError] = []
    mine: dict[tuple[int, str], list[Stream]] = {}
    for stream in outputs.streams:
        held = None if outputs.copies(stream) else outputs.holder(stream)
        if held and held[1].place:
            place = (outputs.shipments.index(held[0]), held[1].place.parcel)
            mine.setdefault(place, []).append(held[1])
    for number, shipment in enumerate(outputs.shipments):
        for parcel in shipment.parcels.values():
            streams = mine.get((number, parcel.name))
            if not streams:
                continue
            try:
                if raw:
                    shipment.pour_raw(parcel, Making(folder, parcel.name, parcel.size, _say_made))
                else:
                    shipment.pour([(s, Making(folder, s.name, s.size, _say_made)) for s in streams])
            except (Damaged, Missing) as error:
                wrong.append(error)
    return wrong


def _say_made(folder: Folder, file: File, name: str, count: int) -> None:
    original = "" if file.name == name else f"  (was {shown(name)})"
    try:
        _say(f"{shown(folder.path)}/{shown(file.name)}  {size(count)}{original}\n")
    except BrokenPipeError:
        return


def _deliver(copies: list[Part], stream: Stream, write: Write) -> None:
    """Write a stream from the first mail that holds it whole."""
    if not copies:
        words = "the mail was cut off, or an attachment taken out of it"
        raise Damaged(f"{shown(stream.name)} is missing: {words}")
    for copy in copies[:-1]:
        if intact(copy, stream):
            pour(copy, stream, write)
            return
    pour(copies[-1], stream, write)


def _say_missing(lines: list[str]) -> None:
    try:
        os.write(2, "".join(f"{line}\n" for line in dict.fromkeys(lines)).encode())
    except OSError:
        return


def _say(text: str) -> None:
    writer(1, "standard output")(text.encode())


def _tell(text: str) -> None:
    try:
        os.write(2, f"accat: {text}\n".encode())
    except OSError:
        return


if __name__ == "__main__":
    main()
