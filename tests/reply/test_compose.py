"""A letter's bytes: what every mail program must find, and what no stranger can put there."""

import hashlib
import io
import json
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailgate import log
from mailgate.commands import registry
from mailgate.model import (
    DISK_FULL,
    Exit,
    LetterKind,
    Mistake,
    Plan,
    Reason,
    Reply,
    StreamRole,
    Unclear,
    Understood,
)
from mailgate.phases import Phase
from mailgate.reply.compose import Changed, Writer
from mailgate.saying import Saying
from tests.reply.letters import (
    CREATED,
    DONE,
    ENDED,
    ID,
    Written,
    attachments,
    draft,
    err,
    job,
    out,
    read,
    result,
    stream,
    text,
)

WRITER = Writer(None)
OURS = (
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"),
    *("X-Loop", "Reply-To", "Mailgate-Job", "Mailgate-Phase", "Mailgate-Exit"),
)
MIME = ("MIME-Version", "Content-Type", "Content-Transfer-Encoding")
ANY = st.text(st.characters(), max_size=120)
HOSTILE = 'x\r\nBcc: victim@example.org\r\n\r\n--=_\r\n\0"\\\u2028\u202e=?utf-8?q?evil?= ö'


def names(letter):
    block = letter.partition(b"\r\n\r\n")[0].decode("ascii")
    return [line.partition(":")[0] for line in block.split("\r\n") if line[0] not in " \t"]


# --- headers --------------------------------------------------------------------------------------


def test_a_result_has_exactly_the_headers_it_should_each_once():
    letter = result(DONE, out(b"1\n"), err(b"")).composed()
    assert names(letter) == [*OURS, "MIME-Version", "Content-Type"]
    message = read(letter)
    assert message["From"] == "mailgate <jobs@gate.example.org>"
    assert message["To"] == "ada@example.org"
    assert message["Subject"] == f"[job {ID}] align: completed"
    assert message["In-Reply-To"] == "<request-1@example.org>"
    assert message["References"].split() == [
        "<thread-1@example.org>",
        "<thread-2@example.org>",
        "<request-1@example.org>",
    ]
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["X-Loop"] == "jobs@gate.example.org"
    assert message["Date"].datetime == ENDED
    assert (message["Mailgate-Job"], message["Mailgate-Phase"]) == (ID, "COMPLETED")


@pytest.mark.parametrize("kind", [LetterKind.RECEIPT, LetterKind.STARTED, LetterKind.PROGRESS])
def test_a_letter_on_the_way_says_its_jobs_phase_and_no_exit(kind):
    running = job(phase=Phase.EXECUTING, started=ENDED)
    letter = Written(draft=draft(kind, running)).composed()
    assert names(letter) == [*OURS[:-1], *MIME]
    assert read(letter)["Mailgate-Phase"] == "EXECUTING"


def test_an_answer_without_a_job_names_none():
    letter = Written(draft=draft(LetterKind.TEST)).composed()
    assert names(letter) == [*OURS[:9], *MIME]


@pytest.mark.parametrize(
    ("end", "value"),
    [
        (DONE, "0"),
        (Exit(reason=Reason.EXIT, code=3), "3"),
        (Exit(reason=Reason.SIGNAL, signal=11), "signal 11"),
        *((Exit(reason=reason), str(reason)) for reason in list(Reason)[2:]),
    ],
)
def test_the_exit_header_is_the_code_the_signal_or_the_reason(end, value):
    message = read(result(end, out(b""), err(b"")).composed())
    assert message["Mailgate-Exit"] == value
    assert message["Mailgate-Phase"] == end.phase


def test_threads_without_end_are_capped_and_strangers_ids_are_checked():
    ids = " ".join(f"<{n}@example.org>" for n in range(500))
    made = draft(LetterKind.TEST, references=f"rubbish <a b@c> {ids} <{'x' * 900}@y>\r\nBcc: x")
    kept = read(Written(draft=made).composed())["References"].split()
    assert kept == [
        "<0@example.org>",
        *(f"<{n}@example.org>" for n in range(482, 500)),
        "<request-1@example.org>",
    ]


