"""What tells a signed mail from any other, whatever its Message-ID: its DKIM signatures (RFC 6376).

Whether they hold is the border's word. Who sends a signed mail again cannot change them, but may
change all that they do not cover: often the Message-ID.
"""

import base64
import hashlib
import re
from itertools import islice

from mailgate.parse.header import Header
from mailgate.parse.mime import Unreadable

MAX_SIGNATURES = 50
"""Signatures of one mail; a mail that has more of them is not read, for each is a key."""

_FIELD = "dkim-signature"
_SIGNATURE = re.compile(r"(?:^|;)\s*+b\s*+=([^;]*+)", re.ASCII)
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]++")
# Bytes: no key that is in use signs in less.
_LEAST = 64


def signatures(header: Header) -> tuple[str, ...]:
    """Return ``dkim:`` and the SHA-256 of each signature's own bytes, however they are written.

    Raises
    ------
    Unreadable
        There are more than 50. To know some of them would let a mail act again behind others.
    """
    found = (raw for field in header.all(_FIELD) for raw in _SIGNATURE.findall(field))
    signed = (base64.b64decode(_padded(_NOT_BASE64.sub("", raw))) for raw in found)
    keys = (f"dkim:{hashlib.sha256(one).hexdigest()}" for one in signed if len(one) >= _LEAST)
    some = tuple(islice(dict.fromkeys(keys), MAX_SIGNATURES + 1))
    if len(some) > MAX_SIGNATURES:
        raise Unreadable(f"The mail has more than {MAX_SIGNATURES} DKIM signatures.")
    return some


def _padded(text: str) -> str:
    # One character alone is no byte.
    whole = text[:-1] if len(text) % 4 == 1 else text
    return whole + "=" * (-len(whole) % 4)
