"""The trace of a mail (Received, RFC 5321 section 4.4): which clients it came from, who took it.

What a client says of itself stands in these headers too, so every doubt is settled against it.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_MAX_RECEIVED = 4096

# What is submitted on a server itself: the whole field, and no client's address anywhere in it.
# What a client says of itself stands in none of these places.
_HOST = r"[\w.:\[\]-]{1,255}"
_LOCAL = re.compile(
    rf"""
    by\ {_HOST}\ \(Postfix(?:(?:\ \([\w.+-]+\))?,\ from\ userid\ [0-9]+)?\)\ id\ .*
    |by\ {_HOST}\ \(sSMTP\ sendmail\ emulation\)\ ?.*
    |\(from\ [\w.+$-]+@localhost\)\ by\ {_HOST}\ \([\w.+/-]+\)\ id\ .*
    |from\ [\w.+$-]+\ by\ {_HOST}\ with\ local(?:-[\w-]+)?\ \(Exim\ .*
    |\((?:qmail|nullmailer)(?:\ pid)?\ [0-9]*\ ?invoked[ ]
        (?:by\ uid\ [0-9]+|by\ alias|for\ bounce|from\ command\ line)\)\ ?
    |from\ {_HOST}\ \({_HOST}\ \[local\]\)\ by\ {_HOST}\ \(OpenSMTPD\)\ .*
    |from\ [\w.+$-]+\ \(uid\ [0-9]+\)\ \(envelope-from\ [^()\s]+\)\ id\ [\w.]+\ by\ {_HOST}[ ]
        \(DragonFly\ .*
    """,
    re.VERBOSE | re.ASCII,
)
_QMAIL_FROM_NETWORK = re.compile(r"\(qmail [0-9]+ invoked from network\) ?", re.ASCII)
_NUMBERS = re.compile(
    r"(?<![\w.:-])(?:IPv6:)?(?P<ip>(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,45})"
    r"(?![\w-]|\.\w|:\w*[G-Zg-z])",
    re.ASCII,
)
_BRACKETED = re.compile(r"\[([^\]]*)\]?")


def outside(trace: Sequence[str], networks: Sequence[Network]) -> str:
    """Name the client outside that a trace tells of, newest first, or why it tells of none.

    It is "" where the mail started inside.
    """
    for number, received in enumerate(trace):
        below = trace[number + 1] if number + 1 < len(trace) else ""
        if found := _outside(received, below, networks):
            return found
    return ""


def is_inside(peer: str | None, networks: Sequence[Network]) -> bool:
    """Tell whether an IP address, as text, is in one of the networks; what is none is not."""
    address = address_of(peer or "")
    return address is not None and _is_inside(address, networks)


def _outside(received: str, below: str, networks: Sequence[Network]) -> str:
    """Name the client outside that a Received header tells of, or why it tells of none; or ""."""
    if len(received) > _MAX_RECEIVED:
        return "a Received header is too long to be read"
    words = " ".join(received.split())
    trace = words.rpartition(";")[0] or words
    if _is_local(trace):
        return ""
    if _QMAIL_FROM_NETWORK.fullmatch(trace):
        # qmail-smtpd names the client in a header of its own, right below.
        named = _from_clause(below.rpartition(";")[0] or below)
        return "" if list(_addresses(named)) else _unreadable(words)
    clause = _from_clause(trace)
    if any(address_of(text) is None for text in _BRACKETED.findall(clause)):
        return _unreadable(words)
    clients = list(_addresses(clause))
    if not clients:
        return _unreadable(words)
    strangers = [str(client) for client in clients if not _is_inside(client, networks)]
    return f"the mail came from {strangers[0]}, outside its networks" if strangers else ""


def _unreadable(words: str) -> str:
    return f'no client\'s address can be read in "Received: {words[:60]}"'


def _is_local(trace: str) -> bool:
    return (
        _LOCAL.fullmatch(trace) is not None
        and trace.count(" by ") < 2
        and not list(_addresses(trace))
    )


def _from_clause(trace: str) -> str:
    """Everything before the last ``by``, wherever that stands.

    What a client says of itself (HELO) can hold a ``by`` of its own, or a bracket that hides the
    real one; cutting at the last can only add addresses to those that must be inside.
    """
    before, by, _ = f" {trace}".rpartition(" by ")
    return before if by else trace


def _addresses(text: str) -> Iterator[Address]:
    for found in _NUMBERS.finditer(text):
        address = address_of(found["ip"])
        if address is not None:
            yield address


def address_of(text: str) -> Address | None:
    """Read ``1.2.3.4``, ``IPv6:::1``, ``fe80::1%eth0``, ``[::ffff:1.2.3.4]``; else None."""
    bare = text.strip().strip("[]").partition("%")[0]
    if bare[:5].lower() == "ipv6:":
        bare = bare[5:]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_inside(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