def test_a_request_without_a_message_id_is_answered_without_a_thread():
    made = draft(LetterKind.TEST, in_reply_to=None, references=None)
    assert {"In-Reply-To", "References"}.isdisjoint(names(Written(draft=made).composed()))


@given(
    in_reply_to=st.none() | ANY | ANY.map(lambda text: f"<{text}>"),
    references=st.none() | ANY,
    recipient=ANY | ANY.map(lambda text: f"{text}@example.org"),
    label=st.none() | ANY,
    service=st.text(st.characters(), min_size=1, max_size=60),
    parameters=st.dictionaries(ANY, ANY, max_size=3),
    name=ANY,
    words=ANY,
)
@settings(max_examples=60)
def test_no_stranger_can_write_a_header_or_a_part(
    in_reply_to, references, recipient, label, service, parameters, name, words
):
    letter = result(
        Exit(reason=Reason.EXIT, code=1, words=words),
        out(words.encode("utf-8", "replace"), name or "x"),
        err(words.encode("utf-8", "replace")),
        stream(name, b"1", path="y"),
        letter={"in_reply_to": in_reply_to, "references": references, "recipient": recipient},
        label=label,
        service=service,
        parameters=parameters,
        ignored=(name, words),
        left_out=(words,),
        errors=(Mistake(at=ENDED, reason=Reason.LOST, words=words),),
        attempts=2,
    ).composed()
    assert letter.isascii()
    assert max(map(len, letter.split(b"\r\n"))) <= 998
    assert letter.count(b"\n") == letter.count(b"\r\n") == letter.count(b"\r")
    found = names(letter)
    assert [known for known in (*OURS, "MIME-Version", "Content-Type") if known in found] == found
    message = message_from_bytes(letter)
    parts = message.get_payload()
    assert len(parts) == 5
    assert [part.defects for part in (message, *parts)] == [[]] * 6
    assert json.loads(parts[1].get_payload(decode=True))["mailgate"] == 1


def test_a_hostile_label_is_shown_and_does_nothing():
    message = read(result(DONE, out(b"", HOSTILE), label=HOSTILE, service="align").composed())
    assert message["Bcc"] is None
    assert message["Subject"].startswith(f'[job {ID}] align: completed ("x Bcc: victim@')
    assert "\\x00" in message["Subject"]
    (name, content), *_ = attachments(message)
    assert content == b""
    assert not set(name) & set('\r\n\0"\\/')


@given(st.text(st.characters(exclude_categories=("C", "Z", "M")), max_size=300))
@settings(max_examples=50)
def test_a_subject_in_any_script_is_read_as_it_was_written_or_cut(label):
    raw = message_from_bytes(result(DONE, label=label).composed())["Subject"]
    # A plain one that is folded is unfolded first (RFC 5322, 2.2.3).
    subject = str(make_header(decode_header(raw.replace("\r\n", ""))))
    shown = f'[job {ID}] align: completed ("{label}")' if label else f"[job {ID}] align: completed"
    assert len(subject) <= 180
    assert subject == shown or subject.endswith('...")')
    assert max(map(len, raw.splitlines())) <= 78


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("o'brien+x@example.org", "o'brien+x@example.org"),
        ('"a b"@example.org', '"a b"@example.org'),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("jürg@example.org", "jürg@example.org:;"),
        ("jürg@bücher.example", "jürg@bücher.example:;"),
        ("rubbish", "rubbish:;"),
        ("a@b, c@d", "a@b, c@d:;"),
    ],
)
def test_every_recipient_can_be_named_in_seven_bits(recipient, shown):
    letter = Written(draft=draft(LetterKind.TEST, recipient=recipient)).composed()
    assert letter.isascii()
    raw = message_from_bytes(letter)["To"]
    assert str(make_header(decode_header(raw))).replace(" :;", ":;") == shown


# --- parts ----------------------------------------------------------------------------------------


