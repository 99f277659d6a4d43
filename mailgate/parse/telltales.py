"""What machines say in a text, in the languages that they speak: tables, and nothing else.

A line is a stem, which is looked for first, and the expression that tells. ``speech`` knows when
it counts.
"""

import re
from functools import cache
from typing import NamedTuple

_FAILURES = r"""
deliver     ~ (?<!my )(?:message|e-?mail)s?\b.{0,100}\b(?:could not|cannot|can't|couldn't|was not
        |wasn't|has not been|were not) (?:be )?delivered
deliver     ~ (?:failed to|could not|couldn't|cannot|unable to|able to|attempt to) deliver (?:to\b
        |(?:your |the |this |following )*(?:message|e-?mail|mail)\b)
deliver     ~ delivery (?:has failed )?to (?:the|these) (?:following )?recipients?\b
deliver     ~ delivery (?:status notification|subsystem|attempt|software)
deliver     ~ (?:message|mail) .{0,80}\bundeliverable
undeliver   ~ (?:recipients?|message) .{0,60}\b(?:was|were|is) undeliverable|undeliverable (?:for
        |to|message|mail|address)
not reach   ~ did not reach (?:some|any|all|the)
the mail sys~ this is the mail system at
program at  ~ this is the [\w-]+ program at
transcript  ~ transcript of session
errors      ~ had (?:permanent|transient) .{0,30}errors
550         ~ ^(?:<?[^\s<>@]+@[^\s<>]+>?:? )?5[05]\d[ -](?:[45]\.\d\.\d |.{0,40}(?:user|mailbox
        |recipient|quota|unknown))
552         ~ ^(?:<?[^\s<>@]+@[^\s<>]+>?:? )?552[ -](?:#?5\.\d\.\d|.{0,60}(?:mail|message|quota|size
        |storage|space|limit|exceed|too (?:big|large)))
delivered   ~ has not yet been delivered to
address     ~ address (?:not found|(?:couldn't|could not|cannot) be found|you entered could)
original me ~ the original message was received at
ed          ~ (?:your|the|this) (?:message|e-?mail|mail)\b.{0,80} (?:was
        |has been) (?:\w+ )?(?:rejected|returned|blocked|refused|quarantined|waitlisted)
held        ~ your (?:message|e-?mail|mail) is (?:being |on )?h[eo]ld
approv      ~ (?:message|post|mail) .{0,60}(?:is pending|once a moderator approves)
your mailbox~ your mailbox (?:has (?:reached|exceeded)|is (?:almost|nearly|over))
прочитано   ~ (?:сообщение|письмо) .{0,60}прочитано
gelesen     ~ ihre (?:nachricht|e-?mail) .{0,60}gelesen
a été lu    ~ votre (?:message|courriel) .{0,60}a été lu
leí         ~ el mensaje .{0,60}(?:ha sido leído|se leyó)
letto       ~ il messaggio .{0,60}è stato letto
gelezen     ~ uw bericht .{0,60}gelezen
has been rea~ ^(?:the|your) (?:message|e-?mail|mail) .{0,150}has been read\b
returned    ~ (?:your|the|this) (?:message|e-?mail|mail) (?:was|has been|is) returned
rejected    ~ (?:recipient|sender) address rejected
said:       ~ <[^\s<>]+@[^\s<>]+>:? .{0,100}said: [45]\d\d
mailbox     ~ (?:user|recipient)(?:['’]s)? (?:mailbox|inbox) (?:is |was )?(?:full|over|unavailable)
warning mes ~ this is a warning message only
you sent wi ~ relates to a message you sent with
quota       ~ (?:user|mailbox|recipient|account) .{0,40}(?:exceeded|over) .{0,30}quota
failed:     ~ (?:recipients?|address(?:es)?) failed:
be sent to  ~ (?:message|mail) could not be sent to
said: 5     ~ (?:server|host).{0,60} said: 5\d\d
nachricht wu~ nachricht wurde nicht zugestellt
relay       ~ unable to relay|in relay recipient table
smtp session~ ^session transcript|smtp session (?:failed|error)
problem with~ problem with the e-?mail address
delivery to ~ (?:(?:message|mail) delivery to .{0,60}|delivery to [^\s@]+@\S+ )(?:delayed|failed)
was read    ~ (?:^|(?:your )?(?:message|e-?mail|mail)\b.{0,200}\b)was (?:read|displayed) (?:on|at)
displayed   ~ (?:was|has been) displayed on the recipient
receipt for ~ (?:is a (?:return )?receipt for (?:the|your) (?:mail|message|e-?mail))
moderator   ~ (?:being|be|been) held until .{0,30}moderator|awaits? (?:\w+ )?moderator
to post     ~ you are not (?:allowed|authori[sz]ed|permitted) to post
report for  ~ (?:abuse|spam) report for an e-?mail
protected by~ this account is protected by
verify that ~ verify that you are
you are a pe~ (?:to )?(?:confirm|prove) that you are a (?:person|human)
control spam~ to control spam
so that your~ (?:click|follow) .{0,60}so that your (?:message|mail|e-?mail)
zugestellt  ~ (?:nicht|konnte.{0,40}) zugestellt (?:werden|worden)
n'a pas     ~ n['’]a pas (?:pu )?(?:être |été )?(?:remis|transmis|distribu|délivr|achemin)
entrega     ~ no (?:pudo|ha podido|se pudo|se ha podido|puede|se puede) (?:ser )?entrega
consegnat   ~ non .{0,20}consegnat
recapitat   ~ non .{0,20}recapitat
entreg      ~ não (?:pôde|pode|foi possível|foi) (?:ser )?entreg
worden      ~ (?:kon|kan) niet (?:worden )?(?:afgeleverd|bezorgd)
niet worden ~ niet worden (?:afgeleverd|bezorgd)
lever       ~ (?:kunde inte|kan inte|kunne ikke|kan ikke) (?:levere|leveras|afleveres)
toimit      ~ ei (?:voitu|voida) toimittaa
dostarcz    ~ nie .{0,20}dostarcz
doruč       ~ (?:nelze|nebylo|nemohla|nemohl) .{0,20}doruč
kézbesít    ~ (?:nem .{0,20}kézbesít|kézbesíthetetlen)
доставл     ~ не (?:было |была |может быть |удалось )?доставлен
teslim      ~ teslim edileme
παραδ       ~ δεν .{0,30}παραδ
退信        ~ 退信
无法        ~ 无法(?:投递|送达|传递)
配信        ~ 配信(?:でき|不能)
送信でき    ~ 送信できません
전송        ~ 전송(?:하지 못|되지|에 실패)
배달        ~ 배달(?:되지|할 수)
"""

