"""What machines write into Subjects, in the languages in which mail programs and servers speak.

Many of these words are people's, too. Some tell wherever a Subject begins with them; others only
where nothing of a person's follows: ``Out of office: tree``, and not ``Out of office next week``.
"""

import re

_LONGEST = 1000

# Titles of reports and answers, whatever follows.
_TITLES = r"""
auto(?:matic|mated)?[ -]?(?:reply|response|respon(?:der|ding)|answer|ack\w*)\b
    (?!\ (?:feature|function|system|setting|template|text|is|was|in|on|for)\b)
|(?:this|dies)\ is\ an\ auto\w*
|automated\ (?:message|mail|notification)|auto[ -]?generated[\])]
|auto:\ (?!yes|no|true|false|on|off)
|vacation\ (?:reply|response|message|notice|auto)|out\ of\ office\ auto|away\ message
|(?:mail\ |e-?mail\ |message\ )?delivery\ (?:status\ notif|has\ failed|subsystem)
|(?:e-?mail\ |message\ |mail\ )?(?:delivery|transmission)\ (?:fail(?:ure|ed)|error|report|warning
    |delay|notification|problems?)[ ]*(?:$|[:(\[–—-]|with\ your|notif)
|mail\ (?:fail(?:ure|ed)|error|blocked|rejected|undelivered)\W*(?:$|:)|rejected:\ |out\ until\b
|(?:notice:\ )?mail\ delivery\ (?:failed|fail|status|problem:|error|report|notif|delay|warning)
|delivery\ (?:status|failure\ notif|notification:|report:|reports\ about)
|(?:permanent|temporary)\ (?:delivery|mail)\ (?:fail|error)
|transmission\ (?:fail|problem|error|report)
|mail\ (?:system\ error|could\ not\ be|undeliverable|has\ been\ (?:blocked|rejected|quarantined))
|message\ (?:undeliverable|not\ delivered|delayed|could\ not\ be|blocked|rejected|quarantined
    |status\ -
    |refusé|you\ sent\ (?:blocked|could))
|e-?mail\ (?:delivery\ (?:fail|error|problem)|undeliverable|feedback\ report)
|(?:sorry,?\ )?(?:warning:\ )?your\ (?:e-?mail|mail|message|e-?mail\ message|post
    |posting)\b.{0,60}\ (?:could\ not
    |cannot|was\ not|wasn't|has\ not|(?:was|has\ been)\ (?:blocked|rejected|received|delayed
    |returned)
    |requires|awaits)
|(?:sorry,?\ )?we\ (?:were|are)\ unable\ to\ deliver
|your\ (?:request|ticket|case|enquiry|inquiry|message|e-?mail|mail)\b.{0,40}\ (?:has\ been|was)[ ]
    (?:\w+\ )?(?:received|created|registered|opened|logged|assigned)
|(?:we(?:\ have|['’]ve)?\ )?received\ your\ (?:message|e-?mail|request)
|thank(?:s|\ you)\ for\ contacting\b|(?:thank(?:s|\ you)\ for
    |(?:vielen\ )?dank\ für)\ (?:ihre\ (?:e-?mail|nachricht|anfrage)|your\ (?:e-?mail|message
    |enquiry|inquiry|request))\W*$
|[^\]]{1,40}\]\ ?auto-?reply:
|undeliver(?:able|ed)\ (?:mail|message|e-?mail|report)(?:\ (?:returned|notif|-).*|\W*$)
|undeliver(?:able|ed):|undeliverable\W*$
|non.?deliver(?:y|able)\ (?:report|notif|mail|message|receipt)|(?:ndn|ndr)\b\W*(?:$|:)
|mail\ not\ delivered|delivery\ (?:incomplete|unsuccessful)|delivery\ fail\w+\ for\ \S+@
    |permanent\ failure\ notice
|(?:notification:\ )?message\ delivery\ failed|warning\ from\ uucp|postmaster(?:\ notify)?[:\]]
    |mailer.daemon:|nondelivery:
|zustellungsbericht|übermittlungsbericht|retour\ de\ message|(?:correo|mensaje)\ devuelto
|failure\ notice|failure\ delivery\W*$|failed\ (?:mail|message|delivery)(?::|\W*$)
|returned\ (?:mail|email|message)(?::|\ -|\W*$)|returned\ to\ sender
|warning:\ (?:could\ not\ send|message\ .{0,40}delayed|e?mail|e-mail)|warning\W{1,3}mail\ delayed
|delayed\ (?:mail|message|delivery)\W|delivery\ delayed|unable\ to\ (?:deliver
    |send)\ (?:your\ )?(?:message|mail|e-?mail)
|could\ not\ (?:send|deliver)\ (?:your\ )?(?:message|mail|e-?mail)|error\ sending\ (?:message|mail)
|(?:notification|report)\ of\ delivery|undelivered\ mail\b(?!\?)
|bounced?\b\]?(?::|\ (?:message|mail|e-?mail|notif))|bounce\]
|(?:user\ |recipient\ )?mailbox\ (?:is\ )?(?:full|unavailable)\W*$
|(?:user|recipient)\ (?:unknown|not\ found)\W*$|(?:unknown|invalid)\ (?:user|recipient)\W*$
    |(?:over\ quota|quota\ exceeded)\W*$
|(?:banned\ contents|virus\b.{0,60}in\ mail
    |(?:considered\ )?unsolicited\b.{0,20}e?mail)\b.{0,12}\ from\ you
|virus\ found\ in\b.{0,20}\b(?:message|mail|e-?mail|attachment)|problems\ found\ in\ message
|post\ by\ non-member|posting\ to\ .{1,60}(?:not\ allowed|rejected)|rejected\ posting
|request\ to\ mailing\ list\ .{1,60}rejected|the\ results\ of\ your\ email\ commands
|welcome\ to\ the\ .{1,60}mailing\ list|you\ have\ been\ (?:un)?subscribed
|confirm\ (?:subscription|unsubscription)|confirm\ [0-9a-f]{16,}
|(?:action\ required:\ )?(?:please\ )?(?:verify|confirm)\ your\ (?:e-?mail|message|address
    |subscription|account)\b
|your\ message\ requires|please\ reply\ to\ confirm
|(?:return|read)\ receipt|receipt\ notification|disposition\ notification
|(?:fw:\ )?complaint\ about\ message|abuse\ report\b
|(?:new\ )?(?:support\ )?(?:ticket|case)\ \#?[\w-]*\ ?(?:created|received|opened)
    |new\ (?:support\ )?ticket\b
|[^\]]{1,40}\]\ .{0,80}(?:auto-?reply|ticket\ (?:created|received|opened))|ticket\ (?:created
    |received|opened)
|jira\]|boxbe\b|challenge\ from\ \S+@|cron\ <|logwatch\ for
|acknowledge?ment\ of\ receipt|confirmation\ of\ receipt|receipt\ of\ your
|lese-?bestätigung|empfangsbestätigung|eingangsbestätigung|confirmation\ de\ lecture
    |accusé\ de\ (?:réception|lecture)|acuse\ de\ recibo
|ihre\ (?:anfrage|nachricht|e-?mail|mail)\ (?:ist|wurde|konnte)
|(?:\w+\ )?nachricht\ konnte\ nicht|unzustellbar|nachricht\ unzustellbar
    |\w*zustellung\ fehlgeschlagen
|fehler\ bei\ der\ zustellung|(?:benachrichtigung\ zum\ )?übermittlungsstatus
|abwesenheits?(?:notiz|nachricht|meldung|benachrichtigung|assistent)|auto(?:m\.
    |matische)?\ ?(?:antwort|abwesenheit)
|notification\ d['’]?(?:état|echec|échec)|[ée]chec\ (?:de|d['’]|du)|non\ (?:remis\b|distribu[eé])
    |avis\ de\ non
|message\ (?:non\ distribu|d['’]absence)|réponse\ auto|reponse\ auto
|no\ se\ puede\ entregar|(?:mensaje|correo)\ no\ entregado|error\ en\ la\ entrega|respuesta\ auto
    |auto-?respuesta
|notificación\ de\ estado|non\ recapitabile|(?:notifica\ di\ )?mancat[oa]\ (?:consegna|recapito)
    |risposta\ auto
|não\ é\ possível\ entregar|mensagem\ não\ entregue|não\ entregue|falha\ na\ entrega|resposta\ auto
|automatisch\ antwoord|onbestelbaar|niet\ bezorgd|afwezigheids
|auto(?:matis[kc]t?)?\ ?svar\b|svar\ automatis|kan\ ikke\ leveres|oleverbar
    |går\ inte\ att\ leverera|fraværsmelding
|automaattinen\ vastaus|toimit(?:us|taminen)\ ep?[äi]\ ?onnistu|sjálfvirkt\ svar
|automatyczna\ odpowied|odpowied[źz]\ automat|autoodpowied|nie\ można\ dostarczyć
    |(?:zwrot:\ )?nie\ ?dostarczon
|automatick[áa]\ odpov|nelze\ doručit|nedoručiteln|automatikus\ válasz|kézbesíthetetlen
|автоответ|автоматич\w+\ (?:ответ|відповідь|отговор)|автовідповідь|недоставленн|не\ доставлен
|не\ удается\ доставить|ошибка\ доставки|сообщение\ не\ доставлено|ваша\ заявка
|automatski\ odgovor|samodejni\ odgovor|răspuns\ automat|automatinis\ atsakymas|auto\w+\ atbilde
    |automaatvastus
|otomatik\ (?:yan|cevap)|teslim\ edilemedi|αυτόματη\ απάντηση
|自动(?:回复|答复)|自動(?:回覆|返信|応答)|(?:无法|未)传递|(?:系统|系統)?退信|(?:邮件)?(?:投递失败
    |退回)
|(?:メール)?配信(?:不能|エラー|できません)|メール(?:配信エラー|を配信でき)|エラーメール
|자동\ ?(?:응답|회신)|부재\ ?중?\ ?자동|배달\ ?(?:되지|실패)|메일\ 전송\ 실패|(?:תשובה
    |מענה)\ אוטומטי|رد\ تلقائي
|trả\ lời\ tự\ động|ตอบกลับอัตโนมัติ|balasan\ otomatis
|(?:merci|gracias|grazie|obrigad[oa]|bedankt|tack|takk?|kiitos|dziękuj\w+|děkuj\w+|спасибо)[ ]
    (?:\w+\ ){1,3}(?:message|mensaje|messaggio|mensagem|bericht|e-?mail\w*|mejl|meddelande|besked
    |viesti\w*|wiadomość|zprávu|письмо|сообщение|обращение)\W*$
|hemos\ recibido\ su|nous\ avons\ bien\ reçu|abbiamo\ ricevuto|recebemos\ (?:a\ )?sua
|(?:request|anfrage|demande|solicitud|richiesta)\ (?:received|eingegangen|reçue|recibida|ricevuta)\]
|(?:your\ )?(?:incident|case|ticket|request)\ \#?[a-z]*\d{3,}\ (?:(?:has\ been|was)\ )?(?:opened
    |created|received|assigned|resolved|closed|updated)\b
|(?:bitte\ )?bestätigen\ sie\ ihre|confirmez\ votre|confirme\ su|conferm[ai]\ (?:il|la)\ tu[oa]
    |bevestig\ (?:uw|je)|подтвердите|reset\ your\ password|passwort\ zurücksetzen
|(?:problem|recovery|acknowledgement|flapping\w*|downtime\w*|custom)\ (?:service|host)\ alert
|security\ information\ for\ |firing:\d|resolved\]|build\ \w+\ in\ jenkins|jenkins\ build\ \w+
|.{1,80}\|\ (?:failed|fixed|successful)\ pipeline\ for|smart\ error\ \(|\w{4,20}\ event\ on\ /dev/
|(?:unattended-upgrades\ result|monit\ alert|output\ from\ your\ job|anacron\ job
    |slurm\ (?:array\ )?job_id=)
|(?:fail2ban|rkhunter)\]|(?:[^\]]{1,40}\]\ )?(?:logcheck|logwatch|rkhunter|bacula|rsnapshot\ \w+):
|(?:message\ )?recall:|apt-listchanges:|your\ (?:\w+\ )?code\ is\ \d|order\ \#?\d+\ (?:confirmed
    |shipped)
|(?:buchungs|bestell|auftrags)bestätigung\b|sender\ verification|(?:message
    |post)\ (?:pending\ approval|awaiting\ moderation)
|quota\ warning|mailbox\ (?:almost|nearly)\ full|(?:spam\ )?quarantine\ (?:summary|digest|report
    |notif)
|new\ (?:fax\ received|voice\ ?(?:mail|message)\ (?:in|from))
"""