def test_outputs_come_back_byte_for_byte_in_order_after_the_manifest():
    contents = [
        b"",
        b"1",
        b"\0\r\n.\r\nFrom me\n" * 999,
        bytes(range(256)) * 230,
        b"x" * 58368,
        b"y" * 58369,
    ]
    streams = [out(contents[0]), err(contents[1])]
    streams += [stream(f"dir/{n}.bin", content) for n, content in enumerate(contents[2:])]
    message = read(result(DONE, *streams).composed())
    assert [content for _, content in attachments(message)] == contents
    assert [part.get_content_type() for part in message.iter_parts()][:2] == [
        "text/plain",
        "application/json",
    ]
    manifest = json.loads(next(message.iter_attachments()).get_content())
    assert [entry["name"] for entry in manifest["streams"]] == [made.name for made, _ in streams]
    assert [entry["sha256"] for entry in manifest["streams"]] == [
        hashlib.sha256(content).hexdigest() for content in contents
    ]
    assert all(entry["attached"] for entry in manifest["streams"])


def test_the_manifest_tells_a_machine_all_that_the_text_tells_a_person():
    made = result(
        Exit(reason=Reason.SIGNAL, signal=11),
        out(b"1\n"),
        label="größe",
        attempts=2,
        errors=(Mistake(at=ENDED, reason=Reason.LOST, words="gone"),),
        left_out=("x: a link",),
    )
    (part,) = [
        p for p in read(made.composed()).iter_attachments() if p.get_filename() == "job.json"
    ]
    assert part.get_content_type() == "application/json"
    assert json.loads(part.get_content()) == {
        "mailgate": 1,
        "id": ID,
        "service": "align",
        "label": "größe",
        "parameters": {"tree": "upgma"},
        "phase": "ERROR",
        "exit": {"code": None, "signal": 11},
        "reason": "signal",
        "errors": [{"at": "2026-11-21T13:54:13Z", "reason": "lost", "words": "gone"}],
        "times": {
            "created": "2026-11-21T13:50:00Z",
            "started": "2026-11-21T13:50:01Z",
            "ended": "2026-11-21T13:54:13Z",
            "kept_until": "2026-12-05T13:54:13Z",
        },
        "streams": [
            {
                "role": "stdout",
                "name": "stdout.txt",
                "size": 2,
                "sha256": hashlib.sha256(b"1\n").hexdigest(),
                "attached": True,
            }
        ],
        "left_out": ["x: a link"],
    }


def test_a_value_longer_than_a_line_of_mail_may_be_survives_in_the_manifest():
    long = "x" * 5000 + "ö"
    message = read(result(DONE, parameters={"text": long}, label=long).composed())
    manifest = json.loads(next(message.iter_attachments()).get_content())
    assert manifest["parameters"]["text"] == manifest["label"] == long


def test_a_name_that_no_character_set_has_is_written_for_every_json_reader():
    message = read(result(DONE, stream("a\udcff.txt", b"1", path="a")).composed())
    raw = next(message.iter_attachments()).get_payload()
    assert "\\udcff" in raw
    assert json.loads(raw)["streams"][0]["name"] == "a\\udcff.txt"


def test_composing_twice_gives_the_same_bytes():
    made = result(DONE, out(b"1\n"), err(b""), stream("x.bin", bytes(1000)))
    assert made.composed() == made.composed(Writer(None))


def test_outputs_that_speak_mime_stay_within_their_part():
    made = result(DONE, out(b""))
    border = message_from_bytes(made.composed()).get_boundary()
    evil = f"a\r\n--{border}--\r\n\r\n--{border}\r\n".encode()
    message = read(result(DONE, out(evil), err(evil), label=f"--{border}--").composed())
    assert [content for _, content in attachments(message)] == [evil, evil]


def test_a_brief_reply_carries_the_manifest_alone():
    message = read(result(DONE, out(b"secret\n"), err(b""), reply=Reply.BRIEF).composed())
    assert attachments(message) == []
    manifest = json.loads(next(message.iter_attachments()).get_content())
    assert [entry["attached"] for entry in manifest["streams"]] == [False, False]
    assert "secret" not in text(message)
    assert "7 bytes" in text(message)


