"""Was it written by a machine (RFC 3834, 5230, 2369, 3464)? Then it is never answered."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mailgate.parse.header import Header
from mailgate.parse.subjects import is_a_machines, tells_of_a_mail
from mailgate.parse.words import Valued, parameters, unencoded

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
    signs out that are about us. The envelope's null sender is the door's to see, and what the
    Subject says counts only together with the text (``title_of_a_machine``).
    """
    sure = _sure_sign(header, gateway)
    if sure:
        return Automatic(sure=True, reason=sure)
    soft = _soft_sign(header)
    return Automatic(sure=False, reason=soft) if soft else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """A Subject as machines write it. ``of_a_mail``: it tells what became of one."""

    reason: str
    of_a_mail: bool


def title_of_a_machine(header: Header) -> Title | None:
    """Return the sign that a Subject is; it counts where the text wants nothing.

    People write such Subjects, too (``Read: mapping run``), so that the header alone does not tell.
    """
    subject = unencoded((header.first("subject") or "")[:1000])
    if not is_a_machines(subject):
        return None
    return Title(reason=f"Subject: {_shown(subject)}", of_a_mail=tells_of_a_mail(subject))


def was_typed_by_hand(header: Header) -> bool:
    """Whether a telephone or the like sent it: nothing on these answers by itself."""
    return any(_HANDHELD.search(header.first(name) or "") for name in ("x-mailer", "user-agent"))


_HANDHELD = re.compile(
    r"\b(?:iphone|ipad|android|k-9|fairemail|samsung|blackberry)\b", re.IGNORECASE
)


def is_going_in_circles(header: Header) -> bool:
    """Whether the mail has more than 20 Received fields (RFC 5321 section 6.3)."""
    return len(header.received()) > MAX_HOPS


def report_inside(types: Iterable[Valued]) -> str | None:
    """Name the part by which a mail is a report, whatever its header says (RFC 3464, 8098).

    What a calendar says to an invitation counts as one (RFC 5546 section 3.2.3).
    """
    for kind in types:
        answers = kind.main == "text/calendar" and kind.parameters.get("method", "")
        if kind.main in _REPORTS or (answers and answers.lower() == "reply"):
            return f"it holds a part of type {kind.main}"
    return None


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