# What people say too: somebody is elsewhere, or a mail was read. Here nothing else may follow.
_SHORT = r"""
(?:[\w.'/-]+\ ){0,4}(?:is\ |am\ |i['’]m\ |currently\ |will\ be\ )*(?:out\ of|away\ from
    |not\ in)\ (?:the\ |my\ )?(?:office|lab)
    (?:\ (?:auto-?reply|message|notice|notification|reply))?
|out-of-office|ooo|oof|out\ of\ town
|(?:i\ am|i['’]m|currently|i\ am\ currently)\ (?:out|away|on\ (?:annual\ )?(?:leave|vacation
    |holiday))
|on\ (?:vacation|holiday|(?:annual\ |parental\ |maternity\ )?leave)
|(?:annual|maternity|paternity|parental|sabbatical)\ leave|away\ from\ (?:my\ )?(?:mail|e-?mail
    |desk)
|no\ longer\ (?:with|at)\ .{1,40}|(?:change\ of|new)\ e-?mail\ address
|abwesend|(?:ich\ bin\ |bin\ )?(?:derzeit\ |zur\ zeit\ )?(?:nicht\ (?:im|in)\ .{0,12}(?:büro|haus)
    |im\ urlaub|abwesend|nicht\ erreichbar)
|(?:[\w.'/-]+\ ){1,4}(?:ist|est|está|è)\ (?:nicht\ im\ (?:büro|haus)|außer\ haus|absent(?:e|\(e\))?
    |ausente
    |fuori\ (?:sede|ufficio))(?:\ (?:du\ bureau|de\ la\ oficina))?
|(?:ich\ bin\ )?außer\ haus|urlaub(?=\ (?:bis|vom)\ )|urlaubs(?:vertretung|notiz|meldung)
    |elternzeit
|(?:je\ suis\ )?absent(?:e|\(e\))?\ (?:du|de)\ bureau|absence\ (?:du|de)\ bureau
    |je\ suis\ (?:absent
    |en\ (?:congé|vacances))|en\ congé
|fuera\ de\ (?:la\ )?oficina|ausente|ausencia|estoy\ de\ vacaciones|de\ vacaciones
|fuori\ (?:sede|ufficio)|assente|sono\ in\ ferie|in\ ferie|ausência(?:\ temporária)?
    |estou\ de\ férias|fora\ do\ escritório
|afwezig|buiten\ kantoor|(?:ik\ ben\ )?niet\ (?:aanwezig|op\ kantoor)|fr[åa]nvaro|frånvaro
    |frånvarande|fravær(?:ende)?|(?:jeg|jag)\ (?:er|är|har)\ (?:på\ )?(?:ferie|semester)|(?:ikke
    |inte)\ (?:til\ stede
    |på\ kontoret)
|poissa|lomalla|nieobecno\w*|poza\ biurem|mimo\ kancelář|nepřítomnost|házon\ kívül
    |szabadságon\ vagyok
|вне\ офиса|отсутствую|(?:я\ )?в\ отпуске|нет\ на\ месте|ofis\ dışında(?:yım)?|izindeyim
    |εκτός\ γραφείου
|休暇中|休暇の(?:お知らせ|ため)|不在(?:通知|中)|休假(?:中)?|(?:我)?不在办公室|外出中?|부재\ ?중?
    |מחוץ\ למשרד|خارج\ المكتب
"""