def test_of_what_is_kept_one_that_holds_something_is_named_as_what_can_be_fetched():
    made = result(DONE, out(b""), err(b"odd\n"), reply=Reply.BRIEF)
    assert "\n  results stderr.txt\n" in text(read(made.composed()))


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
def test_the_first_line_of_a_failure_says_why(reason):
    said = {
        Reason.EXIT: "exit code 3",
        Reason.SIGNAL: "signal 11",
        Reason.WORK_LIMIT: "longer than the 1 hour",
        Reason.MEMORY: "more memory",
        Reason.NODE_FAILURE: "machine broke down",
        Reason.PREEMPTED: "needed for other work",
        Reason.CANCELLED: "cancelled",
        Reason.OUTSIDE: "cancelled at the cluster",
        Reason.COULD_NOT_START: "could not be started",
        Reason.LOST: "lost",
    }
    code = 3 if reason is Reason.EXIT else None
    signal = 11 if reason is Reason.SIGNAL else None
    end = Exit(reason=reason, code=code, signal=signal, words="OUT_OF_SORTS on n17")
    words = text(read(result(end, out(b""), err(b"the last words\n")).composed()))
    first = words.split("\n")[0]
    assert said[reason] in first
    assert "OUT_OF_SORTS on n17" in words
    assert "  the last words\n" in words


def test_a_silent_failure_shows_the_last_lines_of_its_output():
    content = b"".join(b"%d\n" % n for n in range(1, 100)) + b"ERROR: no such tree\n"
    words = text(read(result(Exit(reason=Reason.EXIT, code=1), out(content), err(b"")).composed()))
    assert "The last lines of stdout.txt:\n  ...\n  81\n" in words
    assert "  ERROR: no such tree\n" in words


def test_a_binary_output_is_attached_and_not_shown():
    words = text(read(result(DONE, out(bytes(range(256)))).composed()))
    assert "stdout.txt   256 bytes   attached" in words
    assert "The first lines" not in words


def test_a_longer_limit_is_offered_where_the_service_allows_one():
    def offered(**facts):
        end = Exit(reason=Reason.WORK_LIMIT)
        made = result(end, work_limit=timedelta(hours=3), facts=facts)
        return text(read(made.composed())) + "\n"

    assert "  work-limit: 6h\n" in offered(work_limit_max=timedelta(days=1))
    assert "  work-limit: 4h\n" in offered(work_limit_max=timedelta(hours=4))
    assert "work-limit:" not in offered(work_limit_max=timedelta(hours=3))
    assert "work-limit:" not in offered()


def test_more_memory_is_offered_where_the_service_allows_more():
    def offered(memory, **facts):
        plan = Plan(argv=("align",), memory=memory)
        made = result(Exit(reason=Reason.MEMORY), plan=plan, facts=facts)
        return text(read(made.composed())) + "\n"

    assert "  rerun\n  memory: 16 GiB\n" in offered(4 << 30, memory_max=64 << 30)
    assert "a larger limit may do" in offered(4 << 30, memory_max=5 << 30)
    assert "  memory: 5 GiB\n" in offered(4 << 30, memory_max=5 << 30)
    assert "  memory: 5 GiB\n" in offered(None, memory_max=5 << 30)
    for nothing in (offered(4 << 30, memory_max=4 << 30), offered(4 << 30)):
        assert "memory:" not in nothing
        assert "a smaller input may do" in nothing


def test_a_request_of_ten_thousand_lines_is_answered_with_those_that_are_wrong():
    lines = tuple(
        Understood(quoted=f"p{n}: 1", meaning="read", wrong=n == 9_999) for n in range(10_000)
    )
    unclear = Unclear(service="align", lines=lines, example=())
    words = text(
        read(Written(draft=draft(LetterKind.UNCLEAR, facts={"unclear": unclear})).composed())
    )
    assert "> p9999: 1" in words
    assert "and 9,900 other lines" in words


def test_a_message_to_several_services_gets_one_answer():
    refused = {"service": "blast", "sentence": "It is not for you"}
    made = draft(
        LetterKind.REFUSED,
        facts={**refused, "others": ((LetterKind.REFUSED, {**refused, "service": "fold"}),)},
    )
    message = read(Written(draft=made).composed())
    assert message["Subject"] == "Not run: your request to blast, and 1 other answer"
    assert "Not run: your request to fold\n=====" in text(message)


