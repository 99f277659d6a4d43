"""One round through a mailbox, a window of mails at a time: fetch, hand over, only then move."""

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from mailgate import crash, log
from mailgate.config import ImapDoor
from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.errors import Declined
from mailgate.receive.imap.line import Line
from mailgate.receive.imap.memory import Memory
from mailgate.receive.imap.reception import Intake, Reception, Word, is_cut_short

T = TypeVar("T")

# So many mails are looked at in one go, and so many small ones of them fetched together.
_WINDOW = 500
_TOGETHER = 32
# Bytes that are fetched together, as far as the server knows the mails' sizes.
_BATCH = 1 << 20
# Bytes of a block: the first one holds any header that is taken.
_BLOCK = 256 << 10


class Awaited(Protocol):
    """Has the event loop do something, and waits for what comes of it."""

    def __call__(self, doing: Coroutine[Any, Any, T], /) -> T: ...  # noqa: D102


class Round:
    """What is done over and over again in one mailbox, on one connection."""

    def __init__(
        self,
        door: ImapDoor,
        line: Line,
        memory: Memory,
        *,
        reception: Reception,
        awaited: Awaited,
        bell: Bell,
    ) -> None:
        self._door = door
        self._line = line
        self._memory = memory
        self._reception = reception
        self._awaited = awaited
        self._bell = bell

    def go(self) -> int:
        """Go through the mailbox once, or until the bell rings; return how many mails left it.

        Raises
        ------
        Lost, Declined
            Nothing more can be done on this connection. What was durable by then, and could not be
            moved, is remembered.
        """
        place, moved = 1, 0
        self._memory.begin()
        while not self._bell.rung and not self._memory.wants_rest:
            selected = self._line.select()
            self._memory.hold_for(selected.validity)
            if place > selected.exists:
                self._memory.end()
                break
            last = min(place + _WINDOW - 1, selected.exists)
            left = self._window(self._line.uids(place, last))
            # What stays of this window stands before the next.
            place = last + 1 - left
            moved += left
        return moved

    def _window(self, uids: Sequence[int]) -> int:
        """Take or move what is due of these mails, and return how many have left the mailbox."""
        self._memory.see(uids)
        gone = 0
        for folder, settled in self._memory.unmoved(uids).items():
            gone += self._moved(settled, folder)
        wanted = self._memory.wanted(uids)
        sizes = self._line.sizes(wanted) if wanted else {}
        gone += len(wanted) - len(sizes)
        for some in _batches(sizes):
            if self._bell.rung or self._memory.wants_rest:
                break
            gone += self._taken(some, sizes)
        return gone

    def _taken(self, uids: Sequence[int], sizes: Mapping[int, int]) -> int:
        """Fetch mails, hand them over and move them; return how many have left the mailbox."""
        try:
            heads = self._line.blocks(uids, 0, _BLOCK)
        except Declined as trouble:
            if len(uids) > 1:
                return sum(self._taken([uid], sizes) for uid in uids)
            self._put_off(uids, trouble)
            return 0
        gone = len(uids) - len(heads)
        whole = {uid: head for uid, head in heads.items() if len(head) < _BLOCK}
        big = heads.keys() - whole.keys()
        for uid in [uid for uid, head in whole.items() if is_cut_short(len(head), sizes[uid])]:
            del whole[uid]
            self._put_off([uid], Declined("the server sent the mail cut short"))
        if whole:
            gone += self._settled(self._awaited(self._reception.take(whole)))
        for uid in big:
            if self._bell.rung:
                break
            gone += self._taken_in_blocks(uid, heads[uid], sizes[uid])
        return gone

    def _taken_in_blocks(self, uid: int, head: bytes, size: int) -> int:
        intake = self._awaited(self._reception.open(head, size))
        if isinstance(intake, Word):
            return self._settled({uid: intake})
        try:
            there = self._fetched(intake, uid, head)
        except BaseException as error:
            self._awaited(intake.drop())
            if isinstance(error, Declined):
                self._put_off([uid], error)
                return 0
            raise
        if not there:
            self._awaited(intake.drop())
            return 0 if self._bell.rung else 1
        return self._settled({uid: self._awaited(intake.end())})

    def _fetched(self, intake: Intake, uid: int, block: bytes) -> bool:
        """Fetch the rest of a mail; False where it has gone meanwhile, or the bell rang."""
        offset = len(block)
        while self._awaited(intake.write(block)) and len(block) == _BLOCK:
            found = {} if self._bell.rung else self._line.blocks([uid], offset, _BLOCK)
            if uid not in found:
                return False
            block = found[uid]
            offset += len(block)
        return True

    def _settled(self, words: Mapping[int, Word]) -> int:
        """Move what is settled, put off what is not; return how many have left the mailbox."""
        crash.point("imap:committed")
        taken = [uid for uid, word in words.items() if word is Word.TAKEN]
        refused = [uid for uid, word in words.items() if word is Word.REFUSED]
        # All are noted before the first is moved: that may be the connection's end.
        self._memory.settle(taken, self._door.done)
        self._memory.settle(refused, self._door.failed)
        self._memory.put_off(uid for uid, word in words.items() if word is Word.LATER)
        full = [uid for uid, word in words.items() if word is Word.FULL]
        self._memory.put_off(full, all_the_same=True)
        return self._moved(taken, self._door.done) + self._moved(refused, self._door.failed)

    def _moved(self, uids: Sequence[int], folder: str) -> int:
        if not uids:
            return 0
        try:
            removed = self._line.move(uids, folder)
        except Declined as trouble:
            self._put_off(uids, trouble, folder)
            return 0
        crash.point("imap:moved")
        self._memory.forget(uids)
        return len(uids) if removed else 0

    def _put_off(self, uids: Sequence[int], trouble: Declined, folder: str | None = None) -> None:
        self._memory.put_off(uids)
        log.event(
            "delayed",
            what=self._door.table,
            uid=uids[0],
            mails=len(uids),
            folder=folder,
            reason=str(trouble),
            detail=trouble.detail or None,
        )


def _batches(sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Put mails together that are fetched at once: many small ones, or one that is not."""
    batch: list[int] = []
    size = 0
    for uid, one in sizes.items():
        if batch and (len(batch) == _TOGETHER or size + one > _BATCH or one >= _BLOCK):
            yield batch
            batch, size = [], 0
        batch.append(uid)
        size += one
    if batch:
        yield batch
