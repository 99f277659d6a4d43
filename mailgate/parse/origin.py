"""Where mail comes from for whose sender nothing vouches: one stranger is told from another."""

from ipaddress import ip_network

from mailgate.config import Trust
from mailgate.model import Envelope
from mailgate.parse import trace

# What one site, or one customer of a provider, is given at least: that is one stranger.
_BITS = {4: 24, 6: 48}


def origin(envelope: Envelope, address: str, trust: Trust) -> str:
    """Return the network of the client; of mail that the site's own hosts pass on, From's domain.

    That is no proof of anything: a forger has as many domains as he likes. It bounds what one
    does who does not forge, and what comes from everybody at a big provider.
    """
    client = trace.address_of(envelope.peer or "") if envelope.door == "smtp" else None
    ours = (*trust.networks, *trust.hops)
    if client is None or client.is_loopback or any(client in network for network in ours):
        return address.rpartition("@")[2].lower()
    return str(ip_network((client, _BITS[client.version]), strict=False))