# --- a size that must fit -------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(min_value=0, max_value=20_000), max_size=12),
    limit=st.integers(min_value=8_000, max_value=120_000),
    reason=st.sampled_from([Reason.EXIT, Reason.LOST]),
)
@settings(max_examples=40)
def test_no_letter_is_larger_than_its_limit(sizes, limit, reason):
    streams = [stream(f"{n}.bin", b"x\n" * (size // 2)) for n, size in enumerate(sizes)]
    made = result(Exit(reason=reason), out(b"1\n" * 30), *streams, letter={"limit": limit})
    letter = made.composed()
    assert len(letter) <= limit
    message = read(letter)
    manifest = json.loads(next(message.iter_attachments()).get_content())
    assert len(manifest["streams"]) == len(streams) + 1
    assert sum(entry["attached"] for entry in manifest["streams"]) == len(attachments(message))
    for entry in manifest["streams"]:
        # What is not along is named, with all that is needed to ask for it; an empty one is told so.
        assert entry["attached"] or not entry["size"] or entry["sha256"] in text(message)


def test_all_that_fits_goes_along():
    made = result(DONE, out(b"1" * 100_000), letter={"limit": 150_000})
    assert len(attachments(read(made.composed()))) == 1


@pytest.mark.parametrize("limit", [1_500, 3_000, 8_000, 50_000])
def test_a_text_that_alone_is_too_long_is_shortened(limit):
    left_out = tuple(f"file {n}: a symbolic link, which is not followed" for n in range(2000))
    made = result(
        DONE,
        *(stream(f"{n}", b"1") for n in range(300)),
        parameters={f"p{n}": "x" * 150 for n in range(500)},
        left_out=left_out,
        letter={"limit": limit},
    )
    letter = made.composed()
    message = read(letter)
    assert text(message).startswith("Your job is done")
    # Headers, three borders and an empty manifest take some 1,900 bytes, whatever is left out.
    assert len(letter) <= max(limit, 2_600)
    assert json.loads(next(message.iter_attachments()).get_content())["id"] == ID


def test_a_refusal_without_end_is_shortened():
    lines = tuple(Understood(quoted="ö" * 50, meaning="ö" * 250, wrong=True) for _ in range(100))
    unclear = Unclear(service="align", lines=lines, example=())
    made = draft(LetterKind.UNCLEAR, facts={"unclear": unclear}, limit=8_000)
    letter = Written(draft=made).composed()
    assert len(letter) <= 8_000
    assert "does not fit into this mail" in text(read(letter))


# --- what must not be mailed ----------------------------------------------------------------------


def opener(path):
    def opened(_):
        return Path(path).open("rb")

    return opened


@pytest.mark.parametrize(
    "now", [b"", b"result", b"results!", b"resultz"], ids=["empty", "shorter", "longer", "other"]
)
def test_an_output_that_changed_since_is_never_mailed(now):
    made = result(DONE, out(b""), stream("x.txt", b"results", path="x"))
    with pytest.raises(Changed, match=r"x\.txt"):
        replace(made, contents={**made.contents, "x": now}).composed()


def test_an_output_that_grows_without_end_stops_the_letter():
    made = result(DONE, stream("x.txt", b"results", path="x"))
    with pytest.raises(Changed):
        WRITER.compose(made.draft, opener("/dev/zero"), io.BytesIO())


@pytest.mark.parametrize("role", [StreamRole.STDOUT, StreamRole.FILE])
@pytest.mark.parametrize("path", ["/nowhere", "/", "/proc/self/mem"])
def test_an_output_that_cannot_be_read_is_told_as_a_change(role, path):
    made = result(DONE, stream("x.txt", b"1", role))
    with pytest.raises(Changed, match=r"x\.txt"):
        WRITER.compose(made.draft, opener(path), io.BytesIO())


def test_a_file_that_gives_little_at_a_time_is_encoded_whole():
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1000))

    content = bytes(range(256)) * 500
    made = result(DONE, stream("x.bin", content))
    written = io.BytesIO()
    WRITER.compose(made.draft, lambda _: Trickle(content), written)
    assert attachments(read(written.getvalue())) == [("x.bin", content)]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": LetterKind.RECEIPT},
        {"kind": LetterKind.UNCLEAR},
        {"kind": LetterKind.UNCLEAR, "facts": {"unclear": "words"}},
        {"kind": LetterKind.REFUSED, "facts": {"service": "blast"}},
        {"kind": LetterKind.TEST, "facts": {"more": 1}},
        {"kind": LetterKind.TEST, "facts": {"others": ["test"]}},
        {"kind": LetterKind.TEST, "job": job()},
        {"kind": LetterKind.RESULT, "job": job()},
        {"kind": LetterKind.TEST, "gateway": "jobs"},
        {"kind": LetterKind.TEST, "message_id": "<a b>"},
    ],
)
def test_a_draft_that_lacks_its_facts_is_a_bug(changed):
    with pytest.raises(ValueError, match=r"."):
        Written(draft=replace(draft(LetterKind.TEST), **changed)).composed()


