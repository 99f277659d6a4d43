import time

import pytest

from mailgate.parse.automatic import is_going_in_circles, judge
from mailgate.parse.header import Header

GATEWAY = "jobs@gate.example.org"


def judged(*fields: str):
    return judge(Header.scan("\r\n".join([*fields, "", ""]).encode()), GATEWAY)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("Auto-Submitted: auto-replied", "Auto-Submitted: auto-replied"),
        ("auto-submitted: Auto-Generated (by cron)", "Auto-Submitted: auto-generated"),
        ("Auto-Submitted: auto-notified; owner-email=a@b", "Auto-Submitted: auto-notified"),
        ("Auto-Submitted: anything", "Auto-Submitted: anything"),
        (
            "Content-Type: multipart/report; report-type=delivery-status",
            "Content-Type: multipart/report",
        ),
        ("Content-type: Multipart/Report", "Content-Type: multipart/report"),
        ("X-Loop: jobs@gate.example.org", "X-Loop: this gateway"),
        ("X-Loop: <Jobs@Gate.Example.org>", "X-Loop: this gateway"),
        ("From: Jobs <Jobs@gate.example.org>", "From: this gateway"),
        ("From: jobs+job.k7q2m5xzab3c.KEY@gate.example.org", "From: this gateway"),
    ],
)
def test_a_sure_sign_is_sure(field, reason):
    found = judged("From: a@b.c", field) if "From" not in field else judged(field)
    assert (found.sure, found.reason) == (True, reason)


@pytest.mark.parametrize(
    "field",
    [
        "Precedence: bulk",
        "PRECEDENCE: Junk",
        "Precedence: list",
        "Precedence: auto_reply",
        "List-Id: <x.example.org>",
        "LIST-UNSUBSCRIBE: <mailto:x>",
        "List-Post: <mailto:x>",
        "Mailing-List: x",
        "X-Auto-Response-Suppress: All",
        "X-Autoreply: yes",
        "X-Autorespond: x",
        "X-Failed-Recipients: a@b",
        "X-Loop: someone else",
        "Return-Path: <>",
        "Return-Path: < >",
        "Return-Path: <MAILER-DAEMON@mx.example.org>",
        "From: MAILER-DAEMON@example.org",
        "From: Mail Delivery System <MAILER-DAEMON>",
        "From: MAILER-DAEMON (Mail Delivery System)",
        "From: postmaster@example.org",
        "From: noreply@example.org",
        "From: no-reply+x@example.org",
        "From: do-not-reply@example.org",
        "From: Mail Delivery Subsystem <x@example.org>",
    ],
)
def test_a_softer_sign_is_not_sure(field):
    found = judged(field) if field.startswith("From") else judged("From: a@b.c", field)
    assert not found.sure
    assert found.reason.lower().startswith(field.partition(":")[0].lower())


@pytest.mark.parametrize(
    "fields",
    [
        ("From: Ann <ann@example.org>", "Subject: tree for the globins"),
        ("From: a@b.c", "Auto-Submitted: no"),
        ("From: a@b.c", "Auto-Submitted: No (a person)"),
        ("From: a@b.c", "Auto-Submitted:"),
        ("From: a@b.c", "Precedence: normal"),
        ("From: a@b.c", "X-Auto-Response-Suppress: None"),
        ("From: a@b.c", "Return-Path: <a@b.c>"),
        ("From: a@b.c", "Content-Type: multipart/mixed; x=multipart/report"),
        ("From: a@b.c", "X-Loop-Of-Mine: x"),
        ("From: jobs@other.example.org",),
        ("From: jobsearch@gate.example.org",),
        ("From: bouncer@example.org",),
        ("From: noreplyanne@example.org",),
        (),
    ],
)
def test_a_persons_mail_has_no_sign(fields):
    assert judged(*fields) is None


def test_without_our_address_only_what_is_about_us_is_not_seen():
    header = Header.scan(b"From: jobs@gate.example.org\r\n\r\n")
    assert judge(header, "") is None
    assert judge(header, GATEWAY)


