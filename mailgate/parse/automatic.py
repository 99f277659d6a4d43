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
    # The patterns are slow and seldom match; one of the words is in whatever they match.
    lower = text.lower()
    for words, confessions in _CONFESSIONS:
        if any(word in lower for word in words) and (said := confessions.search(lower)):
            return f'it says "{_shown(said[0])}"'
    return None


_WORDS = (
    "auto", "generated", "protected by", "deliver", "office", "vacation", "leave",
    "holiday", "away", "did not reach", "mail system", "transcript of", "permanent",
    "recipient", "monitored", "in use", "no longer", "been received", "out of town",
)  # fmt: skip
_WORDS_ELSEWHERE = (
    "zugestellt", "büro", "urlaub", "nicht im haus", "erreichbar", "absent",
    "congé", "vacances", "remis", "entregad", "oficina", "vacaciones", "ufficio",
    "assente", "ferie", "consegnat", "férias", "afwezig", "vakantie", "semester",
    "lomalla", "urlopie", "dovolené", "отпуск", "офис", "休假", "休暇", "不在", "收到",
    "配信", "退信",
)  # fmt: skip
_SAID = re.compile(
    r"""(?<!\w)(?:
    this\ is\ an?\ (?:computer.generated|automat\w+|auto.?\w*)\ (?:vacation\ )?
        (?:reply|response|message|e-?mail|notification|notice|answer|acknowledge?ment)
    |this\ account\ is\ protected\ by
    |(?:message|e-?mail)s?\b.{0,100}\b
        (?:could\ not|cannot|can't|was\ not|has\ not\ been|were\ not)\ (?:be\ )?delivered
    |(?:not|unable\ to)\ deliver\ your\ (?:message|e-?mail)
    |i\ (?:am|will\ be)\ (?:currently\ )?
        (?:out\ of\ (?:the|my)\ office|on\ (?:vacation|annual\ leave|holiday)|away\ from)
    |i(?:['’]m|\ am)\ (?:currently\ |now\ )?(?:out\ of\ (?:office|town)\b|away\ (?:on|until|till))
    |(?:failed\ to|could\ not|cannot|unable\ to)\ deliver\ (?:to|message
        |the\ (?:following\ )?message)
    |delivery\ to\ the\ following\ recipients?\ (?:has\ |have\ )?(?:failed|been\ delayed)
    |did\ not\ reach\ (?:some|any|all|the)|this\ is\ the\ (?:mail\ system|[\w-]+\ program)\ at
    |transcript\ of\ session|had\ (?:permanent|transient)\ .{0,30}errors
    |recipients?\ .{0,60}(?:was|were)\ undeliverable|following\ message\ .{0,80}was\ undeliverable
    |(?:created|generated|sent)\ automatically\ by
    |(?:mailbox|e-?mail\ (?:address|account)|account|inbox)\ (?:is|does)\ (?:not\ (?:monitored
        |exist)|no\ longer)
    |i\ no\ longer\ work\ (?:at|for)|i\ have\ left\ the\ company
    |your\ (?:message|e-?mail)\ has\ been\ received
    |relates\ to\ a\ message\ you\ sent\ with
    |(?:dies|diese\ (?:mail|e-mail|nachricht))\ (?:ist|wurde)\ (?:eine\ )?automatisch
    )""",
    re.VERBOSE,
)
_SAID_ELSEWHERE = re.compile(
    r"""
    nicht\ zugestellt\ werden
    |ich\ bin\ .{0,60}(?:nicht\ im\ (?:büro|hause?)|im\ urlaub|(?:wieder|nicht)\ erreichbar
        |abwesend)
    |je\ (?:suis|serai)\ .{0,30}(?:absent|en\ (?:congé|vacances))
    |actuellement\ (?:absent|en\ (?:congé|vacances))
    |n['’]a\ pas\ pu\ être\ (?:remis|distribu|délivr)
    |no\ (?:pudo|ha\ podido|se\ pudo)\ (?:ser\ )?entrega
    |(?:estoy|estaré|encuentro)\ (?:fuera\ de|de\ vacaciones)
    |non\ (?:può|ha\ potuto|è\ stato)\ .{0,12}consegnat
    |(?:sono|sarò)\ (?:fuori\ (?:ufficio|sede)|assente|in\ ferie)
    |est(?:ou|arei)\ (?:de\ férias|ausente|fora\ do\ escritório)
    |ik\ ben\ .{0,30}(?:afwezig|op\ vakantie|niet\ aanwezig)
    |jag\ (?:är|har)\ .{0,20}semester|jeg\ er\ .{0,20}(?:på\ ferie|ikke\ til\ stede)
    |olen\ .{0,20}lomalla
    |(?:jestem|będę|przebywam)\ na\ urlopie|(?:jsem|budu)\ na\ dovolené
    |(?:я\ в|нахожусь\ в)\ отпуске|не\ будет\ в\ офисе
    |(?:正在|目前)休假|休暇(?:中|を)|不在に(?:して|なり)|已(?:经)?收到您的(?:邮件|来信)
        |配信できません|退信
    """,
    re.VERBOSE,
)
_CONFESSIONS = ((_WORDS, _SAID), (_WORDS_ELSEWHERE, _SAID_ELSEWHERE))
"""So machines speak, in lower case: words of which one is there, and the sayings."""
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
    "x-otrs-loop",
    "x-rt-loop-prevention",
    "x-amavis-alert",
    "x-bounce-notice",
)
_NAMES = re.compile(
    r"x-(?!auto-response-suppress)[\w-]*(?:auto-?repl|auto-?respon|responder|autogenerated|vacation)"
)
_RESPONDERS = re.compile(r"vacation|auto[-_ ]?(?:repl|respon)", re.IGNORECASE)
_MACHINES = re.compile(
    r"""(?:
    mailer-?daemon|mail-?daemon|mdaemon|postmaster|mail-?system
    |mail-?delivery(?:-?system|subsystem)?
    |delivery(?:-?(?:status|notification|failure|subsystem))?|bounces?
    |(?:\w{1,20}[-_.])?no-?_?\.?reply|reply-no|not-?reply|do-?_?\.?not-?_?\.?reply|unattended
    |nicht-?antworten|antwort-?nicht|ne-?pas-?repondre|no-?respond(?:er|a)|nao-?responda
    |microsoftexchange[0-9a-f]{8,}|daemon|nobody|robot|notifications?
    |auto-?(?:reply|responder|mailer|confirm)|vacation
    |listserv|majordomo|mailman|ezmlm|cron|www-data|apache
    )(?:[+._=-].*)?""",
    re.IGNORECASE | re.VERBOSE,
)
_NAMED_MACHINES = re.compile(
    r"mailer-?daemon|mail delivery (?:sub)?system|mail (?:delivery )?(?:administrator|subsystem)"
    r"|postmaster|system administrator|internet mail delivery|delivery (?:system|subsystem|service)"
    r"|content-filter at|amavisd",
    re.IGNORECASE,
)
_SUBJECTS = re.compile(
    r"""\W*(?:
    auto(?:matic|mated)?\W?\W?(?:reply|response|answer|respond(?:er|ing)?|ack\w*)\b
    |auto:[ ](?!yes|no|true|false|on|off)|automated\ (?:message|mail)
    |out\ of\ (?:the\ )?office|out-of-office|ooo\b.{0,4}:
    |i(?:['’]m|\ am)\ (?:out|away|on\ (?:leave|vacation))\b
    |on\ (?:vacation|holiday|leave)(?![\w-])|(?:annual|maternity|parental)\ leave\b
    |(?:vacation|holiday|away|on\ leave|annual\ leave):[ ]|out\ until\b
    |vacation\ (?:reply|response|message|notice)|away\ from\ (?:my\ )?(?:office|mail|desk)
    |(?:e-?mail\ |message\ |permanent\ )?(?:delivery|transmission)[ ]
        (?:status|fail|problem|error|notification|report|delay|warning|has\ failed)
    |delayed\ mail
    |mail\ (?:delivery\ )?(?:failed|failure|error|problem|undeliverable|could\ not\ be|rejected
        |blocked)
    |mail\ (?:system\ error|delivery\ subsystem)|e-?mail\ delivery\ (?:error|problem)
    |message\ (?:undeliverable|not\ delivered|delayed|could\ not\ be|blocked|rejected|refusé)
    |(?:warning:\ )?your\ (?:e-?mail|mail|message|e-?mail\ message)[ ]
        (?:could\ not|cannot|was\ not|has\ not|was\ (?:blocked|rejected)|requires\ verification)
    |message\ status\ -|status\ of\ your\ message|error\ sending\ message|ndn:[ ]|ndr:[ ]
    |boun(?:ce|ced)\ (?:message|mail|e-?mail)|mailbox\ (?:is\ )?(?:full|unavailable)
    |(?:banned\ contents|virus\b.{0,60}in\ mail
        |considered\ unsolicited\b.{0,20}e?mail)\b.{0,10}\ from\ you
    |problems\ found\ in\ message|rejected:[ ]|undeliver(?:able|ed)|non.?deliver
    |failure\ notice|failed\ (?:mail|delivery|message)|returned\ (?:mail|email|to\ sender)
    |warning:\ (?:could\ not\ send|message|e?mail|e-mail)
    |could\ not\ (?:send|deliver)\ (?:message|mail|e-?mail)
    |notification\ of\ delivery|unable\ to\ deliver|user\ unknown\W*$|challenge\ (?!data)
    |(?:please\ )?(?:verify|confirm)\ your\ (?:e-?mail|message|address|subscription|account)
    |(?:return|read)\ receipt|disposition\ notification|your\ ticket\ |thank\ you\ for\ contacting
    |(?:we\ have\ )?received\ your\ (?:message|e-?mail|request)|ticket\ \#?\d+\ (?:created|received)
    |boxbe\b
    |(?:read|not\ read|gelesen|lu|leído|letto|lettura|lida)\ ?:[ ](?!\d)
    |(?:lese|empfangs)bestätigung|confirmation\ de\ lecture
    |notification\ d['’]?(?:état|echec|échec)|[ée]chec\ (?:de|d['’])|non\ remis\b
    |message\ non\ distribu
    |benachrichtigung\ (?:zum|über)|(?:nachricht\ )?unzustellbar|\w*zustellung\ fehlgeschlagen
    |fehler\ bei\ der\ zustellung
    |abwesenheit|abwesend\b|automatische\ (?:antwort|abwesenheit)|ich\ bin\ (?:im\ urlaub|abwesend)
    |(?:bin\ )?(?:nicht|im|in)\ .{0,20}(?:büro|urlaub)|außer\ haus
    |urlaubs(?:vertretung|notiz|meldung)|urlaub\W*$
    |r[ée]ponse\ automatique|absen(?:ce|t)\ (?:du|de)\ bureau|message\ d['’]absence
    |(?:je\ suis\ )?absent\W*$
    |(?:je\ suis\ )?en\ (?:congé|vacances)\b
    |respuesta\ autom[áa]tica|fuera\ de\ (?:la\ )?oficina|auto-?respuesta|ausente\b|ausencia\b
    |estoy\ de\ vacaciones
    |no\ se\ puede\ entregar|mensaje\ no\ entregado|error\ en\ la\ entrega
    |notificación\ de\ estado\ de\ entrega
    |risposta\ automatica|fuori\ (?:sede|ufficio)|assen(?:te|za)\W*$|sono\ in\ ferie
    |non\ recapitabile
    |mancat[oa]\ (?:consegna|recapito)
    |resposta\ autom[áa]tica|ausência|estou\ de\ férias|não\ é\ possível\ entregar
    |mensagem\ não\ entregue|falha\ na\ entrega
    |automatisch\ antwoord|afwezig|niet\ aanwezig|onbestelbaar
    |auto(?:matis[kc]t?)?\ ?svar\b|svar\ automatis|fr[åa]nvaro|fravær|ikke\ til\ stede
    |kan\ ikke\ leveres
    |går\ inte\ att\ leverera|poissa|automaattinen\ vastaus|toimitus\ ei\ onnistu|sjálfvirkt\ svar
    |automatyczna\ odpowied|odpowied[źz]\ automatyczna|autoodpowied|nieobecno|nie\ można\ dostarczyć
    |(?:zwrot:\ )?nie\ ?dostarczon
    |automatick[áa]\ odpov|mimo\ kancelář|nelze\ doručit|automatikus\ válasz|házon\ kívül
    |kézbesíthetetlen
    |автоответ|автоматическ\w+\ ответ|автоматич\w+\ (?:відповідь|отговор)|автовідповідь|вне\ офиса
    |отсутствую\b|я\ в\ отпуске
    |недоставленн|не\ удается\ доставить|ошибка\ доставки|сообщение\ не\ доставлено
    |automatski\ odgovor|samodejni\ odgovor|răspuns\ automat|automatinis\ atsakymas
    |automātiska\ atbilde|automaatvastus
    |otomatik\ yan|ofis\ dışında|teslim\ edilemedi|αυτόματη\ απάντηση
    |自动回复|自動回覆|自動返信|自動応答|不在|休暇中|休假|无法传递|未传递|(?:系统|系統)?退信
        |(?:邮件)?投递失败|配信不能|メール配信エラー
    |부재|자동\ ?(?:응답|회신)|배달되지|메일\ 전송\ 실패|תשובה\ אוטומטית|رد\ تلقائي
        |trả\ lời\ tự\ động
    |ตอบกลับอัตโนมัติ|balasan\ otomatis
    )
    |.{0,200}[(\[](?:auto(?:matic)?[ -]?(?:reply|response|ack)|out\ of\ (?:the\ )?office)[)\]]""",
    re.IGNORECASE | re.VERBOSE,
)


def _soft_sign(header: Header) -> str | None:
    for value in header.all("precedence") + header.all("x-precedence"):
        if value.strip().lower() in _PRECEDENCES:
            return f"Precedence: {_shown(value)}"
    if name := _telling_field(header):
        return f"{name.title()}: {_shown(header.first(name) or '')}"
    if any(value.strip().lower() != "none" for value in header.all("x-auto-response-suppress")):
        return f"X-Auto-Response-Suppress: {_shown(header.first('x-auto-response-suppress') or '')}"
    if any("".join(value.split()) == "<>" for value in header.all("return-path")):
        return "Return-Path: <>"
    if any(value.strip().lower() == "autoresponder" for value in header.all("delivered-to")):
        return "Delivered-To: Autoresponder"
    return _sign_in_from(header) or _sign_in_subject(header)


def _telling_field(header: Header) -> str | None:
    """Name a field that people's programs do not write, or one that names a responder."""
    names = header.names()
    for name in _FIELDS:
        if name in names:
            return name
    named = next(filter(_NAMES.match, names), None)
    programs = ("x-mailer", "user-agent", "x-post-messageclass", "preference")
    return named or next((n for n in programs if _RESPONDERS.search(header.first(n) or "")), None)


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