# What a mail says of itself; a person's says what it was signed or scanned by.
_ITSELF = r"""
automat     ~ {this}.{0,60}(?:automat\w*[ -](?:\w+ )?(?:repl|respon|messag|e-?mail|mail|notif
        |answer|acknow|generat|creat|sent|remind|alert|notice|confirm|svar|besked|melding|meddel)
        |(?:generated|created|sent
        |issued|rejected|produced) automatically)
auto        ~ {this}.{0,40}auto(?:-| )?(?:repl|respon|generat|acknow|notif)
generated   ~ {this}.{0,30}(?:computer|machine|system)[ -]generated
automatical ~ (?:created|generated|sent) automatically by
auto        ~ ^\W*(?:an )?auto(?:matic|mated)?[ -]?(?:reply|response|responder|answer
        |acknowledge?ment)\b(?=\W*$|:| from| to )
apolog      ~ apologi[sz]e for this auto
automat     ~ {this}.{0,60}automatis(?:ch|k|t)\w* (?:\w+ )?(?:e-?mail|mail|antwort|nachricht
        |erstellt|erzeugt|generiert|versandt|versendet|verschickt|gesendet|bericht|antwoord
        |gegenereerd|verzonden|svar|besked|melding|meddelande|genere|udsendt|sendt)
automatisch ~ (?:dies|diese (?:mail|e-mail|nachricht)) (?:ist
        |wurde) (?:eine )?automatisch (?:\w+ )?(?:e-?mail|mail|antwort|nachricht|erstellt|erzeugt
        |generiert|versandt|versendet|verschickt|gesendet)
automat     ~ {this}.{0,50}(?:réponse|message|courriel|mail|mensaje|respuesta|correo|messaggio
        |risposta|mensagem
        |resposta)\b.{0,20} (?:est |a été |è |ha sido |foi |fue )?(?:\w+ )?autom[aá]ti(?:qu
        |c[oa]\b)
autom       ~ {this}.{0,50}(?:réponse|message|courriel|mensaje|respuesta|correo|messaggio|risposta
        |mensagem|resposta|e-?mail) (?:\w+ )?autom[aá]ti(?:qu|c[oa]\b)
automa      ~ {this}.{0,30}automaatti\w* (?:vastaus|viesti)|{this}.{0,30}automatyczn\w* (?:odpowied
        |wiadomo)|{this}.{0,30}automatick\w* (?:odpov|zpráv|správ|e-?mail)
        |{this}.{0,30}automatikus\w* (?:válasz|üzenet|levél)|{this}.{0,30}automa\w+ (?:odgovor
        |atsakym|atbild|vastus)
автомат     ~ {this}.{0,40}автомат\w* (?:\w+ )?(?:ответ|сообщ|письм|уведом|сгенер|создан|відпов
        |повідомл|отговор)
otomatik    ~ {this}.{0,30}otomatik
αυτόματ     ~ {this}.{0,30}αυτόματ|αυτόματη απάντηση
自动        ~ (?:系统|系統|这是|此|本).{0,10}自动(?:回复|答复|发送|生成)
自動        ~ (?:この|本|此|這是|こちら).{0,10}自動(?:回覆|返信|応答|送信|配信)
자동        ~ (?:이|본) .{0,8}자동(?:으로)? ?(?:응답|회신|발송|생성|전송)
אוטומטי     ~ (?:זו|זוהי|זה|זהו) .{0,20}אוטומטי
تلقائي      ~ (?:هذه|هذا) .{0,20}تلقائي
receiving th~ you(?:['’]re| are) receiving this (?:e-?mail|message)
sie erhalten~ sie erhalten diese (?:e-?mail|mail|nachricht),? (?:weil|da)
vous recevez~ vous recevez ce(?:t|tte)? (?:e-?mail|courriel|message|lettre) (?:car|parce)
recib       ~ (?:recibe|recibes) este (?:correo|mensaje|e-?mail) porque
would like t~ would like to recall the message
this code   ~ enter this code
generat     ~ ^\W*(?:message|e-?mail|mail) (?:was )?generated (?:auto|by (?:a|the) (?:system
        |machine))
automat     ~ ^\W*(?:wiadomość|zpráva|správa) (?:\w+ )*automat
автомат     ~ ^\W*(?:сообщение|письмо) (?:\w+ )*автомат
autom       ~ ^\W*(?:mensaje|mensagem|messaggio|message) (?:\w+ )?autom[aá]ti
automát     ~ (?:generad|enviad|gerad)[oa] autom
automatic   ~ generat[oa] automatic
automaty    ~ wygenerowan\w+ automaty
automatiq   ~ (?:généré|envoyé)e? automatiq
respond     ~ (?:por favor|favor|se ruega|rogamos)[ ,]+no (?:responda|conteste)|(?:não|nao) responda
répondre    ~ (?:merci de|veuillez|prière de) ne pas (?:y )?répondre
rispondere  ~ (?:prega|preghiamo|cortesemente) di non rispondere
antworte    ~ antworten sie (?:bitte )?nicht auf diese|bitte (?:hierauf
        |auf diese\w* .{0,20})?nicht antworten
odpowiada   ~ (?:prosimy|proszę) .{0,20}nie odpowiadać
antwoord    ~ (?:gelieve|verzoeken u)? ?niet (?:op dit bericht )?te (?:be)?antwoorden
svar        ~ (?:går|kan) (?:inte|ikke) (?:att )?(?:be)?svara?s? (?:på|dette|dit)|svara (?:inte
        |ej) på
отвеча      ~ не отвечайте на (?:это|данное)
neodpovíd   ~ neodpovídejte
yanıtla     ~ (?:yanıtlamayın|cevaplamayın)
回复        ~ (?:请勿|请不要)(?:直接)?回复
返信        ~ 返信(?:はできません|しないで|いただいても)
회신        ~ 회신하지 마
browser     ~ view (?:this|it) (?:(?:e-?mail|message|newsletter) )?in (?:your|a
        |the) (?:web )?browser
click here  ~ click here to (?:opt[- ]?out|unsubscribe|reopen|view)
problem     ~ problem (?:started at|has been resolved (?:at|in)) \d
banned      ~ the ip \S+ has just been banned by
notification~ notification type: (?:problem|recovery|acknowledg|flapping|downtime)
resource    ~ resource limit \w+ service
daemon      ~ generated by the \w+ daemon
submitted   ~ (?:issue|bug|ticket) has been (?:submitted|reopened|closed|resolved|assigned)\b
you have    ~ ^you have (?:a |received a )?(?:new |\d+ new )?(?:\d+ page fax|voice message
        |held messages|messages in)
received a  ~ we(?:['’]ve| have)? received a request to (?:reset|change)
reply to th ~ (?:do not|don't) (?:reply|respond) to this (?:e-?mail|message|mail)
only        ~ (?:outgoing mail|send|notification)[ -]only\b|cannot accept incoming
not read    ~ (?:replies|messages|mails?) to this (?:address|mailbox) are not read|(?:mailbox|inbox
        |address) is not read
monitored   ~ (?:mailbox|e-?mail (?:address|account)|account|inbox) is (?:not|un)\s?(?:monitored
        |attended|read)
unattended  ~ (?:mailbox|account|inbox) is unattended
"""