@pytest.mark.parametrize(
    ("body", "automatic"),
    [
        ("I am currently out of the office until Monday.", True),
        ("This is an automatic reply.", True),
        ("Your message to x@y could not be delivered.", True),
        ("Diese Nachricht wurde automatisch erstellt.", True),
        ("I'm currently out of office.", True),
        ("This is the mail system at host mx.example.org.", True),
        ("Delivery to the following recipient failed permanently:\n\n  x@y", True),
        ("   ----- Transcript of session follows -----\n550 5.1.1 no such user", True),
        ("Ich bin vom 1. bis 5. Juni nicht im Büro.", True),
        ("Je suis absent jusqu'au 3 juin.", True),
        ("Su mensaje no pudo ser entregado", True),
        ("Sono fuori ufficio fino al 3 giugno", True),
        ("Ik ben op vakantie tot 3 juni", True),
        ("Jag är på semester till den 3 juni", True),
        ("Jestem na urlopie do 3 czerwca", True),
        ("Я в отпуске до 3 июня", True),
        ("我正在休假", True),
        ("現在休暇中です", True),
        ("tree: upgma", False),
        ("I was on vacation last week, so this is late.", False),
        ("I am on leave-one-out validation now; please run it.", False),
        ("Ich bin im Labor; bitte im Büro melden.", False),
        ("Please align these for me; I deliver the rest on Monday.", False),
        ("> I am out of the office\n\ntree: upgma", False),
    ],
)
def test_a_responder_that_marks_itself_in_no_other_way_is_known_by_its_words(read, body, automatic):
    assert (read(f"From: a@b.c\n\n{body}\n").automatic is not None) == automatic


def test_a_report_inside_another_type_is_known_by_its_part(read):
    mail = (
        'From: a@b.c\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\nx\n--b\n'
        "Content-Type: message/delivery-status\n\nAction: failed\n--b--\n"
    )
    assert read(mail).automatic == "it holds a part of type message/delivery-status"


def test_a_calendars_answer_to_an_invitation_is_known_by_its_part(read):
    head = "From: a@b.c\nContent-Type: text/calendar; method="
    assert read(f"{head}REPLY\n\nBEGIN:VCALENDAR\n").automatic
    assert read(f"{head}PUBLISH\n\nBEGIN:VCALENDAR\n").automatic is None


BODIES = """\
Thanks for your message. I'm on parental leave until September.
I am travelling this week and have only intermittent access to email.
Greetings, I am at a conference this week. I will respond as soon as I can.
Our office is closed for the holidays and will reopen on 2 January.
My email address has changed. My new address is ann@b.c.
Please do not reply to this email. This mailbox is unattended.
We have received your message and a ticket has been created.
Thank you for getting in touch. A member of our team will get back to you within 24 hours.
This message has been automatically generated in response to the creation of a trouble ticket.
Delivery has failed to these recipients or groups: ann@b.c
Your message wasn't delivered to ann@b.c because the address couldn't be found.
Your mail to ann@b.c was rejected: 550 5.7.1 Message rejected as spam.
<ann@b.c>: host mx.b.c[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)
Your message was read on Monday, 3 June 2026 10:00:00.
You are not allowed to post to this mailing list, and your message has been rejected.
The message you sent requires that you verify that you are a human being.
Ich befinde mich in Elternzeit. Meine Vertretung ist Bob Example.
Vielen Dank für Ihre E-Mail. Wir werden uns so bald wie möglich bei Ihnen melden.
Ceci est une réponse automatique.|Este es un mensaje automático, por favor no responda.
Votre message a bien été reçu. Nous vous répondrons dans les meilleurs délais.
Questo è un messaggio automatico, si prega di non rispondere.|Bu otomatik bir yanıttır.
Ik ben met vakantie. Voor dringende zaken kunt u contact opnemen met ann@b.c.
Detta är ett automatiskt svar.|Tämä on automaattinen vastaus.|Toto je automatická odpověď.
Przebywam poza biurem. To jest automatyczna odpowiedź.|Это автоматический ответ.
Gracias por contactar con nosotros. Le responderemos pronto.|Jsem na dovolené do 5. června.
Your support request was received.|Ada no longer works here; please write to the office.
The following addresses failed: <ann@b.c>|The email account that you tried to reach does not exist.
Bis zum 12. Juni bin ich im Urlaub und lese keine Mails.|Unser Büro ist bis zum 2. Januar geschlossen.
您好，您的邮件已收到，我会尽快回复。|このメールは自動返信です。|이 메일은 자동으로 발송되었습니다."""


