"""The three families of things that go wrong, and what each door says about them.

::

    MailgateError
    ├── Refusal             the sender can mend it
    │   ├── UnknownRecipient    550 5.1.1   65
    │   ├── NotAllowed          550 5.7.1   77
    │   ├── TooBig              552 5.3.4   65
    │   ├── OverQuota           552 5.2.2   77
    │   ├── Automatic           550 5.7.1   65
    │   └── Apart               each recipient for a reason of its own
    ├── Transient           we (or the sender's server) try again    451 4.3.0   75
    │   ├── NoSpace             452 4.3.1   75
    │   ├── Crowded             452 4.3.1   75
    │   └── Unreachable         our own next hop is away; its time does not count
    └── Permanent           the operator must look                   554 5.3.0   70
        ├── BadConfig                                                78
        ├── LetterGone          a composed letter's bytes are not in the spool
        ├── Damaged             the sender's server keeps the mail   451 4.3.0   70
        └── OverSize            the next hop takes no letter so big

``str(error)`` is the public sentence: it may be read by a stranger, names the thing and the mend,
and holds no path, secret or stack. What goes on into a letter is ``public`` itself, where it is a
``Saying``: it is said there, in the letter's language (``saying.words_of``). ``detail`` is for the
operator's log alone.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    # accat needs these errors too, and would pay for it as for all the rest of a small run.
    from collections.abc import Mapping
    from datetime import datetime


class MailgateError(Exception):
    """Any of the three families; carries what SMTP and sysexits(3) say of it."""

    smtp_code = 554
    smtp_status = "5.3.0"
    exit_status = 70

    def __init__(self, public: object, *, detail: str = "") -> None:
        super().__init__(public)
        self.public = public
        self.detail = detail

    @property
    def smtp_reply(self) -> str:
        """One SMTP reply line without CRLF: code, enhanced status (RFC 3463), public sentence."""
        sentence = " ".join(str(self).split())
        printable = "".join(c if " " <= c <= "~" else "?" for c in sentence)
        return f"{self.smtp_code} {self.smtp_status} {printable[:400]}"


class Refusal(MailgateError):
    """The sender asked for something that will not be done; sending it again does not help."""

    smtp_code = 554
    smtp_status = "5.7.0"
    exit_status = 65


class UnknownRecipient(Refusal):
    """No service or purpose of ours has that address."""

    smtp_code = 550
    smtp_status = "5.1.1"


class NotAllowed(Refusal):
    """Nothing vouches for the sender, or the service's access list does not name them."""

    smtp_code = 550
    smtp_status = "5.7.1"
    exit_status = 77


class TooBig(Refusal):
    """The message, its header block or one input is over a limit."""

    smtp_code = 552
    smtp_status = "5.3.4"


class OverQuota(Refusal):
    """A quota is used up; ``frees`` is when there is room again, where that is known."""

    smtp_code = 552
    smtp_status = "5.2.2"
    exit_status = 77

    def __init__(self, public: object, *, frees: "datetime | None" = None) -> None:
        super().__init__(public)
        self.frees = frees


class Automatic(Refusal):
    """A machine wrote it (RFC 3834): answering could loop."""

    smtp_code = 550
    smtp_status = "5.7.1"


class Apart(Refusal):
    """No recipient is taken, each for a reason of its own: ``each``, by recipient as written."""

    def __init__(self, each: "Mapping[str, MailgateError]") -> None:
        super().__init__("; ".join(dict.fromkeys(map(str, each.values()))))
        self.each = each


class Transient(MailgateError):
    """It may work later: a locked database, a write error, a relay that is away."""

    smtp_code = 451
    smtp_status = "4.3.0"
    exit_status = 75


class NoSpace(Transient):
    """Less disk is free than the operator wants kept free."""

    smtp_code = 452
    smtp_status = "4.3.1"


class Crowded(Transient):
    """Mail that waits to be confirmed has the room that it may have; other mail is taken."""

    smtp_code = 452
    smtp_status = "4.3.1"


class Unreachable(Transient):
    """Our own next hop (relay, mailbox) is away or broken; nobody has refused anything."""


class Permanent(MailgateError):
    """It will not work until the operator changes something."""


class BadConfig(Permanent):
    """The configuration, a service or a template cannot be used; all mistakes are told at once."""

    exit_status = 78


class Damaged(Permanent):
    """The spool's database cannot be understood; mail stays with its senders until it is mended."""

    smtp_code = 451
    smtp_status = "4.3.0"


class LetterGone(Permanent):
    """The bytes of a composed letter are gone from the spool; it is composed again."""


class OverSize(Permanent):
    """The next hop takes no letter so big; ``limit`` in bytes where it said so."""

    def __init__(self, public: object, *, limit: int | None = None) -> None:
        super().__init__(public)
        self.limit = limit
