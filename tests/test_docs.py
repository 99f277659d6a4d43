"""A test fails when something that a reader meets is undocumented, or a page tells what is not."""

import importlib.util
import io
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from email import message_from_string, policy
from pathlib import Path

import pytest

from mailgate import config, errors, services, share
from mailgate.cli import main
from mailgate.model import AttemptState, LetterKind, LetterState, Request
from mailgate.parse.message import read_message
from mailgate.parse.request import read_request
from mailgate.phases import Phase
from mailgate.spool.tables import TABLES, ErrandState
from tests.source import CHECKOUT, DOCS, first_words, pages

OPERATING = DOCS / "operating.md"
SPOOL = DOCS / "spool.md"
REQUESTS = DOCS / "requests.md"


def _page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _undocumented(words: set[str], page: Path) -> list[str]:
    """Return the words that the page does not name as code."""
    told = set(re.findall(r"`([^`\n]+)`", _page(page)))
    return sorted(word for word in words if word not in told)


# --- what there is must be told -------------------------------------------------------------------


def test_every_key_of_the_configuration_and_of_a_service_is_documented() -> None:
    rows = (*config.describe(), *services.describe())
    keys = {f"{row.table}.{row.key}".removeprefix(".") for row in rows}
    assert _undocumented(keys, DOCS / "configuration.md") == []


def test_every_command_is_documented() -> None:
    assert _undocumented({f"mailgate {name}" for name in _commands()}, OPERATING) == []


def test_every_option_is_documented_and_every_documented_option_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in sorted(_commands()):
        with pytest.raises(SystemExit):
            main.command(name)(["--help"])
    assert main._main(["--help"]) == 0
    told = capsys.readouterr().out
    overview = [line for line in told.splitlines() if line.startswith("  mailgate ")]
    assert overview
    assert not [line for line in overview if line.endswith(".")]
    options = set(re.findall(r"--[a-z-]+", told)) - {"--help", "--config"}
    assert set(re.findall(r"--[a-z]+", _page(OPERATING))) == options


def test_every_error_is_documented() -> None:
    families: list[type] = [errors.MailgateError]
    for family in families:
        families.extend(family.__subclasses__())
    names = {family.__name__ for family in families if family.__module__ == errors.__name__}
    assert _undocumented(names - {"MailgateError"}, OPERATING) == []


def test_every_verb_of_the_log_is_documented() -> None:
    assert _undocumented(first_words("log.event", "event"), OPERATING) == []


def test_every_decision_that_explain_shows_is_documented() -> None:
    assert _undocumented(first_words("tx.note", "self.note"), OPERATING) == []


def test_every_template_is_documented() -> None:
    templates = {path.name for path in (CHECKOUT / "templates").glob("*.j2")}
    assert templates
    assert _undocumented(templates, DOCS / "adding.md") == []


def test_every_kind_of_letter_is_documented() -> None:
    assert _undocumented({str(kind) for kind in LetterKind}, OPERATING) == []


def test_every_crash_point_is_documented() -> None:
    points = first_words("crash.point")
    assert points
    assert _undocumented(points, SPOOL) == []


def test_every_table_and_every_state_in_it_is_documented() -> None:
    tables = {table._meta.table_name for table in TABLES}
    states = {str(s) for group in (ErrandState, AttemptState, LetterState, Phase) for s in group}
    assert _undocumented(tables | states, SPOOL) == []


def test_every_target_of_the_makefile_is_documented() -> None:
    rule = re.search(r"^\.PHONY: (.*)$", _page(CHECKOUT / "Makefile"), re.MULTILINE)
    assert rule is not None
    targets = {f"make {name}" for name in rule[1].split()} - {"make help", "make setup"}
    assert _undocumented(targets, DOCS / "adding.md") == []


# --- what is told must be there -------------------------------------------------------------------


def test_generated_pages_are_as_the_code_writes_them() -> None:
    written = _generator()
    stale = [path.name for path, page in written.items() if _page(path) != page()]
    assert stale == [], "run make docs"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page))
        if not link.startswith(("http://", "https://", "mailto:")) and not _leads(page, link)
    ]
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_commands_that_a_page_shows_exist(page: Path) -> None:
    text = _page(page)
    shown = set(re.findall(r"(?:^|[`\s/])mailgate ([a-z]+)(?=[\s`])", _code(text)))
    assert shown - _commands() - {"daemon"} == set()
    rules = set(re.findall(r"^([a-z]+):", _page(CHECKOUT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", _code(text))) - rules == set()


def test_the_request_that_the_docs_show_is_clear() -> None:
    head, _, text = re.findall(r"^```\n(.*?)^```", _page(REQUESTS), re.MULTILINE | re.DOTALL)[
        0
    ].partition("\n\n")
    mail = message_from_string(f"{head}\n\n", policy=policy.default)
    mail.set_content(text)
    mail.add_attachment(b">a\nMK\n>b\nMK\n", "chemical", "x-fasta", filename="globins.fa")
    message = read_message(io.BytesIO(mail.as_bytes()))
    request = read_request(message, services.load_all(share.path("etc", "services"))["align"])
    assert isinstance(request, Request)
    assert request.label == "globins, second try"
    assert request.work_limit == timedelta(minutes=30)
    assert request.parameters["tree"] == "upgma"


def test_every_general_key_of_a_request_is_documented() -> None:
    told = re.findall(r"^\| `([a-z-]+): ", _page(REQUESTS), re.MULTILINE)
    assert {*services.GENERAL, *services.RESOURCES} - {"service"} == set(told)


def test_every_option_of_accat_is_documented() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "mailgate.client.accat", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    options = set(re.findall(r"--[a-z-]+", told.stdout)) - {"--help", "--version"}
    assert options
    assert [option for option in sorted(options) if option not in _page(REQUESTS)] == []


def _leads(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in {_anchor(title) for title in _titles(target)}


def _titles(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)


def _anchor(title: str) -> str:
    """Return a heading's anchor as forges make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", _page(page), flags=re.MULTILINE | re.DOTALL)


def _code(text: str) -> str:
    """Return a page's code: its blocks and its inline snippets."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *(f"`{snippet}`" for snippet in re.findall(r"`([^`\n]+)`", text))])


def _commands() -> set[str]:
    return set(main.names())


def _generator() -> dict[Path, Callable[[], str]]:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    written: dict[Path, Callable[[], str]] = module.PAGES
    return written
