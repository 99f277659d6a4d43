"""A mail's lines as commands: each accounted for, and no quoted one among them."""

import io
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.model import Script, Stop
from mailgate.parse.commands import MOST_COMMANDS, Grammar, confirms, read_commands, service_named
from mailgate.parse.message import read_message
from tests.reply.golden import letters
from tests.reply.letters import read, text

GRAMMAR = Grammar(
    names={
        "status": (),
        "cancel": ("stop", "abort"),
        "hold": ("pause",),
        "destroy": (),
        "results": (),
        "rerun": (),
        "release": (),
        "keep": (),
        "extend": (),
        "notify": (),
        "confirm": (),
        "help": (),
        "quit": (),
    },
    with_lines=frozenset({"rerun"}),
)


def script(body: str, *, subject: str = "", reply: bool = True) -> Script:
    headers = f"Subject: {subject}\n" + ("In-Reply-To: <1@gate.example.org>\n" if reply else "")
    raw = f"From: ada@example.org\n{headers}\n{body}".encode("utf-8", "surrogateescape")
    return read_commands(read_message(io.BytesIO(raw)), GRAMMAR)


def names(body: str, **more: str) -> list[str]:
    return [line.name for line in script(body, **more).lines if line.name]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("status\ncancel\n", [("status", ()), ("cancel", ())]),
        ("Status.\n\n\n  CANCEL!\n", [("status", ()), ("cancel", ())]),
        ('"status"\n', [("status", ())]),
        ("extend 7d\n", [("extend", ("7d",))]),
        ("extend: 7d\n", [("extend", ("7d",))]),
        ("keep until 2027-01-31.\n", [("keep", ("until", "2027-01-31"))]),
        ("status [job k7q2m5xzab3c]\n", [("status", ("k7q2m5xzab3c",))]),
        ("Hello,\nstatus\nThanks, Ada\ncancel\n", [("status", ())]),
        ("status\nquit\ncancel\n", [("status", ()), ("quit", ())]),
        ("status\n-- \nAda\ncancel\n", [("status", ())]),
        ("status\n\nOn 1 Mar 2024 at 10:20, Bob <b@c.d> wrote:\ncancel\n", [("status", ())]),
        ("status\n> cancel\nextend 7d\n", [("status", ())]),
        ("> cancel\n> destroy\n\nstatus\n", [("status", ())]),
        ("> a\ncancel\n> b\nstatus\n", [("status", ())]),
        ("> a\ncancel\n> b\n", []),
        ("a\nb\nc\nd\ne\nstatus\n", []),
        ("status\nReply with one of\n  cancel\n", [("status", ())]),
        ("  > help cancel\n    It is written\n      cancel\n", []),
        ("status\nTo get it, reply with a line such as\n  cancel\n", [("status", ())]),
        ("status\nTo get no more of these, reply with\n  cancel\n", [("status", ())]),
    ],
)
def test_lines_are_commands_down_to_what_ends_them(
    body: str, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = [(line.name, line.words) for line in script(body).lines if line.name]
    assert found == expected


def test_lines_below_a_command_that_takes_them_are_its_own() -> None:
    (rerun, status) = script("rerun\nmemory: 16 GiB\n\nkeep: 30d\nstatus\n").lines
    assert (rerun.name, rerun.lines) == ("rerun", ("memory: 16 GiB", "keep: 30d"))
    assert status.name == "status"


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("pause", "hold"),
        ("statsu", "status"),
        ("statuss", "status"),
        ("reslts", "results"),
        ("hild", "hold"),
        ("please stop it", "cancel"),
        ("please, how is my job?", ""),
        ("xyzzy", ""),
    ],
)
def test_an_unknown_line_is_asked_about_and_does_nothing(line: str, near: str) -> None:
    (found,) = script(f"{line}\n").lines
    assert (found.name, found.near) == ("", near)


@pytest.mark.parametrize(
    ("subject", "body", "expected"),
    [
        ("cancel", "\n", ["cancel"]),
        ("Re: [job k7q2m5xzab3c] cancel", "\n", ["cancel"]),
        ("AW: Re: cancel", "> status\n", ["cancel"]),
        ("cancel", "status\n", ["status"]),
        ("Re: [job k7q2m5xzab3c] align: cancelled", "\n", []),
        ("quit", "\n", []),
    ],
)
def test_the_subject_is_a_command_where_the_text_has_none(
    subject: str, body: str, expected: list[str]
) -> None:
    assert names(body, subject=subject) == expected


