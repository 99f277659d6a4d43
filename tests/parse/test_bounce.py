"""Mail that comes back is judged right: a failure for good, one for now, or nothing to act on."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.model import Fate
from mailgate.parse.bounce import HEAD, read_bounce


def judged(mail: str | bytes) -> tuple[Fate, str]:
    raw = mail if isinstance(mail, bytes) else mail.replace("\n", "\r\n").encode()
    bounce = read_bounce(io.BytesIO(raw))
    assert "\n" not in bounce.words
    return bounce.fate, bounce.status


def report(*groups: str, text: str = "Sorry.", back: str = "Subject: hello\n\nhello\n") -> str:
    return (
        "From: MAILER-DAEMON@example.org\nTo: jobs+bounce.x@gate.example.org\nSubject: returned\n"
        'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\nContent-Type: text/plain\n\n{text}\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n"
        + "\n".join(f"Final-Recipient: rfc822; ada@example.org\n{group}\n" for group in groups)
        + f"\n--b\nContent-Type: message/rfc822\n\n{back}\n--b--\n"
    )


@pytest.mark.parametrize(
    ("group", "fate", "status"),
    [
        ("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no", Fate.FAILED, "5.1.1"),
        ("Action: FAILED (no such user)\nStatus: 5.1.1 (bad)", Fate.FAILED, "5.1.1"),
        ("Action: failed\nStatus: 4.4.7", Fate.TEMPORARY, "4.4.7"),
        ("Action: failed\nStatus: 4.2.2\nDiagnostic-Code: smtp; 452 full", Fate.TEMPORARY, "4.2.2"),
        ("Action: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 no", Fate.TEMPORARY, "5.2.2"),
        ("Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 552 over quota", Fate.TEMPORARY, "5.0.0"),
        ("Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 #5.1.1 who", Fate.FAILED, "5.1.1"),
        ("Action: failed\nStatus:\nDiagnostic-Code: smtp; 451 later", Fate.TEMPORARY, ""),
        ("Action: failed\nStatus: 5.3.4\nDiagnostic-Code: X-Postfix; size 9 exceeds", Fate.TOO_BIG, "5.3.4"),
        ("Action: failed\nStatus: 5.2.3\nDiagnostic-Code: smtp; 552 5.2.3 exceeds mailbox size limit", Fate.TOO_BIG, "5.2.3"),
        ("Action: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 552 Message size exceeds", Fate.TOO_BIG, "5.0.0"),
        ("Action: failed\nStatus: 5.7.0\nDiagnostic-Code: smtp; 552 5.7.0 blocked", Fate.TOO_BIG, "5.7.0"),
        ("Action: failed\nStatus: 5.7.0\nDiagnostic-Code: smtp; 554 no (in reply to end of DATA command)", Fate.TOO_BIG, "5.7.0"),
        ("Action: failed\nStatus: 5.7.0\nDiagnostic-Code: smtp; 550 5.7.0 not you", Fate.FAILED, "5.7.0"),
        ("Action: failed", Fate.UNKNOWN, ""),
        ("Action: delayed\nStatus: 4.4.1\nWill-Retry-Until: tomorrow", Fate.NOTED, ""),
        ("Action: relayed\nStatus: 2.0.0", Fate.NOTED, ""),
        ("Action: delivered\nStatus: 2.0.0", Fate.NOTED, ""),
        ("Action: expanded\nStatus: 2.0.0", Fate.NOTED, ""),
    ],
)  # fmt: skip
def test_a_standard_report_is_judged_by_its_action_and_status(group, fate, status):
    assert judged(report(group)) == (fate, status)


def test_a_report_of_several_recipients_is_as_hopeful_as_its_best():
    failed, full = "Action: failed\nStatus: 5.1.1", "Action: failed\nStatus: 4.2.2"
    assert judged(report(failed, full)) == (Fate.TEMPORARY, "4.2.2")
    # Somebody behind that address has the letter.
    assert judged(report(failed, "Action: delivered\nStatus: 2.0.0"))[0] is Fate.NOTED


def test_what_our_own_letter_says_is_no_report():
    inner = report("Action: failed\nStatus: 5.1.1")
    assert judged(report("Action: delayed\nStatus: 4.4.1", back=inner))[0] is Fate.NOTED
    forwarded = (
        "From: grace@example.org\nSubject: away\nContent-Type: multipart/mixed; boundary=q\n\n"
        f"--q\nContent-Type: text/plain\n\nI am away.\n--q\nContent-Type: message/rfc822\n\n{inner}\n--q--\n"
    )
    assert judged(forwarded)[0] is Fate.NOTED


QMAIL = """\
From: MAILER-DAEMON@mx.example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ada@example.org>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Subject: over quota

