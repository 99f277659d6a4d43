"""What all the mails of one job hold of its outputs."""

from mailgate.client.errors import NotAttached
from mailgate.client.letter import Reply
from mailgate.client.manifest import Stream, kept_sentence
from mailgate.client.parts import Shipment, shipments
from mailgate.errors import MailgateError


class Outputs:
    """What the mails of one job hold of its outputs, each as it is or in shipments."""

    def __init__(self, replies: list[Reply]) -> None:
        """Take the results of one job, at least one."""
        self.plain = [each for each in replies if not each.manifest.shipment]
        self.shipments = shipments(replies)
        best = max(self.plain, key=_attached, default=None)
        if self.shipments and (best is None or not _attached(best)):
            self.manifest = self.shipments[0].manifest
        else:
            self.manifest = (best or replies[0]).manifest
        self.streams = self._all(best)

    def _all(self, best: Reply | None) -> list[Stream]:
        """Return every stream once, as a mail has it that carries it, else as one names it."""
        found: dict[tuple[str, str], Stream] = {}
        everything = [*(best.manifest.streams if best else ())]
        everything += [s for each in self.shipments for s in each.streams]
        everything += [s for each in self.plain for s in each.manifest.streams]
        for stream in everything:
            known = found.get((stream.name, stream.sha256))
            if known is None or (stream.attached and not known.attached):
                found[stream.name, stream.sha256] = stream
        return list(found.values())

    @property
    def whole(self) -> bool:
        """Whether all that is carried is there."""
        carried = [stream for stream in self.streams if stream.place]
        return all(self.holder(stream) for stream in carried)

    def holder(self, stream: Stream) -> tuple[Shipment, Stream] | None:
        """Return a shipment that has all of a stream, and the stream as it has it."""
        for each in self.shipments:
            for own in each.streams:
                if (own.name, own.sha256) == (stream.name, stream.sha256) and each.has(own):
                    return each, own
        return None

    def absent(self, stream: Stream) -> MailgateError:
        """Return what to raise for a stream that is nowhere whole."""
        for each in self.shipments:
            for own in each.streams:
                if own.place and (own.name, own.sha256) == (stream.name, stream.sha256):
                    return each.lacks(own)
        return NotAttached(kept_sentence(self.manifest, stream))


def _attached(reply: Reply) -> int:
    return sum(stream.attached for stream in reply.manifest.streams)
