import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.parse.html import MAX_HTML
from mailgate.parse.text import MAX_LINES, from_html, from_plain
from mailgate.saying import Saying


def plain(text: str, *, reply: bool = False) -> str:
    return "\n".join(from_plain(text, flowed=False, delsp=False, reply=reply).lines)


def flowed(text: str, *, delsp: bool = False) -> str:
    return "\n".join(from_plain(text, flowed=True, delsp=delsp, reply=False).lines)


# --- quotes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("yes\n\n> no\n>> never\n>not\n", "yes"),
        ("> no\n\nyes\n", "yes"),
        ("one\n> no\ntwo\n> no\nthree\n", "one\ntwo\nthree"),
        ("> cancel\n", ""),
        ("yes\n  > indented\n", "yes"),
        (
            "yes\n\n> a line that the answering program has wrapped because it was far too\nlong\n> no\n",
            "yes",
        ),
        ("yes\n\n> see (http://example.org/a\nb) >\n> no\n", "yes"),
        ("yes\n\n> no\n<http://example.org/x>\n> no\n", "yes"),
        ("> Shall it run?\nyes\n> How long?\n2h\n", "yes\n2h"),
        ("ok\n\nOn 1 Mar 2024 at 10:20, Bob <b@c.d> wrote:\n> no\n\nJD> no\nlast\n", "ok\n\nlast"),
    ],
)
def test_a_quoted_line_is_never_the_persons_own(text, own):
    assert plain(text) == own


ATTRIBUTIONS = """\
On Mon, Mar 12, 2018 at 10:20 AM, Bob Smith <bob@example.org> wrote:
On Mon, Mar 12, 2018 at 10:20 AM Bob Smith <bob@example.org> wrote:
On Mon, 12 Mar 2018 10:20:00 +0000, Bob Smith wrote:
On 12 Mar 2018, at 10:20, Bob Smith <bob@example.org> wrote:
On 2018-03-12 10:20, Bob Smith wrote:
On 3/12/18, 10:20 AM, "Bob Smith" <bob@example.org> wrote:
At 3/12/2018 10:20 AM, you wrote:
Bob Smith <bob@example.org> wrote:
Bob Smith <bob@example.org> writes:
Le lun. 12 mars 2018 à 10:20, Bob <bob@example.org> a écrit :
Le 12/03/2018 à 10:20, Bob Smith a écrit :
Am 12.03.2018 um 10:20 schrieb Bob Smith <bob@example.org>:
Am Mo., 12. März 2018 um 10:20 Uhr schrieb Bob <bob@example.org>:
Bob <bob@example.org> schrieb am Mo., 12. März 2018, 10:20:
El lun., 12 de mar. de 2018 a la(s) 10:20, Bob (bob@example.org) escribió:
El 12/03/2018 10:20, Bob Smith escribió:
Il giorno lun 12 mar 2018 alle ore 10:20 Bob <bob@example.org> ha scritto:
Em seg, 12 de mar de 2018 às 10:20, Bob <bob@example.org> escreveu:
Op ma 12 mrt. 2018 om 10:20 schreef Bob <bob@example.org>:
Op 12 mrt. 2018, om 10:20 heeft Bob <bob@example.org> het volgende geschreven:
Den mån 12 mars 2018 kl 10:20 skrev Bob <bob@example.org>:
Den 12/03/2018 kl. 10.20 skrev Bob Smith:
ma 12. maalisk. 2018 klo 10.20 Bob (bob@example.org) kirjoitti:
W dniu 12.03.2018 o 10:20, Bob Smith pisze/napisał:
pon., 12 mar 2018 o 10:20 Bob <bob@example.org> napisał(a):
po 12. 3. 2018 v 10:20 odesílatel Bob <bob@example.org> napsal:
Dňa 12. 3. 2018 o 10:20 Bob Smith napísal(a):
Bob <bob@example.org> ezt írta (időpont: 2018. márc. 12., H, 10:20):
пн, 12 мар. 2018 г. в 10:20, Bob <bob@example.org>:
12.03.2018 10:20, Bob Smith пишет:
понедельник, 12 марта 2018 г. пользователь Bob написал:
пн, 12 бер. 2018 о 10:20 Bob <bob@example.org> пише:
На пн, 12.03.2018 г. в 10:20 Bob <bob@example.org> написа:
Στις Δευ, 12 Μαρ 2018 στις 10:20 π.μ., ο χρήστης Bob <bob@example.org> έγραψε:
Bob <bob@example.org>, 12 Mar 2018 Pzt, 10:20 tarihinde şunu yazdı:
2018年3月12日(月) 10:20 Bob <bob@example.org>:
Bob <bob@example.org> 于2018年3月12日周一 上午10:20写道：
2018년 3월 12일 (월) 오전 10:20, Bob <bob@example.org>님이 작성:
Vào Th 2, 12 thg 3, 2018 vào lúc 10:20 Bob <bob@example.org> đã viết:
2018-03-12 10:20 GMT+01:00 Bob Smith <bob@example.org>:
2018/3/12 Bob Smith <bob@example.org>
---- On Mon, 12 Mar 2018 10:20:00 +0000 Bob <bob@example.org> wrote ----
-----Original Message-----
-------- Original message --------
----- Ursprüngliche Nachricht -----
-----Message d'origine-----
-----Mensaje original-----
----- Messaggio originale -----
-----Oprindelig meddelelse-----
---------- Forwarded message ---------
Begin forwarded message:
##- Please type your reply above this line -##
""".splitlines()


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_an_attribution_is_cut_with_all_that_it_introduces(attribution):
    assert plain(f"yes\n\n{attribution}\n> cancel\n") == "yes"
    assert plain(f"yes\n\n{attribution}\n\ncancel\n") == "yes"
    assert plain(f"{attribution}\n\ncancel\n") == ""


