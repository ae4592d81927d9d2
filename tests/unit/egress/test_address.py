"""What counts as public: unicast addresses of the internet, and nothing that hides others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from internal.egress.address import is_public, literal

INTERNAL = [
    "0.0.0.0",  # noqa: S104 - data, nothing is bound
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "168.63.129.16",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "140.82.112.3",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
]
SPELLINGS = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.1", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("2130706433", "127.0.0.1"),
    ("0x7f.1", "127.0.0.1"),
    ("0x7f000001", "127.0.0.1"),
    ("0X7F.0.0.0x1", "127.0.0.1"),
    ("0177.0.0.1", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("0", "0.0.0.0"),  # noqa: S104 - data, nothing is bound
    ("0xa9fea9fe", "169.254.169.254"),
    ("::1", "::1"),
    ("::ffff:7f00:1", "127.0.0.1"),
    ("0:0:0:0:0:ffff:127.0.0.1", "127.0.0.1"),
]


@pytest.mark.parametrize("text", INTERNAL)
def test_internal_addresses_are_not_public(text: str) -> None:
    """
    Private, special and embedded addresses are refused in every form.
    """
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_public(text: str) -> None:
    """
    The neighbours of the refused ranges, and a mapped public address, are let through.
    """
    assert is_public(ip_address(text))


@pytest.mark.parametrize(("spelling", "address"), SPELLINGS)
def test_every_spelling_of_an_address_is_understood(spelling: str, address: str) -> None:
    """
    What a resolver would take for an address is one, so no spelling slips through as a name.
    """
    assert str(literal(spelling)) == address


@pytest.mark.parametrize("name", ["", "example.com", "127.0.0.1 x", "1.2.3.4.5", "256.1.1.1", "a"])
def test_names_are_no_addresses(name: str) -> None:
    """
    Everything else is left to the resolver.
    """
    assert literal(name) is None
