"""As much of a header block (RFC 5322, 2045, 2231, 2047) as finding a reply's streams needs.

Total: any bytes give an answer, in time that grows with their number.
"""

import binascii
import re

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)\s+(?==\?)")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_CHARSET = re.compile(
    r"(us-)?ascii|utf-?(8|16|32)([lb]e)?|iso-?8859-\d+|iso-2022-\w+|windows-\d+|cp\d+|koi8-\w"
    r"|gb\w+|big5\w*|shift_jis|euc-\w+",
    re.IGNORECASE,
)
"""Python knows others that are no charsets, and some of them take time that grows as the square."""

_LONGEST = 64 * 1024
"""Of one field, in characters; what a name or a boundary needs is far below."""

_MOST_PIECES = 1000
"""Of one parameter split by RFC 2231."""


class Header:
    """The fields of one block, looked up as needed: most mails are passed over after one."""

    __slots__ = ("_lower", "_raw")

    def __init__(self, block: bytes) -> None:
        """Take the raw block; LF or CRLF line ends."""
        self._raw = b"\n" + block
        self._lower = self._raw.lower()

    def first(self, name: bytes) -> str:
        """Return the unfolded value of the first such field, "" if none.

        ``name`` is lower-case. Each byte becomes one character (latin-1), so 8-bit survives.
        """
        at = self._lower.find(b"\n" + name + b":")
        if at < 0:
            return ""
        start = at + len(name) + 2
        end = self._raw.find(b"\n", start)
        while end >= 0 and self._raw[end + 1 : end + 2] in (b" ", b"\t"):
            end = self._raw.find(b"\n", end + 1)
        value = self._raw[start : end if end >= 0 else None][:_LONGEST]
        return value.translate(None, b"\r\n").decode("latin-1").strip()

    def media(self) -> "Parameters":
        """Return the Content-Type; ``text/plain`` where there is none (RFC 2045 section 5.2)."""
        return Parameters(self.first(b"content-type") or "text/plain")

    def disposition(self) -> "Parameters":
        """Return the Content-Disposition (RFC 2183)."""
        return Parameters(self.first(b"content-disposition"))

    def encoding(self) -> str:
        """Return the transfer encoding's name in lower case, "" if none."""
        word = self.first(b"content-transfer-encoding").partition(";")[0].partition("(")[0]
        return word.strip().strip('"').lower()


class Parameters:
    """A value such as ``multipart/mixed; boundary="x"``: a word, and named ones after it."""

    __slots__ = ("_named", "word")

    def __init__(self, value: str) -> None:
        """Take an unfolded value, one character a byte."""
        self.word = value.partition(";")[0].partition("(")[0].strip().lower()
        self._named: dict[str, str] = {}
        for name, quoted in _PARAMETER.findall(value):
            self._named.setdefault(name.lower(), _unquoted(quoted))

    def raw(self, name: str) -> bytes:
        """Return a parameter's bytes as they stand, b"" if none; continuations are joined."""
        plain = self._named.get(name)
        return plain.encode("latin-1") if plain is not None else self._pieces(name)[1]

    def text(self, name: str) -> str:
        """Return a parameter as a person would read it: RFC 2231, RFC 2047 and raw UTF-8."""
        charset, value = self._pieces(name)
        if value:
            return _decoded(value, charset)
        plain = self._named.get(name, "")
        if "=?" in plain:
            return _ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub("", plain))
        return _decoded(plain.encode("latin-1"), "utf-8")

    def _pieces(self, name: str) -> tuple[str, bytes]:
        """Join ``name*``, or ``name*0``, ``name*1*`` ... (RFC 2231 sections 3 and 4)."""
        if (whole := self._named.get(f"{name}*")) is not None:
            return _extended(whole)
        charset, value = "utf-8", b""
        for number in range(_MOST_PIECES):
            plain = self._named.get(f"{name}*{number}")
            encoded = self._named.get(f"{name}*{number}*")
            if plain is not None:
                value += plain.encode("latin-1")
            elif encoded is None:
                break
            elif number == 0:
                charset, value = _extended(encoded)
            else:
                value += _percent(encoded)
        return charset, value


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value


def _extended(value: str) -> tuple[str, bytes]:
    charset, _, rest = value.partition("'")
    _, quote, encoded = rest.partition("'")
    return (charset or "utf-8", _percent(encoded)) if quote else ("utf-8", _percent(value))


def _percent(value: str) -> bytes:
    return _PERCENT.sub(lambda hit: bytes([int(hit[1], 16)]), value.encode("latin-1"))


def _word(hit: re.Match[str]) -> str:
    charset, how, coded = hit.groups()
    data = coded.encode("latin-1")
    if how in "qQ":
        return _decoded(binascii.a2b_qp(data, header=True), charset.split("*")[0])
    try:
        return _decoded(binascii.a2b_base64(data + b"=" * (-len(data) % 4)), charset.split("*")[0])
    except binascii.Error:
        return hit[0]


def _decoded(data: bytes, charset: str) -> str:
    """Read a name; what is in no known charset keeps one character a byte.

    Names only help to tell attachments apart, so that is good enough.
    """
    try:
        return data.decode(charset if _CHARSET.fullmatch(charset) else "utf-8")
    except (LookupError, UnicodeError):
        return data.decode("latin-1")
