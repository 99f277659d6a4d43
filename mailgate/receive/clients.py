"""Clients by their addresses: what one is told from another by."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Client = IPv4Address | IPv6Network


def address_of(peer: str | None) -> Address:
    """Return a peer's address; one that nobody tells is ``::``, which is in no network."""
    address = ip_address(peer or "::")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def client_of(address: Address) -> Client:
    """Return what one client is told from another by: of IPv6 64 bits, which are one site's."""
    if isinstance(address, IPv6Address):
        return IPv6Network((int(address), 64), strict=False)
    return address
