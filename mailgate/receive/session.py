"""One session of SMTP (RFC 5321) or LMTP (RFC 2033): what the client asks, and what it is told."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mailgate import log
from mailgate.errors import Apart, MailgateError, Refusal
from mailgate.model import Envelope
from mailgate.receive.connection import LINE, Connection
from mailgate.receive.data import Body, Taking, has_more, put_back
from mailgate.receive.login import MECHANISMS, BadExchangeError, TooManyError, exchange
from mailgate.receive.path import read_path, wrong_recipient, wrong_sender
from mailgate.receive.terms import Logins, Receipt, Terms, too_big
from mailgate.users import Login

_PATIENCE: Final = 100
_REFUSED: Final = 1
_NONSENSE: Final = 5
"""A session may waste this much patience between two messages that are taken: a refused sender or
recipient costs 1, a command that makes no sense and a refused message 5."""

_FAILURES: Final = 3
"""Logins that may fail before the session ends."""

_TURN: Final = 32
"""Pipelined commands that are obeyed before other sessions have a turn."""

_ANSWERS: Final[Mapping[bytes, str]] = {
    b"NOOP": "250 2.0.0 ok",
    # RFC 5321, 3.5.3: neither yes nor no.
    b"VRFY": "252 2.0.0 send it some mail and see",
    b"EXPN": "502 5.5.1 there are no lists here",
    b"HELP": "214 2.0.0 mail to the address of a service is a job; the protocol is RFC 5321",
}

_FOREIGN: Final = frozenset({b"BDAT", b"CONNECT", b"GET", b"OPTIONS", b"POST", b"PUT"})
"""A browser can be made to post a form to a door on its own machine, whose address the operator may
trust; and what follows BDAT, which is not offered, is no command."""


class Session(Connection):
    """The talk with one client, from greeting to goodbye."""

    def __init__(
        self,
        terms: Terms,
        loop: asyncio.AbstractEventLoop,
        *,
        admit: Callable[[Connection], str | None],
        ended: Callable[[Connection], None],
    ) -> None:
        super().__init__(terms, loop, admit=admit, ended=ended)
        self._greeted = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._login: Login | None = None
        self._failures = 0
        self._patience = _PATIENCE
        # RFC 2033, 4.1: LMTP has a greeting of its own, and neither of the others.
        self._greetings = (b"LHLO",) if terms.lmtp else (b"HELO", b"EHLO")

    # --- the talk ---------------------------------------------------------------------------------

    async def _converse(self) -> None:
        if self._terms.tls_first and self._terms.tls is not None:
            await self._secure(self._terms.tls)
        protocol = "LMTP" if self._terms.lmtp else "ESMTP"
        self._say(f"220 {self.hostname} {protocol} mailgate")
        turns = 0
        while not self._over:
            await self._obey(await self._next_line())
            turns += 1
            if turns % _TURN == 0:
                await self._flush()
                await asyncio.sleep(0)
        await self._flush()

    async def _obey(self, line: bytes | None) -> None:
        if line is None:
            self._scold(f"500 5.5.6 a command line has at most {LINE} bytes")
            return
        word, _, argument = line.strip().partition(b" ")
        match word.upper():
            case b"HELO" | b"EHLO" | b"LHLO" as verb if verb in self._greetings:
                self._greet(argument, extended=verb != b"HELO")
            case b"MAIL":
                self._mail(argument.lstrip())
            case b"RCPT":
                await self._rcpt(argument.lstrip())
            case b"DATA":
                await self._data(argument)
            case b"RSET":
                self._forget()
                self._say("250 2.0.0 ok")
            case b"QUIT":
                self._over = True
                self._say("221 2.0.0 goodbye")
            case verb:
                await self._obey_seldom(verb, argument)

    async def _obey_seldom(self, verb: bytes, argument: bytes) -> None:
        match verb:
            case b"STARTTLS" if self._terms.tls:
                await self._starttls(self._terms.tls, argument)
            case b"AUTH" if self._terms.logins:
                await self._auth(self._terms.logins, argument.strip())
            case verb if verb in _FOREIGN:
                self._goodbye("421 4.7.0", "this is another protocol")
            case verb if verb in _ANSWERS:
                self._say(_ANSWERS[verb])
            case _:
                self._scold("500 5.5.1 there is no such command here")

    def _scold(self, reply: str) -> None:
        """Answer a command that makes no sense."""
        self._say(reply)
        self._tire(_NONSENSE)

    def _tire(self, cost: int) -> None:
        self._patience -= cost
        if self._patience < 0:
            self._log_refusal("talk", "too many errors")
            self._goodbye("421 4.7.0", "too many errors")

    @contextlib.contextmanager
    def _answering(
        self, at: str, *, cost: int, say: Callable[[str], None] | None = None
    ) -> Iterator[None]:
        """Turn what the desk raises, and has logged, into a reply; the session goes on.

        A refusal costs patience, but a relay of the house passes on what strangers send. What may
        work later is no fault of the client's.
        """
        say = say or self._say
        try:
            yield
        except MailgateError as error:
            say(error.smtp_reply)
            if isinstance(error, Refusal) and not self.near:
                self._tire(cost)
        except Exception as error:  # noqa: BLE001 - a bug of ours is no reason to lose a mail
            say("451 4.3.0 something went wrong here, try again later")
            self._log_failure(at, error)

    def _log_refusal(self, at: str, reason: str) -> None:
        to = ",".join(map(log.without_keys, self._recipients[:5])) or None
        log.event(
            "refused",
            door=self._terms.door,
            at=at,
            peer=self.peer,
            sender=self._sender,
            to=to,
            reason=reason,
        )

    # --- the commands -----------------------------------------------------------------------------

    def _greet(self, argument: bytes, *, extended: bool) -> None:
        if not argument.strip():
            self._scold(f"501 5.5.4 say {self._greetings[-1].decode()} and your host name")
            return
        self._forget()
        self._greeted = True
        if extended:
            size = f"SIZE {self._terms.max_size}"
            offers = (self.hostname, "PIPELINING", size, "8BITMIME", *self._offers())
            self._say("".join(f"250-{offer}\r\n" for offer in offers) + "250 ENHANCEDSTATUSCODES")
        else:
            self._say(f"250 {self.hostname}")

    def _offers(self) -> Iterator[str]:
        if self._terms.tls and not self._secured:
            yield "STARTTLS"
        if self._terms.logins and self._secured:
            yield f"AUTH {' '.join(MECHANISMS)}"

    def _forget(self) -> None:
        """Forget the envelope."""
        self._sender = None
        self._recipients = []

    async def _starttls(self, context: ssl.SSLContext, argument: bytes) -> None:
        """Begin again behind TLS, with nothing of what was said before it (RFC 3207, 4.2)."""
        if self._secured:
            self._scold("503 5.5.1 TLS is there already")
        elif argument:
            self._scold("501 5.5.4 STARTTLS takes no argument")
        elif has_more(self._reader):
            self._log_refusal("tls", "more came before the handshake: somebody may be between")
            self._goodbye("421 4.7.0", "nothing may follow STARTTLS before the handshake")
        else:
            self._say("220 2.0.0 go ahead")
            await self._secure(context)
            self._greeted = False
            self._forget()

    async def _auth(self, logins: Logins, argument: bytes) -> None:
        if wrong := self._wrong_auth():
            self._scold(wrong)
            return
        try:
            name, password = await exchange(argument, self._challenge)
        except BadExchangeError as bad:
            self._scold(bad.reply)
            return
        with self._answering("auth", cost=_NONSENSE):
            try:
                self._login = await logins.check(name, password, self.peer)
            except TooManyError as error:
                self._log_refusal("auth", str(error))
                self._goodbye("421 4.7.0", str(error))
            else:
                self._judge_login(name)

    def _wrong_auth(self) -> str | None:
        """Return the reply to AUTH where there can be none."""
        if not self._secured:
            return "538 5.7.11 a password is taken behind TLS only: say STARTTLS first"
        if not self._greeted:
            return "503 5.5.1 say EHLO first"
        if self._login is not None:
            return "503 5.5.1 you have logged in already"
        if self._sender is not None:
            return "503 5.5.1 not in the middle of a mail"
        return None

    async def _challenge(self, words: str) -> bytes | None:
        self._say(f"334 {words}")
        return await self._next_line()

    def _judge_login(self, name: str) -> None:
        if self._login is not None:
            self._say("235 2.7.0 welcome")
            return
        self._log_refusal("auth", f"no user {name[:64]!r} with that password")
        self._say("535 5.7.8 there is no such user, or the password is another")
        self._failures += 1
        if self._failures >= _FAILURES:
            self._goodbye("421 4.7.0", "too many failed logins")

    def _mail(self, argument: bytes) -> None:
        if not self._greeted:
            self._scold(f"503 5.5.1 say {self._greetings[-1].decode()} first")
            return
        if self._sender is not None:
            self._scold("503 5.5.1 a sender was named already")
            return
        if self._login and self._terms.logins and not self._terms.logins.holds(self._login):
            self._log_refusal("mail", "the user may not log in any more as then")
            self._goodbye("421 4.7.0", "log in again")
            return
        path = read_path(argument, keyword=b"FROM:")
        if path is None:
            self._scold("501 5.1.7 say MAIL FROM:<address>")
            return
        wrong = wrong_sender(path, self._terms.max_size)
        if wrong:
            self._log_refusal("mail", wrong)
            self._say(wrong)
            self._tire(_REFUSED)
            return
        self._sender = path.address
        self._say("250 2.1.0 ok")

    async def _rcpt(self, argument: bytes) -> None:
        path = read_path(argument, keyword=b"TO:")
        if self._sender is None:
            self._scold("503 5.5.1 say MAIL first")
        elif path is None or not path.address:
            self._scold("501 5.1.3 say RCPT TO:<address>")
        elif wrong := wrong_recipient(path):
            self._say(wrong)
            self._tire(_REFUSED)
        elif len(self._recipients) >= self._terms.max_recipients:
            self._say(f"452 4.5.3 at most {self._terms.max_recipients} recipients a message")
        else:
            await self._add(path.address)

    async def _add(self, address: str) -> None:
        with self._answering("rcpt", cost=_REFUSED):
            await self._terms.desk.recipient(self._envelope(), address)
            self._recipients.append(address)
            self._say("250 2.1.5 ok")

    def _envelope(self) -> Envelope:
        return Envelope(
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            door=self._terms.door,
            peer=self.peer,
            user=self._login.user if self._login else None,
        )

    async def _data(self, argument: bytes) -> None:
        if argument:
            self._scold("501 5.5.4 DATA takes no argument")
        elif self._sender is None:
            self._scold("503 5.5.1 say MAIL first")
        elif not self._recipients:
            # RFC 2033, 4.2, asks for 503.
            self._say(f"{503 if self._terms.lmtp else 554} 5.5.1 no valid recipients")
        else:
            self._taking = True
            await self._take()
            self._taking = False
            self._forget()
            await self._flush()
            if self._over:
                self.leave()

    async def _take(self) -> None:
        """Take one message, from 354 to the reply after its final dot."""
        sink = None
        with self._answering("data", cost=_NONSENSE):
            sink = await self._terms.desk.open(self._envelope())
        if sink is None:
            return
        taking = Taking(sink, self._terms.max_size)
        try:
            await self._hear(taking)
        except BaseException:
            await taking.discard()
            raise
        if taking.over:
            self._log_refusal("data", f"over {self._terms.max_size} bytes")
        with self._answering("data", cost=_NONSENSE, say=self._say_each):
            try:
                self._taken(await taking.commit())
            except Apart as error:
                for address in self._recipients:
                    self._say(error.each[address].smtp_reply)
            else:
                self._patience = _PATIENCE

    def _taken(self, receipt: Receipt) -> None:
        """Say so; over LMTP to each recipient, who may have been refused by itself."""
        taken = f"250 2.0.0 taken as {receipt.id}"
        if not self._terms.lmtp:
            self._say(taken)
            return
        for address in self._recipients:
            error = receipt.refused.get(address)
            self._say(error.smtp_reply if error else taken)

    def _goodbye_all(self, error: Refusal) -> None:
        """End the session in the middle of a body, with an answer to each recipient."""
        if self._terms.lmtp:
            for _ in self._recipients[1:]:
                self._say(error.smtp_reply)
        self._goodbye(f"{error.smtp_code} {error.smtp_status}", str(error))

    def _say_each(self, reply: str) -> None:
        """Answer the final dot: once, or over LMTP once a recipient (RFC 2033, 4.2)."""
        for _ in self._recipients if self._terms.lmtp else (None,):
            self._say(reply)

    async def _hear(self, taking: Taking) -> None:
        """Stream the body to ``taking``. Raises ConnectionError if it never ends."""
        self._say("354 end it with a dot on a line of its own")
        await self._flush()
        body = Body()
        while body.rest is None:
            await taking.write(body.feed(await self._next_block()))
            if taking.hopeless:
                self._log_refusal("data", f"over twice {self._terms.max_size} bytes")
                self._goodbye_all(too_big(self._terms.max_size))
                raise ConnectionAbortedError
        put_back(self._reader, body.rest)
