"""What an operator writes of how the gateway's letters are signed."""

import re
from dataclasses import dataclass
from pathlib import Path

from mailgate.settings.kinds import lower, path, text
from mailgate.settings.schema import key

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,190}}$){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dkim:
    """[deliver.dkim]: letters are signed (RFC 6376); without this table they are not."""

    domain: str = key(
        lower(text("a domain", lambda value: _NAME.fullmatch(value) is not None)),
        doc="the domain that signs: that of gateway.address, or one above it",
        example="gate.example.org",
    )
    selector: str = key(
        lower(text("a key's name in the DNS", lambda value: _NAME.fullmatch(value) is not None)),
        doc="the key's name: its public half stands at <selector>._domainkey.<domain>",
        example="mailgate",
    )
    key_file: Path = key(
        path(),
        doc="the private RSA key in PEM; not readable by everybody",
        example="dkim.key",
    )
