"""What mail programs put between what a person wrote and what they answer, in many languages.

Facts about mail programs, as patterns over single lines or a few joined ones. All are anchored and
looked for in short texts only, so they take no time on any input.
"""

import re
import unicodedata

# --- "On Monday, ... wrote:" ----------------------------------------------------------------------

_VERBS = frozenset(
    """
    wrote writes write says said écrit ecrit
    escribió escribio escribe escreveu scrisse scritto scrive
    schrieb schreibt schreef geschreven skrev skriver skrifaði kirjoitti kirjutas rakstīja rašė
    parašė napisał napisała napsal napsala napísal napísala napisao napisala napisal írta
    написал написала написав писал писала пишет пише написа пишува
    yazdı yazdi έγραψε scris escriure escrigué escriví escribiu idatzi menulis viết shkroi
    напиша напісаў написао geskryf aliandika sumulat scríobh
    """.split()
)
_VERBS_IN_A_ROW = re.compile(
    "লিখেছেন|लिखा|எழுதியது|დაწერა|գրել է"
    "|写道|寫道|写到|來信|来信|書きました|書き込みました|のメール|작성|쓴 글|เขียน|כתב|كتب|نوشت"
)
_WORD = re.compile(r"\w+")
_OPENINGS = """
On At Le El Il Em Op Am Um Den Dne Dňa W Dnia På Vào Pe La Ha Na Dana V В На Στις Pada Lúc Upp
在 Datum Date Ngày Quoting Citando Zitat Citat Citeren Tarih Em A
""".split()
_DAYS = """
mon tue wed thu fri sat sun lun mar mer jeu ven sam dim lun mié jue vie sáb dom seg ter qua qui sex
gio mi do fr sa so di mo ma wo vr za zo man tir ons tor fre lør søn mån tis lör sön pon wt śr czw pt
pn sob nie po út st čt pá ne
пн вт ср чт пт сб вс понедельник вторник сред четверг пятниц суббот воскресень понеділок
""".split()
_OPENING = re.compile(
    r"\W{0,8}(?:(?:" + "|".join(_OPENINGS) + r")\s.{0,60}?\d"
    r"|(?:" + "|".join(f"{day}\\w{{0,12}}" if len(day) > 2 else day for day in _DAYS) + r")"
    r"\.?,?\s.{0,12}?\d"
    r"|\d{1,4}\s?[-/.年]?\s?\w{1,12}\.?[-/.月 ])",
    re.IGNORECASE | re.DOTALL,
)
_DIGIT = re.compile(r"\d")
_WHEN = re.compile(
    r"\d{1,2}[:.h]\d{2}(?!\d)|(?<!\d)(?:19|20)\d\d(?!\d)|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d日"
)
_DAY_AND_TIME = re.compile(
    r"(?:(?<!\d)(?:19|20)\d\d(?!\d)|\d{1,2}[./-]\d{1,2}[./-]\d{2}).{0,60}?(?<!\d)\d{1,2}[:.h]\d{2}(?!\d)"
)
_SELF = frozenset("I We He She They You As What The This That Ich Wir Je Nous Yo Io Ik".split())
# Left-to-right and right-to-left marks: Hebrew and Arabic mail programs set them.
_DIRECTIONS = dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_WHO = re.compile(r"[^\s@<>]@[^\s@<>]|&lt;.{1,80}&gt;|<(?:mailto|https?):")
_DATED = re.compile(
    r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?: \d{1,2}:\d{2})?(?P<zone> (?:GMT|UTC)[+-]\d{1,2}:?\d{2})? "
    r"(?:[^\d\s<].{0,200}?)?(?P<who><[^<>@]{1,100}@[^<>]{1,100}>)?:?"
)
_MAX_ATTRIBUTION = 500
_MOST_NAMES = 4


def is_attribution(text: str, *, before_quote: bool) -> bool:
    """Whether ``text`` (joined lines) introduces a quote; ``before_quote``: quoted lines follow it.

    What must come together: a verb of saying, a date or time, an address, an opening like "On
    Monday", a colon at the end. Which are enough is a matter of experience; a quote below helps.
    """
    if len(text) > _MAX_ATTRIBUTION or text.count(">") > text.count("<"):
        return False
    text = text.translate(_DIRECTIONS)
    closed = _is_closed(text)
    when = _WHEN.search(text) is not None
    who = _WHO.search(text) is not None
    opening = _OPENING.match(text) is not None
    if before_quote and closed and (who or _DAY_AND_TIME.search(text)):
        return True
    if _has_verb(text) and (closed or before_quote):
        return (
            (when and (who or opening or before_quote))
            or (who and (closed or opening))
            or _tells_day_and_time_of_another(text)
        )
    return closed and who and when and (opening or _DAY_AND_TIME.search(text) is not None)


