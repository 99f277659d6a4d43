"""A language that nobody speaks: every letter of every word of the templates is another one.

What of a letter is English still has been said by no template.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, nodes

from mailgate import share

_LETTERS = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "αβψδεφγηιξκλμνοπθρστυωχχυζΑΒΨΔΕΦΓΗΙΞΚΛΜΝΟΠΘΡΣΤΥΩΧΧΥΖ",
)
_KEPT = re.compile(r"\{[a-z]+\}")


def translated(words: str) -> str:
    """Return words in that language; what stands in braces is filled in."""
    said, at = [], 0
    for kept in _KEPT.finditer(words):
        said += [words[at : kept.start()].translate(_LETTERS), kept[0]]
        at = kept.end()
    return "".join([*said, words[at:].translate(_LETTERS)])


def translate(folder: Path) -> None:
    """Write the shipped templates into ``folder``, in that language."""
    shipped = share.path("templates")
    shutil.copytree(shipped, folder, dirs_exist_ok=True)
    for path in folder.rglob("*.j2"):
        if path.name.startswith("_") and path.name.endswith(".html.j2"):
            continue
        path.write_text(_template(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in folder.rglob("*.toml"):
        path.write_text(_table(path.read_text(encoding="utf-8")), encoding="utf-8")


def _template(source: str) -> str:
    environment = Environment(autoescape=False)
    told = set(_told(environment.parse(source)))
    tokens = [*environment.lex(source)]
    made = []
    for at, (line, kind, text) in enumerate(tokens):
        if kind == "data":
            made.append(translated(text))
        elif kind == "string" and (line, text[1:-1]) in told and not _is_key(tokens, at):
            made.append(text[0] + translated(text[1:-1]) + text[-1])
        else:
            made.append(text)
    return "".join(made)


def _is_key(tokens: list[tuple[int, str, str]], at: int) -> bool:
    """Whether what follows says that it is a key of a mapping."""
    after = (text for _, kind, text in tokens[at + 1 :] if kind != "whitespace")
    return next(after, "") == ":"


def _told(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Yield the strings that are said, not those that are compared: their lines and themselves."""
    for output in tree.find_all(nodes.Output):
        for part in output.nodes:
            yield from _strings(part)
    for assigned in tree.find_all(nodes.Assign):
        yield from _strings(assigned.node)


def _strings(node: nodes.Node) -> Iterator[tuple[int, str]]:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.lineno, node.value
    for part in _said(node):
        yield from _strings(part)


def _said(node: nodes.Node) -> list[nodes.Node]:
    """Return the parts of an expression that may be what is said."""
    match node:
        case nodes.CondExpr(expr1=one, expr2=other):
            return [part for part in (one, other) if part is not None]
        case nodes.BinExpr(left=one, right=other):
            return [one, other]
        case nodes.Concat(nodes=parts) | nodes.List(items=parts) | nodes.Tuple(items=parts):
            return parts
        case nodes.Filter(node=one, args=words):
            return [one, *words] if node.name == "join" else [one]
        case nodes.Dict(items=pairs):
            return [pair.value for pair in pairs]
        case (
            nodes.Call(node=nodes.Getattr(node=nodes.Dict() as words))
            | nodes.Getitem(node=nodes.Dict() as words)
        ):
            return [words]
        case nodes.Call(node=nodes.Name(name="counted"), args=words):
            return words
        case _:
            return []


def _table(source: str) -> str:
    """Translate the strings of a TOML file but those that are no words."""
    lines = []
    for line in source.split("\n"):
        code, mark, note = line.partition("#")
        key = code.partition("=")[0].strip()
        if key not in {"plural", "decimal", "thousands"}:
            code = re.sub(r'"([^"]*)"', lambda found: f'"{translated(found[1])}"', code)
        lines.append(code + mark + note)
    return "\n".join(lines)
