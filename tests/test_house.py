"""The tree is as docs/architecture.md says, and holds nothing of the machines it was made on."""

import ast
import re
from pathlib import Path

import pytest

from tests.source import CHECKOUT, DOCS, PACKAGE, modules, tracked

# A file that a person reads in one sitting, a function that fits a screen (docs/architecture.md).
LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60


def test_every_module_says_what_it_is() -> None:
    sources = {module: ast.parse(module.read_text(encoding="utf-8")) for module in modules()}
    assert [str(module) for module, tree in sources.items() if not ast.get_docstring(tree)] == []


def test_the_architecture_names_no_module_that_is_not_there() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b([a-z_]+\.py)\b", page))
    there = {path.name for path in tracked() if path.suffix == ".py"}
    assert named - there == set()


def test_every_room_has_its_word_in_the_architecture() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in modules() if path.name == "__init__.py"} - {"mailgate"}
    assert [room for room in sorted(rooms) if f"{room}/" not in page] == []


def test_everything_at_the_top_level_is_explained() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    top = {path.relative_to(CHECKOUT).parts[0] for path in tracked()} - {".gitignore"}
    assert [name for name in sorted(top) if name not in page] == []


def test_no_module_is_longer_than_a_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {str(p): n for p, n in lengths.items() if n > LINES_OF_A_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{module.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for module in modules()
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= LINES_OF_A_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", [CHECKOUT, Path.home()], ids=["checkout", "home"])
def test_no_file_names_a_place_of_the_machine_it_was_made_on(path: Path) -> None:
    place = f"{path}/"
    assert [str(file) for file in tracked() if place in _text(file)] == []


def test_the_lock_names_no_index_but_the_public_one() -> None:
    lock = (CHECKOUT / "uv.lock").read_text(encoding="utf-8")
    hosts = set(re.findall(r'"https?://([^/"]+)', lock))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    assert set(re.findall(r"source = \{ (\w+)", lock)) == {"registry", "editable"}


def test_nothing_is_left_to_do_in_the_code() -> None:
    marks = re.compile("TODO|FIXME|XXX|HACK")
    sources = [file for file in tracked() if file.suffix in {".py", ".toml", ".sh", ".j2"}]
    found = [str(file) for file in sources if file != Path(__file__) and marks.search(_text(file))]
    assert found == []


def test_no_conflict_is_left_unresolved() -> None:
    mark = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
    assert [str(file) for file in tracked() if mark.search(_text(file))] == []


def test_no_test_replaces_what_it_tests() -> None:
    replaced = re.compile(r"unittest\.mock|mock\.patch|monkeypatch\.setattr")
    tests = [file for file in tracked() if "tests" in file.parts and file.suffix == ".py"]
    found = [str(file) for file in tests if file != Path(__file__) and replaced.search(_text(file))]
    assert found == []


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
