"""What is written inside header values: encoded words (RFC 2047) and parameters (RFC 2045, 2231).

Everything here is linear in the length of the value and takes any text.
"""

import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from mailgate.parse.charset import decode

_WORD = re.compile(r"=\?([^?\s]{0,80})\?([bBqQ])\?")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_LINE_ENDS = re.compile(r"[\r\n]+[ \t]*")


def unencoded(value: str) -> str:
    """``value`` with its encoded words decoded (RFC 2047), leniently.

    Words may be longer than 75 characters, stand inside quotes or touch other text; a character
    split over neighbouring words of one charset is put together again. Line ends become blanks.
    """
    if "=?" not in value:
        return value
    pieces: list[str] = []
    raw: list[bytes] = []
    label, end, position = "", 0, 0
    while word := _WORD.search(value, position):
        close = value.find("?=", word.end())
        if close < 0:
            break
        between = value[end : word.start()]
        charset = word[1].partition("*")[0].lower()
        if between.strip() or not end or charset != label:
            pieces += (_text(raw, label), "" if end and not between.strip() else between)
            raw, label = [], charset
        raw.append(_word_bytes(word[2], value[word.end() : close]))
        position = end = close + 2
    pieces += (_text(raw, label), value[end:])
    return "".join(pieces)


def _word_bytes(kind: str, text: str) -> bytes:
    if kind in "qQ":
        return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)
    return lenient_base64(text)


def lenient_base64(text: str) -> bytes:
    """Decode whatever of ``text`` is base64; missing padding and junk are no hindrance."""
    digits = _NOT_BASE64.sub("", text)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4))


def _text(raw: list[bytes], label: str) -> str:
    return _LINE_ENDS.sub(" ", decode(b"".join(raw), label)[0])


# --- parameters -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """A structured header: its main value (lower-case, "" if none) and decoded parameters."""

    main: str
    parameters: dict[str, str] = field(default_factory=dict)


_PARAMETER = re.compile(
    r"""[;\s]*+
    (?P<name>[^\s=;"]++) \s*+
    (?: = \s*+ (?: "(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+) "? [^;]*+ | (?P<bare>[^;]*+) ) )?
    |[^;]++ | ;""",
    re.VERBOSE | re.DOTALL,
)
_SECTION = re.compile(r"(?P<name>[^*]+)(?:\*(?P<number>[0-9]{1,4}))?(?P<extended>\*)?")
_ESCAPED = re.compile(r'\\(["\\])')
_MAX_PARAMETERS = 1000


def parameters(value: str) -> Valued:
    """Read ``main; name=value; ...`` (RFC 2045 section 5.1) with RFC 2231 and 2047 values decoded.

    Of plain parameters named alike the first counts; an RFC 2231 form beats a plain one.
    A value without quotes may hold blanks, as senders write file names; a backslash escapes only a
    quote or a backslash, as senders write Windows paths.
    """
    main, rest = _split_main(value)
    if not rest:
        return Valued(main=main)
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    for count, found in enumerate(_PARAMETER.finditer(rest)):
        if count == _MAX_PARAMETERS:
            break
        if found["name"]:
            _sort_in(found["name"].lower(), _given(found), plain, sections)
    plain = {name: unencoded(text) for name, text in plain.items()}
    plain |= {name: text for name, parts in sections.items() if (text := _joined(parts))}
    return Valued(main=main, parameters=plain)


def _split_main(value: str) -> tuple[str, str]:
    """Split off the main value, even where the semicolon behind it is missing."""
    main, _, rest = value.partition(";")
    words = main.split(None, 1)
    if "=" not in main:
        return (words[0].lower() if words else ""), rest
    if "=" in words[0]:
        return "", value
    return words[0].lower(), value.partition(words[0])[2]


def _given(found: re.Match[str]) -> str:
    if found["quoted"] is not None:
        return _ESCAPED.sub(r"\1", found["quoted"])
    return (found["bare"] or "").strip()


def _sort_in(
    name: str,
    given: str,
    plain: dict[str, str],
    sections: dict[str, dict[int, tuple[bool, str]]],
) -> None:
    if "*" not in name:
        plain.setdefault(name, given)
        return
    section = _SECTION.fullmatch(name)
    if section:
        number = int(section["number"] or 0)
        extended = bool(section["extended"])
        sections.setdefault(section["name"], {}).setdefault(number, (extended, given))


def _joined(parts: dict[int, tuple[bool, str]]) -> str:
    """Join RFC 2231 sections in order, over any gap, and decode them."""
    numbers = sorted(parts)
    extended, first = parts[numbers[0]]
    label = ""
    if extended and first.count("'") >= 2:
        label, _, first = first.split("'", 2)
    raw = [_section_bytes(extended=extended, text=first)]
    raw += [_section_bytes(extended=parts[n][0], text=parts[n][1]) for n in numbers[1:]]
    text, _ = decode(b"".join(raw), label or "utf-8")
    return text if any(extended for extended, _ in parts.values()) else unencoded(text)


def _section_bytes(*, extended: bool, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    return unquote_to_bytes(raw) if extended else raw