# Fields that only a list, a bulk mailer, something that answers by itself, or a desk that hands out
# numbers writes.
_FIELDS = re.compile(
    r"""
    list-(?:id|unsubscribe|post|help|subscribe|owner|archive)
    |(?:x-)?mailing-?list|x-(?:beenthere|mailman-[\w-]+|listserv(?:er)?|sympa-to|ml-name|mlserver)
    |x-(?!auto-response-suppress)[\w-]*(?:auto-?repl|auto-?respon|responder|auto-?generated|vacation
        |machinegenerated|out-?of-?office|(?<![a-z])(?:away|ooo|oof)(?![a-z]))[\w-]*
    |autoresponder|auto-?reply
    |x-failed-recipients|x-bounce-notice|x-cron-env|x-loop|x-amavis-alert|x-x?arf
    |x-ms-exchange-(?:inbox-rules-loop|generated-message-source|message-is-ndr)
    |x-(?:otrs|rt|jira|zendesk|github|gitlab|bugzilla|redmine|trac|launchpad|phabricator|servicenow
        |fd|sfdc|glpi|zammad|freescout|kayako|youtrack|gerrit|sentry|pagerduty|nagios|zabbix|jenkins
        )-[\w-]+|x-(?:mc-user|campaign(?:-?id)?|mailchimp-[\w-]+)
    |rt-originator|x-(?:boxbe|tmda|choicemail|spamarrest|bluebottle)-[\w-]+|x-csa-complaints
    """,
    re.VERBOSE,
)
# A longer name is nobody's, and takes time that grows with its square.
_LONGEST_NAME = 80
_RESPONDERS = re.compile(
    r"vacation|auto[-_ ]?(?:repl|respon)"
    r"|(?:zendesk|osticket|otrs|mantis|jira|redmine|freshdesk|mailman|listserv|bugzilla|zammad|glpi"
    r"|help ?scout|freescout|kayako|intercom|monit|nagios|zabbix|logwatch|mailchimp"
    r"|mdaemon auto)\b",
    re.IGNORECASE,
)
# Programs that write by themselves, under their own names; none that is a person's name, too.
_PROGRAMS = (
    "nagios|icinga2?|zabbix|munin|prometheus|alertmanager|grafana|cacti|check-?mk|opsgenie"
    "|buildbot|gitlab|bugzilla|redmine|jira|mantisbt|otrs|glpi|zammad|logwatch|logcheck|smartd"
    "|mdadm|apticron|unattended-upgrades?|anacron|rkhunter|tripwire|fail2ban|ossec|wazuh|arpwatch"
    "|bacula|bareos|borgmatic|slurm|rundeck|dependabot|renovate"
)
# Who answers nobody, or asks for no answer, as the part of an address before the "@".
_MACHINES = re.compile(
    rf"""(?:
    (?:mailer|mail|server|cron)[-_]?daemon|mdaemon|daemon|smtpd|uucp|post_?master
    |mail[-_]?(?:system|router|scanner|sweeper|marshal)
    |mail[-_]?delivery(?:-?system|subsystem)?
    |delivery(?:-?(?:status|notification|failure|subsystem))?|failure-?notice
    |(?:[\w.-]{{1,40}}-)?bounces?|owner-\w+
    |(?:[\w.-]{{1,40}}[-_.])?(?:no|not|do[-_.]?not|don[-_.]?t|never)[-_.]{{0,2}}repl(?:y|ies)
    |reply-no|unattended
    |(?:nicht|keine?)-?antwort(?:en)?|antwort-?nicht|ne-?pas-?repondre|no-?respond(?:er|a)
    |nao-?responda|non-?rispondere|niet-?(?:be)?antwoorden|svar-?ikke|ikke-?svar|svara-?(?:inte|ej)
    |ala-?vastaa|nie-?odpowiadaj|neodpovid\w+
    |microsoftexchange[0-9a-f]{{8,}}|nobody|robot|bot|notifications?|alerts?|server-?alerts?
    |auto-?(?:reply|responder|mailer|confirm)|vacation|out-?of-?office
    |amavis\w*|anti-?(?:spam|virus)|(?:spam|virus)-?(?:filter|scanner|alert|admin)|quarantine
    |listserv|majordomo|mailman|ezmlm|sympa|cron|www-data|apache
    )(?:[+=_-].*)?
    # Behind these stand people, too: nagios-admins@, newsletter-editor@.
    |(?:newsletters?|e?-?news-?letter|(?:weekly-|daily-)?digest|mailer|notif(?:y|ier)|reminders?
    |voice-?mail|fax(?:-?server)?|scan(?:ner|-?to-?(?:e-?)?mail)?|copier|printer
    |[\w.]{{1,40}}-confirm|monit|{_PROGRAMS}
    )(?:[+=].*|[_-]?(?:[0-9]+|daemon|server|system|mail(?:er)?|alerts?|notifications?|bounces?))?""",
    re.IGNORECASE | re.VERBOSE,
)
_NAMED_MACHINES = re.compile(
    r"mailer-?daemon|mail delivery (?:sub)?system|mail (?:delivery )?(?:administrator|subsystem)"
    r"|postmaster|system administrator|internet mail delivery|delivery (?:system|subsystem|service)"
    r"|content-filter at|amavisd|cron daemon|mail[- ]daemon|mail deliver|internet mail service"
    rf"|^\W*(?:{_PROGRAMS})(?: (?:daemon|monitoring|alerts?|notifications?|server))?\W*$",
    re.IGNORECASE,
)


_NOBODYS = re.compile(r"<\s*(?:mailer-daemon(?:@[^<>]*)?)?\s*>", re.IGNORECASE)


def _soft_sign(header: Header) -> str | None:
    for value in header.all("precedence") + header.all("x-precedence"):
        if value.strip().lower() in _PRECEDENCES:
            return f"Precedence: {_shown(value)}"
    if name := _telling_field(header):
        return f"{name.title()}: {_shown(header.first(name) or '')}"
    if any(value.strip().lower() != "none" for value in header.all("x-auto-response-suppress")):
        return f"X-Auto-Response-Suppress: {_shown(header.first('x-auto-response-suppress') or '')}"
    for value in header.all("return-path"):
        if _NOBODYS.fullmatch(value.strip()):
            return f"Return-Path: {_shown(value)}"
    if any(value.strip().lower() == "autoresponder" for value in header.all("delivered-to")):
        return "Delivered-To: Autoresponder"
    return _sign_in_from(header)


def _telling_field(header: Header) -> str | None:
    """Name a field that people's programs do not write, or one that names a responder."""
    short = (name for name in header.names() if len(name) <= _LONGEST_NAME)
    named = next(filter(_is_telling, short), None)
    programs = ("x-mailer", "user-agent", "x-post-messageclass", "preference")
    return named or next((n for n in programs if _RESPONDERS.search(header.first(n) or "")), None)


@lru_cache(1024)
def _is_telling(name: str) -> bool:
    """Look at a field's name; the same few are in every mail."""
    return _FIELDS.fullmatch(name) is not None


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


def _shown(value: str) -> str:
    return " ".join(value.split())[:80]