def _tells_day_and_time_of_another(text: str) -> bool:
    """``Bob Smith wrote on 12.03.2018 10:20:``, but not what the writer says of himself."""
    first = text.split(None, 1)[0]
    return _DAY_AND_TIME.search(text) is not None and first[0].isupper() and first not in _SELF


def may_hold_attribution(text: str) -> bool:
    """Whether ``text`` holds an address, a time or a date, as most do: a cheap look."""
    named = ("@" in text or "<" in text or "&" in text) and _WHO.search(text) is not None
    return named or (_DIGIT.search(text) is not None and _WHEN.search(text) is not None)


def _is_closed(text: str) -> bool:
    return text.endswith((":", "：", "--"))


def _has_verb(text: str) -> bool:
    if not _VERBS.isdisjoint(_WORD.findall(text.casefold())):
        return True
    return not text.isascii() and _VERBS_IN_A_ROW.search(text) is not None


def opens_attribution(text: str) -> bool:
    """Whether ``text`` begins as an attribution does: with a preposition and a date, or a date."""
    return _OPENING.match(text) is not None


def begins_attribution(above: str, below: str) -> bool:
    """Whether the line ``above`` an attribution belongs to it: "On Mon,", "Bob <b@c> wrote"."""
    if not above or len(above) > 80 or above[-1] in ".!?:;":  # wrapped lines are no longer
        return False
    if len(above) <= 30 and opens_attribution(f"{above} 1"):
        return True
    if below[:1] == "<" and _is_name(above):
        return True
    return (opens_attribution(above) and _WHEN.search(above) is not None) or (
        "<" in above and _WHO.search(above) is not None
    )


def _is_name(text: str) -> bool:
    """Whether it may be a person's name, alone on its line; one word may be a command."""
    words = text.split()
    return 1 < len(words) <= _MOST_NAMES and all(
        w[0].isalpha() and not w[0].islower() for w in words
    )


def is_short_attribution(text: str) -> bool:
    """Whether it is ``Bob wrote:``, which counts only right before quoted lines."""
    if len(text) > 120 or not text.endswith((":", "：")):  # a name and a verb
        return False
    words = _WORD.findall(text.casefold())[-2:]
    return not _VERBS.isdisjoint(words) or _VERBS_IN_A_ROW.search(text) is not None


def is_dated_line(text: str) -> bool:
    """Whether it is one without a verb: ``2016-03-03 17:21 GMT+01:00 Some One <a@b>``."""
    dated = _DATED.fullmatch(text)
    return dated is not None and bool(dated["zone"] or dated["who"])


_TAIL = re.compile(r">\s?(?P<verb>\w{0,12})(?:\(\w{1,3}\))?\s?:\s*")


def is_attribution_tail(line: str) -> bool:
    """Whether a line that looks quoted is the wrapped end of an attribution: ``> wrote:``."""
    tail = _TAIL.fullmatch(line)
    return tail is not None and (not tail["verb"] or tail["verb"].casefold() in _VERBS)


# --- "-----Original Message-----" -----------------------------------------------------------------

