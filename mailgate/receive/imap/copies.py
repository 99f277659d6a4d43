"""Mails that were copied before a connection was lost, and are still where they were.

Without MOVE a mail is copied and then removed. What ends in between leaves both; whoever copies it
again, leaves three. So a folder's end is looked at once a connection, before the first copy.
"""

import hashlib
from collections.abc import Callable, Sequence

from imapclient import IMAPClient

# Mails at the end of a folder: what one command copies is a window of mails at most.
_END = 500
# Bytes of a mail that are compared, and its size: in them stands by whom it was received, under
# which number. So many mails are compared together.
_HEAD = 4 << 10
_TOGETHER = 100


class Copies:
    """What the folders of one connection hold already of the mailbox that is read.

    ``again`` selects that mailbox afresh, and returns the UID that its next mail gets.
    """

    def __init__(self, again: Callable[[], int]) -> None:
        self._again = again
        # By folder: the mails at its end, and the UID from which on no mail was there to be copied.
        self._ends: dict[str, tuple[set[bytes], int]] = {}

    def forget(self, folder: str) -> None:
        """Look at a folder again before the next copy: the last may have been done, and no more."""
        self._ends.pop(folder, None)

    def missing(self, client: IMAPClient, uids: Sequence[int], folder: str) -> list[int]:
        """Return those of the mails that the folder does not hold."""
        if folder not in self._ends:
            try:
                held = _end_of(client, folder)
            finally:
                following = self._again()
            self._ends[folder] = held, following
        held, following = self._ends[folder]
        suspects = [uid for uid in uids if uid < following] if held else []
        marks = _marks(client, suspects)
        return [uid for uid in uids if marks.get(uid) not in held]


def _end_of(client: IMAPClient, folder: str) -> set[bytes]:
    exists = int(client.select_folder(folder, readonly=True)[b"EXISTS"])
    if not exists:
        return set()
    return set(_marks(client, client.search([f"{max(1, exists - _END + 1)}:*"])).values())


def _marks(client: IMAPClient, uids: Sequence[int]) -> dict[int, bytes]:
    """Tell mails by their bytes: the same in every folder of a server, whatever their UIDs."""
    marks: dict[int, bytes] = {}
    for at in range(0, len(uids), _TOGETHER):
        found = client.fetch(uids[at : at + _TOGETHER], ["RFC822.SIZE", f"BODY.PEEK[]<0.{_HEAD}>"])
        for uid, row in found.items():
            size, head = row.get(b"RFC822.SIZE"), row.get(b"BODY[]<0>")
            if size is not None and head:
                marks[uid] = b"%d " % size + hashlib.sha256(head).digest()
    return marks
