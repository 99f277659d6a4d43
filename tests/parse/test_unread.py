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
