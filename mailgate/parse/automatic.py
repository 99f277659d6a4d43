"""Was it written by a machine (RFC 3834, 5230, 2369, 3464)? Then it is never answered."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from mailgate.parse.header import Header
from mailgate.parse.words import parameters, unencoded

MAX_HOPS = 20
"""A mail that has passed more servers than these is going in circles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Automatic:
    """A sign of a machine. ``sure``: refused at the door; else taken, held, and left unanswered."""

    sure: bool
    reason: str


def judge(header: Header, gateway: str) -> Automatic | None:
    """Look for signs of a machine in a header; a sure one is found first.

    ``gateway`` is our own address, lower-cased; "" (as when a saved mail is only shown) leaves the
    signs out that are about us. The envelope's null sender is the door's to see.
    """
    sure = _sure_sign(header, gateway)
    if sure:
        return Automatic(sure=True, reason=sure)
    soft = _soft_sign(header)
    return Automatic(sure=False, reason=soft) if soft else None


def is_going_in_circles(header: Header) -> bool:
    """Whether the mail has more than 20 Received fields (RFC 5321 section 6.3)."""
    return len(header.received()) > MAX_HOPS


def report_inside(media_types: Iterable[str]) -> str | None:
    """Name the part by which a mail is a report, whatever its header says (RFC 3464, 8098)."""
    for media_type in media_types:
        if media_type in _REPORTS:
            return f"it holds a part of type {media_type}"
    return None


def words_of_a_machine(lines: Iterable[str]) -> str | None:
    """Find what responders that mark themselves in no other way say in their first twenty lines."""
    text = " ".join(islice(lines, 20))[:2000]
    # The pattern is slow and seldom matches; these are in whatever it matches.
    lower = text.lower()
    if not any(word in lower for word in _CONFESSING):
        return None
    said = _CONFESSIONS.search(text)
    return f'it says "{_shown(said[0])}"' if said else None


_CONFESSING = (
    "auto", "generated", "protected by", "deliver", "office", "vacation", "leave", "holiday",
    "away from",
)  # fmt: skip
_CONFESSIONS = re.compile(
    r"""
    this\ is\ an?\ (?:computer.generated|automat\w+|auto.?\w*)\ (?:vacation\ )?
        (?:reply|response|message|e-?mail|notification|notice|answer)
    |this\ account\ is\ protected\ by
    |(?:message|e-?mail)s?\b.{0,100}\b
        (?:could\ not|cannot|can't|was\ not|has\ not\ been|were\ not)\ (?:be\ )?delivered
    |(?:not|unable\ to)\ deliver\ your\ (?:message|e-?mail)
    |i\ (?:am|will\ be)\ (?:currently\ )?
        (?:out\ of\ (?:the|my)\ office|on\ (?:vacation|annual\ leave|holiday)|away\ from)
    |(?:dies|diese\ (?:mail|e-mail|nachricht))\ (?:ist|wurde)\ (?:eine\ )?automatisch
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REPORTS = frozenset(
    {
        "message/delivery-status",
        "message/disposition-notification",
        "message/global-delivery-status",
        "message/feedback-report",
    }
)


# --- sure signs -----------------------------------------------------------------------------------


def _sure_sign(header: Header, gateway: str) -> str | None:
    for value in header.all("auto-submitted"):
        word = _without_comments(value).partition(";")[0].strip().lower()
        if word not in {"", "no"}:
            return f"Auto-Submitted: {_shown(word)}"
    if parameters(_without_comments(header.first("content-type") or "")).main == "multipart/report":
        return "Content-Type: multipart/report"
    if gateway and any(gateway in value.lower() for value in header.all("x-loop")):
        return "X-Loop: this gateway"
    if gateway and any(_is_ours(address, gateway) for address in header.from_addresses()):
        return "From: this gateway"
    return None


_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*+\)")
# Nobody nests comments deeper or writes more; what is left of such a heap is a word like any other.
_NESTED, _LONGEST = 10, 4096


def _without_comments(value: str) -> str:
    """Return a structured value without its comments (RFC 5322 section 3.2.2)."""
    if len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}..."
    for _ in range(_NESTED):
        value, found = _COMMENT.subn(" ", value)
        if not found:
            break
    return value


def _is_ours(address: str, gateway: str) -> bool:
    """Whether an address is the gateway's own or one of ``local+anything@domain``."""
    local, _, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}" == gateway


# --- softer signs ---------------------------------------------------------------------------------

_PRECEDENCES = frozenset({"bulk", "junk", "list", "auto_reply", "auto-reply"})

