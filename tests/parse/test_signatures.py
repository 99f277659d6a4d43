"""DKIM signatures as keys: the same one however it is written, another one never."""

import base64
import os

import pytest

from mailgate.parse.header import Header
from mailgate.parse.mime import Unreadable
from mailgate.parse.signatures import MAX_SIGNATURES, signatures

ONE = base64.b64encode(bytes(range(128))).decode()


def keys(*fields: str) -> tuple[str, ...]:
    return signatures(Header.scan("".join(f"DKIM-Signature: {x}\n" for x in fields).encode()))


@pytest.mark.parametrize(
    "field",
    [
        f"v=1; b={ONE}",
        f"v=1; b = {ONE[:70]}\n\t{ONE[70:]} ; d=example.org",
        f"b={ONE.rstrip('=')};",
        f"v=1;\n b=\n {' '.join(ONE)}",
        f"bh=AAAA; b={ONE}; b=",
    ],
)
def test_a_signature_is_known_however_it_is_written(field: str) -> None:
    assert keys(field) == keys(f"b={ONE}")


def test_other_signatures_are_other_keys_and_what_is_none_is_no_key() -> None:
    other = base64.b64encode(os.urandom(64)).decode()
    assert len(keys(f"b={ONE}", f"b={other}", f"b={ONE}")) == 2
    assert keys("", "b=", "b=AAAA", f"bh={ONE}", "b=\u20ac", f"B={ONE}") == ()


def test_a_mail_with_more_signatures_than_any_has_is_not_read_in_part() -> None:
    fields = [f"b={base64.b64encode(os.urandom(64)).decode()}" for _ in range(MAX_SIGNATURES)]
    assert len(keys(*fields, *fields)) == MAX_SIGNATURES
    with pytest.raises(Unreadable, match="more than 50 DKIM signatures"):
        keys(*fields, f"b={ONE}")
    with pytest.raises(Unreadable):
        keys(" ; ".join([*fields, f"b={ONE}"]))
