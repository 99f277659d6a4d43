"""What machines come to speak of in a text, in words that vary: a table, and which go together."""

import re

# What responders come to speak of, in words that vary. Two that belong together tell.
_TOPICS = {
    "elsewhere": r"""\bout of (?:the |my )?(?:office|town|country|lab)|(?:am|i['’]m|be
        |currently) away|vacation|holiday
        |on leave|sabbatical|(?:at|to) a conference|field ?trip|on business|business trip
        |travell?ing|absente?\b|urlaub|dienstreise|außer haus|nicht (?:mehr )?(?:im
        |in) |mutterschutz|elternzeit|en congé|vacances
        |déplacement|retour au bureau|vacaciones|ausente|oficina|\bferie\b|assente|ufficio|férias
        |escritório|vakantie
        |afwezig|niet op kantoor|verlof|baja médica|zwolnieni|arrêt maladie|malattia|sick leave
        |больничн|semester|tjänstledig|(?:inte|ikke) på kontoret|loma(?:lla|n)|urlop
        |nieobecn|biur[oz]|dovolen|kanceláři
        |szabadság|irod[aá]|отпуск|рабочем месте|офис|izin|ofis|γραφεί|休假|办公室|出差|休暇|出張
        |不在|휴가|출장|부재""",
    "until": r"""\b(?:until|till|back on|return|returning)\b|\bbis (?:zum|zu|ende|\d)|\bab (?:dem
        |\d|montag)
        |reopen|wieder da|zurück|rückkehr|jusqu|de retour|hasta|regres[oa]|vuelvo|\bfino al?\b
        |rientr
        |\baté\b|\btot\b|\bterug\b
        |till den|tillbaka|tilba[gk]e|\basti\b|palaan|\bdo \d|wracam|вернусь|\bдо \d|kadar|έως|回来
        |返回|戻り|까지""",
    "later": r"""\b(?:will|shall|aim to|['’]ll) .{0,30}(?:respond|repl|answer|get back|contact you
        |be in touch|delayed)
        |melden|antworte|beantworte|répondr|traiter|contestar|respond[eo]r|risponder
        |contact (?:met u )?op|responderemo|risponderemo|reageren|ответим|otpov|se bude
        |\bsvarer|\bsvarar|vastaa|palaamme|odpowie|отвеч|回复|回覆|返信|折り返し|답변|회신""",
    "yours": r"""\bthank\w* (?:you )?(?:very much )?for (?:your|writing|contacting
        |getting in)
        |\bihre (?:e-?mail|mail|nachricht|anfrage)|votre (?:message|demande|courriel|e-?mail)
        |\buw (?:bericht|e-?mail)
        |\bsu (?:mensaje|correo|solicitud|consulta)|\b(?:sua|tua) (?:richiesta|e-?mail|mensagem)
        |din henvendelse|gracias por|grazie per aver|obrigad[oa] pel|bedankt voor|спасибо за
        |za (?:kontakt|wiadomo)|ваш[ае]? (?:обращ|письм|сообщ|запрос)|您的(?:邮件|来信)
        |お問い合わせ""",
    "mail": r"""lese keine|lees mijn|can (?:only )?answer only|(?:access|check|checking|read
        |reading).{0,20}(?:e-?mail|mail|inbox|messages)
        |no internet|no puedo leer|läser inte|nie czytam|не читаю|slow to respond|unable to read
        |mails?.{0,20}eingeschränkt|zugriff|accès|acceso|accesso|acesso|toegang|tillgång|adgang""",
    "click": r"""\b(?:click|follow|use|visit)\s(?:on\s)?(?:the|this)\s(?:\w+\s)?(?:link|button|url)
        |(?:link|button)
        \sbelow|\bclick here|auf den (?:folgenden |nachfolgenden )?(?:link|button)|cliquez sur
        |haga clic|clique no|fai clic
        |clicca|klik (?:op|her|på)|klicka på|kliknij|kliknutím|перейд\w+ по ссылке|点击|クリック""",
    "admitted": r"""white-?list|being held|(?:approved|allowed|trusted|safe) senders?|guest list
        |waitlist|robot|robô|humano?\b|spam|junk
        |to my inbox|can receive your|quarantin|remis à son destinataire|\bvalidation|authentif
        |registrierung
        |registration|(?:verify|confirm) (?:your|that you)|opt[- ]?out|reopen the
        |passwor[dt] (?:zurück|reset)""",
    "now": r"""current|at the moment|right now|these days|derzeit|zurzeit|zur zeit|momentan
        |actuellement
        |actualmente|attualmente|momenteel|för närvarande|i øjeblikket|obecnie|momentáln|jelenleg
        |сейчас|настоящее время|目前|現在|현재|şu an|\bfrom\b.{1,30}\bto\b|\bvo[mn] .{1,20}\bbis\b
        |\bdu .{1,20}\bau\b
        |正在|中です|자리""",
    "gone": r"""no longer|nicht mehr|ne travaille plus|\bya no\b|non lavora più|has left
        |i have left|retired
        |does not exist|has changed""",
    "urgent": r"""urgen|emergenc|in my absence|dringend|vertret|spoed|brådskande|hastesag|kiireel
        |piln[yae]
        |naléhav|sürgős|срочн|\bacil\b|επείγον|急|긴급""",
}
TOPICS = {name: re.compile(re.sub(r"\s*\n\s*", "", pattern)) for name, pattern in _TOPICS.items()}
"""How a sentence, in lower case, is found to speak of each."""

TOGETHER = (
    *(("elsewhere", other) for other in ("until", "later", "mail", "urgent")),
    ("yours", "later"),
)
"""Pairs that tell where nothing else is wanted."""

CHALLENGES = (("click", "admitted"),)
"""Pairs that tell wherever they are found."""

BESIDES = ("until", "later", "yours", "mail", "urgent", "now", "gone")
"""What a responder adds to saying that somebody is elsewhere."""
