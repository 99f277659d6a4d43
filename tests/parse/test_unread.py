"""Settings where none is read: they never count, and the request says so."""

import io
import time
from pathlib import Path

import pytest

from mailgate.model import Request, Unclear
from mailgate.parse.message import read_message
from mailgate.parse.request import read_request
from mailgate.services import Service, load

BLAST = """
command = ["blast", "{hits}", "{evalue}"]
[parameter.hits]
type = "integer"
default = 10
[parameter.evalue]
type = "number"
default = 1
"""
HEADER = "From: Bob <bob@example.org>\nDate: Mon, 12 Mar 2018 10:20\nSubject: BLAST\n"
OURS = "kwphf3gwzqab.result.0123456789abcdef@gate.example.org"


@pytest.fixture(scope="module")
def blast(tmp_path_factory: pytest.TempPathFactory) -> Service:
    file: Path = tmp_path_factory.mktemp("services") / "blast.toml"
    file.write_text(BLAST, encoding="utf-8")
    return load(file)


def asked(service: Service, text: str, fields: str = "Subject: please\n") -> Request | Unclear:
    mail = f"From: Ann <ann@example.org>\nTo: blast@gate.example.org\n{fields}\n{text}"
    return read_request(read_message(io.BytesIO(mail.replace("\n", "\r\n").encode())), service)


def unread(service: Service, text: str, fields: str = "Subject: please\n") -> list[str]:
    request = asked(service, text, fields)
    assert isinstance(request, Request), request
    assert request.parameters == {"hits": "10", "evalue": "1"}
    return [
        line
        for line in tuple(map(str, request.ignored))
        if "quoted text" in line or "Subject" in line
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"---------- Forwarded message ---------\n{HEADER}\nhits: 50\n",
        f"-----Original Message-----\n{HEADER}\nhits: 50\n",
        f"Begin forwarded message:\n\n{HEADER}\nhits: 50\n",
        f"Begin forwarded message:\n\n> {HEADER.replace(chr(10), chr(10) + '> ')}\n> hits: 50\n",
        f"-- \nAnn, University\n\n---------- Forwarded message ---------\n{HEADER}\nhits: 50\n",
        "> hits: 50\n",
        ">> hits: 50\n> hits: 50\n",
        "On 12 Mar 2018 at 10:20, Bob <bob@example.org> wrote:\nhits: 50\n",
    ],
)
def test_a_setting_in_quoted_text_does_not_count_and_is_told(blast: Service, text: str) -> None:
    assert unread(blast, text) == ["hits: 50 (it stands in quoted text)"]


SETTING = "<div>Subject: BLAST</div><p>hits: 50</p>"


@pytest.mark.parametrize(
    "page",
    [
        f"<blockquote>{SETTING}</blockquote>",
        f'<div class="gmail_quote"><div>---------- Forwarded message ---------</div>{SETTING}</div>',
        f'<div class="moz-forward-container"><table><tr><td>{SETTING}</td></tr></table></div>',
        f'<div id="appendonsend" style="display:none"></div><hr><div>{SETTING}</div>',
        f'<div id="divRplyFwdMsg"><b>From:</b> Bob</div><div><div>{SETTING}</div></div>',
        f'<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm">'
        f"<p>From: Bob</p></div>{SETTING}",
        "<blockquote><pre>\nhits: 50\n</pre></blockquote>",
        f"<p>-----Original Message-----</p>{SETTING}",
        "<p>&gt; hits: 50</p>",
        f'<div class="gmail_quote"><blockquote><span>{SETTING}</span></blockquote></div>',
    ],
)
@pytest.mark.parametrize("before", ["", "<p>please run this</p>"])
def test_one_that_a_page_quotes_is_told_too(blast: Service, page: str, before: str) -> None:
    html = "Subject: please\nContent-Type: text/html; charset=utf-8\n"
    text = f"<html><body>{before}{page}</body></html>"
    assert unread(blast, text, html) == ["hits: 50 (it stands in quoted text)"]


def test_what_a_page_hides_is_not_told_and_what_is_behind_a_quote_still_counts(
    blast: Service,
) -> None:
    html = "Subject: please\nContent-Type: text/html; charset=utf-8\n"
    hidden = (
        '<blockquote><div style="display:none">hits: 50</div><style>hits: 5</style></blockquote>'
    )
    assert unread(blast, hidden, html) == []
    request = asked(blast, "<blockquote><p>hits: 50</p></blockquote><p>evalue: 2</p>", html)
    assert isinstance(request, Request)
    assert request.parameters == {"hits": "10", "evalue": "2"}


def test_one_in_flowed_text_is_told_too(blast: Service) -> None:
    fields = 'Content-Type: text/plain; format="flowed"\n'
    assert unread(blast, "> hits: 50\n", fields) == ["hits: 50 (it stands in quoted text)"]


def test_a_few_settings_of_a_quote_are_told_and_the_others_counted(blast: Service) -> None:
    text = "".join(f"> hits: {n}\n" for n in range(20))
    *first, last = unread(blast, text)
    assert len(first) == 3
    assert last == "and 17 more settings in quoted text"


def test_what_is_no_setting_of_the_service_is_not_told(blast: Service) -> None:
    quoted = "> colour: red\n> Service: Bioinformatics\n> Reply: soon, I hope\n> hits:\n"
    assert unread(blast, quoted) == []
    assert unread(blast, "-- \nhits: 50\n") == []


@pytest.mark.parametrize(
    ("fields", "above"),
    [
        (f"In-Reply-To: <{OURS}>\n", ""),
        (f"References: <x@example.org> <{OURS}>\n", ""),
        ("", "Begin forwarded message:\n\n> From: mailgate <gateway@gate.example.org>\n"),
        ("", "> From: Bob <bob@example.org>\n> Subject: Re: [job kwphf3gwzqab] blast: completed\n"),
    ],
)
def test_a_quoted_letter_of_the_gateways_own_sets_nothing(
    blast: Service, fields: str, above: str
) -> None:
    assert unread(blast, f"{above}> hits: 50\n", fields) == []


@pytest.mark.parametrize("subject", ["hits: 30", "Fwd: Re: hits: 30", "Hits = 30"])
def test_a_setting_in_the_subject_does_not_count_and_is_told(blast: Service, subject: str) -> None:
    (told,) = unread(blast, "", f"Subject: {subject}\n")
    said = "(settings are read from the text, not from the Subject)"
    assert told == f"{subject.removeprefix('Fwd: Re: ')} {said}"


@pytest.mark.parametrize("subject", ["please", "Re: globins", "note: for you", "reply: when?"])
def test_another_subject_is_not_told(blast: Service, subject: str) -> None:
    assert unread(blast, "", f"Subject: {subject}\n") == []


def test_an_unclear_request_tells_them_too(blast: Service) -> None:
    answer = asked(blast, "evalue: abc\n\n> hits: 50\n", "Subject: hits: 30\n")
    assert isinstance(answer, Unclear)
    quoted = [
        str(str(line.quoted)) for line in answer.lines if str(str(line.meaning)) == "not read"
    ]
    assert quoted[0] == "hits: 50 (it stands in quoted text)"
    assert quoted[1].startswith("hits: 30 (")


def test_a_quote_of_any_length_costs_no_time(blast: Service) -> None:
    start = time.process_time()
    unread(blast, "> hits: 50\n" * 100_000)
    unread(blast, "-- \n" + "--\n: \n" * 50_000)
    assert time.process_time() - start < 5
