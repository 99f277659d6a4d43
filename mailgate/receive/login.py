"""AUTH (RFC 4954): what PLAIN and LOGIN say, and passwords checked a few at a time."""

import asyncio
import base64
import binascii
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

from mailgate.receive.clients import Client, address_of, client_of
from mailgate.receive.guesses import Guesses
from mailgate.users import Login, Users

MECHANISMS = ("PLAIN", "LOGIN")

# A check takes some 40 ms of a processor and 19 MiB: what more clients ask for at once waits.
_AT_ONCE = 2


class BadExchangeError(Exception):
    """A client's words in AUTH that cannot be read; ``reply`` is what to say to them."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


class TooManyError(Exception):
    """A client has tried too many wrong passwords; its words are for that client."""


async def exchange(
    argument: bytes, challenge: Callable[[str], Awaitable[bytes | None]]
) -> tuple[str, str]:
    """Return the name and password that a client gives.

    ``argument`` is what followed AUTH; ``challenge`` says base64 to the client and returns its next
    line, None where that was too long.

    Raises
    ------
    BadExchangeError
        It gives none, or none that can be read.
    """
    mechanism, _, first = argument.partition(b" ")
    initial = first.strip() or None
    match mechanism.upper():
        case b"PLAIN":
            return _plain(await _heard(initial, "", challenge))
        case b"LOGIN":
            name = await _heard(initial, "Username:", challenge)
            return _text(name), _text(await _heard(None, "Password:", challenge))
        case _:
            raise BadExchangeError(f"504 5.5.4 say AUTH {' or '.join(MECHANISMS)}")


async def _heard(
    initial: bytes | None, words: str, challenge: Callable[[str], Awaitable[bytes | None]]
) -> bytes:
    line = initial
    if line is None:
        line = await challenge(base64.b64encode(words.encode()).decode())
    if line is None:
        raise BadExchangeError("500 5.5.6 that line is too long")
    word = line.strip()
    if word == b"*":
        raise BadExchangeError("501 5.7.0 cancelled")
    try:
        # RFC 4954, 4: "=" is an initial response of no bytes.
        return b"" if initial and word == b"=" else base64.b64decode(word, validate=True)
    except binascii.Error:
        raise BadExchangeError("501 5.5.2 that is no base64") from None


def _plain(response: bytes) -> tuple[str, str]:
    """Read RFC 4616: on whose behalf (nobody else's is taken), name, password."""
    words = response.split(b"\0")
    if len(words) != 3:
        raise BadExchangeError("501 5.5.2 PLAIN has three words with NUL between them")
    behalf, name, password = map(_text, words)
    if behalf not in {"", name}:
        raise BadExchangeError("535 5.7.8 nobody logs in on another one's behalf here")
    return name, password


def _text(word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise BadExchangeError("501 5.5.2 that is no UTF-8") from None


class Logins:
    """Who may log in, asked from the event loop: hashing blocks, in threads of its own."""

    def __init__(self, users: Users) -> None:
        self.users = users
        self._threads = ThreadPoolExecutor(_AT_ONCE, "login")
        self._guesses = Guesses()
        # Of one client one password is checked after the other.
        self._turns = WeakValueDictionary[Client, asyncio.Lock]()

    async def check(self, name: str, password: str, peer: str | None) -> Login | None:
        """Return the user of that name and password; None takes as long.

        Raises
        ------
        TooManyError
            Too many were wrong that came from there: this one is not looked at.
        """
        client = client_of(address_of(peer))
        await asyncio.sleep(self._guesses.slow(client, name, time.monotonic()))
        turn = self._turns.setdefault(client, asyncio.Lock())
        async with turn:
            if wait := self._guesses.shut(client, name, time.monotonic()):
                raise TooManyError(f"too many failed logins, try again in {math.ceil(wait)} s")
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self.users.check, name, password)
            if found is None:
                self._guesses.wrong(client, name, time.monotonic())
            else:
                self._guesses.right(client, name)
        return found

    def holds(self, login: Login) -> bool:
        """Tell whether who has logged in could do so still, with the same rights."""
        return self.users.holds(login)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