@pytest.mark.parametrize("attribution", [a for a in ATTRIBUTIONS if "@" in a and a[0] != "-"])
def test_a_wrapped_attribution_is_cut_whole(attribution):
    words = attribution.split(" ")
    for at in range(1, len(words)):
        first, second = " ".join(words[:at]), " ".join(words[at:])
        if len(first) >= 25:  # narrower than any mail program wraps
            assert plain(f"yes\n\n{first}\n{second}\n\n> cancel\n") == "yes"


@pytest.mark.parametrize(
    "block",
    [
        "From: Bob <bob@example.org>\nSent: Monday\nTo: Ann\nSubject: x",
        "*From:* Bob\n*Sent:* Monday\n*To:* Ann\n*Subject:* x",
        "Von: Bob <bob@example.org>\nGesendet: Montag\nAn: Ann\nBetreff: x",
        "De : Bob\nEnvoyé : lundi\nÀ : Ann\nObjet : x",
        "De: Bob\nEnviado el: lunes\nPara: Ann\nAsunto: x",
        "Da: Bob\nData: lunedì\nA: Ann\nOggetto: x",
        "Från: Bob\nSkickat: den 5 juni\nTill: Ann\nÄmne: x",
        "От: Bob\nОтправлено: понедельник\nКому: Ann\nТема: x",
        "发件人: Bob\n发送时间: 2018年\n收件人: Ann\n主题: x",
        "Date: Mon, 12 Mar 2018 10:20:00 +0000\nFrom: bob@example.org\nTo: ann",
        "________________________________\nFrom: Bob\nSent: Monday\nTo: Ann\nSubject: x",
    ],
)
def test_the_header_of_a_quoted_mail_ends_the_text(block):
    assert plain(f"yes\n\n{block}\n\ncancel\n") == "yes"


@pytest.mark.parametrize(
    "text",
    [
        "from: 3\nto: 20\ndate: 2020-01-01",
        "subject: x\nfrom: 2\nto: 3",
        "mail: a@b.c\nlabel: 2018-03-12 10:20 test:",
        "ref: a@b.c:\nwhen: 2020-01-01 10:20:\nx: 1",
        "On 2020-01-01 we ran:\n1\n2\n3",
        "note: Bob wrote it in 2018:\nx: 1",
        "Tree: upgma\nLabel: Bob <b@c.d> wrote 2018-03-12 10:20:\nx: 1",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "label: x\n\n2016-03-03 17:21 start\n2016-03-03 17:22 end",
        "1. foo\n2. bar:\n- baz\n-- qux --",
        "```\n# code\n####\n```\nend",
        "x: -- y",
    ],
)
def test_what_only_resembles_a_quote_stays(text):
    assert plain(text) == text