# What stands before the Subject of a mail that was read, or not, or that nobody reads for now.
_NOT = r"(?:not|nicht|non|não|niet|ikke|inte|nie|не)"
_BEFORE = r"""
read|gelesen|ungelesen\ gelöscht|lu|leído|letto|lettura|lida|leída|gelezen|прочитано|læst
    |läst|luettu|przeczytano|přečteno|vacation|holiday
    |away
|abwesenheit|absence|不在|부재|(?:annual\ |on\ )?leave|my\ e-?mail\ address\ has\ changed
"""

# What two words make of a title of a few words, in whatever order, in languages other than English.
_REPLIES = (
    "antwort|nachricht|meldung|notiz|e-?mail|bestätigung|réponse|reponse|message|mensaje"
    "|respuesta|messaggio|risposta|mensagem|resposta|antwoord|bericht|svar|besked|melding"
    "|meddelande"
    "|vasta|viesti|odpow|wiadom|informacja|odpov|zpráv|oznámen|válasz|üzenet|értesít|ответ|сообщ"
    "|съобщ|уведом|відпов|повід|yan[ıi]t|cevap|mesaj|απάντησ|απαντ|μήνυμα|odgovor|atsakym|atbild"
    "|回复|回覆|答复|答覆|应答|返信|応答|送信|配信|メール|通知|お知らせ|응답|회신|메일|알림|תשובה|מענה|הודע|رد|رسالة|إشعار"
)
_PAIRS = (
    # It was written by itself,
    (
        r"""\bautom(?:\.|[aá]t(?!on|a\b|ic\b|ed\b))|\bauto\b|автомат|αυτόματ|otomatik|自动|自動|자동
        |אוטומטי|تلقائي""",
        _REPLIES,
    ),
    # somebody is elsewhere,
    (
        r"""abwesen|urlaubs|\babsen[ct]|assenza|ausencia|ausência|afwezig|frånvar|fravær|poissaolo
        |nieobecno|nepřítomn|távollét|отсутств|假期|不在|休暇|부재|휴가|היעדר|חופש|غياب|إجازة""",
        rf"{_REPLIES}|benachrichtig|bureau|oficina|ufficio|escritório",
    ),
    # a mail did not arrive,
    (
        r"""nicht|fehl|échec|echec|\bnon\b|\bno\b|fallid|error[ei]?\b|mancat|\bnão\b|falha|\berro\b
        |\bniet\b|mislukt|inte\b|ikke|fel\b|mislyk|epäonn|voit|\bnie|nebyl|nelze|sikertelen
        |\bне\b|ошибк|возврат|başarısız|edilemedi|αποτυχ|δεν|失败|失敗|不能|エラー|未達|无法|退
        |실패|불가|되지|לא|لم|تعذر""",
        r"""zustell|zugestellt|übermitt|remise|remis\b|distribu[eé]|distribuable|entreg|recapit
    |consegn
        |bezorg|afgelever|\blever(?!ag|k)|toimit|dostarcz|doruč|kézbes|достав|письм|teslim|παράδο
    |παραδο|投递|发送
        |送信|配信|メール|邮件|信|배달|전송|נמסר|تسليم""",
    ),
    # or it did, and was read.
    (
        r"""bestätig|confirmation|confirmación|conferma|confirmação|bevestiging|kvitto|kvittering
        |kuittaus|potwierdzen|potvrzen|visszaigazol|подтвержд""",
        r"""empfang|eingang|lese|lecture|réception|recepción|lectura|lettura|ricezione|leitura
        |recebim|lees|ontvangst|läs|læse|mottag|modtag|luku|vastaanot|przeczyt|odbior|přečt|doruč
        |olvas|прочт|получ""",
    ),
    # A desk took something in.
    (
        r"^\W*(?:ihre?|votre|su|la\ sua|sua|uw|din|ditt|ваш[ае]?|twoj[ea]|vaš[ae]?)\b",
        r"""(?:ticket|anfrage|demande|solicitud|richiesta|solicitação|aanvraag|verzoek|förfrågan
        |ärende|henvendelse|обращени|заявк|запрос|zgłoszen|požadav)\w*\b.{0,20}
        \ (?:wurde|ist|a\ été|ha\ sido|è\ stat|foi|is|har|er|приня|зарег|получ|zosta|byl)""",
    ),
)
_FEW, _TITLE = 6, 200  # words and characters of a title


