import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from mailgate.desk import answers
from mailgate.model import Attachment, LetterKind, Message, Slice, Unclear
from mailgate.parse.request import read_request
from mailgate.reply.compose import Writer
from mailgate.reply.facts import facts_of
from mailgate.reply.rows import Excerpts
from mailgate.reply.samples import samples
from mailgate.reply.templates import Templates
from mailgate.reply.told import say_of
from mailgate.saying import Saying
from mailgate.services import load
from mailgate.settings.rules import GENERAL, RESOURCES
from mailgate.spool import codec
from mailgate.wording import speaking
from tests.reply.golden import letters
from tests.reply.language import translate

# What is no language's: keys that people write, the units of sizes in lines that can be sent back,
# signals, and what files are called.
_NAMES = {
    *(part for word in (*GENERAL, *RESOURCES) for part in word.split("-")),
    *(
        "KiB",
        "MiB",
        "GiB",
        "KILL",
        "SEGV",
        "TERM",
        "XFSZ",
        "from",
        "postmaster",
        "stdout",
        "stderr",
        "txt",
        "json",
    ),
}
_WORD = re.compile(r"[A-Za-z]{2,}")


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    translate(folder)
    return folder


def strings(value: object) -> Iterator[str]:
    """Yield every text within a draft: what is not ours to translate."""
    match value:
        case str():
            yield value
        case Saying():
            for fact in value.facts.values():
                yield from strings(fact)
        case bytes():
            yield value.decode("latin-1")
        case Mapping():
            for key, item in value.items():
                yield from strings(key)
                yield from strings(item)
        case tuple() | list() | set() | frozenset():
            for item in value:
                yield from strings(item)
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from strings(getattr(value, field.name))
        case datetime() | timedelta() | None | bool() | int() | float():
            pass
        case _:
            yield str(value)


def english(text: str, known: object) -> list[str]:
    """Return the words of a letter that no template has said, and that are nobody's names."""
    names = {word for one in strings(known) for word in _WORD.findall(one)} | _NAMES
    return sorted({word for word in _WORD.findall(text) if word not in names})


@pytest.mark.parametrize("name", sorted(letters()))
def test_a_letter_in_another_language_has_no_word_of_this_one(language, name):
    written = letters()[name]
    mail = message_from_bytes(written.composed(Writer(language)), policy=default)
    body = mail.get_body(("plain",))
    text = f"{mail['Subject']}\n{body.get_content()}"
    assert english(text, (written.draft, written.contents)) == []


def test_a_sample_of_every_kind_is_said_by_templates_alone(language):
    templates, english_words = Templates(language), {}
    with speaking(templates.wording):
        for sample in samples():
            facts = facts_of(sample.draft, sample.attached, sample.excerpts)
            page = templates.page(sample.draft.kind, facts)
            found = english(f"{page.subject}\n{page.text}", (sample.draft, sample.excerpts))
            if found:
                english_words[sample.draft.kind] = found
    assert english_words == {}
    assert {sample.draft.kind for sample in samples()} == set(LetterKind)


def test_every_answer_to_a_command_is_said_by_templates_alone(language):
    templates, english_words = Templates(language), {}
    with speaking(templates.wording):
        for answer in answers():
            found = english(templates.said(say_of(answer)), answer.facts)
            if found:
                english_words[answer.kind] = found
    assert english_words == {}


SERVICE = """\
summary = ""
command = ["x", "{tree}", "{rounds}", "{weight}", "{words}", "{loud}", "{input:one}", "{input:two}"]
[input.one]
match = ["*.fa"]
max_size = "1 KiB"
[input.two]
required = false
[parameter.tree]
type = "choice"
choices = ["sl", "upgma"]
[parameter.rounds]
type = "integer"
min = 1
max = 9
[parameter.weight]
type = "number"
max = 2
default = "1"
[parameter.words]
type = "text"
pattern = "[a-z]+"
max_length = 5
default = "abc"
[parameter.loud]
type = "flag"
[limits]
work = "1h"
cores_max = 4
memory = "1 GiB"
memory_max = "2 GiB"
"""
LINES = """\
tre: upgma
tree: nj
tree: sl
tree: sl
rounds: many
weight: 7
words: toolong
words: A
loud: perhaps
loudly please
one:
one: z.fa
two: y.nwk
service: fold
label:
work-limit: 2h
work-limit: x
keep: 0s
keep: 1000d
cores: 9
cores: x
memory: 9 GiB
memory: 7
memory: 1
notify: strat
notify: every 5m
reply: link
reply: parts
reply: parts=1KiB
reply: parts=x
reply: bref
watch: nobody
watch: a@b.c, b@b.c, c@b.c, d@b.c, e@b.c, f@b.c
dry-run: maybe
tree upgma
xyzzy
please use 5 rounds
say tree=upgma
we like upgma
""".splitlines()


def asked(folder, *lines, files=()):
    (folder / "align.toml").write_text(SERVICE)
    mail = Message(
        message_id=None, from_=("ada@example.org",), to=(), subject="rounds: 3", date=None,
        lines=tuple(lines), attachments=files, automatic=None, defects=(), content="",
        settings=("rounds: 4",),
    )  # fmt: skip
    return read_request(mail, load(folder / "align.toml"))


def test_what_is_wrong_with_a_request_is_said_by_templates_alone(language, tmp_path):
    templates, whole = Templates(language), ""
    piece = Slice(start=0, end=0, encoding="")
    files = tuple(
        Attachment(name=name, media_type="", size=size, sha256="", slice=piece, damage=damage)
        for name, size, damage in [("a.fa", 9000, None), ("b.fa", 9, None), (None, 9, None)]
    )
    answers = [asked(tmp_path, line, files=files[:count]) for line in LINES for count in (0, 1, 2)]
    answers += [asked(tmp_path, *LINES, files=files), asked(tmp_path, *(LINES * 9))]
    unclear = [answer for answer in answers if isinstance(answer, Unclear)]
    assert len(unclear) > 60
    with speaking(templates.wording):
        for answer in unclear:
            kept = codec.load(Unclear, codec.dump(answer))
            assert kept == answer
            told = [line.meaning for line in kept.lines] + [one.what for one in kept.takes]
            assert all(isinstance(words, Saying) for words in [kept.mend, *told])
            draft = replace(letters()["unclear"].draft, facts={"unclear": kept})
            page = templates.page(LetterKind.UNCLEAR, facts_of(draft, (), Excerpts()))
            whole += page.subject + page.text
    assert english(whole, (LINES, SERVICE, draft.gateway, unclear)) == []
