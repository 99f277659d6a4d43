"""What is forged is refused, whatever door it comes through, before anything of it is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailgate.config import load
from mailgate.desk import Desk
from mailgate.errors import Refusal
from mailgate.model import Envelope, How, User
from mailgate.parse.header import Header
from mailgate.services import load_all
from mailgate.spool.addresses import reply_address
from mailgate.spool.database import Site
from mailgate.spool.store import Folder, direct
from tests.daemon import TRUE
from tests.desk.made import CONFIG
from tests.walk import test_forgeries, test_hostile_senders

HOP, STRANGER, TO = "192.0.2.1", "198.51.100.9", "align@gate.example.org"
TRUST = f'[trust]\nauthserv_id = "mx.example.org"\nhops = ["{HOP}"]\nnetworks = ["{HOP}"]\n'
BORDER = test_forgeries.RECEIVED + test_forgeries.YES
NOBODY = test_forgeries.RECEIVED + test_forgeries.NO
FROM = b"From: Boss <boss@example.org>"

# By each door as a hop of the site's would hand it over; the door's word is believed alike.
DOORS = {
    "smtp": {"door": "smtp", "peer": HOP},
    "lmtp": {"door": "lmtp", "peer": HOP},
    "imap": {"door": "imap", "hop": True},
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "services").mkdir()
    lists = 'allow = ["*"]\ndeny = ["mallory@example.org"]'
    (tmp_path / "services" / "align.toml").write_text(
        TRUE.replace('allow = ["*@example.org"]', lists)
    )
    (tmp_path / "mailgate.toml").write_text(CONFIG + TRUST)
    config = load(tmp_path / "mailgate.toml")
    folder = Folder(config.gateway.spool)
    with direct(folder, Site.of(config.gateway.address)) as spool:
        yield Desk(config, load_all(config.gateway.services), folder, lambda: spool.view)


def known(desk: Desk, block: bytes, *, to: str = TO, **said: object) -> str:
    """Who it is from and how that is known; "refused: " and why, where it is not taken."""
    envelope = Envelope(sender="x@x.org", recipients=(to,), **said)  # type: ignore[arg-type]
    try:
        verdict = desk.judge(envelope, Header.scan(block + b"\r\n\r\n"), 500)
    except Refusal as refusal:
        return f"refused: {refusal}"
    assert verdict.identity is not None
    return f"{verdict.identity.address} {verdict.identity.how}"


@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_a_forgery_in_that_another_refuses(desk: Desk, door: str) -> None:
    said = DOORS[door]
    assert known(desk, BORDER + FROM, **said) == "boss@example.org authentication-results"
    for above in test_forgeries.FORGED.values():
        assert known(desk, above + FROM, **said).startswith("refused: ") or (
            # No Received tells of a client outside: then it began on the host that hands it on.
            b"Received" not in above and door != "imap"
        ), above
    # A letter that is ASCII once it is lower-case.
    kelvin = test_forgeries.results("dmarc=pass header.from=\u212aernel.example".encode())
    alike = test_forgeries.RECEIVED + kelvin + b"From: boss@kernel.example"
    assert known(desk, alike, **said).startswith("refused: ")
    for line in test_hostile_senders.FROMS.values():
        # Some say plainly whom they are from, whatever they look like: nobody vouches for him.
        assert known(desk, BORDER + line, **said).startswith("refused: "), line


def test_a_key_opens_its_own_job_for_its_own_person_and_nothing_beside(desk: Desk) -> None:
    secret = desk.folder.secret.read_bytes()
    job, other = "k7q2m5xzab3c", "k7q2m5xzab3d"
    own = reply_address(desk.site, secret, job, "boss@example.org")  # type: ignore[arg-type]
    said = {"door": "smtp", "peer": STRANGER}
    assert known(desk, FROM, to=own, **said) == "boss@example.org reply"
    assert known(desk, FROM, to=own.upper(), **said) == "boss@example.org reply"
    eve = reply_address(desk.site, secret, job, "eve@elsewhere.test")  # type: ignore[arg-type]
    key = own.partition("@")[0][-16:]
    for address in (
        eve,
        own.replace(job, other),
        own.replace(key, "a" * 16),
        own.replace(key, key[::-1]),
    ):
        assert known(desk, FROM, to=address, **said).startswith("refused: Nothing vouches"), address
    for address in (own.replace(key, key[:-1]), own.replace(key, f"{key}a"), own.replace("+", "-")):
        assert "is not an address" in known(
            desk, FROM, to=address, **said
        ) or "no service" in known(desk, FROM, to=address, **said), address
    # Nor does it vouch for what goes elsewhere in the same mail.
    for beside in (TO, own.replace(job, other)):
        envelope = Envelope(sender="x@x.org", recipients=(own, beside), **said)  # type: ignore[arg-type]
        with pytest.raises(Refusal, match="Nothing vouches"):
            desk.judge(envelope, Header.scan(FROM + b"\r\n\r\n"), 500)


def test_who_has_logged_in_is_himself_whatever_key_network_or_border_would_say(desk: Desk) -> None:
    eve = User(name="eve", addresses=("eve@example.org",))
    own = reply_address(
        desk.site, desk.folder.secret.read_bytes(), "k7q2m5xzab3c", "boss@example.org"
    )  # type: ignore[arg-type]
    for to in (TO, own):
        told = known(desk, BORDER + FROM, to=to, door="smtp", peer=HOP, user=eve)
        assert told == (
            "refused: eve may not write as boss@example.org, but as eve@example.org: send the mail"
            " again from there."
        )
    mine = b"From: Eve <EVE@example.org.>\r\nSender: boss@example.org\r\nReply-To: boss@example.org"
    told = known(desk, mine, door="smtp", peer=STRANGER, user=eve)
    assert told == f"EVE@example.org {How.SMTP_AUTH}"


@pytest.mark.parametrize("who", ["mallory", "Mallory", "mallory+x", "MALLORY+", "mallory+a+b"])
def test_who_is_denied_is_so_under_every_tag(desk: Desk, who: str) -> None:
    line = f"From: {who}@example.org".encode()
    assert "may not use" in known(desk, BORDER + line, **DOORS["smtp"])
    assert "authentication" in known(
        desk, BORDER + b"From: not-mallory@example.org", **DOORS["smtp"]
    )