_MACHINES = re.compile(
    rf"\W*+(?:{_TITLES})"
    rf"|\W*+(?:{_NOT}\ )?(?:{_BEFORE})\ ?(?::\ |：)(?!\d)"
    rf"|\W*+(?:{_SHORT})(?:\W*$|\ ?[:：()\[\]–—.!]|\ -\ |\ re:"
    r"|\ (?:until|till|bis|jusqu|hasta|fino|até|tot|returning)\b)"
    r"|.{0,200}[(\[](?:auto(?:matic)?[ -]?(?:reply|response|ack)|out\ of\ (?:the\ )?office"
    r"|spam\ ?(?:arrest|blocker)\b[^)\]]*|verification\ required)[)\]]"
    r"|.{0,200}[(\[](?:(?:on\ )?(?:vacation|leave)|away|abwesend|urlaub|absent|ausente|assente"
    r"|afwezig)[)\]]\W*$",
    re.IGNORECASE | re.VERBOSE,
)


def tells_of_a_mail(subject: str) -> bool:
    """Whether a Subject that is a machine's tells what became of a mail, and not who is away."""
    return _OF_PEOPLE.search(subject[:_LONGEST]) is None


_OF_PEOPLE = re.compile(
    rf"auto|авто|otomat|αυτόμ|自[动動]|자동|אוטומטי|تلقائي|อัตโนมัติ|động|away|vacation|leave|holiday"
    rf"|office|out\ until|elternzeit|{_PAIRS[1][0]}|{_SHORT}",
    re.IGNORECASE | re.VERBOSE,
)


