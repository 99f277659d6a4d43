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
        "From: MAILER-DAEMON@example.org",
        "From: Mail Delivery System <MAILER-DAEMON>",
        "From: MAILER-DAEMON (Mail Delivery System)",
        "From: postmaster@example.org",
        "From: noreply@example.org",
        "From: no-reply+x@example.org",
        "From: do-not-reply@example.org",
        "From: Mail Delivery Subsystem <x@example.org>",
        "Subject: Undelivered Mail Returned to Sender",
        "Subject: Out of Office: your mail",
        "Subject: Automatic reply: x",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique?=",
        "Subject: Abwesenheitsnotiz",
        "Subject: Delivery Status Notification (Failure)",
        "Subject: failure notice",
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
        ("From: a@b.c", "Subject: Re: Undelivered Mail Returned to Sender"),
        ("From: a@b.c", "Subject: Failed again"),
        ("From: a@b.c", "Subject: Autonomous vehicles"),
        ("From: a@b.c", "Subject: Reading list"),
        ("From: a@b.c", "Subject: Automatic alignment of globins"),
        ("From: a@b.c", "Subject: on vacancies"),
        ("From: a@b.c", "Subject: Delivery of the samples"),
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
ตอบกลับอัตโนมัติ: x|Re: x [auto-reply]|We have received your message|Annual leave: x"""


@pytest.mark.parametrize("subject", SUBJECTS.replace("\n", "|").split("|"))
def test_machines_are_known_by_their_subjects_in_many_languages(read, subject):
    assert read(f"From: a@b.c\nSubject: {subject}\n\nx\n").automatic


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
    ],
)
def test_a_persons_subject_is_no_machines(read, subject):
    assert read(f"From: a@b.c\nSubject: {subject}\n\ntree: sl\n").automatic is None


@pytest.mark.parametrize(
    "field",
    [
        "X-Auto-Reply-From: x",
        "X-AutoReply-Domain: x",
        "X-FreeMail-Responder: yes",
        "X-Mailer: vacation 1.2",
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