"""


def test_an_older_form_is_known_too():
    assert judged(QMAIL) == (Fate.FAILED, "5.1.1")
    full = QMAIL.replace("no mailbox here by that name. (#5.1.1)", "the mailbox is full. (#5.2.2)")
    assert judged(full) == (Fate.TEMPORARY, "5.2.2")


@pytest.mark.parametrize(
    "header",
    [
        "From: ada@example.org\nSubject: Out of office\nAuto-Submitted: auto-replied",
        "From: ada@example.org\nSubject: Re: [job abc] align: completed\nPrecedence: bulk",
        "From: ada@example.org\nSubject: thanks",
    ],
)
def test_an_answer_of_a_person_or_for_one_does_nothing(header):
    text = "I am away until Monday; mail to others bounces with 550 5.1.1 user unknown."
    assert judged(f"{header}\n\n{text}\n")[0] is Fate.NOTED


@pytest.mark.parametrize(
    "header", ["From: MAILER-DAEMON@example.org", "Subject: Undeliverable", "From: a@b\nSubject: Unzustellbar: x"]
)  # fmt: skip
def test_what_is_meant_as_a_report_and_says_nothing_is_for_the_operator(header):
    assert judged(f"{header}\n\nIt did not go.\n")[0] is Fate.UNKNOWN


def test_a_report_that_gives_a_big_letter_back_is_judged_by_its_beginning():
    big = report("Action: failed\nStatus: 5.1.1", back="\n" + "x" * 70 + "\n") + "y" * (4 * HEAD)
    assert judged(big) == (Fate.FAILED, "5.1.1")


@given(st.binary(max_size=2000), st.integers(0, 900))
def test_any_bytes_give_a_verdict(noise, at):
    whole = report("Action: failed\nStatus: 5.1.1").encode()
    judged(whole[:at] + noise + whole[at:])
    judged(noise)


# --- mails of others ------------------------------------------------------------------------------

NO_BOUNCES = (
    "aol-vacation", "autoreply", "polish-autoreply", "bluebottle", "boxbe", "spam-bogus", "spam-lots",
    "spam-with", "virus", "warning-5", "warning-6", "warning-8",
)  # fmt: skip


def test_at_least_95_of_100_bounces_of_others_are_failures(corpora: Path):
    found = [
        path
        for path in sorted((corpora / "bounceparser").glob("*.msg"))
        if not path.name.startswith(NO_BOUNCES)
    ]
    fates = {path.name: judged(path.read_bytes())[0] for path in found}
    missed = [name for name, fate in fates.items() if fate in {Fate.NOTED, Fate.UNKNOWN}]
    assert len(missed) <= 0.05 * len(found), missed
    full = {name for name, fate in fates.items() if fate is Fate.TEMPORARY}
    assert full >= {f"quota{n}.msg" for n in ("", "-2", "-5", "-6", "-7")}


def test_no_vacation_notice_and_no_mail_of_a_person_is_a_failure(corpora: Path):
    notices = [
        path
        for path in (corpora / "bounceparser").glob("*.msg")
        if path.name.startswith(NO_BOUNCES)
    ]
    people = [
        path
        for folder in ("rubymail", "imaptools")
        for path in (corpora / folder).rglob("*.eml")
        if "bounce" not in path.name and "report" not in path.name
    ]
    failures = {Fate.FAILED, Fate.TEMPORARY}
    assert len(notices) > 10
    assert not [p for p in notices + people if judged(p.read_bytes())[0] in failures]