# Both lists are compared with folded lines, so they hold no accents.
_ORIGINAL = tuple(
    """original message|original mail|original e-mail|original email|original appointment
forwarded message|forwarded by|forwarded mail|reply message|message original|message d'origine
message d’origine|mail original|message transfere|message reexpedie|courriel original
e-mail d'origine|ursprungliche nachricht|ursprungliche mail|ursprungliche e-mail
original-nachricht|originalnachricht|original-mail|weitergeleitete nachricht|weitergeleitete mail
mensaje original|mensaje reenviado|correo original|messaggio originale|messaggio inoltrato
mensagem original|mensagem encaminhada|oorspronkelijk bericht|origineel bericht
doorgestuurd bericht|oprindelig meddelelse|original meddelelse|videresendt meddelelse
original melding|opprinnelig melding|videresendt melding|ursprungligt meddelande
originalmeddelande|vidarebefordrat meddelande|alkuperainen viesti|valitetty viesti
oryginalna wiadomosc|wiadomosc oryginalna|wiadomosc przekazana|przekazana wiadomosc
puvodni zprava|puvodni e-mail|preposlana zprava|povodna sprava|eredeti uzenet
tovabbitott uzenet|mesaj original|mesajul original|orijinal mesaj|ozgun ileti|orijinal ileti
iletilen mesaj|исходное сообщение|исходное письмо|оригинальное сообщение|пересылаемое сообщение
пересланное сообщение|вихідне повідомлення|αρχικο μηνυμα|προωθημενο μηνυμα|missatge original
izvirno sporocilo|izvorna poruka|originalna poruka|algne kiri|pesan asli|tin nhan goc|thu goc
原始邮件|原始郵件|原邮件|原始信件|转发的邮件|轉寄郵件|转发邮件|元のメッセーシ|転送メッセーシ
원본 메시지|원본메일|הודעה מקורית|رسالة أصلية|الرسالة الأصلية""".replace("\n", "|").split("|")
)
_BEGIN_FORWARD = tuple(
    """begin forwarded message|anfang der weitergeleiteten nachricht|debut du message reexpedie
debut du message transfere|inizio messaggio inoltrato|inicio del mensaje reenviado
inicio da mensagem encaminhada|begin doorgestuurd bericht|start pa videresendt besked
videresendt meddelelse|vidarebefordrat mejl|poczatek przekazywanej wiadomosci
начало переадресованного сообщения|下面是被转发的邮件|転送されたメッセーシ""".replace(
        "\n", "|"
    ).split("|")
)
_GROUPWISE = re.compile(r">>>\s.{1,200}\s>>>\s*")
_MARK = re.compile(r"\b(?:reply|answer|respond|write|type)\b.{0,30} above this line", re.IGNORECASE)
_BESIDE = re.compile(r"[-=_*—–‐]{2}")
_AROUND_WORDS = "-=_*—–‐|: \t"


def is_groupwise(line: str) -> bool:
    """Whether it is ``>>> Bob <b@c.d> 12.03.18 10:20 >>>``, below which nothing is marked."""
    return line[:3] == ">>>" and _GROUPWISE.fullmatch(line) is not None


_INLINE = re.compile(r"On\s.{10,150}?@[^\s<>]{1,100}>?\swrote:\s{2}")


def is_running_on(text: str) -> bool:
    """Whether it is an attribution behind which the original begins on the same line (Yahoo)."""
    return text[:2] == "On" and "wrote:  " in text[:300] and _INLINE.match(text) is not None


def is_separator(text: str) -> bool:
    """Whether all that follows a (stripped) line is the original mail."""
    if len(text) > 200:  # none is so long
        return False
    if is_groupwise(text) or text[-3:] == ">>>" or text == "-----BEGIN PGP SIGNATURE-----":
        return True
    if text[-1] in ":：" and _folded(text.strip("* \t")).startswith(_BEGIN_FORWARD):
        return True
    if "above this line" in text and _MARK.search(text):
        return True
    words = _between_rules(text)
    if words is None:
        return False
    folded = _folded(words)
    return (
        folded == "original"  # QQ
        or folded.startswith(_ORIGINAL)
        or (text[:2] == text[-2:] == "--" and _has_verb(words))
    )


def _between_rules(text: str) -> str | None:
    """Return the words of ``--- words ---``; None where there is not a rule on either side.

    Not by one expression: a line that is nothing but a rule would match it in very many ways.
    """
    words = text.strip(_AROUND_WORDS)
    if not words:
        return None
    before, _, after = text.partition(words)
    return words if _BESIDE.search(before) and _BESIDE.search(after) else None


