"""What a message's text and attachments are read as, for one service."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.model import Attachment, Message, Notify, Reply, Request, Slice, Unclear
from mailgate.parse.message import read_message
from mailgate.parse.request import MOST_LINES, read_request
from mailgate.parse.unfit import shown
from mailgate.services import Service, load

ALIGN = """
command = ["align", "--tree", "{tree}", "{input:sequences}"]
[input.sequences]
match = ["*.fa", "*.fasta"]
max_size = "1 KiB"
[parameter.tree]
type = "choice"
choices = ["sl", "upgma"]
default = "sl"
[limits]
work = "1h"
"""
COUNT = """
command = ["count", "{level}", "{title}", "{ratio}", "{loud}", "{mode}"]
stdin = "text"
[input.text]
from = "body"
required = false
[parameter.level]
type = "integer"
min = -3
max = 9
[parameter.title]
type = "text"
max_length = 40
default = "none"
[parameter.ratio]
type = "number"
default = 0.5
[parameter.loud]
type = "flag"
[parameter.mode]
type = "choice"
choices = ["a b", "c:d", "e=f"]
default = "a b"
"""
PAIR = """
command = ["pair", "{input:one}", "{input:other}", "{input:tree}", "{input:third}"]
[input.one]
match = ["*.fa", "*.fasta"]
[input.other]
match = ["*.fa"]
[input.third]
[input.tree]
match = ["*.nwk"]
required = false
"""


def service(folder: Path, words: str, name: str = "align") -> Service:
    file = folder / f"{name}.toml"
    file.write_text(words, encoding="utf-8")
    return load(file)


@pytest.fixture(scope="module")
def align(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service(tmp_path_factory.mktemp("services"), ALIGN)


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service(tmp_path_factory.mktemp("services"), COUNT, "count")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service(tmp_path_factory.mktemp("services"), 'command = ["true"]', "plain")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return service(tmp_path_factory.mktemp("services"), PAIR, "pair")


def attached(name: str | None, size: int = 10, media_type: str = "text/plain") -> Attachment:
    digest = hashlib.sha256(f"{name}{size}".encode()).hexdigest()
    place = Slice(start=size, end=size + 10, encoding="base64")
    return Attachment(name=name, media_type=media_type, size=size, sha256=digest, slice=place)


FA = attached("globins.fa")


def message(*lines: str, files: tuple[Attachment, ...] = ()) -> Message:
    return Message(
        message_id=None, from_=("a@example.org",), to=(), subject=None, date=None, lines=lines,
        attachments=files, automatic=None, defects=(), content="",
    )  # fmt: skip


def clear(service: Service, *lines: str, files: tuple[Attachment, ...] = ()) -> Request:
    request = read_request(message(*lines, files=files), service)
    assert isinstance(request, Request), request
    return request


def unclear(service: Service, *lines: str, files: tuple[Attachment, ...] = ()) -> Unclear:
    request = read_request(message(*lines, files=files), service)
    assert isinstance(request, Unclear), request
    return request


def faults(answer: Unclear) -> list[str]:
    return [f"{line.quoted} | {line.meaning}" for line in answer.lines if line.wrong]


# --- lines ----------------------------------------------------------------------------------------


def test_an_empty_body_is_fine_where_everything_has_a_default(align: Service) -> None:
    request = clear(align, files=(FA,))
    assert request.parameters == {"tree": "sl"}
    assert [item.name for item in request.inputs] == ["sequences"]
    assert request.inputs[0].slice == FA.slice


@pytest.mark.parametrize(
    "line",
    [
        "tree: upgma",
        "tree=upgma",
        "TREE :  upgma ",
        "\u201ctree\u201d: upgma",
        "\u00a0tree\u00a0=\u00a0upgma",
        "tree：upgma",
    ],
)
def test_a_key_is_found_however_it_is_written(align: Service, line: str) -> None:
    assert clear(align, "", line, files=(FA,)).parameters == {"tree": "upgma"}


@pytest.mark.parametrize(
    "line", ["work-limit: 30 min", "Work limit = 30m", "work_limit: 0.5h", "work–limit: 1800s"]
)
def test_blanks_dashes_and_underscores_mean_the_same_in_a_key(align: Service, line: str) -> None:
    assert clear(align, line, files=(FA,)).work_limit == timedelta(minutes=30)


def test_the_general_keys_are_read(align: Service) -> None:
    request = clear(
        align, "service: Align", "label: globins, second  try", "keep: 2 weeks", "notify: start, Progress",
        "reply: brief", "dry-run: yes", files=(FA,),
    )  # fmt: skip
    assert request.label == "globins, second try"
    assert request.keep == timedelta(days=14)
    assert request.notify == {Notify.START, Notify.PROGRESS}
    assert request.reply is Reply.BRIEF
    assert request.dry_run


@pytest.mark.parametrize(
    ("value", "events", "every"),
    [
        ("every 7d", set(), timedelta(days=7)),
        ("Start, every 12 hours", {Notify.START}, timedelta(hours=12)),
        ("every 1h; progress", {Notify.PROGRESS}, timedelta(hours=1)),
        ("None", {Notify.END}, None),
        ("every week", set(), timedelta(days=7)),
        ("every\u00a07\u202fd", set(), timedelta(days=7)),
    ],
)
def test_news_can_be_asked_for_as_often_as_every_hour(align: Service, value, events, every) -> None:
    request = clear(align, f"notify: {value}", files=(FA,))
    assert (set(request.notify), request.every) == (events, every)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tre: upgma", 'there is no parameter "tre"; did you mean "tree"?'),
        ("tree: upgna", 'did you mean "upgma"?'),
        ("tree: UPGMA", 'did you mean "upgma"?'),
        ("tree: nj", 'expected "sl" or "upgma"'),
        ("tree:", "is empty"),
        ("tree: -x", 'begins with "-"'),
        ("tree upgma", 'did you mean "tree: upgma"?'),
        ("service: blast", 'this mail went to the service "align"'),
        ("work-limit: 2h", "2 hours is over the service's limit of 1 hour"),
        ("work-limit: 30", 'such as "30 minutes", at most 1 hour'),
        ("work-limit: 0s", "under a second"),
        ("keep: 91d", "91 days is over the service's limit of 90 days"),
        ("keep: 999999999999 weeks", "is no duration"),
        ("notify: strat", 'did you mean "start"?'),
        ("notify: every 7 bananas", '"7 bananas" is no duration'),
        ("notify: every 5m", "a mail every 5 minutes is not sent"),
        ("notify: every 5m", 'expected "receipt", "start", "end", "progress" or "every 7d"'),
        ("notify:", "is no event"),
        ("reply: short", 'expected "brief", "inline", "attach", "parts=300KiB" or "full"'),
        ("reply: link", "results cannot be fetched by a link here; expected"),
        ("reply: parts", '"parts" needs a size, as in "parts=300KiB"'),
        ("reply: parts=1KiB", "a part has at least 32 KiB"),
        ("reply: parts=many", '"many" is no size such as "300KiB"'),
        ("dry-run: perhaps", "neither yes nor no"),
        ("label:", "the label is empty"),
        ("http://example.org/", 'there is no parameter "http"'),
        ("sequences: other.fa", 'there is no attachment "other.fa"'),
    ],
)
def test_a_line_that_is_not_understood_is_answered_with_what_is_wrong(
    align: Service, line: str, said: str
) -> None:
    answer = unclear(align, line, files=(FA,))
    assert any(said in fault for fault in faults(answer)), faults(answer)
    assert str(answer.mend).startswith("Send it again with ")
    assert str(answer.mend).endswith(".")


def test_a_long_value_leaves_room_for_what_is_expected(align: Service) -> None:
    long = "as long as it takes " * 40
    for key in ("work-limit", "cores", "memory", "keep", "notify", "reply", "watch", "dry-run"):
        (fault,) = (f for f in faults(unclear(align, f"{key}: {long}", files=(FA,))))
        assert len(fault) < 300, fault


# --- what of the machine ---


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Service:
    words = 'command = ["tool"]\n[limits]\ncores_max = 8\nmemory_max = "1500 MB"\n'
    return service(tmp_path_factory.mktemp("services"), words, "roomy")


@pytest.mark.parametrize(
    ("line", "cores", "memory"),
    [
        ("cores: 8", 8, None),
        ("Cores = 4 cores", 4, None),
        ("memory: 1 GiB", None, 1 << 30),
        ("memory: 1g", None, 1 << 30),
        ("memory: 512M", None, 512 << 20),
        ("memory: 1.5 GB", None, 1_500_000_000),
        ("", None, None),
    ],
)
def test_a_request_asks_for_cores_and_memory_within_what_the_service_allows(
    roomy: Service, line: str, cores: int | None, memory: int | None
) -> None:
    request = clear(roomy, line)
    assert (request.cores, request.memory) == (cores, memory)


@pytest.mark.parametrize(
    ("line", "said", "mend"),
    [
        ("cores: 9", "9 cores is over the service's limit of 8", "a whole number from 1 to 8"),
        ("cores: 0", '"0" is no number of cores', "from 1 to 8"),
        ("cores: all", '"all" is no number of cores', "from 1 to 8"),
        ("cores: ²", "is no number of cores", "from 1 to 8"),
        ("cores: " + "9" * 5000, "expected a whole number", "from 1 to 8"),
        ("memory: 2 GiB", "2 GiB is over the service's limit of 1430 MiB", '"1430 MiB"'),
        ("memory: 4", '"4" is no size', 'a size such as "1430 MiB", which is the most'),
        ("memory: 4 KiB", "under 1 MiB", "1430 MiB"),
        ("memory: lots", '"lots" is no size', "1430 MiB"),
        ("please use 4 cores for it", 'only in a line "cores: 4"', 'a line "cores: 4"'),
        ("it needs 1.4 GB RAM", 'only in a line "memory: 1.4 GB"', 'a line "memory: 1.4 GB"'),
        ("on 64 cores", 'is read only in a line "cores: 8"', 'a line "cores: 8"'),
    ],
)
def test_what_is_over_the_limit_is_told_with_the_limit_and_a_line_that_would_do(
    roomy: Service, line: str, said: str, mend: str
) -> None:
    answer = unclear(roomy, line)
    assert any(said in fault for fault in faults(answer)), faults(answer)
    assert mend in str(answer.mend)


def test_a_limit_that_is_named_can_be_sent_back_as_it_stands(roomy: Service) -> None:
    assert clear(roomy, "memory: 1430 MiB").memory == 1430 << 20


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cores: 2", "2 cores is over the service's limit of 1"),
        ("memory: 1 GiB", "memory cannot be asked for at this service"),
        ("memory: lots", "memory cannot be asked for at this service"),
    ],
)
def test_where_nothing_can_be_asked_for_the_line_is_to_be_left_out(
    plain: Service, line: str, said: str
) -> None:
    answer = unclear(plain, line)
    assert faults(answer) == [f"{line} | {said}"]
    assert str(answer.mend) == f'Send it again with the line "{line}" left out.'
    assert clear(plain, "We have 4 cores and 16 GB RAM here.").ignored


def test_every_line_is_accounted_for_and_what_was_right_is_in_the_example(align: Service) -> None:
    answer = unclear(
        align, "service: align", "tre: upgma", "label: x", files=(FA, attached("me.vcf", 2048))
    )
    assert [(str(line.quoted), line.wrong) for line in answer.lines] == [
        ("service: align", False), ("tre: upgma", True), ("label: x", False),
        ("globins.fa", False), ("me.vcf, 2 KiB", False),
    ]  # fmt: skip
    assert str(answer.lines[1].meaning) == 'there is no parameter "tre"; did you mean "tree"?'
    assert str(answer.lines[3].meaning) == '10 bytes as "sequences"'
    assert str(answer.mend) == 'Send it again with "tree: upgma" instead of "tre: upgma".'
    assert answer.example == ("service: align", "label: x", "tree: upgma")


@pytest.mark.parametrize(
    "line", ["tre: upgma", "tree: upgna", "tree: UPGMA", "please take tree=upgma for these"]
)
def test_the_example_has_the_value_that_was_nearly_given(align: Service, line: str) -> None:
    assert unclear(align, line, files=(FA,)).example == ("tree: upgma",)
    # One that cannot be is no example, nor is one that was given rightly beside it overruled.
    assert unclear(align, "tre: nj", files=(FA,)).example == ("tree: sl",)
    assert unclear(align, "tree: sl", "tre: upgma", files=(FA,)).example == ("tree: sl",)


def test_what_is_nearly_a_key_that_is_given_is_to_be_left_out(align: Service) -> None:
    answer = unclear(align, "tree: sl", "tre: upgma", files=(FA,))
    assert 'did you mean "tree"?' in faults(answer)[0]
    assert str(answer.mend) == 'Send it again with the line "tre: upgma" left out.'


def test_a_key_that_is_given_twice_is_wrong(align: Service) -> None:
    assert faults(unclear(align, "tree: sl", "Tree = sl", files=(FA,))) == [
        'Tree = sl | "Tree" is given twice'
    ]


@pytest.mark.parametrize("blank", [(), ("",)])
def test_who_asks_for_two_jobs_in_a_mail_is_told_to_send_two(align: Service, blank: tuple) -> None:
    lines = ("service: align", "tree: sl", *blank, "service: count")
    answer = unclear(align, *lines, files=(FA,))
    assert faults(answer) == ['service: count | "service" is given twice: a mail asks for one job']
    assert str(answer.mend) == (
        'Send it again with "service" given once, and each other job in a mail of its own.'
    )


def test_what_was_set_above_the_blank_line_is_not_to_be_set_there_again(align: Service) -> None:
    answer = unclear(align, "tree: sl", "", "tree: upgma", files=(FA,))
    assert faults(answer) == ['tree: upgma | "tree" is given twice']
    assert str(answer.mend) == 'Send it again with "tree" given once.'


def test_a_parameter_without_default_that_the_command_uses_must_be_given(count: Service) -> None:
    answer = unclear(count)
    assert faults(answer) == ['(missing) | "level" must be given: a whole number from -3 to 9']
    assert str(answer.mend) == 'Send it again with a line "level: -3".'


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("level: \u22123", "-3"),
        ("level: \u20133", "-3"),
        ("level:\u00a07\u202f", "7"),
        ("ratio: 10\u202f000", "10000"),
        ("ratio: 1\u00a0234\u00a0567.5", "1234567.5"),
        ("ratio: 1e\u22123", "1e-3"),
    ],
)
def test_a_number_may_have_the_dashes_and_blanks_of_typography(
    count: Service, line: str, value: str
) -> None:
    name = line.partition(":")[0]
    given = clear(count, *(["level: 1"] if name != "level" else []), line)
    assert given.parameters[name] == value


@pytest.mark.parametrize("line", ["ratio: 10 000", "ratio: 1\u00a023", "ratio: 1\u202f0000"])
def test_a_blank_that_may_divide_two_numbers_is_no_part_of_one(count: Service, line: str) -> None:
    assert "is not a number" in faults(unclear(count, line))[0]


@pytest.mark.parametrize(
    ("given", "point"), [("0,001", "0.001"), ("12,5", "12.5"), ("1,5e-3", "1.5e-3")]
)
def test_a_decimal_comma_is_answered_with_the_point(count: Service, given: str, point: str) -> None:
    answer = unclear(count, "level: 1", f"ratio: {given}")
    assert f'is not a number (did you mean "{point}"?)' in faults(answer)[0]
    mend = f'Send it again with "ratio: {point}" instead of "ratio: {given}".'
    assert str(answer.mend) == mend
    assert f"ratio: {point}" in answer.example


@pytest.mark.parametrize("given", ["1,000", "12,345", "1,2,3", ",5", "1.5,5", "-0,5"])
def test_what_may_be_no_decimal_comma_is_no_number_and_no_more(count: Service, given: str) -> None:
    assert "did you mean" not in faults(unclear(count, "level: 1", f"ratio: {given}"))[0]


def test_words_keep_their_dashes_and_blanks(count: Service) -> None:
    assert (
        clear(count, "level: 1", "title: a\u00a0\u2013 b").parameters["title"] == "a\u00a0\u2013 b"
    )


@pytest.mark.parametrize("value", ["-3", "+4", "0", "9"])
def test_a_number_may_be_negative_where_its_least_allows(count: Service, value: str) -> None:
    assert clear(count, f"level: {value}").parameters["level"] == value


@pytest.mark.parametrize(
    "line",
    [
        "level: -4",
        "level: 10",
        "level: 1.5",
        "level: ９",
        "level: 1 000",
        "level: 1e3",
        "ratio: -0.1",
        "ratio: nan",
        "ratio: inf",
        "ratio: 1e999",
        "ratio: 1,5",
        "ratio: 0x10",
        f"level: {'1' * 5000}",
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused_by_name(count: Service, line: str) -> None:
    lines = (line,) if line.startswith("level") else ("level: 1", line)
    name = line.partition(":")[0]
    assert f'the value of "{name}"' in faults(unclear(count, *lines))[0]


@pytest.mark.parametrize(
    "value", ["a\0b", "a\rb", "a\x0bb", "a\u2028b", "a\x85b", "\x1b[31m", "a\ud800b"]
)
def test_a_value_with_a_line_break_or_control_character_is_refused(
    count: Service, value: str
) -> None:
    answer = unclear(count, "level: 1", f"title: {value}")
    assert "holds a line break or control character" in faults(answer)[0]
    assert all(str(line.quoted).isprintable() for line in answer.lines)


@pytest.mark.parametrize("value", ["--output=/etc/shadow", "-rf", "-"])
def test_a_value_that_could_be_an_option_is_refused(count: Service, value: str) -> None:
    assert 'begins with "-"' in faults(unclear(count, "level: 1", f"title: {value}"))[0]


@pytest.mark.parametrize(
    "value",
    [
        "; rm -rf /",
        "$(reboot)",
        "`id`",
        "../../x",
        "a | b > c",
        "{tree}",
        "%s",
        "'\"",
        "“quoted”",
        "a\tb",
    ],
)
def test_shell_words_in_a_value_are_only_words(count: Service, value: str) -> None:
    assert clear(count, "level: 1", f"title: {value}").parameters["title"] == value


def test_a_label_is_one_short_line_without_control_characters(align: Service) -> None:
    request = clear(align, f"label: a\rBcc: x@example.org\x00\u202e {'z' * 500}", files=(FA,))
    assert request.label is not None
    assert request.label.isprintable()
    assert len(request.label) == 100
    assert request.label.startswith("a Bcc: x@example.org z")


def test_the_example_works_when_it_is_sent(align: Service, count: Service, plain: Service) -> None:
    assert clear(align, *unclear(align, "x: y", files=(FA,)).example, files=(FA,))
    assert clear(count, *map(str, unclear(count, "x: y").example)).parameters["level"] == "-3"
    assert clear(plain, *map(str, unclear(plain, "x: y").example))


def test_where_files_fit_more_than_one_input_the_example_says_which_is_which(
    pair: Service, align: Service
) -> None:
    answer = unclear(pair)
    assert answer.example == ("one: one.fa", "other: other.fa", "third: third")
    assert str(answer.attach[0]) == "a file such as one.fa"
    answer = unclear(pair, "one: a.fa", "other: b.fa", files=(attached("a.fa"), attached("b.fa")))
    assert answer.example == ("one: a.fa", "other: b.fa")
    assert tuple(map(str, answer.attach)) == ("a.fa", "b.fa", "a file")
    assert unclear(align, "sequences: b.fa", files=(FA,)).example == ("tree: sl",)


def test_the_example_says_which_files_to_attach(align: Service, tmp_path: Path) -> None:
    assert tuple(map(str, unclear(align, "x: y").attach)) == ("a file such as sequences.fa",)
    assert unclear(align, "x: y", files=(FA,)).attach == ("globins.fa",)
    words = 'command = ["x"]\n[input.data]\n[input.tree]\nmatch = ["t?.[n]wk", "run-*.nwk"]'
    two = service(tmp_path, f"{words}\n[input.notes]\nrequired = false", "two")
    assert tuple(map(str, unclear(two).attach)) == ("a file", "a file such as run-tree.nwk")


def test_an_example_of_a_time_is_within_the_services_limits(tmp_path: Path) -> None:
    words = 'command = ["true"]\n[limits]\nwork = "5m"\nkeep = "1d"\nkeep_max = "2d"'
    short = service(tmp_path, words, "short")
    assert 'such as "5 minutes", at most 5 minutes' in str(unclear(short, "work-limit: x").mend)
    assert 'such as "2 days", at most 2 days' in str(unclear(short, "keep: x").mend)
    assert '"work-limit: 5 minutes"' in str(unclear(short, "a work limit would do").mend)


def test_an_unclear_answer_tells_what_the_service_takes(tmp_path: Path) -> None:
    words = """