@pytest.mark.parametrize("body", BODIES.replace("\n", "|").split("|"))
def test_machines_are_known_by_what_they_say_of_themselves_and_who_they_stand_for(read, body):
    mail = f"From: a@b.c\nContent-Type: text/plain; charset=utf-8\nSubject: Re: x\n\n{body}\n"
    assert read(mail).automatic


PEOPLE = r"""Carol is on vacation, so ask me about the reads.
Your e-mail made my day. I will answer in detail tonight.
Ticket 4711 was created by me by mistake. Close it.
She is away from home until May. Water her plants.
He recibido su mensaje, gracias.
数据已经收到，谢谢。
Hi Bob,\n\nI will be on vacation next week, can you run it before Friday?
I got this today, what does it mean?\n\nThis is the mail system at host mx.b.c.
I get the error message "message could not be delivered" since Monday.
My mail to Carol came back with "550 5.1.1 User unknown".
The parcel could not be delivered, so I will bring the samples.
ich bin vom 1. bis 14. Juni im Urlaub, kannst du so lange auf die Jobs achten?
Bonjour Bob, je suis en vacances à partir de lundi. Peux-tu prolonger mes calculs ?
Боб, я в отпуске с понедельника. Можешь продлить мои задачи?
来週休暇を取ります。ジョブを延長してもらえますか?
Extend 14d\n\nI am on vacation from Monday and will look at it when I am back.
Status\n\nI am on leave until Monday.
extend 14d\n\nI am on vacation from Monday and will look at it when I am back.
watch bob@b.c\n\nI am out of the office until Monday, Bob looks after it.
Our office is closed on Friday. Please plan the runs accordingly.
I was out of the office until Monday, and answer only now.
This message was scanned automatically for viruses.
Please turn off the automatic replies.
Thank you for your message, I received the results.
rerun\n\nThe message you sent was returned, my mailbox is over quota.
tree: upgma\n\nThe mail with my sequences was rejected as too big, so this is a smaller file.
552 sequences from mouse, as you asked.
my job ran out of memory after three rounds. I will return to the old settings."""


@pytest.mark.parametrize("body", [line.replace("\\n", "\n") for line in PEOPLE.split("\n")])
def test_who_writes_about_machines_and_vacations_is_no_machine(read, body):
    mail = f"From: a@b.c\nContent-Type: text/plain; charset=utf-8\nSubject: x\n\n{body}\n"
    assert read(mail).automatic is None


@pytest.mark.parametrize(
    "address", ["delivery.team", "bounce.house", "vacation.rentals", "info", "support", "root"]
)
def test_an_office_that_is_no_machine_may_write(read, address):
    assert read(f"From: {address}@b.c\nSubject: tree\n\ntree: sl\n").automatic is None


@pytest.mark.parametrize(
    "sender",
    ["Monit <m@b.c>", "nagios-admins@b.c", "gitlab-support@b.c", "printer-admin@b.c"]
    + ["newsletter-editor@b.c", "scanner-lab@b.c", "slurm-users@b.c"],
)
def test_people_who_look_after_a_machine_or_have_its_name_may_write(read, sender):
    assert read(f"From: {sender}\nSubject: tree\n\ntree: sl\n").automatic is None


@pytest.mark.parametrize("piece", ["autorepl", "-oof"])
def test_a_field_whose_name_has_no_end_takes_no_time(piece):
    header = Header.scan(f"From: a@b.c\r\nx-{piece * 5000}!: x\r\n\r\n".encode())
    began = time.process_time()
    assert judge(header, "jobs@gate.example.org") is None
    assert time.process_time() - began < 0.3


