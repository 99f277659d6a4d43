"""The arguments of MAIL and RCPT."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.receive.path import Path, read_path

GOOD = [
    (b"FROM:<ann@mg.test>", "ann@mg.test", {}),
    (
        b"from: <ann@mg.test> SIZE=10 body=8BITMIME",
        "ann@mg.test",
        {"SIZE": "10", "BODY": "8BITMIME"},
    ),
    (b"FROM:<>", "", {}),
    (b"FROM:ann@mg.test", "ann@mg.test", {}),
    (b"FROM:<postmaster>", "postmaster", {}),
    (b"FROM:<@relay.test,@other.test:ann@mg.test>", "ann@mg.test", {}),
    (b'FROM:<"a b\\"@"@mg.test>', '"a b\\"@"@mg.test', {}),
    (b"FROM:<ann@[127.0.0.1]>", "ann@[127.0.0.1]", {}),
    (b"FROM:<ann@[IPv6:::1]>", "ann@[IPv6:::1]", {}),
    (b"FROM:<jobs+bounce.x=1/y@mg.test>", "jobs+bounce.x=1/y@mg.test", {}),
    ("FROM:<jörg@exämple.test> SMTPUTF8".encode(), "jörg@exämple.test", {"SMTPUTF8": ""}),
]

BAD = [
    b"",
    b"<ann@mg.test>",
    b"TO:<ann@mg.test>",
    b"FROM:",
    b"FROM: ",
    b"FROM:<ann@mg.test",
    b"FROM:ann@mg.test>",
    b"FROM:<ann @mg.test>",
    b"FROM:<ann@mg.test>SIZE=1",
    b"FROM:<ann@mg@test>",
    b"FROM:<@mg.test>",
    b"FROM:<ann@>",
    b"FROM:<<ann@mg.test>>",
    b"FROM:<a\x00b@mg.test>",
    b"FROM:<ann\rMAIL@mg.test>",
    b"FROM:<ann@mg.test\n>",
    b'FROM:<"ann@mg.test>',
    b"FROM:<\xff@mg.test>",
    b"FROM:<ann@mg.test> =1",
    b"FROM:<ann@mg.test> SIZE=",
    b"FROM:<ann@mg.test> SIZE=1=2",
]


@pytest.mark.parametrize(("argument", "address", "parameters"), GOOD)
def test_an_argument_is_read(argument: bytes, address: str, parameters: dict[str, str]):
    assert read_path(argument, keyword=b"FROM:") == Path(address, parameters)


@pytest.mark.parametrize("argument", BAD)
def test_rubbish_is_no_argument(argument: bytes):
    assert read_path(argument, keyword=b"FROM:") is None


@given(st.binary(max_size=80), st.sampled_from([b"", b"<", b"<a@b> ", b'<"', b"<@a,@b:"]))
def test_no_bytes_make_it_raise(rubbish: bytes, start: bytes):
    path = read_path(b"FROM:" + start + rubbish, keyword=b"FROM:")
    assert path is None or "\r" not in path.address


@pytest.mark.parametrize(
    "hostile",
    [
        b"<" + b"a." * 1000,
        b'<"' + b"\\a" * 1000,
        b"<a@b> " + b"a=b " * 500 + b"\0",
        b" " * 2000 + b"\0",
    ]
    + [b"<" + b"@a," * 600, b"<a@" + b"b." * 1000 + b"\0", b"<a@b>" + b" " * 2000 + b"\0"],
)
def test_no_line_takes_long(hostile: bytes):
    start = time.thread_time()
    assert read_path(b"FROM:" + hostile, keyword=b"FROM:") is None
    assert time.thread_time() - start < 0.05