def test_the_jobs_that_the_subject_names_are_told() -> None:
    found = script("status\n", subject="Re: [job k7q2m5xzab3c] x [JOB k7q2m5xzab3c]")
    assert found.tags == ("k7q2m5xzab3c",)


def test_a_mail_of_very_many_commands_is_read_so_far() -> None:
    found = script("status\n" * (MOST_COMMANDS + 7))
    assert (len(found.lines), found.unread, found.stop) == (MOST_COMMANDS, 7, Stop.MANY)


@pytest.mark.parametrize(
    ("lines", "service"),
    [
        (["service: Align", "tree: sl"], "align"),
        (["Hello,", "", "service = align"], "align"),
        (["tree: sl", "service: align"], None),
        (["status"], None),
        (["service:"], None),
        ([], None),
    ],
)
def test_a_request_names_its_service_first(lines: list[str], service: str | None) -> None:
    assert service_named(lines) == service


# --- what must never be ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(letters()))
@pytest.mark.parametrize("above", ["", "status\n", "status\n\n"])
def test_a_letter_of_the_gateways_own_quoted_without_any_mark_does_not_act(
    name: str, above: str
) -> None:
    words = text(read(letters()[name].composed()))
    expected = ["status"] if above else []
    assert [n for n in names(above + words) if n != "status"] == []
    assert len(names(above + words)) <= len(expected) + 1


GATE = "jobs@gate.example.org"
TAG = "[job k7q2m5xzab3c]"


@pytest.mark.parametrize(
    "introduction",
    [
        f"Xx: Mailgate <{GATE}>\nYy: 21.11.2026 14:00\nZz: Ada\nWw: {TAG} align: completed",
        f"*Xx*: {GATE}\n*Ww*: {TAG} align: completed",
        f"Subject: {TAG} align: completed",
        f"{TAG} align: completed",
        f"From: {GATE}",
        f"Quoting {GATE}:",
        "Zitat von Mailgate:",
        "Mailgate wrote:",
        f"[ {GATE} - 21.11.2026 ]",
        "Xyz 21. Xyz 2026, 14:00 Mailgate",
        "-------- Isang orihinal na mensahe --------",
        "------------------ Original ------------------",
        "======== Original Message ========",
        "________________________________",
        "*********",
        f">>> {GATE} 11/21/26 2:00 PM >>>",
        ">>> Mailgate 21.11.2026 14:00 >>>",
        f"        {GATE}\n        21.11.2026 14:00\n\n            An   ada",
        "| Mailgate:",
        ">>> On 3/1/24 at 10:20 AM, in message <x@b.c>, Mailgate <jobs@gate.example.org> wrote:",
        ">>> On 3/1/24 at 10:20 AM, in message\n<x@b.c>, Mailgate\n<jobs@gate.example.org> wrote:",
        ">>> Mailgate <jobs@gate.example.org> 11/21/26\n2:00 PM >>>",
        ">>> Mailgate 21.11.26 14.00 Uhr\n>>>",
        "Am Montag schrieb\nMailgate:",
        "Hallo Mailgate, Du schriebst am 1. Juni:",
        "On Monday Mailgate\nwrote",
        "Mailgate, 21.11.2026",
        "Mailgate wrote on Monday",
        "寄件者：Mailgate",
        "Start of forwarded message",
        "From: Mailgate",
        "Von: Mailgate\nBetreff: align",
        "[Mailgate]",
        "In reply to Mailgate:",
        f"<{GATE}> schrieb am Sa., 21. Nov. 2026, 14:00:",
        f"Mailgate\n<{GATE}>\nwrote:",
        "Nuo: Mailgate\nIšsiųsta: 2026 m.\nKam: Ada\nTema: align",
        "จาก: Mailgate\nส่ง: 21\nถึง: Ada\nเรื่อง: align",
    ],
)
def test_what_may_introduce_a_quote_ends_reading_in_any_language(introduction: str) -> None:
    assert names(f"extend 7d\n\n{introduction}\n\ncancel\n") == ["extend"]
    assert names(f"extend 7d\n{introduction}\ncancel\n") == ["extend"]
    assert names(f"{introduction}\ncancel\n") == []