# A desk that took something in.
_RECEIVED = r"""
your        ~ your (?:\w+ )?(?:message|e-?mail|request|enquiry|inquiry|ticket|submission|application
        |case)\b.{0,60} (?:has been
        |was) (?:\w+ )?(?:received|registered|recorded|logged|assigned|created|forwarded to)
received you~ we(?: have|['’]ve)? received your (?:message|e-?mail|mail|request|enquiry|inquiry)
ticket      ~ \ba (?:new |support )*(?:ticket|case) .{0,20}(?:has been|was) (?:created|opened)
        |(?:ticket|case) .{0,30}has been (?:created|opened|assigned|registered)
        |(?:ticket|case|request) (?:number|id) is\b
answered wit~ will be (?:answered|processed|handled) within
acknowledge ~ (?:this is to|we|i) acknowledge (?:the )?receipt of your
from now    ~ (?:replies|messages|mails?) (?:sent )?to this (?:address|mailbox) (?:are|is
        |will be) (?:not|never|deleted|discarded)
number      ~ (?:ticket|case|reference|request)(?: number| id| no\.?) ?(?:is|:)
получен     ~ ваш[ае] (?:письмо|сообщение|обращение|заявка|запрос) .{0,20}получен
зарегистриро~ (?:обращение|заявка|запрос) .{0,30}зарегистриров
ricevuta    ~ richiesta è stata ricevuta
ihre        ~ ihre (?:anfrage|nachricht|e-?mail|mail)\b.{0,40} (?:eingegangen|erhalten|erfasst
        |registriert|weitergeleitet)
reçu        ~ votre (?:message|demande|courriel|e-?mail) .{0,30}reçu
su mensaje  ~ hemos recibido su (?:mensaje|solicitud|correo)
recibido    ~ hemos recibido su|ha sido recibido
enregistr   ~ (?:votre|la) (?:demande|requête) .{0,30}enregistrée?
registrat   ~ (?:sua|tua|vostra) (?:richiesta|segnalazione) .{0,20}registrat
aberto      ~ chamado .{0,20}(?:foi|está) aberto
przyjęt     ~ zgłoszenie .{0,20}przyjęt
is now      ~ (?:ticket|case|request) .{0,20}is now (?:open|closed|resolved)
assigned    ~ assigned (?:the )?(?:number|id|reference)\b
due to      ~ due to (?:the |a )?(?:(?:very )?(?:high|large|current) )*(?:number
        |volume) of (?:\w+ )?(?:e-?mails?
        |messages|requests|inquiries|enquiries|applications|mail)
anfragen    ~ (?:wegen|aufgrund) der (?:vielen|hohen) .{0,20}anfragen
confirm rec ~ we confirm (?:the )?receipt of your
thank       ~ ^thank you for your (?:purchase|order|booking|reservation|registration)\b
dank        ~ ^vielen dank für (?:ihre|deine) (?:bestellung|buchung|registrierung|anmeldung
        |bewerbung)
registrad   ~ ha sido registrad[oa]|foi registrad[oa]
bien reçu   ~ nous avons bien reçu votre
ricevuto    ~ abbiamo ricevuto (?:la (?:sua|tua|vostra)|il (?:suo|tuo|vostro))
presa in ca ~ presa in carico
ontvangen   ~ (?:wij|we) hebben uw .{0,40}ontvangen
zaevidov    ~ (?:požadavek|dotaz|zpráva|žádost) .{0,20}(?:zaevidov|zaregistrov|přijat)
yhteydenoto ~ kiitos (?:yhteydenotosta|viestistä)
tagit emot  ~ (?:har|vi) (?:har )?tagit emot (?:ditt|din|ert|er)
modtaget    ~ (?:har|vi) (?:har )?modtaget (?:din|dit|jeres)
zarejestro  ~ (?:zgłoszenie|wiadomość) .{0,20}zarejestrowan
got your    ~ we(?: have|['’]ve)? got your (?:message|e-?mail|mail|request|enquiry|inquiry)
on your beh ~ (?:opened|created) on your behalf
has been    ~ (?:incident|case|ticket|request) \W?\w*\d{3,} (?:has been|was) (?:\w+ )?(?:opened
        |created|resolved
        |closed|assigned|updated|received)
收到        ~ 收到(?:您|你)的|(?:邮件|来信).{0,4}已(?:经)?收到|(?:您|你)的(?:邮件|来信).{0,6}收到
"""