# --- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nAnn\ncancel",
        "--\nAnn",
        "—\nAnn",
        "_______________________________________________\nlist mailing list\nlist@example.org",
        "Sent from my iPhone",
        "Sent from Mail for Windows",
        "Get Outlook for iOS<https://aka.ms/x>",
        "Envoyé de mon iPhone",
        "Von meinem iPhone gesendet",
        "Gesendet von Mail für Windows",
        "Enviado desde mi iPhone",
        "Inviato da iPhone",
        "Verzonden vanaf mijn iPhone",
        "Skickat från min iPhone",
        "Отправлено с iPhone",
        "发自我的 iPhone",
        "iPhoneから送信",
        "----------",
    ],
)
def test_a_signature_is_cut(signature):
    assert plain(f"yes\n\n{signature}\n") == "yes"
    assert (
        plain(f"yes\n\n{signature}\n\nOn 1 Mar 2024 at 10:20, Bob <b@c.d> wrote:\n> no\n") == "yes"
    )


def test_two_dashes_amid_long_data_are_no_signature():
    data = "\n".join(f"row {n}" for n in range(40))
    assert plain(f"a\n--\n{data}") == f"a\n--\n{data}"


# --- data in the body -----------------------------------------------------------------------------

FASTA = """\
tree: upgma

>sp|P69905|HBA_HUMAN Hemoglobin subunit alpha OS=Homo sapiens
MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALS
DLHAHKLRVDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR
>b
MKV
>c
ac-gt*"""


def test_sequences_in_the_body_are_no_quotes():
    assert plain(FASTA) == FASTA


def test_sequences_in_an_answer_are_taken_for_quotes_and_told():
    found = from_plain(FASTA, flowed=False, delsp=False, reply=True)
    assert not any(line.startswith(">") for line in found.lines)
    assert found.defects


@pytest.mark.parametrize(
    "text",
    [
        ">Do you want it?\nYES\n>And now?\nNO",
        ">tree: upgma\nSLOW",
        "> a\nMKV",
        ">>a\nMKV",
        ">a\nMKV\n> quoted\nMKV",
        ">a\n>b\nMKV",
        "text above.\n>a\nMKV",
        ">a\n\nMKV",
    ],
)
def test_quotes_that_resemble_sequences_are_cut(text):
    assert not any(line.startswith(">") for line in plain(text).splitlines())


def test_a_body_below_the_request_is_line_by_line_as_sent():
    body = "\n".join(["A" * 80, "B" * 80, "  two  blanks ", "", "x\ty", "c: " + "d " * 38, "e"])
    assert plain(f"k: v\n\n{body}") == f"k: v\n\n{body}"


def test_only_line_feeds_and_carriage_returns_end_a_line():
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f"
    assert from_plain(text, flowed=False, delsp=False, reply=False).lines == (text,)
    assert plain("a\r\nb\rc\nd") == "a\nb\nc\nd"


# --- wrapped lines --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        (
            "command: blastp -query in.fa -db swissprot -evalue 1e-5 -outfmt 6 -num_threads\n"
            "4 -out x\nlabel: y",
            "command: blastp -query in.fa -db swissprot -evalue 1e-5 -outfmt 6 -num_threads "
            "4 -out x\nlabel: y",
        ),
        (
            "label: " + "word " * 13 + "\n" + "word " * 14 + "\nend",
            "label: " + "word " * 13 + "word " * 13 + "word end",
        ),
        ("label: short\nnext line", "label: short\nnext line"),
        ("a: " + "x " * 35 + "\nb: 1", "a: " + "x " * 35 + "\nb: 1"),
        ("a: " + "x " * 35 + "\nb = 1", "a: " + "x " * 35 + "\nb = 1"),
        ("a: " + "x" * 100 + "\nb", "a: " + "x" * 100 + "\nb"),
        ("A" * 70 + "\n" + "C" * 70, "A" * 70 + "\n" + "C" * 70),
        ("a: b\n\nc: " + "x " * 38 + "\nd", "a: b\n\nc: " + "x " * 38 + "\nd"),
    ],
)
def test_a_request_line_that_was_wrapped_is_joined_and_nothing_else(text, joined):
    assert plain(text) == joined


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("a \nb\nc", "a b\nc"),
        ("> a \n> b\nc", "c"),
        (" >seq\nMKV", ">seq\nMKV"),
        (" From x", "From x"),
        ("a\n-- \nAnn", "a"),
        ("a \n> b\nc", "a \nc"),
        ("-- \n", ""),
    ],
)
def test_format_flowed_is_joined_as_it_says(text, own):
    assert flowed(text) == own