@pytest.mark.parametrize("command", ["status", "Help", "keep until tomorrow", "notify none"])
@pytest.mark.parametrize(
    "introduction",
    [
        f"<{GATE}> schrieb am Sa., 21. Nov. 2026, 14:00:",
        f"<{GATE}> wrote on 11/21/26 2:00 PM:",
        f"Mailgate <{GATE}> wrote:",
        f"On Sat, Nov 21, 2026 at 2:00 PM\n<{GATE}> wrote:",
        ">>> On 3/1/24 at 10:20 AM, in message\n<x@b.c>, Mailgate\n<y@b.c> wrote:",
        "在 2026年11月21日，14:00，Mailgate 写道：",
    ],
)
def test_a_command_right_above_a_quote_acts(command: str, introduction: str) -> None:
    assert names(f"{command}\n{introduction}\ncancel\n") == [command.split(maxsplit=1)[0].lower()]


def test_what_stands_below_groupwises_head_is_no_ones_own_in_flowed_text_either() -> None:
    head = ">>> On 3/1/24 at 10:20 AM, in message <x@b.c>, Bob <b@c.d> wrote:"
    for own, expected in (("status\n", ["status"]), ("", [])):
        mail = f"From: a@b.c\nContent-Type: text/plain; format=flowed\n\n{own}{head}\ncancel\n"
        found = read_commands(read_message(io.BytesIO(mail.encode())), GRAMMAR)
        assert [line.name for line in found.lines] == expected


@pytest.mark.parametrize(
    "line",
    [
        "Please do the following:",
        "The project ends on 31.12.2026.",
        "tree: upgma",
        "I wrote that already, I think.",
    ],
)
def test_a_persons_own_words_above_a_command_do_not_stop_it(line: str) -> None:
    assert names(f"Hello,\n{line}\nstatus\n") == ["status"]


@pytest.mark.parametrize("mark", [">", "> ", "| ", "} ", "JD> ", "» ", "＞ ", "&gt; ", ": ", "# "])
def test_a_quote_acts_under_no_mark(mark: str) -> None:
    assert names(f"extend 7d\n\n{mark}cancel\n{mark}destroy\n") == ["extend"]
    assert names(f"{mark}cancel\n") == []


@pytest.mark.parametrize("line", ["»cancel«", "«cancel»", "status " + TAG, TAG + "\nstatus"])
def test_a_persons_own_marks_do_not_keep_a_command_from_acting(line: str) -> None:
    assert len(names(f"{line}\n")) == 1


@pytest.mark.parametrize(
    "head", ["Mailgate wrote:", "From: Mailgate", "Von: Mailgate\nBetreff: align", "Xx: Mailgate"]
)
def test_what_a_command_takes_may_be_the_head_of_a_quote_below_which_none_acts(head: str) -> None:
    assert names(f"rerun\nmemory: 16 GiB\n{head}\n\ncancel\n") == ["rerun"]
    assert names("rerun\nmemory: 16 GiB\n\nstatus\n") == ["rerun", "status"]
    (rerun,) = script("rerun\nmemory: 1 GiB\nMailgate wrote:\ncancel\n").lines
    assert rerun.lines == ("memory: 1 GiB",)


def test_a_line_of_a_command_is_no_introduction() -> None:
    (rerun,) = script("rerun\nFrom: 3\nmail: a@b.c\n").lines
    assert rerun.lines == ("From: 3", "mail: a@b.c")


HEADER = "<b>Xx:</b> Mailgate<br><b>Yy:</b> Samstag<br><b>Ww:</b> align"
ABOVE = "border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"


