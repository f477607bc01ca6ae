"""Which IP addresses are public. Everything that is not known to be public is refused.

Written out from the IANA special-purpose registries (RFC 6890 and later) rather than taken from
`ipaddress.is_global`, whose answer depends on the version of Python, and which does not look into
IPv6 addresses that carry an IPv4 address.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_BLOCKED_4 = {
    IPv4Network(network): name
    for network, name in {
        "0.0.0.0/8": "unspecified",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared address space",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "protocol assignments",
        "192.0.2.0/24": "documentation",
        "192.31.196.0/24": "AS112",
        "192.52.193.0/24": "AMT",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "192.175.48.0/24": "AS112",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        # A public number, but the inside of Azure: its virtual machines' agent and metadata.
        "168.63.129.16/32": "platform metadata",
    }.items()
}

# Of IPv6, only 2000::/3 is given out to the public; these parts of it are not.
_GLOBAL_6 = IPv6Network("2000::/3")
_BLOCKED_6 = {
    IPv6Network(network): name
    for network, name in {
        "2001::/32": "Teredo",
        "2001::/23": "protocol assignments",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "2620:4f:8000::/48": "AS112",
        "3fff::/20": "documentation",
    }.items()
}
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAMES_6 = {
    IPv6Network("::1/128"): "loopback",
    IPv6Network("::/128"): "unspecified",
    IPv6Network("64:ff9b:1::/48"): "local NAT64",
    IPv6Network("fc00::/7"): "private",
    IPv6Network("fe80::/10"): "link-local",
    IPv6Network("ff00::/8"): "multicast",
}


@lru_cache(maxsize=65536)
def why_blocked(address: str) -> str | None:
    """Why an address is not public, for instance "loopback"; None for a public one.

    A name server's IPv6 address for a host with IPv4 only (NAT64, RFC 6052) and an IPv4-mapped
    one are judged by the IPv4 address they carry; 6to4 and Teredo are refused.

    Raises:
        ValueError: when `address` is no IP address.
    """
    value = ip_address(address)
    if isinstance(value, IPv4Address):
        return _why_blocked_4(value)
    if value.scope_id is not None:
        return "an address with a zone"
    if value in _MAPPED or value in _NAT64:
        return _why_blocked_4(IPv4Address(value.packed[-4:]))
    if value in _GLOBAL_6:
        return _first(value, _BLOCKED_6)
    return _first(value, _NAMES_6) or "reserved"


def _why_blocked_4(value: IPv4Address) -> str | None:
    for network, name in _BLOCKED_4.items():
        if value in network:
            return name
    return None


def _first(value: IPv6Address, networks: dict[IPv6Network, str]) -> str | None:
    for network, name in networks.items():
        if value in network:
            return name
    return None
