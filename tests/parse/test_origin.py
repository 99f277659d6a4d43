"""Where mail comes from for whose sender nothing vouches."""

from ipaddress import ip_network

import pytest

from mailgate.config import Trust
from mailgate.model import Envelope
from mailgate.parse.origin import origin

TRUST = Trust(networks=(ip_network("192.0.2.0/24"),), hops=(ip_network("2001:db8:1::/48"),))


@pytest.mark.parametrize(
    ("door", "peer", "found"),
    [
        ("smtp", "198.51.100.9", "198.51.100.0/24"),
        ("smtp", "::ffff:198.51.100.9", "198.51.100.0/24"),
        ("smtp", "2001:db8:2:3::4", "2001:db8:2::/48"),
        ("smtp", "192.0.2.7", "example.org"),
        ("smtp", "2001:db8:1::2", "example.org"),
        ("smtp", "127.0.0.1", "example.org"),
        ("smtp", None, "example.org"),
        ("lmtp", "198.51.100.9", "example.org"),
        ("imap", None, "example.org"),
    ],
)
def test_a_stranger_is_a_network_or_where_others_pass_it_on_a_domain(
    door: str, peer: str | None, found: str
) -> None:
    envelope = Envelope(sender="x@x.org", recipients=(), door=door, peer=peer)
    assert origin(envelope, "Ada@Example.org", TRUST) == found
