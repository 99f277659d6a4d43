import pytest

from mailgate.parse.words import parameters, unencoded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?J=C3=B6rg?=", "Jörg"),
        ("=?iso-8859-1?q?J=F6rg_M?= x", "Jörg M x"),
        ("=?UTF-8?B?SsO2cmc=?=", "Jörg"),
        ("=?utf-8?b?SsO2cmc?=", "Jörg"),
        ("=?utf-8?b?SsO2 cmc=?=", "Jörg"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= b", "a b"),
        ("x=?utf-8?q?a?=y", "xay"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),
        ("=?utf-8*en?q?a?=", "a"),
        ("=?utf-8?q?a b?=", "a b"),
        ("=?iso-2022-jp?b?GyRCJDMkcxsoQg==?=", "こん"),
        ("=?nonsense?q?a?=", "a"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?a", "=?utf-8?q?a"),
        ("=?utf-8?q?a=0D=0AX-Loop:_b?=", "a X-Loop: b"),
        ("=?utf-7?q?+2AA-?=", "\ufffd"),
        ("=?utf-8?q??=", ""),
        ("=?", "=?"),
    ],
)
def test_encoded_words_are_decoded(value, text):
    assert unencoded(value) == text


@pytest.mark.parametrize(
    ("value", "main", "expected"),
    [
        ("text/plain", "text/plain", {}),
        ("TEXT/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ('a/b; name="x y.txt"', "a/b", {"name": "x y.txt"}),
        ("a/b; name=x y.txt", "a/b", {"name": "x y.txt"}),
        ('a/b; name="a;b=c.txt"; d=e', "a/b", {"name": "a;b=c.txt", "d": "e"}),
        (r'a/b; name="C:\temp\x.doc"', "a/b", {"name": r"C:\temp\x.doc"}),
        (r'a/b; name="say \"x\".doc"', "a/b", {"name": 'say "x".doc'}),
        ('a/b; name="open', "a/b", {"name": "open"}),
        ("a/b; name=", "a/b", {"name": ""}),
        ("a/b; name", "a/b", {"name": ""}),
        ("a/b;;; name=x;", "a/b", {"name": "x"}),
        ("a/b; name=x; name=y", "a/b", {"name": "x"}),
        ("attachment filename=x", "attachment", {"filename": "x"}),
        ('filename="x"', "", {"filename": "x"}),
        ("a/b; name*=utf-8''%e2%82%ac%20x", "a/b", {"name": "€ x"}),
        ("a/b; name=plain; name*=utf-8''%e2%82%ac", "a/b", {"name": "€"}),
        ("a/b; name*0=one; name*1=two", "a/b", {"name": "onetwo"}),
        ("a/b; name*1=two; name*0=one", "a/b", {"name": "onetwo"}),
        ("a/b; name*0*=iso-8859-1''%e4; name*1*=%f6; name*2=%41", "a/b", {"name": "äö%41"}),
        ("a/b; name*0=one; name*2=three", "a/b", {"name": "onethree"}),
        ("a/b; name*=no%20quotes", "a/b", {"name": "no quotes"}),
        ("a/b; name*=rot13''%61", "a/b", {"name": "a"}),
        ("a/b; name*", "a/b", {}),
        ("a/b; name*0*", "a/b", {}),
        ("a/b; name==?utf-8?q?=E2=82=AC?=", "a/b", {"name": "€"}),
        ('a/b; name="=?utf-8?q?=E2?= =?utf-8?q?=82=AC?="', "a/b", {"name": "€"}),
        ("", "", {}),
        ("=", "", {}),
        (";", "", {}),
    ],
)
def test_parameters_are_read_as_senders_write_them(value, main, expected):
    found = parameters(value)
    assert (found.main, found.parameters) == (main, expected)


def test_thousands_of_words_and_parameters_are_linear(calls_of):
    words = " ".join(f"=?utf-8?q?{n}?=" for n in range(16_000))
    assert calls_of(lambda: unencoded(words)) < 16_000 * 40
    many = "a/b" + "".join(f"; n{n}*0*=x" for n in range(16_000))
    assert calls_of(lambda: parameters(many)) < 16_000 * 40
    unclosed = "=?a?q?x" * 16_000
    assert calls_of(lambda: unencoded(unclosed)) < 100
    touching = "=?a?q?" * 16_000
    assert calls_of(lambda: unencoded(touching)) < 16_000 * 40
