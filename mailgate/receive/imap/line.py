"""One connection to an IMAP server (RFC 3501), on IMAPClient: what a mailbox's thread asks of it.

Everything blocks, each answer for ``[listen.imap] timeout`` at most. What a server says that is no
IMAP is a lost connection.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from imapclient import DELETED, IMAPClient
from imapclient.exceptions import ProtocolError

from mailgate import crash
from mailgate.config import ImapDoor, Tls
from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.copies import Copies
from mailgate.receive.imap.errors import Declined, Lost, Stopped
from mailgate.receive.imap.login import log_in

# Seconds for the last word, which nobody waits for.
_LAST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A mailbox as it is now: how many mails it holds, and the ``validity`` of their UIDs.

    ``following`` is the UID that the next mail gets, or 0 where the server does not say.
    """

    exists: int
    validity: int
    following: int


class Line:
    """A connection, from the login on."""

    def __init__(self, door: ImapDoor, bell: Bell) -> None:
        self._door = door
        self._bell = bell
        self._at = f"{door.host}:{door.port}"
        self._client: IMAPClient | None = None
        self._idling = False
        self._validity = 0
        self._copies = Copies(self._again)

    def open(self) -> None:
        """Connect, and log in.

        Raises
        ------
        Lost, NoLogin, Stopped
            Nobody is there who can be trusted, or who trusts us.
        """
        door = self._door
        try:
            context = ssl.create_default_context(cafile=door.ca_file)
            self._client = IMAPClient(
                door.host,
                door.port,
                ssl=door.tls is Tls.TLS,
                ssl_context=context,
                timeout=door.timeout.total_seconds(),
            )
        except (OSError, IMAPClient.Error) as error:
            raise Lost(f"cannot connect to {self._at}: {words(error)}") from error
        # Private: IMAPClient has imaplib write out every mail for a log that nobody reads.
        self._client._imap.debug = 0  # noqa: SLF001
        with self._understood():
            if door.tls is Tls.STARTTLS:
                if not self._client.has_capability("STARTTLS"):
                    raise Lost(f"{self._at} offers no STARTTLS; it is not used without")
                self._client.starttls(context)
            log_in(self._client, door, self._bell)

    @property
    def idles(self) -> bool:
        """The server tells of new mail by itself (RFC 2177)."""
        return self._has("IDLE")

    @property
    def moves(self) -> bool:
        """The server moves mail in one step (RFC 6851)."""
        return self._has("MOVE")

    @property
    def expunges(self) -> bool:
        """The server removes chosen mail, and no other that is marked (RFC 4315)."""
        return self._has("UIDPLUS")

    def _has(self, capability: str) -> bool:
        with self._understood() as client:
            return bool(client.has_capability(capability))

    # --- folders ----------------------------------------------------------------------------------

    def has(self, folder: str) -> bool:
        """Tell whether there is such a folder."""
        with self._understood() as client:
            # The name may hold what LIST takes for a pattern.
            return any(name == folder for _, _, name in client.list_folders("", folder))

    def ensure(self, folder: str) -> None:
        """Make a folder that is missing, and let mail programs show it."""
        if self.has(folder):
            return
        try:
            with self._understood() as client:
                client.create_folder(folder)
        except Declined as error:
            if self.has(folder):
                return  # somebody was quicker
            message = f'the folder "{folder}" cannot be made; some servers want "INBOX.{folder}"'
            raise Declined(message, detail=error.detail) from error
        with suppress(Declined), self._understood() as client:
            client.subscribe_folder(folder)

    def select(self) -> Selected:
        """Look at the mailbox afresh; numbers of mails and UIDs then hold until it is done again.

        Raises
        ------
        Lost, Declined
            Also where it can only be read: nothing could be moved out of it.
        """
        try:
            with self._understood() as client:
                found = client.select_folder(self._door.mailbox)
                exists, validity = int(found[b"EXISTS"]), int(found.get(b"UIDVALIDITY", 0))
                following = int(found.get(b"UIDNEXT", 0))
        except Declined as error:
            message = f'the mailbox "{self._door.mailbox}" cannot be opened'
            raise Declined(message, detail=error.detail) from error
        if not validity:
            # A UID may then mean another mail at any time (RFC 3501 section 2.3.1.1).
            raise Declined(f'the mailbox "{self._door.mailbox}" gives its mails no lasting UIDs')
        self._validity = validity
        return Selected(exists=exists, validity=validity, following=following)

    def _again(self) -> int:
        """Select the mailbox again, in the middle of a window; return the UID of its next mail."""
        before = self._validity
        selected = self.select()
        if selected.validity != before:
            raise Lost(f'the mailbox "{self._door.mailbox}" has given its mails other UIDs')
        return selected.following or 1 << 32

    # --- mails ------------------------------------------------------------------------------------

    def uids(self, first: int, last: int) -> list[int]:
        """Return the UIDs of the ``first`` to the ``last`` mail, but for those marked as deleted.

        By places, not by UIDs: however many mails there are, the answer is short.
        """
        with self._understood() as client:
            return sorted(client.search([f"{first}:{last}", "UNDELETED"]))

    def sizes(self, uids: Sequence[int]) -> dict[int, int]:
        """Return the sizes in bytes of those mails that are still there, as the server knows them.

        They may be wrong by a little (RFC 3501 leaves no room for that; several servers do).
        """
        with self._understood() as client:
            found = client.fetch(uids, ["RFC822.SIZE"])
            size = b"RFC822.SIZE"
            return {uid: int(row[size]) for uid, row in found.items() if size in row}

    def blocks(self, uids: Sequence[int], offset: int, size: int) -> dict[int, bytes]:
        """Return ``size`` bytes from ``offset`` on of each mail that is still there, CRLF as is.

        A block is shorter at the mail's end alone, and empty behind it. Nothing is marked as read.
        """
        with self._understood() as client:
            found = client.fetch(uids, [f"BODY.PEEK[]<{offset}.{size}>"])
        name = f"BODY[]<{offset}>".encode()
        blocks = {uid: row[name] or b"" for uid, row in found.items() if name in row}
        if any(not isinstance(block, bytes) or len(block) > size for block in blocks.values()):
            raise Lost(f"{self._at} sent other bytes than it was asked for")
        return blocks

    def move(self, uids: Sequence[int], folder: str) -> bool:
        """Move mails into a folder, which is made where it is missing; False: they are still here.

        Where the server knows no MOVE they are copied, unless an earlier try came so far, marked as
        deleted, and removed. Where it cannot remove them alone they stay, so marked, which ``uids``
        passes over: to remove all that is marked would remove what others have marked, too.
        """
        try:
            return self._move(uids, folder)
        except Declined:
            self.ensure(folder)
            return self._move(uids, folder)

    def _move(self, uids: Sequence[int], folder: str) -> bool:
        try:
            with self._understood() as client:
                if self.moves:
                    client.move(uids, folder)
                    return True
                self._copy(client, uids, folder)
                client.add_flags(uids, [DELETED], silent=True)
                if self.expunges:
                    client.uid_expunge(uids)
                return self.expunges
        except Declined:
            self._copies.forget(folder)
            raise

    def _copy(self, client: IMAPClient, uids: Sequence[int], folder: str) -> None:
        missing = self._copies.missing(client, uids, folder)
        if missing:
            client.copy(missing, folder)
        crash.point("imap:copied")

    # --- waiting and leaving ----------------------------------------------------------------------

    def idle(self, seconds: float) -> None:
        """Wait until the server says anything about the mailbox, or the time is over.

        Raises
        ------
        Stopped
            The bell rang; the connection can only be closed.
        Lost
            It is gone, which may have been so for long.
        """
        with self._understood() as client:
            self._idling = True
            client.idle()
            if not self._has_heard(client):
                self._bell.wait(seconds, client.socket().fileno())
            if self._bell.rung:
                raise Stopped("the gateway ends")
            # A connection that is gone can be read without end, and only this tells.
            client.idle_done()
            self._idling = False

    def _has_heard(self, client: IMAPClient) -> bool:
        """Whether something came along with the answer to IDLE, and waits in a buffer.

        Nothing public tells. What lies there makes no descriptor readable.
        """
        wire = client.socket()
        if isinstance(wire, ssl.SSLSocket) and wire.pending():
            return True
        imap = client._imap  # noqa: SLF001
        if hasattr(imap, "_readbuf"):
            return bool(imap._readbuf)  # noqa: SLF001 - Python 3.14 and newer
        wire.settimeout(0)
        try:
            return bool(imap.file.peek(1))
        except OSError:
            # Nothing is there yet.
            return False
        finally:
            wire.settimeout(self._door.timeout.total_seconds())

    def hang_up(self) -> None:
        """End whatever the connection's thread waits for; any thread may call it."""
        client = self._client
        if client is not None:
            # Of a TLS socket the one below it: what the thread may still send stays encrypted.
            with suppress(OSError, AttributeError):
                socket.socket.shutdown(client.socket(), socket.SHUT_RDWR)

    def close(self) -> None:
        """Log out where that is quick, and close."""
        client = self._client
        if client is None:
            return
        with suppress(Exception):
            if not self._idling:
                client.socket().settimeout(_LAST)
                client.logout()
        with suppress(Exception):
            client.shutdown()

    @contextmanager
    def _understood(self) -> Iterator[IMAPClient]:
        if self._client is None:
            raise Lost(f"there is no connection to {self._at}")
        try:
            yield self._client
        except IMAPClient.ReadOnlyError as error:
            raise Declined("it can only be read", detail="it can only be read") from error
        except (IMAPClient.AbortError, OSError, EOFError) as error:
            raise Lost(f"the connection to {self._at} is lost", detail=words(error)) from error
        except ProtocolError as error:
            raise Lost(f"{self._at} does not speak IMAP", detail=words(error)) from error
        except IMAPClient.Error as error:
            raise Declined(f"{self._at} declined", detail=words(error)) from error
        except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
            raise Lost(f"{self._at} does not speak IMAP", detail=repr(error)) from error


def words(error: Exception) -> str:
    """Return what an error says, whichever library said it."""
    said = error.args[0] if error.args and not isinstance(error, OSError) else str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text or type(error).__name__
