"""Every file in commands/ is a command: the same is asked of each, so that a new one is tested by being there."""

import io
import re
from dataclasses import replace

import pytest

from mailgate import share
from mailgate.commands import registry
from mailgate.desk import answers, grammar
from mailgate.parse.commands import read_commands
from mailgate.parse.message import read_message
from mailgate.reply.templates import BadTemplateError, Templates
from mailgate.reply.told import say_of

COMMANDS = registry.names()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_how_it_is_written_and_what_it_does(name: str) -> None:
    command = registry.command(name)
    assert re.fullmatch(r"[a-z]+", name)
    assert all(line.split()[0] == name for line in command.usage)
    assert 10 < len(command.summary) <= 97
    assert name not in command.meant_by


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_answers_has_words(name: str) -> None:
    templates = Templates(None)
    samples = registry.command(name).samples
    assert samples
    for answer in samples:
        told = templates.said(say_of(answer))
        assert told.strip()
        assert [line for line in told.split("\n") if len(line) > 72] == []


def test_an_answer_that_lacks_a_fact_of_later_versions_still_has_its_words() -> None:
    templates, failed = Templates(None), set()
    for what in map(say_of, answers()):
        for name in what.facts:
            facts = {key: fact for key, fact in what.facts.items() if key != name}
            try:
                assert templates.say(replace(what, facts=facts)).strip()
            except BadTemplateError:
                failed.add((what.words, name))
    # These every version has told.
    assert failed <= {
        ("status", "busy"),
        ("status", "slots"),
        ("status", "size"),
        ("others", "count"),
    }


def test_every_template_of_an_answer_is_filled_in_by_a_sample() -> None:
    shipped = {
        path.name.removesuffix(".txt.j2") for path in share.path("templates", "say").iterdir()
    }
    assert {answer.kind for answer in answers()} == shipped


@pytest.mark.parametrize("above", ["", "  > a line\n", "Thank you.\n\n"])
def test_an_answer_that_is_quoted_whole_with_no_mark_asks_for_nothing(above: str) -> None:
    templates, acting = Templates(None), []
    for answer in answers():
        mail = f"From: ada@example.org\n\n{above}{templates.said(say_of(answer))}".encode()
        script = read_commands(read_message(io.BytesIO(mail)), grammar())
        acting += [(answer.kind, line.quoted) for line in script.lines if line.name]
    assert acting == []


def test_no_word_means_two_commands() -> None:
    words = [word for command in registry.every() for word in command.meant_by]
    assert len(words) == len(set(words))
    assert not set(words) & set(COMMANDS)