def _folded(text: str) -> str:
    """``text`` without case and accents."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(c for c in unicodedata.normalize("NFD", folded) if not unicodedata.combining(c))


_MAY_MARK = re.compile(
    r"[|}%»＞│┃❯]|&gt;|[A-Za-z]{1,12}>|[:#]\s"  # marks of quoted lines
    r"|[-=_*—–~#.]{4}|[-=_*—–]{3}\s*$|##|\[(?!job ).*\]$"  # rules
    r"|(?:quoting|zitat von|citando|citat|thus spake)\b.*:$",
    re.IGNORECASE,
)

_HEADING = re.compile(r"[^\W\d_][\w ’'.-]{0,30}:(?:\s|(?<=[^\x00-\x7f]:))")
_FEW = 8  # words of a title
_SENTENCE = 4  # words
_PLEASE = frozenset(
    "please kindly bitte favor veuillez favore prosím proszę пожалуйста kérem lütfen alsjeblieft"
    " vänligen venligst".split()
)


def may_begin_quote(line: str) -> bool:
    """Whether a line that says nothing known may be the first of a quote, or introduce one.

    Broader than all else here, for where a wrong "no" does harm and a wrong "yes" only asks: any
    rule or mark, an address, a date or a time, what ends in a colon or a verb of saying, a word
    with a capital and a colon, as headers have them.
    """
    text = unicodedata.normalize("NFKC", line[:_MAX_ATTRIBUTION]).translate(_DIRECTIONS).strip()
    if not text:
        return False
    words = _WORD.findall(text.casefold())
    # No attribution is a sentence, and none asks for anything.
    is_sentence = text[-1] in ".!?" and len(words) >= _SENTENCE
    when = _DAY_AND_TIME if is_sentence else _WHEN
    if _MAY_MARK.match(text) or _WHO.search(text) or when.search(text):
        return True
    if _is_closed(text) and _PLEASE.isdisjoint(words):
        return True
    named = _HEADING.match(text)
    if (named and not named[0][0].islower()) or is_separator(text):
        return True
    told = not _VERBS.isdisjoint(words) and text.split(None, 1)[0] not in _SELF
    return (told and len(words) <= _FEW) or names_an_original(text)


def names_an_original(text: str) -> bool:
    """Whether a few words do: ``Start of forwarded message``, ``Reply above this line``."""
    words = _WORD.findall(text.casefold())
    folded = _folded(" ".join(words)) if len(words) <= _FEW else ""
    return "above this line" in text or any(one in folded for one in _ORIGINAL + _BEGIN_FORWARD)


# --- "From: ... Sent: ... To: ... Subject: ..." ---------------------------------------------------

_WORDS = {
    "from": """From De Von Van Da Fra Från Lähettäjä Od Odesílatel Feladó От От\u00a0кого
        Отправитель Від Kimden Gönderen De\u00a0la Από Remitente Expéditeur Mittente Remetente
        Afzender Absender Nuo Frá Pošiljatelj Пошиљалац Изпратено\u00a0от จาก
        发件人 寄件者 寄件人 差出人 送信者 보낸\u00a0사람 보낸사람 מאת من Saatja Nuo No Từ Dari""",
    "date": """Sent Date Enviado Enviada Envoyé Gesendet Verzonden Inviato Sendt Skickat Lähetetty
        Wysłano Data Datum Dato Fecha Päivämäärä Päiväys Odesláno Elküldve Küldve Dátum Отправлено
        Дата Надіслано Gönderildi Tarih Trimis Dată Sent\u00a0at Enviado\u00a0el Enviado\u00a0em
        Enviada\u00a0em Envoyé\u00a0le Date\u00a0d’envoi Data\u00a0wysłania Gönderme\u00a0Tarihi
        Datum\u00a0poslání Ημερομηνία Εστάλη 发送时间 日期 时间 寄件日期 傳送日期 送信日時 日時
        보낸\u00a0날짜 נשלח التاريخ تاريخ\u00a0الإرسال Saadetud Gửi Đã\u00a0gửi Ngày Terkirim
        Dikirim Tanggal
        Išsiųsta Nosūtīts Poslano Послато Изпратено Στάλθηκε تم\u00a0الإرسال ส่ง วันที่""",
    "to": """To Para An Aan A À Till Til Do Komu Címzett Кому Kime Către Προς Vastaanottaja
        Destinataire Destinatario Destinatário Empfänger Pour Adresat Példány 收件人 收件者 宛先
        받는\u00a0사람 받는사람 אל إلى Kepada Đến Tới
        Kam Adressaat Saaja Prima Прима До ถึง Cc CC Kopie Kopia Copia Cópia Kopi Копия 抄送""",
    "subject": """Subject Betreff Objet Asunto Assunto Oggetto Onderwerp Emne Ämne Aihe Otsikko
        Temat Předmět Predmet Tárgy Тема Konu Subiect Θέμα Titel Re Ang Angående Ref
        主题 主旨 標題 件名
        제목 נושא الموضوع Teema Chủ\u00a0đề Perihal Subjek Tema Tēma
        Относно Efni Zadeva Предмет เรื่อง""",
    "reply": "Reply-To Risposta Antwort\u00a0an Répondre\u00a0à Responder\u00a0a 答复",
}
_KINDS = {
    word.replace("\u00a0", " ").casefold(): kind
    for kind, words in _WORDS.items()
    for word in words.split(" ")
    for word in word.split("\n")
    if word.strip()
}
_FIELD = re.compile(
    r"[\s*_>|]{0,12}(?P<word>[^\W\d_][\w\u0e31-\u0e4e’'. -]{0,22}?)"
    r"\s{0,4}[*_]{0,2}\s{0,9}[:：][*_]{0,2}(?P<value>.*)"
)


def header_field(line: str) -> tuple[str, str] | None:
    """Read a line as mail programs quote headers: from, date, to, subject or reply; its value."""
    field = _FIELD.match(line)
    if field is None or field["word"][0].islower():
        return None
    kind = _KINDS.get(" ".join(field["word"].split()).casefold())
    return (kind, field["value"].strip()) if kind else None


def is_header_block(fields: dict[str, str]) -> bool:
    """Whether fields of neighbouring lines are a quoted mail's header, no lines of a request."""
    if "from" not in fields:
        dated = _WHEN.search(fields.get("date", "")) is not None
        return dated and ("subject" in fields or "@" in fields.get("to", ""))
    if "subject" in fields and len(fields) >= 3:
        return True
    others = fields.keys() - {"from"}
    sender = "@" in fields["from"]
    return bool(others) and (sender or _WHEN.search(fields.get("date", "")) is not None)


