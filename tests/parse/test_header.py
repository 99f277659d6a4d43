import pytest

from mailgate.parse.header import MAX_HEADERS, Header

KIB = 1024


def test_fields_are_found_by_name_without_case_and_in_order():
    header = Header.scan(b"Received: one\r\nFROM: a@b.c\r\nreceived:two\r\n\r\nbody: no field\r\n")
    assert header.received() == ["one", "two"]
    assert header.first("from") == "a@b.c"
    assert header.first("body") is None
    assert header.blank
    assert header.defects == ()


def test_a_folded_value_is_one_line():
    header = Header.scan(b"Subject: one\r\n\ttwo\r\n three\r\nTo: x\r\n\r\n")
    assert header.first("subject") == "one\ttwo three"


def test_bare_line_feeds_and_a_leading_mbox_line_are_taken():
    block = b"From someone@example.org Mon Jan  1 00:00:00 2024\nFrom: a@b.c\n\nbody"
    header = Header.scan(block)
    assert header.from_addresses() == ("a@b.c",)
    assert block[header.end :] == b"body"


def test_blanks_before_the_colon_do_not_hide_a_second_from():
    header = Header.scan(b"From: a@b.c\r\nFrom : d@e.f\r\n\r\n")
    assert header.from_addresses() == ("a@b.c", "d@e.f")


def test_a_line_that_is_no_field_begins_the_body_and_is_told():
    block = b"From: a@b.c\r\nwhat is this\r\nX-Loop: me\r\n\r\n"
    header = Header.scan(block)
    assert block[header.end :].startswith(b"what is this")
    assert header.first("x-loop") is None
    assert header.defects == ("a line in the header is no header field; the body begins there",)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"J\xc3\xb6rg", "Jörg"),
        (b"J\xf6rg", "Jörg"),
        (b"\x93quoted\x94", "“quoted”"),
        (b"\x81", "\ufffd"),
    ],
)
def test_raw_8_bit_values_are_utf_8_or_else_windows_1252(raw, text):
    assert Header.scan(b"Subject: " + raw + b"\r\n\r\n").first("subject") == text


@pytest.mark.parametrize(
    ("value", "message_id"),
    [
        ("<a@b>", "<a@b>"),
        ("comment <a@b> more", "<a@b>"),
        ("a@b", "<a@b>"),
        ("< a@b >", "<a@b>"),
        ("", None),
        ("<>", None),
        ("<" + "x" * 999 + ">", None),
        ("a\x07b", None),
    ],
)
def test_a_message_id_has_its_brackets_and_nothing_else(value, message_id):
    assert Header.scan(f"Message-ID: {value}\r\n\r\n".encode()).message_id() == message_id


def test_no_more_fields_than_the_cap_are_kept():
    header = Header.scan(b"a: b\r\n" * (MAX_HEADERS + 5) + b"\r\n")
    assert len(header) == MAX_HEADERS
    assert header.overfull


def test_exactly_as_many_fields_as_the_cap_are_not_too_many():
    assert not Header.scan(b"a: b\r\n" * MAX_HEADERS + b"\r\n").overfull


@pytest.mark.parametrize(
    "block",
    [
        b"a:\n" * (85 * KIB),
        b"a: x\n" + b" \n" * (128 * KIB),
        b"x" * (256 * KIB),
        b"x" + b" " * (256 * KIB),
        b" x\n" * (85 * KIB),
        b"From \n" * (42 * KIB),
        b":\n" * (128 * KIB),
        b"\r" * (256 * KIB),
        b"From: " + b"(" * (256 * KIB),
        b"From: " + b'"' * (256 * KIB),
        b"From: " + b"<" * (256 * KIB),
        b"From: " + b"\\" * (256 * KIB),
        b"From: " + b"@ " * (128 * KIB),
        b"From: a@b.c, " + b"a@b.c, " * (36 * KIB),
        b"From: x <a@b>\n" * (18 * KIB),
        b"Message-ID: " + b"<" * (256 * KIB),
        b"Subject: " + b"\xe4" * (256 * KIB),
    ],
    ids=lambda block: repr(block[:12]),
)
def test_a_hostile_block_costs_the_door_no_more_than_a_glance(block, calls_of):
    """Counted in steps of the interpreter, not in seconds: a shared machine is sometimes slow."""

    def look():
        header = Header.scan(block)
        header.from_addresses()
        header.message_id()
        header.received()

    assert calls_of(look) < 80_000