@pytest.mark.parametrize(
    "original",
    [
        f"<div><div style='{ABOVE}'><p class=MsoNormal>{HEADER}</p></div></div><p>cancel</p>",
        f'<hr style="display:inline-block;width:98%" tabindex="-1"><p>{HEADER}</p><p>cancel</p>',
        f'<hr id="zwchr"><div>{HEADER}</div><div>cancel</div>',
        f'<div name="quote" style="margin:10px"><div>{HEADER}</div><div>cancel</div></div>',
        '<div style="padding:0 4pt;border-left:solid blue 1.5pt"><p>cancel</p></div>',
        '<div style="border-left: #ccc 1px solid"><p>cancel</p></div>',
        '<div name="messageReplySection"><div>cancel</div></div>',
        '<div class="ydp9f1yahoo_quoted"><div>cancel</div></div>',
        '<div class="ms-outlook-mobile-reference-message skip"><div>cancel</div></div>',
        '<div id="_originalContent">cancel</div>',
        "<div>------------------&nbsp;Original&nbsp;------------------</div><div>cancel</div>",
        "<div>&gt;&gt;&gt; Mailgate 21.11.2026 14:00 &gt;&gt;&gt;</div><div>cancel</div>",
    ],
)
def test_what_a_mail_program_quotes_in_html_does_not_act(original: str) -> None:
    raw = f"From: a@b.c\nContent-Type: text/html; charset=utf-8\n\n<div>status</div>{original}"
    found = read_commands(read_message(io.BytesIO(raw.encode())), GRAMMAR)
    assert [line.name for line in found.lines] == ["status"]


@pytest.mark.parametrize("name", sorted(letters()))
def test_a_letter_of_the_gateways_own_quoted_with_a_mark_does_not_act(name: str) -> None:
    quoted = "\n".join(f"> {line}" for line in text(read(letters()[name].composed())).split("\n"))
    assert names(f"extend 7d\n\n{quoted}\n") == ["extend"]
    assert names(f"{quoted}\n\nextend 7d\n") == ["extend"]


_LINE = st.one_of(
    st.sampled_from(
        [*GRAMMAR.names, "", "Hello,", "-- ", "rerun", "a: b", "> x", "Thanks,", "Reply with"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=60),
)
_BODY = st.lists(_LINE, max_size=30).map("\n".join)


@given(_BODY, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80))
def test_any_text_is_a_script_whose_every_line_is_told(body: str, subject: str) -> None:
    raw = f"From: a@b.c\nContent-Type: text/plain; charset=utf-8\n\n{body}".encode()
    message = read_message(io.BytesIO(raw))
    found = read_commands(message, GRAMMAR)
    told = sum(1 + len(line.lines) for line in found.lines) - found.by_subject
    assert told + found.unread == sum(1 for line in message.lines if line.strip())


@given(st.lists(st.sampled_from(["cancel", "destroy", "x", ""]), min_size=1), _BODY)
def test_a_quoted_line_never_acts(quoted: list[str], body: str) -> None:
    quote = "\n".join(f"> {line}" for line in quoted)
    own = "status\n" if "status" in body else "help\n"
    assert not {"cancel", "destroy"} & {*names(f"{own}\n{quote}\n")}
    assert not {"cancel", "destroy"} & {*names(f"{quote}\n\n{own}")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Confirm\n", True),
        ("Hello,\n\nconfirm\n\nThanks, Ada\n", True),
        ("confirm\n\nOn 1 Mar 2024 at 10:20, Bob <b@c.d> wrote:\n> x\n", True),
        ("> x\n\nconfirm\n", True),
        ("Confirm.\n", True),
        ("CONFIRM!\n", True),
        ('"confirm"\n', True),
        ("“Confirm.”\n", True),
        ("»confirm«\n", True),
        ("»confirm\n", False),
        ("confirm: yes\n", False),
        ("confirm it\n", False),
        ("yes please\n", False),
        ("> confirm\n", False),
        ("Back on Monday.\n\nXx: Bob <b@c.d>\nYy: Monday\n\nconfirm\n", False),
        ("Back on Monday.\n_________\nconfirm\n", False),
        ("", False),
    ],
)
def test_only_a_line_of_the_persons_own_confirms(body: str, *, expected: bool) -> None:
    raw = f"From: a@b.c\nSubject: confirm\n\n{body}".encode()
    assert confirms(read_message(io.BytesIO(raw)), GRAMMAR) is expected


def test_what_is_attached_to_commands_is_told_but_for_what_mail_programs_add() -> None:
    mail = EmailMessage()
    mail.set_content("rerun\n")
    mail.add_attachment(b">x", maintype="chemical", subtype="x-fasta", filename="new.fa")
    mail.add_attachment(b"--", maintype="application", subtype="pgp-signature", filename="a.asc")
    found = read_commands(read_message(io.BytesIO(mail.as_bytes())), GRAMMAR)
    assert [one.name for one in found.attached] == ["new.fa"]