# --- templates that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["result", "unclear"])
def test_a_template_that_fails_still_sends_every_fact(name, tmp_path):
    from tests.reply.golden import letters

    (tmp_path / f"{name}.txt.j2").write_text("{% block subject %}{{ nothing }}{% endblock %}\nx")
    lines = io.StringIO()
    log.to(lines)
    try:
        message = read(letters()[name].composed(Writer(tmp_path)))
    finally:
        log.to(None)
    assert f"{tmp_path}/{name}.txt.j2:1: 'nothing' is undefined" in lines.getvalue()
    assert lines.getvalue().startswith("fell-back ")
    words = text(message)
    facts = {
        "result": ["guide.nwk", "tree", ">HBA_HUMAN", ID],
        "unclear": ["tre: upgma", "did you mean"],
    }
    assert all(fact in words for fact in facts[name])
    assert "align" in message["Subject"]


def test_the_built_in_text_says_whose_job_it_is(tmp_path):
    (tmp_path / "result.txt.j2").write_text("{% block subject %}{{ nothing }}{% endblock %}\nx")
    theirs, own = (
        read(result(DONE, out(b"1\n"), letter={"recipient": who}).composed(Writer(tmp_path)))
        for who in ("bob@example.org", "ada@example.org")
    )
    assert text(theirs).startswith("The job of ada@example.org has ended.\n")
    assert "The job of ada@example.org has ended" in theirs["Subject"]
    assert text(own).startswith("Your job has ended.\n")


@pytest.mark.parametrize("name", ["duplicate", "duplicate-signed"])
def test_the_built_in_text_of_a_duplicate_is_true_by_whatever_it_is_known(name, tmp_path):
    from tests.reply.golden import letters

    (tmp_path / "duplicate.txt.j2").write_text("{% block subject %}{{ nothing }}{% endblock %}\nx")
    words = text(read(letters()[name].composed(Writer(tmp_path))))
    assert words.startswith("Nothing was run: an earlier mail had this Message-ID or signature.\n")


# --- what is left out, renamed, or said already ---------------------------------------------------


def test_a_letter_with_outputs_left_out_does_not_claim_that_all_is_attached():
    left_out = ("x.txt: it is a link",)
    said = text(read(result(DONE, out(b"1\n"), err(b""), left_out=left_out).composed()))
    assert "Part of what it wrote is attached; the rest is named below." in said
    said = text(read(result(DONE, out(b""), err(b""), left_out=left_out).composed()))
    assert "What is here of its outputs is empty; the rest is named below." in said
    said = text(read(result(DONE, left_out=left_out).composed()))
    assert "No output of it is here; what there was is named below." in said


def test_a_watcher_is_told_first_whose_job_it_is_and_offered_nothing_that_is_its_owners_alone():
    ends = [DONE, *(Exit(reason=reason, signal=9, words="w") for reason in Reason)]
    made = [result(end, out(b"x\n"), err(b"y\n")) for end in ends]
    full = replace(made[0].draft, job=replace(made[0].draft.job, left_out=(DISK_FULL,)))
    running = job(phase=Phase.EXECUTING, started=CREATED)
    kinds = (LetterKind.STARTED, LetterKind.PROGRESS, LetterKind.NEWS, LetterKind.DESTROYED)
    made += [replace(made[0], draft=full), *(Written(draft=draft(k, running)) for k in kinds)]
    alone = {f"  {one.name}" for one in registry.every() if one.by_owner_alone}
    assert alone
    for one in made:
        owners = text(read(one.composed()))
        watchers = text(
            read(replace(one, draft=replace(one.draft, recipient="bob@example.org")).composed())
        )
        first = watchers.partition("\n\n")[0].lower()
        assert "the job of ada@example.org" in " ".join(first.split())
        assert "your" not in first.split()
        assert not alone & set(watchers.splitlines())
        assert "your job" in owners.lower()
    assert alone & set(text(read(made[0].composed())).splitlines())


