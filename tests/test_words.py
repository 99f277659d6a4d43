import ast
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from mailgate import said, share
from mailgate.log import escaped
from mailgate.saying import Saying
from mailgate.spool import codec
from mailgate.wording import FOLDER, Wording, speaking
from tests.source import modules

WORDS = share.path("templates", FOLDER)
# What sentences are made of stands here; none of it is said alone.
PARTS = "phrases"
LANGUAGE = """\
plural = "n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2"
decimal = ","
thousands = " "
months = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
moment = "{day}.{month}.{year} {hour}.{minute}"
[duration]
day = ["den", "dni", "dnei"]
hour = ["chas", "chasa", "chasov"]
minute = ["minuta", "minuty", "minut"]
second = ["sekunda", "sekundy", "sekund"]
instant = "mig"
[size]
byte = ["bait", "baita", "bait"]
units = ["KiB", "MiB", "GiB", "TiB"]
[other]
percent = "{amount}%"
signal = "signal {number}"
signal_named = "signal {number} SIG{name}"
"""


def sayings():
    """Yield every sentence that the package names: its name, and the facts that it is given."""
    groups = {path.stem for path in WORDS.glob("*.j2")}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                for name in names(node.args[0]):
                    if name.partition("/")[0] in groups and "/" in name:
                        yield name, {word.arg for word in node.keywords if word.arg}, path


def names(node):
    match node:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp(body=one, orelse=other):
            return [*names(one), *names(other)]
        case _:
            return []


def macros():
    """Return every sentence that there are words for, with the facts that it takes."""
    own = Wording()._shipped
    return {
        f"{path.stem}/{name.replace('_', '-')}": set(facts)
        for path in WORDS.glob("*.j2")
        for name, facts in own.groups_of(path.stem).items()
    }


def test_every_sentence_has_words_about_the_facts_that_it_is_given():
    known = macros()
    wrong = [
        (name, facts, path.name) for name, facts, path in sayings() if known.get(name) != facts
    ]
    assert not wrong
    assert len(known) > 100


def test_no_words_are_there_that_nobody_says():
    used = {name for name, _, _ in sayings()}
    texts = {path.stem: path.read_text(encoding="utf-8") for path in WORDS.glob("*.j2")}
    for name in macros():
        group, _, sentence = name.partition("/")
        within = texts[group].count(f"{sentence.replace('-', '_')}(") > 1
        assert name in used or group == PARTS or within, name


def test_a_sentence_is_said_about_its_facts():
    limit = Saying("keys/over-limit", span=timedelta(hours=2), most=timedelta(minutes=90))
    assert str(limit) == "2 hours is over the service's limit of 1 hour 30 minutes"
    mend = Saying("keys/another", key="work-limit", expected=limit)
    assert str(mend).endswith('"work-limit": ' + str(limit))
    assert repr(limit).startswith("Saying('keys/over-limit', span=")
    assert escaped(str(mend)) == str(mend)


def test_where_a_gateway_speaks_its_own_words_count_and_the_shipped_ones_fill_in(tmp_path):
    own = tmp_path / FOLDER
    own.mkdir()
    (own / "keys.j2").write_text("{% macro over_limit(span, most) %}max {{ most }}{% endmacro %}")
    (own / said.FILE).write_text(LANGUAGE)
    sentence = Saying("keys/over-limit", span=timedelta(hours=2), most=timedelta(hours=1))
    with speaking(Wording(tmp_path)):
        assert str(sentence) == "max 1 chas"
        assert str(Saying("keys/empty-label")) == "the label is empty"
        assert said.duration(timedelta(days=5, hours=2)) == "5 dnei 2 chasa"
        assert said.size(1331) == "1,3 KiB"
        assert said.size(1022) == "1 022 baita"
        assert said.moment(datetime(2026, 12, 5, 14, 0, tzinfo=UTC)) == "5.XII.2026 14.00"
        assert said.percent(99.5) == "99,5%"
        assert said.signal(9) == "signal 9 SIGKILL"
    assert str(sentence).startswith("2 hours is over")
    assert said.size(1331) == "1.3 KiB"
    assert not Wording(tmp_path).wrong()


def test_one_file_alone_takes_in_what_the_shipped_one_does(tmp_path):
    own, shipped = tmp_path / FOLDER, (WORDS / "replies.j2").read_text("utf-8")
    own.mkdir()
    (own / "replies.j2").write_text(shipped.replace("results cannot be fetched by a link", "kein"))
    wording = Wording(tmp_path)
    assert not wording.wrong()
    with speaking(wording):
        assert str(Saying("replies/no-link")) == "kein here"
        assert str(Saying("replies/expected", words=("a", "b"))) == '"a" or "b"'
    oder = '{% macro one_of(words) %}{{ words | join(" oder ") }}{% endmacro %}'
    (own / "phrases.j2").write_text(oder)
    with speaking(Wording(tmp_path)):
        assert str(Saying("replies/expected", words=("a", "b"))) == "a oder b"


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("keys.j2", '{% from "parts.j2" import near %}', "parts.j2"),
        ("keys.j2", "{% macro over_limit(span) %}{{ most }}{% endmacro %}", "it gets span, most"),
        ("keys.j2", "{% macro nonsense() %}x{% endmacro %}", "there is no sentence nonsense"),
        ("keys.j2", "\n{% macro over_limit(span, most %}", "keys.j2:2: "),
        ("kyes.j2", "", "no such words"),
        ("units.toml", 'plural = "n != 1"', "there is no "),
        ("units.toml", LANGUAGE.replace("{day}", "{dag}"), "dag"),
    ],
)
def test_words_that_cannot_be_used_are_told_and_the_shipped_ones_are_said(
    tmp_path, file, text, fault
):
    own = tmp_path / FOLDER
    own.mkdir()
    (own / file).write_text(text)
    wording = Wording(tmp_path)
    assert any(str(own / file) in line and fault in line for line in wording.wrong())
    with speaking(wording):
        assert str(Saying("keys/over-limit", span=timedelta(1), most=timedelta(2))).startswith(
            "1 day"
        )


def test_a_sentence_of_a_later_version_is_named_and_not_lost():
    assert str(Saying("keys/of-tomorrow", key="x")) == "of-tomorrow: key x"
    assert str(Saying("nowhere/at-all")) == "nowhere/at-all"


def test_a_sentence_is_kept_and_handed_on_as_what_it_is():
    inner = Saying("keys/over-limit", span=timedelta(hours=2), most=timedelta(hours=1))
    outer = Saying("request/again", mends=(inner, "so"), at=datetime(2026, 1, 1, tzinfo=UTC))
    assert pickle.loads(pickle.dumps(outer)) == outer
    assert codec.worded(codec.words(outer)) == outer
    assert hash(codec.worded(codec.words(outer))) == hash(outer)
    assert codec.load(tuple[Saying, ...], codec.dump((outer, inner))) == (outer, inner)


@pytest.mark.parametrize("text", ["plain", "", '{"$say": "keys/empty-label"}', '{"$say"'])
def test_somebodys_own_words_stay_his_own(text):
    kept = codec.words(text)
    assert len(codec.words(text, most=3)) <= 4
    assert isinstance(codec.worded(kept), str)
    assert str(codec.worded(kept)).strip() == text
    # As an older spool has it.
    assert str(codec.worded('{"$say"')) == '{"$say"'