@pytest.mark.parametrize("piece", ["-", ".", "[", "- ", "a.", "a "])
def test_a_subject_of_nothing_but_marks_takes_no_time(read, piece):
    began = time.process_time()
    read(f"From: a@b.c\nSubject: Undeliverable: {piece * 1000}\n\ntree: sl\n")
    assert time.process_time() - began < 0.3


def test_more_than_twenty_servers_are_a_circle():
    hops = [f"Received: from a by b; {n}" for n in range(21)]
    assert not is_going_in_circles(Header.scan("\r\n".join([*hops[:20], "", ""]).encode()))
    assert is_going_in_circles(Header.scan("\r\n".join([*hops, "", ""]).encode()))


SUBJECTS = """\
Non remis : bonjour|No se puede entregar: hola|Non recapitabile: ciao|Onbestelbaar: hallo
Kan ikke leveres: hej|Nelze doručit: ahoj|Недоставленное: привет|无法传递: x|配信不能: x
Mail System Error - Returned Mail|Message could not be delivered|Permanent Delivery Failure
Your mail could not be delivered|Email Delivery Failure|Mailbox full|NDN: hello
Fehler bei der Zustellung|Échec de la remise|Mancata consegna|Falha na entrega|系统退信
Read receipt: x|Lesebestätigung: x|OOO: x|Re: x (Out of Office)|Abwesend: x|Nicht im Büro
Estoy de vacaciones|Sono in ferie|Automatiskt svar: x|Automaattinen vastaus: x
Automatikus válasz: x|Автоматична відповідь: x|Автоматичен отговор: x|Răspuns automat: x
Αυτόματη απάντηση: x|休暇中|자동 회신: x|תשובה אוטומטית: x|رد تلقائي: x|Trả lời tự động: x
ตอบกลับอัตโนมัติ: x|Re: x [auto-reply]|We have received your message|Annual leave: x
Ann is out of the office.|On annual leave|Your request (4711) has been received|OOF: x|Autoantwort
[RT #4711] AutoReply: x|Sorry, your message could not be delivered|NOTICE: mail delivery status.
Your message to LIST has been rejected|Post by non-member to a members-only list|Accusé de réception
Ihre Nachricht konnte nicht zugestellt werden|Não entregue: x|Niet op kantoor|Lomalla|В отпуске
我不在办公室|メールを配信できませんでした|מענה אוטומטי: x|خارج المكتب|Нет на месте: x|Read: x|Auto: x
Mensaje automático|Messaggio automatico|Réponse d'absence du bureau|Автоматическое уведомление
Informacja o nieobecności|Távolléti értesítés|Poissaoloviesti|Уведомление об отсутствии|自动应答
Nicht zugestellt: x|Nachricht nicht zugestellt|Entrega fallida|Bezorging mislukt|Niet afgeleverd: x
Meddelandet kunde inte levereras|Zpráva nebyla doručena|Сообщение не может быть доставлено
邮件发送失败|Teslimat başarısız|Leesbevestiging|Potwierdzenie przeczytania|Conferma di ricezione
Votre demande a été enregistrée|Ihr Ticket wurde erstellt|Ann Example ist nicht im Büro|[OOO] x
Postmaster notify: see transcript for details|Delivery failure for ann@b.c
Undelivered Mail Returned to Sender|Out of Office: your mail|=?utf-8?q?R=C3=A9ponse_automatique?=
Automatic reply: x|Abwesenheitsnotiz|Delivery Status Notification (Failure)|failure notice"""


@pytest.mark.parametrize("subject", SUBJECTS.replace("\n", "|").split("|"))
def test_machines_are_known_by_their_subjects_in_many_languages(read, subject):
    for body in ("", "Best wishes.\n"):
        assert read(f"From: a@b.c\nSubject: {subject}\n\n{body}").automatic


REQUESTS = """\
Read: mapping run|Rejected: model 3|Auto: tree upgma|away: distance matrix
Transmission error model|absent gene message|Out of office: tree"""


@pytest.mark.parametrize("subject", REQUESTS.replace("\n", "|").split("|"))
def test_whose_text_wants_something_is_served_whatever_the_subject(read, subject):
    head = f"From: a@b.c\nSubject: {subject}\n"
    assert judge(Header.scan(f"{head}\n".encode()), GATEWAY) is None
    for body in ("tree: upgma\n", "Hi Bob,\n\nplease map the reads.\n", "status\n"):
        assert read(f"{head}\n{body}").automatic is None