def test_delsp_drops_the_blank_that_only_marks_the_break():
    assert flowed("re \nsult", delsp=True) == "result"


# --- HTML -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div><div><br></div><div>b</div>", "a\n\nb"),
        ('<p class="MsoNormal">a</p><p class="MsoNormal">b</p>', "a\nb"),
        ("<p class=MsoNormal>a</p><p class=MsoNormal>&nbsp;</p><p class=MsoNormal>b</p>", "a\n\nb"),
        ("<p>a\n  b&nbsp;c &lt;d&gt; &amp;</p>", "a b c <d> &"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<style>x</style><script>y</script><title>z</title>a<!-- b -->", "a"),
        ('a<div style="display:none">b</div><span hidden>c</span>', "a"),
        ("yes<blockquote>no</blockquote>", "yes"),
        ("status<blockquote>no</blockquote>cancel", "status\ncancel"),
        ('yes<div class="gmail_quote">On x wrote:<blockquote>no</blockquote></div>', "yes"),
        ('yes<div class="moz-cite-prefix">On x wrote:</div><blockquote>no</blockquote>', "yes"),
        ('yes<hr><div id="divRplyFwdMsg"><b>From:</b> B</div><div>no</div>', "yes"),
        ('yes<div id="appendonsend"></div><p>no</p>', "yes"),
        (
            "yes<div><b>From:</b> B<br><b>Sent:</b> Mon<br><b>To:</b> A<br><b>Subject:</b> x</div>no",
            "yes",
        ),
        ("yes<p>On 1 Mar 2024 at 10:20, Bob &lt;b@c.d&gt; wrote:</p><p>no</p>", "yes"),
        ("yes<br>&gt; no", "yes"),
        ('yes<div class="gmail_signature">Ann</div>', "yes"),
        ("", ""),
        ("<", "<"),
    ],
)
def test_html_becomes_the_lines_that_the_person_wrote(html, text):
    assert "\n".join(from_html(html, reply=False).lines) == text


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000,
        "".join(f"<font color={n}><p>x" for n in range(20_000)),
        "<select><b>" * 50_000,
        "<option><optgroup>" * 50_000,
        "<table><i>" * 50_000,
    ],
    ids=lambda html: html[:20],
)
def test_html_that_would_stall_the_parser_is_not_read_and_told(html):
    found = from_html(html, reply=False)
    assert (found.lines, found.cut) == ((), True)
    assert found.defects == (Saying("damage/html-tangled"),)


def test_html_that_is_too_long_is_cut_and_told():
    found = from_html("<p>run" + " " * MAX_HTML, reply=False)
    assert (found.cut, found.defects) == (True, (Saying("damage/html-cut"),))


def test_ordinary_deep_and_unclosed_html_is_read():
    assert from_html("<div><span><font>" * 100 + "x", reply=False).lines == ("x",)
    assert from_html("<ul><li>x<li>y</ul>" * 2000, reply=False).lines[:2] == ("x", "y")


# --- all ways -------------------------------------------------------------------------------------

lines = st.lists(
    st.one_of(
        st.sampled_from(
            [*ATTRIBUTIONS, "-- ", "", "key: value", ">", "> x", ">a", "MKV", "From: a@b", "To: x"]
        ),
        st.text(max_size=30),
    ),
    max_size=30,
).map("\n".join)


@given(lines, st.booleans(), st.booleans(), st.booleans())
def test_no_text_raises_and_no_line_is_invented(text, is_flowed, delsp, reply):
    found = from_plain(text, flowed=is_flowed, delsp=delsp, reply=reply)
    assert all("\n" not in line for line in found.lines)
    assert sum(map(len, found.lines)) <= len(text)
    if reply and not is_flowed:
        assert not any(line.lstrip().startswith(">") for line in found.lines)