def test_letters_of_jobs_that_differ_in_their_inputs_alone_differ():
    running = job(phase=Phase.EXECUTING, started=CREATED, subject="Globins | again")
    done = result(DONE, out(b"1\n"), subject="Globins | again")
    many = (("winmail.dat", 4096), ("", 12), ("a b.fa", 2048), ("c.fa", 1), ("d.fa", 1))
    kinds = (LetterKind.RECEIPT, LetterKind.STARTED)
    for one in (done, *(Written(draft=draft(kind, running)) for kind in kinds)):
        words = {}
        for inputs in ((), many[:1], many[:3], many):
            words[len(inputs)] = text(
                read(replace(one, draft=replace(one.draft, inputs=inputs)).composed())
            )
            assert "\nYour mail's Subject: Globins | again\n" in words[len(inputs)]
        assert "Input" not in words[0]
        assert "\nInput: winmail.dat, 4 KiB\n" in words[1]
        three = "Inputs: winmail.dat, 4 KiB; the mail's body, 12 bytes; a b.fa, 2 KiB"
        assert f"\n{three}\n" in words[3]
        assert f"{three}; and 2 more" in " ".join(words[5].split())
        assert "c.fa" not in words[5]
        labelled = replace(one, draft=replace(one.draft, job=replace(one.draft.job, label="x")))
        assert "Subject:" not in text(read(labelled.composed()))


def test_the_first_line_says_that_outputs_are_missing_because_the_disk_was_full():
    letter = read(result(DONE, out(b"1\n"), err(b""), left_out=(DISK_FULL,)).composed())
    assert text(letter).startswith("The gateway's disk was full while your job ran: outputs may")
    assert "completed, but the disk was full" in letter["Subject"]
    assert text(letter).count("\n  rerun\n") == 1
    assert "disk" not in text(read(result(DONE, out(b"1\n"), err(b"")).composed()))


def test_a_file_with_the_name_of_another_output_is_said_to_be_attached_under_another():
    files = [stream("stdout-2.txt", b"2\n", path="out/named/stdout.txt"), stream("a-2.txt", b"3\n")]
    letter = read(result(DONE, out(b"1\n"), err(b""), *files).composed())
    lines = [" ".join(line.split()) for line in text(letter).splitlines()]
    assert "stdout.txt 2 bytes attached as stdout-2.txt" in lines
    assert "a-2.txt 2 bytes attached" in lines


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (Saying("ends/exit-status", status=137), False),
        # As an older spool has it.
        ("exit status 137", False),
        (Saying("ends/exit-status", status=136), True),
        ("the kernel killed it", True),
    ],
)
def test_the_systems_words_are_told_only_where_they_say_something_new(words, told):
    killed = Exit(reason=Reason.SIGNAL, signal=9, words=words)
    said = text(read(result(killed, out(b"1\n"), err(b"")).composed()))
    assert ("The system's words: " in said) is told
    assert "Perhaps the machine ran out of memory" in said


def test_a_cancelled_job_is_not_told_how_it_was_ended_but_by_whom_else():
    for words, told in (("TERM", False), ("HUP", True)):
        end = Exit(reason=Reason.CANCELLED, words=Saying("ends/by-signal", name=words))
        said = text(read(result(end, out(b""), err(b"")).composed()))
        assert ("The system's words: " in said) is told


def test_a_letter_that_keeps_some_outputs_names_the_line_for_all_once():
    said = text(read(result(DONE, out(b"x" * 99), err(b""), reply=Reply.BRIEF).composed()))
    assert (said + "\n").count("\n  results\n") == 1