@pytest.mark.parametrize(
    "body",
    [
        "I read it on Monday.",
        "Hi Ann,\n\nI am on vacation until Monday. Please map the reads yourself.",
        "Dear Ann,\n\nI am out of the office.\n\nAny questions? Ask Bob.",
    ],
)
def test_absence_counts_below_a_machines_subject_whatever_else_is_said(read, body):
    assert read(f"From: a@b.c\nSubject: Out of office: x\n\n{body}\n").automatic


def test_the_told_field_is_the_first_in_the_mail():
    names = ["X-Autoreply", "List-Id", "X-Loop", "List-Post", "X-Cron-Env", "X-Vacation"]
    for first in names:
        others = [f"{name}: x" for name in names if name != first]
        assert judged("From: a@b.c", f"{first}: x", *others).reason == f"{first}: x"


@pytest.mark.parametrize(
    "subject",
    [
        "Re: Message delivery schedule",
        "Absent values in alignment",
        "Automatic annotation of genes",
        "auto: yes",
        "on leave-one-out validation",
        "Challenge data set",
        "User unknown to me",
        "Could not send yesterday",
        "Verify your results?",
        "Read: 30x",
        "Urlaub 2026 data",
        "Holiday data",
        "Status of my job",
        "Returned samples",
        "Out of office next week",
        "Automatic reply feature",
        "Undelivered mails?",
        "Delivery problems with the enzymes",
        "Mailbox full of results",
        "Failed delivery of plates",
        "Status of your message",
        "Challenge 3: structure prediction",
        "on vacation from Monday",
        "Urlaub",
        "Urlaubsplanung 2026",
        "Automatische Auswertung",
        "Frage zur automatischen Antwort",
        "Antwort auf deine Mail",
        "Nicht lesbare Dateien",
        "Nachricht nicht verstanden",
        "Bericht: nicht signifikant",
        "Absence de signal",
        "Message non lu",
        "Votre programme a planté",
        "Respuesta a tu pregunta",
        "Error en el archivo",
        "La sua opinione",
        "Svar på din fråga",
        "Nie rozumiem",
        "Ответ на вопрос",
        "Письмо от Боба",
        "树的问题",
        "返信お願いします",
        "Error distribution of branch lengths",
        "Non-distributed run",
        "non distributed BLAST",
        "No clever title",
        "Virus found in bat samples",
        "Automaton with message passing",
        "Automated email corpus",
        "Re: Undelivered Mail Returned to Sender",
        "Failed again",
        "Autonomous vehicles",
        "Reading list",
        "Automatic alignment of globins",
        "on vacancies",
        "Delivery of the samples",
    ],
)
def test_a_persons_subject_is_no_machines(read, subject):
    assert read(f"From: a@b.c\nSubject: {subject}\n\n").automatic is None


@pytest.mark.parametrize(
    "field",
    [
        "X-Auto-Reply-From: x",
        "X-AutoReply-Domain: x",
        "X-FreeMail-Responder: yes",
        "X-Mailer: vacation 1.2",
        "X-Mailer: osTicket Mailer",
        "X-JIRA-FingerPrint: x",
        "X-Listserver: x",
        "X-MS-Exchange-Message-Is-Ndr:",
        "X-Boxbe-Notice: x",
        "X-Zimbra-OOO: x",
        "From: post_master@b.c",
        "From: keine-antwort@b.c",
        "From: dont-reply@b.c",
        "From: team-bounces@b.c",
        "X-POST-MessageClass: 9; Autoresponder",
        "Preference: auto_reply",
        "From: nicht-antworten@b.c",
        "From: mail-noreply@b.c",
        "From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@b.c>",
    ],
)
def test_machines_are_known_by_what_only_they_write(read, field):
    head = field if field.startswith("From") else f"From: a@b.c\n{field}"
    assert read(f"{head}\nSubject: hello\n\nx\n").automatic