summary = "Fold a protein"
command = ["fold", "{input:model}", "{rounds}", "{seed}"]
[input.model]
match = ["*.pdb"]
[input.notes]
from = "body"
required = false
[parameter.rounds]
type = "integer"
summary = "how often to begin anew"
[parameter.seed]
type = "integer"
default = 1
[parameter.spare]
type = "flag"
"""
    answer = unclear(service(tmp_path, words, "fold"), "x: y")
    assert answer.summary == "Fold a protein"
    assert [(one.key, str(one.what), one.summary) for one in answer.takes] == [
        ("model", "an attachment named *.pdb", ""),
        ("notes", "its text below a blank line, or none", ""),
        ("rounds", "a whole number", "how often to begin anew"),
        ("seed", 'a whole number, "1" if it is left out', ""),
        ("spare", '"yes" or "no", "no" if it is left out', ""),
    ]


# --- what stands around ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "greeting",
    [
        "Hello,",
        "Hi Jane!",
        "Dear all,",
        "Dear Sir or Madam,",
        "Good morning",
        "Hey there",
        "Dear Dr. Müller,",
        "Sehr geehrte Damen und Herren,",
        "Sehr geehrter Herr Dr. Weiß,",
        "Guten Tag",
        "Hallo zusammen,",
        "Liebe Ann!",
        "Bonjour à tous,",
        "Estimada Ann:",
    ],
)
def test_a_greeting_is_passed_over(align: Service, greeting: str) -> None:
    request = clear(align, greeting, "", "tree: upgma", files=(FA,))
    assert request.parameters == {"tree": "upgma"}
    assert tuple(map(str, request.ignored)) == ()


@pytest.mark.parametrize(
    "closing",
    [
        "Thanks,",
        "Best regards",
        "Cheers, Jane",
        "Many thanks in advance!",
        "Mit freundlichen Grüßen",
        "Viele Grüße, Ann",
        "MfG",
        "Vielen Dank im Voraus",
        "Cordialement",
        "Un saludo",
        "Viele Grüße aus Köln",
        "Best regards / Beste Grüße",
    ],
)
def test_a_closing_ends_the_request(align: Service, closing: str) -> None:
    request = clear(
        align, "tree: upgma", closing, "Jane Doe", "Service: Bioinformatics Core", files=(FA,)
    )
    assert request.parameters == {"tree": "upgma"}
    assert tuple(map(str, request.ignored)) == (f'what stands below "{closing}", 2 lines',)


def test_prose_below_the_first_blank_line_is_not_read_and_listed(align: Service) -> None:
    request = clear(
        align, "tree: sl", "", "These came from the freezer.", "Phone: 1234", files=(FA,)
    )
    assert tuple(map(str, request.ignored)) == ('"These came from the freezer."', '"Phone: 1234"')


def test_a_key_of_the_service_below_the_first_blank_line_is_wrong(align: Service) -> None:
    answer = unclear(align, "label: x", "", "tree: upgma", files=(FA,))
    assert faults(answer) == [
        "tree: upgma | stands below the first blank line, where nothing is read"
    ]
    assert (
        str(answer.mend) == 'Send it again with the line "tree: upgma" above the first blank line.'
    )


PROSE = [
    ["Sehr geehrte Damen und Herren,", "", "anbei die Sequenzen.", "", "Mit freundlichen Grüßen", "Ann"],
    ["Hi,", "please align these, thanks!", "Ann"],
    ["Dear all", "could you align the attached globins for me?"],
    ["Guten Tag,", "", "im Anhang finden Sie 45 Sequenzen;", "vielen Dank im Voraus!", "", "MfG", "Ann Lee"],
    ["Please make a tree of these. Keep up the good work!"],
    ["Bonjour,", "voici mes séquences (globins-upgma.fa).", "", "Cordialement", "Ann"],
    ["The file has HBA, HBB and MYG; the e-mail of Tuesday had others: see there."],
    ["We keep 30 mice and limit the noise; please notify my wife."],
    ["Label the columns as you like, I do not mind.", "Service is what we are here for, reply when you can."],
]  # fmt: skip


@pytest.mark.parametrize("lines", PROSE, ids=lambda lines: lines[-1])
def test_sentences_around_what_is_needed_do_not_keep_a_request_from_running(
    align: Service, lines: list[str]
) -> None:
    request = clear(align, *lines, files=(FA,))
    assert request.parameters == {"tree": "sl"}
    assert any(line.startswith('"') for line in tuple(map(str, request.ignored)))


def test_the_letter_says_which_lines_were_not_read(align: Service) -> None:
    request = clear(align, *PROSE[0], files=(FA,))
    assert tuple(map(str, request.ignored)) == (
        '"anbei die Sequenzen."', 'what stands below "Mit freundlichen Grüßen", 1 line',
    )  # fmt: skip
    answer = unclear(align, *PROSE[0])
    assert [str(line.quoted) for line in answer.lines if str(line.meaning) == "not read"] == [
        "anbei die Sequenzen.", 'what stands below "Mit freundlichen Grüßen", 1 line',
    ]  # fmt: skip


def test_keys_are_read_wherever_the_sentences_stand(align: Service) -> None:
    for lines in (
        ["Hello,", "please align these by upgma:", "", "tree: upgma", "", "Thanks", "Ann"],
        ["Please align these.", "tree: upgma", "This is for the paper.", "label: x", "", "More."],
        ["- tree: upgma", "* label: x"],
    ):
        assert clear(align, *lines, files=(FA,)).parameters == {"tree": "upgma"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("please use upgma", 'only in a line "tree: upgma"'),
        ("Bitte mit UPGMA rechnen.", 'only in a line "tree: upgma"'),
        ("tre upgma", 'did you mean "tree: upgma"?'),
        ("tree wpgma", 'did you mean "tree: wpgma"?'),
        ("tree should be upgma", 'did you mean "tree: upgma"?'),
        ("--tree upgma", 'did you mean "tree: upgma"?'),
        ("--tree=wpgma", 'expected "sl" or "upgma"'),
        ("# tree: wpgma", 'did you mean "tree: wpgma"?'),
        ("Dear Ann, tree: wpgma", '"tree" is read only where it begins a line'),
        ("please take tree=wpgma", '"tree" is read only where it begins a line'),
        ("with the tree -> wpgma", '"tree" is read only where it begins a line'),
        ("work limit 30 min", 'did you mean "work-limit: 30 min"?'),
        ("keep 30 days", 'did you mean "keep: 30 days"?'),
        ("reply brief", 'did you mean "reply: brief"?'),
        ("please keep 30 days and count for me.", 'only in a line "keep: 30 days"'),
        ("Could you keep the results for two weeks?", 'only in a line "keep: 2 weeks"'),
        ("with a limit of 20 min please", 'only in a line "work-limit: 20 min"'),
        ("and notify me at the start", 'only in a line "notify: start"'),
        ("please reply brief", 'only in a line "reply: brief"'),
        ("Only a dry run, please.", 'only in a line "dry-run: yes"'),
        ("sequences other.fa", 'did you mean "sequences: other.fa"?'),
        ("foo: bar", 'there is no parameter "foo"'),
        ("my foo = bar", 'there is no parameter "my foo"'),
        ("- foo: bar", 'there is no parameter "foo"'),
    ],
)
def test_a_sentence_that_may_mean_a_setting_is_never_run_without_it(
    align: Service, line: str, said: str
) -> None:
    for lines in ([line], ["Hello,", line], ["Please align these.", line, "", "Ann"]):
        answer = unclear(align, *lines, files=(FA,))
        assert any(said in fault for fault in faults(answer)), faults(answer)


def test_an_unclear_answer_quotes_each_line_once(align: Service) -> None:
    lines = ["keep 30 days", "Please align these.", "please use upgma"]
    answer = unclear(align, *lines, files=(FA,))
    quoted = [str(line.quoted) for line in answer.lines]
    assert sorted(quoted) == sorted([*lines, FA.name])


def test_a_general_setting_in_a_sentence_is_not_asked_about_where_a_line_sets_it(
    align: Service,
) -> None:
    request = clear(align, "Please keep it for 30 days:", "keep: 10 days", files=(FA,))
    assert request.keep == timedelta(days=10)


def test_a_parameter_in_a_sentence_is_asked_about_unless_a_line_sets_it(tmp_path: Path) -> None:
    words = 'command = ["x", "{gap-cost}"]\n[parameter.gap-cost]\ntype = "integer"\ndefault = 3'
    fold = service(tmp_path, words, "fold")
    answer = unclear(fold, "Use a gap cost of 10.")
    assert faults(answer) == [
        'Use a gap cost of 10. | sounds like a setting: "gap-cost" is read only in a line'
        ' "gap-cost: 10"'
    ]
    assert clear(fold, "The gap cost is high:", "gap-cost: 10").parameters == {"gap-cost": "10"}


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("please use 50 rounds", "rounds: 50"),
        ("with ten rounds and 3 seeds, please", "rounds: 10"),
        ("rounds should be 50 for 3 runs", "rounds: 50"),
        ("Set the number of rounds to 50.", "rounds: 50"),
        ("please set rounds=50, thanks", "rounds: 50"),
        ("this many rounds: 50", "rounds: 50"),
        ("Do a few rounds.", "rounds: 60"),
        ("the work limit should be 90 min", "work-limit: 90 min"),
        ("please limit it to an hour", "work-limit: 1 hour"),
        ("please make it fast", "fast: yes"),
    ],
)
def test_the_line_that_is_shown_has_the_value_that_the_sentence_has(
    tmp_path: Path, line: str, right: str
) -> None:
    words = (
        'command = ["x", "{rounds}", "{fast}"]\n'
        '[parameter.rounds]\ntype = "integer"\nmax = 100\ndefault = 60\n'
        '[parameter.fast]\ntype = "flag"'
    )
    assert f'"{right}"' in str(unclear(service(tmp_path, words, "fold"), line).mend)


def test_a_value_that_may_go_on_below_is_asked_about(tmp_path: Path, align: Service) -> None:
    answer = unclear(align, f"label: {'word ' * 14}".strip(), "and the end of it", files=(FA,))
    assert faults(answer) == [
        'and the end of it | may belong to "label" above it, or not: a value has one line'
    ]
    assert clear(align, "label: words", "and a sentence", files=(FA,)).label == "words"
    words = 'command = ["x", "{title}"]\n[parameter.title]\ntype = "text"'
    free = service(tmp_path, words, "free")
    assert '"title" above it' in faults(unclear(free, "title: one", "; two"))[0]
    assert clear(free, "title: one", "", "; two").parameters == {"title": "one"}


@pytest.mark.parametrize("line", ["tre: upgma", "tree: wpgma"])
def test_a_mistyped_key_below_the_first_blank_line_is_wrong(align: Service, line: str) -> None:
    assert faults(unclear(align, "label: x", "", line, files=(FA,)))[0].startswith(line)


def test_a_setting_below_a_closing_is_wrong_and_a_signature_is_not(align: Service) -> None:
    answer = unclear(align, "Please align these.", "Thanks!", "", "tree: upgma", files=(FA,))
    assert faults(answer) == ["tree: upgma | stands below a closing, where nothing is read"]
    clear(
        align,
        "Please align these.",
        "Thanks!",
        "Service: Core",
        "Label: Prof. Ann Lee of the house",
        files=(FA,),
    )


def test_sentences_in_a_request_with_a_body_input_are_not_passed_over(count: Service) -> None:
    answer = unclear(count, "level: 1", "please count these", "", "the text")
    assert 'is no "key: value" line; the text begins below a blank line' in faults(answer)[0]


# --- the body input -------------------------------------------------------------------------------


def test_the_body_input_stands_below_the_first_blank_line(count: Service) -> None:
    request = clear(count, "level: 1", "", "", "first line", "", "level: 2", "  last ", "")
    [item] = request.inputs
    assert item.text == "first line\n\nlevel: 2\n  last \n"
    assert item.size == len(item.text)
    assert item.sha256 == hashlib.sha256(item.text.encode()).hexdigest()
    assert (item.name, item.filename, item.slice) == ("text", "", None)


def test_a_text_without_any_key_is_the_body_input(tmp_path: Path) -> None:
    cat = service(tmp_path, 'command = ["cat"]\nstdin = "t"\n[input.t]\nfrom = "body"', "cat")
    assert clear(cat, "", ">HBA", "MVLSP", "", "Hello,").inputs[0].text == ">HBA\nMVLSP\n\nHello,\n"
    assert clear(cat, "service: cat", "", "key: value").inputs[0].text == "key: value\n"
    assert "text below a blank line" in faults(unclear(cat))[0]
    assert "service: cat" in str(unclear(cat, "key: value").mend)


def test_a_key_within_a_text_that_has_none_above_is_asked_about(count: Service) -> None:
    answer = unclear(count, "Hi,", "", "level: 2", "", "the text")
    assert 'stands in the text for "text"' in faults(answer)[0]


def test_a_body_that_is_too_big_is_told_with_both_sizes(tmp_path: Path) -> None:
    cat = service(
        tmp_path, 'command = ["cat"]\n[input.t]\nfrom = "body"\nmax_size = "1 KiB"', "cat"
    )
    assert faults(unclear(cat, "x" * 3000)) == [
        '(the text) | 2.9 KiB, but "t" may have at most 1 KiB'
    ]


def test_a_text_of_which_only_a_part_was_read_is_never_run(count: Service) -> None:
    cut = replace(message("label: x", "", "the first 8 MiB"), text_cut=True)
    answer = read_request(cut, count)
    assert isinstance(answer, Unclear)
    assert any(line.wrong and "8 MiB" in str(line.meaning) for line in answer.lines)


def test_a_body_with_damage_is_still_text(count: Service) -> None:
    [item] = clear(count, "level: 1", "", "a\ud800b\0c").inputs
    assert item.text == "a?b\0c\n"


# --- attachments ----------------------------------------------------------------------------------


def test_attachments_that_fit_nothing_are_ignored_and_listed(align: Service) -> None:
    request = clear(
        align, files=(attached("smime.p7s", 4096), FA, attached(None, 3), attached("a\r\nb.txt"))
    )
    assert [item.filename for item in request.inputs] == ["globins.fa"]
    assert tuple(map(str, request.ignored)) == (
        "smime.p7s, 4 KiB",
        "(an attachment without a name), 3 bytes",
        "a\\r\\nb.txt, 10 bytes",
    )


def test_two_that_fit_are_asked_about_and_a_line_chooses(align: Service) -> None:
    files = (attached("a.fa", 100), attached("B.FASTA", 200))
    answer = unclear(align, files=files)
    assert faults(answer) == [
        'a.fa | 100 bytes, one of 2 that fit "sequences": which?',
        'B.FASTA | 200 bytes, one of 2 that fit "sequences": which?',
    ]
    assert 'with a line "sequences: a.fa"' in str(answer.mend)
    request = clear(align, "sequences: b.fasta", files=files)
    assert request.inputs[0].filename == "B.FASTA"
    assert tuple(map(str, request.ignored)) == ("a.fa, 100 bytes",)


def test_two_named_alike_are_asked_about_and_no_line_can_choose(align: Service) -> None:
    files = (attached("a.fa", 100), attached("x/a.fa", 200))
    assert "line" not in str(unclear(align, files=files).mend)
    assert len(faults(unclear(align, "sequences: a.fa", files=files))) == 2


def test_a_chosen_attachment_must_fit_all_the_same(align: Service) -> None:
    answer = unclear(align, "sequences: notes.txt", files=(FA, attached("notes.txt")))
    assert faults(answer) == [
        'notes.txt | is no file for "sequences": an attachment named *.fa or *.fasta'
    ]


def test_a_missing_attachment_is_asked_for(align: Service) -> None:
    answer = unclear(align, "tree: sl", files=(attached("globins.txt"),))
    assert faults(answer) == [
        '(missing) | "sequences" is missing: an attachment named *.fa or *.fasta'
    ]
    assert str(answer.mend) == "Send it again with an attachment named *.fa or *.fasta."
    assert [line.missing for line in answer.lines if line.wrong] == [True]


def test_an_attachment_that_is_too_big_is_told_with_both_sizes(align: Service) -> None:
    answer = unclear(align, files=(attached("globins.fa", 58 * 1024),))
    assert faults(answer) == ['globins.fa | 58 KiB, but "sequences" may have at most 1 KiB']


@pytest.mark.parametrize(
    "name", ["../../x.fa", "C:\\x\\-rf.FA", "/etc/x.fa", "-rf.fa", "a\nb.fa", " .fa"]
)
def test_a_hostile_name_is_only_a_name(align: Service, name: str) -> None:
    assert clear(align, files=(attached(name),)).inputs[0].filename == name


def test_an_input_without_patterns_takes_anything_but_signatures(tmp_path: Path) -> None:
    any_file = service(tmp_path, 'command = ["cat"]\n[input.data]', "any")
    card = attached("me.vcf", 5, "text/vcard")
    request = clear(any_file, files=(card, attached(None, 7)))
    assert (request.inputs[0].filename, request.inputs[0].size) == ("", 7)
    assert tuple(map(str, request.ignored)) == ("me.vcf, 5 bytes",)
    assert clear(any_file, files=(card,)).inputs[0].filename == "me.vcf"


def test_inputs_with_patterns_choose_first(tmp_path: Path) -> None:
    two = service(
        tmp_path,
        'command = ["cat"]\n[input.data]\n[input.tree]\nmatch = ["*.nwk"]\nrequired = false',
        "two",
    )
    request = clear(two, files=(attached("t.nwk"), attached("a.fa")))
    assert {item.name: item.filename for item in request.inputs} == {
        "tree": "t.nwk",
        "data": "a.fa",
    }
    assert [item.name for item in clear(two, files=(attached("a.fa"),)).inputs] == ["data"]


def test_one_attachment_serves_one_input(tmp_path: Path) -> None:
    two = service(
        tmp_path,
        'command = ["cat"]\n[input.a]\nmatch = ["*.fa"]\n[input.b]\nmatch = ["*.fa"]',
        "two",
    )
    files = (attached("1.fa"), attached("2.fa"))
    assert '"b" is missing' in faults(unclear(two, files=files[:1]))[0]
    request = clear(two, "b: 1.fa", files=files)
    assert {item.name: item.filename for item in request.inputs} == {"a": "2.fa", "b": "1.fa"}


# --- floods ---------------------------------------------------------------------------------------


def test_ten_thousand_parameters_get_one_short_answer(align: Service) -> None:
    answer = unclear(align, *(f"p{n}: {n}" for n in range(10_000)), files=(FA,))
    assert faults(answer) == [
        f"10000 lines | a request has at most {MOST_LINES} lines above its first blank line"
    ]


@pytest.mark.parametrize("line", ["aaab bbbc ccct: x", "- aaab bbbc ccct: x", "tree: sl", "words"])
def test_a_flood_of_lines_is_not_read_line_by_line(
    align: Service, line: str, calls_of: Callable[[Callable[[], object]], int]
) -> None:
    flood = message("tree: sl", *[line] * 3000)
    assert calls_of(lambda: read_request(flood, align)) < 3000 * 30
    assert isinstance(read_request(flood, align), Unclear)


def test_one_line_of_very_many_closings_is_none(
    align: Service, calls_of: Callable[[Callable[[], object]], int]
) -> None:
    long = "thanks/" * 10_000
    assert calls_of(lambda: clear(align, "tree: sl", long, files=(FA,))) < 10_000
    ignored = clear(align, "tree: sl", long, files=(FA,)).ignored
    assert tuple(map(str, ignored)) == (f'"{shown(long, 60)}"',)


def test_many_wrong_lines_are_summed_up(align: Service) -> None:
    answer = unclear(align, *(f"p{n}: {n}" for n in range(150)), "tree: sl", files=(FA,))
    assert len(answer.lines) == 20 + 1 + 1 + 1
    assert "and 130 more lines | wrong too" in faults(answer)


def test_a_long_line_is_quoted_in_short(align: Service) -> None:
    answer = unclear(align, "x" * 1_000_000, "k: " + "y" * 1_000_000, files=(FA,))
    assert all(
        len(str(line.quoted)) <= 80 and len(str(line.meaning)) < 500 for line in answer.lines
    )
    assert len(str(answer.mend)) < 1000


# --- whatever comes -------------------------------------------------------------------------------

LINES = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.tuples(
            st.sampled_from(["tree", "Tree ", "label", "level", "text", "notify", "keep", "sequences", "loud", "one", "third"]),
            st.sampled_from([":", "=", " : "]), st.text(max_size=20) | st.sampled_from(["a.fa", "b.fa"]),
        ).map("".join),
        st.sampled_from(["", " ", "Hello,", "Thanks", "level: 1", "reply: brief"]),
    ),
    max_size=30,
)  # fmt: skip
FILES = st.lists(
    st.builds(
        attached,
        st.none() | st.text(max_size=20) | st.sampled_from(["a.fa", "b.FA", "../a.fa"]),
        st.integers(0, 3000),
    ),
    max_size=5,
)


@given(lines=LINES, files=FILES)
def test_whatever_the_lines_and_attachments_are_there_is_an_answer(
    align: Service,
    count: Service,
    plain: Service,
    pair: Service,
    lines: list[str],
    files: list[Attachment],
) -> None:
    mail = message(*lines, files=tuple(files))
    for asked in (align, count, plain, pair):
        answer = read_request(mail, asked)
        if isinstance(answer, Unclear):
            assert faults(answer)
            assert all(f"{line.quoted}{line.meaning}".isprintable() for line in answer.lines)
            assert f"{answer.mend!s}{''.join(map(str, answer.example))}".replace(
                "\t", ""
            ).isprintable()
            sent = tuple(
                attached(name.removeprefix("a file such as "))
                for name in tuple(map(str, answer.attach))
            )
            assert clear(asked, *map(str, answer.example), files=sent)
        else:
            for name, parameter in asked.parameters.items():
                assert parameter.fault(answer.parameters[name]) is None


WORDS = (
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40)
    .map(str.strip)
    .filter(lambda words: words and not words.startswith("-"))
)


@given(
    level=st.integers(-3, 9), title=WORDS, ratio=st.floats(0, 1e9), loud=st.booleans(),
    mode=st.sampled_from(["a b", "c:d", "e=f"]), sign=st.sampled_from([": ", "=", " = "]),
    body=st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])), max_size=5),
)  # fmt: skip
def test_a_request_written_from_a_services_parameters_reads_back_as_itself(
    count: Service, level, title, ratio, loud, mode, sign, body
) -> None:
    values = {
        "level": str(level),
        "title": title,
        "ratio": str(ratio),
        "loud": "yes" if loud else "no",
        "mode": mode,
    }
    request = clear(count, *(f"{name}{sign}{value}" for name, value in values.items()), "", *body)
    assert request.parameters == values
    text = "\n".join(body).strip()
    assert "".join(item.text or "" for item in request.inputs).strip() == text


def test_the_same_service_without_access_reads_the_same(align: Service) -> None:
    assert read_request(message(files=(FA,)), replace(align, name="other")) == replace(
        clear(align, files=(FA,)), service="other"
    )


# --- what was lost on the way ---------------------------------------------------------------------

HEAD = "From: a@example.org\nMIME-Version: 1.0\n"


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Service:
    words = 'command = ["cat"]\nstdin = "text"\n[input.text]\nfrom = "body"\n'
    return service(tmp_path_factory.mktemp("services"), words, "take")


def asked(service: Service, mail: str) -> Request | Unclear:
    return read_request(read_message(io.BytesIO(mail.replace("\n", "\r\n").encode())), service)


@pytest.mark.parametrize(
    ("mail", "fault"),
    [
        (f"{HEAD}In-Reply-To: <1@x>\n\n>s1 human\nMKV\n\n>s2 a b\nMKV\n", "quoted mail and left out of it: 2 lines"),
        (f"{HEAD}\none\n> two\nthree\n", "quoted mail and left out of it: 1 line"),
        (f"{HEAD}\none\n\n-----Original Message-----\ntwo\n", "quoted mail and left out of it: 1 line"),
        (f"{HEAD}\none\n--\ntwo\nthree\n", 'signature below "--" and left out of it: 2 lines'),
        (f"{HEAD}Content-Transfer-Encoding: base64\n\nb25lCg=", "arrived damaged: base64 that"),
        (f"{HEAD}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable"
         "\n\na=FFb\n", 'arrived damaged: bytes that are not "utf-8"'),
        (f"{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n", "the mail breaks off"),
    ],
)  # fmt: skip
def test_a_body_input_that_lost_something_is_not_run(take: Service, mail: str, fault: str) -> None:
    answer = asked(take, mail)
    assert isinstance(answer, Unclear), answer
    (said,) = faults(answer)
    assert said.startswith("(the text) | ")
    assert fault in said
    assert "attached as a file" in str(answer.mend)


@pytest.mark.parametrize(
    "mail",
    [
        f"{HEAD}\none\n\n-- \nAnn\n2 Road\n",
        f"{HEAD}Content-Type: text/plain; format=flowed\n\none\n\n-- \nAnn\n2 Road\n",
        f"{HEAD}Content-Type: text/html\n\n<p>one</p><div>-- <br>Ann<br>2 Road</div>\n",
    ],
)
def test_a_signature_below_a_body_input_is_only_named(take: Service, mail: str) -> None:
    request = asked(take, mail)
    assert isinstance(request, Request), request
    assert request.inputs[0].text == "one\n"
    assert tuple(map(str, request.ignored)) == ("the signature, 2 lines",)


def test_a_bare_rule_with_nothing_below_loses_nothing(take: Service) -> None:
    assert isinstance(asked(take, f"{HEAD}\none\n--\n\n"), Request)


BROKEN = (
    f"{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntree: sl\n--b\n"
    "Content-Type: application/octet-stream; name={}\nContent-Transfer-Encoding: base64\n\n{}\n{}"
)


@pytest.mark.parametrize(
    ("content", "end", "fault"),
    [("Pm9uZ", "--b--\n", "base64 that breaks off"), ("Pm9u", "", "the mail breaks off inside it")],
)
def test_an_attachment_that_arrived_damaged_is_not_used(
    align: Service, content: str, end: str, fault: str
) -> None:
    answer = asked(align, BROKEN.format("x.fa", content, end))
    assert isinstance(answer, Unclear), answer
    assert faults(answer) == [
        f'x.fa | arrived damaged, so that "sequences" is not what was sent: {fault}'
    ]
    assert str(answer.mend) == "Send it again with x.fa attached anew."


def test_damage_to_what_is_not_used_does_no_harm(plain: Service) -> None:
    for content, end in (("Pm9uZ", "--b--\n"), ("Pm9u", "")):
        mail = BROKEN.replace("tree: sl", "label: x").format("x.fa", content, end)
        assert isinstance(asked(plain, mail), Request)
