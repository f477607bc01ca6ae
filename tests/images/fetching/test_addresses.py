"""Public addresses, against the standard library and against its known gaps."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlimages.images.fetching.addresses import why_blocked


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "169.253.0.1",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.254",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
    ],
)
def test_public_addresses_are_public(address: str) -> None:
    assert why_blocked(address) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("168.63.129.16", "platform metadata"),
        ("100.100.100.200", "shared address space"),
        ("255.255.255.255", "reserved"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::808:808", "local NAT64"),
        ("2002:808:808::", "6to4"),
        ("2001::1", "Teredo"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "an address with a zone"),
        ("fec0::1", "reserved"),
        ("fd00::1", "private"),
        ("ff0e::1", "multicast"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("4000::1", "reserved"),
    ],
)
def test_other_addresses_are_blocked_by_name(address: str, why: str) -> None:
    assert why_blocked(address) == why


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_the_standard_library_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if why_blocked(str(address)) is None:
        carried = address
        if isinstance(address, ipaddress.IPv6Address) and not address.is_global:
            carried = ipaddress.IPv4Address(address.packed[-4:])  # NAT64, or mapped
        assert carried.is_global
        assert not carried.is_multicast


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_inside_ipv6(address: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        assert why_blocked(f"{prefix}{address}") == why_blocked(str(address))


def test_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="address"):
        why_blocked("example.com")