# --- signatures -----------------------------------------------------------------------------------

_SENT_FROM = re.compile(
    r"""
    (?:sent|posted|written|composed)\ (?:from|via|with|by|using|on)\ .{1,100}
    |get\ \[?outlook\ for.{0,100}
    |(?:.{1,30}\ )?from\ (?:my\ |a\ )?(?:mobile|phone|cell|iphone|ipad|android|blackberry).{0,40}
    |envoyé\ (?:depuis|de|à\ partir|avec|via)\ .{1,100}
    |(?:von|mit)\ meine[mnr]\ .{1,60}\ (?:gesendet|geschickt|verschickt)\.?
    |(?:gesendet|geschickt|verschickt)\ (?:von|mit|über|aus|via)\ .{1,100}
    |vo[nm]\ (?:meinem\ )?(?:tablet|handy|smartphone|mobilgerät).{0,30}\ gesendet\.?
    |diese\ (?:nachricht|mail|e-mail)\ wurde\ (?:von|mit)\ .{1,80}\ (?:gesendet|verschickt)\.?
    |enviado\ (?:desde|do|da|de|a\ partir|con|com|via)\ .{1,100}
    |(?:inviato|mandato)\ (?:da|dal|con|tramite)\ .{1,100}
    |(?:verzonden|verstuurd|gestuurd)\ (?:met|vanaf|van|vanuit|via|door)\ .{1,100}
    |(?:sendt|skickat|skickades|sänt)\ (?:fra|från|via|med)\ .{1,100}
    |lähetetty\ .{1,80}
    |wysłan[eoy]\ (?:z|ze|przez|za)\ .{1,100}
    |odesláno\ (?:z|ze)\ .{1,80}
    |(?:отправлено|послано)\ (?:с|со|из|от|через)\ .{1,100}
    |надіслано\ (?:з|із|від|за)\ .{1,100}
    |trimis\ (?:de|din)\ .{1,80}
    |elküldve\ .{1,80}
    |στάλθηκε\ από\ .{1,80}
    |.{1,60}(?:gönderildi|から送信|에서\ 보냄|傳送|发送|發送)\.?
    |(?:发自|發自|来自我|來自我).{1,60}
    |yahoo\ mail:?\ .{0,100}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_RULE = re.compile(r"\s*(?:[-_—–]{2,}|[—–ᐧ\u200b\u2063]+)\s*")


def is_leaving(line: str) -> bool:
    """Whether a last line is no words of the person's: a rule, or what a telephone adds."""
    if len(line) > 200:  # none is so long
        return False
    text = line.strip(" \t<>()[]*_\u200b\u2063")
    return _RULE.fullmatch(line) is not None or _SENT_FROM.fullmatch(text) is not None
