"""Strangers' text made harmless, and lines laid out in 72 columns.

A *fact* (a file name, a label, a size) is never broken and never taken for layout: `fact` makes it
printable and hides its blanks and bars until `laid_out` has finished, which shows them again.
"""

import unicodedata

COLUMNS = 72
_INDENT = "  "
_GAP = "   "
_CONTINUED = " " * 6
# The last cell of a row is not squeezed into less; the row is stacked instead.
_NARROWEST = 28

_HIDDEN = {ord(" "): "\x1f", ord("|"): "\x1e"}
_BARS = {ord("|"): "\x1e"}
_SHOWN = {0x1F: " ", 0x1E: "|"}
# Invisible, but they shape Persian and Indic words and join emoji; they reorder nothing.
_JOINERS = "\u200c\u200d"


# --- a stranger's text ----------------------------------------------------------------------------


def printable(text: str) -> str:
    r"""``text`` on one line, in which nothing acts.

    Every kind of blank becomes a space; control characters, bidirectional overrides, lone
    surrogates and characters that Unicode does not define become escapes such as ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(map(_seen, text))


def fact(text: str, columns: int = 120) -> str:
    """``text`` as a fact: printable, at most ``columns`` wide, its blanks hidden."""
    return cut(printable(text), columns).strip().translate(_HIDDEN)


def clause(words: object, most: int) -> str:
    """``words`` of ours, which may quote a stranger's, fit for a sentence or a table's cell.

    They are broken between words; at most ``most`` columns of them.
    """
    return printable(cut(str(words), most)).strip().translate(_BARS)


def shown(text: str) -> str:
    """``text`` with the blanks and bars of its facts shown again."""
    return text.translate(_SHOWN)


def width(text: str) -> int:
    """Count the columns that ``text`` takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def cut(text: str, columns: int) -> str:
    """``text``, or as much of it as fits with three dots after it."""
    # A heap of combining characters takes no columns, but bytes.
    if len(text) <= 4 * columns and width(text) <= columns:
        return text
    if text.isascii():
        return text[: columns - 3] + "..."
    taken = 0
    for at, char in enumerate(text):
        taken += _columns(char)
        if taken > columns - 3 or at >= 4 * columns - 3:
            return text[:at] + "..."
    return text


def _seen(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    if char.isspace():
        return " "
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


# --- laying out -----------------------------------------------------------------------------------


def laid_out(text: str, columns: int = COLUMNS) -> str:
    """Lay out a whole letter: LF line ends, one at its end, never two blank lines in a row.

    A line that begins with a blank stays as it is (a table, an excerpt, a line to send back); a
    longer one than ``columns`` is wrapped between words, and its facts stay whole. A line of two
    blanks alone is an excerpt's own empty line, which is kept.
    """
    lines: list[str] = []
    for line in text.strip("\n").split("\n"):
        if line or (lines and lines[-1]):
            lines.extend([line] if line.startswith(" ") else wrapped(line, columns))
    return shown("\n".join(line.rstrip(" ") for line in lines).rstrip("\n")) + "\n"


def wrapped(text: str, columns: int = COLUMNS) -> list[str]:
    """Break ``text`` between words; a longer word than ``columns`` has a line of its own."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width(longer) > columns:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def folded(text: str, columns: int) -> list[str]:
    """Break ``text`` at blanks if it can be, else anywhere; further rows are indented by four."""
    rows, lead = [], ""
    while width(text) > columns - len(lead) or len(text) > 4 * columns:
        fits = _fitting(text, columns - len(lead))
        blank = text.rfind(" ", fits // 2, fits + 1)
        at = blank if text[: max(blank, 0)].strip() else fits
        rows.append(lead + text[:at].rstrip(" "))
        text, lead = text[at:].lstrip(" "), " " * 4
    return [*rows, (lead + text).rstrip(" ")]


def _fitting(text: str, columns: int) -> int:
    """Count the first characters that fit, one at least; no row is a heap of combining ones."""
    if text.isascii():
        return columns
    taken = 0
    for at, char in enumerate(text[: 4 * columns]):
        taken += _columns(char)
        if taken > columns:
            return max(at, 1)
    return min(len(text), 4 * columns)


def table(text: str, columns: int = COLUMNS) -> str:
    """Lay out rows of cells divided by ``|``, a row a line, indented by two.

    The last cell of a row is wrapped under itself. A row whose first cells leave no room for that
    is stacked: its first cell on a line of its own, the rest under it.
    """
    rows = [[cell.strip() for cell in line.split("|")] for line in text.split("\n") if line.strip()]
    widths = _widths(rows, columns)
    return "\n".join(line for row in rows for line in _row(row, widths, columns)) + "\n"


def _widths(rows: list[list[str]], columns: int) -> list[int]:
    """Return the columns' widths, the last left out; cells too wide for any column do not count."""
    most = columns - len(_INDENT) - len(_GAP) - _NARROWEST
    widths: list[int] = []
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            if column == len(widths):
                widths.append(0)
            if width(cell) <= most:
                widths[column] = max(widths[column], width(cell))
    return widths


def _row(row: list[str], widths: list[int], columns: int) -> list[str]:
    *first, last = row
    lead = _INDENT + "".join(_padded(cell, most) for cell, most in zip(first, widths, strict=False))
    if _fits(first, widths) and width(lead) + min(_NARROWEST, width(last)) <= columns:
        return _hanging(lead, last, width(lead), columns)
    if len(row) == 1:
        return _hanging(_INDENT, last, len(_CONTINUED), columns)
    rest = _CONTINUED + "".join(_padded(cell, width(cell)) for cell in row[1:-1])
    return [f"{_INDENT}{row[0]}", *_hanging(rest, last, width(rest), columns)]


def _fits(cells: list[str], widths: list[int]) -> bool:
    return all(width(cell) <= columns for cell, columns in zip(cells, widths, strict=False))


def _hanging(lead: str, text: str, indent: int, columns: int) -> list[str]:
    """Put ``text`` after ``lead``, further lines indented by ``indent``."""
    head, *more = wrapped(text, max(columns - width(lead), _NARROWEST))
    return [lead + head, *(" " * indent + line for line in more)]


def _padded(cell: str, columns: int) -> str:
    return cell + " " * (columns - width(cell)) + _GAP
