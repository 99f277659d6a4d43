"""What all the mails of one job hold of its outputs."""

from collections.abc import Sequence

from mailgate.client.errors import NotAttached
from mailgate.client.letter import Part, Reply
from mailgate.client.manifest import Stream, kept_sentence
from mailgate.client.parts import Shipment, shipments
from mailgate.client.words import instant, shown
from mailgate.errors import MailgateError

_Key = tuple[str, str]


class Outputs:
    """What the mails of one job hold of its outputs, each as it is or in shipments."""

    def __init__(self, replies: list[Reply]) -> None:
        """Take the results of one job, at least one.

        Those that contradict a newer one (another SHA-256 under the same name) are left out;
        ``told`` says so in a sentence, "" where none does.
        """
        replies, self.told = _agreeing(replies)
        self.plain = [each for each in replies if not each.manifest.shipment]
        self.shipments = shipments(replies)
        best = max(self.plain, key=_attached, default=None)
        if self.shipments and (best is None or not _attached(best)):
            self.manifest = self.shipments[0].manifest
        else:
            self.manifest = (best or replies[0]).manifest
        self.streams = self._all(best)
        self._shipped: dict[_Key, list[tuple[Shipment, Stream]]] = {}
        for each in self.shipments:
            for own in each.streams:
                self._shipped.setdefault(_key(own), []).append((each, own))
        self._carriers: dict[_Key, list[tuple[Reply, Stream]]] = {}
        for reply in self.plain:
            for own in reply.manifest.streams:
                if own.attached:
                    self._carriers.setdefault(_key(own), []).append((reply, own))

    def _all(self, best: Reply | None) -> list[Stream]:
        """Return every stream once, as a mail has it that carries it, else as one names it."""
        found: dict[_Key, Stream] = {}
        everything = [*(best.manifest.streams if best else ())]
        everything += [s for each in self.shipments for s in each.streams]
        everything += [s for each in self.plain for s in each.manifest.streams]
        for stream in everything:
            known = found.get(_key(stream))
            if known is None or (stream.attached and not known.attached):
                found[_key(stream)] = stream
        return list(found.values())

    @property
    def whole(self) -> bool:
        """Whether all that is carried is there."""
        carried = [stream for stream in self.streams if stream.place]
        return all(self.holder(stream) for stream in carried)

    def holder(self, stream: Stream) -> tuple[Shipment, Stream] | None:
        """Return a shipment that has all of a stream, and the stream as it has it."""
        shipped = self._shipped.get(_key(stream), ())
        return next(((each, own) for each, own in shipped if each.has(own)), None)

    def is_plain(self, stream: Stream) -> bool:
        """Whether a letter says that it carries a stream as it is."""
        return _key(stream) in self._carriers

    def copies(self, stream: Stream) -> list[Part]:
        """Return the parts that should hold a stream as it is: a result may have come twice."""
        carriers = self._carriers.get(_key(stream), ())
        return [part for reply, own in carriers if (part := reply.part(own))]

    def absent(self, stream: Stream) -> MailgateError:
        """Return what to raise for a stream that is nowhere whole."""
        for each, own in self._shipped.get(_key(stream), ()):
            if own.place:
                return each.lacks(own)
        return NotAttached(kept_sentence(self.manifest, stream))


def _agreeing(replies: Sequence[Reply]) -> tuple[list[Reply], str]:
    """Return the replies that agree with the newest, in their order; and what is to be told."""
    if len(replies) == 1:
        return list(replies), ""
    known: dict[tuple[str, str], set[str]] = {}
    agreeing: set[int] = set()
    differing: list[str] = []
    # Of the same date the later in the input is the newer.
    newest = sorted(enumerate(replies), key=lambda one: (instant("", one[1].date), one[0]))[::-1]
    for place, reply in newest:
        sums: dict[tuple[str, str], set[str]] = {}
        for stream in reply.manifest.streams:
            sums.setdefault((stream.role, stream.name), set()).add(stream.sha256)
        other = [at[1] for at, own in sums.items() if known.get(at, own).isdisjoint(own)]
        differing += other
        if not other:
            agreeing.add(place)
            for at, own in sums.items():
                known.setdefault(at, set()).update(own)
    taken = [reply for place, reply in enumerate(replies) if place in agreeing]
    if not differing:
        return taken, ""
    names = ", ".join(shown(name) for name in dict.fromkeys(differing))
    job, date = newest[0][1].manifest.id, newest[0][1].date or "no date"
    return taken, (
        f"the mails hold results of job {shown(job)} that differ in {names}:"
        f" the newest is taken, of {shown(date)}"
    )


def _key(stream: Stream) -> _Key:
    return stream.name, stream.sha256


def _attached(reply: Reply) -> int:
    return sum(stream.attached for stream in reply.manifest.streams)