# Fields that only a list, a bulk mailer, or something that answers by itself writes.
_FIELDS = (
    "list-id",
    "list-unsubscribe",
    "list-post",
    "list-help",
    "list-subscribe",
    "list-owner",
    "list-archive",
    "mailing-list",
    "x-mailing-list",
    "x-mailinglist",
    "x-beenthere",
    "x-mailman-version",
    "x-autoreply",
    "x-auto-reply",
    "x-autoreply-from",
    "x-mail-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-autogenerated",
    "x-auto-generated",
    "autoresponder",
    "x-away",
    "x-vacation",
    "x-out-of-office",
    "x-failed-recipients",
    "x-fc-machinegenerated",
    "x-cron-env",
    "x-ms-exchange-inbox-rules-loop",
    "x-ms-exchange-generated-message-source",
    "x-loop",
)
_MACHINES = re.compile(
    r"""(?:
    mailer-?daemon|mail-?daemon|mdaemon|postmaster|mail-?system
    |mail-?delivery(?:-?system|subsystem)?
    |delivery(?:-?(?:status|notification|failure|subsystem))?|bounces?
    |no-?_?\.?reply|not-?reply|do-?_?\.?not-?_?\.?reply|unattended
    |auto-?(?:reply|responder|mailer|confirm)|vacation
    |listserv|majordomo|mailman|ezmlm|cron|www-data|apache
    )(?:[+._=-].*)?""",
    re.IGNORECASE | re.VERBOSE,
)
_NAMED_MACHINES = re.compile(
    r"mailer-?daemon|mail delivery (?:sub)?system|mail (?:delivery )?(?:administrator|subsystem)"
    r"|postmaster|system administrator|internet mail delivery|delivery (?:system|subsystem)",
    re.IGNORECASE,
)
_SUBJECTS = re.compile(
    r"""\W*(?:
    auto(?:matic|mated)?\W?\W?(?:reply|response|answer|respond(?:er|ing)?|ack\w*)\b
    |auto:
    |out\ of\ (?:the\ )?office|out-of-office|i\ am\ (?:out|away|on\ vacation)\b
    |on\ (?:vacation|holiday|leave)\b|vacation\ (?:reply|response|message|notice)
    |away\ from\ (?:my\ )?(?:office|mail|desk)
    |(?:mail\ |message\ )?(?:delivery|transmission)[ ]
        (?:status|fail|problem|error|notification|report|delay|warning|has\ failed)
    |delayed\ mail|mail\ (?:delivery\ )?(?:failed|failure|error|undeliverable|could\ not)
    |message\ (?:undeliverable|not\ delivered|delayed)|undeliver(?:able|ed)|non.?deliver
    |failure\ notice|failed\ (?:mail|delivery|message)|returned\ (?:mail|email|to\ sender)
    |warning:\ (?:could\ not\ send|message|e?mail)|could\ not\ (?:send|deliver)
    |unable\ to\ deliver|user\ unknown|challenge\ |verify\ your\ |please\ confirm\ your
    |(?:read|not\ read|gelesen|lu|leído|letto)\ ?:[ ]
    |notification\ d['’]?(?:état|echec|échec)|benachrichtigung\ (?:zum|über)|unzustellbar
    |abwesenheit|automatische\ (?:antwort|abwesenheit)|ich\ bin\ (?:im\ urlaub|abwesend)
    |bin\ (?:nicht|im|in)\ .{0,20}(?:büro|urlaub)
    |r[ée]ponse\ automatique|absen(?:ce|t)\ (?:du|de)\ bureau|message\ d['’]absence|absent\b
    |respuesta\ autom[áa]tica|fuera\ de\ (?:la\ )?oficina|auto-?respuesta|ausente\b
    |risposta\ automatica|fuori\ (?:sede|ufficio)|assente\b|resposta\ autom[áa]tica|ausência
    |automatisch\ antwoord|afwezig|niet\ aanwezig
    |autosvar|fr[åa]nvaro|frånvaro|fravær|poissa
    |automatyczna\ odpowied|odpowied[źz]\ automatyczna|autoodpowied|nieobecno
    |automatick[áa]\ odpov|автоответ|автоматический\ ответ|вне\ офиса|otomatik\ yan
    |自动回复|自動回覆|自動返信|自動応答|不在|부재|자동\ ?(?:응답|회신)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def _soft_sign(header: Header) -> str | None:
    for value in header.all("precedence") + header.all("x-precedence"):
        if value.strip().lower() in _PRECEDENCES:
            return f"Precedence: {_shown(value)}"
    names = header.names()
    for name in _FIELDS:
        if name in names:
            return f"{name.title()}: {_shown(header.first(name) or '')}"
    if any(value.strip().lower() != "none" for value in header.all("x-auto-response-suppress")):
        return f"X-Auto-Response-Suppress: {_shown(header.first('x-auto-response-suppress') or '')}"
    if any("".join(value.split()) == "<>" for value in header.all("return-path")):
        return "Return-Path: <>"
    if any(value.strip().lower() == "autoresponder" for value in header.all("delivered-to")):
        return "Delivered-To: Autoresponder"
    return _sign_in_from(header) or _sign_in_subject(header)


def _sign_in_from(header: Header) -> str | None:
    addresses = header.from_addresses()
    for address in addresses:
        if _MACHINES.fullmatch(address.rpartition("@")[0]):
            return f"From: {_shown(address)}"
    for value in header.all("from")[:2]:
        text = unencoded(value[:500])
        if _NAMED_MACHINES.search(text.partition("<")[0] if addresses else text):
            return f"From: {_shown(text)}"
    return None


def _sign_in_subject(header: Header) -> str | None:
    subject = unencoded((header.first("subject") or "")[:1000])
    return f"Subject: {_shown(subject)}" if _SUBJECTS.match(subject) else None


def _shown(value: str) -> str:
    return " ".join(value.split())[:80]
