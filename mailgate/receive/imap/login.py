"""Logging in to a mailbox: by a password, or by an XOAUTH2 token."""

from collections.abc import Callable

from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from mailgate.config import ImapDoor
from mailgate.receive.imap.bell import Bell
from mailgate.receive.imap.errors import Declined, Lost, NoLogin
from mailgate.receive.imap.token import token

# What a server says that may well take the login later (RFC 5530 section 3).
_LATER = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "[CONTACTADMIN]")


def log_in(client: IMAPClient, door: ImapDoor, bell: Bell) -> None:
    """Log in as ``[listen.imap] user``; the password or the token is got anew each time.

    Raises
    ------
    NoLogin
        It is refused, or there is nothing to show.
    Declined, Lost, Stopped
        It may be taken later; the connection is gone; the bell rang.
    """
    if door.token_command is not None:
        limit = door.timeout.total_seconds()
        got = token(door.token_command, door.folder, limit=limit, bell=bell)
        answer = _Once(f"user={door.user}\1auth=Bearer {got}\1\1".encode())
        _taken(door, lambda: client.sasl_login("XOAUTH2", answer))
        return
    password = _password(door)
    known = client.capabilities()
    if b"AUTH=PLAIN" in known:
        # Whatever letters there are in it, which LOGIN is not made for.
        _taken(door, lambda: client.plain_login(door.user, password))
        return
    if b"LOGINDISABLED" in known:
        raise NoLogin(f'{door.host} takes no password without TLS: set {door.table}.tls = "tls"')
    if not (door.user + password).isascii():
        raise NoLogin(f"{door.host} takes only plain ASCII as user and password")
    user = door.user.replace("\\", "\\\\").replace('"', '\\"')
    _taken(door, lambda: client.login(f'"{user}"', password))


class _Once:
    """Says its word to the first challenge; a second one is the server's reason to refuse it."""

    def __init__(self, word: bytes) -> None:
        self._words = [word]

    def __call__(self, _: bytes) -> bytes:
        return self._words.pop() if self._words else b""


def _taken(door: ImapDoor, log_in: Callable[[], object]) -> None:
    try:
        log_in()
    except LoginError as error:
        if isinstance(error.__context__, IMAPClient.AbortError):
            raise Lost(f"{door.host} hung up at the login", detail=str(error)) from error
        said = str(error).removeprefix("b'").removesuffix("'")
        # The server's words may be others each time: what is told once is that it refuses.
        message = f"{door.host} refused the login of {door.user}"
        if any(code in said for code in _LATER):
            raise Declined(message, detail=said) from error
        raise NoLogin(message, detail=said) from error


def _password(door: ImapDoor) -> str:
    file = door.password_file
    if file is None:
        raise NoLogin(f"{door.table} names no password_file")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        message = f"{door.table}.password_file cannot be read"
        raise NoLogin(message, detail=f"{file}: {error}") from error
    return text.partition("\n")[0].rstrip("\r")