def is_a_machines(subject: str) -> bool:
    """Whether a (decoded) Subject is one that a server or a responder writes, and people do not."""
    text = subject[:_LONGEST]
    # A title is asked about; a mail that is answered may have asked.
    asks = text.rstrip().endswith("?") and ":" not in text
    return not asks and (_MACHINES.match(text) is not None or _is_title(text))


def _is_title(text: str) -> bool:
    """Whether a few words, with nothing or a colon and another Subject behind them, are a title."""
    title = _COLON.split(text, maxsplit=1)[0][:_TITLE].casefold()
    return (
        len(title.split()) <= _FEW
        and not _ABOUT.match(title)
        and any(one.search(title) and other.search(title) for one, other in _PAIR_EXPRESSIONS)
    )


# People ask about machines, too.
_ABOUT = re.compile(
    r"\W*(?:(?:re|aw|sv|vs|antw|odp|fwd?|wg)\b|frage|question|pregunta|domanda|pergunta|vraag|fråga"
    r"|spørgsmål"
    r"|kysymys|pytanie|dotaz|вопрос|soru|problem)"
)
_COLON = re.compile("[:：]")
_PAIR_EXPRESSIONS = tuple(
    (re.compile(one, re.VERBOSE), re.compile(other, re.VERBOSE)) for one, other in _PAIRS
)
