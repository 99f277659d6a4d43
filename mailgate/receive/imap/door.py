"""The IMAP door: all mailboxes, in the event loop that starts it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from mailgate.config import ImapDoor as Settings
from mailgate.desk import Counter
from mailgate.receive.imap.mailbox import Mailbox
from mailgate.receive.imap.reception import Reception


class ImapDoor:
    """Mail out of mailboxes, each read by a thread of its own; one that hangs holds up no other."""

    def __init__(self, counter: Counter, mailboxes: Sequence[Settings]) -> None:
        loop = asyncio.get_running_loop()
        self._mailboxes = [Mailbox(one, Reception(counter, one), loop) for one in mailboxes]

    def start(self) -> None:
        """Begin to read. A server that is away is waited for, and told of."""
        for mailbox in self._mailboxes:
            mailbox.start()

    async def stop(self, grace: timedelta) -> None:
        """Stop reading; what is in hand may be settled within ``grace``."""
        await asyncio.gather(*(one.stop(grace.total_seconds()) for one in self._mailboxes))
