"""What the docs tests know of the source: tracked files, and the literal words of some calls."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "mailgate"
DOCS = CHECKOUT / "docs"


def tracked() -> list[Path]:
    """Every file of the project, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    paths = [CHECKOUT / name.decode() for name in listed.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    return [path for path in tracked() if path.suffix == ".md"]


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def first_words(*calls: str) -> set[str]:
    """Return the literal first arguments of calls such as ``log.event("accepted", ...)``."""
    found: set[str] = set()
    for module in modules():
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in calls and node.args:
                found.update(_literals(node.args[0]))
    return found


def _literals(node: ast.expr) -> Iterator[str]:
    """Return the strings that an argument may be: a literal, or either side of a choice."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
