"""An operator's templates: found, checked, and told apart."""

from dataclasses import replace

import pytest

from mailgate import share
from mailgate.errors import BadConfig
from mailgate.model import LetterKind
from mailgate.reply.compose import Writer
from tests.reply.golden import letters
from tests.reply.letters import DONE, Written, draft, out, read, result, text

SUBJECT = "{% block subject %}Hello{% endblock %}\n"


def test_the_shipped_templates_are_in_order():
    Writer(None).check()


def test_there_is_one_template_for_each_letter():
    shipped = {path.name for path in share.path("templates").glob("[!_]*.j2")}
    assert shipped == {f"{kind}.txt.j2" for kind in LetterKind}


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("no subject", "no {% block subject %}"),
        ("{% block subject %}\n{% endblock %}\nx", "or an empty one"),
        ("{% block subject %}a\nb{% endblock %}\nx", "expected one line"),
        ("words\n" + SUBJECT, "not the first thing"),
        (SUBJECT, "no text"),
        (SUBJECT + "{% if %}", ":2: Expected an expression"),
        (SUBJECT + "a\n{{ nothing }}", ":3: 'nothing' is undefined"),
        (SUBJECT + "{{ gateway.nothing }}", "no attribute 'nothing'"),
        (SUBJECT + "{% include 'nowhere' %}", "nowhere"),
        (SUBJECT + "{{ 1 // 0 }}", ":2: ZeroDivisionError"),
        (SUBJECT + "{{ gateway|nothing }}", "No filter named 'nothing'"),
    ],
)
def test_a_broken_template_is_told_with_its_file_and_line(template, complaint, tmp_path):
    (tmp_path / "test.txt.j2").write_text(template)
    with pytest.raises(BadConfig) as refused:
        Writer(tmp_path).check()
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{tmp_path}/test.txt.j2:")
    assert complaint in line


def test_every_mistake_of_every_template_is_told_at_once(tmp_path):
    for kind in LetterKind:
        (tmp_path / f"{kind}.txt.j2").write_text("{{")
    (tmp_path / "results.txt.j2").write_text(SUBJECT + "x")
    with pytest.raises(BadConfig) as refused:
        Writer(tmp_path).check()
    lines = str(refused.value).splitlines()
    assert len(lines) == len(LetterKind) + 1
    assert lines[0].startswith(f"{tmp_path}/results.txt.j2:1: no letter has this template")


def test_a_templates_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadConfig, match="no such folder"):
        Writer(tmp_path / "templates").check()


def test_a_template_that_fails_only_for_some_facts_is_found(tmp_path):
    (tmp_path / "result.txt.j2").write_text(
        SUBJECT + "x{% if signal == 25 %}{{ nothing }}{% endif %}"
    )
    with pytest.raises(BadConfig, match="'nothing' is undefined"):
        Writer(tmp_path).check()


def test_one_template_is_overridden_and_the_others_are_the_shipped_ones(tmp_path):
    (tmp_path / "test.txt.j2").write_text(SUBJECT + "\nNothing but {{ gateway }}.\n")
    writer = Writer(tmp_path)
    writer.check()
    message = read(Written(draft=draft(LetterKind.TEST)).composed(writer))
    assert message["Subject"] == "Hello"
    assert text(message) == "Nothing but jobs@gate.example.org.\n"
    made = result(DONE, out(b"1\n"))
    assert made.composed(writer) == made.composed()


def test_a_template_can_extend_the_shipped_one_it_replaces(tmp_path):
    (tmp_path / "result.txt.j2").write_text(
        "{% extends 'shipped/result.txt.j2' %}\n"
        "{% block subject %}{{ service }} is {{ 'done' if completed else 'not' }}{% endblock %}\n"
    )
    writer = Writer(tmp_path)
    writer.check()
    made = result(DONE, out(b"1\n"))
    message = read(made.composed(writer))
    assert message["Subject"] == "align is done"
    assert text(message) == text(read(made.composed()))


def test_the_words_for_reasons_are_overridden_alone(tmp_path):
    shipped = share.path("templates", "_reasons.txt.j2").read_text()
    (tmp_path / "_reasons.txt.j2").write_text(shipped.replace("out of time", "zu lang"))
    Writer(tmp_path).check()


def test_a_template_that_changes_is_read_at_the_next_start(tmp_path):
    path = tmp_path / "test.txt.j2"
    path.write_text(SUBJECT + "one\n")
    writer, made = Writer(tmp_path), Written(draft=draft(LetterKind.TEST))
    writer.load()
    path.write_text(SUBJECT + "two\n")
    assert "one" in text(read(made.composed(writer)))
    assert "two" in text(read(made.composed(Writer(tmp_path))))


def test_a_language_has_the_words_of_a_letter_that_is_cut_or_says_several_things(tmp_path):
    (tmp_path / "say").mkdir()
    (tmp_path / "say/rest.txt.j2").write_text("Mehr passt nicht hinein.")
    (tmp_path / "say/others.txt.j2").write_text("und {{ count }} weitere")
    writer = Writer(tmp_path)
    kept = letters()
    made = kept["unclear"]
    letter = read(replace(made, draft=replace(made.draft, limit=1_000)).composed(writer))
    assert text(letter).rstrip().endswith("Mehr passt nicht hinein.")
    several = [one for one in kept.values() if one.draft.facts.get("others")]
    assert several
    for made in several:
        assert ", und 1 weitere" in str(read(made.composed(writer))["Subject"])
    writer.check()
    (tmp_path / "say/rest.txt.j2").write_text("{{ nothing }}")
    with pytest.raises(BadConfig, match=r"say/rest\.txt\.j2:1"):
        Writer(tmp_path).check()


def test_the_end_of_a_subject_is_one_line(tmp_path):
    (tmp_path / "say").mkdir()
    (tmp_path / "say/others.txt.j2").write_text("and {{ count }}\nother answers")
    with pytest.raises(BadConfig) as refused:
        Writer(tmp_path).check()
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{tmp_path}/say/others.txt.j2:1: gives 'and 2\\nother answers'; ")
    (tmp_path / "say/others.txt.j2").write_text("\nand {{ count }} other answers\n\n")
    Writer(tmp_path).check()


def test_what_the_built_in_text_says_of_commands_is_no_programs(tmp_path):
    (tmp_path / "commands.txt.j2").write_text("{{ nothing }}")
    name = next(name for name, one in letters().items() if one.draft.kind is LetterKind.COMMANDS)
    words = text(read(letters()[name].composed(Writer(tmp_path))))
    assert "This is what came of your commands." in words
    assert not any(sign in words for sign in ("\\x", "{'", "('")), words