# Somebody is elsewhere, or gone for good.
_AWAY = r"""
in use      ~ (?:mailbox|e-?mail (?:address|account)|account|address) is no longer (?:in use|valid
        |active)
does not exi~ (?:mailbox|e-?mail (?:address|account)|account
        |inbox)(?: that you tried .{0,20})? does not exist
no longer   ~ no longer (?:work\w*|employed) (?:at|for|with|by|here)|is no longer (?:with|at) \w+
        |(?:mailbox|e-?mail (?:address|account)|account) is no longer
nicht mehr b~ arbeitet nicht mehr (?:bei|für|in)
has left    ~ has left (?:the|our) (?:company|university|institute|organi[sz]ation|firm)
i have left ~ i have left (?:\w+ ){0,4}(?:company|university|institute|organi[sz]ation)
has changed ~ my (?:new )?e-?mail address has changed
office      ~ (?:am|i['’]m|be|is|are|currently|now|away) (?:\w+ )?(?:out of|away from|not in
        |out) (?:the |my |our )?office|(?:not|n['’]t) (?:be )?in the office|office (?:is
        |will be) closed
vacation    ~ (?:am|i['’]m|be|we are|currently|now) (?:\w+ )?on (?:\w+ )?vacation
holiday     ~ (?:am|i['’]m|be|we are|currently|now) (?:\w+ )?on (?:\w+ )?holidays?
leave       ~ (?:am|i['’]m|be|we are|currently
        |now) (?:\w+ )?on (?:annual |parental |maternity |paternity |sick |study )*leave(?![\w-])
away        ~ i(?:['’]m| am| will be|['’]ll be) (?:currently )?away (?:from|until|till|on\b|for)
town        ~ (?:am|i['’]m|be|is|currently) (?:\w+ )?out of (?:town|the country)
access to   ~ (?:no|limited|intermittent|little|without|restricted|sporadic
        |infrequent) access to (?:my )?(?:e-?mail|mail)
unavailable ~ i (?:am|will be) (?:currently |temporarily )?(?:unavailable|not available)\b(?! on)
delayed     ~ (?:my )?(?:response|reply|answer)s? (?:may|might|will) be delayed
büro        ~ (?:bin|sind) .{0,60}nicht im (?:büro|hause?)
im          ~ (?:bin|sind|befinde (?:ich )?mich) .{0,60}im (?:urlaub|mutterschutz)
büro ist    ~ büro ist .{0,40}geschlossen
nicht im hau~ bin .{0,60}nicht im haus
im hause    ~ wieder im hause
erreichbar  ~ (?:bin|sind) .{0,60}(?:wieder|nicht) (?:per e-?mail )?erreichbar
abwesend    ~ (?:bin|sind) .{0,60}abwesend
elternzeit  ~ (?:bin|befinde mich) .{0,40}in elternzeit
nicht mehr g~ (?:adresse|e-?mail|mailadresse) ist nicht mehr gültig
absent      ~ (?:je (?:suis|serai)|suis|actuellement) .{0,30}absente?\b
congé       ~ (?:je (?:suis|serai)|suis|actuellement) .{0,30}en congé
vacances    ~ (?:je (?:suis|serai)|suis|actuellement) .{0,30}en vacances
déplacement ~ (?:suis|serai) .{0,20}en déplacement
oficina     ~ (?:estoy|estaré|encuentro|estaremos) .{0,20}fuera de (?:la )?oficina
vacaciones  ~ (?:estoy|estaré|encuentro) .{0,20}de vacaciones
fuori       ~ (?:sono|sarò) fuori (?:ufficio|sede)
assente     ~ (?:sono|sarò) .{0,20}assente
ferie       ~ (?:(?:sono|sarò) in ferie|(?:er|är) .{0,20}på ferie)
férias      ~ est(?:ou|arei) (?:de|em) férias
ausente     ~ est(?:ou|arei|oy|aré) .{0,20}ausente
escritório  ~ est(?:ou|arei) fora do escritório|não estou no escritório
nejsem      ~ nejsem v kanceláři
afwezig     ~ ik ben .{0,30}afwezig
vakantie    ~ ik ben .{0,30}(?:op|met) vakantie
niet aanwezi~ ik ben .{0,30}niet aanwezig
semester    ~ jag (?:är|har) .{0,20}semester
kontoret    ~ (?:är|er) (?:inte|ikke) på kontoret
til stede   ~ er .{0,20}ikke til stede
lomalla     ~ olen .{0,20}lomalla
urlopie     ~ (?:jestem|będę|przebywam) na urlopie
poza biurem ~ (?:jestem|będę|przebywam) poza biurem
dovolené    ~ (?:jsem|budu) na dovolené
szabadság   ~ szabadságon (?:vagyok|leszek)
отпуск      ~ (?:я|нахожусь|буду) в отпуске
в офисе     ~ не буд(?:ет|у) в офисе
izin        ~ izinde(?:yim|yiz)
ofis        ~ ofis dışında(?:yım)?
γραφείου    ~ εκτός γραφείου
בחופש       ~ בחופש
היעדר       ~ היעדר(?:י|ות)
المكتب      ~ (?:أنا|حاليا|سأكون) .{0,20}خارج المكتب
إجازة       ~ (?:أنا|حاليا|سأكون) .{0,20}في إجازة
休假        ~ (?:正在|目前|我在)休假
休暇        ~ 休暇(?:中|を(?:いただ|頂))
不在        ~ 不在に(?:して|なり)
휴가        ~ 휴가 ?(?:중|입니다)
부재        ~ 부재 ?중
"""

