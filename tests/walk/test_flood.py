"""A flood of broken mails: those of people get through, and nothing that was taken is forgotten."""

import random
from pathlib import Path

import pytest

from tests.daemon import Gateway, attached, eventually, running
from tests.walk import hostile
from tests.walk.hostile import file, mail, rows, send

GOOD_IN = 15
"""One good mail among so many."""


def whole(number: int, chance: random.Random) -> bytes:
    """A mail such as people send, in one of several makes."""
    who = f"broken{number}@example.org"
    content = chance.randbytes(chance.randrange(3000))
    parts = [file(b"data.fa", content) for _ in range(chance.randrange(4))]
    nested = (
        b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n"
        b"Content-Type: text/plain; charset=koi8-r; format=flowed\r\n\r\nlabel: nested \r\n\r\nx\r\n"
        b"--inner\r\nContent-Type: text/html; charset=utf-16\r\n\r\n<p>\xff\xfe<br><b>hello\r\n--inner--"
    )
    inner = b"Content-Type: message/rfc822\r\n\r\n" + mail("x", "y@example.org", b"inner")
    makes = [(), tuple(parts), (nested, *parts), (inner,), (nested, inner)]
    headers = b"Subject: =?utf-8?b?0J/RgNC40LLQtdGC?=\r\nReferences: <a@b>\r\n <c@d>\r\n"
    body = chance.choice(
        ["label: one\n\nhello", "wrods: x", "", "notify: end\nlabel: x\n\n" + "y " * 500]
    )
    return mail("keep", who, body, headers=headers, parts=chance.choice(makes))


def broken(raw: bytes, chance: random.Random) -> bytes:
    """The mail after one to five accidents."""
    for _ in range(chance.randint(1, 5)):
        at, to = sorted(chance.randrange(len(raw) + 1) for _ in range(2))
        match chance.randrange(6):
            case 0:
                raw = raw[:at]
            case 1:
                raw = raw[:at] + chance.randbytes(chance.randrange(200)) + raw[at:]
            case 2:
                raw = raw[:at] + raw[min(to, at + 100) :]
            case 3:
                raw = raw[:to] + raw[at:to] + raw[to:]
            case 4:
                raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
            case _:
                mark = chance.choice(
                    [b"--edge\r\n", b"\r\n\r\n", b"\0", b"=?", b'"', b"(", b"\r", b"\n"]
                )
                raw = raw[:at] + mark + raw[at:]
    return raw or b"\r\n"


@pytest.mark.soak
def test_under_a_flood_of_broken_mails_every_good_one_gets_its_result(
    tmp_path: Path, seed: int, soak: bool
) -> None:
    chance = random.Random(seed)
    count = 6000 if soak else 300
    with running(tmp_path, slots=4) as gateway:
        hostile.offer(gateway)
        gateway.start()
        said = []
        good = {}
        for number in range(count):
            to = chance.choice(["take", "keep", "words"])
            said.append(send(gateway, broken(whole(number, chance), chance), to=to))
            if number % GOOD_IN == 0:
                who, content = f"good{number}@example.org", chance.randbytes(500)
                good[who] = content
                raw = mail("keep", who, parts=(file(b"data.fa", content),))
                assert send(gateway, raw, to="keep").startswith("250")
        for who, content in good.items():
            (letter,) = gateway.await_results(1, who, within=120)
            assert attached(letter)["stdout.txt"] == content
        assert {reply[0] for reply in said} <= {"2", "5"}, said
        taken = [int(reply.split()[-1]) for reply in said if reply.startswith("250")]
        assert len(taken) > count / 4
        eventually(lambda: hostile.at_rest(gateway), 120, gateway.logged)
        for number in taken:
            settled(gateway, number)
        hostile.unharmed(gateway)


def settled(gateway: Gateway, number: int) -> None:
    """A mail that was taken is held for the operator with a reason, or had its one letter."""
    (errand,) = rows(gateway, "SELECT * FROM errand WHERE message = ?", number)
    letters = rows(gateway, "SELECT * FROM letter WHERE message = ?", number)
    if errand["state"] == "HELD":
        assert errand["reason"]
        assert letters == []
    elif errand["reason"] == "duplicate":
        assert letters == []
    else:
        assert [letter["state"] for letter in letters] == ["SENT"]