@given(st.text(alphabet="<>/abdivplockquote =\"'&;#x\n", max_size=200))
def test_no_html_raises(html):
    assert all("\n" not in line for line in from_html(html, reply=False).lines)


@pytest.mark.parametrize(
    "line",
    [
        "some words in a line here wrote:",
        "at 10:20 a@b.c wrote:",
        "key: value",
        "From: a@b",
        "--",
        "-----Original x-----",
        "> x",
        "<<<<<<<<<< wrote:",
        "> wrote:",
        "2016-03-03 17:21 x",
        "Sent from x",
    ],
)
def test_a_text_of_nothing_but_doubts_is_read_in_linear_time(line, calls_of):
    text = f"{line}\n" * 3000
    assert calls_of(lambda: plain(text)) < 3000 * 250


def test_more_lines_than_the_cap_are_cut():
    found = from_plain("x\n" * (MAX_LINES + 5), flowed=False, delsp=False, reply=False)
    assert found.cut
    assert len(found.lines) == MAX_LINES


@pytest.mark.parametrize(
    "text",
    [
        "label: " + "y" * 70 + "\n" + f"{'a' * 40}\n" * (MAX_LINES - 10),
        "x" + " " * 8_000_000,
        " " * 8_000_000 + "x",
        "label: " + "y" * 70 + "\n" + "a" + " " * 8_000_000 + "x",
    ],
    ids=["wrapped", "blanks behind", "blanks before", "blanks within"],
)
def test_eight_million_characters_of_one_line_are_read_at_once(text):
    began = time.process_time()
    from_plain(text, flowed=False, delsp=False, reply=False)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("line", ["_" * 200, "-" * 199, "* " * 100, "-=_*" * 50])
def test_lines_that_are_rules_and_nothing_else_are_read_in_no_time(line):
    began = time.process_time()
    from_plain(f"{line}\n" * 5000, flowed=False, delsp=False, reply=True)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "original",
    [
        "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----",
        "2013/1/24 <bob@example.org>\n\nno",
        "Vom Tablet gesendet\n\n-------- Ursprüngliche Nachricht --------\nVon: x",
        "Sent from Yahoo Mail on Android \n \n  On Mon, Mar 12, 2018 at 10:20, Bob<b@c.d> wrote:   x",
        "‐‐‐‐‐‐‐ Original Message ‐‐‐‐‐‐‐\nOn Monday, March 12, 2018 10:20 AM, Bob <b@c> wrote:\n",
        ">>> Bob <b@c.d> 12.03.18 10:20 >>>\nno",
        "------------------ Original ------------------\nno",
    ],
)
def test_what_few_programs_write_above_the_original_ends_the_text(original):
    assert plain(f"yes\n\n{original}\nno\n", reply=True) == "yes"
    assert flowed(f"yes\n\n{original}\nno\n") == "yes"


def test_the_armour_of_a_signed_text_is_no_part_of_it():
    text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\ntree: sl\n- -- x\n"
    end = "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n"
    assert plain(text + end) == "tree: sl\n-- x"
    assert flowed(text + end) == "tree: sl\n-- x"
    assert plain("-----BEGIN PGP SIGNED MESSAGE-----\nno armour") != "no armour"


@pytest.mark.parametrize(
    "attribution",
    [
        "On today, mailgate wrote:",
        "mailgate wrote:",
        "jobs@gate.example.org schrieb:",
        "On Sun, 22 Nov 2026\nat 07:20, mailgate\n<jobs@gate.example.org> wrote:",
    ],
)
@pytest.mark.parametrize("between", ["", "\n"], ids=["right-above", "blank-between"])
def test_a_date_among_the_persons_own_lines_is_no_part_of_the_attribution(
    attribution: str, between: str
) -> None:
    own = ["status", "keep until 2027-01-31", "notify start", "unwatch bob@example.org"]
    text = "\n".join([*own, between + attribution, "> status", "> cancel", ""])
    assert plain(text, reply=True).rstrip() == "\n".join(own)


def test_a_key_with_an_address_right_above_a_quote_is_no_attribution(read):
    assert read("From: a@b.c\n\nwatch: d@e.f\n> On Monday\n").lines == ("watch: d@e.f",)