# How a sentence begins in which a mail speaks of itself.
_THIS = (
    r"^(?:\W*|.{0,40}[,:;!(\[*-]\s*|.{0,30}\bthat )(?:this|the following|dies|diese?|dieses|ceci"
    r"|cette|cet?|este|esta|questo|questa|dit|deze|detta|dette|denne|tämä|to jest|toto|tato|ez|это"
    r"|данное|це|bu|αυτό|αυτή)\b"
)


class Telltale(NamedTuple):
    """A stem in lower case, and the expression that tells where it stands."""

    stem: str
    pattern: str


def _table(lines: str) -> tuple[Telltale, ...]:
    whole = re.sub(r"\n +", "", lines.strip())
    rows = (line.partition("~") for line in whole.split("\n"))
    return tuple(Telltale(stem.strip(), pattern.strip()) for stem, _, pattern in rows)


FAILURES = _table(_FAILURES)
"""A mail did not arrive, or was read."""

ITSELF = _table(_ITSELF)
"""It was written by itself."""

RECEIVED = _table(_RECEIVED)
"""A mail was taken in."""

AWAY = _table(_AWAY)
"""Somebody is elsewhere, or gone."""

_NO_BLANKS = "\u0e00"  # from here on scripts write without blanks between words


@cache
def expression(pattern: str) -> re.Pattern[str]:
    """Return its expression, compiled when it is first needed."""
    first = pattern.lstrip("(?:")[0]
    bound = "" if first >= _NO_BLANKS or first == "{" else r"(?<!\w)"
    return re.compile(f"{bound}(?:{pattern.replace('{this}', _THIS)})")
