"""
Which IP addresses belong to somebody else on the internet, and which to us.

Pure. `is_public` answers for one address; the standard library alone is not enough: its `is_global`
says yes to multicast, to 6to4 and NAT64 forms that carry a private IPv4 address inside, and differs
between Python versions. What is not clearly public counts as internal.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# IANA special-purpose registries, one cloud's own address, plus every range that carries an IPv4
# address inside an IPv6 one: whoever dials those may end at that IPv4 address.
_NEVER_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT
        "168.63.129.16/32",  # Azure's host agent: a public address that only its guests reach
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relay
        "198.18.0.0/15",  # benchmarks
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # IPv4-compatible
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "100::/64",  # discard
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, deprecated
    )
)


def is_public(address: Address) -> bool:
    """Whether *address* is a unicast address of the public internet."""
    address = unmapped(address)
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(contains(network, address) for network in _NEVER_PUBLIC)
    )


def contains(network: Network, address: Address) -> bool:
    """Whether *address* lies in *network*; never across IP versions."""
    return address.version == network.version and address in network


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped one (`::ffff:10.0.0.1`), else *address* itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def literal(host: str) -> Address | None:
    """
    The address that *host* spells, or None when it is a name.

    Takes every spelling that a resolver takes for IPv4: `127.1`, `0x7f.1`, `2130706433`,
    `0177.0.0.1`.
    """
    try:
        return unmapped(ip_address(host))
    except ValueError:
        pass
    if not host or any(letter.isspace() for letter in host):
        return None  # inet_aton ignores whatever follows a blank
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
