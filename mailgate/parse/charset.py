"""Bytes to text by an allow-list of charsets; damage is marked (U+FFFD) and told, never raised."""

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases

from mailgate.saying import Saying

_PLAIN = frozenset({"", "ascii", "us_ascii"})

# Character encodings only: "rot13", "idna", "unicode_escape" and the like are no charsets.
_ALLOWED = frozenset(
    """
    utf_8 utf_8_sig utf_7 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le
    latin_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9
    iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 tis_620
    cp037 cp500 cp1140 cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862
    cp863 cp864 cp865 cp866 cp869 cp874 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257
    cp1258 koi8_r koi8_t koi8_u kz1048 ptcp154 hp_roman8
    mac_arabic mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish
    big5 big5hkscs cp950 gb2312 gbk gb18030 hz
    cp932 shift_jis shift_jis_2004 shift_jisx0213 euc_jp euc_jis_2004 euc_jisx0213
    iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext
    cp949 euc_kr johab iso2022_kr
    """.split()
)

# What senders mean: each right-hand side holds every character of the left (WHATWG Encoding, 4.2).
_MEANT = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_OTHER_NAMES = {
    "ks_c_5601": "cp949",
    "ks_c_5601_1989": "cp949",
    "x_sjis": "cp932",
    "sjis": "cp932",
    "x_gbk": "gb18030",
    "x_euc_jp": "euc_jp",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "utf8mb4": "utf_8",
    "ansi_x3.110_1983": "latin_1",
    "iso_8859_1_i": "latin_1",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "cp_850": "cp850",
    "ibm_850": "cp850",
}
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(raw: bytes, label: str | None) -> tuple[str, Saying | None]:
    """Decode ``raw`` as the charset that ``label`` names, and say what was wrong (None: nothing).

    The text never holds a lone surrogate. Bytes that the charset has not become U+FFFD; without a
    usable label UTF-8 is tried and then Windows-1252.
    """
    name = _normal(label)
    if name in _PLAIN:
        return _unlabelled(raw)
    codec = _codec(name)
    if codec is None:
        text, _ = _unlabelled(raw)
        return text, Saying("damage/charset", name=shown(label))
    try:
        text = _strict(raw, codec)
    except (UnicodeError, ValueError):
        text = raw.decode(codec, "replace")
        return _whole(text), Saying("damage/bytes", name=shown(label))
    if codec != "utf_7":
        return text, None
    whole = _whole(text)
    return whole, None if whole == text else Saying("damage/bytes", name=shown(label))


def shown(label: str | None) -> str:
    """``label`` as it may stand in a defect: printable ASCII, at most 40 characters."""
    kept = "".join(c for c in (label or "") if " " <= c <= "~" and c not in "\"'")
    return f'"{kept.strip()[:40]}"'


def _normal(label: str | None) -> str:
    text = (label or "").strip().strip("\"'").lower()
    if not text.isascii() or len(text) > 60 or "\0" in text:
        return "unknown"
    return normalize_encoding(text)


def _codec(name: str) -> str | None:
    """Return the allowed codec of that normal name, without importing anything to find out."""
    found = _OTHER_NAMES.get(name) or aliases.get(name) or aliases.get(name.replace(".", "_"))
    found = found or name
    return found if found in _ALLOWED else None


def _strict(raw: bytes, codec: str) -> str:
    """Decode, preferring the charset that is meant where the named one lacks some of the bytes."""
    try:
        text = raw.decode(codec)
    except (UnicodeError, ValueError):
        if codec not in _MEANT:
            raise
        return raw.decode(_MEANT[codec])
    if codec == "latin_1" and any("\x80" <= c <= "\x9f" for c in set(text)):
        return raw.decode("cp1252", "replace")
    return text.removeprefix("\ufeff")


def _unlabelled(raw: bytes) -> tuple[str, Saying | None]:
    if raw.isascii():
        return raw.decode("ascii"), None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff"), Saying("damage/as-utf8")
    except UnicodeDecodeError:
        return (
            codecs.decode(raw, "cp1252", "replace"),
            Saying("damage/as-windows"),
        )


def _whole(text: str) -> str:
    """``text`` without lone surrogates, which UTF-7 can spell."""
    return _SURROGATE.sub("\ufffd", text)
